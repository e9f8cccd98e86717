#!/usr/bin/env python3
"""Words that our C++ and SQL do without, each with the places that have a reason."""

import re

from source_files import allowed, code_only, line_of, literals, main, without_comments


class Rule:
    """`pattern` in `view` of the text is a finding, unless the path matches a key of `allow` (value: the reason)."""

    def __init__(self, pattern, message, allow=None, view=code_only, only=None):
        self.pattern = re.compile(pattern, re.MULTILINE)
        self.message = message
        self.allow = allow or {}
        self.view = view
        self.only = only


RULES = [
    Rule(r"\bSELECT\s+\*", "name the columns instead of SELECT *", view=without_comments),
    Rule(
        r"\bthrow\b",
        "errors are absl::Status; nothing of ours throws",
        {
            "db/error_map.cc": "looks at the current exception by throwing it again",
            "phonesim/*": "a lost connection ends a coroutine of Asio by an exception",
        },
    ),
    Rule(
        r"\bcatch\s*\(",
        "exceptions of libraries end at the borders; see the list in tests/lint/check_banned.py",
        {
            "db/*": "libpqxx reports by exceptions",
            "provisioning/phone/*": "Asio and pugixml report by exceptions",
            "phonesim/*": "Asio and pugixml report by exceptions",
            "base/rpc/*": "the last net under every call of the API",
            "base/thread_pool.cc": "entry of a thread",
            "server/config_loader.cc": "CLI11 and yaml-cpp report by exceptions",
            "provisioning/slots/slot_table.cc": "yaml-cpp reports by exceptions",
            "server/main.cc": "entry of the program",
            "cli/*": "CLI11 and the JSON library report by exceptions",
            "bench/*": "CLI11 and libpqxx report by exceptions",
            "tests/*": "tests of the above",
        },
    ),
    Rule(r"\bstd::(basic_)?regex\b|#\s*include\s*<regex>", "std::regex recurses on its input: parse by hand"),
    Rule(
        r"\b(system_clock|steady_clock|high_resolution_clock)::now\b",
        "take a base::Clock, so that tests can set the time",
        {
            "base/*": "the clocks are made here",
            "provisioning/phone/*": "Asio's timers run on steady_clock",
            "phonesim/*": "Asio's timers run on steady_clock; the simulator lives in real time",
            "server/server.cc": "gRPC's deadline of a shutdown is a system_clock time",
            "cli/*": "gRPC's deadlines are system_clock times",
            "tests/cli/fake_server.cc": "validity of its certificates and what a watcher is told",
            "bench/*": "measures",
        },
    ),
    Rule(
        r"\b(sleep_for|sleep_until|SleepFor|usleep|nanosleep)\b|(?<![\w.>])sleep\s*\(",
        "wait for an event (base::WakeSignal); do not sleep",
        {
            "base/*": "WakeSignal is made here",
            "db/database.cc": "a few milliseconds of jitter before a transaction is tried again",
            "scheduler/*_service.cc": "a watch stream has a thread of its own; it looks at the database at intervals",
            "provisioning/phone/http_door.cc": "lets running handlers finish at a stop",
            "db/embedded/embedded_postgres.cc": "polls another process that tells nobody when it is ready",
            "phonesim/*": "the simulator lives in real time",
            "cli/*": "a person watches",
            "bench/*": "measures",
            "tests/testing/*": "polls other processes",
            "tests/cli/fake_server.cc": "a server that is slow on purpose",
            "tests/e2e/*": "polls other processes",
        },
    ),
    Rule(r"(?<![\w.>])s?rand\s*\(|\brandom_shuffle\b", "rand is neither random nor thread-safe: absl::BitGen, RAND_bytes"),
    Rule(r"\busing\s+namespace\s+std\b", "write std::"),
    Rule(
        r"^\s*#\s*include\s*<boost/",
        "Boost takes long to compile: only behind the plain interfaces of provisioning/phone and phonesim",
        {"provisioning/phone/*": "the doors", "phonesim/*": "the simulated phones", "bench/*": "simulated phones",
         "tests/provisioning/phone/*": "plays the other side", "tests/testing/*": "plays the other side"},
        view=without_comments,
    ),
]

SQL = re.compile(r"^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s|CREATE\s+TABLE\s)")
SQL_ALLOWED = {"db/*": "its place", "tests/*": "looks behind the repositories", "bench/*": "measures raw statements"}


def check(path, text):
    for rule in RULES:
        if allowed(path, rule.allow) or (path.endswith(".sql") and rule.view is code_only):
            continue
        view = re.sub(r"--[^\n]*", "", text) if path.endswith(".sql") else rule.view(text)
        for match in rule.pattern.finditer(view):
            yield line_of(view, match.start()), rule.message
    if not path.endswith(".sql") and not allowed(path, SQL_ALLOWED):
        for line, content in literals(text):
            if SQL.match(content):
                yield line, "SQL stands in db/ only"


EXAMPLES = [
    ("ca/x.cc", 'throw std::runtime_error("x");', "absl::Status"),
    ("ca/x.cc", '// we do not throw\nauto s = "throw";', None),
    ("ca/x.cc", "try { f(); } catch (const std::exception& e) {}", "borders"),
    ("db/x.cc", 'R"sql(SELECT * FROM devices)sql"', "columns"),
    ("db/x.cc", 'R"sql(SELECT count(*) FROM devices)sql"', None),
    ("db/migrations/V1__x.sql", "CREATE VIEW v AS SELECT  * FROM devices;", "columns"),
    ("db/migrations/V1__x.sql", "-- SELECT * is not used\n", None),
    ("scheduler/x.cc", "std::regex r;", "std::regex"),
    ("scheduler/x.cc", "auto t = std::chrono::system_clock::now();", "base::Clock"),
    ("base/clock.cc", "auto t = std::chrono::system_clock::now();", None),
    ("tests/ca/x_test.cc", "std::this_thread::sleep_for(1s);", "do not sleep"),
    ("scheduler/x.cc", "absl::SleepFor(absl::Seconds(1));", "do not sleep"),
    ("scheduler/x.cc", "int x = rand();", "rand"),
    ("scheduler/x.cc", "int x = operand(); strand (a);", None),
    ("scheduler/x.cc", "#include <boost/asio.hpp>", "Boost"),
    ("scheduler/x.cc", 'const char* q = "SELECT id FROM devices";', "SQL"),
    ("scheduler/x.cc", 'const char* q = "Select a device";', None),
    ("db/x.cc", 'const char* q = "SELECT id FROM devices";', None),
    ("ca/x.cc", "using namespace std;", "std::"),
]

if __name__ == "__main__":
    main(check, ("*.h", "*.cc", "*.sql"), EXAMPLES)
