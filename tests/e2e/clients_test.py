"""What the documents tell a person to type works as printed: the README's tour, grpcurl, the Python example."""

import os
import re
import subprocess
import unittest

import harness


def shell_block(document, heading):
    with open(os.path.join(harness.SOURCE, document)) as file:
        section = file.read().split(f"## {heading}\n", 1)[1]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1)


def run_script(script, folder):
    tools = os.pathsep.join([os.path.join(harness.SOURCE, ".cache", "tools"), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHONEPKI_")}
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=240,
                          env={**environment, "PATH": tools})


class TourTest(unittest.TestCase):
    def test_the_tour_of_the_readme_works_as_printed(self):
        block = shell_block("README.md", "Five minutes by hand")
        folder = os.path.join("/var/tmp", f"phonepki-tour-{os.getpid()}")
        self.addCleanup(subprocess.run, ["rm", "-rf", folder, f"{folder}.log"], check=False)
        # A person takes longer to type than the server takes to start and the phones to register.
        ready = ("for i in $(seq 300); do phonepki status >/dev/null 2>&1 && [ $(phonepki device list -o name | wc -l) = 20 ]"
                 " && break; sleep 0.1; done\n")
        context = "export PHONEPKI_CONTEXT=/var/tmp/phonepki/credentials/admin.context.json\n"
        self.assertIn(context, block)
        script = "trap 'kill $(jobs -p); wait' EXIT\n" + block.replace(context, context + ready)
        script = script.replace("/var/tmp/phonepki", folder).replace("$PWD/build", harness.BUILD)
        done = run_script(script, "/var/tmp")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("20/20 phones serve a certificate of the CA", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^1 .* succeeded ")


class OtherLanguagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(web_port=8583)
        cls.addClassCleanup(cls.server.close)

    def test_grpcurl_by_reflection_as_documented(self):
        block = shell_block("docs/grpc.md", "grpcurl")
        block = block.replace("/var/tmp/phonepki", self.server.dir).replace("127.0.0.1:9443", f"127.0.0.1:{self.server.api}")
        done = run_script(block, "/var/tmp")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("phonepki.deployment.v1.DeploymentService", done.stdout)
        self.assertIn("rpc WatchProgress", done.stdout)
        self.assertRegex(done.stdout, '"display_?[nN]ame": "Branch CA"')

    def test_grpcurl_without_a_certificate_reaches_nothing(self):
        done = run_script(f"grpcurl -insecure -max-time 5 127.0.0.1:{self.server.api} list", "/var/tmp")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("phonepki", done.stdout)

    def test_the_python_example_rolls_out(self):
        made = self.server.make_pki()
        self.server.call("LocationService", "CreateLocation", display_name="Lab",
                         rules=[dict(kind="CIDR", value="127.61.0.0/16")])
        phones = harness.Phones(5, 61, [self.server.phone], 8583)
        self.addCleanup(phones.close)
        harness.wait_for("5 registered phones", lambda: self.server.sql("SELECT count(*) FROM device") == [["5"]])
        done = subprocess.run(
            ["/usr/bin/python3", os.path.join(harness.SOURCE, "docs", "examples", "rollout.py"),
             os.path.join(self.server.dir, "credentials", "admin.context.json"), "Lab CA", "Lab"],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("5 of 5 succeeded, 0 failed", done.stdout)
        self.assertEqual(phones.probe(made.certificate.pem)["good"], 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
