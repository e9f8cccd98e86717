"""Phones on IPv6, beside phones on IPv4 at the same doors.

They need addresses of their own: adding them to the loopback interface takes the right to do so (root has it, unless a
container took it away). Without it one phone lives on ::1, and what needs more is skipped; without IPv6 all is.
"""

import atexit
import http.client
import socket
import ssl
import subprocess
import sys
import unittest

import harness
from enrolment_test import message
from forwarder import Forwarder

PREFIX = "fd70:686f:6e65"  # ours alone: no such network is routed anywhere
SKIPPED = 77
WEB_PORT = 8600


def no_ipv6():
    """Why there is none; empty when there is."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as door:
            socket.create_connection(door.getsockname()[:2], timeout=5).close()
        return ""
    except OSError as error:
        return f"this machine has no IPv6: {error}"


def change_addresses(verb, *addresses):
    """What `ip` complained of first."""
    orders = "".join(f"address {verb} {address}/128 dev lo{' nodad' if verb == 'replace' else ''}\n" for address in addresses)
    done = subprocess.run(["ip", "-6", "-force", "-batch", "-"], input=orders, capture_output=True, text=True)
    return done.stderr.partition("\n")[0]


def addresses_of(block, count):
    return [f"{PREFIX}:{block}::{number:x}" for number in range(1, count + 1)]


def link_local_address():
    """One of this machine's, and its interface."""
    try:
        with open("/proc/net/if_inet6") as table:
            rows = [line.split() for line in table]
    except FileNotFoundError:
        return None
    found = [(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])), row[5]) for row in rows if row[3] == "20"]
    return found[0] if found else None


NO_IPV6 = no_ipv6()
SERVER, IMPOSTOR = f"{PREFIX}::77", f"{PREFIX}::99"
ALL = [SERVER, IMPOSTOR] + [address for block in range(1, 9) for address in addresses_of(block, 6)]
try:
    NO_ADDRESSES = NO_IPV6 or change_addresses("replace", *ALL)
except FileNotFoundError as missing:
    NO_ADDRESSES = f"iproute2 is needed: {missing}"
atexit.register(lambda: NO_ADDRESSES or change_addresses("del", *ALL))
needs_addresses = unittest.skipIf(NO_ADDRESSES, f"no addresses can be added to the loopback interface: {NO_ADDRESSES}")


