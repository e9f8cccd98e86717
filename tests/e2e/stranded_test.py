"""Phones that are secure here and default there (B-069, G-15), and phones that leave secure mode (B-068)."""

import unittest

import harness
from enrolment_test import Enrolment, message


class StrandedTest(Enrolment):
    web_port = 8591

    def strand(self, phones, mac):
        phones.order("default-security", mac)
        harness.wait_for("the stranded phone", lambda: self.state(mac) == "desynchronised")

    def state(self, mac):
        return self.server.sql(f"SELECT security_state FROM device WHERE mac = '{mac}'")[0][0]

    def certificates(self, mac):
        return [state for [state] in self.server.sql(
            "SELECT c.state FROM certificate c JOIN device v ON v.id = c.device_id"
            f" WHERE v.mac = '{mac}' AND c.slot = 'secure-mode' ORDER BY c.id")]

    def audit(self, action, mac):
        return self.server.sql(f"SELECT 1 FROM audit_log WHERE action = '{action}' AND object = 'devices/{mac}'")

    def test_G15_a_stranded_phone_is_enrolled_again(self):
        phones = self.phones(3)
        deployment = self.server.enrol(self.place)
        self.finished(deployment, 3)
        mac = phones.mac(1)
        self.strand(phones, mac)
        done = self.server.call("SecurityService", "ReEnrolDevice", devices=[f"devices/{mac}"])
        self.assertEqual((done.devices, done.revoked_certificates, done.created_jobs), (1, 1, 1))
        self.finished(deployment, 4)
        self.assertEqual(self.states(), {"secure": 3})
        self.assertEqual(self.certificates(mac), ["revoked", "active"])
        self.assertTrue(self.audit("device.re_enrol", mac))
        texts = [event.text for event in self.server.call("SecurityService", "ListSecurityStates",
                                                          device=f"devices/{mac}").events]
        self.assertTrue(any("enrolled again" in text for text in texts), texts)

    def test_B068_a_phone_that_left_is_refused_until_it_is_reset(self):
        phones = self.phones(3)
        self.finished(self.server.enrol(self.place), 3)
        mac = phones.mac(2)
        self.server.call("SecurityService", "LeaveSecureMode", devices=[f"devices/{mac}"])
        self.assertEqual(self.state(mac), "default")
        self.assertEqual(self.certificates(mac), ["revoked"])
        self.assertTrue(self.audit("device.leave_secure_mode", mac))
        # It knows nothing of it: its certificate is refused at the secure door.
        phones.order("reboot", mac)
        harness.wait_for("the refusal", lambda: self.events("CLIENT_CERTIFICATE_NOT_CURRENT", mac))
        self.assertEqual(self.state(mac), "default")
        phones.order("default-security", mac)
        self.finished(self.server.deploy(self.place))
        self.assertEqual(self.state(mac), "default")
        self.assertEqual(self.states(), {"secure": 2, "default": 1})

    def finished(self, deployment, count=3):
        super().finished(deployment, count)

    def test_all_or_nothing(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        with self.assertRaises(harness.Refusal) as refused:
            self.server.call("SecurityService", "ReEnrolDevice", devices=[f"devices/{mac}"])
        self.assertEqual(refused.exception.reason, "NO_DEPLOYMENT_IN_FORCE")
        self.finished(self.server.enrol(self.place), 1)
        for method in ("LeaveSecureMode", "ReEnrolDevice"):
            with self.assertRaises(harness.Refusal) as refused:
                self.server.call("SecurityService", method, devices=[f"devices/{mac}", "devices/00:1A:E8:FF:FF:FF"])
            self.assertEqual(refused.exception.field, "devices")
            with self.assertRaises(harness.Refusal) as refused:
                self.server.call("SecurityService", method)
            self.assertEqual(refused.exception.reason, "DEVICES_EMPTY")
            with self.assertRaises(harness.Refusal) as refused:
                self.server.call("SecurityService", method, devices=[f"devices/{mac}"] * 10001)
            self.assertEqual(refused.exception.reason, "TOO_MANY_DEVICES")
        self.assertEqual(self.states(), {"secure": 1})
        self.assertEqual(self.certificates(mac), ["active"])

    def test_an_impostor_gets_nothing_by_a_re_enrolment(self):
        phones = self.phones(1)
        self.finished(self.server.enrol(self.place), 1)
        mac = phones.mac(1)
        phones.order("offline", mac)
        _, answer = self.talk(message(mac, "start-up"))
        self.assert_no_key(answer)
        self.server.call("SecurityService", "ReEnrolDevice", devices=[f"devices/{mac}"])
        _, answer = self.talk(message(mac, "solicited"))
        self.assert_no_key(answer)


if __name__ == "__main__":
    unittest.main(verbosity=2)
