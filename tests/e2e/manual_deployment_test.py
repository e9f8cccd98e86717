"""Certificates deployed by hand (B-040 to B-053): import, activate, replace, delete; from files and from connectors."""

import os
import shutil
import subprocess
import tempfile
import unittest

import harness


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


class Workshop:
    """Certificates of another maker."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def ca(self, name, days="3650"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days,
                "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"), "-subj", f"/O=Elsewhere/CN={name}",
                "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign,cRLSign")
        return name

    def leaf(self, name, ca, usage="serverAuth,clientAuth", days="300", extra="basicConstraints=CA:false"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.path(name + ".key"), "-out", self.path(name + ".csr"), "-subj", f"/O=Elsewhere/CN={name}")
        with open(self.path(name + ".cnf"), "w") as file:
            file.write(f"{extra}\n" + (f"extendedKeyUsage={usage}\n" if usage else ""))
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path(ca + ".pem"), "-CAkey",
                self.path(ca + ".key"), "-CAcreateserial", "-days", days, "-extfile", self.path(name + ".cnf"), "-out",
                self.path(name + ".pem"))
        return name

    def pkcs12(self, name, ca, passphrase=""):
        openssl("pkcs12", "-export", "-in", self.path(name + ".pem"), "-inkey", self.path(name + ".key"), "-certfile",
                self.path(ca + ".pem"), "-out", self.path(name + ".p12"), "-passout", "pass:" + passphrase)
        return self.read(name + ".p12")

    def serial(self, name):
        text = openssl("x509", "-noout", "-serial", "-in", self.path(name + ".pem")).decode()
        return text.strip().split("=")[1].lower().lstrip("0")

    def fingerprint(self, name):
        text = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", self.path(name + ".pem")).decode()
        return text.strip().split("=")[1]


class ManualDeploymentTest(unittest.TestCase):
    web_port = 8597
    block = 100

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(cls.web_port)
        cls.addClassCleanup(cls.server.close)
        cls.server.make_pki("Lab")
        folder = tempfile.mkdtemp(prefix="phonepki-workshop-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.shop = Workshop(folder)
        for name in ("first", "second", "third"):
            cls.shop.ca(name)

    def setUp(self):
        ManualDeploymentTest.block += 1
        self.block = ManualDeploymentTest.block
        self.place = f"Place {self.block}"
        self.server.call("LocationService", "CreateLocation", display_name=self.place,
                         rules=[dict(kind="CIDR", value=f"127.{self.block}.0.0/16")])

    def phones(self, count, *extra):
        phones = harness.Phones(count, self.block, [self.server.phone], self.web_port, *extra)
        self.addCleanup(phones.close)
        harness.wait_for_registrations(self.server, self.block, count)
        return phones

    def manual(self, method, kind, macs=(), **fields):
        selection = dict(devices=[f"devices/{mac}" for mac in macs]) if macs else dict(location=f"locations/{self.place}")
        return self.server.call("ManualDeploymentService", method, selection=selection, certificate_type=kind, **fields)

    def do(self, method, kind, macs=(), **fields):
        """Every phone must be served; the jobs, ended well."""
        outcomes = self.manual(method, kind, macs, **fields).outcomes
        self.assertTrue(outcomes)
        self.assertEqual({(one.ok, one.reason) for one in outcomes}, {(True, "")}, outcomes)
        for one in outcomes:
            if one.job:
                self.ended(one.job)
        return outcomes

    def refused(self, method, kind, macs=(), **fields):
        [outcome] = self.manual(method, kind, macs, **fields).outcomes
        self.assertFalse(outcome.ok, outcome.message)
        self.assertTrue(outcome.message)
        return outcome.reason

    def wrong(self, reason, field, *arguments, **fields):
        with self.assertRaises(harness.Refusal) as caught:
            self.manual("ImportCertificates", *arguments, **fields)
        self.assertEqual((caught.exception.reason, caught.exception.field), (reason, field), caught.exception)
        return str(caught.exception)

    def ended(self, job, state="succeeded"):
        found = []

        def final():
            found[:] = self.server.sql(f"SELECT state, reason, reason_text FROM job WHERE id = {job.split('/')[1]}"
                                       " AND finished_at IS NOT NULL")
            return found
        harness.wait_for("the end of " + job, final)
        self.assertEqual(found[0][0], state, found)

    def slot(self, mac, kind):
        device = self.server.call("DeviceService", "GetDevice", name=f"devices/{mac}").device
        return next((slot for slot in device.slots if slot.kind == kind), None)

    def certificates(self, mac, kind):
        """Serial numbers: imported and active."""
        slot = self.slot(mac, kind)
        return tuple((getattr(slot, which).serial.lstrip("0") if slot and slot.HasField(which) else None)
                     for which in ("imported", "active"))

    def places(self, mac, kind):
        """By place: subjects imported and active."""
        slot = self.slot(mac, kind)
        name = lambda one, which: getattr(one, which).subject.split("CN=")[-1] if one.HasField(which) else None
        return {one.position: (name(one, "imported"), name(one, "active")) for one in (slot.ca_places if slot else ())}

    def held(self, phones, item, index=""):
        """What the phone itself has there."""
        written = [event for event in phones.events("slot_written") if (event["item"], event["index"]) == (item, index)]
        return written[-1]["serial"].replace(":", "").lower().lstrip("0") if written else None

    def file(self, content, passphrase=""):
        return dict(content=content, passphrase=passphrase)

    def pem(self, *names):
        return self.file(b"".join(self.shop.read(name + ".pem") for name in names))


class FromConnectorTest(ManualDeploymentTest):
    def test_B_051_B_052_one_step_fills_imported_and_active(self):
        phones = self.phones(2)
        [outcome] = self.do("ImportCertificates", "wbm", [phones.mac(1)], connector="connectors/Lab connector", activate=True)
        imported, active = self.certificates(phones.mac(1), "wbm")
        self.assertTrue(imported)
        self.assertEqual(imported, active)
        [served] = phones.events("activated")
        self.assertEqual((served["mac"], served["serial"].replace(":", "").lower().lstrip("0")), (phones.mac(1), active))
        self.assertEqual(self.certificates(phones.mac(2), "wbm"), (None, None))
        job = self.server.call("JobService", "GetJob", name=outcome.job).job
        self.assertEqual((job.deployment, job.reason), ("", "VERIFIED"))

    def test_B_053_imported_and_not_active_until_the_second_step(self):
        phones = self.phones(3)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector")
        before = [self.certificates(phones.mac(number), "wbm") for number in (1, 2, 3)]
        self.assertEqual(len({imported for imported, _ in before}), 3, "each phone has its own")
        self.assertEqual({active for _, active in before}, {None})
        self.assertEqual(list(phones.events("write")), [], "no phone was bothered")
        self.do("ActivateCertificates", "wbm")
        for number, (imported, _) in zip((1, 2, 3), before):
            self.assertEqual(self.certificates(phones.mac(number), "wbm"), (imported, imported))

    def test_B_058_an_imported_certificate_stays_when_an_automatic_one_becomes_active(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        by_hand, _ = self.certificates(mac, "wbm")
        deployment = self.server.deploy(self.place)
        harness.wait_for("the deployment", lambda: self.server.progress(deployment)["succeeded"] == 1)
        imported, active = self.certificates(mac, "wbm")
        self.assertEqual(imported, by_hand)
        self.assertNotEqual(active, by_hand)

    def test_B_050_replacing_discards_what_never_reached_the_phone(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector")
        first, _ = self.certificates(phones.mac(1), "wbm")
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        second, active = self.certificates(phones.mac(1), "wbm")
        self.assertEqual(second, active)
        self.assertNotEqual(first, second)
        rows = self.server.sql("SELECT c.state, count(k.*) FROM certificate c LEFT JOIN certificate_key k ON"
                               f" k.certificate_id = c.id JOIN device v ON v.id = c.device_id WHERE v.mac = '{phones.mac(1)}'"
                               " GROUP BY c.id, c.state ORDER BY c.id")
        self.assertEqual(rows, [["discarded", "0"], ["active", "0"]], "no key is left over")

    def test_deleting_the_active_web_certificate_brings_the_factory_one_back(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        self.do("DeleteCertificates", "wbm", which="ACTIVE")
        self.assertEqual(self.certificates(mac, "wbm"), (None, None))
        self.assertEqual([event["mac"] for event in phones.events("write_deleted")], [mac])
        self.assertEqual(self.server.sql("SELECT DISTINCT c.state FROM certificate c JOIN device v ON v.id = c.device_id"
                                         f" WHERE v.mac = '{mac}'"), [["superseded"]])
        self.assertEqual(self.refused("DeleteCertificates", "wbm", which="ACTIVE"), "NOTHING_ACTIVE")

    def test_deleting_the_imported_one_is_the_servers_affair(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector")
        self.do("DeleteCertificates", "wbm", which="IMPORTED")
        self.assertEqual(self.certificates(phones.mac(1), "wbm"), (None, None))
        self.assertEqual(self.refused("ActivateCertificates", "wbm"), "NOTHING_IMPORTED")
        self.assertEqual(self.refused("DeleteCertificates", "wbm", which="IMPORTED"), "NOTHING_IMPORTED")

    def test_the_key_of_an_activated_certificate_is_erased(self):
        self.phones(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        self.assertEqual(self.refused("ActivateCertificates", "wbm"), "KEY_ERASED")

    def test_a_rehearsal_changes_nothing(self):
        phones = self.phones(1)
        issued = self.server.sql("SELECT count(*) FROM certificate")
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True, validate_only=True)
        self.assertEqual(self.certificates(phones.mac(1), "wbm"), (None, None))
        self.assertEqual(self.server.sql("SELECT count(*) FROM certificate"), issued)

    def test_what_somebody_does_by_hand_goes_before_a_deployment(self):
        phones = self.phones(1)
        phones.order("offline")
        deployment = self.server.deploy(self.place)
        harness.wait_for("the job", lambda: self.server.progress(deployment)["deferred_offline"] == 1)
        self.manual("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        self.assertEqual(self.server.progress(deployment)["superseded"], 1)
        phones.order("online")
        harness.wait_for("the certificate", lambda: None not in self.certificates(phones.mac(1), "wbm"))

    def test_a_killed_server_finishes_what_was_activated(self):
        phones = self.phones(20)
        outcomes = self.manual("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True).outcomes
        self.server.kill()
        self.server.start()
        for outcome in outcomes:
            self.ended(outcome.job)
        for number in range(1, 21):
            imported, active = self.certificates(phones.mac(number), "wbm")
            self.assertEqual(imported, active)


class FromFileTest(ManualDeploymentTest):
    def test_B_042_every_ca_of_a_file_becomes_an_entry(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first", "second"), activate=True)
        self.assertEqual(self.places(mac, "spe-ca"), {0: ("first", "first"), 1: ("second", "second")})
        self.assertEqual([self.held(phones, "spe-ca", index) for index in "01"],
                         [self.shop.serial("first"), self.shop.serial("second")])

    def test_B_042_two_steps_and_entries_one_by_one(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"))
        self.assertEqual(self.places(mac, "spe-ca"), {0: ("first", None)})
        self.do("ActivateCertificates", "spe-ca")
        self.do("ImportCertificates", "spe-ca", file=self.pem("second"))
        self.assertEqual(self.places(mac, "spe-ca"), {0: ("first", "first"), 1: ("second", None)})
        self.do("DeleteCertificates", "spe-ca", which="ACTIVE", sha256_fingerprint=self.shop.fingerprint("first"))
        self.assertEqual(self.places(mac, "spe-ca"), {1: ("second", None)}, "what was not activated was left alone")
        self.assertEqual((self.held(phones, "spe-ca", "0"), self.held(phones, "spe-ca", "1")), ("", None))

    def test_B_042_duplicates_are_told_and_a_full_slot_is_refused(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first", "second"), activate=True)
        [outcome] = self.do("ImportCertificates", "spe-ca", file=self.pem("second"))
        self.assertIn("there already: 1", outcome.message)
        self.assertEqual(self.refused("ImportCertificates", "spe-ca", file=self.pem("third")), "SLOT_FULL")
        self.do("ImportCertificates", "spe-ca", file=self.pem("third"), replace=True, activate=True)
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: ("third", "third")})
        self.assertEqual(self.held(phones, "spe-ca", "1"), "", "the phone has lost the other one")

    def test_B_042_every_format_of_a_ca_file(self):
        phones = self.phones(1)
        openssl("x509", "-in", self.shop.path("first.pem"), "-outform", "DER", "-out", self.shop.path("first.cer"))
        openssl("crl2pkcs7", "-nocrl", "-certfile", self.shop.path("second.pem"), "-outform", "DER", "-out",
                self.shop.path("second.p7b"))
        for name, subject in (("first.cer", "first"), ("second.p7b", "second"), ("third.pem", "third")):
            with self.subTest(name):
                self.do("ImportCertificates", "sip-ca", file=self.file(self.shop.read(name)), replace=True, activate=True)
                self.assertEqual(self.places(phones.mac(1), "sip-ca"), {0: (subject, subject)})

    def test_B_042_what_is_no_ca_or_no_certificate_is_refused(self):
        self.phones(1)
        self.shop.leaf("nobody", "first")
        self.assertIn("nobody", self.wrong("NOT_A_CA_CERTIFICATE", "file", "spe-ca", file=self.pem("nobody")))
        self.wrong("NOT_A_CERTIFICATE_FILE", "file", "spe-ca", file=self.file(b"hello"))
        self.wrong("TOO_MANY_CAS", "file", "sip-ca", file=self.pem("first", "second"))
        self.wrong("SOURCE", "source", "spe-ca")

    def test_B_043_spe_certificate_and_ca_for_mutual_tls(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.shop.leaf("spe-phone", "first")
        bag = self.shop.pkcs12("spe-phone", "first", "secret")
        self.wrong("PASSPHRASE_NEEDED", "passphrase", "spe", file=self.file(bag))
        self.wrong("WRONG_PASSPHRASE", "passphrase", "spe", file=self.file(bag, "wrong"))
        self.wrong("KEY_MISSING", "file", "spe", [mac], file=self.pem("spe-phone"))
        self.do("ImportCertificates", "spe", [mac], file=self.file(bag, "secret"), activate=True)
        self.do("ImportCertificates", "spe-ca", [mac], file=self.pem("first"), activate=True)
        serial = self.shop.serial("spe-phone")
        self.assertEqual(self.certificates(mac, "spe"), (serial, serial))
        self.assertEqual(self.held(phones, "spe-certificate"), serial)
        self.assertEqual(self.places(mac, "spe-ca"), {0: ("first", "first")})

    def test_a_web_certificate_of_another_ca_is_proved_by_the_probe(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.shop.leaf("web", "second")
        with open(self.shop.path("both.pem"), "wb") as file:
            file.write(self.shop.read("web.pem") + self.shop.read("web.key"))
        self.do("ImportCertificates", "wbm", [mac], file=self.file(self.shop.read("both.pem")), activate=True)
        self.assertEqual(self.certificates(mac, "wbm"), (self.shop.serial("web"),) * 2)
        listed = self.server.call("CertificateService", "ListCertificates", device=f"devices/{mac}").certificates
        self.assertEqual([(one.internal_ca, one.state) for one in listed], [("", listed[0].ACTIVE)])

    def test_certificates_that_cannot_serve_are_refused(self):
        self.phones(1)
        self.shop.leaf("client-only", "first", "clientAuth")
        self.wrong("WRONG_KEY_USAGE", "file", "wbm", file=self.file(self.shop.pkcs12("client-only", "first")))
        self.wrong("IS_A_CA_CERTIFICATE", "file", "wbm", file=self.file(
            self.shop.read("first.pem") + self.shop.read("first.key")))
        with open(self.shop.path("template"), "w") as file:
            file.write('cn = "Old"\nca\ncert_signing_key\nactivation_date = "2020-01-01 00:00:00"\n'
                       'expiration_date = "2021-01-01 00:00:00"\n')
        subprocess.run(["certtool", "--generate-self-signed", "--load-privkey", self.shop.path("first.key"), "--outfile",
                        self.shop.path("old.pem"), "--template", self.shop.path("template")], check=True, capture_output=True)
        self.wrong("CERTIFICATE_EXPIRED", "file", "spe-ca", file=self.pem("old"))
        self.wrong("CERTIFICATE_TYPE", "certificate_type", "secure-mode", file=self.pem("first"))

    def test_one_key_for_several_phones_must_be_meant(self):
        phones = self.phones(2)
        self.shop.leaf("shared", "first")
        bag = self.file(self.shop.pkcs12("shared", "first"))
        self.wrong("SHARED_KEY", "share_key", "spe", file=bag)
        self.do("ImportCertificates", "spe", [phones.mac(1)], file=bag)
        self.assertEqual(self.refused("ImportCertificates", "spe", [phones.mac(2)], file=bag), "SHARED_KEY")
        self.do("ImportCertificates", "spe", file=bag, share_key=True, activate=True)
        self.assertEqual({self.certificates(phones.mac(number), "spe") for number in (1, 2)},
                         {(self.shop.serial("shared"),) * 2})

    def test_a_phone_without_the_slot_keeps_no_other_from_it(self):
        old = self.phones(1, "--profile", "v2r2")
        [outcome] = self.manual("ImportCertificates", "ocsp-ca", file=self.pem("first")).outcomes
        self.assertEqual((outcome.ok, outcome.reason), (False, "SLOT_NOT_SUPPORTED"))
        self.assertEqual(self.places(old.mac(1), "ocsp-ca"), {})

    def test_selections_must_make_sense(self):
        for selection in (dict(), dict(devices=["devices/00:1A:E8:00:00:01"], location=f"locations/{self.place}")):
            with self.assertRaises(harness.Refusal) as caught:
                self.server.call("ManualDeploymentService", "ImportCertificates", selection=selection,
                                 certificate_type="spe-ca", file=self.pem("first"))
            self.assertEqual((caught.exception.reason, caught.exception.field), ("SELECTION", "selection"))
        self.wrong("SELECTION", "selection", "spe-ca", file=self.pem("first"))
        self.wrong("NOT_FOUND", "selection", "spe-ca", ["00:1A:E8:99:99:99"], file=self.pem("first"))


class SecondThoughtsTest(ManualDeploymentTest):
    """What was wanted once must not come back when something else is wanted."""

    def cancelled(self, job):
        self.server.call("JobService", "CancelJob", name=job)
        self.ended(job, "cancelled")

    def test_a_cancelled_deletion_is_not_made_up_for_later(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True)
        phones.order("offline")
        [outcome] = self.manual("DeleteCertificates", "spe-ca", which="ACTIVE").outcomes
        self.cancelled(outcome.job)
        phones.order("online")
        self.do("ImportCertificates", "spe-ca", file=self.pem("second"), activate=True)
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: (None, "first"), 1: ("second", "second")})
        self.assertEqual(self.held(phones, "spe-ca", "0"), self.shop.serial("first"))

    def test_an_old_manual_job_is_not_retried_after_a_newer_one(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        phones.order("offline")
        [old] = self.manual("DeleteCertificates", "wbm", which="ACTIVE").outcomes
        self.cancelled(old.job)
        phones.order("online")
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        with self.assertRaises(harness.Refusal):
            self.server.call("JobService", "RetryJob", name=old.job)
        self.assertNotIn(None, self.certificates(phones.mac(1), "wbm"))

    def test_a_retried_job_without_anything_to_bring_says_so(self):
        phones = self.phones(1)
        phones.order("offline")
        [outcome] = self.manual("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True).outcomes
        self.cancelled(outcome.job)
        self.manual("DeleteCertificates", "spe-ca", which="IMPORTED")
        self.server.call("JobService", "RetryJob", name=outcome.job)
        phones.order("online")
        self.ended(outcome.job, "failed")
        self.assertEqual(self.server.call("JobService", "GetJob", name=outcome.job).job.reason, "NOTHING_TO_DO")

    def test_deleting_the_active_one_leaves_what_waits_for_its_second_step(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector", activate=True)
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector")
        waiting, _ = self.certificates(phones.mac(1), "wbm")
        self.do("DeleteCertificates", "wbm", which="ACTIVE")
        self.assertEqual(self.certificates(phones.mac(1), "wbm"), (waiting, None))
        self.do("ActivateCertificates", "wbm")
        self.assertEqual(self.certificates(phones.mac(1), "wbm"), (waiting, waiting))

    def test_a_certificate_whose_key_was_erased_can_be_imported_again(self):
        phones = self.phones(1)
        mac = phones.mac(1)
        self.shop.leaf("again", "first")
        bag = self.file(self.shop.pkcs12("again", "first"))
        self.do("ImportCertificates", "wbm", [mac], file=bag, activate=True)
        deployment = self.server.deploy(self.place)
        harness.wait_for("the deployment", lambda: self.server.progress(deployment)["succeeded"] == 1)
        self.do("ImportCertificates", "wbm", [mac], file=bag, activate=True)
        self.assertEqual(self.certificates(mac, "wbm"), (self.shop.serial("again"),) * 2)

    def test_replacing_in_two_steps_removes_nothing_before_the_second(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first", "second"), activate=True)
        self.do("ImportCertificates", "spe-ca", file=self.pem("third"), replace=True)
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: ("third", "first"), 1: (None, "second")})
        self.do("ActivateCertificates", "spe-ca")
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: ("third", "third"), 1: (None, "second")})

    def test_a_manual_job_goes_with_its_phone(self):
        phones = self.phones(1)
        phones.order("offline")
        [outcome] = self.manual("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True).outcomes
        self.server.call("LocationService", "DeleteLocation", name=f"locations/{self.place}")
        phones.order("online")
        self.ended(outcome.job)

    def test_no_key_of_a_deleted_phone_stays(self):
        phones = self.phones(1)
        phones.order("offline")
        self.do("ImportCertificates", "wbm", connector="connectors/Lab connector")
        keys = "SELECT count(*) FROM certificate_key k JOIN certificate c ON c.id = k.certificate_id JOIN device v ON v.id = c.device_id"
        self.assertEqual(self.server.sql(keys + f" WHERE v.mac = '{phones.mac(1)}'"), [["1"]])
        total = "SELECT count(*) FROM certificate_key"
        before = int(self.server.sql(total)[0][0])
        self.server.call("DeviceService", "DeleteDevice", name=f"devices/{phones.mac(1)}")
        self.assertEqual(int(self.server.sql(total)[0][0]), before - 1)


class AutomaticCaTest(ManualDeploymentTest):
    def test_B_058_what_a_deployment_brought_is_not_undone_by_an_older_import(self):
        phones = self.phones(1)
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True)
        deployment = self.server.call(
            "DeploymentService", "CreateDeployment", location=f"locations/{self.place}", certificate_type="spe-ca",
            connector="connectors/Lab connector", activate=True).deployment.name
        harness.wait_for("the deployment", lambda: self.server.progress(deployment)["succeeded"] == 1)
        [(_, deployed)] = self.places(phones.mac(1), "spe-ca").values()
        self.assertNotEqual(deployed, "first")
        serial = self.held(phones, "spe-ca", "0")
        self.do("ImportCertificates", "spe-ca", file=self.pem("second"), activate=True)
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: ("first", deployed), 1: ("second", "second")})
        self.assertEqual(self.held(phones, "spe-ca", "0"), serial)

    def test_B_058_cas_of_a_deployment_are_active_and_never_imported(self):
        phones = self.phones(1)
        deployment = self.server.call(
            "DeploymentService", "CreateDeployment", location=f"locations/{self.place}", certificate_type="spe-ca",
            connector="connectors/Lab connector", activate=True).deployment.name
        harness.wait_for("the deployment", lambda: self.server.progress(deployment)["succeeded"] == 1)
        [(imported, active)] = self.places(phones.mac(1), "spe-ca").values()
        self.assertIsNone(imported)
        self.assertTrue(active)
        # By hand beside it: the first free place.
        self.do("ImportCertificates", "spe-ca", file=self.pem("first"), activate=True)
        self.assertEqual(self.places(phones.mac(1), "spe-ca"), {0: (None, active), 1: ("first", "first")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