class Ipv6(unittest.TestCase):
    arguments = ()
    block = 0

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(WEB_PORT, listen="[::]", extra=cls.arguments)
        cls.addClassCleanup(cls.server.close)
        cls.authority = cls.server.make_pki()
        cls.server.make_secure_credentials()
        harness.wait_for("the secure door", lambda: "secure_door_open" in cls.server.log_text())

    def setUp(self):
        Ipv6.block += 1
        self.block = Ipv6.block
        self.place = f"Place {self.block}"
        self.network = "::1/128" if NO_ADDRESSES else f"{PREFIX}:{self.block}::/64"
        rule = dict(kind="CIDR", value=self.network)
        self.location = self.server.call("LocationService", "CreateLocation", display_name=self.place, rules=[rule]).location
        self.addCleanup(self.leave)

    def leave(self):
        """The next test may have the same address."""
        self.server.call("LocationService", "UpdateLocation", name=self.location.name, rules=dict())
        for (mac,) in self.server.sql("SELECT mac FROM device"):
            self.server.call("DeviceService", "DeleteDevice", name=f"devices/{mac}", force=True)

    def phones(self, *extra, count=6):
        self.count = 1 if NO_ADDRESSES else count
        first = "::1" if NO_ADDRESSES else addresses_of(self.block, 1)[0]
        phones = harness.Phones(self.count, self.block, [self.server.phone], WEB_PORT, *extra, first=first, server="[::1]")
        self.addCleanup(phones.close)
        harness.wait_for("registrations", lambda: self.registered() == self.count)
        return phones

    def registered(self, network=None):
        return int(self.server.sql("SELECT count(*) FROM device WHERE inventory_at IS NOT NULL"
                                   f" AND ip_address <<= '{network or self.network}'")[0][0])

    def finished(self, deployment, count=None):
        harness.wait_for("the jobs to end", lambda: self.server.progress(deployment)["succeeded"] == (count or self.count))

    def talk(self, body, source, target="::1"):
        """One message from an address at the default door; the body of the answer."""
        connection = http.client.HTTPSConnection(target, self.server.phone, context=ssl._create_unverified_context(),
                                                 timeout=10, source_address=(source, 0))
        try:
            connection.request("POST", "/DeploymentService/LoginService", body, {"Content-Type": "text/xml"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def events(self, kind):
        return [event for event in self.server.call("SecurityService", "ListSecurityEvents", page_size=200).events
                if event.kind == kind]


class RolloutTest(Ipv6):
    def test_phones_get_certificates_that_name_their_ipv6_addresses(self):
        phones = self.phones("--profile", "mix")
        self.finished(self.server.deploy(self.place))
        self.assertEqual(phones.probe(self.authority.certificate.pem), dict(phones=self.count, good=self.count, failures=[]))
        device = self.server.call("DeviceService", "GetDevice", name=f"devices/{phones.mac(1)}").device
        self.assertEqual((device.ip_address, device.location), (phones.first, self.location.name))
        [(uri, subject)] = self.server.sql("SELECT v.contact_me_uri, c.subject FROM certificate c JOIN device v"
                                           f" ON v.id = c.device_id WHERE v.mac = '{device.mac}'")
        self.assertEqual(uri, f"http://[{phones.first}]:8085/contact_dls.html/ContactDLS")
        self.assertIn(f"CN={phones.first}", subject)
        with socket.create_connection((phones.first, WEB_PORT), timeout=10) as plain:
            context = ssl.create_default_context(cadata=self.authority.certificate.pem)
            with context.wrap_socket(plain, server_hostname=phones.first) as stream:  # another maker's check of the name
                names = stream.getpeercert()["subjectAltName"]
        self.assertEqual([kind for kind, _ in names], ["IP Address"])

    def test_phones_on_ipv4_are_ipv4_phones_at_the_same_door(self):
        self.server.call("LocationService", "CreateLocation", display_name="Four",
                         rules=[dict(kind="CIDR", value="127.59.0.0/16")])
        phones = harness.Phones(4, 59, [self.server.phone], WEB_PORT)
        self.addCleanup(phones.close)
        harness.wait_for("registrations", lambda: self.registered("127.59.0.0/16") == 4)
        self.finished(self.server.deploy("Four"), 4)
        self.assertEqual(phones.probe(self.authority.certificate.pem)["good"], 4)
        self.assertEqual(self.server.sql("SELECT family(ip_address), family(knock_address), count(*) FROM device"
                                         " WHERE mac LIKE '00:1A:E8:3B:%' GROUP BY 1, 2"), [["4", "4", "4"]])

    @unittest.skipUnless(link_local_address(), "no interface has a link-local address")
    def test_a_phone_with_a_link_local_address_can_register(self):
        address, interface = link_local_address()
        mac = "00:1A:E8:1C:00:01"
        self.assertIn("ReadAllItems", self.talk(message(mac), "::", f"{address}%{interface}"))
        self.assertEqual(self.server.sql(f"SELECT host(ip_address) FROM device WHERE mac = '{mac}'"), [[address]])

    def test_polling_phones_too(self):
        phones = self.phones("--poll-seconds", "0.3", "--poll-port", str(self.server.plain))
        self.finished(self.server.deploy(self.place))
        self.assertGreaterEqual(len({event["mac"] for event in phones.events("poll_hit")}), self.count)

    @needs_addresses
    def test_a_call_from_another_ipv6_address_than_the_one_knocked_at_gets_no_key(self):
        phones = self.phones(count=1)
        mac = phones.mac(1)
        phones.order("offline", mac)
        self.server.deploy(self.place)
        harness.wait_for("a knock", lambda: self.server.sql(
            f"SELECT knock_address IS NOT NULL FROM device WHERE mac = '{mac}'") == [["t"]])
        self.assertNotIn("WriteItems", self.talk(message(mac, "solicited"), IMPOSTOR))
        self.assertEqual([(event.mac, event.address) for event in self.events("CALL_FROM_OTHER_ADDRESS")], [(mac, IMPOSTOR)])

    @needs_addresses
    def test_a_location_names_an_ipv6_server(self):
        way = Forwarder(SERVER, "::1", self.server.phone)
        self.addCleanup(way.close)
        self.server.call("LocationService", "UpdateLocation", name=self.location.name, server_address=SERVER,
                         server_port=way.port)
        self.phones()
        self.assertFalse(way.seen)
        self.finished(self.server.deploy(self.place))
        self.assertEqual(set(way.seen), set(addresses_of(self.block, self.count)))


class SecureModeTest(Ipv6):
    def test_phones_enter_secure_mode_and_get_certificates_there(self):
        made = self.server.call("SecurityService", "CreateCredential", kind="SERVER", connector="connectors/Lab connector",
                                server_names=["0:0::1"]).credential
        self.assertEqual(list(made.ip_addresses), ["::1"])
        self.server.call("SecurityService", "ActivateCredential", name=made.name)
        phones = self.phones("--check-server-name", "--profile", "mix")
        self.finished(self.server.enrol(self.place))
        self.assertEqual(self.server.sql("SELECT security_state, count(*) FROM device GROUP BY 1"),
                         [["secure", str(self.count)]])
        self.finished(self.server.deploy(self.place))
        self.assertEqual(phones.probe(self.authority.certificate.pem)["good"], self.count)
        self.assertTrue(all(event["secure"] for event in list(phones.events("session_open"))[-self.count:]))


@needs_addresses
class AdmittedNetworksTest(Ipv6):
    arguments = ("--phone-admission", "networks", "--phone-networks", f"{PREFIX}:8::/64,127.57.0.0/16")

    def test_only_phones_in_the_admitted_ipv6_network_register(self):
        for number, source in enumerate((addresses_of(8, 1)[0], addresses_of(7, 1)[0], "::1")):
            self.talk(message(f"00:1A:E8:AD:00:0{number}"), source)
        self.assertEqual(self.server.sql("SELECT host(ip_address) FROM device"), [[addresses_of(8, 1)[0]]])
        # An IPv4 network at a door for both.
        phones = harness.Phones(1, 57, [self.server.phone], WEB_PORT)
        self.addCleanup(phones.close)
        harness.wait_for("the registration", lambda: self.registered("127.57.0.0/16") == 1)


if __name__ == "__main__":
    if NO_IPV6:
        print(NO_IPV6)
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
