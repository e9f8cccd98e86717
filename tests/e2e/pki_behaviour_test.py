"""Internal CAs, plug-ins and connectors (B-001 to B-036) through the API, with their error cases."""

import os
import re
import unittest

import behaviour
import harness
from behaviour import LIMIT_2038, YEAR, at, certtool_text, extension, openssl_text, run

CA = harness.ca.InternalCa


class InternalCaTest(behaviour.BehaviourTest):
    web_port = 8581

    # ---- B-010, B-011: New, Create CA

    def test_B_010_a_new_ca_is_a_record_without_key_that_cannot_be_enabled(self):
        name = self.unique("Draft")
        made = self.ca("CreateInternalCa", display_name=name, description="kept").internal_ca
        self.assertEqual((made.display_name, made.description, made.enabled, made.state), (name, "kept", False, CA.DRAFT))
        self.assertFalse(made.HasField("certificate"))
        self.assertEqual(self.audited("ca.create", made.name), 1)
        self.assert_refused("FAILED_PRECONDITION", "CA_IS_DRAFT", "", "InternalCaService", "EnableInternalCa", name=made.name)
        self.assert_refused("FAILED_PRECONDITION", "CA_IS_DRAFT", "", "InternalCaService", "ExportInternalCa", name=made.name)
        self.assert_refused("INVALID_ARGUMENT", "CA_IS_DRAFT", "enable", "InternalCaService", "CreateInternalCa",
                            display_name=self.unique("Draft"), enable=True)

    def test_B_010_duplicate_empty_and_impossible_names_are_refused(self):
        existing = self.ca("CreateInternalCa", display_name=self.unique("Draft")).internal_ca
        self.assert_display_names_are_checked("InternalCaService", "CreateInternalCa", "UpdateInternalCa", existing)

    def test_B_011_create_ca_on_a_draft_makes_a_self_signed_root_that_other_tools_accept(self):
        draft = self.ca("CreateInternalCa", display_name=self.unique("Draft")).internal_ca
        made = self.ca("GenerateInternalCa", name=draft.name, creation=dict(
            subject="C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA")).internal_ca
        self.assertEqual(made.state, CA.ACTIVE)
        self.assertEqual(made.certificate.key_algorithm, "rsa2048")
        self.assertEqual(made.certificate.subject, "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA")
        self.assertEqual(made.certificate.issuer, made.certificate.subject)
        life = made.certificate.not_after.seconds - made.certificate.not_before.seconds
        self.assertEqual(life, YEAR, "the default lifetime is one year")
        pem = made.certificate.pem
        text = openssl_text(pem)
        self.assertIn("Subject: CN=MyNewCA,OU=Sales,O=Unify,L=Boca Raton,ST=FL,C=US", text)
        self.assertIn("Signature Algorithm: sha256WithRSAEncryption", text)
        self.assertIn("Public-Key: (2048 bit)", text)
        self.assertIn("RSA", certtool_text(pem))
        root = self.path("root.pem", pem)
        self.assertIn("OK", run("openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, root))
        run("certtool", "--verify-chain", "--infile", root)
        serial = run("openssl", "x509", "-noout", "-serial", text=pem).strip().partition("=")[2]
        self.assertEqual(int(serial, 16), int(made.certificate.serial, 16))
        for digest, stated in (("sha256", made.certificate.sha256_fingerprint), ("sha1", made.certificate.sha1_fingerprint)):
            printed = run("openssl", "x509", "-noout", "-fingerprint", f"-{digest}", text=pem)
            self.assertEqual(printed.strip().partition("=")[2].replace(":", "").lower(), stated)
        text = self.assert_refused("FAILED_PRECONDITION", "CA_HAS_CERTIFICATE", "name", "InternalCaService",
                                   "GenerateInternalCa", name=draft.name, creation=dict(subject="CN=Again"))
        self.assertIn("already", text)

    def test_C_16_ca_profile_and_server_profile_as_the_rules_say(self):
        root = self.make_ca(key_algorithm="rsa2048")
        text = openssl_text(root.certificate.pem)
        self.assertEqual(extension(text, "Basic Constraints"), (True, ["CA:TRUE"]))
        self.assertEqual(extension(text, "Key Usage"), (False, ["Certificate Sign, CRL Sign"]))
        self.assertIsNotNone(extension(text, "Subject Key Identifier"))
        authority = " ".join(extension(text, "Authority Key Identifier")[1])
        # OpenSSL 3 prints the key identifier with or without its label.
        self.assertRegex(authority, "DirName:.*serial:")
        self.assertIn(extension(text, "Subject Key Identifier")[1][0], authority)

    def test_B_011_algorithms_and_sizes(self):
        for algorithm, printed, certtool in (
                ("rsa2048", "Public-Key: (2048 bit)", "bits 2048"), ("rsa3072", "Public-Key: (3072 bit)", "bits 3072"),
                ("rsa4096", "Public-Key: (4096 bit)", "bits 4096"), ("ecdsa-p256", "NIST CURVE: P-256", "SECP256R1"),
                ("ecdsa-p384", "NIST CURVE: P-384", "SECP384R1")):
            with self.subTest(algorithm):
                made = self.make_ca(key_algorithm=algorithm)
                self.assertEqual(made.certificate.key_algorithm, algorithm)
                self.assertIn(printed, openssl_text(made.certificate.pem))
                self.assertIn(certtool, certtool_text(made.certificate.pem))

    def test_B_011_rsa1024_only_behind_the_legacy_switch(self):
        request = dict(display_name=self.unique("Old"), creation=dict(subject="CN=Old", key_algorithm="rsa1024"))
        self.assert_refused("INVALID_ARGUMENT", "KEY_TOO_WEAK", "creation.key_algorithm", "InternalCaService",
                            "CreateInternalCa", **request)
        request["creation"]["allow_legacy"] = True
        made = self.ca("CreateInternalCa", **request).internal_ca
        self.assertIn("Public-Key: (1024 bit)", openssl_text(made.certificate.pem))

    def test_B_011_unsupported_algorithms_are_refused(self):
        for wrong in ("rsa512", "rsa8192", "dsa", "RSA", "ecdsa-p521", "ed25519"):
            self.assert_refused("INVALID_ARGUMENT", "KEY_ALGORITHM_UNKNOWN", "creation.key_algorithm", "InternalCaService",
                                "CreateInternalCa", display_name=self.unique("CA"),
                                creation=dict(subject="CN=x", key_algorithm=wrong))

    def test_B_011_validity_must_make_sense(self):
        cases = [
            ("Valid to = Valid from", dict(not_before=at(0), not_after=at(0)), "VALIDITY_ORDER"),
            ("Valid to < Valid from", dict(not_before=at(YEAR), not_after=at(YEAR - 1)), "VALIDITY_ORDER"),
            ("over already", dict(not_before=at(-2 * YEAR), not_after=at(-YEAR)), "VALIDITY_OVER"),
            ("before 1950", dict(not_before=dict(seconds=-2000000000)), "VALIDITY_OVER"),
            ("no time", dict(not_after=dict(seconds=10**15)), "TIMESTAMP"),
            ("no nanoseconds", dict(not_after=dict(seconds=1, nanos=-1)), "TIMESTAMP"),
        ]
        for what, validity, reason in cases:
            with self.subTest(what):
                self.assert_refused("INVALID_ARGUMENT", reason, "creation.not_after", "InternalCaService", "CreateInternalCa",
                                    display_name=self.unique("CA"),
                                    creation=dict(subject="CN=x", key_algorithm="ecdsa-p256", **validity))
        future = self.make_ca(not_before=at(3600))
        self.assertGreater(future.certificate.not_before.seconds, at(3500)["seconds"])

    def test_C_05_no_validity_past_2038_unless_overridden(self):
        def create(end, **extra):
            return dict(display_name=self.unique("CA"), creation=dict(
                subject="CN=x", key_algorithm="ecdsa-p256", not_after=dict(seconds=end), **extra))
        text = self.assert_refused("INVALID_ARGUMENT", "YEAR_2038", "creation.not_after", "InternalCaService",
                                   "CreateInternalCa", **create(LIMIT_2038 + 1))
        self.assertIn("2038-01-19T03:14:07Z", text)
        made = self.ca("CreateInternalCa", **create(LIMIT_2038)).internal_ca
        self.assertIn("Not After : Jan 19 03:14:07 2038 GMT", openssl_text(made.certificate.pem))
        made = self.ca("CreateInternalCa", **create(LIMIT_2038 + 20 * YEAR, allow_past_2038=True)).internal_ca
        self.assertIn("2058 GMT", openssl_text(made.certificate.pem))

    def test_B_011_malformed_subjects_are_refused(self):
        cases = {
            "": "DN_EMPTY", "MyNewCA": "DN_MALFORMED", "C=US,,CN=x": "DN_MALFORMED", "CN=": "DN_VALUE_EMPTY",
            "C=US, O=Unify": "COMMON_NAME_MISSING", "XY=z, CN=x": "DN_UNKNOWN_ATTRIBUTE", "CN=a, b": "DN_MALFORMED",
            'CN="a': "DN_MALFORMED", "CN=a\\": "DN_MALFORMED", "CN=a+CN=b": "DN_MALFORMED", "CN=a\nb": "DN_VALUE_CHARACTERS",
        }
        for subject, reason in cases.items():
            with self.subTest(subject):
                self.assert_refused("INVALID_ARGUMENT", reason, "creation.subject", "InternalCaService", "CreateInternalCa",
                                    display_name=self.unique("CA"),
                                    creation=dict(subject=subject, key_algorithm="ecdsa-p256"))

    def test_C_17_common_name_at_most_64_and_country_exactly_two_letters(self):
        for subject, reason in (("CN=" + "x" * 65, "COMMON_NAME_TOO_LONG"), ("C=USA, CN=x", "DN_COUNTRY"),
                                ("C=U, CN=x", "DN_COUNTRY"), ("C=U1, CN=x", "DN_COUNTRY"),
                                ("O=" + "x" * 65 + ", CN=x", "DN_VALUE_TOO_LONG")):
            with self.subTest(subject):
                self.assert_refused("INVALID_ARGUMENT", reason, "creation.subject", "InternalCaService", "CreateInternalCa",
                                    display_name=self.unique("CA"),
                                    creation=dict(subject=subject, key_algorithm="ecdsa-p256"))
        self.make_ca(subject="CN=" + "ü" * 64)

    def test_B_011_escaped_commas_multi_valued_rdns_and_utf8_survive(self):
        made = self.make_ca(subject='C=DE, O="Müller, Söhne & Co", OU=Ost\\+West, L=日本+ST=東京, CN=Größe\\, CA')
        name = run("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb,utf8", text=made.certificate.pem)
        for part in ("Müller\\, Söhne & Co", "OU=Ost\\+West", "CN=Größe\\, CA"):
            self.assertIn(part, name)
        self.assertRegex(name, r"ST=東京\+L=日本|L=日本\+ST=東京")
        certtool_text(made.certificate.pem)
        again = self.make_ca(subject=made.certificate.subject)
        self.assertEqual(again.certificate.subject, made.certificate.subject, "what is printed can be read")

    # ---- subordinates

    def test_C_01_a_subordinate_is_issued_by_its_parent_and_recorded(self):
        root = self.make_ca(years=9)
        middle = self.make_ca(parent=root.name)
        lower = self.make_ca(parent=f"internalCas/{middle.display_name}", years=7)
        self.assertEqual((middle.parent, lower.parent), (root.name, middle.name))
        self.assertEqual(middle.certificate.issuer, root.certificate.subject)
        chain = self.ca("ExportInternalCa", name=lower.name, include_chain=True).content.decode()
        found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", chain, re.DOTALL)
        self.assertEqual(found, [lower.certificate.pem, middle.certificate.pem, root.certificate.pem], "root last")
        files = [self.path(f"{i}.pem", pem) for i, pem in enumerate(found)]
        run("openssl", "verify", "-x509_strict", "-CAfile", files[2], "-untrusted", files[1], files[0])
        run("certtool", "--verify-chain", "--infile", self.path("chain.pem", chain))
        issued = self.server.call("CertificateService", "ListCertificates", internal_ca=root.name).certificates
        self.assertEqual([(c.kind, c.serial, c.state) for c in issued],
                         [("ca", middle.certificate.serial, harness.certificate.Certificate.ISSUED)])
        self.assertEqual(self.audited("key.use", root.name), 1)

    def test_C_09_two_subordinates_of_one_parent_may_not_share_a_subject(self):
        root = self.make_ca()
        self.make_ca(parent=root.name, subject="O=Unify, CN=Sub", years=7)
        self.assert_refused("FAILED_PRECONDITION", "SUBJECT_TAKEN", "creation.subject", "InternalCaService",
                            "CreateInternalCa", display_name=self.unique("CA"),
                            creation=dict(subject="o=Unify,cn=SUB", key_algorithm="ecdsa-p256", parent=root.name))

    def test_C_12_a_subordinate_may_not_have_the_subject_of_its_parent(self):
        root = self.make_ca(subject="O=Unify, CN=Same")
        self.assert_refused("INVALID_ARGUMENT", "SUBJECT_EQUALS_CA", "creation.subject", "InternalCaService",
                            "CreateInternalCa", display_name=self.unique("CA"),
                            creation=dict(subject="o=unify, cn=SAME", key_algorithm="ecdsa-p256", parent=root.name))

    def test_a_subordinate_needs_an_enabled_living_parent_and_ends_before_it(self):
        parent = self.make_ca(enable=False, years=2)
        creation = dict(subject="CN=Sub", key_algorithm="ecdsa-p256", parent=parent.name, not_after=at(YEAR))

        def refused(code, reason, field):
            self.assert_refused(code, reason, field, "InternalCaService", "CreateInternalCa", display_name=self.unique("CA"),
                                creation=creation)
        refused("FAILED_PRECONDITION", "CA_DISABLED", "creation.parent")
        self.ca("EnableInternalCa", name=parent.name)
        creation["not_after"] = at(3 * YEAR)
        refused("FAILED_PRECONDITION", "CA_EXPIRES_FIRST", "creation.not_after")
        creation["parent"] = "internalCas/999999"
        refused("NOT_FOUND", "NOT_FOUND", "creation.parent")
        creation["parent"] = "internalCas/Nobody"
        refused("NOT_FOUND", "NOT_FOUND", "creation.parent")
        creation["parent"] = "parent"
        refused("INVALID_ARGUMENT", "RESOURCE_NAME", "creation.parent")

    def test_the_rehearsal_of_a_subordinate_does_not_use_the_parents_key(self):
        root = self.make_ca()
        before = self.count("audit_log"), self.count("certificate"), self.count("internal_ca")
        made = self.ca("CreateInternalCa", display_name=self.unique("CA"), validate_only=True, enable=True, creation=dict(
            subject="CN=Sub", key_algorithm="ecdsa-p256", parent=root.name)).internal_ca
        self.assertFalse(made.HasField("certificate"))
        self.assertEqual((self.count("audit_log"), self.count("certificate"), self.count("internal_ca")), before)

    # ---- B-012: Import CA

    def openssl_ca(self, name, subject, ca="TRUE", days="3650", parent=None, key_of=None):
        """A CA made by openssl; returns the paths of key and certificate."""
        key, cert = self.path(f"{name}.key"), self.path(f"{name}.crt")
        if key_of is None:
            run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        else:
            key = key_of
        extensions = self.path(f"{name}.ext", f"basicConstraints=critical,CA:{ca}\nsubjectKeyIdentifier=hash\n"
                               + ("keyUsage=keyCertSign,cRLSign\n" if ca == "TRUE" else "keyUsage=digitalSignature\n"))
        request = self.path(f"{name}.csr")
        run("openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request)
        signer = ["-signkey", key] if parent is None else ["-CA", parent[1], "-CAkey", parent[0], "-CAcreateserial"]
        run("openssl", "x509", "-req", "-in", request, "-days", days, "-extfile", extensions, "-out", cert, *signer)
        return key, cert

    def pkcs12(self, name, *arguments, passphrase="secret"):
        path = self.path(f"{name}.p12")
        run("openssl", "pkcs12", "-export", "-out", path, "-passout", f"pass:{passphrase}", *arguments)
        with open(path, "rb") as file:
            return file.read()

    def import_refused(self, reason, content, field="pkcs12", passphrase="secret", code="INVALID_ARGUMENT"):
        before = self.count("internal_ca")
        text = self.assert_refused(code, reason, field, "InternalCaService", "ImportInternalCa",
                                   display_name=self.unique("Imported"), pkcs12=content, passphrase=passphrase)
        self.assertEqual(self.count("internal_ca"), before)
        return text

    def test_B_012_a_predefined_ca_is_imported_and_issues(self):
        key, cert = self.openssl_ca("root", "/C=US/O=Unify/CN=Predefined")
        content = self.pkcs12("root", "-inkey", key, "-in", cert, passphrase="Größe 1")
        made = self.ca("ImportInternalCa", display_name=self.unique("Imported"), pkcs12=content, passphrase="Größe 1",
                       enable=True).internal_ca
        self.assertEqual((made.state, made.enabled, made.certificate.subject), (CA.ACTIVE, True, "C=US, O=Unify, CN=Predefined"))
        plugin = self.make_plugin("C=US, O=Unify, CN=?")
        connector = self.make_connector(made, plugin)
        result = self.connector("TestConnector", name=connector.name)
        self.assertTrue(result.success, result.message)
        self.assertEqual(result.certificate.issuer, "C=US, O=Unify, CN=Predefined")
        self.assertEqual(self.audited("ca.import", made.name), 1)
        self.assertNotIn("Größe 1", self.server.log_text())

    def test_B_012_import_fills_a_draft_but_never_replaces_a_key(self):
        key, cert = self.openssl_ca("root", "/CN=Draft filler")
        content = self.pkcs12("root", "-inkey", key, "-in", cert)
        draft = self.ca("CreateInternalCa", display_name=self.unique("Draft")).internal_ca
        request = dict(display_name=draft.display_name, pkcs12=content, passphrase="secret")
        self.assertEqual(self.ca("ImportInternalCa", validate_only=True, **request).internal_ca.state, CA.ACTIVE)
        self.assertEqual(self.ca("GetInternalCa", name=draft.name).internal_ca.state, CA.DRAFT)
        self.assertEqual(self.ca("ImportInternalCa", **request).internal_ca.name, draft.name)
        self.assert_refused("FAILED_PRECONDITION", "CA_HAS_CERTIFICATE", "display_name", "InternalCaService",
                            "ImportInternalCa", **request)

    def test_B_012_wrong_passphrases_and_files_are_refused(self):
        key, cert = self.openssl_ca("root", "/CN=Root")
        content = self.pkcs12("root", "-inkey", key, "-in", cert)
        self.import_refused("WRONG_PASSPHRASE", content, "passphrase", passphrase="wrong")
        self.import_refused("WRONG_PASSPHRASE", content, "passphrase", passphrase="")
        self.import_refused("NOT_PKCS12", b"")
        self.import_refused("NOT_PKCS12", b"hello")
        with open(cert, "rb") as file:
            self.import_refused("NOT_PKCS12", file.read())
        self.import_refused("NOT_PKCS12", content[:-100])
        self.import_refused("FILE_TOO_LARGE", b"x" * ((1 << 20) + 1))

    def test_B_012_a_file_without_key_is_refused(self):
        _, cert = self.openssl_ca("root", "/CN=Root")
        self.import_refused("NO_PRIVATE_KEY", self.pkcs12("nokey", "-nokeys", "-in", cert))

    def test_B_012_an_end_entity_certificate_is_refused(self):
        key, cert = self.openssl_ca("leaf", "/CN=Leaf", ca="FALSE")
        self.import_refused("NOT_A_CA", self.pkcs12("leaf", "-inkey", key, "-in", cert))

    def test_B_012_a_key_that_is_not_the_certificates_is_refused(self):
        key, _ = self.openssl_ca("one", "/CN=One")
        _, cert = self.openssl_ca("two", "/CN=Two")
        # openssl itself refuses to write such a file; certtool does not look.
        path = self.path("mismatch.p12")
        run("certtool", "--to-p12", "--load-privkey", key, "--load-certificate", cert, "--p12-name", "x", "--password",
            "secret", "--outder", "--outfile", path)
        with open(path, "rb") as file:
            self.import_refused("KEY_MISMATCH", file.read())

    def test_B_012_an_expired_ca_is_refused(self):
        key, _ = self.openssl_ca("old", "/CN=Old")
        cert = self.path("expired.crt")
        run("openssl", "req", "-new", "-key", key, "-subj", "/CN=Old", "-out", self.path("old.csr"))
        run("certtool", "--generate-self-signed", "--load-privkey", key, "--outfile", cert, "--template", self.path(
            "template", 'cn = "Old"\nca\ncert_signing_key\nactivation_date = "2020-01-01 00:00:00"\n'
            'expiration_date = "2021-01-01 00:00:00"\n'))
        self.import_refused("CA_EXPIRED", self.pkcs12("old", "-inkey", key, "-in", cert))

    def test_B_012_a_file_with_several_keys_is_refused(self):
        one, two = self.openssl_ca("one", "/CN=One"), self.openssl_ca("two", "/CN=Two")
        path = self.path("several.p12")
        keys = self.path("keys.pem", "".join(open(key).read() for key, _ in (one, two)))
        certs = self.path("certs.pem", "".join(open(cert).read() for _, cert in (one, two)))
        run("certtool", "--to-p12", "--load-privkey", keys, "--load-certificate", certs, "--p12-name", "x", "--password",
            "secret", "--outder", "--outfile", path)
        with open(path, "rb") as file:
            content = file.read()
        listed = run("openssl", "pkcs12", "-in", path, "-passin", "pass:secret", "-nodes")
        if listed.count("PRIVATE KEY-----") < 4:  # this certtool takes the first key only: join two files by hand
            content = self.two_keys(one, two)
        self.import_refused("SEVERAL_KEYS", content)

    def two_keys(self, one, two):
        """PKCS#12 with two keys, from Java's keytool or this file's own writer."""
        store = self.path("several.jks.p12")
        for alias, (key, cert) in (("one", one), ("two", two)):
            part = self.path(f"{alias}.part.p12")
            run("openssl", "pkcs12", "-export", "-inkey", key, "-in", cert, "-name", alias, "-out", part, "-passout",
                "pass:secret")
            run("keytool", "-importkeystore", "-noprompt", "-srckeystore", part, "-srcstoretype", "PKCS12", "-srcstorepass",
                "secret", "-destkeystore", store, "-deststoretype", "PKCS12", "-deststorepass", "secret")
        with open(store, "rb") as file:
            return file.read()

    def test_B_012_an_imported_subordinate_brings_its_chain_or_is_refused(self):
        root = self.openssl_ca("root", "/CN=Import root")
        middle = self.openssl_ca("middle", "/CN=Import middle", parent=root)
        lower = self.openssl_ca("lower", "/CN=Import lower", parent=middle)
        text = self.import_refused("CHAIN_INCOMPLETE", self.pkcs12("bare", "-inkey", lower[0], "-in", lower[1]))
        self.assertIn("Import middle", text)
        chain = self.path("chain.pem", open(root[1]).read() + open(middle[1]).read())
        content = self.pkcs12("full", "-inkey", lower[0], "-in", lower[1], "-certfile", chain)
        made = self.ca("ImportInternalCa", display_name=self.unique("Imported"), pkcs12=content, passphrase="secret",
                       enable=True).internal_ca
        exported = self.ca("ExportInternalCa", name=made.name, include_chain=True).content.decode()
        subjects = re.findall("subject=(.*)", run("openssl", "storeutl", "-noout", "-text", "-certs",
                                                  self.path("all.pem", exported)) + "") or None
        self.assertEqual(exported.count("BEGIN CERTIFICATE"), 3, subjects)
        connector = self.make_connector(made, self.make_plugin("O=x, CN=?"))
        self.assertEqual(connector.trust_anchor.subject, "CN=Import root", "B-033: the root, not the issuer")
        result = self.connector("TestConnector", name=connector.name)
        self.assertTrue(result.success, result.message)

    def test_B_012_an_issuer_by_name_only_is_refused(self):
        root = self.openssl_ca("root", "/CN=Two faced")
        sub = self.openssl_ca("sub", "/CN=Sub", parent=root)
        other = self.openssl_ca("other", "/CN=Two faced")
        content = self.pkcs12("wrong", "-inkey", sub[0], "-in", sub[1], "-certfile", other[1])
        self.import_refused("CHAIN_INCOMPLETE", content)

    # ---- B-013: Enable; export, list, get, update, delete

    def test_B_013_enabled_only_lists_enabled_cas(self):
        off, on = self.make_ca(enable=False), self.make_ca()
        listed = [ca.name for ca in self.ca("ListInternalCas", enabled_only=True, page_size=1000).internal_cas]
        self.assertIn(on.name, listed)
        self.assertNotIn(off.name, listed)
        self.assertTrue(self.ca("EnableInternalCa", name=off.name).internal_ca.enabled)
        self.assertFalse(self.ca("DisableInternalCa", name=off.name).internal_ca.enabled)
        self.assertEqual((self.audited("ca.enable", off.name), self.audited("ca.disable", off.name)), (1, 1))

    def test_B_003_disabling_a_ca_in_use_is_reported_and_stops_issuing(self):
        ca = self.make_ca()
        connector = self.make_connector(ca, self.make_plugin())
        text = self.assert_refused("FAILED_PRECONDITION", "CA_IN_USE", "", "InternalCaService", "DisableInternalCa", name=ca.name)
        self.assertIn(connector.display_name, text)
        answer = self.ca("DisableInternalCa", name=ca.name, force=True)
        self.assertEqual(list(answer.affected_connectors), [connector.display_name])
        result = self.connector("TestConnector", name=connector.name)
        self.assertEqual((result.success, result.reason), (False, "CA_DISABLED"))

    def test_export_gives_pem_der_and_chain_but_never_the_key(self):
        ca = self.make_ca()
        pem = self.ca("ExportInternalCa", name=ca.name).content
        self.assertEqual(pem.decode(), ca.certificate.pem)
        self.assertNotIn(b"PRIVATE", pem)
        # C-20: LF only, no blank lines.
        self.assertNotIn(b"\r", pem)
        self.assertNotIn(b"\n\n", pem)
        der = self.ca("ExportInternalCa", name=ca.name, format="DER").content
        self.assertEqual(run("openssl", "x509", "-inform", "DER", "-in", self.path("ca.der", der)), pem.decode())
        self.assert_refused("INVALID_ARGUMENT", "DER_HOLDS_ONE_CERTIFICATE", "include_chain", "InternalCaService",
                            "ExportInternalCa", name=ca.name, format="DER", include_chain=True)

    def test_update_changes_what_is_set_and_nothing_else(self):
        ca = self.make_ca()
        other = self.unique("Renamed")
        changed = self.ca("UpdateInternalCa", name=ca.name, display_name=other).internal_ca
        self.assertEqual((changed.display_name, changed.description, changed.enabled), (other, ca.description, True))
        changed = self.ca("UpdateInternalCa", name=ca.name, description="new").internal_ca
        self.assertEqual((changed.display_name, changed.description), (other, "new"))
        changed = self.ca("UpdateInternalCa", name=ca.name, description="").internal_ca
        self.assertEqual((changed.display_name, changed.description), (other, ""))
        self.assertEqual(self.ca("GetInternalCa", name=f"internalCas/{other}").internal_ca, changed)

    def test_a_ca_is_deleted_only_while_nothing_depends_on_it(self):
        root = self.make_ca()
        sub = self.make_ca(parent=root.name, years=7)
        connector = self.make_connector(sub, self.make_plugin())
        self.assertTrue(self.connector("TestConnector", name=connector.name).success)
        text = self.assert_refused("FAILED_PRECONDITION", "CA_IN_USE", "", "InternalCaService", "DeleteInternalCa", name=root.name)
        self.assertIn(sub.display_name, text)
        text = self.assert_refused("FAILED_PRECONDITION", "CA_IN_USE", "", "InternalCaService", "DeleteInternalCa", name=sub.name)
        self.assertIn(connector.display_name, text)
        self.connector("DeleteConnector", name=connector.name)
        # What a connector test left behind is no reason to keep a CA.
        self.ca("DeleteInternalCa", name=sub.name)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "InternalCaService", "GetInternalCa", name=sub.name)
        self.ca("DeleteInternalCa", name=root.name)
        self.assertEqual((self.audited("ca.delete", sub.name), self.audited("ca.delete", root.name)), (1, 1))

    def test_lists_are_paged_by_tokens(self):
        for _ in range(3):
            self.ca("CreateInternalCa", display_name=self.unique("Paged"))
        self.assert_pages("InternalCaService", "ListInternalCas", "internal_cas")

    def test_names_are_checked(self):
        self.assert_names_are_checked("InternalCaService", [
            "GetInternalCa", "UpdateInternalCa", "EnableInternalCa", "DisableInternalCa", "DeleteInternalCa",
            "ExportInternalCa", "GenerateInternalCa"], "internalCas")
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "InternalCaService", "GetInternalCa", name="internalCas/Nobody")

    def test_request_ids_and_validate_only(self):
        rehearsed, first = self.assert_create_is_idempotent(
            "InternalCaService", "CreateInternalCa", "internal_ca", "internal_ca", display_name=self.unique("Once"), enable=True,
            creation=dict(subject="CN=Once", key_algorithm="ecdsa-p256"))
        self.assertEqual(rehearsed.certificate.subject, "CN=Once")
        draft = self.ca("CreateInternalCa", display_name=self.unique("Draft")).internal_ca
        creation = dict(subject="CN=x", key_algorithm="ecdsa-p256")
        self.assertEqual(self.ca("GenerateInternalCa", name=draft.name, creation=creation, validate_only=True).internal_ca.state,
                         CA.ACTIVE)
        self.assertEqual(self.ca("GetInternalCa", name=draft.name).internal_ca.state, CA.DRAFT)

    def test_keys_are_never_stored_in_clear(self):
        self.make_ca()
        for (key,) in self.server.sql("SELECT encode(wrapped_key, 'hex') FROM internal_ca WHERE wrapped_key IS NOT NULL"):
            der = self.path("key.der", bytes.fromhex(key))
            done = os.system(f"openssl pkey -inform DER -in {der} -noout 2>/dev/null")
            self.assertNotEqual(done, 0)

    def test_certificates_can_be_looked_up(self):
        root = self.make_ca()
        sub = self.make_ca(parent=root.name, years=7)
        for serial in (sub.certificate.serial, sub.certificate.serial.upper()):
            found = self.server.call("CertificateService", "ListCertificates", serial=serial).certificates
            self.assertEqual([c.pem for c in found], [sub.certificate.pem])
        got = self.server.call("CertificateService", "GetCertificate", name=found[0].name).certificate
        self.assertEqual(got, found[0])
        service = "CertificateService"
        self.assert_names_are_checked(service, ["GetCertificate"], "certificates")
        self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", "name", service, "GetCertificate", name="certificates/x")
        for serial in ("xyz", "00" * 21):
            self.assert_refused("INVALID_ARGUMENT", "SERIAL", "serial", service, "ListCertificates", serial=serial)
        self.assert_refused("INVALID_ARGUMENT", "MAC", "device", service, "ListCertificates", device="devices/x")
        self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", "device", service, "ListCertificates", device="x")
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "device", service, "ListCertificates", device="devices/00:1A:E8:99:99:99")
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "internal_ca", service, "ListCertificates", internal_ca="internalCas/999999")


