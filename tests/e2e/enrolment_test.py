"""Secure mode as phones live it (B-060 to B-069): enrolment, PINs, refusals, impostors. Real phones' half: phonesim."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import unittest

import harness

PHONES = 12


def message(mac, reason="start-up", nonce="0A1B2C", action="", items=""):
    attributes = f' action="{action}" status="accepted"' if action else ""
    return (f'<?xml version="1.0"?><WorkpointMessage xmlns="http://www.siemens.com/DLS"><Message nonce="{nonce}">'
            f"<ReasonForContact{attributes}>{reason}</ReasonForContact><ItemList>"
            f'<Item name="mac-addr">{mac}</Item>{items}</ItemList></Message></WorkpointMessage>')


def talk(body, port, source="127.200.0.1", cookie="", certificate=None, key=None):
    """One message; status and body of the answer."""
    context = ssl._create_unverified_context()
    if certificate:
        context.load_cert_chain(certificate, key)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10, source_address=(source, 0))
    try:
        headers = {"Content-Type": "text/xml", **({"Cookie": cookie} if cookie else {})}
        connection.request("POST", "/DeploymentService/LoginService", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Enrolment(unittest.TestCase):
    web_port = 8590
    block = 60

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(web_port=cls.web_port)
        cls.addClassCleanup(cls.server.close)
        cls.server.make_pki()
        cls.server.make_secure_credentials()
        harness.wait_for("the secure door", lambda: "secure_door_open" in cls.server.log_text())

    def setUp(self):
        Enrolment.block += 1
        self.block = Enrolment.block
        self.place = f"Place {self.block}"
        self.server.call("LocationService", "CreateLocation", display_name=self.place,
                         rules=[dict(kind="CIDR", value=f"127.{self.block}.0.0/16")])

    def phones(self, count, *extra):
        phones = harness.Phones(count, self.block, [self.server.phone], self.web_port, *extra)
        self.addCleanup(phones.close)
        harness.wait_for_registrations(self.server, self.block, count)
        return phones

    def states(self):
        rows = self.server.sql("SELECT security_state, count(*) FROM device"
                               f" WHERE ip_address <<= '127.{self.block}.0.0/16' GROUP BY 1")
        return {state: int(count) for state, count in rows}

    def finished(self, deployment, count=PHONES):
        harness.wait_for("the jobs to end", lambda: self.server.progress(deployment)["succeeded"] == count)

    def events(self, kind, mac=None):
        found = self.server.call("SecurityService", "ListSecurityEvents", page_size=200).events
        return [event for event in found if event.kind == kind and mac in (None, event.mac)]

    def talk(self, body, port=None, **how):
        return talk(body, port or self.server.phone, **how)

    def assert_no_key(self, answer):
        self.assertNotIn("WriteItems", answer)
        for item in ("dls-client-certificate", "wbm-server-certificate<", "secure-mode-data"):
            self.assertNotIn(item, answer)


class NoPinTest(Enrolment):
    def test_B060_phones_enrol_and_stay(self):
        phones = self.phones(PHONES)
        self.finished(self.server.enrol(self.place))
        self.assertEqual(self.states(), {"secure": PHONES})
        self.assertEqual(len({event["serial"] for event in phones.events("secure_mode_entered")}), PHONES)
        # Later contacts, and deliveries, are by the secure door only.
        self.finished(self.server.deploy(self.place))
        phones.order("reboot")
        harness.wait_for("start-ups by the secure door", lambda: sum(
            event["secure"] and event["reason"] == "start-up" for event in phones.events("session_open")) >= 2 * PHONES)
        self.assertEqual(self.states(), {"secure": PHONES})

    def test_B067_the_security_state_protocol_tells_the_way(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        mac = phones.mac(1)
        texts = [state.text for state in self.server.call("SecurityService", "ListSecurityStates",
                                                          device=f"devices/{mac}").events]
        self.assertIn("in secure mode", texts[0])
        self.assertIn("credentials are on the phone", texts[1])

    def test_a_renewal_in_secure_mode(self):
        # One of them has firmware that cannot be told to call again.
        phones = self.phones(3, "--profile", "mix")
        self.finished(self.server.enrol(self.place), 3)
        before = self.server.sql("SELECT count(*) FROM certificate WHERE slot = 'secure-mode' AND state = 'superseded'")
        self.finished(self.server.enrol(self.place), 3)
        after = self.server.sql("SELECT count(*) FROM certificate WHERE slot = 'secure-mode' AND state = 'superseded'")
        self.assertEqual(int(after[0][0]), int(before[0][0]) + 3)
        self.assertEqual(self.states(), {"secure": 3})
        phones.order("reboot")
        harness.wait_for("start-ups", lambda: sum(1 for _ in phones.events("boot")) >= 6)
        self.assertEqual(self.states(), {"secure": 3})

    def test_B069_a_reset_phone_is_detected_and_gets_nothing(self):
        phones = self.phones(2)
        self.finished(self.server.enrol(self.place), 2)
        mac = phones.mac(1)
        phones.order("default-security", mac)
        harness.wait_for("the stranded phone", lambda: self.states().get("desynchronised") == 1)
        self.assertEqual([device.device for device in self.server.call(
            "SecurityService", "ListSecureDevices", state="DESYNCHRONISED").devices], [f"devices/{mac}"])
        self.assertTrue(self.events("DEFAULT_MODE_REFUSED", mac))
        writes = sum(1 for _ in phones.events("slot_written"))
        self.server.enrol(self.place)
        harness.wait_for("the other phone's renewal", lambda: sum(1 for _ in phones.events("slot_written")) == writes + 1)


class ClosedDoorTest(Enrolment):
    web_port = 8594

    def test_phones_that_do_not_reach_the_secure_door_are_enrolled_again(self):
        server = self.server
        right = list(server.arguments)
        server.stop()
        server.arguments = right + ["--secure-advertise-port", str(harness.free_port())]
        server.start()
        self.phones(3, "--secure-attempts", "1")
        deployment = server.enrol(self.place)
        harness.wait_for("phones that are back", lambda: {job.reason for job in server.call(
            "JobService", "ListJobs", deployment=deployment).jobs} & {"SECURE_CONTACT_FAILED"})
        server.stop()
        server.arguments = right
        server.start()
        self.finished(deployment, 3)
        self.assertEqual(self.states(), {"secure": 3})


class ServerCaChangeTest(Enrolment):
    """The secure door gets a certificate of another CA while phones are in secure mode (B-061, B-064)."""

    web_port = 8598

    def test_the_ca_reaches_the_phones_by_a_renewal_before_the_credential_is_activated(self):
        phones = self.phones(3, "--profile", "mix")
        self.finished(self.server.enrol(self.place), 3)
        self.server.make_pki("Next")
        made = self.server.call("SecurityService", "CreateCredential", kind="SERVER", connector="connectors/Next connector",
                                server_names=["127.0.0.1"]).credential
        with self.assertRaises(harness.Refusal) as refused:
            self.server.call("SecurityService", "ActivateCredential", name=made.name)
        self.assertEqual(refused.exception.reason, "CA_NOT_ON_PHONES")
        self.assertIn("3 phones", str(refused.exception))
        self.finished(self.server.enrol(self.place), 3)
        opened = self.server.log_text().count("secure_door_open")
        self.server.call("SecurityService", "ActivateCredential", name=made.name)
        harness.wait_for("the new certificate", lambda: self.server.log_text().count("secure_door_open") > opened)
        self.assertEqual(self.server.sql("SELECT detail FROM audit_log WHERE action = 'secure_credential.activate'"), [["{}"]])
        self.finished(self.server.deploy(self.place), 3)
        phones.order("reboot")
        harness.wait_for("boots", lambda: sum(1 for _ in phones.events("boot")) >= 6)
        self.finished(self.server.enrol(self.place), 3)
        self.assertEqual(self.states(), {"secure": 3})


class LostAnswerTest(Enrolment):
    web_port = 8597

    def test_a_phone_that_did_not_hear_the_end_of_its_enrolment_is_asked_again(self):
        """The server has noted that the credentials are on the phone, and died before it could say so."""
        phones = self.phones(1)
        mac = phones.mac(1)
        self.server.sql(f"UPDATE device SET next_knock_at = 'infinity' WHERE mac = '{mac}'")
        deployment = self.server.enrol(self.place)
        harness.wait_for("the job", lambda: "CONTACT_GAP" in {job.reason for job in self.server.call(
            "JobService", "ListJobs", deployment=deployment).jobs})
        self.server.sql("UPDATE job SET state = 'verifying', reason = 'AWAITING_SECURE_CONTACT', run_at = now() + interval '1 s'"
                        f" WHERE deployment_id = {deployment.split('/')[1]}")
        self.server.sql(f"UPDATE device SET next_knock_at = now(), security_state = 'enrolling' WHERE mac = '{mac}'")
        self.finished(deployment, 1)
        self.assertEqual(self.states(), {"secure": 1})
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertIn("SECURE_CONTACT_FAILED", [event.reason for event in self.server.call(
            "JobService", "GetJob", name=job.name).job.history])


class PinTest(Enrolment):
    def test_B065_B066_default_pin(self):
        pin = self.server.call("SecurityService", "ViewDefaultPin").pin.pin
        phones = self.phones(PHONES, "--security-pin", pin, "--pin-delay-seconds", "0.2")
        self.finished(self.server.enrol(self.place, "DEFAULT_PIN"))
        self.assertEqual(self.states(), {"secure": PHONES})
        self.assertEqual(sum(1 for _ in phones.events("pin_right")), PHONES)

    def test_B065_individual_pins(self):
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as pins:
            phones = self.phones(4, "--security-pin-file", pins.name)
            for number in range(1, 5):
                mac = phones.mac(number)
                shown = self.server.call("SecurityService", "ViewDevicePin", device=f"devices/{mac}").pin.pin
                print(f"{mac},{shown}", file=pins, flush=True)
            self.finished(self.server.enrol(self.place, "INDIVIDUAL_PIN"), 4)
        self.assertEqual(self.states(), {"secure": 4})

    def test_B066_awaiting_pin_and_then_too_many_wrong_ones(self):
        phones = self.phones(1)
        deployment = self.server.enrol(self.place, "DEFAULT_PIN")
        harness.wait_for("Awaiting PIN", lambda: self.states() == {"awaiting_pin": 1})
        for wrong in ("73915284", "62840917", "19385720"):
            phones.order("pin", phones.mac(1), wrong)
        harness.wait_for("the end", lambda: self.server.progress(deployment)["failed"] == 1)
        self.assertEqual(self.states(), {"pin_exhausted": 1})
        self.assertTrue(self.events("PIN_RETRIES_EXCEEDED", phones.mac(1)))
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual(job.reason, "PIN_RETRIES_EXCEEDED")

    def test_an_expired_pin_ends_the_enrolment_that_awaits_it(self):
        phones = self.phones(1)
        deployment = self.server.enrol(self.place, "INDIVIDUAL_PIN")
        harness.wait_for("Awaiting PIN", lambda: self.states() == {"awaiting_pin": 1})
        self.server.sql("UPDATE security_pin SET expires_at = now() WHERE device_id IS NOT NULL")
        harness.wait_for("the end", lambda: self.server.progress(deployment)["failed"] == 1)
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual(job.reason, "PIN_EXPIRED")
        self.assertEqual(self.states(), {"default": 1})
        self.assertEqual(self.server.sql("SELECT count(*) FROM security_pin WHERE device_id IS NOT NULL"), [["0"]])
        self.assertIn("PIN expired", self.server.call("SecurityService", "ListSecurityStates",
                                                      device=f"devices/{phones.mac(1)}").events[0].text)
        # A new one, and it goes on.
        self.server.call("JobService", "RetryJob", name=job.name)
        harness.wait_for("the next PIN", lambda: self.states() == {"awaiting_pin": 1})
        pin = self.server.call("SecurityService", "ViewDevicePin", device=f"devices/{phones.mac(1)}").pin.pin
        phones.order("pin", phones.mac(1), pin)
        self.finished(deployment, 1)

    def test_B066_the_end_of_the_pin_must_be_right(self):
        pin = self.server.call("SecurityService", "ViewDefaultPin").pin.pin
        other = pin[:-1] + str((int(pin[-1]) + 1) % 10)
        phones = self.phones(1, "--security-pin", other)
        deployment = self.server.enrol(self.place, "DEFAULT_PIN")
        harness.wait_for("the end", lambda: self.server.progress(deployment)["failed"] == 1)
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual(job.reason, "WRONG_TAN")
        self.assertEqual(self.states(), {"default": 1})
        self.assertTrue(self.events("WRONG_TAN", phones.mac(1)))
        self.assertEqual(sum(1 for _ in phones.events("secure_mode_entered")), 0)


class GivenUpTest(Enrolment):
    """Jobs that end while their phone has the credentials, and phones that call with those all the same."""

    web_port = 8595

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Phones get their credentials and do not reach the door: the test calls in their place.
        cls.server.stop()
        cls.server.arguments += ["--secure-advertise-port", str(harness.free_port())]
        cls.server.start()
        harness.wait_for("the secure door", lambda: cls.server.log_text().count("secure_door_open") == 2)

    def enrolling(self, count=1):
        phones = self.phones(count, "--secure-attempts", "1000")
        deployment = self.server.enrol(self.place)
        harness.wait_for("the credentials", lambda: self.states() == {"enrolling": count})
        return phones, deployment

    def protocol(self, mac):
        return [event.text for event in self.server.call("SecurityService", "ListSecurityStates", device=f"devices/{mac}").events]

    def time_out(self, deployment):
        self.server.sql(f"UPDATE job SET deadline = now() WHERE deployment_id = {deployment.split('/')[1]}")
        harness.wait_for("the time-out", lambda: self.server.progress(deployment)["timed_out"])

    def call(self, phones, reason="start-up"):
        """With the credentials that the phone was given."""
        mac = phones.mac(1)
        with open(os.path.join(phones.dir, "state", mac + ".json")) as file:
            given = json.load(file)["security"]["candidates"]["client"]
        with tempfile.NamedTemporaryFile("w", suffix=".pem", dir=phones.dir) as pem:
            pem.write(given)
            pem.flush()
            return self.talk(message(mac, reason), port=self.server.secure, source=phones.first, certificate=pem.name)[1]

    def certificates(self, mac):
        return [state for [state] in self.server.sql(
            "SELECT c.state FROM certificate c JOIN device v ON v.id = c.device_id"
            f" WHERE v.mac = '{mac}' AND c.slot = 'secure-mode' ORDER BY c.id")]

    def test_a_time_out_leaves_default_mode_and_a_late_phone_is_let_in(self):
        phones, deployment = self.enrolling()
        self.time_out(deployment)
        self.assertEqual(self.states(), {"default": 1})
        self.assertIn("the enrolment ended (timed out)", self.protocol(phones.mac(1))[0])
        self.assertIn("Action", self.call(phones))
        self.assertEqual(self.states(), {"secure": 1})
        self.assertEqual(self.certificates(phones.mac(1)), ["active"])
        self.finished(deployment, 1)

    def test_a_cancelled_phone_is_refused_until_its_job_is_retried(self):
        phones, deployment = self.enrolling()
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.server.call("JobService", "CancelJob", name=job.name)
        self.assertEqual(self.states(), {"default": 1})
        self.assertIn("the enrolment ended (cancelled)", self.protocol(phones.mac(1))[0])
        self.call(phones)
        self.assertEqual(self.states(), {"default": 1})
        [event] = self.events("CLIENT_CERTIFICATE_NOT_CURRENT", phones.mac(1))
        self.assertIn("retry the job", event.detail)
        self.server.call("JobService", "RetryJob", name=job.name)
        self.call(phones)
        self.assertEqual(self.states(), {"secure": 1})

    def test_a_superseded_phone_is_let_in_and_the_later_enrolment_goes_on(self):
        phones, first = self.enrolling()
        phones.order("offline")  # its call to the wrong port would be a call in default mode in the end
        second = self.server.enrol(self.place)
        harness.wait_for("the superseding", lambda: self.server.progress(first)["superseded"])
        self.assertEqual(self.states(), {"default": 1})
        self.assertTrue(any("the enrolment ended (superseded)" in line for line in self.protocol(phones.mac(1))))
        answer = self.call(phones)
        self.assertIn("WriteItems", answer)
        self.assertNotIn("goto-secure-mode", answer)  # a renewal
        self.assertEqual(self.states(), {"secure": 1})
        self.assertEqual(self.certificates(phones.mac(1)), ["active", "issued"])
        self.assertEqual(self.server.progress(second)["running"], 1)

    def test_a_phone_with_a_late_pin_is_asked_for_its_end(self):
        pin = self.server.call("SecurityService", "ViewDefaultPin").pin.pin
        phones = self.phones(1, "--secure-attempts", "1000")
        deployment = self.server.enrol(self.place, "DEFAULT_PIN")
        harness.wait_for("Awaiting PIN", lambda: self.states() == {"awaiting_pin": 1})
        self.time_out(deployment)
        self.assertEqual(self.states(), {"default": 1})
        phones.order("pin", phones.mac(1), pin)
        self.assertIn("bootstrapping-tan", self.call(phones))
        self.assertEqual(self.states(), {"default": 1})
        self.assertEqual([job.reason for job in self.server.call("JobService", "ListJobs", deployment=deployment).jobs],
                         ["AWAITING_PIN"])


class ImpostorTest(Enrolment):
    """design.md 7. None gets a key, each leaves a security event."""

    def test_the_mac_of_a_secure_phone_at_the_default_door(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        mac = phones.mac(1)
        address = self.server.sql(f"SELECT host(ip_address) FROM device WHERE mac = '{mac}'")
        self.server.deploy(self.place)
        for source in ("127.200.0.1", phones.first):
            _, answer = self.talk(message(mac, "solicited"), source=source)
            self.assert_no_key(answer)
        self.assertTrue(self.events("DEFAULT_MODE_REFUSED", mac))
        self.assertEqual(self.server.sql(f"SELECT host(ip_address) FROM device WHERE mac = '{mac}'"), address)

    def test_the_mac_of_a_default_mode_phone_from_another_address(self):
        phones = self.phones(1)
        phones.order("offline", phones.mac(1))
        self.server.deploy(self.place)
        harness.wait_for("a knock", lambda: self.server.sql(
            f"SELECT knock_address IS NOT NULL FROM device WHERE mac = '{phones.mac(1)}'") == [["t"]])
        _, answer = self.talk(message(phones.mac(1), "solicited"))
        self.assert_no_key(answer)
        self.assertTrue(self.events("CALL_FROM_OTHER_ADDRESS", phones.mac(1)))

    def test_a_call_without_a_knock_and_one_after_the_knock_expired(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        phones.order("offline", mac)
        deployment = self.server.deploy(self.place)
        harness.wait_for("the job", lambda: self.server.progress(deployment)["deferred_offline"] == 1)
        # Far enough away that no worker takes the job up again.
        self.server.sql(f"UPDATE device SET knock_address = NULL, knock_expires_at = NULL, next_knock_at = 'infinity' WHERE mac = '{mac}'")
        _, answer = self.talk(message(mac, "solicited"), source=phones.first)
        self.assert_no_key(answer)
        self.assertTrue(self.events("CALL_WITHOUT_KNOCK", mac))
        self.server.sql(f"UPDATE device SET knock_address = ip_address, knock_expires_at = now() - interval '1 s' WHERE mac = '{mac}'")
        _, answer = self.talk(message(mac, "solicited"), source=phones.first)
        self.assert_no_key(answer)
        self.assertTrue(self.events("KNOCK_EXPIRED", mac))

    def test_a_stranger_whose_first_word_is_solicited(self):
        """Into a location whose phones are being provisioned: it becomes a device, and gets nothing uncalled-for."""
        self.phones(1)
        self.finished(self.server.deploy(self.place), 1)
        mac = "00:1A:E8:00:00:97"
        status, answer = self.talk(message(mac, "solicited"), source=f"127.{self.block}.9.9")
        self.assertEqual(status, 200)
        self.assert_no_key(answer)
        self.assertTrue(self.events("CALL_WITHOUT_KNOCK", mac))

    def test_an_old_nonce_and_cookie(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        _, answer = self.talk(message(mac, "reply-to", "0A1B2C", "WriteItems"), source=phones.first,
                              cookie="JSESSIONID=00112233445566778899AABBCCDDEEFF")
        self.assert_no_key(answer)
        self.assertTrue(self.events("FOREIGN_SESSION"))


class AdmittedNetworksTest(unittest.TestCase):
    def test_a_known_mac_from_outside_the_admitted_networks_moves_no_address(self):
        server = harness.Server(web_port=8596, extra=["--phone-admission", "networks", "--phone-networks", "127.55.0.0/16"])
        self.addCleanup(server.close)
        phones = harness.Phones(1, 55, [server.phone], 8596)
        self.addCleanup(phones.close)
        address = "SELECT host(ip_address) FROM device"
        harness.wait_for("the phone", lambda: server.sql(address) == [[phones.first]])
        for mac in (phones.mac(1), "00:1A:E8:00:00:98"):
            talk(message(mac), server.phone)
        self.assertEqual(server.sql(address), [[phones.first]])
        self.assertEqual(server.log_text().count("NOT_ADMITTED"), 2)


class StrangerAtTheSecureDoorTest(Enrolment):
    """Certificates that are not the caller's, not live, of another CA, or none at all. The keys come from what a phone
    keeps: somebody has opened it."""

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="phonepki-stolen-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder)

    def steal(self, phones, number=1):
        """Certificate and key of a phone in secure mode, in one file."""
        with open(os.path.join(phones.dir, "state", phones.mac(number) + ".json")) as file:
            kept = json.load(file)["security"]["access"]["client"]
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder))}.pem")
        with open(path, "w") as file:
            file.write(kept)
        return dict(port=self.server.secure, certificate=path)

    def test_no_certificate_and_one_of_another_ca(self):
        stranger = [os.path.join(self.folder, name) for name in ("stranger.crt", "stranger.key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", stranger[1], "-out", stranger[0], "-subj", "/CN=stranger", "-days", "2"],
                       check=True, capture_output=True)
        for presented in ({}, dict(certificate=stranger[0], key=stranger[1])):
            with self.assertRaises((OSError, http.client.HTTPException)):
                self.talk(message("00:1A:E8:00:00:99"), port=self.server.secure, **presented)
        harness.wait_for("the events", lambda: self.events("CLIENT_CERTIFICATE_MISSING")
                         and self.events("CLIENT_CERTIFICATE_UNKNOWN_CA"))

    def test_another_phones_certificate(self):
        phones = self.phones(2)
        self.finished(self.server.enrol(self.place), 2)
        stolen = self.steal(phones)
        self.server.deploy(self.place)
        _, answer = self.talk(message(phones.mac(2), "solicited"), **stolen)
        self.assert_no_key(answer)
        self.assertTrue(self.events("CLIENT_CERTIFICATE_OF_OTHER_PHONE", phones.mac(2)))

    def test_a_superseded_certificate_is_refused_at_once(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        former = self.steal(phones)
        # From the phone's address: the door believes who has the certificate where it is.
        _, answer = self.talk(message(phones.mac(1), "status"), source=phones.first, **former)
        self.assertIn("CleanUp", answer)
        self.assertFalse(self.events("CLIENT_CERTIFICATE_NOT_CURRENT", phones.mac(1)))
        self.finished(self.server.enrol(self.place), 1)
        _, answer = self.talk(message(phones.mac(1), "solicited"), source=phones.first, **former)
        self.assert_no_key(answer)
        self.assertTrue(self.events("CLIENT_CERTIFICATE_NOT_CURRENT", phones.mac(1)))

    def test_a_session_of_another_phone(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        _, answer = self.talk(message(phones.mac(1), "reply-to", action="WriteItems"), cookie="JSESSIONID=" + 32 * "A",
                              **self.steal(phones))
        self.assert_no_key(answer)
        self.assertTrue(self.events("FOREIGN_SESSION", phones.mac(1)))


class DifficultFleetTest(Enrolment):
    def test_1000_phones_enrol_in_spite_of_calls_absence_and_broken_connections(self):
        count = 1000
        phones = self.phones(count, "--busy-share", "0.3", "--busy-seconds", "3", "--drop-share", "0.05", "--profile", "mix")
        for number in range(1, count // 10 + 1):
            phones.order("offline", f"127.{self.block}.0.{number}")
        deployment = self.server.enrol(self.place)
        harness.wait_for("the phones that are there", lambda: self.server.progress(deployment)["succeeded"] == count * 9 // 10, 180)
        phones.order("online")
        self.finished(deployment, count)
        self.assertEqual(self.states(), {"secure": count})
        # Each phone lives on the certificate that the server holds for its active one.
        in_database = dict(self.server.sql(
            "SELECT v.mac, encode(c.serial, 'hex') FROM certificate c JOIN device v ON v.id = c.device_id"
            f" WHERE c.slot = 'secure-mode' AND c.state = 'active' AND v.ip_address <<= '127.{self.block}.0.0/16'"))
        # A phone that missed the answer to its first call has to call again before it knows.
        harness.wait_for("the phones to be where the server sees them", lambda: {
            event["mac"]: event["serial"] for event in phones.events("secure_mode_entered")} == in_database)


if __name__ == "__main__":
    unittest.main(verbosity=2)
