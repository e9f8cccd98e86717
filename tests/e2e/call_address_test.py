"""Which address phones call: their location's, the configured one, or the one that they are set to."""

import ssl
import unittest

import harness
from enrolment_test import Enrolment
from forwarder import Forwarder

PHONES = 5
OTHER = "127.0.0.77"  # where nothing but forwarders listens


class CallAddressTest(Enrolment):
    web_port = 8598

    def forwarder(self, port):
        forwarder = Forwarder(OTHER, "127.0.0.1", port)
        self.addCleanup(forwarder.close)
        return forwarder

    def set_server(self, **server):
        """Of this test's location; until the test ends, because credentials name all locations' addresses."""
        self.server.call("LocationService", "UpdateLocation", name=f"locations/{self.place}", **server)
        self.addCleanup(self.server.call, "LocationService", "UpdateLocation", name=f"locations/{self.place}",
                        server_address="", server_port=0, server_secure_port=0)

    def addresses(self, count=PHONES):
        return {f"127.{self.block}.0.{number}" for number in range(1, count + 1)}


class LocationServerTest(CallAddressTest):
    def test_phones_of_a_location_call_the_address_that_it_names_and_others_do_not(self):
        others, other_place = self.phones(PHONES), self.place
        super().setUp()  # a second location
        phones = self.phones(PHONES)
        way = self.forwarder(self.server.phone)
        self.set_server(server_address=OTHER, server_port=way.port)
        self.assertFalse(way.seen)
        for place, fleet in ((self.place, phones), (other_place, others)):
            self.finished(self.server.deploy(place), PHONES)
            self.assertEqual(sum(event["reason"] == "solicited" for event in fleet.events("session_open")), PHONES)
        self.assertEqual(set(way.seen), self.addresses())
    
    def test_without_one_they_call_the_server_that_they_are_set_to(self):
        phones = self.phones(PHONES)
        way = self.forwarder(self.server.phone)
        self.set_server(server_address=OTHER, server_port=way.port)
        self.server.call("LocationService", "UpdateLocation", name=f"locations/{self.place}", server_address="", server_port=0)
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertFalse(way.seen)
        self.assertEqual(sum(1 for _ in phones.events("contact_me")), PHONES)

    def test_secure_mode_is_entered_and_kept_at_that_address_and_port(self):
        way, secure_way = self.forwarder(self.server.phone), self.forwarder(self.server.secure)
        self.set_server(server_address=OTHER, server_port=way.port, server_secure_port=secure_way.port)
        # The certificate names the address because the location does, and these phones insist on it.
        presented = lambda: ssl.get_server_certificate(("127.0.0.1", self.server.secure))
        before = presented()
        self.server.call("SecurityService", "ActivateCredential", name=self.server.call(
            "SecurityService", "CreateCredential", kind="SERVER", connector="connectors/Lab connector").credential.name)
        harness.wait_for("the door to change its certificate", lambda: presented() != before)
        phones = self.phones(PHONES, "--check-server-name")
        self.finished(self.server.enrol(self.place), PHONES)
        self.assertEqual((set(way.seen), set(secure_way.seen)), (self.addresses(), self.addresses()))
        way.seen.clear(), secure_way.seen.clear()
        phones.order("reboot")
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertEqual((set(way.seen), set(secure_way.seen)), (set(), self.addresses()))
        self.assertEqual(list(phones.events("secure_connect_failed")), [])

    def test_a_secure_port_of_its_own_reaches_phones_under_a_pin(self):
        pin = self.server.call("SecurityService", "ViewDefaultPin").pin.pin
        # The port alone may differ: they call it where they are set to.
        here = Forwarder("127.0.0.1", "127.0.0.1", self.server.secure)
        self.addCleanup(here.close)
        self.set_server(server_secure_port=here.port)
        self.phones(PHONES, "--security-pin", pin, "--pin-delay-seconds", "0.2")
        self.finished(self.server.enrol(self.place, "DEFAULT_PIN"), PHONES)
        self.assertEqual(self.states(), {"secure": PHONES})
        self.assertEqual(set(here.seen), self.addresses())


