#!/usr/bin/env python3
"""What may not be in any text file of ours: paths of somebody's machine, work to do without an issue, Markdown links
to files that do not exist, conflict marks."""

import os
import re

from source_files import ROOT, line_of, main

# Put together from parts, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("ho" + "me", "ro" + "ot", "Us" + "ers", "wo" + "rk")) + r")/\w")
TO_DO = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b(?!\(#\d+\):)")
CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def check(path, text):
    for match in MACHINE_PATH.finditer(text):
        yield line_of(text, match.start()), "holds a path of a certain machine"
    for match in TO_DO.finditer(text):
        yield line_of(text, match.start()), "work to do needs an issue, as in TO" "DO(#12): …"
    for match in CONFLICT.finditer(text):
        yield line_of(text, match.start()), "holds a conflict mark"
    if path.endswith(".md"):
        prose = re.sub(r"`[^`\n]*`", _blank, FENCE.sub(_blank, text))
        for match in LINK.finditer(prose):
            target = match.group(1).partition("#")[0]
            if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            base = ROOT if target.startswith("/") else os.path.join(ROOT, os.path.dirname(path))
            if not os.path.exists(os.path.join(base, target.lstrip("/"))):
                yield line_of(prose, match.start()), f"links to {target}, which does not exist"


EXAMPLES = [
    ("docs/x.md", "see [the guide](nowhere/at-all.md)", "links to nowhere"),
    ("docs/x.md", "see [the guide](../tests/lint/check_text.py#L1) and [web](https://example.net/x)", None),
    ("docs/x.md", "```\n[a](nowhere.md)\n```\n`[b](nowhere.md)`", None),
    ("ca/x.cc", "// TO" "DO: later", "needs an issue"),
    ("ca/x.cc", "// TO" "DO(#12): later", None),
    ("scripts/x", "cd /ho" "me/someone/project", "certain machine"),
    ("scripts/x", "mktemp /tmp/x.XXXXXX; ls ./ho" "me/x; curl http://host/ro" "ot/x", None),
    ("ca/x.cc", "<" * 7 + " HEAD\n", "conflict"),
]

PATTERNS = ("*.md", "*.h", "*.cc", "*.py", "*.sh", "*.proto", "*.cmake", "CMakeLists.txt", "*.sql", "*.yaml", "*.yml",
            "*.json", "*.supp", "build", "test", "quickstart", "install-deps", "format", "run", ".clang-*", "Dockerfile")

if __name__ == "__main__":
    main(check, PATTERNS, EXAMPLES)
