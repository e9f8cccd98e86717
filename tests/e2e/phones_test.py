"""What single phones go through: slow lines, odd nonces, foreign cookies, reboots, resets, calls, and being away."""

import json
import os
import signal
import socket
import subprocess
import unittest

import harness

WEB_PORT = 8583


class PhonesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(WEB_PORT, extra=[
            "--phone-handshake-timeout", "3s", "--phone-header-timeout", "1s", "--phone-body-timeout", "1s",
            "--job-max-failures", "2", "--job-busy-grant", "1m"])
        cls.ca = cls.server.make_pki().certificate.pem

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def phones(self, count, block, *extra, registered=True):
        """A fleet in a location of its own, named as its block."""
        self.server.call("LocationService", "CreateLocation", display_name=f"Lab {block}",
                         rules=[dict(kind="CIDR", value=f"127.{block}.0.0/16")])
        phones = harness.Phones(count, block, [self.server.phone], WEB_PORT, *extra)
        self.addCleanup(phones.close)
        if registered:
            harness.wait_for("the phones", lambda: self.registered(block) == count)
        return phones

    def registered(self, block):
        return int(self.server.sql(f"SELECT count(*) FROM device WHERE ip_address << '127.{block}.0.0/16'"
                                   " AND inventory_at IS NOT NULL")[0][0])

    def roll_out(self, phones):
        deployment = self.server.deploy(f"Lab {phones.block}")
        self.await_progress(deployment, "succeeded", phones.count)
        return deployment

    def await_progress(self, deployment, state, count, seconds=60):
        harness.wait_for(f"{count} phones {state}", lambda: self.server.progress(deployment)[state] == count, seconds)

    def jobs(self, deployment):
        return self.server.call("JobService", "ListJobs", deployment=deployment).jobs

    def device(self, mac):
        return self.server.call("DeviceService", "GetDevice", name=f"devices/{mac}").device

    # ---- slow lines

    def test_slow_phones_within_the_limits_get_there(self):
        phones = self.phones(6, 61, "--slow-share", "1", "--slow-octets-per-second", "4000", "--profile", "mix")
        self.roll_out(phones)
        self.assertEqual(phones.probe(self.ca)["good"], 6)
        self.assertEqual(list(phones.events("connection_lost")), [])

    def test_a_drip_feeding_phone_is_cut_off_and_hinders_nobody(self):
        cut = self.server.metric("phonepki_phone_timeouts_total")
        # The first does not get through the handshake in time, the second not through its longest message.
        for block, rate in ((62, 20), (63, 900)):
            self.phones(3, block, "--slow-share", "1", "--slow-octets-per-second", str(rate), registered=False)
        others = self.phones(5, 64)
        self.roll_out(others)
        harness.wait_for("the cuts", lambda: self.server.metric("phonepki_phone_timeouts_total") >= cut + 6)
        self.assertEqual(self.registered(62) + self.registered(63), 0)

    # ---- nonces and cookies

    def test_a_nonce_that_stays_the_same_for_a_session_is_fine(self):
        phones = self.phones(2, 65, "--nonce-policy", "constant")
        self.roll_out(phones)

    def test_replies_with_a_wrong_nonce_get_a_clean_up_and_have_no_effect(self):
        phones = self.phones(2, 66, "--nonce-policy", "wrong", registered=False)
        registered = "SELECT count(*), count(inventory_at) FROM device WHERE ip_address << '127.66.0.0/16'"
        harness.wait_for("the phones", lambda: self.server.sql(registered) == [["2", "0"]])
        deployment = self.server.deploy("Lab 66")
        self.await_progress(deployment, "failed", 2)
        self.assertEqual({job.reason for job in self.jobs(deployment)}, {"SESSION_LOST"})
        self.assertEqual(self.server.sql(registered), [["2", "0"]], "an inventory was taken from a refused reply")
        self.assertGreater(len(list(phones.events("cleanup_received"))), 2)
        self.assertEqual(list(phones.events("nonce_mismatch")), [])
        self.assert_nothing_active(66)

    def test_replies_with_another_phones_cookie_move_no_job(self):
        phones = self.phones(4, 67, "--foreign-cookie-share", "1", registered=False)
        harness.wait_for("the phones", lambda: self.server.sql(
            "SELECT count(*) FROM device WHERE ip_address << '127.67.0.0/16'") == [["4"]])
        deployment = self.server.deploy("Lab 67")
        self.await_progress(deployment, "failed", 4)
        self.assertGreaterEqual(len(list(phones.events("foreign_cookie"))), 8)
        reasons = {event.reason for job in self.jobs(deployment)
                   for event in self.server.call("JobService", "GetJob", name=job.name).job.history}
        self.assertIn("SESSION_LOST", reasons)
        self.assertFalse(reasons & {"WRITTEN", "READ_BACK", "VERIFIED", "PHONE_CLEAN_UP"}, reasons)
        self.assert_nothing_active(67)

    def assert_nothing_active(self, block):
        self.assertEqual(self.server.sql(
            "SELECT count(*) FROM device_slot s JOIN device v ON v.id = s.device_id"
            f" WHERE v.ip_address << '127.{block}.0.0/16' AND (s.active_id IS NOT NULL OR s.read_back <> '')"), [["0"]])

    # ---- reboots and changes

    def test_a_reboot_keeps_the_certificate_and_registers_again(self):
        phones = self.phones(2, 68)
        self.roll_out(phones)
        before = phones.order("status")["phones"]
        self.assertFalse(any(phone["factory_certificate"] for phone in before))
        contacts = "SELECT last_contact_reason, count(*) FROM device WHERE ip_address << '127.68.0.0/16' GROUP BY 1"
        self.assertEqual(self.server.sql(contacts), [["solicited", "2"]])
        self.assertEqual(phones.order("reboot")["phones"], 2)
        harness.wait_for("the registrations", lambda: self.server.sql(contacts) == [["start-up", "2"]])
        self.assertEqual([phone["serial"] for phone in phones.order("status")["phones"]], [p["serial"] for p in before])
        self.assertEqual(phones.probe(self.ca)["good"], 2)

    def test_a_factory_reset_is_seen_when_the_phone_registers_again_and_repaired_by_a_deployment(self):
        phones = self.phones(2, 69)
        self.roll_out(phones)
        reset = phones.mac(1)
        self.assertNotIn("factory default", self.device(reset).slots[0].read_back)
        phones.order("factory-reset", reset)
        harness.wait_for("the read-back", lambda: "factory default" in self.device(reset).slots[0].read_back)
        self.assertNotIn("factory default", self.device(phones.mac(2)).slots[0].read_back)
        self.assertIn("phone_certificate_changed", self.server.log_text())
        self.assertEqual(phones.probe(self.ca)["good"], 1)
        self.roll_out(phones)
        self.assertEqual(phones.probe(self.ca)["good"], 2)
        self.assertNotIn("factory default", self.device(reset).slots[0].read_back)

    def test_a_local_change_reaches_the_inventory(self):
        phones = self.phones(1, 70)
        phones.order("local-change", "127.70.0.1")

        def label():
            return {item.name: item.value for item in self.device(phones.mac(1)).items}.get("key-label[1]")

        harness.wait_for("the change", lambda: label() == "Key 1 changed 1 times")

    # ---- away and in a call

    def test_a_job_waits_for_a_phone_that_is_off_and_goes_on_when_it_comes_back(self):
        phones = self.phones(2, 71)
        away = phones.mac(2)
        phones.order("offline", away.replace(":", "-").lower())
        with self.assertRaises(OSError):
            socket.create_connection(("127.71.0.2", WEB_PORT), timeout=5)
        deployment = self.server.deploy("Lab 71")
        harness.wait_for("one done, one deferred", lambda: {"succeeded": 1, "deferred_offline": 1}.items()
                         <= self.server.progress(deployment).items())
        self.assertFalse(phones.order("status", away)["phones"][0]["on"])
        phones.order("online", away)
        self.await_progress(deployment, "succeeded", 2)
        self.assertEqual(phones.probe(self.ca)["good"], 2)

    def test_a_job_waits_for_the_end_of_a_call_and_the_phone_calls_back_by_itself(self):
        phones = self.phones(1, 72)
        phones.order("call-start", "127.72.0.1")
        deployment = self.server.deploy("Lab 72")
        self.await_progress(deployment, "deferred_busy", 1)
        self.assertEqual(self.jobs(deployment)[0].reason, "PHONE_BUSY")
        self.assertEqual(len(list(phones.events("write_busy"))), 1)
        phones.order("call-end")
        self.await_progress(deployment, "succeeded", 1)
        self.assertEqual(len(list(phones.events("contact_me"))), 1, "it was knocked at again")
        self.assertEqual(phones.probe(self.ca)["good"], 1)

    # ---- the tools themselves

    def test_wrong_orders_are_refused_in_words(self):
        phones = self.phones(1, 73)
        self.assertIn("there is no phone", phones.order("reboot", "127.99.0.1")["error"])
        self.assertIn("call-start", phones.order("explode")["error"])
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(phones.control)
            raw.sendall(b'not JSON\n{"command":"status"}\n')
            lines = raw.makefile()
            self.assertFalse(json.loads(lines.readline())["ok"])
            self.assertEqual(json.loads(lines.readline())["phones"], 1)

    def test_idle_connections_are_held_until_told_to_stop(self):
        open_before = self.server.metric("phonepki_phone_connections")
        for more in ([], ["--handshake-only"]):
            with self.subTest(more):
                holder = subprocess.Popen(
                    [os.path.join(harness.BUILD, "phonesim", "phonesim"), "hold", "--connections", "120", "--dls",
                     f"127.0.0.1:{self.server.phone}", "--first-address", "127.74.0.1", *more],
                    stdout=subprocess.PIPE, text=True)
                self.assertEqual(json.loads(holder.stdout.readline()), {"event": "holding", "connections": 120})
                self.assertGreaterEqual(self.server.metric("phonepki_phone_connections"), open_before + 120)
                holder.send_signal(signal.SIGTERM)
                self.assertEqual(json.loads(holder.communicate(timeout=30)[0])["lost"], 0)
                self.assertEqual(holder.returncode, 0)
        self.assertEqual(self.server.sql("SELECT count(*) FROM device WHERE mac::text LIKE '00:1A:E9:%'"), [["120"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
