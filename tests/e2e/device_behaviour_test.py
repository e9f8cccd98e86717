"""Locations and devices through the API: rules, dry runs, CSV import, search (B-059, D-33)."""

import unittest

import behaviour
import harness

Device = harness.device.Device


def mac(last, block=0):
    return f"00:1A:E8:{block:02X}:{last >> 8:02X}:{last & 255:02X}"


class LocationTest(behaviour.BehaviourTest):
    web_port = 8584

    def setUp(self):
        super().setUp()
        self.addCleanup(self.clear)

    def clear(self):
        for found in self.location("ListLocations", page_size=1000).locations:
            if not found.is_default:
                self.location("DeleteLocation", name=found.name)
        for found in self.device("ListDevices", page_size=1000).devices:
            self.device("DeleteDevice", name=found.name)

    def create(self, *rules, **fields):
        return self.location("CreateLocation", display_name=self.unique("Location"), rules=[
            dict(kind=kind, value=value) for kind, value in rules], **fields)

    def phones(self, *rows):
        answer = self.device("ImportDevices", csv=("mac,e164,ip,device_type\n" + "\n".join(rows)).encode())
        self.assertEqual(answer.failed, 0, answer)

    def where(self, number, block=0):
        return self.device("GetDevice", name=f"devices/{mac(number, block)}").device.location_display_name

    def test_B_059_exactly_one_default_location_takes_whom_no_rule_takes(self):
        defaults = [found for found in self.location("ListLocations").locations if found.is_default]
        self.assertEqual(len(defaults), 1)
        self.phones(f"{mac(1)},,,")
        self.assertEqual(self.where(1), defaults[0].display_name)
        self.assertEqual(self.location("GetLocation", name=defaults[0].name).location.device_count, 1)
        self.assert_refused("FAILED_PRECONDITION", "DEFAULT_LOCATION", "", "LocationService", "DeleteLocation",
                            name=defaults[0].name)
        rule = dict(kind="E164_PREFIX", value="49")
        self.assert_refused("INVALID_ARGUMENT", "DEFAULT_LOCATION", "rules", "LocationService", "UpdateLocation",
                            name=defaults[0].name, rules=dict(rules=[rule]))
        self.assert_refused("INVALID_ARGUMENT", "DEFAULT_LOCATION", "rules", "LocationService", "TryLocationRules",
                            name=defaults[0].name, rules=[rule])
        changed = self.location("UpdateLocation", name=defaults[0].name, description="elsewhere").location
        self.assertEqual((changed.description, changed.is_default), ("elsewhere", True))

    def test_B_059_every_kind_of_rule_places_phones_in_the_same_transaction(self):
        self.phones(f"{mac(1)},4989111,10.1.2.3,OpenScape Desk Phone CP600", f"{mac(2)},4930222,10.2.0.1,OpenStage 40",
                    f"{mac(3)},,2001:db8::5,", f"{mac(4)},4989999,192.168.0.1,OpenScape Desk Phone CP200")
        cases = [
            (("CIDR", "10.1.0.0/16"), [1]), (("CIDR", "10.0.0.0/8"), [1, 2]), (("CIDR", "10.2.0.1"), [2]),
            (("CIDR", "2001:db8::/32"), [3]), (("CIDR", "0.0.0.0/0"), [1, 2, 4]), (("E164_PREFIX", "4989"), [1, 4]),
            (("DEVICE_TYPE", "OpenStage 40"), [2]), (("DEVICE_TYPE", "OpenScape Desk Phone CP*"), [1, 4]),
            (("DEVICE_TYPE", "OpenStage"), []), (("DEVICE", "001ae8000003"), [3]),
        ]
        for rule, taken in cases:
            with self.subTest(rule):
                tried = self.location("TryLocationRules", rules=[dict(kind=rule[0], value=rule[1])])
                self.assertEqual([move.device for move in tried.moves], [f"devices/{mac(i)}" for i in taken])
                self.assertEqual((tried.total_moves, tried.devices_checked), (len(taken), 4))
                made = self.create(rule)
                self.assertEqual((made.moved_devices, made.location.device_count), (len(taken), len(taken)))
                self.assertEqual([i for i in (1, 2, 3, 4) if self.where(i) == made.location.display_name], taken)
                self.assertEqual(self.location("DeleteLocation", name=made.location.name).moved_devices, len(taken))

    def test_B_059_rules_are_stored_in_canonical_form(self):
        made = self.create(("CIDR", "10.1.2.3/16"), ("CIDR", "2001:DB8:0::/32"), ("DEVICE", "00-1a-e8-00-00-01")).location
        self.assertEqual({rule.value for rule in made.rules}, {"10.1.0.0/16", "2001:db8::/32", "00:1A:E8:00:00:01"})

    def test_B_059_impossible_rules_are_refused(self):
        cases = [
            ("CIDR", "10.0.0.0/33", "RULE_CIDR"), ("CIDR", "10.0.0/8", "RULE_CIDR"), ("CIDR", "x", "RULE_CIDR"),
            ("CIDR", "10.0.0.0/8/9", "RULE_CIDR"), ("CIDR", "10.0.0.0/-1", "RULE_CIDR"), ("CIDR", "", "RULE_CIDR"),
            ("E164_PREFIX", "+49", "RULE_E164"), ("E164_PREFIX", "", "RULE_E164"), ("E164_PREFIX", "1" * 16, "RULE_E164"),
            ("DEVICE_TYPE", "", "RULE_DEVICE_TYPE"), ("DEVICE_TYPE", "*", "RULE_DEVICE_TYPE"),
            ("DEVICE_TYPE", "Open*Stage", "RULE_DEVICE_TYPE"), ("DEVICE", "00:1A", "RULE_DEVICE"),
            ("DEVICE", "01:00:5E:00:00:01", "RULE_DEVICE"), ("DEVICE_TYPE", "x" * 201, "RULE_TOO_LONG"),
            ("DEVICE_TYPE", "nul\0", "RULE_TOO_LONG"),
        ]
        for kind, value, reason in cases:
            with self.subTest(f"{kind} {value}"):
                rules = [dict(kind="E164_PREFIX", value="49"), dict(kind=kind, value=value)]
                self.assert_refused("INVALID_ARGUMENT", reason, "rules[1].value", "LocationService", "CreateLocation",
                                    display_name=self.unique("Location"), rules=rules)
                self.assert_refused("INVALID_ARGUMENT", reason, "rules[1].value", "LocationService", "TryLocationRules",
                                    rules=rules)
        self.assert_refused("INVALID_ARGUMENT", "RULE_KIND", "rules[0].kind", "LocationService", "CreateLocation",
                            display_name=self.unique("Location"), rules=[dict(value="49")])

    def test_a_location_names_the_server_that_its_phones_call(self):
        made = self.location("CreateLocation", display_name=self.unique("Location"), server_address="FD00:0:0::7",
                             server_port=443, server_secure_port=444).location
        self.assertEqual((made.server_address, made.server_port, made.server_secure_port), ("fd00::7", 443, 444))
        kept = self.location("UpdateLocation", name=made.name, description="elsewhere").location
        self.assertEqual((kept.server_address, kept.server_port, kept.server_secure_port), ("fd00::7", 443, 444))
        changed = self.location("UpdateLocation", name=made.name, server_address="DLS.example.com", server_port=0).location
        self.assertEqual((changed.server_address, changed.server_port, changed.server_secure_port), ("dls.example.com", 0, 444))
        self.assertEqual(self.location("GetLocation", name=made.name).location, changed)
        self.assertIn(changed, self.location("ListLocations", page_size=1000).locations)
        port_alone = self.location("UpdateLocation", name=made.name, server_address="", server_secure_port=9).location
        self.assertEqual((port_alone.server_address, port_alone.server_secure_port), ("", 9))

    def test_servers_that_no_phone_can_call_are_refused(self):
        made = self.create().location
        wrong = [(dict(server_address=address), "SERVER_ADDRESS", "server_address") for address in (
            "10.1.2.3:443", "[fd00::1]", "https://dls", "10.1.2.300", "a b", "0.0.0.0", "224.0.0.1", "255.255.255.255",
            "::", "ff02::1", "fe80::1", "::ffff:10.1.2.3", "x" * 254)]
        wrong += [(dict(server_address="10.1.2.3", **{field: port}), "SERVER_PORT", field)
                  for field in ("server_port", "server_secure_port") for port in (-1, 65536)]
        wrong.append((dict(server_port=443), "SERVER_PORT", "server_port"))
        for fields, reason, field in wrong:
            with self.subTest(fields):
                self.assert_refused("INVALID_ARGUMENT", reason, field, "LocationService", "CreateLocation",
                                    display_name=self.unique("Location"), **fields)
                self.assert_refused("INVALID_ARGUMENT", reason, field, "LocationService", "UpdateLocation", name=made.name,
                                    **fields)
        self.assertEqual(self.location("GetLocation", name=made.name).location, made)

    def test_overlapping_locations_priority_then_specificity_then_age(self):
        self.phones(f"{mac(1)},4989111,10.1.2.3,CP600")
        wide = self.create(("CIDR", "10.0.0.0/8")).location
        self.assertEqual(self.where(1), wide.display_name)
        same = self.create(("CIDR", "10.0.0.0/8")).location
        self.assertEqual((self.where(1), same.device_count), (wide.display_name, 0), "the older location wins")
        narrow = self.create(("CIDR", "10.1.0.0/16")).location
        self.assertEqual(self.where(1), narrow.display_name, "the longer prefix wins")
        named = self.create(("DEVICE", mac(1))).location
        self.assertEqual(self.where(1), named.display_name, "a device by name is most specific")
        first = self.create(("CIDR", "10.0.0.0/8"), priority=101).location
        self.assertEqual(self.where(1), first.display_name, "the higher priority wins")
        changed = self.location("UpdateLocation", name=first.name, priority=99)
        self.assertEqual((changed.moved_devices, changed.location.device_count, self.where(1)), (1, 0, named.display_name))
        for priority in (-1, 1001):
            for method, extra in (("CreateLocation", dict(display_name=self.unique("Location"))),
                                  ("UpdateLocation", dict(name=first.name)), ("TryLocationRules", {})):
                self.assert_refused("INVALID_ARGUMENT", "PRIORITY", "priority", "LocationService", method, priority=priority,
                                    **extra)
        self.assert_refused("INVALID_ARGUMENT", "MAX_SESSIONS", "max_sessions", "LocationService", "CreateLocation",
                            display_name=self.unique("Location"), max_sessions=-1)

    def test_a_dry_run_tells_which_devices_would_move_and_moves_none(self):
        self.phones(*(f"{mac(i)},49{i:04},," for i in range(1, 6)))
        here, there = self.create(("E164_PREFIX", "49")).location, self.create(("E164_PREFIX", "4900")).location
        self.assertEqual((self.location("GetLocation", name=there.name).location.device_count, there.priority), (5, 100))
        before = self.count("audit_log"), self.server.sql("SELECT revision FROM location_revision")

        tried = self.location("TryLocationRules", name=there.name, rules=[dict(kind="DEVICE", value=mac(3))], max_moves=2)
        self.assertEqual([(m.device, m.from_location, m.to_location) for m in tried.moves],
                         [(f"devices/{mac(i)}", there.display_name, here.display_name) for i in (1, 2)])
        self.assertEqual((tried.total_moves, tried.devices_checked), (4, 5))
        # Without a priority it stays as it is, or is that of a new location.
        self.assertEqual(self.location("TryLocationRules", rules=[dict(kind="DEVICE", value=mac(3))]).total_moves, 1)
        self.assertEqual(self.location("TryLocationRules", priority=99, rules=[dict(kind="DEVICE", value=mac(3))]).total_moves, 0)

        would = self.location("UpdateLocation", name=there.name, rules=dict(), validate_only=True)
        self.assertEqual((would.moved_devices, would.location.device_count), (5, 0))
        would = self.location("CreateLocation", display_name=self.unique("Location"), priority=500, validate_only=True,
                              rules=[dict(kind="E164_PREFIX", value="490001")])
        self.assertEqual((would.moved_devices, would.location.device_count), (1, 1))
        self.assertEqual((self.count("audit_log"), self.server.sql("SELECT revision FROM location_revision")), before)
        self.assertEqual([self.where(i) for i in range(1, 6)], [there.display_name] * 5)

        did = self.location("UpdateLocation", name=there.name, rules=dict(rules=[dict(kind="DEVICE", value=mac(3))]))
        self.assertEqual(did.moved_devices, 4)
        self.assertEqual([self.where(i) for i in (1, 2, 4, 5)], [here.display_name] * 4)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "LocationService", "TryLocationRules", name="locations/999999")
        self.assert_refused("INVALID_ARGUMENT", "MAX_MOVES", "max_moves", "LocationService", "TryLocationRules", max_moves=-1)

    def test_update_changes_what_is_set_and_nothing_else(self):
        made = self.create(("E164_PREFIX", "49"), description="d", priority=7, max_sessions=3).location
        for field, value in (("description", "new"), ("description", ""), ("priority", 0), ("max_sessions", 0),
                             ("display_name", self.unique("Renamed"))):
            setattr(made, field, value)
            self.assertEqual(self.location("UpdateLocation", name=made.name, **{field: value}).location, made)
        self.assertEqual(self.location("GetLocation", name=f"locations/{made.display_name}").location, made)
        del made.rules[:]
        self.assertEqual(self.location("UpdateLocation", name=made.name, rules=dict()).location, made)
        self.assertEqual((self.audited("location.create", made.name), self.audited("location.update", made.name)), (1, 6))

    def test_a_location_that_a_deployment_names_cannot_be_deleted(self):
        self.server.make_pki()
        made = self.create(("E164_PREFIX", "49")).location
        deployment = self.deployment("CreateDeployment", location=made.name, certificate_type="wbm",
                                     connector="connectors/Lab connector").deployment
        self.assert_refused("FAILED_PRECONDITION", "LOCATION_IN_USE", "", "LocationService", "DeleteLocation", name=made.name)
        self.assertEqual(len(self.location("GetLocation", name=made.name).location.rules), 1, "nothing is half deleted")
        self.deployment("DeleteDeployment", name=deployment.name)

    def test_conventions(self):
        made = self.create().location
        self.assert_display_names_are_checked("LocationService", "CreateLocation", "UpdateLocation", made)
        self.create()
        self.assert_pages("LocationService", "ListLocations", "locations")
        self.assert_names_are_checked("LocationService", ["GetLocation", "UpdateLocation", "DeleteLocation"], "locations")
        self.assert_create_is_idempotent("LocationService", "CreateLocation", "location", "location",
                                         display_name=self.unique("Once"), rules=[dict(kind="E164_PREFIX", value="49")])


