-- breaking: no
-- Locations and phones.

CREATE TABLE location (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  display_name    text NOT NULL UNIQUE CHECK (length(display_name) BETWEEN 1 AND 100),
  description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
  priority        integer NOT NULL DEFAULT 100 CHECK (priority BETWEEN 0 AND 1000),
  is_default      boolean NOT NULL DEFAULT false,
  max_sessions    integer NOT NULL DEFAULT 0 CHECK (max_sessions >= 0),
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX location_one_default_idx ON location (is_default) WHERE is_default;
INSERT INTO location (display_name, description, priority, is_default)
VALUES ('Default', 'Phones that no other location takes', 0, true);

CREATE TABLE location_rule (
  location_id     bigint NOT NULL REFERENCES location (id) ON DELETE CASCADE,
  kind            text NOT NULL CHECK (kind IN ('cidr', 'e164_prefix', 'device_type', 'device')),
  value           text NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
  PRIMARY KEY (location_id, kind, value)
);

-- Goes up with every change of the rules. Placement of a phone holds it FOR SHARE, a change of the rules FOR
-- UPDATE, so that no phone is placed by rules that are no longer true.
CREATE TABLE location_revision (revision bigint NOT NULL);
INSERT INTO location_revision VALUES (1);

CREATE TABLE device (
  id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  mac                 text NOT NULL UNIQUE CHECK (mac ~ '^([0-9A-F]{2}:){5}[0-9A-F]{2}$'),
  state               text NOT NULL DEFAULT 'virtual' CHECK (state IN ('virtual', 'registered')),
  location_id         bigint NOT NULL REFERENCES location (id),
  e164                text NOT NULL DEFAULT '',
  ip_address          inet,
  fqdn                text NOT NULL DEFAULT '',
  device_type         text NOT NULL DEFAULT '',
  software_type       text NOT NULL DEFAULT '',
  software_version    text NOT NULL DEFAULT '',
  part_number         text NOT NULL DEFAULT '',
  contact_me_uri      text NOT NULL DEFAULT '',
  description         text NOT NULL DEFAULT '',
  created_at          timestamptz NOT NULL DEFAULT now(),
  last_contact_at     timestamptz,
  last_contact_reason text NOT NULL DEFAULT '',
  inventory_at        timestamptz,          -- last complete ReadAllItems
  -- The knock: whom we called, until when a session from that address counts as caused by us (default mode
  -- authenticates nobody), and when the phone may be knocked at again (contact gap).
  knock_address       inet,
  knocked_at          timestamptz,
  knock_expires_at    timestamptz,
  next_knock_at       timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX device_location_idx ON device (location_id, mac);
CREATE INDEX device_state_idx ON device (state, mac);
CREATE INDEX device_e164_idx ON device (e164 text_pattern_ops);
CREATE INDEX device_mac_prefix_idx ON device (mac text_pattern_ops);
CREATE INDEX device_ip_idx ON device USING gist (ip_address inet_ops);

-- What the phone says of itself, secrets left out: {"name": "value", "name[1]": "value"}.
CREATE TABLE device_inventory (
  device_id       bigint PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
  items           jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE device_slot (
  device_id           bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  slot                text NOT NULL,
  imported_id         bigint REFERENCES certificate (id),
  imported_at         timestamptz,
  active_id           bigint REFERENCES certificate (id),
  active_at           timestamptz,
  read_back           text NOT NULL DEFAULT '',
  PRIMARY KEY (device_id, slot)
);
CREATE INDEX device_slot_imported_idx ON device_slot (imported_id) WHERE imported_id IS NOT NULL;
CREATE INDEX device_slot_active_idx ON device_slot (active_id) WHERE active_id IS NOT NULL;
