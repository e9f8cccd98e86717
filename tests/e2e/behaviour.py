"""What the behaviour tests share: refusals with code, reason and field, and certificates under other makers' eyes."""

import concurrent.futures
import os
import re
import subprocess
import tempfile
import time
import unittest

import harness

YEAR = 365 * 86400
LIMIT_2038 = 2147483647


def at(seconds_from_now):
    return dict(seconds=int(time.time()) + seconds_from_now)


def run(*arguments, text=None):
    """Standard output of a tool that must succeed."""
    done = subprocess.run(arguments, input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout


def openssl_text(pem):
    return run("openssl", "x509", "-noout", "-text", "-nameopt", "RFC2253", text=pem)


def certtool_text(pem):
    """GnuTLS reads it too, or fails."""
    return run("certtool", "--certificate-info", text=pem)


def extension(text, name):
    """(critical, value lines) of an extension in `openssl x509 -text`; None when it is absent."""
    found = re.search(rf"^( +)X509v3 {name}: *(critical)? *\n((?:\1 +.*\n)+)", text, re.MULTILINE)
    return found and (found[2] is not None, [line.strip() for line in found[3].splitlines()])


class BehaviourTest(unittest.TestCase):
    """One server for all tests of a class. Names are unique by `unique`, so that tests do not see each other."""

    web_port = None
    counter = 0

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(web_port=cls.web_port)
        cls.addClassCleanup(cls.server.close)

    @classmethod
    def unique(cls, prefix):
        BehaviourTest.counter += 1
        return f"{prefix} {BehaviourTest.counter}"

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="phonepki-test-")
        self.addCleanup(self.dir.cleanup)

    def path(self, name, content=None):
        path = os.path.join(self.dir.name, name)
        if content is not None:
            with open(path, "wb" if isinstance(content, bytes) else "w") as file:
                file.write(content)
        return path

    def assert_refused(self, code, reason, field, service, method, **request):
        with self.assertRaises(harness.Refusal) as caught:
            self.server.call(service, method, **request)
        refusal = caught.exception
        self.assertEqual((refusal.code.name, refusal.reason, refusal.field), (code, reason, field), str(refusal))
        return str(refusal)

    def count(self, table):
        return int(self.server.sql(f"SELECT count(*) FROM {table}")[0][0])

    def audited(self, action, name):
        return int(self.server.sql(
            f"SELECT count(*) FROM audit_log WHERE action = '{action}' AND object = '{name}'")[0][0])

    # ---- shortcuts

    def ca(self, method, **request):
        return self.server.call("InternalCaService", method, **request)

    def plugin(self, method, **request):
        return self.server.call("PluginService", method, **request)

    def connector(self, method, **request):
        return self.server.call("ConnectorService", method, **request)

    def location(self, method, **request):
        return self.server.call("LocationService", method, **request)

    def device(self, method, **request):
        return self.server.call("DeviceService", method, **request)

    def deployment(self, method, **request):
        return self.server.call("DeploymentService", method, **request)

    def make_ca(self, name=None, subject=None, enable=True, years=8, **creation):
        name = name or self.unique("CA")
        creation.setdefault("key_algorithm", "ecdsa-p256")
        creation.setdefault("not_after", at(years * YEAR))
        return self.ca("CreateInternalCa", display_name=name, enable=enable, creation=dict(
            subject=subject or f"C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN={name}", **creation)).internal_ca

    def make_plugin(self, template="C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=?", enable=True, **properties):
        values = {"internal.x509name.template": template, "internal.key.algorithm": "ecdsa-p256"}
        values.update({name.replace("__", "-").replace("_", "."): value for name, value in properties.items()})
        return self.plugin("CreatePlugin", display_name=self.unique("Plug-in"), synchronize=True, enable=enable, properties=[
            dict(name=name, value=value) for name, value in values.items() if value is not None]).plugin

    def make_connector(self, ca, plugin, enable=True, **fields):
        return self.connector("CreateConnector", display_name=self.unique("Connector"), plugin=plugin.name, issuing_ca=ca.name,
                              import_trust_anchor=True, enable=enable, **fields).connector

    def assert_pages(self, service, method, items, **filters):
        """Pages of two hold what one page holds, once each and in order; wrong tokens and sizes are refused."""
        def names(**request):
            answer = self.server.call(service, method, **filters, **request)
            return [item.name for item in getattr(answer, items)], answer.next_page_token
        everything, _ = names(page_size=1000)
        self.assertGreaterEqual(len(everything), 3)
        paged, token = names(page_size=2)
        while token:
            self.assertEqual(len(paged) % 2, 0)
            more, token = names(page_size=2, page_token=token)
            paged += more
        self.assertEqual(paged, everything)
        self.assertEqual(names()[0], everything[:100])
        self.assert_refused("INVALID_ARGUMENT", "PAGE_SIZE", "page_size", service, method, page_size=-1, **filters)
        foreign = "JobService" if service != "JobService" else "DeploymentService"
        for token in ("x", "????", "AAAA", "bm90IG91cnM", self.foreign_token(foreign)):
            self.assert_refused("INVALID_ARGUMENT", "PAGE_TOKEN", "page_token", service, method, page_token=token, **filters)
        return everything

    def foreign_token(self, service):
        """A well-formed token, of a collection with another name."""
        import base64
        collection = {"JobService": "jobs", "DeploymentService": "deployments"}[service]
        return base64.urlsafe_b64encode(f"{collection}/1".encode()).decode().rstrip("=")

    def assert_names_are_checked(self, service, methods, collection, **extra):
        """Each method refuses a wrong name, and a right one of nobody, naming the field."""
        for method in methods:
            request = extra.get(method, {})
            with self.subTest(method):
                for name in ("", "7", f"{collection}/", f"x/{collection}/7", f"{collection}x/7", f"{collection}/0"):
                    self.assert_refused("INVALID_ARGUMENT", "RESOURCE_NAME", "name", service, method, name=name, **request)
                self.assert_refused("NOT_FOUND", "NOT_FOUND", "name", service, method, name=f"{collection}/999999", **request)

    def assert_display_names_are_checked(self, service, create, update, existing, **fields):
        """Rules for display names and descriptions, at creation and at renaming."""
        for wrong in ("", "   ", "4711", "a/b", "x" * 101, "tab\tstop", "nul\0"):
            self.assert_refused("INVALID_ARGUMENT", "DISPLAY_NAME", "display_name", service, create, display_name=wrong, **fields)
            if wrong:
                self.assert_refused("INVALID_ARGUMENT", "DISPLAY_NAME", "display_name", service, update, name=existing.name,
                                    display_name=wrong)
        self.assert_refused("INVALID_ARGUMENT", "DESCRIPTION", "description", service, create,
                            display_name=self.unique("Wordy"), description="x" * 1001, **fields)
        self.assert_refused("INVALID_ARGUMENT", "DESCRIPTION", "description", service, update, name=existing.name,
                            description="x" * 1001)
        self.server.call(service, create, display_name="ü" * 100, description="日" * 1000, **fields)
        text = self.assert_refused("ALREADY_EXISTS", "DISPLAY_NAME_TAKEN", "display_name", service, create,
                                   display_name="ü" * 100, **fields)
        self.assertNotIn("constraint", text)
        text = self.assert_refused("ALREADY_EXISTS", "DISPLAY_NAME_TAKEN", "display_name", service, update, name=existing.name,
                                   display_name="ü" * 100)
        self.assertNotIn("constraint", text)

    def assert_create_is_idempotent(self, service, method, part, table, **fields):
        """A repeated request id returns the first answer; validate_only answers and keeps nothing."""
        request_id = self.unique("request")
        before, audit = self.count(table), self.count("audit_log")
        rehearsed = getattr(self.server.call(service, method, validate_only=True, request_id=request_id, **fields), part)
        self.assertEqual((self.count(table), self.count("audit_log")), (before, audit), "validate_only left something behind")
        first = getattr(self.server.call(service, method, request_id=request_id, **fields), part)
        again = getattr(self.server.call(service, method, request_id=request_id, **fields), part)
        self.assertEqual(first, again)
        self.assertEqual(self.count(table), before + 1)
        self.assert_refused("INVALID_ARGUMENT", "REQUEST_ID", "request_id", service, method, request_id="x" * 101, **fields)
        # A client that repeats its call while the first one runs.
        if "display_name" in fields:
            fields["display_name"] = self.unique("At once")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: getattr(self.server.call(
                service, method, request_id=request_id + " at once", **fields), part).name, range(6)))
        self.assertEqual(len(set(answers)), 1, answers)
        self.assertEqual(self.count(table), before + 2)
        return rehearsed, first
