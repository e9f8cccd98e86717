"""Whom phones believe (B-045 to B-047, C-10, D-26): verification policies with their guard, OCSP responders."""

import json
import unittest

import harness
from manual_deployment_test import ManualDeploymentTest as Base

NONE, TRUSTED, FULL = "NONE", "TRUSTED", "FULL"


class PolicyTest(Base):
    web_port = 8598

    def settings(self, method, macs=(), **fields):
        selection = dict(devices=[f"devices/{mac}" for mac in macs]) if macs else dict(location=f"locations/{self.place}")
        return self.server.call("PhoneSettingsService", method, selection=selection, **fields).outcomes

    def policy(self, level, service="sip", **fields):
        return self.settings("SetVerificationPolicy", service=service, level=level, **fields)

    def set(self, level, **fields):
        outcomes = self.policy(level, **fields)
        self.assertTrue(all(one.ok for one in outcomes), outcomes)
        for one in outcomes:
            self.ended(one.job)

    def not_set(self, level, reason, **fields):
        [outcome] = self.policy(level, **fields)
        self.assertEqual((outcome.ok, outcome.reason), (False, reason), outcome)
        return outcome.message

    def told(self, phones, item):
        """What each phone was told last."""
        return {event["mac"]: event["value"] for event in phones.events("setting_written") if event["item"] == item}

    def confirmed(self, mac, name="sip-verification"):
        device = self.server.call("DeviceService", "GetDevice", name=f"devices/{mac}").device
        return {one.key: one.confirmed for one in device.settings if one.name == name and one.HasField("confirm_time")}

    def test_B_045_levels_where_the_firmware_has_them_and_a_tick_box_where_not(self):
        for profile, item, levels in (("v3r3", "sip-tls-authentication-policy", {TRUSTED: "1", FULL: "2", NONE: "0"}),
                                      ("cp", "sip-tls-authentication-policy", {FULL: "2", NONE: "0"}),
                                      ("desk-phone-ip", "sip-tls-authentication-policy", {TRUSTED: "1", NONE: "0"}),
                                      ("v2r2", "voip-server-validation", {TRUSTED: "true", NONE: "false"}),
                                      ("optipoint", "voip-server-validation", {TRUSTED: "true", NONE: "false"})):
            with self.subTest(profile):
                self.setUp()
                phones = self.phones(1, "--profile", profile)
                self.do("ImportCertificates", "sip-ca", file=self.pem("first"), activate=True)
                for level, value in levels.items():
                    self.set(level)
                    self.assertEqual(self.told(phones, item), {phones.mac(1): value})
                name = "tls-server-validation" if "true" in levels.values() else "sip-verification"
                self.assertEqual(self.confirmed(phones.mac(1), name), {"level": "none"})
                if "true" in levels.values():
                    self.assertIn("none or trusted", self.not_set(FULL, "LEVEL_NOT_SUPPORTED"))

    def test_B_045_every_service_has_its_policy(self):
        phones = self.phones(1)
        services = self.server.call("PhoneSettingsService", "ListVerificationServices").services
        self.assertEqual([one.name for one in services], ["sip", "file-transfer", "send-url", "dot1x", "xml-app"])
        for service in services:
            with self.subTest(service.name):
                variant = service.variants[0]
                self.assertFalse(variant.confirmed)
                self.not_set(TRUSTED, "NO_MATCHING_CA", service=service.name)
                self.do("ImportCertificates", variant.needs_ca[-1], file=self.pem("first"), activate=True)
                self.set(TRUSTED, service=service.name)
                self.assertEqual(self.told(phones, variant.item), {phones.mac(1): "1"})

    def test_B_047_without_a_confirmed_ca_no_phone_is_locked_out(self):
        phones = self.phones(1)
        self.assertIn("could not reach its server", self.not_set(TRUSTED, "NO_MATCHING_CA"))
        self.not_set(FULL, "NO_MATCHING_CA")
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"))
        self.not_set(TRUSTED, "NO_MATCHING_CA")  # imported is not confirmed
        self.do("ActivateCertificates", "spe-ca")
        self.set(TRUSTED)
        self.assertEqual(self.confirmed(phones.mac(1)), {"level": "trusted"})

    def test_B_047_the_ca_must_be_that_of_the_server_where_it_is_known(self):
        self.phones(1)
        self.shop.leaf("sip-server", "second")
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True)
        server = self.shop.read("sip-server.pem")
        self.assertIn("given server certificate", self.not_set(FULL, "NO_MATCHING_CA", server_certificates=server))
        self.do("ImportCertificates", "spe-ca", file=self.pem("second"), activate=True)
        self.set(FULL, server_certificates=server)

    def test_B_047_an_override_is_possible_and_recorded(self):
        phones = self.phones(1)
        reason = 'the CA came with the "golden" image'
        self.set(TRUSTED, override_reason=reason)
        self.assertEqual(self.told(phones, "sip-tls-authentication-policy"), {phones.mac(1): "1"})
        device = self.server.call("DeviceService", "GetDevice", name=f"devices/{phones.mac(1)}").device
        self.assertEqual([one.override_reason for one in device.settings], [reason])
        [[detail]] = self.server.sql("SELECT detail FROM audit_log WHERE action = 'policy.set' ORDER BY id DESC LIMIT 1")
        self.assertEqual(json.loads(detail), {"service": "sip", "level": "trusted", "override_reason": reason, "devices": 1})

    def test_B_047_the_last_ca_of_a_policy_in_force_stays(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first", "second"), activate=True)
        self.set(TRUSTED)
        self.do("DeleteCertificates", "spe-ca", which="ACTIVE", sha256_fingerprint=self.shop.fingerprint("second"))
        self.assertEqual(self.refused("DeleteCertificates", "spe-ca", which="ACTIVE"), "CA_NEEDED_BY_POLICY")
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: ("first", "first")})
        self.set(NONE)
        self.do("DeleteCertificates", "spe-ca", which="ACTIVE")

    def test_a_refused_phone_keeps_no_other_from_its_policy(self):
        phones = self.phones(3)
        self.do("ImportCertificates", "spe-ca", [phones.mac(1), phones.mac(3)], file=self.pem("first"), activate=True)
        outcomes = {one.device[-2:]: (one.ok, one.reason) for one in self.policy(TRUSTED)}
        self.assertEqual(outcomes, {"01": (True, ""), "02": (False, "NO_MATCHING_CA"), "03": (True, "")})

    def test_a_phone_that_does_not_keep_the_setting_is_found_out(self):
        phones = self.phones(1, "--unknown-items", "sip-tls-authentication-policy")
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True)
        [outcome] = self.policy(TRUSTED)
        self.ended(outcome.job, "failed")
        self.assertEqual(self.confirmed(phones.mac(1)), {})

    def test_D_26_ocsp_responders(self):
        phones = self.phones(1)
        self.server.call("PhoneSettingsService", "ListVerificationServices")
        for fields, told in ((dict(check=True, responders=["ocsp1.example.net", "192.0.2.7"]),
                              {"ocsp-check": "true", "ocsr-1-address": "ocsp1.example.net", "ocsr-2-address": "192.0.2.7"}),
                             (dict(check=True, responders=["ocsp3.example.net"]),
                              {"ocsp-check": "true", "ocsr-1-address": "ocsp3.example.net", "ocsr-2-address": ""}),
                             (dict(check=False), {"ocsp-check": "false", "ocsr-1-address": "", "ocsr-2-address": ""})):
            [outcome] = self.settings("SetOcspResponders", **fields)
            self.ended(outcome.job)
            self.assertEqual({item: self.told(phones, item)[phones.mac(1)] for item in told}, told)
        self.assertEqual(self.confirmed(phones.mac(1), "ocsp"), {"check": "off", "responder-1": "", "responder-2": ""})

    def test_D_26_phones_without_ocsp_and_addresses_that_are_none(self):
        self.phones(1, "--profile", "v2r2")
        [outcome] = self.settings("SetOcspResponders", check=True, responders=["ocsp.example.net"])
        self.assertEqual(outcome.reason, "SLOT_NOT_SUPPORTED")
        for responders in (["http://ocsp.example.net/"], [""], ["a", "b", "c"]):
            with self.assertRaises(harness.Refusal) as caught:
                self.settings("SetOcspResponders", check=True, responders=responders)
            self.assertEqual((caught.exception.reason, caught.exception.field), ("RESPONDER", "responders"))

    def test_wrong_words_name_their_field(self):
        self.phones(1)
        for fields, reason, field in ((dict(service="fax", level=NONE), "SERVICE", "service"),
                                      (dict(service="sip"), "LEVEL", "level"),
                                      (dict(service="sip", level=FULL, server_certificates=b"x"), "NOT_A_CERTIFICATE_FILE",
                                       "server_certificates"),
                                      (dict(service="sip", level=FULL, server_certificates=self.shop.read("first.pem")),
                                       "NOT_A_SERVER_CERTIFICATE", "server_certificates")):
            with self.assertRaises(harness.Refusal) as caught:
                self.settings("SetVerificationPolicy", **fields)
            self.assertEqual((caught.exception.reason, caught.exception.field), (reason, field))


if __name__ == "__main__":
    unittest.main(verbosity=2)
