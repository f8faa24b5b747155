"""A table of configurations, good and bad, and ways to spoil the good ones."""

import copy
import json
import re
from dataclasses import dataclass

WHERE = "demo/openloop.json"
FULL = {
    "$schema": "./openloop.schema.json",
    "version": 1,
    "x-note": "everything at once",
    "mission": "Keep it healthy.",
    "total_rounds": 20,
    "project_root": "../project",
    "commands": {
        "play": {"run": "python app.py", "expect": "^ready$", "reject": "Traceback"},
        "scan": "python -m unittest",
        "fix": {"run": "agent {prompt_file}", "timeout_seconds": 3600, "env": {"DEBUG": "1"}},
        "verify": {"run": "make check", "stall_timeout_seconds": 60.5, "$why": "slow"},
        "improve": "agent --root {project_root}",
    },
    "baseline": {
        "enabled": True,
        "command": {"run": "python benchmark.py", "timeout_seconds": 30},
        "metric_name": "latency",
        "regex": "p99=([0-9.]+) ms",
        "value": 250,
        "direction": "less_equal",
        "repeat": 3,
        "match": "last",
    },
    "limits": {
        "command_timeout_seconds": 100,
        "stall_timeout_seconds": 50,
        "max_consecutive_failures": 5,
        "kill_grace_seconds": 0,
        "max_runtime_seconds": 7200,
        "oom_markers": ["^engine: out of memory"],
    },
    "hooks": {"round": "date", "blocked": {"run": "page me", "timeout_seconds": 5}},
}


def doc(**top):
    """The smallest configuration, with these top-level keys put in or replaced."""
    return {"version": 1, "commands": {"verify": "make check"}, **top}


def commands(**steps):
    return doc(commands={"verify": "make check", **steps})


def verify(**parts):
    return doc(commands={"verify": {"run": "make check", **parts}})


def limits(**keys):
    return doc(limits=keys)


def baseline(**keys):
    """A complete baseline, with these keys put in; None takes one out."""
    block = {"command": "bench", "regex": "score=(.+)", "value": 1, **keys}
    return doc(baseline={key: value for key, value in block.items() if value is not None})


def raw(inside):
    """The smallest configuration with this JSON text before its other keys."""
    return "{" + inside + ', "version": 1, "commands": {"verify": "make check"}}'


@dataclass(frozen=True)
class Case:
    """A document (a dict, or JSON text) and where problems are expected, in order.

    beyond: the schema has no words for the mistake; a validator accepts or cannot read it.
    """

    document: object
    paths: tuple[str, ...] = ()
    beyond: bool = False

    @property
    def data(self):
        if isinstance(self.document, bytes):
            return self.document
        text = self.document if isinstance(self.document, str) else json.dumps(self.document)
        return text.encode()


