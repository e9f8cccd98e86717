"""Hostile and broken input at the phone door and the API: an answer the protocol knows, and no effect on anybody."""

import socket
import ssl
import time
import unittest

import harness

ENVELOPE = ('<?xml version="1.0" encoding="UTF-8"?><WorkpointMessage xmlns="http://www.siemens.com/DLS">'
            '<Message nonce="{nonce}"><ReasonForContact{attributes}>{reason}</ReasonForContact>'
            '<ItemList>{items}</ItemList></Message></WorkpointMessage>')


def message(reason="start-up", mac="00:1A:E8:FF:00:01", nonce="AB12", attributes="", items=""):
    if mac is not None:
        items += f'<Item name="mac-addr">{mac}</Item>'
    return ENVELOPE.format(nonce=nonce, reason=reason, attributes=attributes, items=items)


class BadInputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(web_port=8573, extra=[
            "--phone-handshake-timeout", "1s", "--phone-header-timeout", "1s", "--phone-body-timeout", "1s"])
        cls.context = ssl.create_default_context()
        cls.context.check_hostname = False
        cls.context.verify_mode = ssl.CERT_NONE

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.server.phone), timeout=20)
        return self.context.wrap_socket(raw)

    def exchange(self, body, headers="", path="/DeploymentService/LoginService", method="POST"):
        if isinstance(body, str):
            body = body.encode()
        with self.connect() as door:
            request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
            try:
                door.sendall(request.encode() + body)
            except OSError:
                pass  # the door may close on us before all is sent
            answer = b""
            try:
                while chunk := door.recv(65536):
                    answer += chunk
            except OSError:
                pass
        return answer.decode(errors="replace")

    def devices(self):
        return self.server.sql("SELECT count(*) FROM device")[0][0]

    def assert_clean_up(self, answer, nonce=None):
        self.assertIn("HTTP/1.1 200 OK", answer)
        self.assertIn("<Action>CleanUp</Action>", answer)
        if nonce is not None:
            self.assertIn(f'nonce="{nonce}"', answer)

    def test_what_is_no_message_gets_a_clean_up_and_registers_nobody(self):
        before = self.devices()
        cases = {
            "not XML": "hello",
            "malformed": "<WorkpointMessage><Message nonce='1'>",
            "wrong root": '<Foo><Message nonce="AB12"><ReasonForContact>start-up</ReasonForContact></Message></Foo>',
            "document type": '<!DOCTYPE x [<!ENTITY a "b">]>' + message(),
            "entity bomb": '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + message(items='<Item name="x">&b;</Item>'),
            "unknown reason": message(reason="take-over"),
            "no MAC": message(mac=None),
            "not a MAC": message(mac="00:1A:E8:FF:00"),
            "group address": message(mac="01:00:5E:00:00:01"),
            "100,000 items": message(items='<Item name="a">b</Item>' * 20000),
            "nested deeply": message(items="<a>" * 5000 + "</a>" * 5000),
            "reply to nothing": message(reason="reply-to", attributes=' action="WriteItems" status="accepted"'),
            "no nonce": message(nonce=""),
            "not a nonce": message(nonce="a b!"),
            "endless nonce": message(nonce="A" * 300),
            "empty": "",
        }
        for name, body in cases.items():
            with self.subTest(name):
                self.assert_clean_up(self.exchange(body))
        self.assertEqual(self.devices(), before)

    def test_text_that_is_not_utf8_keeps_no_phone_from_registering(self):
        mac = "00:1A:E8:FF:00:77"
        body = message(mac=mac, items='<Item name="device-type">B?ro &#xD800;</Item>').encode().replace(b"?ro", b"\xfcro")
        self.assertIn("<Action>ReadAllItems</Action>", self.exchange(body))
        body = message(mac=mac, items=f'<Item name="part-number">a{"é" * 300}b</Item>')
        self.assertIn("HTTP/1.1 200 OK", self.exchange(body))
        device = self.server.call("DeviceService", "GetDevice", name=f"devices/{mac}").device
        self.assertEqual(device.device_type, "B\ufffdro \ufffd\ufffd\ufffd")
        self.assertEqual(device.part_number, "a" + "é" * 127)

    def test_a_foreign_cookie_leads_nowhere(self):
        reply = message(reason="reply-to", attributes=' action="WriteItems" status="accepted"', nonce="C0FFEE")
        answer = self.exchange(reply, headers="Cookie: JSESSIONID=0123456789ABCDEF0123456789ABCDEF; Path=/\r\n")
        self.assert_clean_up(answer, "C0FFEE")

    def test_sizes_methods_and_paths(self):
        self.assertIn(" 413 ", self.exchange("x" * (2 << 20)))
        self.assertIn(" 404 ", self.exchange("", path="/other"))
        self.assertIn(" 405 ", self.exchange("", method="GET"))
        self.assertIn(" 431 ", self.exchange("", headers="X: " + "y" * 20000 + "\r\n"))

    def test_slow_and_half_connections_are_cut(self):
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.server.phone), timeout=20) as half:
            half.sendall(b"\x16\x03\x01")
            self.assertEqual(half.recv(100), b"")
        with self.connect() as slow:
            slow.settimeout(20)
            with self.assertRaises(OSError):
                for _ in range(200):
                    slow.sendall(b"P")
                    time.sleep(0.05)
        self.assertLess(time.monotonic() - start, 12)
        self.assert_clean_up(self.exchange(message(reason="solicited")))

    def test_a_stranger_who_claims_a_phones_mac_gets_no_key(self):
        server = self.server
        server.make_pki()
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.51.0.0/16")])
        phones = harness.Phones(1, 51, [server.phone], 8573, "--busy-share", "1", "--busy-seconds", "600")
        self.addCleanup(phones.close)
        harness.wait_for("the phone", lambda: server.sql("SELECT count(*) FROM device WHERE mac = '00:1A:E8:33:00:01'") == [["1"]])
        deployment = server.deploy("Lab")
        harness.wait_for("the call", lambda: server.progress(deployment)["deferred_busy"] == 1)
        for reason in ("solicited", "start-up", "local-changes"):
            with self.subTest(reason):
                answer = self.exchange(message(reason=reason, mac="00:1A:E8:33:00:01"))
                self.assertNotIn("WriteItems", answer)
                self.assertNotIn("wbm-server-certificate", answer)

    def test_wrong_arguments_name_the_field_and_the_rule(self):
        cases = [
            ("InternalCaService", "CreateInternalCa", dict(display_name=""), "display_name", "DISPLAY_NAME"),
            ("InternalCaService", "CreateInternalCa", dict(display_name="4711"), "display_name", "DISPLAY_NAME"),
            ("InternalCaService", "GetInternalCa", dict(name="ca/1"), "name", "RESOURCE_NAME"),
            ("InternalCaService", "CreateInternalCa", dict(display_name="A", creation=dict(subject="C=USA, CN=x")), None, None),
            ("PluginService", "CreatePlugin", dict(display_name="P", properties=[
                dict(name="internal.x509name.template", value="C=US, CN=phone")]),
             "internal.x509name.template", "TEMPLATE_WITHOUT_PLACEHOLDER"),
            ("PluginService", "CreatePlugin", dict(display_name="P", properties=[
                dict(name="internal.default.validity.days", value="0")]), "internal.default.validity.days", "VALIDITY_DAYS"),
            ("LocationService", "CreateLocation", dict(display_name="L", rules=[dict(kind="CIDR", value="10.0.0.0/99")]),
             "rules[0].value", "RULE_CIDR"),
            ("JobService", "GetJob", dict(name="jobs/x"), "name", "RESOURCE_NAME"),
        ]
        for service, method, fields, field, reason in cases:
            with self.subTest(f"{method} {fields}"):
                with self.assertRaises(harness.Refusal) as caught:
                    self.server.call(service, method, **fields)
                self.assertEqual(caught.exception.code.name, "INVALID_ARGUMENT")
                if field is not None:
                    self.assertEqual((caught.exception.field, caught.exception.reason), (field, reason))
                else:
                    self.assertTrue(caught.exception.reason)

    def test_the_api_wants_a_client_certificate(self):
        import grpc
        with open(f"{self.server.dir}/credentials/api-ca.pem", "rb") as file:
            channel = grpc.secure_channel(f"127.0.0.1:{self.server.api}", grpc.ssl_channel_credentials(file.read()))
        with self.assertRaises(grpc.RpcError) as caught:
            channel.unary_unary("/phonepki.ca.v1.InternalCaService/ListInternalCas")(b"", timeout=10)
        self.assertEqual(caught.exception.code().name, "UNAVAILABLE")


if __name__ == "__main__":
    unittest.main(verbosity=2)
