"""kill -9 of the server, and of PostgreSQL, at random moments of a 500-phone roll-out: nothing lost, nothing twice."""

import os
import random
import signal
import time
import unittest

import harness


class CrashTest(unittest.TestCase):
    def test_sigkill_at_random_moments_loses_nothing_and_does_nothing_twice(self):
        seed = int(os.environ.get("PHONEPKI_TEST_SEED", time.time()))
        print(f"seed {seed} (set PHONEPKI_TEST_SEED to repeat)")
        chance = random.Random(seed)
        server = harness.Server(web_port=8553)
        self.addCleanup(server.close)
        made = server.make_pki()
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.31.0.0/16")])
        phones = harness.Phones(500, 31, [server.phone], 8553, "--profile", "mix", "--startup-concurrency", "100")
        self.addCleanup(phones.close)
        harness.wait_for("500 registered phones", lambda: server.sql("SELECT count(*) FROM device") == [["500"]], 90)
        deployment = server.deploy("Lab")
        for _ in range(5):
            time.sleep(chance.uniform(0.1, 1.2))
            server.kill()
            server.start()
        # PostgreSQL alone: its supervisor brings it back, the doors stay open.
        with open(os.path.join(server.dir, "postgres", "data", "postmaster.pid")) as file:
            os.kill(int(file.readline()), signal.SIGKILL)
        self.assertIsNone(server.process.poll())

        def finished():
            try:
                progress = server.progress(deployment)
            except harness.Refusal as refusal:
                self.assertEqual(refusal.code.name, "UNAVAILABLE", refusal)
                return False
            return progress["succeeded"] == 500

        harness.wait_for("500 verified phones", finished, 240)
        self.assertEqual(server.sql("SELECT DISTINCT state FROM job"), [["succeeded"]])
        self.assertEqual(phones.probe(made.certificate.pem)["good"], 500)
        harness.assert_ledger_equals_database(self, server, phones)

    def test_a_second_server_on_the_same_directory_is_refused_with_a_clear_sentence(self):
        server = harness.Server(web_port=8554)
        self.addCleanup(server.close)
        import subprocess
        second = subprocess.run(server.arguments, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(f"in use by process {server.process.pid}", second.stderr)

    def test_a_second_server_does_not_share_the_ports_of_the_first(self):
        import subprocess
        first, second = (harness.Server(web_port=8554) for _ in range(2))
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        second.stop()
        for door, port in (("api", first.api), ("phone", first.phone), ("metrics", first.metrics)):
            with self.subTest(door):
                run = subprocess.run([*second.arguments, f"--{door}-listen", f"127.0.0.1:{port}"],
                                     capture_output=True, text=True, timeout=60)
                self.assertEqual(run.returncode, 1)
                self.assertIn(f"cannot listen on 127.0.0.1:{port}", run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
