"""Deployments in waves, and a location that is enrolled into secure mode by them."""

import json
import os
import random
import subprocess
import time
import unittest

import harness
from behaviour import at

Deployment = harness.deployment.Deployment


class Waves(unittest.TestCase):
    """A server of its own for each test; phones of one location, which the test may watch wave by wave."""

    web_port = None
    block = None

    def start(self, extra=()):
        self.server = harness.Server(web_port=self.web_port, extra=extra)
        self.addCleanup(self.server.close)
        self.made = self.server.make_pki()
        self.place()

    def place(self):
        self.server.call("LocationService", "CreateLocation", display_name="Lab",
                         rules=[dict(kind="CIDR", value=f"127.{self.block}.0.0/16"), dict(kind="DEVICE", value="00:1A:E8:00:00:01")])

    def start_secure(self, extra=()):
        self.start(extra)
        self.server.make_secure_credentials()
        harness.wait_for("the secure door", lambda: "secure_door_open" in self.server.log_text())

    def phones(self, count, *extra, doors=None):
        phones = harness.Phones(count, self.block, doors or [self.server.phone], self.web_port, *extra)
        self.addCleanup(phones.close)
        harness.wait_for("registrations", lambda: self.server.sql(
            "SELECT count(*) FROM device WHERE inventory_at IS NOT NULL") == [[str(count)]], 90)
        return phones

    def create(self, **fields):
        fields = {**dict(location="locations/Lab", certificate_type="wbm", connector="connectors/Lab connector",
                         activate=True), **fields}
        return self.server.call("DeploymentService", "CreateDeployment", **fields).deployment

    def enrol(self, **fields):
        return self.create(**{**dict(certificate_type="secure-mode", connector="", pin_mode="NO_PIN"), **fields})

    def cli(self, *arguments, code=0):
        """The command line as an administrator has it; output and messages."""
        context = os.path.join(self.server.dir, "credentials", "admin.context.json")
        done = subprocess.run([os.path.join(harness.BUILD, "cli", "phonepki"), *arguments], capture_output=True, text=True,
                              timeout=120, env={**os.environ, "PHONEPKI_CONTEXT": context})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def get(self, deployment):
        return self.server.call("DeploymentService", "GetDeployment", name=deployment.name).deployment

    def reaches(self, deployment, what, condition, seconds=60):
        def reached():
            found = self.get(deployment)
            return found if condition(found) else None
        return harness.wait_for(what, reached, seconds)

    def succeeded(self, deployment, count, seconds=60):
        return self.reaches(deployment, f"{count} phones", lambda found: found.progress.succeeded == count, seconds)

    def waves(self):
        """The phones of each wave, by their MACs."""
        waves = {}
        for wave, mac in self.server.sql("SELECT j.wave, v.mac FROM job j JOIN device v ON v.id = j.device_id ORDER BY 1, 2"):
            waves.setdefault(int(wave), []).append(mac)
        return waves

    def assert_waves_one_after_the_other(self, waves):
        """Of no wave a job was created before every one of the former was done."""
        for wave in range(2, waves + 1):
            [[apart]] = self.server.sql(
                f"SELECT min(n.created_at) > max(b.finished_at) FROM job n, job b WHERE n.wave = {wave} AND b.wave = {wave - 1}")
            self.assertEqual(apart, "t", f"wave {wave} began early")


