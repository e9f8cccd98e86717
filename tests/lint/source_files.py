"""What the checks of this folder share: the project's files, C++ without comments, reporting, self-tests.

A check is a function check(path, text) that yields (line number, message). Its EXAMPLES prove that it finds what it
is for: (path, text, words of the expected message, or None when nothing may be found).
"""

import fnmatch
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = {".git", ".cache", "__pycache__", "node_modules"}


def files(*patterns):
    """Paths relative to the root, of files whose names match, build directories left out."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        at_root = folder == ROOT
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not (at_root and f.startswith("build")))
        for name in sorted(names):
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                found.append(os.path.relpath(os.path.join(folder, name), ROOT))
    return found


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


TOKEN = re.compile(
    r'(?P<comment>//[^\n]*|/\*.*?\*/)'
    r'|(?P<raw>R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)")'
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<char>'(?:[^'\\\n]|\\.){1,4}')",
    re.DOTALL,
)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """C++ with comments blanked; line numbers stay."""
    return TOKEN.sub(lambda m: _blank(m.group()) if m.group("comment") else m.group(), text)


def code_only(text):
    """C++ with comments and the contents of literals blanked; line numbers stay. Includes keep their path."""

    def blank(match):
        if match.group("comment") or match.group("raw"):
            return _blank(match.group())
        return match.group()[0] + _blank(match.group()[1:-1]) + match.group()[-1]

    return TOKEN.sub(blank, text)


def literals(text):
    """(line, content) of each string literal."""
    for match in TOKEN.finditer(text):
        if match.group("raw") or match.group("string"):
            content = match.group().split("(", 1)[1].rsplit(")", 1)[0] if match.group("raw") else match.group()[1:-1]
            yield line_of(text, match.start()), content


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def allowed(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def main(check, patterns, examples):
    """Runs the check over the project, or with --self-test over its examples. Exits 1 when something is wrong."""
    failures = 0
    if sys.argv[1:] == ["--self-test"]:
        for path, text, expected in examples:
            messages = [message for _, message in check(path, text)]
            good = not messages if expected is None else any(expected in message for message in messages)
            if not good:
                failures += 1
                print(f"self-test: {path!r} with {text!r}: expected {expected!r}, got {messages}")
        print(f"{len(examples)} examples, {failures} wrong")
    elif len(sys.argv) > 1:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    else:
        paths = files(*patterns)
        for path in paths:
            for line, message in check(path, read(path)):
                failures += 1
                print(f"{path}:{line}: {message}")
        print(f"{len(paths)} files, {failures} findings")
    sys.exit(1 if failures else 0)
