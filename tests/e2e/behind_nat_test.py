"""Phones that cannot be knocked at: they ask by themselves whether work waits for them (DCMP)."""

import http.client
import unittest

import harness
from enrolment_test import Enrolment, message

PHONES = 8


class BehindNatTest(Enrolment):
    web_port = 8592

    def phones(self, count, *extra):
        return super().phones(count, "--poll-seconds", "0.5", "--poll-port", str(self.server.plain), *extra)

    def poll(self, mac, source="127.200.0.1", target="/dcmp/contact-me?device-id="):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain, timeout=10, source_address=(source, 0))
        try:
            connection.request("GET", target + mac)
            return connection.getresponse().status
        finally:
            connection.close()

    def test_polling_phones_get_their_certificates(self):
        phones = self.phones(PHONES)
        deployment = self.server.deploy(self.place)
        harness.wait_for("the certificates", lambda: sum(1 for _ in phones.events("activated")) == PHONES)
        self.assertGreaterEqual(sum(1 for _ in phones.events("poll_hit")), PHONES)
        self.finished(deployment, PHONES)

    def test_and_enter_secure_mode(self):
        self.phones(PHONES)
        self.finished(self.server.enrol(self.place), PHONES)
        self.assertEqual(self.states(), {"secure": PHONES})
        self.finished(self.server.deploy(self.place), PHONES)

    def test_a_poll_without_work_and_one_of_nobody(self):
        phones = self.phones(1)
        self.assertEqual(self.poll(phones.mac(1)), 200)
        self.assertEqual(self.poll("00:1A:E8:FF:FF:FE"), 200)
        self.assertEqual(self.poll("nonsense"), 400)
        self.assertEqual(self.poll("", target="/"), 404)

    def test_a_poll_from_elsewhere_is_no_knock(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        phones.order("offline", mac)
        self.server.deploy(self.place)
        harness.wait_for("work", lambda: self.poll(mac) == 202)

        def noted():
            # While a worker holds the job there is nothing to be had, and nothing is noted.
            _, answer = self.talk(message(mac, "solicited"))
            self.assert_no_key(answer)
            return (self.events("CALL_WITHOUT_KNOCK", mac) + self.events("CALL_FROM_OTHER_ADDRESS", mac)
                    + self.events("KNOCK_EXPIRED", mac))
        harness.wait_for("the event", noted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