class EnrolmentInWavesTest(Waves):
    web_port, block = 8610, 140

    def test_30_phones_enrol_in_waves_of_10_with_progress_in_one_command(self):
        self.start()
        phones = self.phones(30, "--busy-share", "1", "--busy-seconds", "1")  # to be seen at work
        # Without credentials there is nothing to rehearse, and --connector makes them.
        self.assertIn("NO_SERVER_CREDENTIAL", self.cli("secure-mode", "enrol", "--location", "Lab", "--dry-run", code=4)[1])
        out, _ = self.cli("-o", "json", "secure-mode", "enrol", "--location", "Lab", "--wave", "10", "--connector", "Lab connector",
                       "--watch")
        messages = [json.loads(line) for line in out.splitlines()]
        seen = [message["deployments"][0]["progress"] for message in messages[1:]]
        self.assertEqual({progress["waves"] for progress in seen}, {3})
        self.assertEqual(sorted({progress["wave"] for progress in seen} - {0}), [1, 2, 3])
        self.assertEqual({int(p["phones_to_come"]) for p in seen if p["wave"] == 2}, {10})
        self.assertTrue(messages[-1]["finished"])
        self.assertEqual(int(seen[-1]["succeeded"]), 30)
        waves = self.waves()
        self.assertEqual(waves, {wave: [phones.mac(i) for i in range(10 * wave - 9, 10 * wave + 1)] for wave in (1, 2, 3)})
        self.assert_waves_one_after_the_other(3)
        self.assertEqual(self.server.sql("SELECT security_state, count(*) FROM device GROUP BY 1"), [["secure", "30"]])
        self.assertIn("3/3", self.cli("deployment", "list")[0])
        self.assertIn("3 of 3, each of up to 10 phones; 0 phones to come", self.cli("deployment", "get", "1")[0])
        plan, _ = self.cli("secure-mode", "enrol", "--location", "Lab", "--wave", "4", "--connector", "Lab connector", "--dry-run")
        self.assertIn("0 of 8, each of up to 4 phones; 30 phones to come", plan)

    def test_phones_that_are_off_do_not_hold_up_a_location_and_come_when_they_are_on(self):
        self.start_secure()
        phones = self.phones(30)
        off = [phones.mac(i) for i in (1, 2, 3, 12, 30)]
        for mac in off:
            phones.order("offline", mac)
        # Nobody has ever seen this one.
        self.server.call("DeviceService", "ImportDevices", csv=b"mac\n00:1A:E8:00:00:01\n")
        made = self.enrol(wave_size=10)
        found = self.reaches(made, "the last wave", lambda found: found.progress.succeeded == 25 and found.progress.wave == 4)
        self.assertEqual((found.state, found.progress.waves, found.progress.phones_to_come), (Deployment.RUNNING, 4, 0))
        for mac in off:
            phones.order("online", mac)
        found = self.succeeded(made, 30)
        self.assertEqual((found.progress.deferred_offline, found.halt_reason), (1, ""))

    def test_phones_that_await_their_pin_hold_the_wave(self):
        self.start_secure()
        phones = self.phones(6)
        pin = self.server.call("SecurityService", "ViewDefaultPin").pin.pin
        made = self.enrol(wave_size=3, pin_mode="DEFAULT_PIN")
        for wave in (1, 2):
            walk = [phones.mac(i) for i in range(3 * wave - 2, 3 * wave + 1)]
            for done, mac in enumerate(walk):
                harness.wait_for("Awaiting PIN", lambda: self.server.sql(
                    "SELECT mac FROM device WHERE security_state = 'awaiting_pin' ORDER BY mac") == [[m] for m in walk[done:]])
                self.assertEqual(self.get(made).progress.wave, wave)
                phones.order("pin", mac, pin)
        self.succeeded(made, 6)
        self.assert_waves_one_after_the_other(2)

    def test_a_phone_in_a_call_is_waited_for(self):
        self.start()
        phones = self.phones(2)
        phones.order("call-start", phones.mac(1))
        made = self.create(wave_size=1)
        self.reaches(made, "a busy phone", lambda found: found.progress.deferred_busy == 1)
        time.sleep(1)
        self.assertEqual(self.get(made).progress.wave, 1)
        phones.order("call-end")
        self.succeeded(made, 2)
        self.assert_waves_one_after_the_other(2)


