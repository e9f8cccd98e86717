"""kill -9 of the server, and of PostgreSQL, at random moments of a 500-phone roll-out: nothing lost, nothing twice."""

import http.client
import os
import random
import signal
import ssl
import time
import unittest
import urllib.error
import urllib.request

import harness
from bad_input_test import message


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

    def test_sigkill_while_phones_enrol_strands_none(self):
        seed = int(os.environ.get("PHONEPKI_TEST_SEED", time.time()))
        print(f"seed {seed} (set PHONEPKI_TEST_SEED to repeat)")
        chance = random.Random(seed)
        count = 100
        server = harness.Server(web_port=8555)
        self.addCleanup(server.close)
        server.make_pki()
        server.make_secure_credentials()
        harness.wait_for("the secure door", lambda: "secure_door_open" in server.log_text())
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.32.0.0/16")])
        phones = harness.Phones(count, 32, [server.phone], 8555, "--profile", "mix")
        self.addCleanup(phones.close)
        harness.wait_for("registered phones", lambda: server.sql("SELECT count(*) FROM device") == [[str(count)]])
        deployment = server.enrol("Lab")
        for there in (1, 15, 40, 70):  # some phones are secure, others not yet
            harness.wait_for("the enrolment to be under way",
                             lambda: sum(1 for _ in phones.events("secure_mode_entered")) >= there)
            time.sleep(chance.uniform(0, 0.1))
            server.kill()
            server.start()
        harness.wait_for("the end of the enrolment", lambda: server.progress(deployment)["succeeded"] == count, 180)
        self.assertEqual(server.sql("SELECT security_state, count(*) FROM device GROUP BY 1"), [["secure", str(count)]])
        # Each phone lives on what the database calls active, and nothing else is live.
        active = dict(server.sql("SELECT v.mac, encode(c.serial, 'hex') FROM device_slot s JOIN device v ON v.id = s.device_id"
                                 " JOIN certificate c ON c.id = s.active_id AND c.state = 'active' WHERE s.slot = 'secure-mode'"))
        harness.wait_for("the phones to be where the server sees them", lambda: {
            event["mac"]: event["serial"] for event in phones.events("secure_mode_entered")} == active)
        self.assertEqual(server.sql("SELECT count(*) FROM certificate WHERE kind = 'tls-client' AND device_id IS NOT NULL"
                                    " AND state IN ('issued', 'active')"), [[str(count)]])
        # And goes on living on it.
        begun = sum(1 for _ in phones.events("session_open"))
        phones.order("reboot")
        harness.wait_for("start-ups by the secure door", lambda: len({
            event["mac"] for event in list(phones.events("session_open"))[begun:]
            if event["secure"] and event["reason"] == "start-up"}) == count)
        self.assertEqual(server.sql("SELECT security_state, count(*) FROM device GROUP BY 1"), [["secure", str(count)]])

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

    def test_a_stop_finishes_the_sessions_in_hand_and_opens_none(self):
        server = harness.Server(web_port=8554, extra=["--shutdown-drain", "60s", "--phone-session-timeout", "60s"])
        self.addCleanup(server.close)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

        def post(body, cookie=""):
            door = http.client.HTTPSConnection("127.0.0.1", server.phone, context=context, timeout=20)
            door.request("POST", "/DeploymentService/LoginService", body, {"Cookie": cookie, "Connection": "close"})
            answer = door.getresponse()
            return answer.status, answer.read().decode(), (answer.getheader("Set-Cookie") or "").split(";")[0]

        _, text, cookie = post(message(mac="00:1A:E8:FF:00:01"))
        self.assertIn("<Action>ReadAllItems</Action>", text)
        server.process.terminate()
        harness.wait_for("new phones to be sent away", lambda: post(message(mac="00:1A:E8:FF:00:02"))[0] == 503)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/readyz", timeout=5)
        self.assertEqual(refused.exception.code, 503)
        reply = message(reason="reply-to", mac=None, attributes=' action="ReadAllItems" status="accepted"',
                        items='<Item name="e164">4711</Item>')
        status, text, _ = post(reply, cookie)
        self.assertEqual(status, 200)
        self.assertIn("<Action>CleanUp</Action>", text)
        self.assertEqual(server.process.wait(timeout=50), 0)  # before the limit
        self.assertNotIn("sessions_left_open", server.log_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
