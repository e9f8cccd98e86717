"""Two servers, one PostgreSQL; every message of a phone goes to the other server in turn."""

import unittest

import harness


class ReplicasTest(unittest.TestCase):
    def test_phones_spread_every_message_over_two_servers(self):
        first = harness.Server(web_port=8563)
        self.addCleanup(first.close)
        second = harness.Server(web_port=8563, share=first)
        self.addCleanup(second.close)
        made = first.make_pki()
        first.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.41.0.0/16")])
        phones = harness.Phones(100, 41, [first.phone, second.phone], 8563, "--dls-choice", "per-message", "--profile", "mix")
        self.addCleanup(phones.close)
        harness.wait_for("100 registered phones", lambda: first.sql("SELECT count(*) FROM device") == [["100"]], 60)
        deployment = second.deploy("Lab")
        harness.wait_for("100 verified phones", lambda: second.progress(deployment)["succeeded"] == 100, 90)
        self.assertEqual(phones.probe(made.certificate.pem)["good"], 100)
        harness.assert_ledger_equals_database(self, first, phones)
        for server in (first, second):
            with self.subTest(phone_door=server.phone):
                self.assertGreater(server.metric("phonepki_phone_requests_total"), 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
