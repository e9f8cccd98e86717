#!/usr/bin/env python3
"""The API's conventions: a request and a response of its own for every call, enums that start unspecified,
snake_case fields, a comment on every service, packages that match folders, no map fields."""

import re

from source_files import line_of, main

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
RPC = re.compile(r"\brpc\s+(\w+)\s*\(\s*(stream\s+)?([\w.]+)\s*\)\s*returns\s*\(\s*(stream\s+)?([\w.]+)\s*\)")
ENUM = re.compile(r"\benum\s+(\w+)\s*\{\s*(?:option[^;]*;\s*)*(\w+)\s*=\s*(-?\d+)")
FIELD = re.compile(r"^\s*(?:repeated\s+|optional\s+)?[\w.]+\s+(\w+)\s*=\s*\d+\s*[;\[]", re.MULTILINE)
SERVICE = re.compile(r"^service\s+(\w+)", re.MULTILINE)


def check(path, text):
    bare = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    if not re.search(r'^syntax = "proto3";', bare, re.MULTILINE):
        yield 1, 'must say syntax = "proto3";'
    package = re.search(r"^package\s+([\w.]+)\s*;", bare, re.MULTILINE)
    folder = path[len("proto/") :].rpartition("/")[0].replace("/", ".")
    if not package or package.group(1) != folder:
        yield 1, f"the package must be {folder}, like the folder"
    for match in re.finditer(r"\bmap\s*<", bare):
        yield line_of(bare, match.start()), "no map fields: they break under the thread sanitizer; repeat a key/value message"
    messages = set(re.findall(r"\bmessage\s+(\w+)", bare))
    used = {}
    for match in RPC.finditer(bare):
        line = line_of(bare, match.start())
        for kind, name in (("Request", match.group(3)), ("Response", match.group(5))):
            expected = match.group(1) + kind
            if name != expected:
                yield line, f"rpc {match.group(1)} must use a message of its own, {expected}, not {name}"
            elif name not in messages:
                yield line, f"{expected} must stand in the same file"
            elif name in used:
                yield line, f"{name} is used by two calls"
            used[name] = line
    for match in ENUM.finditer(bare):
        if match.group(3) != "0" or not match.group(2).endswith("_UNSPECIFIED"):
            yield line_of(bare, match.start()), f"enum {match.group(1)} must begin with …_UNSPECIFIED = 0"
    for match in FIELD.finditer(bare):
        name = match.group(1)
        if name.upper() != name and not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
            yield line_of(bare, match.start(1)), f"field {name} must be in snake_case"
    services = list(SERVICE.finditer(bare))
    for match in services:
        before = text[: match.start()].rstrip("\n").rpartition("\n")[2]
        header = text.lstrip().startswith("//") and len(services) == 1
        if not before.startswith("//") and not header:
            yield line_of(bare, match.start()), f"service {match.group(1)} needs a comment that says what it is for"


def _proto(body, header="// What this is.\n"):
    return f'{header}syntax = "proto3";\npackage phonepki.x.v1;\n{body}'


PAIR = "message GetXRequest {}\nmessage GetXResponse {}\n"
EXAMPLES = [
    ("proto/phonepki/x/v1/x.proto", _proto("service X { rpc GetX(GetXRequest) returns (GetXResponse); }\n" + PAIR), None),
    ("proto/phonepki/x/v1/x.proto", _proto("\nservice X { rpc GetX(GetXRequest) returns (GetXResponse); }\n" + PAIR, ""),
     "needs a comment"),
    ("proto/phonepki/x/v1/x.proto", _proto("service X { rpc GetX(GetXRequest) returns (Y); }\n" + PAIR), "of its own"),
    ("proto/phonepki/x/v1/x.proto", _proto("service X { rpc GetX(GetXRequest) returns (stream GetXResponse); }\n" + PAIR), None),
    ("proto/phonepki/x/v1/x.proto", _proto("service X { rpc GetY(GetYRequest) returns (GetYResponse); }\n"), "same file"),
    ("proto/phonepki/x/v1/x.proto", _proto("enum E { FIRST = 0; }"), "_UNSPECIFIED"),
    ("proto/phonepki/x/v1/x.proto", _proto("enum E { E_UNSPECIFIED = 0; FIRST = 1; }"), None),
    ("proto/phonepki/x/v1/x.proto", _proto("message M { map<string, string> labels = 1; }"), "no map"),
    ("proto/phonepki/x/v1/x.proto", _proto("message M { // map<a, b>\n  string a = 1;\n}"), None),
    ("proto/phonepki/x/v1/x.proto", _proto("message M {\n  string displayName = 1;\n}"), "snake_case"),
    ("proto/phonepki/y/v1/x.proto", _proto(""), "the package must be phonepki.y.v1"),
    ("proto/phonepki/x/v1/x.proto", "package phonepki.x.v1;", "proto3"),
]

if __name__ == "__main__":
    main(check, ("*.proto",), EXAMPLES)
