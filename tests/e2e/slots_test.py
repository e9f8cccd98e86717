"""Every certificate slot of the phones (wpi.md 7, D-27, U4): what is sent, to whom, under which name."""

import os
import subprocess
import tempfile
import unittest

import harness

PHONEPKID = os.path.join(harness.BUILD, "server", "phonepkid")

# What phones present: certificate type and WPI item.
LEAVES = {"wbm": "wbm-server-certificate", "dot1x": "dot1x-phone-certificate",
          "file-transfer-client": "https-client-certificate", "spe": "spe-certificate"}
# Whom they trust: WPI item, index of the current CA, index of the next one.
AUTHORITIES = {"spe-ca": ("spe-ca", "0", "1"), "sip-ca": ("sip-server-ca", "", None),
               "radius-ca": ("radius-server-ca", "", None), "file-transfer-ca": ("https-server-ca", "", None),
               "send-url-ca": ("send-url-server-ca", "1", "2"), "xml-app-ca": ("xml-app-server-ca", "1", "2"),
               "ocsp-ca": ("ocsp-responder-ca", "1", "2")}


def plain(serial):
    return serial.replace(":", "").lower()


class SlotsTest(unittest.TestCase):
    web_port = 8592

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(cls.web_port)
        cls.addClassCleanup(cls.server.close)
        cls.server.make_pki("Lab")
        cls.server.make_pki("Next")

    def phones(self, count, block, *extra, server=None):
        server = server or self.server
        server.call("LocationService", "CreateLocation", display_name=f"Place {block}",
                    rules=[dict(kind="CIDR", value=f"127.{block}.0.0/16")])
        phones = harness.Phones(count, block, [server.phone], self.web_port, *extra)
        self.addCleanup(phones.close)
        harness.wait_for_registrations(server, block, count)
        return phones

    def deploy(self, phones, slot, pki="Lab", server=None):
        return (server or self.server).call(
            "DeploymentService", "CreateDeployment", location=f"locations/Place {phones.block}", certificate_type=slot,
            connector=f"connectors/{pki} connector", activate=True).deployment.name

    def finished(self, deployments, count, server=None, state="succeeded"):
        server = server or self.server

        def done():
            progress = server.progress(*deployments)
            wrong = "succeeded" if state == "failed" else "failed"
            self.assertEqual(progress[wrong], 0, self.reasons(server, wrong))
            return progress[state] == count
        harness.wait_for(f"{count} jobs {state}", done, 120)

    def reasons(self, server, state):
        return server.sql(f"SELECT slot, reason, reason_text FROM job WHERE state = '{state}'")

    def anchor(self, pki):
        found = self.server.call("ConnectorService", "GetConnector", name=f"connectors/{pki} connector").connector
        return plain(found.trust_anchor.serial)

    @staticmethod
    def written(phones):
        """What each slot holds: MAC, item and index to serial number, the last one written."""
        return {(event["mac"], event["item"], event["index"]): event["serial"] for event in phones.events("slot_written")}

    def test_D_27_the_table_lists_every_slot_and_what_is_documented(self):
        listed = self.server.call("DeploymentService", "ListCertificateTypes").certificate_types
        types = {one.name: one for one in listed}
        self.assertEqual(set(types), {"secure-mode", *LEAVES, *AUTHORITIES})
        for name, item in LEAVES.items():
            self.assertEqual((types[name].item, types[name].ca_certificates), (item, False))
        for name, (item, _, _) in AUTHORITIES.items():
            self.assertEqual((types[name].item, types[name].ca_certificates), (item, True))
        self.assertEqual({name for name, one in types.items() if one.confirmed}, {"wbm", "secure-mode"})

    def test_D_27_every_slot_is_deployed_and_ca_slots_keep_current_and_next(self):
        for profile, block in (("v3r3", 81), ("cp", 82), ("desk-phone-ip", 88)):
            with self.subTest(profile):
                phones = self.phones(2, block, "--profile", profile)
                self.finished([self.deploy(phones, slot) for slot in (*LEAVES, *AUTHORITIES)],
                              phones.count * (len(LEAVES) + len(AUTHORITIES)))
                self.assert_leaves(phones)
                current = self.anchor("Lab")
                held = self.written(phones)
                for mac in (phones.mac(1), phones.mac(2)):
                    for slot, (item, first, following) in AUTHORITIES.items():
                        self.assertEqual(held[mac, item, first], current, slot)
                        self.assertNotIn((mac, item, following), held)
                # Another CA: the new one comes first, and the former stays where there is room for two.
                self.finished([self.deploy(phones, slot, "Next") for slot in AUTHORITIES],
                              phones.count * len(AUTHORITIES))
                held = self.written(phones)
                for mac in (phones.mac(1), phones.mac(2)):
                    for slot, (item, first, following) in AUTHORITIES.items():
                        self.assertEqual(held[mac, item, first], self.anchor("Next"), slot)
                        if following:
                            self.assertEqual(held[mac, item, following], current, slot)
                self.assert_leaves(phones)
                self.assertEqual(list(phones.events("crash")), [])

    def assert_leaves(self, phones):
        held = {**self.written(phones), **{(event["mac"], LEAVES["wbm"], ""): event["serial"]
                                           for event in phones.events("activated")}}
        for mac in (phones.mac(number) for number in range(1, phones.count + 1)):
            device = self.server.call("DeviceService", "GetDevice", name=f"devices/{mac}").device
            active = {slot.kind: plain(slot.active.serial) for slot in device.slots if slot.HasField("active")}
            self.assertEqual(active, {slot: held[mac, item, ""] for slot, item in LEAVES.items()})
            self.assertFalse(any(slot.HasField("imported") for slot in device.slots))

    def test_a_phone_whose_firmware_lacks_the_slot_fails_before_anything_is_sent(self):
        phones = self.phones(2, 83, "--profile", "v2r2")
        before = len(list(phones.events()))
        deployment = self.deploy(phones, "ocsp-ca")
        self.finished([deployment], 2, state="failed")
        jobs = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual({job.reason for job in jobs}, {"SLOT_NOT_SUPPORTED"})
        self.assertIn("it needs firmware V3 R0", jobs[0].reason_text)
        self.assertEqual(len(list(phones.events())), before, "the phone was bothered")
        self.finished([self.deploy(phones, "sip-ca")], 2)

    def test_a_slot_that_the_phone_denies_fails_with_its_words(self):
        phones = self.phones(1, 84, "--unknown-items", "radius-server-ca")
        deployment = self.deploy(phones, "radius-ca")
        self.finished([deployment], 1, state="failed")
        [job] = self.server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual(job.reason, "ITEM_REJECTED")
        self.assertIn("unknown item", job.reason_text)

    def test_an_unknown_certificate_type_is_refused(self):
        self.phones(1, 85)
        for wrong in ("", "wmb", "WBM"):
            with self.assertRaises(harness.Refusal) as caught:
                self.server.call("DeploymentService", "CreateDeployment", location="locations/Place 85",
                                 certificate_type=wrong, connector="connectors/Lab connector")
            refusal = caught.exception
            self.assertEqual((refusal.code.name, refusal.reason, refusal.field),
                             ("INVALID_ARGUMENT", "CERTIFICATE_TYPE", "certificate_type"))
            self.assertIn("radius-ca", str(refusal), "it lists the known ones")

    # ---- the table belongs to the site (U4)

    def table(self, *corrections):
        text = subprocess.run([PHONEPKID, "slot-table"], check=True, capture_output=True, text=True).stdout
        for wrong, right in corrections:
            self.assertIn(wrong, text)
            text = text.replace(wrong, right)
        folder = tempfile.TemporaryDirectory(prefix="phonepki-slots-", dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "slots.yaml")
        with open(path, "w") as file:
            file.write(text)
        return path, text

    def test_U4_a_site_corrects_a_name_without_a_new_build(self):
        path, _ = self.table(("item: dot1x-phone-certificate", "item: eap-tls-certificate"),
                             ("item: spe-ca, encoding: pem,\n     indexes: [0, 1]",
                              "item: tls-peer-ca, encoding: pem,\n     indexes: [5, 6]"),
                             ("spe-ca-info", "tls-peer-ca-info"))
        server = harness.Server(self.web_port, extra=["--slots-file", path])
        self.addCleanup(server.close)
        server.make_pki()
        phones = self.phones(1, 86, server=server)
        self.finished([self.deploy(phones, slot, server=server) for slot in ("dot1x", "spe-ca")], 2, server=server)
        self.assertEqual({(item, index) for _, item, index in self.written(phones)},
                         {("eap-tls-certificate", ""), ("tls-peer-ca", "5")})

    def test_U4_a_broken_table_is_refused_at_start_with_its_line(self):
        for wrong, right in (("    proof: probe\n", "    proof: prayer\n"), ("  - name: spe\n", "  - nam: spe\n"),
                             ("    item: wbm-server-certificate\n", "    item: [wbm-server-certificate\n")):
            with self.subTest(right):
                path, text = self.table((wrong, right))
                line = text[:text.index(right)].count("\n") + 1
                done = subprocess.run([PHONEPKID, "--data-dir", os.path.dirname(path), "--slots-file", path],
                                      capture_output=True, text=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr + done.stdout, rf"slots\.file.*line ({line}|{line + 1}):")


if __name__ == "__main__":
    unittest.main(verbosity=2)
