"""Secure mode (B-060 to B-069).

Administration: credentials, PINs, protocol and events, through the API of a real server.
"""

import html
import re
import socket
import subprocess
import unittest

import behaviour
import harness
from behaviour import certtool_text, extension, openssl_text, run

Credential = harness.security.SecureCredential
SERVICE = "SecurityService"


class AdministrationTest(behaviour.BehaviourTest):
    web_port = 8587

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls().make_ca()
        cls.plugin_made = cls().make_plugin()
        cls.doors = cls().make_connector(cls.root, cls.plugin_made)

    def setUp(self):
        super().setUp()
        self.server.sql("DELETE FROM secure_credential; DELETE FROM security_pin")

    def security(self, method, **request):
        return self.server.call(SERVICE, method, **request)

    def create(self, kind, connector=None, **fields):
        return self.security("CreateCredential", kind=kind, connector=(connector or self.doors).name, **fields).credential

    def another_pki(self, **fields):
        ca = self.make_ca(**fields)
        return ca, self.make_connector(ca, self.make_plugin())

    def phones(self, *rows, state=None):
        """A location with phones (mac suffix, e164)."""
        place = self.location("CreateLocation", display_name=self.unique("Place <&>"), rules=[
            dict(kind="DEVICE", value=self.mac(suffix)) for suffix, _ in rows]).location
        csv = "mac,e164\n" + "".join(f"{self.mac(suffix)},{e164}\n" for suffix, e164 in rows)
        self.assertEqual(self.device("ImportDevices", csv=csv.encode()).failed, 0)
        if state:
            self.server.sql(f"UPDATE device SET security_state = '{state}' WHERE location_id = {place.name[10:]}")
        return place

    @staticmethod
    def mac(suffix):
        return f"00:1A:E8:5E:{suffix // 256:02X}:{suffix % 256:02X}"

    def name(self, suffix):
        return f"devices/{self.mac(suffix)}"

    # ---- credentials

    def test_B061_a_server_credential_comes_from_a_connector_and_the_first_is_active(self):
        before = self.audited("key.use", self.root.name)
        made = self.create("SERVER", server_names=["PKI.example.net", "10.1.0.5", "2001:db8::5", "10.1.0.5"])
        self.assertEqual((made.kind, made.active, made.connector), (Credential.SERVER, True, self.doors.name))
        self.assertEqual(list(made.dns_names), ["pki.example.net"])
        self.assertEqual(list(made.ip_addresses), ["10.1.0.5", "2001:db8::5"])
        text = openssl_text(made.certificate.pem)
        certtool_text(made.certificate.pem)
        self.assertIn("CN=PKI.example.net,OU=Sales,O=Unify", text)
        self.assertEqual(extension(text, "Extended Key Usage"), (False, ["TLS Web Server Authentication"]))
        self.assertEqual(extension(text, "Subject Alternative Name")[1],
                         ["DNS:pki.example.net, IP Address:10.1.0.5, IP Address:2001:DB8:0:0:0:0:0:5"])
        root = self.path("root.pem", made.root.pem)
        for check in (["-verify_hostname", "pki.example.net"], ["-verify_ip", "2001:db8::5"]):
            run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", *check, "-CAfile", root,
                self.path("leaf.pem", made.certificate.pem))
        self.assertEqual(made.root.pem, self.root.certificate.pem)
        self.assertEqual(self.audited("key.use", self.root.name), before + 1, "the intent is on record")
        self.assertEqual(self.audited("secure_credential.create", made.name), 1)
        [[kind, state]] = self.server.sql("SELECT c.kind, c.state FROM secure_credential s JOIN certificate c"
                                          " ON c.id = s.certificate_id")
        self.assertEqual((kind, state), ("tls-server", "issued"))
        second = self.create("SERVER", server_names=["b.example.net"])
        self.assertFalse(second.active)
        activated = self.security("ActivateCredential", name=second.name).credential
        self.assertTrue(activated.active)
        self.assertEqual(activated.certificate.serial, second.certificate.serial)

    def test_B061_without_names_the_certificate_names_this_host(self):
        made = self.create("SERVER")
        self.assertGreaterEqual(len(made.dns_names) + len(made.ip_addresses), 1)
        self.assertIn("127.0.0.1", made.ip_addresses, "where the secure door of this test listens")
        self.assertNotIn("::1", made.ip_addresses)
        host = socket.gethostname().lower()
        if re.fullmatch(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*", host) and host != "localhost":
            self.assertIn(host, made.dns_names)

    def test_B061_the_certificate_names_the_server_addresses_of_locations(self):
        for name in ("10.9.8.7", "fd00::7", "dls.example.net", "10.9.8.7"):
            made = self.location("CreateLocation", display_name=self.unique("Location"), server_address=name).location
            self.addCleanup(self.location, "DeleteLocation", name=made.name)
        made = self.create("SERVER")
        self.assertLessEqual({"10.9.8.7", "fd00::7", "127.0.0.1"}, set(made.ip_addresses))
        self.assertEqual(list(made.ip_addresses).count("10.9.8.7"), 1)
        self.assertIn("dls.example.net", made.dns_names)
        self.assertEqual(list(self.create("SERVER", server_names=["a.example.net"]).ip_addresses), [])

    def test_B061_configured_names(self):
        server = harness.Server(self.web_port, extra=["--secure-server-names", "phones.example.net,10.9.9.9"])
        self.addCleanup(server.close)
        server.make_pki()
        made = server.call(SERVICE, "CreateCredential", kind="SERVER", connector="connectors/Lab connector").credential
        self.assertEqual((list(made.dns_names), list(made.ip_addresses)), (["phones.example.net"], ["10.9.9.9"]))

    def test_B061_a_subordinate_issues_with_its_chain(self):
        top = self.make_ca()
        middle = self.make_ca(parent=top.name, years=7)
        made = self.create("SERVER", self.make_connector(middle, self.make_plugin()), server_names=["a.example.net"])
        self.assertEqual(made.issuing_ca.pem, middle.certificate.pem)
        self.assertEqual(made.root.pem, top.certificate.pem)

    def test_B061_a_request_that_is_repeated_makes_one_credential(self):
        request = dict(server_names=["a.example.net"], request_id="once-and-for-all")
        first = self.create("SERVER", **request)
        self.assertEqual(self.create("SERVER", **request), first)
        self.assertEqual(self.count("secure_credential"), 1)

    def test_B061_a_rehearsal_makes_nothing_and_uses_no_key(self):
        before = self.count("certificate"), self.count("audit_log")
        for kind in ("SERVER", "CLIENT"):
            made = self.create(kind, validate_only=True)
            self.assertEqual((made.name, made.HasField("certificate")), ("", False))
        self.assertEqual((self.count("certificate"), self.count("audit_log")), before)
        self.assertEqual(self.count("secure_credential"), 0)

    def test_B061_refusals(self):
        def refused(code, reason, field, **fields):
            request = dict(kind="SERVER", connector=self.doors.name, server_names=["a.example.net"])
            self.assert_refused(code, reason, field, SERVICE, "CreateCredential", **{**request, **fields})
        refused("INVALID_ARGUMENT", "CREDENTIAL_KIND", "kind", kind=0)
        refused("NOT_FOUND", "NOT_FOUND", "connector", connector="connectors/Nobody")
        refused("INVALID_ARGUMENT", "RESOURCE_NAME", "connector", connector="")
        refused("INVALID_ARGUMENT", "SERVER_NAMES_NOT_FOR_CLIENT", "server_names", kind="CLIENT")
        for wrong in ("*.example.net", "a b", "", "10.1.0.256", "x" * 300):
            refused("INVALID_ARGUMENT", "SAN_INVALID", "server_names", server_names=[wrong])
        off = self.make_connector(self.root, self.plugin_made, enable=False)
        for kind, names in (("SERVER", ["a.example.net"]), ("CLIENT", [])):
            refused("FAILED_PRECONDITION", "CONNECTOR_DISABLED", "", connector=off.name, kind=kind, server_names=names)
        self.assertEqual(self.count("secure_credential"), 0)

    def test_B062_a_client_credential_is_a_choice_of_connector(self):
        made = self.create("CLIENT")
        self.assertEqual((made.kind, made.active, made.HasField("certificate")), (Credential.CLIENT, True, False))
        self.assertEqual(made.root.pem, self.root.certificate.pem)
        server = self.create("SERVER", server_names=["a.example.net"])
        self.assertTrue(server.active, "one active of each kind")
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_IN_USE", "", "ConnectorService", "DeleteConnector",
                            name=self.doors.name)

    def test_B063_the_last_and_the_active_credential_cannot_be_deleted(self):
        for kind in ("SERVER", "CLIENT"):
            with self.subTest(kind):
                names = dict(server_names=["a.example.net"]) if kind == "SERVER" else {}
                first = self.create(kind, **names)

                def refused(reason, credential):
                    self.assert_refused("FAILED_PRECONDITION", reason, "", SERVICE, "DeleteCredential",
                                        name=credential.name, force=True)
                refused("CREDENTIAL_LAST", first)
                second = self.create(kind, **names)
                refused("CREDENTIAL_ACTIVE", first)
                self.security("ActivateCredential", name=second.name)
                refused("CREDENTIAL_ACTIVE", second)
                self.security("DeleteCredential", name=first.name)
                refused("CREDENTIAL_LAST", second)
                self.assertEqual(self.audited("secure_credential.delete", first.name), 1)
        for method in ("ActivateCredential", "DeleteCredential"):
            self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", SERVICE, method, name="secureCredentials/999999")
            self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", "name", SERVICE, method, name="credentials/1")

    def test_B063_a_client_credential_that_phones_live_on_goes_only_by_force(self):
        old_ca, old = self.another_pki()
        _, new = self.another_pki()
        first, second = self.create("CLIENT", old), self.create("CLIENT", new)
        self.security("ActivateCredential", name=second.name)
        self.phones((1, "1"), state="secure")
        self.server.sql(
            "INSERT INTO certificate (ca_id, serial, kind, state, subject, not_before, not_after, tbs_digest, der, sha256,"
            f" device_id, slot) SELECT {old_ca.name.split('/')[1]}, '\\x01', 'tls-client', 'active', 'CN=phone', now(),"
            " now() + interval '1 year', '\\x00', '\\x30', '\\x00', id, 'secure-mode' FROM device"
            f" WHERE mac = '{self.mac(1)}'")
        text = self.assert_refused("FAILED_PRECONDITION", "CREDENTIAL_IN_USE", "", SERVICE, "DeleteCredential",
                                   name=first.name)
        self.assertIn("1 phones", text)
        twin = self.create("CLIENT", old)
        self.security("DeleteCredential", name=twin.name)  # the other one of that CA still vouches for them
        self.security("DeleteCredential", name=first.name, force=True)

    def test_B064_credentials_coexist_one_is_active(self):
        made = [self.create("SERVER", server_names=[f"{letter}.example.net"]) for letter in "abc"]
        made.append(self.create("CLIENT"))
        self.security("ActivateCredential", name=made[1].name)
        listed = self.security("ListCredentials").credentials
        self.assertEqual([c.name for c in listed], [c.name for c in reversed(made)])
        self.assertEqual([c.active for c in listed], [True, False, True, False])
        self.assertEqual(len(self.security("ListCredentials", kind="CLIENT").credentials), 1)
        self.assert_pages(SERVICE, "ListCredentials", "credentials")

    # ---- PINs

    def test_B065_one_default_pin_generated_by_the_server(self):
        policy = self.security("GetPinPolicy")
        self.assertEqual((policy.generated_length, policy.alphabet, policy.lifetime_seconds), (8, "digits", 30 * 86400))
        shown = self.security("ViewDefaultPin").pin
        self.assertRegex(shown.pin, r"^[0-9]{8}$")
        self.assertFalse(shown.HasField("expire_time"))
        self.assertEqual(self.security("ViewDefaultPin").pin, shown, "it is shared, and may be looked up again")
        rotated = self.security("RotateDefaultPin").pin
        self.assertNotEqual(rotated.pin, shown.pin)
        self.assertEqual(self.security("ViewDefaultPin").pin, rotated)
        self.assertEqual(self.security("RotateDefaultPin", pin="90210773").pin.pin, "90210773")
        self.assertEqual(self.security("ViewDefaultPin").pin.pin, "90210773")
        for pin, reason in (("123", "PIN_LENGTH"), ("12345678", "PIN_TRIVIAL"), ("9021077x", "PIN_ALPHABET")):
            text = self.assert_refused("INVALID_ARGUMENT", reason, "pin", SERVICE, "RotateDefaultPin", pin=pin)
            self.assertNotIn(pin, text.replace("such as 1234", ""))
        self.assertGreaterEqual(self.audited("pin.view", "securityPins/default"), 4)
        self.assertEqual(self.count("security_pin"), 1)
        self.assert_nowhere("90210773")

    def assert_nowhere(self, pin):
        """Neither in the log nor in the database as it is."""
        self.assertNotIn(pin, self.server.log_text())
        dump = subprocess.run(["pg_dump", "--data-only", "-t", "security_pin", "-t", "audit_log", "-t", "api_request",
                               self.server.database_url()], check=True, capture_output=True, text=True).stdout
        self.assertNotIn(pin, dump)
        self.assertNotIn(pin.encode().hex(), dump)

    def test_B065_an_individual_pin_is_shown_once(self):
        self.phones((2, "2"))
        shown = self.security("ViewDevicePin", device=self.name(2)).pin
        self.assertRegex(shown.pin, r"^[0-9]{8}$")
        self.assertAlmostEqual(shown.expire_time.seconds, behaviour.at(30 * 86400)["seconds"], delta=60)
        for _ in range(2):
            self.assert_refused("FAILED_PRECONDITION", "PIN_ALREADY_VIEWED", "", SERVICE, "ViewDevicePin",
                                device=self.name(2))
        again = self.security("RegenerateDevicePin", device=self.name(2)).pin
        self.assertNotEqual(again.pin, shown.pin)
        self.assert_refused("FAILED_PRECONDITION", "PIN_ALREADY_VIEWED", "", SERVICE, "ViewDevicePin", device=self.name(2))
        self.assertEqual(self.security("RegenerateDevicePin", device=self.name(2), pin="48151623").pin.pin, "48151623")
        self.assertNotEqual(self.security("ViewDefaultPin").pin.pin, "48151623")
        self.assert_nowhere("48151623")
        for method in ("ViewDevicePin", "RegenerateDevicePin"):
            self.assert_refused("NOT_FOUND", "NOT_FOUND", "device", SERVICE, method, device="devices/00:1A:E8:5E:FF:FF")
            self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", "device", SERVICE, method, device="x")

    def test_B065_an_expired_pin_gives_way_to_a_new_one(self):
        self.phones((3, "3"))
        first = self.security("ViewDevicePin", device=self.name(3)).pin.pin
        self.server.sql("UPDATE security_pin SET expires_at = now()")
        self.assertNotEqual(self.security("ViewDevicePin", device=self.name(3)).pin.pin, first)

    def test_B065_a_printed_list_shows_each_pin_of_a_location_once(self):
        place = self.phones((16, "4916"), (17, "4917"), (18, "4918"), (19, "4919"))
        self.phones((32, "4932"))
        self.server.sql(f"UPDATE device SET security_state = 'secure' WHERE mac = '{self.mac(19)}'")
        seen = self.security("ViewDevicePin", device=self.name(18)).pin.pin
        printed = self.security("PrintPins", location=f"locations/{place.display_name}")
        self.assertEqual((printed.printed, printed.already_viewed), (2, 1))
        rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td(?: class=\"pin\")?>(.*?)</td></tr>", printed.html)
        self.assertEqual([row[0] for row in rows], [self.mac(16), self.mac(17), self.mac(18)])
        self.assertEqual(html.unescape(rows[1][1]), "4917")
        self.assertRegex(rows[0][2], r"^[0-9]{8}$")
        self.assertNotEqual(rows[0][2], rows[1][2])
        self.assertEqual(rows[2][2], "shown before")
        self.assertNotIn(seen, printed.html)
        self.assertIn(html.escape(place.display_name), printed.html)
        self.assertNotIn(place.display_name, printed.html)
        again = self.security("PrintPins", location=place.name)
        self.assertEqual((again.printed, again.already_viewed), (0, 3))
        self.assert_refused("FAILED_PRECONDITION", "PIN_ALREADY_VIEWED", "", SERVICE, "ViewDevicePin", device=self.name(16))
        self.assertEqual(self.audited("pin.print", place.name), 2)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "location", SERVICE, "PrintPins", location="locations/Nowhere")
        self.assert_nowhere(rows[0][2])

    # ---- states and events

    def test_B067_the_protocol_of_a_phone(self):
        self.phones((64, "64"))
        self.assertEqual(len(self.security("ListSecurityStates", device=self.name(64)).events), 0)
        self.server.sql(
            "INSERT INTO security_state_event (device_id, state, text) SELECT id, s, s || ' it is' FROM device,"
            " unnest(ARRAY['enrolling', 'awaiting_pin', 'secure']) WITH ORDINALITY AS x (s, n)"
            f" WHERE mac = '{self.mac(64)}' ORDER BY n")
        events = self.security("ListSecurityStates", device=self.name(64)).events
        self.assertEqual([event.state for event in events],
                         [harness.security.SECURE, harness.security.AWAITING_PIN, harness.security.ENROLLING])
        self.assertEqual(events[1].text, "awaiting_pin it is")
        page = self.security("ListSecurityStates", device=self.name(64), page_size=2)
        self.assertEqual(list(page.events), list(events[:2]))
        rest = self.security("ListSecurityStates", device=self.name(64), page_size=2, page_token=page.next_page_token)
        self.assertEqual((list(rest.events), rest.next_page_token), (list(events[2:]), ""))
        self.assert_refused("INVALID_ARGUMENT", "PAGE_TOKEN", "page_token", SERVICE, "ListSecurityEvents",
                            page_token=page.next_page_token)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "device", SERVICE, "ListSecurityStates",
                            device="devices/00:1A:E8:5E:FF:FF")

    def test_events_at_the_doors_are_listed_by_claimed_mac_or_all(self):
        self.server.sql("INSERT INTO security_event (kind, door, address, mac, detail) VALUES"
                        " ('CERTIFICATE_UNKNOWN', 'secure', '10.0.0.1', '', ''),"
                        f" ('MAC_MISMATCH', 'secure', '10.0.0.2', '{self.mac(65)}', 'not its own')")
        events = self.security("ListSecurityEvents").events
        self.assertEqual([event.kind for event in events[:2]], ["MAC_MISMATCH", "CERTIFICATE_UNKNOWN"])
        [event] = self.security("ListSecurityEvents", device=self.name(65)).events
        self.assertEqual((event.door, event.address, event.mac, event.detail),
                         ("secure", "10.0.0.2", self.mac(65), "not its own"))

    def test_B069_phones_outside_default_mode_are_listed_by_state(self):
        stranded = self.phones((80, "80"), (81, "81"), state="desynchronised")
        self.phones((82, "82"), state="awaiting_pin")
        self.phones((83, "83"))

        def macs(**filters):
            devices = self.security("ListSecureDevices", **filters).devices
            return [d.device for d in devices if d.device in map(self.name, range(80, 84))]
        self.assertEqual(macs(), [self.name(82), self.name(80), self.name(81)])
        self.assertEqual(macs(state="DESYNCHRONISED"), [self.name(80), self.name(81)])
        [first] = self.security("ListSecureDevices", state="DESYNCHRONISED", page_size=1).devices
        self.assertEqual((first.location_display_name, first.e164), (stranded.display_name, "80"))
        paged, token = [], None
        while token != "":
            page = self.security("ListSecureDevices", page_size=1, page_token=token or "")
            paged += [d.device for d in page.devices]
            token = page.next_page_token
        self.assertEqual(paged, [d.device for d in self.security("ListSecureDevices").devices])
        self.assert_refused("INVALID_ARGUMENT", "SECURITY_STATE", "state", SERVICE, "ListSecureDevices", state="DEFAULT")
        self.assert_refused("INVALID_ARGUMENT", "PAGE_TOKEN", "page_token", SERVICE, "ListSecureDevices", page_token="x")


if __name__ == "__main__":
    unittest.main(verbosity=2)
