#!/usr/bin/env python3
"""Who may include whom. A layer sees only what its row names; ARCHITECTURE.md has the picture.

An arrow may skip down, never up or sideways. Adapters (*_service.h, *_service.cc) also see the generated protobuf
code and base/rpc; nothing else below `server` does.
"""

import re

from source_files import code_only, line_of, main

# Layer: (layers of ours, third-party libraries). The longest matching folder is a file's layer.
ANY = object()
LAYERS = {
    "base": ((), ("json", "spdlog", "prometheus")),
    "base/rpc": (("base", "proto"), ("grpc", "protobuf")),
    "db": (("base",), ("pqxx",)),
    "db/embedded": (("base",), ("libpq",)),
    "ca/x509": (("base",), ("openssl", "nettle")),
    "ca/keystore": (("base", "ca/x509"), ("openssl",)),
    "ca": (("base", "db", "ca/x509", "ca/keystore"), ()),
    "scheduler": (("base", "db", "provisioning/slots"), ()),
    "provisioning/phone": (("base",), ("boost", "openssl", "pugixml")),
    "provisioning/pki": (("base", "db", "ca", "ca/x509", "ca/keystore"), ()),
    "provisioning/secure_mode": (("base", "ca/x509"), ("openssl",)),
    "provisioning/security": (
        ("base", "db", "ca", "ca/x509", "ca/keystore", "provisioning/pki", "provisioning/secure_mode",
         "provisioning/devices"),
        (),
    ),
    "provisioning/manual": (
        ("base", "db", "ca", "ca/x509", "ca/keystore", "provisioning/pki", "provisioning/slots", "provisioning/devices"),
        ("json",),
    ),
    "provisioning/slots": (("base",), ("yaml",)),
    "provisioning/devices": (("base", "db", "ca/x509", "provisioning/phone"), ()),
    "provisioning/delivery": (
        ("base", "db", "ca", "ca/x509", "ca/keystore", "provisioning/phone", "provisioning/pki", "provisioning/devices",
         "provisioning/slots", "provisioning/secure_mode", "provisioning/security"),
        ("json", "openssl"),
    ),
    "provisioning": (("base", "db"), ()),
    "server": (ANY, ("grpc", "protobuf", "prometheus", "cli11", "yaml", "json", "openssl", "boost", "spdlog")),
    # Clients: the API is all they know of the server.
    "cli": (("base", "proto"), ("grpc", "protobuf", "cli11", "json", "yaml")),
    "phonesim": (("base",), ("boost", "openssl", "pugixml", "cli11", "json", "yaml", "spdlog")),
    "bench": (ANY, ANY),
    "tests": (ANY, ANY),
}
ADAPTER = re.compile(r"_service\.(h|cc)$")
ADAPTER_LAYERS = ("proto", "base/rpc")
ADAPTER_LIBRARIES = ("grpc", "protobuf")

LIBRARIES = (
    ("proto", re.compile(r"^phonepki/.*\.pb\.h$")),
    ("grpc", re.compile(r"^grpc(pp)?/")),
    ("protobuf", re.compile(r"^google/")),
    ("openssl", re.compile(r"^openssl/")),
    ("pqxx", re.compile(r"^pqxx")),
    ("libpq", re.compile(r"^(libpq|pg_config)")),
    ("boost", re.compile(r"^boost/")),
    ("pugixml", re.compile(r"^pugixml")),
    ("nettle", re.compile(r"^(nettle/|hogweed|gmp\.h)")),
    ("cli11", re.compile(r"^CLI/")),
    ("yaml", re.compile(r"^yaml-cpp/")),
    ("json", re.compile(r"^nlohmann/")),
    ("spdlog", re.compile(r"^spdlog/")),
    ("prometheus", re.compile(r"^prometheus/")),
)

# (file, what it includes): why.
EXCEPTIONS = {
    ("base/secret.cc", "openssl"): "OPENSSL_cleanse, the only portable wipe that compilers keep",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)


def layer_of(path):
    folder = path.rpartition("/")[0]
    while folder and folder not in LAYERS:
        folder = folder.rpartition("/")[0]
    return folder


def check(path, text):
    layer = layer_of(path)
    if not layer:
        yield 1, "belongs to no layer: add its folder to tests/lint/check_layers.py and to ARCHITECTURE.md"
        return
    layers, libraries = LAYERS[layer]
    adapter = ADAPTER.search(path) is not None
    bare = code_only(text)  # where includes in comments are gone
    for match in INCLUDE.finditer(text):
        if bare[match.start() : match.end()].strip() == "":
            continue
        included = match.group(1) or match.group(2)
        line = line_of(text, match.start())
        library = next((name for name, pattern in LIBRARIES if pattern.match(included)), None)
        if library == "proto":
            ok = layers is ANY or "proto" in layers or adapter
            what = f"the generated {included}"
        elif library:
            ok = libraries is ANY or library in libraries or (adapter and library in ADAPTER_LIBRARIES)
            what = f"{library} ({included})"
        elif match.group(1):
            target = layer_of(included)
            if not target:
                yield line, f'includes "{included}": name our files by their full path, others in <>'
                continue
            ok = layers is ANY or target == layer or target in layers or (adapter and target in ADAPTER_LAYERS)
            if ADAPTER.search(included) and not (adapter or layers is ANY):
                ok = False
            what = f"{target} ({included})"
            library = target
        else:
            continue
        if not ok and (path, library) not in EXCEPTIONS:
            yield line, f"the layer {layer} must not include {what}"


EXAMPLES = [
    ("db/x.cc", '#include "ca/x509/issuer.h"', "must not include ca/x509"),
    ("db/x.cc", '#include "base/error.h"\n#include <pqxx/pqxx>', None),
    ("ca/x.cc", '#include "scheduler/queue.h"', "must not include scheduler"),
    ("ca/x.cc", "#include <openssl/x509.h>", "must not include openssl"),
    ("ca/x.cc", "// #include <openssl/x509.h>", None),
    ("ca/x.cc", '#include "phonepki/ca/v1/ca.pb.h"', "must not include the generated"),
    ("ca/ca_service.cc", '#include "phonepki/ca/v1/ca.pb.h"\n#include "base/rpc/rpc.h"', None),
    ("ca/internal_cas.cc", '#include "ca/ca_service.h"', "must not include ca"),
    ("base/x.h", '#include "db/database.h"', "must not include db"),
    ("base/x.h", "#include <grpcpp/grpcpp.h>", "must not include grpc"),
    ("scheduler/x.cc", "#include <pqxx/pqxx>", "must not include pqxx"),
    ("provisioning/phone/x.cc", "#include <boost/beast/core.hpp>", None),
    ("provisioning/x.cc", "#include <boost/beast/core.hpp>", "must not include boost"),
    ("phonesim/x.cc", '#include "provisioning/phone/wpi_message.h"', "must not include provisioning/phone"),
    ("cli/x.cc", '#include "db/database.h"', "must not include db"),
    ("server/x.cc", '#include "db/database.h"\n#include "ca/ca_service.h"', None),
    ("server/x.cc", '#include "config.h"', "full path"),
    ("misc/x.cc", "", "belongs to no layer"),
]

if __name__ == "__main__":
    main(check, ("*.h", "*.cc"), EXAMPLES)
