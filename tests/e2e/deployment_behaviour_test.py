"""Automatic deployments and job control (B-003, B-022, B-054 to B-057, b.8) as far as they show without a phone.

The phones are prepared ones: an address where nobody answers, or none at all.
"""

import unittest

import grpc

import behaviour
import harness
from behaviour import at

Deployment = harness.deployment.Deployment


class DeploymentTest(behaviour.BehaviourTest):
    web_port = 8586
    block = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.make_pki()

    def place(self, *rows, prefix=None):
        """A location of its own for a test, by the telephone numbers, and its phones: (ip, fqdn) each."""
        DeploymentTest.block += 1
        self.prefix = prefix or f"{5000 + DeploymentTest.block}"
        made = self.location("CreateLocation", display_name=self.unique("Place"), rules=[
            dict(kind="E164_PREFIX", value=self.prefix)]).location
        self.add(*rows)
        return made

    def mac(self, number):
        return f"00:1A:E8:{DeploymentTest.block:02X}:00:{number:02X}"

    def add(self, *rows, first=1):
        csv = "mac,e164,ip,fqdn\n" + "".join(
            f"{self.mac(i)},{self.prefix}{i},{ip},{fqdn}\n" for i, (ip, fqdn) in enumerate(rows, first))
        answer = self.device("ImportDevices", csv=csv.encode())
        self.assertEqual(answer.failed, 0, answer)

    def create(self, place, connector="connectors/Lab connector", **fields):
        return self.deployment("CreateDeployment", location=place.name, certificate_type="wbm", connector=connector,
                               **fields).deployment

    def state(self, deployment, state):
        def reached():
            found = self.deployment("GetDeployment", name=deployment.name).deployment
            return found if found.state == state else None
        return harness.wait_for(f"state {state}", reached)

    def jobs(self, deployment, **filters):
        return self.server.call("JobService", "ListJobs", deployment=deployment.name, **filters).jobs

    def job(self, deployment, what, condition):
        return harness.wait_for(what, lambda: next((job for job in self.jobs(deployment) if condition(job)), None))

    def failed(self, deployment, reason):
        found = self.job(deployment, reason, lambda job: job.state == harness.job.FAILED)
        self.assertEqual(found.reason, reason, found.reason_text)
        return found

    # ---- B-054 to B-057: location, type, connector, date, activate

    def test_B_054_a_new_rule_is_a_draft_without_jobs(self):
        place = self.place(("", ""))
        made = self.create(place)
        self.assertEqual((made.state, made.active, made.location, made.location_display_name, made.certificate_type),
                         (Deployment.DRAFT, False, place.name, place.display_name, "wbm"))
        self.assertEqual(made.connector_display_name, "Lab connector")
        self.assertGreater(made.job_deadline_seconds, 0)
        self.assertFalse(made.HasField("start_time"))
        self.assertEqual((len(self.jobs(made)), self.audited("deployment.create", made.name)), (0, 1))

    def test_B_054_wrong_references_name_their_field(self):
        place = self.place()
        good = dict(location=place.name, certificate_type="wbm", connector="connectors/Lab connector")
        for field, value, code, reason in (
                ("location", "", "INVALID_ARGUMENT", "RESOURCE_NAME"), ("location", "Lab", "INVALID_ARGUMENT", "RESOURCE_NAME"),
                ("location", "locations/999999", "NOT_FOUND", "NOT_FOUND"),
                ("location", "locations/Nowhere", "NOT_FOUND", "NOT_FOUND"),
                ("connector", "", "INVALID_ARGUMENT", "RESOURCE_NAME"),
                ("connector", "connectors/999999", "NOT_FOUND", "NOT_FOUND"),
                ("connector", "connectors/Nobody", "NOT_FOUND", "NOT_FOUND"),
                ("certificate_type", "", "INVALID_ARGUMENT", "CERTIFICATE_TYPE"),
                ("certificate_type", "fax", "INVALID_ARGUMENT", "CERTIFICATE_TYPE")):
            self.assert_refused(code, reason, field, "DeploymentService", "CreateDeployment", **{**good, field: value})
        for seconds in (-1, 59, 366 * 86400):
            self.assert_refused("INVALID_ARGUMENT", "JOB_DEADLINE", "job_deadline_seconds", "DeploymentService",
                                "CreateDeployment", job_deadline_seconds=seconds, **good)
        self.assert_refused("INVALID_ARGUMENT", "TIMESTAMP", "deploy_date", "DeploymentService", "CreateDeployment",
                            deploy_date=dict(seconds=10**17), **good)

    def test_B_056_jobs_appear_at_the_deploy_date_and_not_before(self):
        made = self.create(self.place(("", ""), ("", "")), deploy_date=at(3600), activate=True)
        self.assertEqual(made.state, Deployment.SCHEDULED)
        self.assertEqual(len(self.jobs(made)), 0)
        changed = self.deployment("UpdateDeployment", name=made.name, deploy_date=at(2)).deployment
        self.assertEqual((changed.state, changed.connector), (Deployment.SCHEDULED, made.connector))
        running = self.state(made, Deployment.RUNNING)
        self.assertGreaterEqual(running.start_time.ToMicroseconds(), running.deploy_date.ToMicroseconds())
        self.assertEqual(running.progress.total, 2)

    def test_B_056_a_date_in_the_past_means_now(self):
        made = self.create(self.place(("", "")), deploy_date=at(-86400))
        self.assertEqual(made.state, Deployment.DRAFT)
        self.assertTrue(self.deployment("ActivateDeployment", name=made.name).deployment.active)
        self.assertEqual(self.state(made, Deployment.RUNNING).progress.total, 1)

    def test_B_056_the_plan_can_change_until_jobs_exist(self):
        place = self.place(("", ""))
        made = self.create(place, deploy_date=at(3600), job_deadline_seconds=7200)
        date = at(7200)
        changed = self.deployment("UpdateDeployment", name=made.name, deploy_date=date).deployment
        self.assertEqual((changed.deploy_date.seconds, changed.job_deadline_seconds), (date["seconds"], 7200))
        changed = self.deployment("UpdateDeployment", name=made.name, job_deadline_seconds=60).deployment
        self.assertEqual((changed.deploy_date.seconds, changed.job_deadline_seconds), (date["seconds"], 60))
        for field, value, code, reason in (("connector", "connectors/999999", "NOT_FOUND", "NOT_FOUND"),
                                           ("job_deadline_seconds", 0, "INVALID_ARGUMENT", "JOB_DEADLINE"),
                                           ("deploy_date", dict(seconds=10**17), "INVALID_ARGUMENT", "TIMESTAMP")):
            self.assert_refused(code, reason, field, "DeploymentService", "UpdateDeployment", name=made.name, **{field: value})
        self.deployment("UpdateDeployment", name=made.name, deploy_date=at(0))
        self.deployment("ActivateDeployment", name=made.name)
        self.state(made, Deployment.RUNNING)
        self.assert_refused("FAILED_PRECONDITION", "DEPLOYMENT_STARTED", "", "DeploymentService", "UpdateDeployment",
                            name=made.name, deploy_date=at(60))

    def test_B_057_a_location_without_phones_finishes_at_once_and_stays_in_force(self):
        made = self.create(self.place(), activate=True)
        done = self.state(made, Deployment.FINISHED)
        self.assertEqual((done.progress.total, done.active), (0, True))

    def test_B_057_one_job_per_phone_and_a_late_joiner_gets_one(self):
        made = self.create(self.place(("", ""), ("", "")), activate=True)
        self.state(made, Deployment.RUNNING)
        self.add(("", ""), first=3)
        jobs = self.jobs(made)
        self.assertEqual(sorted(job.device for job in jobs), [f"devices/{self.mac(i)}" for i in (1, 2, 3)])
        self.assertEqual({job.slot for job in jobs}, {"wbm"})
        self.add(("", ""), first=3)
        self.assertEqual(len(self.jobs(made)), 3, "importing it again makes no second job")

    def test_B_057_a_phone_that_moves_into_the_location_gets_the_job_of_the_new_rule(self):
        first, second = self.place(("", "")), None
        made = self.create(first, activate=True)
        self.state(made, Deployment.RUNNING)
        second = self.location("CreateLocation", display_name=self.unique("Place")).location
        other = self.create(second, activate=True)
        self.state(other, Deployment.FINISHED)
        moved = self.location("UpdateLocation", name=second.name, rules=dict(rules=[
            dict(kind="DEVICE", value=self.mac(1))])).moved_devices
        self.assertEqual(moved, 1)
        self.assertEqual([job.state for job in self.jobs(made)], [harness.job.SUPERSEDED])
        self.assertEqual([job.device for job in self.jobs(other)], [f"devices/{self.mac(1)}"])

    def test_B_057_a_second_rule_for_the_same_location_and_type_supersedes_the_first(self):
        place = self.place(("", ""))
        first = self.create(place, activate=True)
        self.state(first, Deployment.RUNNING)
        second = self.create(place)
        self.assertEqual(self.deployment("GetDeployment", name=first.name).deployment.state, Deployment.RUNNING,
                         "a draft supersedes nothing")
        self.deployment("ActivateDeployment", name=second.name)
        self.state(first, Deployment.SUPERSEDED)
        self.state(second, Deployment.RUNNING)
        old = self.jobs(first)
        self.assertEqual([(job.state, job.reason) for job in old], [(harness.job.SUPERSEDED, "SUPERSEDED_BY_DEPLOYMENT")])
        self.assertIn(second.name, old[0].reason_text)
        self.assertEqual(len(self.jobs(second)), 1)
        self.assert_refused("FAILED_PRECONDITION", "DEPLOYMENT_SUPERSEDED", "", "DeploymentService", "ActivateDeployment",
                            name=first.name)

    # ---- B-003: disabled parts

    def test_B_003_a_disabled_connector_plugin_or_ca_is_not_activated(self):
        ca, plugin = self.make_ca(), self.make_plugin()
        connector = self.make_connector(ca, plugin)
        made = self.create(self.place(), connector=connector.name)

        def refused(reason):
            self.assert_refused("FAILED_PRECONDITION", reason, "", "DeploymentService", "ActivateDeployment", name=made.name)
            before = self.count("deployment")
            self.assert_refused("FAILED_PRECONDITION", reason, "", "DeploymentService", "CreateDeployment", location=made.location,
                                certificate_type="wbm", connector=connector.name, activate=True)
            self.assertEqual(self.count("deployment"), before)
        self.connector("DisableConnector", name=connector.name)
        refused("CONNECTOR_DISABLED")
        self.connector("EnableConnector", name=connector.name)
        self.plugin("DisablePlugin", name=plugin.name, force=True)
        refused("PLUGIN_DISABLED")
        self.plugin("EnablePlugin", name=plugin.name)
        self.ca("DisableInternalCa", name=ca.name, force=True)
        refused("CA_DISABLED")
        self.ca("EnableInternalCa", name=ca.name)
        self.deployment("ActivateDeployment", name=made.name)

    def test_B_003_a_connector_in_use_is_reported_and_cannot_be_deleted(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin())
        made = self.create(self.place(), connector=connector.name, deploy_date=at(3600), activate=True)
        text = self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_IN_USE", "", "ConnectorService", "DisableConnector",
                                   name=connector.name)
        self.assertIn(made.name, text)
        answer = self.connector("DisableConnector", name=connector.name, force=True)
        self.assertEqual(list(answer.affected_deployments), [made.name])
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_IN_USE", "", "ConnectorService", "DeleteConnector",
                            name=connector.name)
        # The active plan does not take a disabled connector either.
        other = self.create(self.place(), deploy_date=at(3600), activate=True)
        self.assert_refused("FAILED_PRECONDITION", "CONNECTOR_DISABLED", "", "DeploymentService", "UpdateDeployment",
                            name=other.name, connector=connector.name)
        self.deployment("DeactivateDeployment", name=made.name)
        self.deployment("DeleteDeployment", name=made.name)
        self.connector("DeleteConnector", name=connector.name)

    def test_B_057_a_connector_disabled_before_the_date_fails_the_jobs_with_that_reason(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin())
        made = self.create(self.place(("127.90.0.1", "")), connector=connector.name, deploy_date=at(3600), activate=True)
        self.connector("DisableConnector", name=connector.name, force=True)
        self.deployment("UpdateDeployment", name=made.name, deploy_date=at(0))
        failed = self.failed(made, "CONNECTOR_DISABLED")
        self.assertIn(connector.display_name, failed.reason_text)
        # Repaired, the job succeeds in getting its certificate.
        self.connector("EnableConnector", name=connector.name)
        harness.wait_for("the connector's new state", lambda: self.retried(failed))

    def retried(self, failed):
        """Issuance looks connectors up at most once a second."""
        self.server.call("JobService", "RetryJob", name=failed.name)
        settled = harness.wait_for("the job", lambda: next((job for job in [
            self.server.call("JobService", "GetJob", name=failed.name).job] if job.certificate or job.finish_time.seconds), None))
        return settled.certificate

    def test_B_057_a_ca_that_expires_before_the_certificate_fails_the_jobs_with_that_reason(self):
        connector = self.make_connector(self.make_ca(years=1), self.make_plugin())
        made = self.create(self.place(("127.90.0.2", "")), connector=connector.name, activate=True)
        self.failed(made, "CA_EXPIRES_FIRST")

    # ---- B-022, C-09: the names of the phones

    def test_B_022_names_that_a_phone_does_not_have(self):
        ca = self.make_ca()
        for source, fqdn, reason in (("fqdn", "", "DEVICE_HAS_NO_FQDN"),):
            connector = self.make_connector(ca, self.make_plugin(internal_x509name_source=source))
            made = self.create(self.place(("127.90.0.3", fqdn)), connector=connector.name, activate=True)
            self.failed(made, reason)

    def test_B_022_an_ipv6_address_becomes_the_name(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin())
        made = self.create(self.place(("2001:db8::1:2", "")), connector=connector.name, activate=True)
        found = self.job(made, "the certificate", lambda job: job.certificate)
        got = self.server.call("CertificateService", "GetCertificate", name=found.certificate).certificate
        self.assertTrue(got.subject.endswith("CN=2001:db8::1:2"), got.subject)
        self.assertIn("IP Address:2001:DB8:0:0:0:0:1:2", behaviour.openssl_text(got.pem))

    def test_C_16_the_certificate_of_a_phone_as_other_tools_see_it(self):
        ca = self.make_ca(key_algorithm="rsa2048")
        connector = self.make_connector(ca, self.make_plugin(internal_key_algorithm="rsa2048",
                                                             internal_x509name_source="fqdn-then-ip"))
        made = self.create(self.place(("127.90.0.4", "phone4.example.com")), connector=connector.name, activate=True)
        found = self.job(made, "the certificate", lambda job: job.certificate)
        got = self.server.call("CertificateService", "GetCertificate", name=found.certificate).certificate
        self.assertEqual((got.device, got.job, got.kind, got.internal_ca), (found.device, found.name, "wbm", ca.name))
        text = behaviour.openssl_text(got.pem)
        self.assertEqual(behaviour.extension(text, "Basic Constraints"), (True, ["CA:FALSE"]))
        self.assertEqual(behaviour.extension(text, "Key Usage"), (False, ["Digital Signature, Non Repudiation, Key Encipherment"]))
        self.assertEqual(behaviour.extension(text, "Extended Key Usage"), (False, ["TLS Web Server Authentication"]))
        self.assertEqual(behaviour.extension(text, "Subject Alternative Name"), (False, ["DNS:phone4.example.com"]))
        self.assertNotIn("DirName", text, "C-19: the AKI of a leaf names the key only")
        self.assertEqual(text.count("critical"), 1, "C-19: basicConstraints is the only critical extension")
        root, leaf = self.path("root.pem", ca.certificate.pem), self.path("leaf.pem", got.pem)
        behaviour.run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "phone4.example.com",
                      "-CAfile", root, leaf)
        behaviour.run("certtool", "--verify", "--load-ca-certificate", root, "--verify-hostname", "phone4.example.com",
                      "--verify-purpose", "1.3.6.1.5.5.7.3.1", "--infile", leaf)
        self.assertGreaterEqual(int(got.serial, 16).bit_length(), 100)
        listed = self.server.call("CertificateService", "ListCertificates", device=found.device).certificates
        self.assertEqual([c.name for c in listed], [got.name])

    def test_C_09_a_subject_belongs_to_one_phone_until_it_is_free_again(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin())
        made = self.create(self.place(("127.90.0.5", "")), connector=connector.name, activate=True)
        self.job(made, "the certificate", lambda job: job.certificate)
        self.add(("127.90.0.5", ""), first=2)
        failed = self.failed(made, "SUBJECT_TAKEN")
        self.assertEqual(failed.device, f"devices/{self.mac(2)}")
        self.device("DeleteDevice", name=f"devices/{self.mac(1)}", force=True)
        self.server.call("JobService", "RetryJob", name=failed.name)
        found = self.job(made, "its certificate", lambda job: job.certificate)
        self.assertEqual(found.device, failed.device)

    def test_C_09_an_address_that_moved_to_another_phone_moves_its_name_along(self):
        connector = self.make_connector(self.make_ca(), self.make_plugin())
        made = self.create(self.place(("127.90.0.6", "")), connector=connector.name, activate=True)
        first = self.job(made, "the certificate", lambda job: job.certificate)
        # As if the phone had served it, got another address, and serves a certificate of that one now.
        self.server.sql("UPDATE certificate SET state = 'superseded' WHERE id = " + first.certificate.partition("/")[2])
        self.server.call("JobService", "CancelJob", name=first.name)
        self.add(("127.90.0.7", ""), first=1)
        self.server.call("JobService", "RetryJob", name=first.name)
        self.job(made, "another certificate", lambda job: job.certificate and job.certificate != first.certificate)
        self.add(("127.90.0.6", ""), first=2)
        self.job(made, "the second phone", lambda job: job.device.endswith("02") and job.certificate)

    # ---- b.8: job control

    def test_b_8_a_phone_that_was_never_seen_waits_and_has_a_history(self):
        made = self.create(self.place(("", "")), activate=True)
        found = self.job(made, "the wait", lambda job: job.state == harness.job.DEFERRED)
        self.assertEqual(found.reason, "PHONE_OFFLINE")
        got = self.server.call("JobService", "GetJob", name=found.name).job
        self.assertEqual(got.history[0].to_state, harness.job.SCHEDULED)
        self.assertEqual(got.history[-1].to_state, harness.job.DEFERRED)
        self.assertGreater(got.deadline.seconds, got.create_time.seconds)
        self.assertEqual(self.server.progress(made.name)["deferred_offline"], 1)

    def test_b_8_jobs_are_cancelled_and_retried(self):
        made = self.create(self.place(("", "")), activate=True)
        found = self.job(made, "the wait", lambda job: job.state == harness.job.DEFERRED)
        self.assert_refused("FAILED_PRECONDITION", "JOB_FINAL", "", "JobService", "RetryJob", name=found.name)
        cancelled = self.server.call("JobService", "CancelJob", name=found.name).job
        self.assertEqual(cancelled.state, harness.job.CANCELLED)
        self.assertTrue(cancelled.HasField("finish_time"))
        self.assert_refused("FAILED_PRECONDITION", "JOB_FINAL", "", "JobService", "CancelJob", name=found.name)
        self.state(made, Deployment.FINISHED)
        again = self.server.call("JobService", "RetryJob", name=found.name).job
        self.assertFalse(again.HasField("finish_time"))
        self.assertEqual((self.audited("job.cancel", found.name), self.audited("job.retry", found.name)), (1, 1))

    def test_b_8_jobs_are_listed_by_state_device_and_reason(self):
        made = self.create(self.place(("", ""), ("", ""), ("", "")), activate=True)
        harness.wait_for("three waits", lambda: self.server.progress(made.name)["deferred_offline"] == 3)
        self.assertEqual(len(self.jobs(made, states=["DEFERRED"])), 3)
        self.assertEqual(len(self.jobs(made, states=["FAILED", "SUCCEEDED"])), 0)
        self.assertEqual(len(self.jobs(made, reason="PHONE_OFFLINE", device=f"devices/{self.mac(2)}")), 1)
        self.assertEqual(len(self.jobs(made, device=f"devices/{self.mac(2).lower()}")), 1)
        self.assert_pages("JobService", "ListJobs", "jobs", deployment=made.name)
        for field, value, code, reason in (
                ("device", "x", "INVALID_ARGUMENT", "RESOURCE_NAME"), ("device", "devices/x", "INVALID_ARGUMENT", "MAC"),
                ("device", "devices/00:1A:E8:99:99:99", "NOT_FOUND", "NOT_FOUND"),
                ("deployment", "deployments/x", "INVALID_ARGUMENT", "RESOURCE_NAME"),
                ("states", [99], "INVALID_ARGUMENT", "JOB_STATE"), ("states", [0], "INVALID_ARGUMENT", "JOB_STATE")):
            self.assert_refused(code, reason, field, "JobService", "ListJobs", **{field: value})
        self.assert_names_are_checked("JobService", ["GetJob", "CancelJob", "RetryJob"], "jobs")
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "deployment", "JobService", "RetryFailedJobs", deployment="deployments/999999")

    def test_b_8_a_job_past_its_deadline_times_out_and_is_retried_with_a_new_one(self):
        made = self.create(self.place(("", "")), activate=True, job_deadline_seconds=60)
        found = self.job(made, "the wait", lambda job: job.state == harness.job.DEFERRED)
        self.server.sql("UPDATE job SET deadline = now() WHERE id = " + found.name.partition("/")[2])
        found = self.job(made, "the end", lambda job: job.state == harness.job.TIMED_OUT)
        self.assertTrue(found.reason)
        self.assertEqual(self.server.call("JobService", "RetryFailedJobs", deployment=made.name).retried, 1)
        again = self.server.call("JobService", "GetJob", name=found.name).job
        self.assertGreater(again.deadline.seconds, at(30)["seconds"])

    def test_deactivation_stops_late_joiners_and_can_cancel_what_is_left(self):
        made = self.create(self.place(("", ""), ("", "")), activate=True)
        self.state(made, Deployment.RUNNING)
        answer = self.deployment("DeactivateDeployment", name=made.name)
        self.assertEqual((answer.deployment.state, answer.cancelled_jobs), (Deployment.INACTIVE, 0))
        self.add(("", ""), first=3)
        self.assertEqual(len(self.jobs(made)), 2)
        self.assert_refused("FAILED_PRECONDITION", "DEPLOYMENT_ACTIVE", "", "DeploymentService", "DeleteDeployment", name=made.name)
        answer = self.deployment("DeactivateDeployment", name=made.name, cancel_jobs=True)
        self.assertEqual((answer.cancelled_jobs, answer.deployment.progress.cancelled), (2, 2))
        self.deployment("DeleteDeployment", name=made.name)
        self.assertEqual((len(self.jobs(made)), self.audited("deployment.delete", made.name)), (0, 1))
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "DeploymentService", "GetDeployment", name=made.name)

    def test_a_rule_that_comes_back_into_force_serves_who_joined_meanwhile(self):
        made = self.create(self.place(("", ""), ("", "")), activate=True)
        self.state(made, Deployment.RUNNING)
        self.deployment("DeactivateDeployment", name=made.name)
        self.add(("", ""), first=3)
        self.deployment("ActivateDeployment", name=made.name)
        harness.wait_for("the third job", lambda: len(self.jobs(made)) == 3)
        self.assertEqual(sorted(job.device for job in self.jobs(made)), [f"devices/{self.mac(i)}" for i in (1, 2, 3)])
        self.deployment("ActivateDeployment", name=made.name)
        self.assertEqual(self.state(made, Deployment.RUNNING).progress.total, 3)

    def test_an_active_rule_cannot_be_deleted(self):
        made = self.create(self.place(), activate=True)
        self.state(made, Deployment.FINISHED)
        self.assert_refused("FAILED_PRECONDITION", "DEPLOYMENT_ACTIVE", "", "DeploymentService", "DeleteDeployment", name=made.name)

    def test_progress_can_be_watched_and_wrong_names_are_refused(self):
        def watch(*names):
            request = harness.deployment.WatchProgressRequest(names=names)
            stream = self.server.channel.unary_stream(
                "/phonepki.deployment.v1.DeploymentService/WatchProgress",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=harness.deployment.WatchProgressResponse.FromString)
            return stream(request, timeout=30)
        made = self.create(self.place(), activate=True)
        last = list(watch(made.name))[-1]
        self.assertTrue(last.finished)
        self.assertEqual([d.name for d in last.deployments], [made.name])
        for names, code, reason in (((), "INVALID_ARGUMENT", "NAMES_MISSING"), (("x",), "INVALID_ARGUMENT", "RESOURCE_NAME"),
                                    (("deployments/999999",), "NOT_FOUND", "NOT_FOUND")):
            with self.assertRaises(grpc.RpcError) as caught:
                list(watch(*names))
            refusal = harness.Refusal(caught.exception)
            self.assertEqual((refusal.code.name, refusal.reason, refusal.field), (code, reason, "names"))

    def test_conventions(self):
        places = [self.place() for _ in range(3)]
        for place in places:
            self.create(place)
        self.assert_pages("DeploymentService", "ListDeployments", "deployments")
        found = self.deployment("ListDeployments", location=f"locations/{places[0].display_name}").deployments
        self.assertEqual([d.location for d in found], [places[0].name])
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "location", "DeploymentService", "ListDeployments", location="locations/999999")
        self.assert_names_are_checked("DeploymentService", [
            "GetDeployment", "UpdateDeployment", "ActivateDeployment", "DeactivateDeployment", "DeleteDeployment"], "deployments")
        self.assert_create_is_idempotent("DeploymentService", "CreateDeployment", "deployment", "deployment",
                                         location=places[1].name, certificate_type="wbm", connector="connectors/Lab connector",
                                         deploy_date=at(3600), activate=True)
        self.assertEqual(self.count("job WHERE deployment_id IN (SELECT id FROM deployment WHERE started_at IS NULL)"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
