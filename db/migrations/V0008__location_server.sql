-- breaking: no
-- Where the phones of a location call: the server has other addresses there, or ports are mapped on the way.

ALTER TABLE location
  ADD COLUMN server_address     text NOT NULL DEFAULT '' CHECK (length(server_address) <= 253),
  ADD COLUMN server_port        integer NOT NULL DEFAULT 0 CHECK (server_port BETWEEN 0 AND 65535),
  ADD COLUMN server_secure_port integer NOT NULL DEFAULT 0 CHECK (server_secure_port BETWEEN 0 AND 65535);