class PluginTest(behaviour.BehaviourTest):
    web_port = 8582

    def properties(self, plugin):
        return {p.name: p.value for p in plugin.properties}

    def refused_property(self, reason, name, value, **others):
        properties = [dict(name=name, value=value)] + [dict(name=n, value=v) for n, v in others.items()]
        self.assert_refused("INVALID_ARGUMENT", reason, name, "PluginService", "CreatePlugin", display_name=self.unique("Plug-in"),
                            properties=properties)
        plugin = self.plugin("CreatePlugin", display_name=self.unique("Plug-in")).plugin
        self.assert_refused("INVALID_ARGUMENT", reason, name, "PluginService", "SetPluginProperties", name=plugin.name,
                            set=properties)
        self.assertEqual(self.plugin("GetPlugin", name=plugin.name).plugin, plugin)

    def test_B_020_a_new_plugin_is_saved_disabled(self):
        made = self.plugin("CreatePlugin", display_name=self.unique("Plug-in"), description="d").plugin
        self.assertEqual((made.enabled, made.description, len(made.issuing_cas)), (False, "d", 0))
        self.assertEqual(self.audited("plugin.create", made.name), 1)
        self.assert_display_names_are_checked("PluginService", "CreatePlugin", "UpdatePlugin", made)

    def test_B_021_the_properties_of_the_guide_can_be_set_and_removed(self):
        plugin = self.plugin("CreatePlugin", display_name=self.unique("Plug-in")).plugin
        days, template = "internal.default.validity.days", "internal.x509name.template"
        changed = self.plugin("SetPluginProperties", name=plugin.name, set=[
            dict(name=template, value="CN=?"), dict(name=days, value="1095")]).plugin
        self.assertEqual(self.properties(changed), {days: "1095", template: "CN=?"})
        self.assertEqual([p.name for p in changed.properties], [days, template], "sorted by name")
        changed = self.plugin("SetPluginProperties", name=plugin.name, set=[dict(name=days, value="365")], remove=[template]).plugin
        self.assertEqual(self.properties(changed), {days: "365"})
        rehearsed = self.plugin("SetPluginProperties", name=plugin.name, remove=[days], validate_only=True).plugin
        self.assertEqual(self.properties(rehearsed), {})
        self.assertEqual(self.plugin("GetPlugin", name=plugin.name).plugin, changed)

    def test_B_021_impossible_validity_is_refused(self):
        for value in ("0", "-1", "", "three", "1.5", "36501", "99999999999999999999"):
            with self.subTest(value):
                self.refused_property("VALIDITY_DAYS", "internal.default.validity.days", value)
        self.make_plugin(internal_default_validity_days="1")
        self.make_plugin(internal_default_validity_days="36500")

    def test_B_021_longer_than_the_ca_lives_is_found_by_test(self):
        ca = self.make_ca(years=2)
        connector = self.make_connector(ca, self.make_plugin(internal_default_validity_days="1095"))
        result = self.connector("TestConnector", name=connector.name)
        self.assertEqual((result.success, result.reason), (False, "CA_EXPIRES_FIRST"))
        self.assertIn("longer than its CA", result.message)

    def test_C_05_a_leaf_past_2038_needs_the_property(self):
        ca = self.make_ca(not_after=dict(seconds=LIMIT_2038 + 20 * YEAR), allow_past_2038=True)
        plugin = self.make_plugin(internal_default_validity_days="7000")
        connector = self.make_connector(ca, plugin)
        self.assertEqual(self.connector("TestConnector", name=connector.name).reason, "YEAR_2038")
        self.plugin("SetPluginProperties", name=plugin.name, set=[
            dict(name="internal.validity.allow-past-2038", value="true")])
        result = self.connector("TestConnector", name=connector.name)
        self.assertTrue(result.success, result.message)
        self.assertGreater(result.certificate.not_after.seconds, LIMIT_2038)

    def test_B_021_an_unknown_property_is_kept_and_flagged(self):
        plugin = self.plugin("CreatePlugin", display_name=self.unique("Plug-in"), properties=[
            dict(name="vendor.special", value="x"), dict(name="internal.x509name.template", value="CN=?")]).plugin
        self.assertEqual(list(plugin.unknown_properties), ["vendor.special"])
        self.assertEqual(self.properties(plugin)["vendor.special"], "x")

    def test_B_021_property_names_and_values_have_limits(self):
        for name, value in (("", "x"), ("x" * 201, "x"), ("x", "y" * 4001), ("x", "nul\0")):
            self.assert_refused("INVALID_ARGUMENT", "PROPERTY_VALUE", "properties", "PluginService", "CreatePlugin",
                                display_name=self.unique("Plug-in"), properties=[dict(name=name, value=value)])

    def test_B_022_templates_that_cannot_work_are_refused_at_save(self):
        template = "internal.x509name.template"
        cases = {
            "C=US, CN=phone": "TEMPLATE_WITHOUT_PLACEHOLDER", "C=US, CN={location}": "TEMPLATE_WITHOUT_PLACEHOLDER",
            "CN=?-?": "TEMPLATE_SEVERAL_PLACEHOLDERS", "O=?, CN=x-?": "TEMPLATE_PLACEHOLDER_OUTSIDE_CN",
            "O={mac}, CN=?": "TEMPLATE_PLACEHOLDER_OUTSIDE_CN", "C=US, O=Unify": "TEMPLATE_WITHOUT_CN",
            "CN=?, CN=?": "TEMPLATE_SEVERAL_CNS", "CN={serial}": "TEMPLATE_UNKNOWN_PLACEHOLDER",
            "CN={mac": "TEMPLATE_UNKNOWN_PLACEHOLDER", "CN=mac}?": "TEMPLATE_UNKNOWN_PLACEHOLDER",
            "CN=?" + "x" * 65: "TEMPLATE_TOO_LONG", "": "DN_EMPTY", "?": "DN_MALFORMED", "C=USA, CN=?": "DN_COUNTRY",
        }
        for value, reason in cases.items():
            with self.subTest(value):
                self.refused_property(reason, template, value)

    def test_B_022_text_around_the_placeholder_is_legal(self):
        ca = self.make_ca()
        for template, subject in (("CN=phone-?.site", "CN=phone-192.0.2.1.site"), ("CN=?", "CN=192.0.2.1"),
                                  ("CN={mac}", "CN=00:00:5E:00:53:01"), ("CN={mac-plain-lower}", "CN=00005e005301"),
                                  ("OU={location}, CN={e164}", "OU=Test, CN=0"), ("CN={FQDN}", "CN=connector-test.example"),
                                  ("CN=? {mac}", "CN=192.0.2.1 00:00:5E:00:53:01")):
            with self.subTest(template):
                connector = self.make_connector(ca, self.make_plugin(template))
                result = self.connector("TestConnector", name=connector.name)
                self.assertTrue(result.success, result.message)
                self.assertEqual(result.certificate.subject, subject)

    def test_B_022_a_name_over_64_characters_and_the_cas_own_name_are_found_by_test(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin("CN=" + "x" * 60 + "?"))
        result = self.connector("TestConnector", name=connector.name)
        self.assertEqual((result.success, result.reason), (False, "COMMON_NAME_TOO_LONG"))
        same = self.make_ca(subject="O=Unify, CN=192.0.2.1")
        result = self.connector("TestConnector", name=self.make_connector(same, self.make_plugin("O=Unify, CN=?")).name)
        self.assertEqual((result.success, result.reason), (False, "SUBJECT_EQUALS_CA"))

    def test_B_023_the_source_of_the_placeholder_is_a_property(self):
        ca = self.make_ca()
        for source, cn in ((None, "192.0.2.1"), ("ip", "192.0.2.1"), ("fqdn", "connector-test.example"),
                           ("fqdn-then-ip", "connector-test.example"), ("ip-then-fqdn", "192.0.2.1")):
            with self.subTest(source):
                connector = self.make_connector(ca, self.make_plugin("CN=?", internal_x509name_source=source))
                result = self.connector("TestConnector", name=connector.name)
                self.assertEqual(result.certificate.subject, f"CN={cn}")
        self.refused_property("NAME_SOURCE_UNKNOWN", "internal.x509name.source", "dns")

    def test_B_021_other_properties_are_checked(self):
        self.refused_property("KEY_ALGORITHM_UNKNOWN", "internal.key.algorithm", "rsa512")
        self.refused_property("PROPERTY_VALUE", "internal.key.allow-legacy", "yes")
        self.refused_property("PROPERTY_VALUE", "internal.validity.allow-past-2038", "1")
        self.refused_property("KEY_TOO_WEAK", "internal.key.algorithm", "rsa1024")
        self.refused_property("KEY_TOO_WEAK", "internal.key.algorithm", "rsa1024", **{"internal.key.allow-legacy": "false"})
        connector = self.make_connector(self.make_ca(), self.make_plugin(
            internal_key_algorithm="rsa1024", internal_key_allow__legacy="true"))
        self.assertEqual(self.connector("TestConnector", name=connector.name).certificate.key_algorithm, "rsa1024")

    def test_B_024_synchronise_takes_enabled_cas_and_reports_the_others(self):
        on, off = self.make_ca(), self.make_ca(enable=False)
        plugin = self.plugin("CreatePlugin", display_name=self.unique("Plug-in"), properties=[
            dict(name="internal.x509name.template", value="CN=?"),
            dict(name="internal.key.algorithm", value="ecdsa-p256")]).plugin
        answer = self.plugin("SynchronizePlugin", name=plugin.name)
        self.assertIn(on.display_name, answer.added)
        states = {ca.internal_ca: ca.state for ca in answer.plugin.issuing_cas}
        self.assertEqual(states[on.name], harness.plugin.IssuingCa.AVAILABLE)
        self.assertNotIn(off.name, states)
        self.assertEqual(list(self.plugin("SynchronizePlugin", name=plugin.name).added), [], "nothing new")

        # Used by a connector and disabled: reported, not dropped.
        connector = self.make_connector(on, plugin, enable=False)
        self.ca("DisableInternalCa", name=on.name)
        answer = self.plugin("SynchronizePlugin", name=plugin.name)
        self.assertEqual(list(answer.missing), [on.display_name])
        states = {ca.internal_ca: ca.state for ca in answer.plugin.issuing_cas}
        self.assertEqual(states[on.name], harness.plugin.IssuingCa.DISABLED)

        # Without a user it goes; deleted, it is shown as such until the next Synchronise.
        self.connector("DeleteConnector", name=connector.name)
        self.ca("DeleteInternalCa", name=on.name)
        shown = {ca.internal_ca: (ca.display_name, ca.state) for ca in self.plugin("GetPlugin", name=plugin.name).plugin.issuing_cas}
        self.assertEqual(shown[on.name], (on.display_name, harness.plugin.IssuingCa.DELETED))
        answer = self.plugin("SynchronizePlugin", name=plugin.name)
        self.assertNotIn(on.name, [ca.internal_ca for ca in answer.plugin.issuing_cas])

    def test_B_025_enabling_needs_a_template_and_keeps_it(self):
        template = "internal.x509name.template"
        plugin = self.plugin("CreatePlugin", display_name=self.unique("Plug-in")).plugin
        self.assert_refused("FAILED_PRECONDITION", "TEMPLATE_MISSING", template, "PluginService", "EnablePlugin", name=plugin.name)
        self.assert_refused("FAILED_PRECONDITION", "TEMPLATE_MISSING", template, "PluginService", "CreatePlugin",
                            display_name=self.unique("Plug-in"), enable=True)
        self.plugin("SetPluginProperties", name=plugin.name, set=[dict(name=template, value="CN=?")])
        self.assertTrue(self.plugin("EnablePlugin", name=plugin.name).plugin.enabled)
        self.assert_refused("FAILED_PRECONDITION", "TEMPLATE_MISSING", template, "PluginService", "SetPluginProperties",
                            name=plugin.name, remove=[template])
        self.assertFalse(self.plugin("DisablePlugin", name=plugin.name).plugin.enabled)

    def test_B_003_disabling_and_deleting_a_plugin_in_use_is_reported(self):
        plugin = self.make_plugin()
        connector = self.make_connector(self.make_ca_and_sync(plugin), plugin)
        for method in ("DisablePlugin", "DeletePlugin"):
            text = self.assert_refused("FAILED_PRECONDITION", "PLUGIN_IN_USE", "", "PluginService", method, name=plugin.name)
            self.assertIn(connector.display_name, text)
        answer = self.plugin("DisablePlugin", name=plugin.name, force=True)
        self.assertEqual(list(answer.affected_connectors), [connector.display_name])
        self.connector("DeleteConnector", name=connector.name)
        self.plugin("DeletePlugin", name=plugin.name)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "PluginService", "GetPlugin", name=plugin.name)

    def make_ca_and_sync(self, plugin):
        ca = self.make_ca()
        self.plugin("SynchronizePlugin", name=plugin.name)
        return ca

    def test_conventions(self):
        for _ in range(3):
            self.plugin("CreatePlugin", display_name=self.unique("Paged"))
        self.assert_pages("PluginService", "ListPlugins", "plugins")
        self.assert_names_are_checked("PluginService", [
            "GetPlugin", "UpdatePlugin", "SetPluginProperties", "SynchronizePlugin", "EnablePlugin", "DisablePlugin",
            "DeletePlugin"], "plugins")
        self.assert_create_is_idempotent("PluginService", "CreatePlugin", "plugin", "plugin",
                                         display_name=self.unique("Once"), synchronize=True, enable=True,
                                         properties=[dict(name="internal.x509name.template", value="CN=?")])
        plugin = self.make_plugin()
        changed = self.plugin("UpdatePlugin", name=plugin.name, description="new").plugin
        self.assertEqual((changed.display_name, changed.description, changed.enabled, len(changed.properties)),
                         (plugin.display_name, "new", True, len(plugin.properties)))


