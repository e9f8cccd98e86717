"""The main job on a difficult fleet, and what must be visible afterwards."""

import unittest

import harness


class RolloutTest(unittest.TestCase):
    def test_busy_dropping_fragmenting_and_late_phones_all_get_there(self):
        server = harness.Server(web_port=8543)
        self.addCleanup(server.close)
        made = server.make_pki()
        self.assertTrue(server.call("ConnectorService", "TestConnector", name="connectors/Lab connector").success)
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.21.0.0/16")])
        phones = harness.Phones(60, 21, [server.phone], 8543, "--profile", "mix", "--busy-share", "0.2", "--busy-seconds",
                                "1", "--drop-share", "0.05", "--fragment-share", "0.5", "--offline-share", "0.1",
                                "--offline-seconds", "4")
        self.addCleanup(phones.close)
        deployment = server.deploy("Lab")
        # Late joiners count too (G-17): phones that were off when the deployment started.
        harness.wait_for("60 verified phones", lambda: server.progress(deployment)["succeeded"] == 60, 90)
        self.assertEqual(phones.probe(made.certificate.pem)["good"], 60)
        harness.assert_ledger_equals_database(self, server, phones)
        self.assertEqual(list(phones.events("crash")), [], "a phone was knocked at too often")

        # B-058: deployed automatically, so visible as active and never as imported.
        seen = server.call("DeviceService", "GetDevice", name="devices/00:1A:E8:15:00:01").device
        self.assertEqual(seen.slots[0].kind, "wbm")
        self.assertTrue(seen.slots[0].active.serial)
        self.assertFalse(seen.slots[0].HasField("imported"))
        self.assertEqual(seen.location_display_name, "Lab")
        names = {item.name for item in seen.items}
        self.assertIn("device-type", names)
        self.assertNotIn("user-pwd", names, "a user's password was stored")
        self.assertNotIn("123456", server.log_text(), "a user's password was logged")

        # Keys are gone once activation is verified (design.md 7).
        self.assertEqual(server.sql("SELECT count(*) FROM certificate_key"), [["0"]])
        history = server.call("JobService", "GetJob", name=f"jobs/{server.sql('SELECT min(id) FROM job')[0][0]}").job.history
        self.assertEqual([event.to_state for event in history][0], harness.job.SCHEDULED)
        self.assertEqual([event.to_state for event in history][-1], harness.job.SUCCEEDED)

    def test_a_rejected_item_fails_with_its_reason_and_can_be_retried(self):
        server = harness.Server(web_port=8544)
        self.addCleanup(server.close)
        server.make_pki()
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.22.0.0/16")])
        phones = harness.Phones(3, 22, [server.phone], 8544, "--reject-share", "1")
        self.addCleanup(phones.close)
        deployment = server.deploy("Lab")
        harness.wait_for("3 failures", lambda: server.progress(deployment)["failed"] == 3)
        jobs = server.call("JobService", "ListJobs", deployment=deployment).jobs
        self.assertEqual({job.reason for job in jobs}, {"ITEM_REJECTED"})
        self.assertIn("invalid data", jobs[0].reason_text)
        self.assertEqual(server.call("JobService", "RetryFailedJobs", deployment=deployment).retried, 3)
        harness.wait_for("3 failures again", lambda: server.progress(deployment)["failed"] == 3)

    def test_a_virtual_device_turns_real_and_an_offline_one_waits_without_failing(self):
        server = harness.Server(web_port=8545)
        self.addCleanup(server.close)
        server.make_pki()
        server.call("LocationService", "CreateLocation", display_name="Lab",
                    rules=[dict(kind="DEVICE", value="00-1a-e8-17-00-01"), dict(kind="CIDR", value="127.23.0.0/16")])
        imported = server.call("DeviceService", "ImportDevices",
                               csv=b"mac,e164\n001AE8170001,498912\nnot-a-mac,1\n00:1A:E8:17:00:02,49x\n")
        self.assertEqual((imported.created, imported.failed), (1, 2))
        self.assertEqual([(e.line, e.reason) for e in imported.errors], [(3, "MAC"), (4, "E164")])
        deployment = server.deploy("Lab")
        harness.wait_for("the job to wait", lambda: server.progress(deployment)["deferred_offline"] == 1)
        phones = harness.Phones(1, 23, [server.phone], 8545)
        self.addCleanup(phones.close)
        harness.wait_for("the phone", lambda: server.progress(deployment)["succeeded"] == 1)

    def test_a_second_deployment_supersedes_the_first_and_replaces_its_certificates(self):
        server = harness.Server(web_port=8546)
        self.addCleanup(server.close)
        made = server.make_pki()
        server.call("LocationService", "CreateLocation", display_name="Lab", rules=[dict(kind="CIDR", value="127.24.0.0/16")])
        phones = harness.Phones(5, 24, [server.phone], 8546)
        self.addCleanup(phones.close)
        first = server.deploy("Lab")
        harness.wait_for("5 phones", lambda: server.progress(first)["succeeded"] == 5)
        second = server.deploy("Lab")
        harness.wait_for("5 phones again", lambda: server.progress(second)["succeeded"] == 5)
        self.assertEqual(phones.probe(made.certificate.pem)["good"], 5)
        self.assertEqual(server.sql("SELECT state, count(*) FROM certificate WHERE device_id IS NOT NULL GROUP BY 1 ORDER BY 1"),
                         [["active", "5"], ["superseded", "5"]])
        self.assertEqual(server.call("DeploymentService", "GetDeployment", name=first).deployment.state,
                         harness.deployment.Deployment.SUPERSEDED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
