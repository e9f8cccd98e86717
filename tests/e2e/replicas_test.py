"""Two servers, one PostgreSQL; every message of a phone goes to the other server in turn."""

import subprocess
import tempfile
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

    def test_a_replica_with_another_master_key_is_refused_before_it_spoils_a_job(self):
        first = harness.Server(web_port=8563)
        self.addCleanup(first.close)
        with tempfile.TemporaryDirectory() as directory:
            run = subprocess.run(
                [first.arguments[0], "--data-dir", directory, "--database-url", first.database_url(),
                 "--roles", "worker", "--metrics-listen", ""], capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(f"{directory}/master.key is not the master key", run.stderr)

    def test_the_administrators_context_follows_the_server_to_another_port(self):
        server = harness.Server(web_port=8563)
        self.addCleanup(server.close)
        server.stop()
        former, server.api = server.api, harness.free_port()
        at = server.arguments.index("--api-listen") + 1
        server.arguments[at] = f"127.0.0.1:{server.api}"
        server.start()
        with open(f"{server.dir}/credentials/admin.context.json") as file:
            text = file.read()
        self.assertIn(f"127.0.0.1:{server.api}", text)
        self.assertNotIn(str(former), text)
        server.call("InternalCaService", "ListInternalCas")


if __name__ == "__main__":
    unittest.main(verbosity=2)
