"""No query on the path of a phone, a job or a person may scan a table (design.md 9): counted by PostgreSQL itself in
a database of 100,000 phones that have a history."""

import time
import unittest

import harness

DEVICES = 100_000
# One pass over any of the large tables or their indexes reads this much; everything together may read a fifth of it.
LIMIT = DEVICES // 5

LOAD = f"""
INSERT INTO location (display_name, priority) VALUES ('Elsewhere', 1);
INSERT INTO deployment (location_id, slot, connector_id, active, superseded, started_at, job_deadline)
SELECT l.id, 'wbm', c.id, false, true, now() - interval '1 day', interval '7 days'
  FROM location l, connector c, generate_series(1, 10) WHERE l.display_name = 'Elsewhere';
INSERT INTO device (mac, state, location_id, e164, ip_address, device_type, last_contact_at, inventory_at)
SELECT '02:00:00:' || upper(substr(h, 1, 2) || ':' || substr(h, 3, 2) || ':' || substr(h, 5, 2)), 'registered', l.id,
       (49890000000 + i)::text, '10.0.0.0'::inet + i, 'CP600', now(), now()
  FROM location l, generate_series(1, {DEVICES}) i, lpad(to_hex(i), 6, '0') h WHERE l.display_name = 'Elsewhere';
INSERT INTO device_inventory SELECT id, '{{"device-type": "CP600"}}' FROM device WHERE mac LIKE '02:%';
INSERT INTO certificate (ca_id, serial, kind, state, subject, not_before, not_after, tbs_digest, der, sha256, device_id, slot)
SELECT a.id, decode(md5(v.mac), 'hex'), 'wbm', 'active', 'CN=' || v.mac, now(), now() + interval '1 year', 'x', repeat('x', 600)::bytea,
       decode(md5(v.mac), 'hex'), v.id, 'wbm' FROM device v, internal_ca a WHERE v.mac LIKE '02:%';
INSERT INTO subject_claim SELECT c.ca_id, c.subject, c.device_id, c.slot FROM certificate c WHERE c.subject LIKE 'CN=02:%';
INSERT INTO device_slot (device_id, slot, active_id, active_at)
SELECT device_id, slot, id, now() FROM certificate WHERE subject LIKE 'CN=02:%';
-- Half of the phones are done; a fifth waits for phones that are off, as a large fleet always has some.
INSERT INTO job (deployment_id, device_id, location_id, slot, state, reason, run_at, deadline, finished_at)
SELECT d.id, v.id, v.location_id, 'wbm', 'succeeded', 'VERIFIED', now(), now() + interval '7 days', now()
  FROM device v JOIN deployment d ON d.id = (SELECT min(id) FROM deployment WHERE superseded) + v.id % 10
 WHERE v.mac LIKE '02:%' AND v.id % 10 < 5;
INSERT INTO job (deployment_id, device_id, location_id, slot, state, reason, run_at, deadline)
SELECT d.id, v.id, v.location_id, 'wbm', 'deferred', 'PHONE_OFFLINE', now() + interval '1 hour', now() + interval '7 days'
  FROM device v JOIN deployment d ON d.id = (SELECT min(id) FROM deployment WHERE superseded) + v.id % 10
 WHERE v.mac LIKE '02:%' AND v.id % 10 >= 8;
-- A third is in secure mode, a few are stranded.
UPDATE device SET security_state = CASE WHEN id % 300 = 0 THEN 'desynchronised' ELSE 'secure' END
 WHERE mac LIKE '02:%' AND id % 3 = 0;
INSERT INTO security_state_event (device_id, state, text)
SELECT id, security_state, 'because' FROM device WHERE security_state <> 'default';
INSERT INTO security_event (kind, door, address, mac) SELECT 'DEFAULT_MODE_REFUSED', 'default', '10.0.0.1', mac
  FROM device WHERE mac LIKE '02:%';
INSERT INTO audit_log (actor, action, object) SELECT 'system', 'key.use', 'internalCas/1' FROM generate_series(1, {DEVICES});
"""


class Plans(unittest.TestCase):
    def start_server(self, web_port, block):
        self.server = harness.Server(web_port=web_port)
        self.addCleanup(self.server.close)
        self.server.make_pki()
        self.server.call("LocationService", "CreateLocation", display_name="Lab",
                         rules=[dict(kind="CIDR", value=f"127.{block}.0.0/16")])

    def scans(self):
        """Closes the server's connections (they report what they did), then: rows read in scans, by table and by index."""
        self.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                        " AND backend_type = 'client backend'")
        time.sleep(0.5)
        tables = {name: int(count) for name, count in self.server.sql(
            f"SELECT s.relname, seq_tup_read FROM pg_stat_user_tables s JOIN pg_class t ON t.oid = relid WHERE reltuples > {LIMIT}")}
        indexes = {name: int(count) for name, count in self.server.sql(
            f"SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes JOIN pg_class t ON t.oid = relid"
            f" WHERE reltuples > {LIMIT}")}
        return tables, indexes

    def check(self, what, limit=LIMIT):
        tables, indexes = self.scans()
        self.assertIn("device", tables, "the statistics are not there")
        self.assertEqual({name: count for name, count in tables.items() if count > limit - LIMIT}, {}, f"{what} scanned tables")
        self.assertEqual({name: count for name, count in indexes.items() if count > limit}, {}, f"{what} read whole indexes")


