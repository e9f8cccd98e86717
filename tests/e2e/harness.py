"""Real servers, a real PostgreSQL, real phones over real sockets: what the end-to-end tests share.

Environment (set by tests/e2e/CMakeLists.txt): PHONEPKI_BUILD, the build directory; PHONEPKI_SOURCE, the checkout.
"""

import collections
import contextlib
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc

BUILD = os.environ["PHONEPKI_BUILD"]
SOURCE = os.environ["PHONEPKI_SOURCE"]


def _generate():
    """Message classes straight from the .proto files."""
    out = tempfile.mkdtemp(prefix="phonepki-py-")
    root = os.path.join(SOURCE, "proto")
    protos = [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".proto")
    ]
    subprocess.run(["protoc", "-I", ".", f"--python_out={out}", *protos], cwd=root, check=True)
    sys.path.insert(0, out)


_generate()
from phonepki.ca.v1 import internal_ca_pb2 as ca  # noqa: E402
from phonepki.ca.v1 import certificate_pb2 as certificate  # noqa: E402,F401
from phonepki.common.v1 import error_pb2 as error  # noqa: E402
from phonepki.deployment.v1 import deployment_pb2 as deployment  # noqa: E402
from phonepki.deployment.v1 import manual_deployment_pb2 as manual_deployment  # noqa: E402
from phonepki.deployment.v1 import phone_settings_pb2 as phone_settings  # noqa: E402
from phonepki.device.v1 import device_pb2 as device  # noqa: E402
from phonepki.device.v1 import location_pb2 as location  # noqa: E402
from phonepki.job.v1 import job_pb2 as job  # noqa: E402
from phonepki.pki.v1 import connector_pb2 as connector  # noqa: E402
from phonepki.pki.v1 import plugin_pb2 as plugin  # noqa: E402
from phonepki.security.v1 import security_pb2 as security  # noqa: E402

MODULES = {
    "InternalCaService": ("phonepki.ca.v1", ca),
    "CertificateService": ("phonepki.ca.v1", certificate),
    "PluginService": ("phonepki.pki.v1", plugin),
    "ConnectorService": ("phonepki.pki.v1", connector),
    "LocationService": ("phonepki.device.v1", location),
    "DeviceService": ("phonepki.device.v1", device),
    "DeploymentService": ("phonepki.deployment.v1", deployment),
    "ManualDeploymentService": ("phonepki.deployment.v1", manual_deployment),
    "PhoneSettingsService": ("phonepki.deployment.v1", phone_settings),
    "JobService": ("phonepki.job.v1", job),
    "SecurityService": ("phonepki.security.v1", security),
}


_given_ports = set()


def free_port():
    """Below those that outgoing connections get, free on every address of both families, and never the same again."""
    while True:
        port = random.randrange(20000, 32000)
        if port in _given_ports:
            continue
        _given_ports.add(port)
        try:
            with socket.create_server(("", port)), contextlib.ExitStack() as more:
                if socket.has_dualstack_ipv6():
                    more.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
                return port
        except OSError:
            continue


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"timed out waiting for {what}")


class Refusal(Exception):
    """A failed call, with the reason and field that the server gave."""

    def __init__(self, failure):
        details = error.Status()
        for key, value in failure.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                details.ParseFromString(value)
        found = error.ErrorDetail()
        if details.details:
            details.details[0].Unpack(found)
        self.code, self.reason, self.field = failure.code(), found.reason, found.field
        super().__init__(f"{self.code} {self.reason} {self.field}: {failure.details()}")