class BadWaveTest(Waves):
    web_port, block = 8611, 141

    def test_a_bad_wave_halts_says_why_and_is_resumed(self):
        self.start()
        self.phones(10)
        made = self.create(wave_size=5, deploy_date=at(3600))
        self.server.call("ConnectorService", "DisableConnector", name="connectors/Lab connector", force=True)
        self.server.call("DeploymentService", "UpdateDeployment", name=made.name, deploy_date=at(0))
        halted = self.reaches(made, "the halt", lambda found: found.state == Deployment.HALTED)
        self.assertEqual((halted.halt_reason, halted.progress.failed, halted.progress.phones_to_come), ("WAVE_FAILURE_LIMIT", 5, 5))
        self.assertIn("wave 1: of 5 phones that were reached, 5 failed", halted.halt_reason_text)
        time.sleep(1)
        self.assertEqual(self.get(made).progress.total, 5)
        out, notes = self.cli("deployment", "watch", made.name, code=7)
        self.assertIn("wave 1/2", out)
        self.assertIn("wave 1: of 5 phones", notes)
        self.assertIn("phonepki deployment resume 1", notes)
        shown, _ = self.cli("deployment", "get", "1")
        self.assertIn("WAVE_FAILURE_LIMIT", shown)
        self.assertIn("phonepki deployment resume 1", shown)

        # Tried again without a repair, it halts again.
        answer = self.server.call("DeploymentService", "ResumeDeployment", name=made.name, retry_failed=True)
        self.assertEqual((answer.retried_jobs, answer.deployment.state), (5, Deployment.RUNNING))
        self.reaches(made, "the second halt", lambda found: found.state == Deployment.HALTED)
        self.server.call("ConnectorService", "EnableConnector", name="connectors/Lab connector")
        time.sleep(1.5)  # issuance looks connectors up at most once a second
        self.assertIn("5 jobs go again", self.cli("deployment", "resume", "1", "--retry-failed")[0])
        done = self.succeeded(made, 10)
        self.assertEqual((done.state, done.halt_reason, done.HasField("halt_time")), (Deployment.FINISHED, "", False))
        with self.assertRaises(harness.Refusal) as refused:
            self.server.call("DeploymentService", "ResumeDeployment", name=made.name)
        self.assertEqual(refused.exception.reason, "DEPLOYMENT_NOT_HALTED")
        self.assertEqual(self.server.sql("SELECT action, count(*) FROM audit_log WHERE action IN ('deployment.halt',"
                                         " 'deployment.resume') GROUP BY 1 ORDER BY 1"),
                         [["deployment.halt", "2"], ["deployment.resume", "2"]])

    def test_failures_that_somebody_accepts_do_not_stop_the_next_wave(self):
        self.start()
        self.phones(6, "--reject-share", "1")
        made = self.create(wave_size=2)
        for wave in (1, 2):
            halted = self.reaches(made, f"halt {wave}", lambda found: found.state == Deployment.HALTED)
            self.assertEqual(halted.progress.wave, wave)
            self.server.call("DeploymentService", "ResumeDeployment", name=made.name)
        # No wave is left that could be stopped.
        done = self.reaches(made, "the end", lambda found: found.state == Deployment.FINISHED)
        self.assertEqual(done.progress.failed, 6)

    def test_figures_that_make_no_sense_are_refused_and_a_rehearsal_tells_the_waves(self):
        self.start()
        self.server.call("DeviceService", "ImportDevices", csv=b"mac\n" + b"".join(b"02000000%04X\n" % i for i in range(25)))
        place = "locations/Default"
        for field, fields in (("wave_size", dict(wave_size=-1)), ("wave_size", dict(wave_size=100_001)),
                              ("wave_failure_limit_percent", dict(wave_size=5, wave_failure_limit_percent=101)),
                              ("wave_failure_limit_percent", dict(wave_size=5, wave_failure_limit_percent=-1)),
                              ("wave_failure_limit_percent", dict(wave_failure_limit_percent=10))):
            with self.assertRaises(harness.Refusal) as refused:
                self.create(location=place, **fields)
            self.assertEqual((refused.exception.code.name, refused.exception.field), ("INVALID_ARGUMENT", field))
        plan = self.create(location=place, wave_size=10, validate_only=True)
        self.assertEqual((plan.progress.waves, plan.progress.phones_to_come, plan.wave_failure_limit_percent), (3, 25, 10))
        self.assertEqual(self.server.sql("SELECT count(*) FROM deployment"), [["0"]])
        made = self.create(location=place, wave_size=10, activate=False)
        changed = self.server.call("DeploymentService", "UpdateDeployment", name=made.name, wave_size=5,
                                   wave_failure_limit_percent=0).deployment
        self.assertEqual((changed.progress.waves, changed.wave_size, changed.wave_failure_limit_percent), (5, 5, 0))


class CrashInWavesTest(Waves):
    web_port, block = 8612, 142

    def test_kill_at_random_moments_between_and_during_waves(self):
        seed = int(os.environ.get("PHONEPKI_TEST_SEED", time.time()))
        print(f"seed {seed} (set PHONEPKI_TEST_SEED to repeat)")
        chance = random.Random(seed)
        self.start()
        phones = self.phones(60)
        made = self.create(wave_size=6)
        for _ in range(6):
            time.sleep(chance.uniform(0.05, 1.0))
            self.server.kill()
            self.server.start()
        done = self.succeeded(made, 60, 180)
        self.assertEqual((done.state, done.progress.wave, done.progress.total), (Deployment.FINISHED, 10, 60))
        self.assertEqual([len(macs) for macs in self.waves().values()], [6] * 10)
        self.assert_waves_one_after_the_other(10)
        harness.assert_ledger_equals_database(self, self.server, phones)
        self.assertEqual(phones.probe(self.made.certificate.pem)["good"], 60)


class ReplicasInWavesTest(Waves):
    web_port, block = 8613, 143

    def test_of_two_servers_one_starts_a_wave(self):
        self.start()
        second = harness.Server(web_port=self.web_port, share=self.server)
        self.addCleanup(second.close)
        phones = self.phones(60, "--dls-choice", "per-message", doors=[self.server.phone, second.phone])
        made = self.create(wave_size=3)
        done = self.succeeded(made, 60, 120)
        self.assertEqual((done.progress.wave, done.progress.total), (20, 60))
        self.assertEqual([len(macs) for macs in self.waves().values()], [3] * 20)
        self.assert_waves_one_after_the_other(20)
        started = [sum('"wave_started"' in line for line in server.log_text().splitlines()) for server in (self.server, second)]
        self.assertEqual(sum(started), 20, started)
        harness.assert_ledger_equals_database(self, self.server, phones)


if __name__ == "__main__":
    unittest.main(verbosity=2)