class LargeFleetTest(Plans):
    def setUp(self):
        self.start_server(8573, 51)
        self.server.sql(LOAD)
        self.server.sql("VACUUM ANALYZE")

    def start_counting(self):
        self.scans()
        self.server.sql("SELECT pg_stat_reset()")

    def test_a_rollout_scans_nothing(self):
        phones = harness.Phones(40, 51, [self.server.phone], 8573, "--fragment-share", "0.5", "--busy-share", "0.2",
                                "--busy-seconds", "1")
        self.addCleanup(phones.close)
        self.start_counting()
        deployment = self.server.deploy("Lab")
        harness.wait_for("40 verified phones", lambda: self.server.progress(deployment)["succeeded"] == 40)
        harness.wait_for("a restarted fleet", lambda: self.server.sql("SELECT count(*) FROM phone_session") == [["0"]])
        self.check("the roll-out")

    def test_a_wave_reads_no_more_than_its_phones(self):
        # Nobody knows where these phones are: off at once, and the next wave comes.
        self.server.sql("UPDATE device SET ip_address = NULL WHERE mac < '02:00:00:00:04:00' AND mac LIKE '02:%'")
        deployment = self.server.call("DeploymentService", "CreateDeployment", location="locations/Elsewhere", certificate_type="wbm",
                                      connector="connectors/Lab connector", wave_size=20, activate=True).deployment.name

        def waves():
            return int(self.server.sql(f"SELECT wave FROM deployment WHERE 'deployments/' || id = '{deployment}'")[0][0])
        harness.wait_for("the first wave", lambda: waves() >= 1)
        self.start_counting()
        first = waves()
        harness.wait_for("ten more", lambda: waves() >= first + 10)
        self.check("ten waves")

    def test_what_people_ask_scans_nothing(self):
        self.start_counting()
        ca = self.server.call("InternalCaService", "ListInternalCas").internal_cas[0].name
        asked = [
            ("DeviceService", "GetDevice", dict(name="devices/02:00:00:00:10:00")),
            ("DeviceService", "ListDevices", dict(page_size=50)),
            ("DeviceService", "ListDevices", dict(page_size=50, location="locations/Elsewhere")),
            ("DeviceService", "ListDevices", dict(page_size=50, e164_prefix="49890000012")),
            ("DeviceService", "ListDevices", dict(page_size=50, mac_prefix="02:00:00:00:2")),
            ("DeviceService", "ListDevices", dict(page_size=50, ip_network="10.0.1.0/24")),
            ("DeviceService", "ListDevices", dict(page_size=50, ip_network="10.0.1.0/24", location="locations/Elsewhere")),
            ("JobService", "ListJobs", dict(page_size=50)),
            ("JobService", "ListJobs", dict(page_size=50, device="devices/02:00:00:00:10:00")),
            ("CertificateService", "ListCertificates", dict(page_size=50)),
            ("CertificateService", "ListCertificates", dict(page_size=50, internal_ca=ca)),
            ("CertificateService", "ListCertificates", dict(page_size=50, device="devices/02:00:00:00:10:00")),
            ("DeploymentService", "ListDeployments", dict(page_size=5, location="locations/Lab")),
            ("SecurityService", "ListSecureDevices", dict(page_size=50)),
            ("SecurityService", "ListSecureDevices", dict(page_size=50, state="DESYNCHRONISED")),
            ("SecurityService", "ListSecurityStates", dict(page_size=50, device="devices/02:00:00:00:10:00")),
            ("SecurityService", "ListSecurityEvents", dict(page_size=50)),
            ("SecurityService", "ListSecurityEvents", dict(page_size=50, device="devices/02:00:00:00:10:00")),
            ("SecurityService", "RegenerateDevicePin", dict(device="devices/02:00:00:00:10:00")),
        ]
        for service, method, fields in asked:
            for _ in range(7):  # the sixth call of a prepared statement may get a plan for any arguments
                self.server.call(service, method, **fields)
        self.check("a list")


class GrownFleetTest(Plans):
    def test_a_plan_made_while_the_tables_were_empty_scans_nothing_when_they_are_full(self):
        self.start_server(8574, 52)
        self.server.sql("ALTER SYSTEM SET autovacuum = off")
        self.server.sql("SELECT pg_reload_conf()")
        self.server.sql("VACUUM ANALYZE")
        first = harness.Phones(40, 52, [self.server.phone], 8574)
        self.addCleanup(first.close)
        deployment = self.server.deploy("Lab")
        harness.wait_for("40 verified phones", lambda: self.server.progress(deployment)["succeeded"] == 40)
        self.server.sql(LOAD)
        self.server.sql("SELECT pg_stat_reset()")
        deployment = self.server.deploy("Lab")
        harness.wait_for("40 renewed phones", lambda: self.server.progress(deployment)["succeeded"] == 40)
        self.server.sql("ANALYZE")  # check() asks for the sizes
        # Counted as well: the first roll-out, and one pass over unfinished jobs at the start of a deployment, which
        # has no statistics to know better.
        self.check("the second roll-out", 2 * LIMIT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