class Server:
    """One phonepkid. `share` another one's database and master key to make it a replica."""

    # Simulated phones forgive what real ones do not: everything here is faster than the defaults.
    FAST = (
        "--knock-allow-fast --knock-contact-gap 1s --knock-lifetime 6s --knock-rate 1000 --knock-timeout 2s"
        " --probe-retry 200ms --job-retry-min 500ms --job-retry-max 2s --worker-poll 200ms --worker-lease 5s"
        " --phone-session-timeout 4s --phone-certificate-algorithm ecdsa-p256 --shutdown-drain 5s"
    ).split()

    def __init__(self, web_port, share=None, extra=(), listen="127.0.0.1"):
        """`listen`: address of the doors for phones, IPv6 in brackets."""
        self.dir = tempfile.mkdtemp(prefix="phonepki-e2e-", dir="/var/tmp")
        os.chmod(self.dir, 0o711)
        self.api, self.phone, self.secure, self.metrics, self.plain = (free_port() for _ in range(5))
        self.share = share
        self.arguments = [
            os.path.join(BUILD, "server", "phonepkid"), "--data-dir", self.dir,
            "--api-listen", f"127.0.0.1:{self.api}", "--phone-listen", f"{listen}:{self.phone}",
            "--secure-listen", f"{listen}:{self.secure}", "--http-listen", f"{listen}:{self.plain}", "--metrics-listen", f"127.0.0.1:{self.metrics}", "--probe-port", str(web_port), *self.FAST, *extra,
        ]
        if share:
            self.arguments += ["--database-url", share.database_url(), "--keys-master-key-file",
                               os.path.join(share.dir, "master.key")]
        self.log = open(os.path.join(self.dir, "server.log"), "ab")
        self.process = None
        self.start()

    def database_url(self):
        return f"host={self.dir}/postgres/run port=5432 user=phonepki dbname=phonepki"

    def start(self):
        self.process = subprocess.Popen(self.arguments, stderr=self.log, stdout=self.log)
        wait_for("the server to be ready", self._ready)
        self._connect()

    def _ready(self):
        assert self.process.poll() is None, f"phonepkid ended: see {self.dir}/server.log\n{self.tail()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/readyz", timeout=2) as answer:
                credentials = os.path.join((self.share or self).dir, "credentials", "admin.context.json")
                return answer.status == 200 and os.path.exists(credentials)
        except OSError:
            return False

    def _connect(self):
        def read(name):
            with open(os.path.join((self.share or self).dir, "credentials", name), "rb") as file:
                return file.read()

        self.channel = grpc.secure_channel(
            f"127.0.0.1:{self.api}",
            grpc.ssl_channel_credentials(read("api-ca.pem"), read("admin.key.pem"), read("admin.crt.pem")))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def close(self):
        self.stop()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def tail(self):
        with open(os.path.join(self.dir, "server.log"), errors="replace") as file:
            return "".join(file.readlines()[-30:])

    def log_text(self):
        with open(os.path.join(self.dir, "server.log"), errors="replace") as file:
            return file.read()

    def call(self, service, method, /, **fields):
        package, module = MODULES[service]
        request = getattr(module, f"{method}Request")(**fields)
        rpc = self.channel.unary_unary(
            f"/{package}.{service}/{method}", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(module, f"{method}Response").FromString)
        try:
            return rpc(request, timeout=60)
        except grpc.RpcError as failure:
            raise Refusal(failure) from None

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def sql(self, statement):
        """Rows of text, asked of PostgreSQL itself."""
        done = subprocess.run(
            ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", (self.share or self).database_url(), "-c", statement],
            check=True, capture_output=True, text=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    # ---- the main job's steps

    def make_pki(self, name="Lab", key_algorithm="ecdsa-p256", template="C=US, O=Unify, CN=?"):
        made = self.call("InternalCaService", "CreateInternalCa", display_name=f"{name} CA", enable=True, creation=dict(
            subject=f"C=US, O=Unify, CN={name} CA", key_algorithm=key_algorithm,
            not_after=dict(seconds=int(time.time()) + 8 * 365 * 86400))).internal_ca
        self.call("PluginService", "CreatePlugin", display_name=f"{name} plug-in", synchronize=True, enable=True, properties=[
            dict(name="internal.default.validity.days", value="1095"),
            dict(name="internal.x509name.template", value=template),
            dict(name="internal.key.algorithm", value=key_algorithm)])
        self.call("ConnectorService", "CreateConnector", display_name=f"{name} connector", enable=True,
                  plugin=f"plugins/{name} plug-in", issuing_ca=made.name, import_trust_anchor=True)
        return made

    def deploy(self, place, name="Lab"):
        return self.call("DeploymentService", "CreateDeployment", location=f"locations/{place}", certificate_type="wbm",
                         connector=f"connectors/{name} connector", activate=True).deployment.name

    def make_secure_credentials(self, name="Lab"):
        for kind in ("SERVER", "CLIENT"):
            self.call("SecurityService", "CreateCredential", kind=kind, connector=f"connectors/{name} connector",
                      server_names=["127.0.0.1"] if kind == "SERVER" else [])

    def enrol(self, place, pin_mode="NO_PIN"):
        return self.call("DeploymentService", "CreateDeployment", location=f"locations/{place}",
                         certificate_type="secure-mode", pin_mode=pin_mode, activate=True).deployment.name

    def progress(self, *names):
        total = collections.Counter()
        for name in names:
            progress = self.call("DeploymentService", "GetDeployment", name=name).deployment.progress
            total.update({field.name: value for field, value in progress.ListFields()})
        return total



class Phones:
    """A fleet. Addresses 127.<block>.0.1 and up, or from `first` on; set to call `server`, IPv6 in brackets."""

    def __init__(self, count, block, servers, web_port, *extra, keep_state=True, first=None, server="127.0.0.1"):
        self.count, self.block, self.web_port = count, block, web_port
        self.first = first or f"127.{block}.0.1"
        self.dir = tempfile.mkdtemp(prefix="phonepki-sim-", dir="/var/tmp")
        self.ledger = os.path.join(self.dir, "ledger.jsonl")
        self.control = os.path.join(self.dir, "control")
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "phonesim", "phonesim"), "run", "--phones", str(count), "--first-address", self.first,
             "--first-mac", f"00:1A:E8:{block:02X}:00:01", "--web-port", str(web_port), "--contact-port", "8085",
             "--dls", ",".join(f"{server}:{port}" for port in servers), "--contact-gap-seconds", "1",
             "--crash-interval-seconds", "0.5", "--ledger", self.ledger, "--control", self.control,
             *(["--state-dir", os.path.join(self.dir, "state")] if keep_state else []), *extra],
            stdout=subprocess.PIPE, text=True)
        assert '"ready"' in self.process.stdout.readline(), "phonesim did not start"

    def events(self, kind=None):
        with open(self.ledger) as file:
            for line in file:
                event = json.loads(line)
                if kind is None or event["event"] == kind:
                    yield event

    def order(self, command, phone="all", *value):
        """Through the fleet's control socket; the answer."""
        done = subprocess.run([os.path.join(BUILD, "phonesim", "phonesim"), "control", self.control, command, phone, *value],
                              capture_output=True, text=True, timeout=30)
        answer = json.loads(done.stdout)
        assert (done.returncode == 0) == answer["ok"], done
        return answer

    def mac(self, number):
        return f"00:1A:E8:{self.block:02X}:00:{number:02X}"

    def probe(self, ca_pem):
        path = os.path.join(self.dir, "ca.pem")
        with open(path, "w") as file:
            file.write(ca_pem)
        done = subprocess.run(
            [os.path.join(BUILD, "phonesim", "phonesim"), "probe", "--phones", str(self.count), "--first-address",
             self.first, "--web-port", str(self.web_port), "--ca", path, "--json"], capture_output=True, text=True)
        return json.loads(done.stdout)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_for_registrations(server, block, count):
    """Of the phones in 127.<block>.0.0/16, their inventory included."""
    wait_for("registrations", lambda: server.sql(
        f"SELECT count(*) FROM device WHERE inventory_at IS NOT NULL AND ip_address <<= '127.{block}.0.0/16'")
        == [[str(count)]])


def assert_ledger_equals_database(test, server, phones):
    """What each phone says was activated last is what the database calls active; one certificate per slot."""
    active = {mac: serial for mac, serial in server.sql(
        "SELECT v.mac, encode(c.serial, 'hex') FROM device_slot s JOIN device v ON v.id = s.device_id"
        " JOIN certificate c ON c.id = s.active_id WHERE c.state = 'active'")}
    ledger, serials = {}, collections.defaultdict(set)
    for event in phones.events("activated"):
        ledger[event["mac"]] = event["serial"]
        serials[event["mac"]].add(event["serial"])
    test.assertEqual(active, ledger)
    for mac, seen in serials.items():
        test.assertEqual(len(seen), 1, f"{mac} was given {len(seen)} certificates for one slot")
    issued = dict(server.sql("SELECT v.mac, count(*) FROM certificate c JOIN device v ON v.id = c.device_id"
                             " WHERE c.der IS NOT NULL AND c.state <> 'discarded' GROUP BY 1"))
    for mac in ledger:
        test.assertEqual(issued[mac], "1", f"{mac}: {issued[mac]} certificates were signed for one slot")


def user_exists(name):
    try:
        return pwd.getpwnam(name) is not None
    except KeyError:
        return False