GOOD = [
    doc(),
    FULL,
    doc(version=1.0),
    doc(total_rounds=1),
    doc(total_rounds=3.0),
    doc(total_rounds=1_000_000_000),
    doc(mission=""),
    doc(mission='line\n"two" \u4e16\u754c \U0001f600'),
    doc(project_root="/srv/a project"),
    doc(limits={}),
    doc(hooks={}),
    commands(
        scan="python -m unittest discover -s . -p 'test_*.py'",
        fix="agent --workspace {project_root} --task 'Fix the latest failure in {workspace}'",
        improve='agent "{project_root}" --round {round} {{round}} <<END\n{last_error}\nEND\n',
    ),
    doc(hooks={"complete": "date", "exhausted": {"run": "date"}, "x-old": 5}),
    doc(**{"x-policy": {"any": ["thing"]}, "$comment": None}),
    raw('"x-twice": 1, "x-twice": [NaN, 1e999, {"a": 1, "a": "\\ud800"}]'),
    raw('"total_rounds": 1e2'),
    raw('"mission": "\\ud83d\\ude00 \\u00e9 \\t"'),
    " \r\n\t" + json.dumps(doc()) + "\n\n",
    commands(play="true", scan="true", fix="true", improve="true"),
    commands(play="awk '{print $1}' ${HOME}/data.json"),
    verify(env={}),
    verify(env={"PATH": "/bin", "_x1": "", "openloop_a": "$HOME {round} \u00e9"}),
    verify(timeout_seconds=0.001, stall_timeout_seconds=1_000_000_000),
    verify(expect="^OK$", reject="(?i)error|warning"),
    verify(canary="rm {project_root}/app.py"),
    baseline(command={"run": "bench", "canary": "echo 0 > score"}),
    limits(kill_grace_seconds=0),
    limits(kill_grace_seconds=0.5),
    limits(max_runtime_seconds=None),
    limits(max_runtime_seconds=1.5),
    limits(max_consecutive_failures=1),
    limits(oom_markers=[]),
    limits(oom_markers=["^a+$", "^\u00e9"]),
    baseline(),
    baseline(value=-0.5, direction="greater", match="first", repeat=1),
    baseline(regex="(?P<name>\\d+)|[[a]"),
    doc(baseline={"enabled": False}),
    doc(baseline={"enabled": False, "value": 3}),
    doc(policy={"sandbox": "auto", "writable": ["~/.claude", "/srv/agent", "~"]}),
    doc(policy={"sandbox": "bwrap", "withhold": ["tests/acceptance/**", "!x"]}),
    doc(policy={"sandbox": "none", "writable": [], "withhold": []}),
    doc(policy={"sandbox_gates": True}),
    verify(private=True, repeat=2),
    baseline(command={"run": "bench", "private": False}),
]
REFUSED = [
    Case({}, ("version", "commands.verify")),
    Case({"version": 1}, ("commands.verify",)),
    Case({"commands": {"verify": "true"}}, ("version",)),
    Case(doc(version=2), ("version",)),
    Case(doc(version="1"), ("version",)),
    Case(doc(version=True), ("version",)),
    Case(doc(version=None), ("version",)),
    Case(doc(mission=None), ("mission",)),
    Case(doc(mission=["a"]), ("mission",)),
    Case(doc(mission="a\0b"), ("mission",), beyond=True),
    Case(doc(mission="\udc80"), ("mission",), beyond=True),
    Case(doc(total_rounds=0), ("total_rounds",)),
    Case(doc(total_rounds=-3), ("total_rounds",)),
    Case(doc(total_rounds=2.5), ("total_rounds",)),
    Case(doc(total_rounds=True), ("total_rounds",)),
    Case(doc(total_rounds="3"), ("total_rounds",)),
    Case(doc(total_rounds=10**12), ("total_rounds",)),
    Case(doc(total_rounds=10**350), ("total_rounds",)),
    Case(raw('"total_rounds": ' + "9" * 100_000), ("total_rounds",), beyond=True),
    Case(raw('"total_rounds": NaN'), ("total_rounds",)),
    Case(doc(project_root=""), ("project_root",)),
    Case(doc(project_root=" \t"), ("project_root",), beyond=True),
    Case(doc(project_root="a\0"), ("project_root",), beyond=True),
    Case(doc(project_root=3), ("project_root",)),
    Case(doc(commands={}), ("commands.verify",)),
    Case(doc(commands={"fix": "true"}), ("commands.verify",)),
    Case(doc(commands="make check"), ("commands",)),
    Case(doc(commands=["make check"]), ("commands",)),
    Case(doc(commands=None), ("commands",)),
    Case(commands(verify=""), ("commands.verify",)),
    Case(commands(verify=" \n\t"), ("commands.verify",), beyond=True),
    Case(commands(play=""), ("commands.play",)),
    Case(commands(play="\0"), ("commands.play",), beyond=True),
    Case(commands(play="echo \ud800"), ("commands.play",), beyond=True),
    Case(commands(play=None), ("commands.play",)),
    Case(commands(play=True), ("commands.play",)),
    Case(commands(play=["ls", "-l"]), ("commands.play",)),
    Case(commands(play="echo `{last_error}`"), ("commands.play",), beyond=True),
    Case(commands(fix={"run": "a {workspace}; echo '{last_error}"}), ("commands.fix.run",),
         beyond=True),
    Case(doc(hooks={"round": "echo $'{last_error}'"}), ("hooks.round",), beyond=True),
    Case(baseline(command="echo `{workspace}` `{project_root}`"),
         ("baseline.command", "baseline.command"), beyond=True),
    Case(commands(test="true"), ("commands.test",)),
    Case(commands(baseline="true"), ("commands.baseline",)),
    Case(commands(Verify="true"), ("commands.Verify",)),
    Case(commands(fix={}), ("commands.fix.run",)),
    Case(commands(fix={"run": ""}), ("commands.fix.run",)),
    Case(commands(fix={"run": {"run": "x"}}), ("commands.fix.run",)),
    Case(commands(fix={"run": "x", "repeat": 2}), ("commands.fix.repeat",)),
    Case(commands(fix={"run": "x", "canary": "y"}), ("commands.fix.canary",)),
    Case(verify(canary={"run": "x"}), ("commands.verify.canary",)),
    Case(verify(canary="echo `{last_error}`"), ("commands.verify.canary",), beyond=True),
    Case(commands(fix={"command": "x"}), ("commands.fix.command", "commands.fix.run")),
    Case(
        verify(repeat=0, canary=5, private="yes"),
        ("commands.verify.repeat", "commands.verify.canary", "commands.verify.private"),
    ),
    Case(verify(timeout_seconds=0), ("commands.verify.timeout_seconds",)),
    Case(verify(timeout_seconds="5m"), ("commands.verify.timeout_seconds",)),
    Case(verify(timeout_seconds=None), ("commands.verify.timeout_seconds",)),
    Case(verify(stall_timeout_seconds=-1), ("commands.verify.stall_timeout_seconds",)),
    Case(verify(stall_timeout_seconds=1e300), ("commands.verify.stall_timeout_seconds",)),
    Case(verify(timeout=5), ("commands.verify.timeout",)),
    Case(verify(env=["A=1"]), ("commands.verify.env",)),
    Case(verify(env={"A": 1}), ("commands.verify.env.A",)),
    Case(verify(env={"A": "\0"}), ("commands.verify.env.A",), beyond=True),
    Case(verify(env={"OPENLOOP_ROUND": "1"}), ("commands.verify.env.OPENLOOP_ROUND",)),
    Case(verify(env={"A B": "1"}), ('commands.verify.env["A B"]',)),
    Case(verify(env={"1A": "1", "A-B": ""}), ("commands.verify.env.1A", "commands.verify.env.A-B")),
    Case(verify(env={"": "1"}), ('commands.verify.env[""]',)),
    Case(verify(env={"A\n": "1"}), ('commands.verify.env["A\\n"]',)),
    Case(verify(env={"x-a": "1"}), ("commands.verify.env.x-a",)),
    Case(verify(env={"$a": "1"}), ('commands.verify.env["$a"]',)),
    Case(verify(expect=""), ("commands.verify.expect",)),
    Case(verify(expect=5), ("commands.verify.expect",)),
    Case(verify(expect="("), ("commands.verify.expect",), beyond=True),
    Case(verify(reject="*"), ("commands.verify.reject",), beyond=True),
    Case(verify(reject="a{99999999999999999999}"), ("commands.verify.reject",), beyond=True),
    Case(verify(reject="(" * 5000 + ")" * 5000), ("commands.verify.reject",), beyond=True),
    Case(verify(reject="(?L)a"), ("commands.verify.reject",), beyond=True),
    Case(doc(baseline=None), ("baseline",)),
    Case(doc(baseline=False), ("baseline",)),
    Case(doc(baseline={}), ("baseline.command", "baseline.regex", "baseline.value")),
    Case(doc(baseline={"enabled": True, "value": 1}), ("baseline.command", "baseline.regex")),
    Case(baseline(enabled="no"), ("baseline.enabled",)),
    Case(baseline(enabled=0), ("baseline.enabled",)),
    Case(doc(baseline={"enabled": False, "value": "1"}), ("baseline.value",)),
    Case(doc(baseline={"enabled": False, "regex": "x"}), ("baseline.regex",), beyond=True),
    Case(baseline(command=""), ("baseline.command",)),
    Case(baseline(command={"run": "x", "repeat": 2}), ("baseline.command.repeat",)),
    Case(baseline(metric_name=""), ("baseline.metric_name",)),
    Case(baseline(regex=""), ("baseline.regex",)),
    Case(baseline(regex="score"), ("baseline.regex",), beyond=True),
    Case(baseline(regex="(?:score)"), ("baseline.regex",), beyond=True),
    Case(baseline(regex="(score"), ("baseline.regex",), beyond=True),
    Case(baseline(value="0.9"), ("baseline.value",)),
    Case(baseline(value=True), ("baseline.value",)),
    Case(raw('"baseline": {"command": "b", "regex": "(a)", "value": -1e999}'), ("baseline.value",),
         beyond=True),
    Case(baseline(value=10**320), ("baseline.value",), beyond=True),
    Case(baseline(direction="up"), ("baseline.direction",)),
    Case(baseline(direction=1), ("baseline.direction",)),
    Case(baseline(repeat=0), ("baseline.repeat",)),
    Case(baseline(repeat=1.5), ("baseline.repeat",)),
    Case(baseline(match="all"), ("baseline.match",)),
    Case(baseline(keep_best=1, min_delta=-1), ("baseline.keep_best", "baseline.min_delta")),
    Case(baseline(command={"run": "x", "repeat": 2}), ("baseline.command.repeat",)),
    Case(doc(limits=[]), ("limits",)),
    Case(limits(stall_timeout_seconds="5m"), ("limits.stall_timeout_seconds",)),
    Case(limits(stall_timeout_seconds=True), ("limits.stall_timeout_seconds",)),
    Case(limits(stall_timeout_seconds=None), ("limits.stall_timeout_seconds",)),
    Case(limits(command_timeout_seconds=0), ("limits.command_timeout_seconds",)),
    Case(limits(command_timeout_seconds=-1), ("limits.command_timeout_seconds",)),
    Case(raw('"limits": {"kill_grace_seconds": NaN}'), ("limits.kill_grace_seconds",), beyond=True),
    Case(raw('"limits": {"kill_grace_seconds": Infinity}'), ("limits.kill_grace_seconds",)),
    Case(raw('"limits": {"kill_grace_seconds": 1e999}'), ("limits.kill_grace_seconds",)),
    Case(limits(kill_grace_seconds=-0.1), ("limits.kill_grace_seconds",)),
    Case(limits(max_runtime_seconds=0), ("limits.max_runtime_seconds",)),
    Case(limits(max_runtime_seconds=False), ("limits.max_runtime_seconds",)),
    Case(limits(max_consecutive_failures=0), ("limits.max_consecutive_failures",)),
    Case(limits(max_consecutive_failures=2.1), ("limits.max_consecutive_failures",)),
    Case(limits(oom_markers="^a"), ("limits.oom_markers",)),
    Case(limits(oom_markers=["", 1, None]), tuple(f"limits.oom_markers[{n}]" for n in range(3))),
    Case(limits(oom_markers=["^a", "("]), ("limits.oom_markers[1]",), beyond=True),
    Case(limits(oom_markers=["\\u00e9"]), ("limits.oom_markers[0]",), beyond=True),
    Case(limits(stall_timeout=5), ("limits.stall_timeout",)),
    Case(doc(hooks={"done": "date"}), ("hooks.done",)),
    Case(doc(hooks={"round": ""}), ("hooks.round",)),
    Case(doc(hooks={"round": {"run": "x", "private": True}}), ("hooks.round.private",)),
    Case(doc(hooks="date"), ("hooks",)),
    Case(doc(policy=[]), ("policy",)),
    Case(doc(policy={"protect": "tests"}), ("policy.protect",)),
    Case(doc(policy={"protect": ["", 1]}), ("policy.protect[0]", "policy.protect[1]")),
    Case(doc(policy={"allow": ["../src"]}), ("policy.allow[0]",), beyond=True),
    Case(doc(policy={"max_changed_files": 0}), ("policy.max_changed_files",)),
    Case(doc(policy={"max_diff_lines": True}), ("policy.max_diff_lines",)),
    Case(doc(policy={"on_violation": "ask"}), ("policy.on_violation",)),
    Case(doc(policy={"sandbox": "docker"}), ("policy.sandbox",)),
    Case(doc(policy={"sandbox": True}), ("policy.sandbox",)),
    Case(doc(policy={"sandbox_gates": "yes"}), ("policy.sandbox_gates",)),
    Case(doc(policy={"writable": "~/.claude"}), ("policy.writable",)),
    Case(doc(policy={"writable": ["", "~/x", 1]}), ("policy.writable[0]", "policy.writable[2]")),
    Case(doc(policy={"writable": [".claude"]}), ("policy.writable[0]",), beyond=True),
    Case(
        doc(policy={"writable": ["/", "//", "/srv/../proc", "/dev/shm", "/devices", "/proc2"]}),
        ("policy.writable[0]", "policy.writable[1]", "policy.writable[2]", "policy.writable[3]"),
        beyond=True,
    ),
    Case(doc(policy={"withhold": "tests"}), ("policy.withhold",)),
    Case(doc(policy={"withhold": ["/../x"]}), ("policy.withhold[0]",), beyond=True),
    Case(commands(fix={"run": "x", "private": True}), ("commands.fix.private",)),
    Case(doc(comment="x"), ("comment",)),
    Case(doc(**{"X-note": 1, "a b": 2}), ("X-note", '["a b"]')),
    Case(doc(**{"\ud800": 1}), ('["\\ud800"]',)),
    Case(raw('"mission": "a", "mission": "b"'), ("mission",), beyond=True),
    Case(raw('"limits": {"kill_grace_seconds": 1, "kill_grace_seconds": 2}'),
         ("limits.kill_grace_seconds",), beyond=True),
    Case(raw('"hooks": {"round": {"run": "x", "env": {"A": "1", "A": "2"}}}'),
         ("hooks.round.env.A",), beyond=True),
    Case(raw('"baseline": {"enabled": false, "enabled": false}'), ("baseline.enabled",),
         beyond=True),
    Case("[]", ("the configuration",)),
    Case("null", ("the configuration",)),
    Case('"text"', ("the configuration",)),
    Case("1", ("the configuration",)),
    Case("NaN", ("the configuration",)),
]  # fmt: skip
UNREADABLE = [  # bytes, a word of the message, a word of the place, a word of the fix
    (b"", "is empty", WHERE, "object"),
    (b" \n\t ", "is empty", WHERE, "object"),
    (b"\xef\xbb\xbf{}", "byte order mark", WHERE, "UTF-8"),
    ("{}".encode("utf-16"), "byte order mark", WHERE, "UTF-8"),
    ("{}".encode("utf-16-le"), "is UTF-16", WHERE, "UTF-8"),
    ("{}".encode("utf-32-be"), "is UTF-16", WHERE, "UTF-8"),
    ('{"é":\n  "ü'.encode() + b'\xff"}', "not UTF-8", "line 2, column 5", "UTF-8"),
    (b'{"a": "\xc3', "not UTF-8", "line 1, column 8", "UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', "not UTF-8", "line 1, column 8", "UTF-8"),
    (b"{", "{ in column 1 is never closed", "line 1, column 2", "add what is missing"),
    (b'{\n"a": {"b": 1}\n', "{ in line 1 is never closed", "line 3, column 1", "}"),
    (b'{"a": 1,}', "an extra comma before }", "line 1, column 8", "remove the comma"),
    (b'{\n "a": {\n  "b": 1,\n  },\n "c": 2}', "an extra comma before }", "line 3, column 9",
     "remove the comma"),
    (b'{"a": [1,\n2,\n]}', "an extra comma before ]", "line 2, column 2", "remove the comma"),
    (b'{"a": 1,, "b": 2}', "two commas in a row", "line 1, column 9", "remove the comma"),
    (b'{, "a": 1}', "an extra comma after {", "line 1, column 2", "remove the comma"),
    (b'{"a": 1},', "an extra comma after the last }", "line 1, column 9", "one object"),
    (b"{'a': 1}", "' does not quote", "line 1, column 2", "put keys in"),
    ('{"a": “x”}'.encode(), "“ does not quote", "line 1, column 7", "texts"),
    (b'{a: 1}', "the key a has no quotation marks", "line 1, column 2", '"a"'),
    (b'{"a": npm test}', "begins with npm", "line 1, column 7", "put it in"),
    (b'// note\n{"a": 1}', "no comments", "line 1, column 1", "notes go into keys"),
    (b'{\n// note\n"a": 1}', "no comments", "line 2, column 1", "notes go into keys"),
    (b'{"a": 1, /* note */ "b": 2}', "no comments", "line 1, column 10", "remove"),
    (b'{"a": 1 # note\n}', "no comments", "line 1, column 9", "remove"),
    (b'{\n<<<<<<< HEAD\n"a": 1\n', "merge conflict", "line 2, column 1", "one side"),
    ('{\u00a0"a": 1}'.encode(), "invisible character", "line 1, column 2", "plain space"),
    (b'{"a": "\\d"}', "backslash", "line 1, column 8", "backslash twice"),
    (b'{"a": "1\n2"}', "past the end of its line", "line 1, column 9", r"\n"),
    (b'{"a": "1,\r\n"b": 2}', "past the end of its line", "line 1, column 10", "end the string"),
    (b'{"a": "1\t2"}', "a tab", "line 1, column 9", r"\t"),
    (b'{"a": "1\x1b"}', "a control character", "line 1, column 9", r"\u001b"),
    (b'{"a": "1}', "no closing quotation mark", "line 1, column 7", "end the string"),
    (b'{"a": "sh -c "b""}', "right after the", "line 1, column 15", r'\"'),
    (b'{"mission: "a"}', "right after the", "line 1, column 13", "too few"),
    (b'{"a": "b" && c}', "&& stands after a value", "line 1, column 11", "one pair"),
    (b'{"a": 1\n"b": 2}', "a comma is missing", "line 1, column 8", "a comma"),
    (b'["a" "b"]', "a comma is missing", "line 1, column 5", "a comma"),
    (b'{"a": 1; "b": 2}', "; stands where", "line 1, column 8", "comma"),
    (b'{"a" 1}', "no colon", "line 1, column 5", "add a colon"),
    (b'{"a" = 1}', "= stands where a colon belongs", "line 1, column 6", ":"),
    (b'{"a"}', "a key has no value", "line 1, column 5", "add a colon"),
    (b'{"a": , "b": 1}', "a key has no value", "line 1, column 7", "after the colon"),
    (b'{"a": True}', "True is not a JSON value", "line 1, column 7", "write true"),
    (b'{"a": None}', "None is not a JSON value", "line 1, column 7", "write null"),
    (b'{"a": (1)}', "(1) is not a JSON value", "line 1, column 7", "a [list]"),
    (b'{"a": 1} {}', "more text after its end", "line 1, column 10", "one object"),
    (b'"a": 1', "no { before the first key", "line 1, column 1", "begin with {"),
    (b'{"a": 1}}', "one } too many", "line 1, column 9", "remove it"),
    (b'{"a": [1}', "} stands before the [ in column 7 is closed", "line 1, column 9", "add ]"),
    (b'version: 1', "begins with version", "line 1, column 1", "object"),
    (b'{"a": 0x10}', "0x10 is not a JSON number", "line 1, column 7", "digits alone"),
    (b'{"a": 5m}', "5m is not a JSON number", "line 1, column 7", "digits alone"),
    (b'{"a": .5}', ".5 is not a JSON number", "line 1, column 7", "digits alone"),
    (b'{"a": \0}', "not valid JSON", "line 1, column 7", ""),
    (b"[" * 200_000, "nested too deeply", WHERE, "brackets"),
    (b'{"a":' * 200_000, "nested too deeply", WHERE, "brackets"),
    (b'{"mission": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply", WHERE, ""),
]  # fmt: skip
MUTABLE = [document for document in GOOD if isinstance(document, dict)]
PLAIN_VALUES = [
    None, True, False, 0, 1, -1, 3.0, 2.5, 10**9, 10**9 + 1, 1e300, "", "text", "only", "a=(.)",
    [], ["a"], [1], {}, {"run": "x"}, {"verify": "x"}, {"A": "1"}, {"enabled": False},
]  # fmt: skip
HOSTILE_VALUES = [
    *PLAIN_VALUES,
    float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 10**305, 10**400, -(10**400),
    " ", "\n", "\0", "a\0b", "\ud800", "\udfff\ud800", "\x1b[31m", "\u202e", "x" * 20_000,
    "(", "(" * 500, "[" * 500, "a{99999999999999999999}", "(?P<a>", "\\", "(?i)(a)", "*",
    "{last_error}", "`{last_error}`", "'{round}", "{", "{{round}}", "$'{step}'", "<<{workspace}",
    [[[[[[]]]]]], [None] * 200, [{}] * 3, {"run": {}}, {"$ref": "#"}, {"": ""}, {"x-a": 1},
]  # fmt: skip
KEYS = ["version", "run", "env", "policy", "repeat", "x-a", "$a", "", "é", "\ud800", "enabled",
        "commands", "verify", "A" * 500, "oom_markers", "__class__"]  # fmt: skip


def places(value):
    """Every (container, key) of a document."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def mutant(dice, values, most):
    """A good document with up to `most` mutations."""
    document = copy.deepcopy(dice.choice(MUTABLE))
    for _ in range(dice.randint(0, most)):
        if spots := list(places(document)):
            mutate(spots, dice, values)
    return document


def mutate(spots, dice, values):
    """Delete, add, replace or swap something at one of the spots, in place."""
    container, key = dice.choice(spots)
    match dice.randrange(5):
        case 0:
            del container[key]
        case 1:
            other, name = dice.choice(spots)
            container[key], other[name] = copy.deepcopy([other[name], container[key]])
        case 2 if isinstance(container, dict):
            container[dice.choice(KEYS)] = copy.deepcopy(dice.choice(values))
        case _:
            container[key] = copy.deepcopy(dice.choice(values))


def spoil(data, dice):
    """Repeat a key, or flip, cut or double bytes."""
    match dice.randrange(5):
        case 0:
            keys = list(re.finditer(rb'"[^"\\]*": ', data))
            key = dice.choice(keys) if keys else None
            return data[: key.start()] + key[0] + b"0, " + data[key.start() :] if key else data
        case 1:
            spoiled = bytearray(data)
            for _ in range(dice.randint(1, 4)):
                spoiled[dice.randrange(len(spoiled))] ^= 1 << dice.randrange(8)
            return bytes(spoiled)
        case 2:
            cut = dice.randrange(len(data))
            return data[:cut] + data[dice.randrange(cut, len(data)) :]
        case _:
            return data
