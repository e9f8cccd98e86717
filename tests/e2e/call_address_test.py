"""Which address phones call: their location's, the configured one, or the one that they are set to."""

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
        self.server.call("SecurityService", "ActivateCredential", name=self.server.call(
            "SecurityService", "CreateCredential", kind="SERVER", connector="connectors/Lab connector").credential.name)
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
