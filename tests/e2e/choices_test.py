"""Choices about what nobody told us, taken the other way than by default: wpi.activation and secure.refusal."""

import json
import os
import unittest

import harness
from enrolment_test import Enrolment, message

PHONES = 3


class RestartTest(unittest.TestCase):
    """wpi.activation = restart, with phones that serve a new certificate only after one (U6)."""

    web_port = 8603

    def roll_out(self, activation):
        server = harness.Server(self.web_port, extra=["--wpi-activation", activation, "--probe-attempts", "2",
                                                      "--job-max-failures", "1"])
        self.addCleanup(server.close)
        authority = server.make_pki().certificate.pem
        phones = harness.Phones(PHONES, 58, [server.phone], self.web_port, "--activation", "restart", "--profile", "mix")
        self.addCleanup(phones.close)
        harness.wait_for("registrations", lambda: server.sql(
            "SELECT count(*) FROM device WHERE inventory_at IS NOT NULL") == [[str(PHONES)]])
        deployment = server.deploy("Default")
        harness.wait_for("the jobs to end", lambda: sum(
            server.progress(deployment)[state] for state in ("succeeded", "failed")) == PHONES, 120)
        return server, phones, authority, deployment

    def test_U6_phones_are_restarted_once_and_then_serve_what_they_were_given(self):
        server, phones, authority, deployment = self.roll_out("restart")
        self.assertEqual(server.progress(deployment)["succeeded"], PHONES)
        self.assertEqual(phones.probe(authority)["good"], PHONES)
        self.assertEqual(sorted(event["mac"] for event in phones.events("restart")), [phones.mac(n) for n in range(1, PHONES + 1)])
        harness.assert_ledger_equals_database(self, server, phones)

    def test_U6_without_the_restart_the_job_does_not_succeed(self):
        server, phones, authority, deployment = self.roll_out("none")
        self.assertEqual(server.progress(deployment)["failed"], PHONES)
        self.assertEqual((phones.probe(authority)["good"], list(phones.events("restart"))), (0, []))


class ForbiddenTest(Enrolment):
    """secure.refusal = forbidden (U11)."""

    web_port = 8604

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.stop()
        opened = cls.server.log_text().count("secure_door_open")
        cls.server.arguments += ["--secure-refusal", "forbidden"]
        cls.server.start()
        harness.wait_for("the secure door", lambda: cls.server.log_text().count("secure_door_open") > opened)

    def test_U11_a_secure_phones_mac_at_the_default_door_gets_403_and_nothing_else(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        mac = phones.mac(1)
        for reason in ("start-up", "solicited"):
            self.assertEqual(self.talk(message(mac, reason), source=phones.first), (403, ""))
        self.assertTrue(self.events("DEFAULT_MODE_REFUSED", mac))
        # Others are served as ever.
        status, answer = self.talk(message("00:1A:E8:00:00:96"), source=f"127.{self.block}.9.9")
        self.assertEqual((status, "ReadAllItems" in answer), (200, True))

    def test_U11_another_phones_certificate_gets_403_at_the_secure_door(self):
        phones = self.phones(2)
        self.finished(self.server.enrol(self.place), 2)
        with open(os.path.join(phones.dir, "state", phones.mac(1) + ".json")) as file:
            stolen = os.path.join(phones.dir, "stolen.pem")
            with open(stolen, "w") as copy:
                copy.write(json.load(file)["security"]["access"]["client"])
        self.assertEqual(self.talk(message(phones.mac(2), "solicited"), self.server.secure, certificate=stolen), (403, ""))
        self.assertTrue(self.events("CLIENT_CERTIFICATE_OF_OTHER_PHONE", phones.mac(2)))

    def test_U11_a_reset_phone_that_gets_403_is_stranded_and_gets_nothing(self):
        phones = self.phones(2)
        self.finished(self.server.enrol(self.place), 2)
        mac = phones.mac(1)
        phones.order("default-security", mac)
        harness.wait_for("the stranded phone", lambda: self.states() == {"desynchronised": 1, "secure": 1})
        harness.wait_for("refusals", lambda: [e for e in phones.events("connection_lost") if e["mac"] == mac])
        deployment = self.server.deploy(self.place)
        harness.wait_for("the other phone", lambda: self.server.progress(deployment)["succeeded"] == 1)
        self.assertEqual({event["mac"] for event in phones.events("activated")}, {phones.mac(2)})


if __name__ == "__main__":
    unittest.main(verbosity=2)