class ContactMeTest(CallAddressTest):
    """What a knock tells and what phones make of it: they have a server of their own to call, too."""

    web_port = 8599

    def configure(self, *arguments):
        usual = self.server.arguments
        self.restart(usual + list(arguments))
        self.addCleanup(self.restart, usual)

    def restart(self, arguments):
        self.server.stop()
        opened = self.server.log_text().count("secure_door_open")
        self.server.arguments = arguments
        self.server.start()
        harness.wait_for("the secure door", lambda: self.server.log_text().count("secure_door_open") > opened)

    def own_server(self, port):
        """What phones of this test are set to."""
        forwarder = Forwarder("127.0.0.1", "127.0.0.1", port)
        self.addCleanup(forwarder.close)
        return forwarder

    def fleet(self, own, *extra):
        phones = harness.Phones(PHONES, self.block, [own.port], self.web_port, *extra)
        self.addCleanup(phones.close)
        harness.wait_for("registrations", lambda: self.server.sql(
            "SELECT count(*) FROM device WHERE inventory_at IS NOT NULL"
            f" AND ip_address <<= '127.{self.block}.0.0/16'") == [[str(PHONES)]])
        own.seen.clear()
        return phones

    def test_without_parameters_phones_call_the_server_that_they_are_set_to(self):
        own = self.own_server(self.server.phone)
        self.fleet(own)
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertEqual(set(own.seen), self.addresses())

    def test_with_parameters_they_call_the_configured_address_unless_their_location_names_another(self):
        own, configured = self.own_server(self.server.phone), self.forwarder(self.server.phone)
        self.configure("--knock-advertise-address", OTHER, "--knock-advertise-port", str(configured.port))
        self.fleet(own)
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertEqual((set(own.seen), set(configured.seen)), (set(), self.addresses()))
        configured.seen.clear()
        here = self.forwarder(self.server.phone)
        self.set_server(server_address=OTHER, server_port=here.port)
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertEqual((set(own.seen), set(configured.seen), set(here.seen)), (set(), set(), self.addresses()))

    def test_none_keeps_even_the_locations_address_back(self):
        own, here = self.own_server(self.server.phone), self.forwarder(self.server.phone)
        self.configure("--knock-advertise", "none")
        self.set_server(server_address=OTHER, server_port=here.port)
        self.fleet(own)
        self.finished(self.server.deploy(self.place), PHONES)
        self.assertEqual((set(own.seen), set(here.seen)), (self.addresses(), set()))

    def test_phones_in_secure_mode_are_told_only_when_all_are(self):
        own = self.own_server(self.server.phone)
        phones = self.fleet(own)
        self.finished(self.server.enrol(self.place), PHONES)
        secure = self.own_server(self.server.secure)
        for whom, expected in (("default-mode", set()), ("all", self.addresses())):
            with self.subTest(whom):
                self.configure("--knock-advertise", whom, "--knock-advertise-address", "127.0.0.1",
                               "--secure-advertise-port", str(secure.port))
                self.finished(self.server.deploy(self.place), PHONES)
                self.assertEqual(set(secure.seen), expected)
        self.assertEqual(self.states(), {"secure": PHONES})
        self.assertEqual(list(phones.events("secure_connect_failed")), [])

    def test_a_phone_in_secure_mode_ignores_a_knock_that_names_a_foreign_server(self):
        own = self.own_server(self.server.phone)
        phones = self.fleet(own)
        self.finished(self.server.enrol(self.place), PHONES)
        self.configure("--knock-advertise", "all")
        foreign = self.forwarder(self.server.secure)
        self.set_server(server_address=OTHER, server_secure_port=foreign.port)
        deployment = self.server.deploy(self.place)
        harness.wait_for("the knocks", lambda: len({event["mac"] for event in phones.events("contact_me_ignored")}) == PHONES)
        self.assertEqual((self.server.progress(deployment)["succeeded"], set(foreign.seen)), (0, set()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