class DeviceTest(behaviour.BehaviourTest):
    web_port = 8585

    def load(self, csv, **fields):
        return self.device("ImportDevices", csv=csv.encode() if isinstance(csv, str) else csv, **fields)

    def get(self, number, block=0):
        return self.device("GetDevice", name=f"devices/{mac(number, block)}").device

    def test_D_33_a_csv_file_makes_virtual_devices(self):
        answer = self.load("mac,e164,ip,fqdn,device_type,description\n"
                           f"{mac(1)},498912,10.0.0.1,phone1.example.com,CP600,\"Lobby, left \"\"big\"\" one\"\n"
                           "001ae8000002,,,,,\r\n\r\n"
                           "00-1A-E8-00-00-03,,2001:DB8::1,,,Größe\n")
        self.assertEqual((answer.created, answer.updated, answer.unchanged, answer.failed), (3, 0, 0, 0))
        one = self.get(1)
        self.assertEqual((one.mac, one.e164, one.ip_address, one.fqdn, one.device_type, one.description, one.state),
                         (mac(1), "498912", "10.0.0.1", "phone1.example.com", "CP600", 'Lobby, left "big" one', Device.VIRTUAL))
        self.assertFalse(one.HasField("last_contact_time"))
        self.assertEqual(len(one.slots), 0)
        self.assertEqual((self.get(3).ip_address, self.get(3).description), ("2001:db8::1", "Größe"))
        # Any way to write a MAC address names the device.
        self.assertEqual(self.device("GetDevice", name="devices/00-1a-e8-00-00-01").device, one)

    def test_D_33_addresses_are_stored_in_canonical_form_and_imported_again_without_a_change(self):
        csv = f"mac,ip\n{mac(1, 12)},FD00:0:0::A\n{mac(2, 12)},::ffff:10.1.2.3\n{mac(3, 12)},10.1.2.4\n"
        self.assertEqual(self.load(csv).created, 3)
        self.assertEqual([self.get(n, 12).ip_address for n in (1, 2, 3)], ["fd00::a", "10.1.2.3", "10.1.2.4"])
        again = self.load(csv)
        self.assertEqual((again.updated, again.unchanged), (0, 3))

    def test_D_33_importing_again_updates_only_the_columns_of_the_file(self):
        self.load(f"mac,e164,description\n{mac(1, 1)},111,first\n{mac(2, 1)},222,second\n")
        answer = self.load(f"e164;mac\n333;{mac(1, 1)}\n222;{mac(2, 1)}\n444;{mac(3, 1)}\n")
        self.assertEqual((answer.created, answer.updated, answer.unchanged, answer.failed), (1, 1, 1, 0))
        self.assertEqual((self.get(1, 1).e164, self.get(1, 1).description), ("333", "first"))
        self.load(f"mac,description\n{mac(1, 1)},\n")
        self.assertEqual((self.get(1, 1).e164, self.get(1, 1).description), ("333", ""), "an empty field empties")

    def test_D_33_a_bad_row_is_reported_by_line_and_loses_no_other(self):
        answer = self.load(
            "mac,e164,ip,fqdn,description\n"
            f"{mac(1, 2)},1,,,\n"          # 2: good
            "nonsense,1,,,\n"              # 3
            ",1,,,\n"                      # 4
            "01:00:5E:00:00:01,1,,,\n"     # 5: a group address
            f"{mac(2, 2)},+49,,,\n"        # 6
            f"{mac(3, 2)},{'1' * 16},,,\n"  # 7
            f"{mac(4, 2)},,10.0.0.256,,\n"  # 8
            f"{mac(5, 2)},,,under_score.example,\n"  # 9
            f"{mac(6, 2)},,,,{'x' * 256}\n"  # 10
            f"{mac(1, 2).lower()},2,,,\n"  # 11: the same phone again
            f"{mac(7, 2)},1,,\n"           # 12: a field too few
            f"{mac(8, 2)},1,,,\"two\nlines\"\n"  # 13, 14: good
            f"{mac(9, 2)},,,,nul\0\n"      # 15
            f"{mac(10, 2)},1,,,\n")        # 16: good
        self.assertEqual([(e.line, e.field, e.reason) for e in answer.errors], [
            (3, "mac", "MAC"), (4, "mac", "MAC"), (5, "mac", "MAC"), (6, "e164", "E164"), (7, "e164", "E164"), (8, "ip", "IP"),
            (9, "fqdn", "FQDN"), (10, "description", "TOO_LONG"), (11, "mac", "DUPLICATE"), (12, "", "CSV_FIELDS"),
            (15, "description", "ENCODING")])
        self.assertEqual((answer.created, answer.failed), (3, 11))
        self.assertEqual(self.get(8, 2).description, "two\nlines")
        self.assertIn("line 2", answer.errors[8].message)

    def test_D_33_text_that_is_not_utf8_fails_its_row_only(self):
        answer = self.load(f"mac,description\n{mac(1, 3)},Gr\xf6\xdfe\n{mac(2, 3)},fine\n".encode("latin-1"))
        self.assertEqual((answer.created, [(e.line, e.reason) for e in answer.errors]), (1, [(2, "ENCODING")]))

    def test_D_33_a_byte_order_mark_is_no_part_of_the_header(self):
        self.assertEqual(self.load(f"\ufeffmac,e164\n{mac(1, 4)},1\n").created, 1)

    def test_D_33_files_without_a_proper_header_are_refused(self):
        for csv in ("", "\n\n", "e164,ip\n1,2\n", f"mac,colour\n{mac(1, 5)},red\n", f"mac,mac\n{mac(1, 5)},{mac(2, 5)}\n",
                    f"{mac(1, 5)},1\n", "Gr\xf6\xdfe,mac\n".encode("latin-1")):
            self.assert_refused("INVALID_ARGUMENT", "CSV_HEADER", "csv", "DeviceService", "ImportDevices",
                                csv=csv.encode() if isinstance(csv, str) else csv)
        self.assert_refused("INVALID_ARGUMENT", "FILE_TOO_LARGE", "csv", "DeviceService", "ImportDevices",
                            csv=b"x" * ((8 << 20) + 1))

    def test_validate_only_counts_and_changes_nothing(self):
        self.load(f"mac,e164\n{mac(1, 6)},1\n")
        before = self.count("device"), self.count("audit_log")
        answer = self.load(f"mac,e164\n{mac(1, 6)},2\n{mac(2, 6)},3\nx,4\n", validate_only=True)
        self.assertEqual((answer.created, answer.updated, answer.failed), (1, 1, 1))
        self.assertEqual((self.count("device"), self.count("audit_log")), before)
        self.assertEqual(self.get(1, 6).e164, "1")

    def test_many_rows_and_many_errors(self):
        rows = [f"{mac(i, 7)},{i}" for i in range(3000)] + ["bad,1"] * 1200
        answer = self.load("mac,e164\n" + "\n".join(rows))
        self.assertEqual((answer.created, answer.failed, len(answer.errors)), (3000, 1200, 1000))
        self.assertEqual(self.load("mac,e164\n" + "\n".join(rows)).unchanged, 3000)

    def test_search_filters_combine_with_and(self):
        self.load("mac,e164,ip\n" + "".join(f"{mac(i, 8)},99977{i:03},10.8.{i % 2}.{i}\n" for i in range(10)))
        self.location("CreateLocation", display_name="Eight", rules=[dict(kind="CIDR", value="10.8.0.0/24")])

        def found(**filters):
            return [int(d.e164[5:]) for d in self.device("ListDevices", **filters).devices]
        self.assertEqual(found(mac_prefix="00:1A:E8:08"), list(range(10)))
        self.assertEqual(found(mac_prefix="00-1a-e8-08"), list(range(10)))
        self.assertEqual(found(mac_prefix=mac(4, 8)), [4], "a whole address is a prefix too")
        self.assertEqual(found(e164_prefix="99977"), list(range(10)))
        self.assertEqual(found(e164_prefix="99977003"), [3])
        self.assertEqual(found(e164_prefix="999770031"), [])
        self.assertEqual(found(ip_network="10.8.1.0/24"), [1, 3, 5, 7, 9])
        self.assertEqual(found(ip_network="10.8.1.3"), [3])
        self.assertEqual(found(location="locations/Eight"), [0, 2, 4, 6, 8])
        self.assertEqual(found(location="locations/Eight", state="VIRTUAL", ip_network="10.8.0.0/29", e164_prefix="9997700",
                               mac_prefix="00:1A:E8:08:00"), [0, 2, 4, 6])
        self.assertEqual(found(location="locations/Eight", state="REGISTERED"), [])

    def test_wrong_filters_are_refused(self):
        for filters, reason, field in ((dict(ip_network="10.0.0.0/99"), "RULE_CIDR", "ip_network"),
                                       (dict(e164_prefix="+49"), "E164", "e164_prefix"),
                                       (dict(mac_prefix="00:1G"), "MAC", "mac_prefix"), (dict(state=9), "DEVICE_STATE", "state"),
                                       (dict(location="x"), "RESOURCE_NAME", "location")):
            self.assert_refused("INVALID_ARGUMENT", reason, field, "DeviceService", "ListDevices", **filters)
        for name in ("locations/999999", "locations/Nowhere"):
            self.assert_refused("NOT_FOUND", "NOT_FOUND", "location", "DeviceService", "ListDevices", location=name)

    def test_pages_are_stable_while_devices_come_and_go(self):
        self.load("mac\n" + "".join(f"{mac(i, 9)}\n" for i in range(10, 20)))
        self.assert_pages("DeviceService", "ListDevices", "devices", mac_prefix="00:1A:E8:09")
        for filters in (dict(e164_prefix=""), dict(state="VIRTUAL")):
            self.assert_pages("DeviceService", "ListDevices", "devices", mac_prefix="00:1A:E8:09", **filters)
        first = self.device("ListDevices", mac_prefix="00:1A:E8:09", page_size=4)
        self.load(f"mac\n{mac(1, 9)}\n{mac(15, 9)}\n{mac(30, 9)}\n")
        self.device("DeleteDevice", name=f"devices/{mac(13, 9)}")
        rest = self.device("ListDevices", mac_prefix="00:1A:E8:09", page_token=first.next_page_token)
        self.assertEqual([d.mac for d in first.devices], [mac(i, 9) for i in range(10, 14)])
        self.assertEqual([d.mac for d in rest.devices], [mac(i, 9) for i in (14, 15, 16, 17, 18, 19, 30)])

    def test_a_device_is_deleted_and_its_unfinished_jobs_only_by_force(self):
        self.load(f"mac,e164\n{mac(1, 10)},881\n{mac(2, 10)},882\n")
        self.device("DeleteDevice", name=f"devices/{mac(1, 10)}")
        self.assertEqual(self.audited("device.delete", f"devices/{mac(1, 10)}"), 1)
        for method in ("GetDevice", "DeleteDevice"):
            self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "DeviceService", method, name=f"devices/{mac(1, 10)}")
        self.server.make_pki()
        self.location("CreateLocation", display_name="Ten", rules=[dict(kind="E164_PREFIX", value="88")])
        deployment = self.server.deploy("Ten")
        harness.wait_for("the job", lambda: self.server.progress(deployment)["total"] == 1)
        self.assert_refused("FAILED_PRECONDITION", "DEVICE_HAS_JOBS", "", "DeviceService", "DeleteDevice",
                            name=f"devices/{mac(2, 10)}")
        self.assertEqual(self.server.progress(deployment)["cancelled"], 0, "a refusal changes nothing")
        self.device("DeleteDevice", name=f"devices/{mac(2, 10)}", force=True)
        self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "DeviceService", "GetDevice", name=f"devices/{mac(2, 10)}")

    def test_names_are_checked(self):
        for method in ("GetDevice", "DeleteDevice"):
            for name, reason in (("", "RESOURCE_NAME"), (mac(1), "RESOURCE_NAME"), ("device/x", "RESOURCE_NAME"),
                                 ("devices/", "MAC"), ("devices/1", "MAC"), ("devices/00:1A:E8:00:00:01:02", "MAC"),
                                 ("devices/00:00:00:00:00:00", "MAC")):
                self.assert_refused("INVALID_ARGUMENT", reason, "name", "DeviceService", method, name=name)
            self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", "DeviceService", method, name="devices/00:1A:E8:99:99:99")


if __name__ == "__main__":
    unittest.main(verbosity=2)