class ConnectorTest(behaviour.BehaviourTest):
    web_port = 8583

    def test_B_030_a_new_connector_is_saved_disabled(self):
        made = self.connector("CreateConnector", display_name=self.unique("Connector"), description="d").connector
        self.assertEqual((made.enabled, made.plugin, made.issuing_ca, made.HasField("trust_anchor")), (False, "", "", False))
        self.assertEqual(self.audited("connector.create", made.name), 1)
        self.assert_display_names_are_checked("ConnectorService", "CreateConnector", "UpdateConnector", made)

    def test_B_036_step_by_step_as_in_the_guide(self):
        ca = self.make_ca()
        plugin = self.make_plugin()
        made = self.connector("CreateConnector", display_name=self.unique("Connector")).connector

        def incomplete(what):
            text = self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_INCOMPLETE", "", "ConnectorService", "EnableConnector",
                                       name=made.name)
            self.assertIn(what, text)
        incomplete("plug-in")
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_INCOMPLETE", "", "ConnectorService", "UpdateConnector",
                            name=made.name, issuing_ca=ca.name)
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_INCOMPLETE", "", "ConnectorService", "ImportTrustAnchor",
                            name=made.name)
        result = self.connector("TestConnector", name=made.name)
        self.assertEqual((result.success, result.reason), (False, "CONNECTOR_INCOMPLETE"))
        changed = self.connector("UpdateConnector", name=made.name, plugin=plugin.name).connector
        self.assertEqual((changed.plugin, changed.plugin_display_name), (plugin.name, plugin.display_name))
        incomplete("issuing CA")
        changed = self.connector("UpdateConnector", name=made.name, issuing_ca=f"internalCas/{ca.display_name}").connector
        self.assertEqual((changed.issuing_ca, changed.issuing_ca_display_name), (ca.name, ca.display_name))
        incomplete("trust anchor")
        changed = self.connector("ImportTrustAnchor", name=made.name).connector
        self.assertEqual(changed.trust_anchor, ca.certificate)
        self.assertTrue(self.connector("TestConnector", name=made.name).success, "Test works before Enable")
        self.assertTrue(self.connector("EnableConnector", name=made.name).connector.enabled)
        self.assertFalse(self.connector("DisableConnector", name=made.name).connector.enabled)

    def test_B_032_a_ca_is_offered_only_after_synchronise(self):
        plugin = self.make_plugin()
        late = self.make_ca()
        made = self.connector("CreateConnector", display_name=self.unique("Connector"), plugin=plugin.name).connector
        text = self.assert_refused("INVALID_ARGUMENT", "ISSUING_CA_NOT_SYNCHRONIZED", "issuing_ca", "ConnectorService",
                                   "UpdateConnector", name=made.name, issuing_ca=late.name)
        self.assertIn("synchronise", text)
        self.plugin("SynchronizePlugin", name=plugin.name)
        self.connector("UpdateConnector", name=made.name, issuing_ca=late.name)

    def test_B_032_another_plugin_clears_the_ca_and_the_anchor(self):
        ca = self.make_ca()
        first, second = self.make_plugin(), self.make_plugin()
        connector = self.make_connector(ca, first)
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_ENABLED", "", "ConnectorService", "UpdateConnector",
                            name=connector.name, plugin=second.name)
        other = self.make_ca()
        self.plugin("SynchronizePlugin", name=first.name)
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_ENABLED", "", "ConnectorService", "UpdateConnector",
                            name=connector.name, issuing_ca=other.name)
        self.connector("DisableConnector", name=connector.name)
        changed = self.connector("UpdateConnector", name=connector.name, issuing_ca=other.name).connector
        self.assertFalse(changed.HasField("trust_anchor"), "the anchor of another CA is no anchor")
        self.connector("ImportTrustAnchor", name=connector.name)
        changed = self.connector("UpdateConnector", name=connector.name, plugin=first.name).connector
        self.assertEqual(changed.issuing_ca, other.name, "the same plug-in changes nothing")
        changed = self.connector("UpdateConnector", name=connector.name, plugin=second.name).connector
        self.assertEqual((changed.plugin, changed.issuing_ca, changed.HasField("trust_anchor")), (second.name, "", False))

    def test_B_031_what_does_not_exist_cannot_be_selected(self):
        made = self.connector("CreateConnector", display_name=self.unique("Connector"), plugin=self.make_plugin().name).connector
        for field, collection in (("plugin", "plugins"), ("issuing_ca", "internalCas")):
            for name in (f"{collection}/999999", f"{collection}/Nobody"):
                self.assert_refused("NOT_FOUND", "NOT_FOUND", field, "ConnectorService", "UpdateConnector", name=made.name,
                                    **{field: name})
            self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", field, "ConnectorService", "UpdateConnector",
                                name=made.name, **{field: "x"})

    def test_B_033_the_trust_anchor_of_a_subordinate_is_the_root(self):
        root = self.make_ca()
        sub = self.make_ca(parent=root.name, years=7)
        connector = self.make_connector(sub, self.make_plugin())
        self.assertEqual(connector.trust_anchor, root.certificate)
        self.assertTrue(self.connector("TestConnector", name=connector.name).success)

    def test_B_034_request_parameters_override_the_plugins_properties(self):
        ca, plugin = self.make_ca(), self.make_plugin("CN=?", internal_default_validity_days="1095")
        connector = self.make_connector(ca, plugin, request_parameters=[
            dict(name="internal.default.validity.days", value="30"), dict(name="internal.x509name.template", value="OU=x, CN=?")])
        tested = self.connector("TestConnector", name=connector.name).certificate
        self.assertEqual(tested.not_after.seconds - tested.not_before.seconds, 30 * 86400)
        self.assertEqual(tested.subject, "OU=x, CN=192.0.2.1")
        changed = self.connector("UpdateConnector", name=connector.name, remove_request_parameters=[
            "internal.x509name.template"], set_request_parameters=[dict(name="internal.default.validity.days", value="60")]).connector
        self.assertEqual([(p.name, p.value) for p in changed.request_parameters], [("internal.default.validity.days", "60")])
        self.assertTrue(changed.enabled)
        tested = self.connector("TestConnector", name=connector.name).certificate
        self.assertEqual(tested.subject, "CN=192.0.2.1")
        for name, value, reason in (("internal.default.validity.days", "0", "VALIDITY_DAYS"),
                                    ("internal.x509name.template", "CN=x", "TEMPLATE_WITHOUT_PLACEHOLDER"),
                                    ("internal.key.algorithm", "rsa1024", "KEY_TOO_WEAK")):
            self.assert_refused("INVALID_ARGUMENT", reason, name, "ConnectorService", "UpdateConnector", name=connector.name,
                                set_request_parameters=[dict(name=name, value=value)])
            self.assert_refused("INVALID_ARGUMENT", reason, name, "ConnectorService", "CreateConnector",
                                display_name=self.unique("Connector"), request_parameters=[dict(name=name, value=value)])

    def test_B_035_test_is_end_to_end_audited_and_leaves_nothing_deployable(self):
        ca = self.make_ca(key_algorithm="rsa2048")
        connector = self.make_connector(ca, self.make_plugin(internal_key_algorithm="rsa2048"), enable=False)
        for _ in range(2):  # the subject is not used up
            result = self.connector("TestConnector", name=connector.name)
            self.assertTrue(result.success, result.message)
        self.assertEqual(result.certificate.subject, "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=192.0.2.1")
        self.assertEqual(result.certificate.issuer, ca.certificate.subject)
        self.assertEqual((result.certificate.pem, result.certificate.key_algorithm), ("", "rsa2048"))
        self.assertGreater(result.duration_micros, 0)
        self.assertEqual((self.audited("connector.test", connector.name), self.audited("key.use", ca.name)), (2, 2))
        self.assertEqual((self.count("subject_claim"), self.count("certificate_key")), (0, 0))
        kept = self.server.call("CertificateService", "ListCertificates", internal_ca=ca.name).certificates
        self.assertEqual({(c.state, c.pem) for c in kept}, {(harness.certificate.Certificate.DISCARDED, "")})
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "ConnectorService", "TestConnector", name="connectors/Nobody")

    def test_B_001_several_pkis_at_once(self):
        made = [(self.make_ca(), self.make_plugin(f"OU=pki{i}, CN=?")) for i in range(2)]
        for _, plugin in made:
            self.plugin("SynchronizePlugin", name=plugin.name)
        for i, (ca, plugin) in enumerate(made):
            result = self.connector("TestConnector", name=self.make_connector(ca, plugin).name)
            self.assertEqual((result.certificate.issuer, result.certificate.subject),
                             (ca.certificate.subject, f"OU=pki{i}, CN=192.0.2.1"))

    def test_conventions(self):
        for _ in range(3):
            self.connector("CreateConnector", display_name=self.unique("Paged"))
        self.assert_pages("ConnectorService", "ListConnectors", "connectors")
        self.assert_names_are_checked("ConnectorService", [
            "GetConnector", "UpdateConnector", "ImportTrustAnchor", "TestConnector", "EnableConnector", "DisableConnector",
            "DeleteConnector"], "connectors")
        ca, plugin = self.make_ca(), self.make_plugin()
        self.assert_create_is_idempotent("ConnectorService", "CreateConnector", "connector", "connector",
                                         display_name=self.unique("Once"), plugin=plugin.name, issuing_ca=ca.name,
                                         import_trust_anchor=True, enable=True)
        connector = self.make_connector(ca, plugin)
        changed = self.connector("UpdateConnector", name=connector.name, description="new").connector
        connector.description = "new"
        self.assertEqual(changed, connector)


if __name__ == "__main__":
    unittest.main(verbosity=2)
