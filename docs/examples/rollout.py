#!/usr/bin/python3
"""Rolls WBM certificates out to a location and watches it: plug-in, connector, deployment, progress.

Needs python3-grpcio, python3-protobuf and protobuf-compiler, and no generated code: the .proto files are compiled
when it starts.   rollout.py CONTEXT_FILE ISSUING_CA LOCATION
"""
import glob, importlib, json, os, subprocess, sys, tempfile, uuid

import grpc

PROTOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")


def load_protos():
    with tempfile.TemporaryDirectory() as out:
        files = glob.glob(PROTOS + "/phonepki/**/*.proto", recursive=True)
        subprocess.run(["protoc", "-I", PROTOS, "--python_out", out, *files], check=True)
        sys.path.insert(0, out)
        names = ("pki.v1.plugin_pb2", "pki.v1.connector_pb2", "deployment.v1.deployment_pb2")
        return [importlib.import_module("phonepki." + name) for name in names]


def open_channel(context_file):
    context, folder = json.load(open(context_file)), os.path.dirname(os.path.abspath(context_file))
    read = lambda key: open(os.path.join(folder, context[key]), "rb").read()
    return grpc.secure_channel(
        context["server"], grpc.ssl_channel_credentials(read("ca_file"), read("key_file"), read("cert_file")))


def method(channel, module, service, name, stream=False):
    """A callable for one method, straight from the descriptors."""
    found = module.DESCRIPTOR.services_by_name[service].methods_by_name[name]
    message = lambda descriptor: getattr(module, descriptor.name)
    kind = channel.unary_stream if stream else channel.unary_unary
    return kind(f"/{module.DESCRIPTOR.package}.{service}/{name}",
                request_serializer=message(found.input_type).SerializeToString,
                response_deserializer=message(found.output_type).FromString)


def main(context_file, ca, location):
    plugin_pb2, connector_pb2, deployment_pb2 = load_protos()
    channel, name = open_channel(context_file), "rollout " + str(uuid.uuid4())[:8]
    plugin = method(channel, plugin_pb2, "PluginService", "CreatePlugin")(plugin_pb2.CreatePluginRequest(
        display_name=name, request_id=str(uuid.uuid4()), synchronize=True, enable=True,
        properties=[dict(name="internal.x509name.template", value="O=Example, CN=?")])).plugin
    connector = method(channel, connector_pb2, "ConnectorService", "CreateConnector")(
        connector_pb2.CreateConnectorRequest(
            display_name=name, request_id=str(uuid.uuid4()), plugin=plugin.name, issuing_ca="internalCas/" + ca,
            import_trust_anchor=True, enable=True)).connector
    deployment = method(channel, deployment_pb2, "DeploymentService", "CreateDeployment")(
        deployment_pb2.CreateDeploymentRequest(  # no deploy date: now
            location="locations/" + location, certificate_type="wbm", connector=connector.name, activate=True,
            request_id=str(uuid.uuid4()))).deployment
    watch = method(channel, deployment_pb2, "DeploymentService", "WatchProgress", stream=True)
    for update in watch(deployment_pb2.WatchProgressRequest(names=[deployment.name])):
        progress = update.deployments[0].progress
        print(f"{progress.succeeded} of {progress.total} succeeded, {progress.failed + progress.timed_out} failed", flush=True)
    return 0 if progress.succeeded == progress.total else 7


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__)
        load_protos()
        sys.exit(0 if "--help" in sys.argv else 2)
    try:
        sys.exit(main(*sys.argv[1:]))
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
