"""openloop.json as a value: read, checked in full, and never changed afterwards."""

from __future__ import annotations

import posixpath
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, AnyStr, NamedTuple

from openloop.config import placeholders, schema, strict_json
from openloop.config.oom_markers import OOM_MARKERS
from openloop.config.schema import Complaint
from openloop.core.errors import ConfigError, OpenLoopError
from openloop.core.usage import Figures
from openloop.core.vocabulary import GATES, Direction, Hook, Match, OnViolation, SandboxMode, Step


class Command(NamedTuple):
    """A shell command with its limits filled in; timeout and stall_timeout in seconds.

    canary: a shell command after which this one must fail. account: the agent's account, where
    several are in use."""

    run: str
    timeout: float
    stall_timeout: float
    env: Mapping[str, str]
    expect: str | None
    reject: str | None
    repeat: int = 1
    canary: str | None = None
    private: bool = False  # nothing that it prints is shown to an agent
    agent: str | None = None  # the preset that says how to read its output
    account: str = ""
    fallback: Command | None = None  # used while the agent is unavailable


class Baseline(NamedTuple):
    """The metric to reach: group 1 of `regex` in the command's log, compared with `value`."""

    command: Command
    metric_name: str
    regex: str
    value: float
    direction: Direction
    repeat: int
    match: Match
    keep_best: bool = False
    min_delta: float = 0.0


class Limits(NamedTuple):
    """All times in seconds; None is without limit. max_cost in US dollars; max_log_bytes: of one
    step."""

    command_timeout: float
    stall_timeout: float
    max_consecutive_failures: int
    kill_grace: float
    max_runtime: float | None
    oom_markers: tuple[str, ...]
    max_cost: float | None = None
    max_tokens: int | None = None
    max_wait: float = 21600.0
    max_log_bytes: int = 2 << 30
    max_attachment_bytes: int = 256 << 20


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    cached: float
    output: float

    def of(self, figures: Figures) -> float | None:
        """What the tokens cost; None when input or output is unknown."""
        if figures.input_tokens is None or figures.output_tokens is None:
            return None
        cached = min(figures.cached_tokens or 0, figures.input_tokens)
        plain = figures.input_tokens - cached
        total = plain * self.input + cached * self.cached + figures.output_tokens * self.output
        return total / 1_000_000


class Policy(NamedTuple):
    """What a change may not do. Patterns as in .gitignore; None where there is no limit.

    writable: paths as written, absolute or beginning with `~`.
    """

    protect: tuple[str, ...]
    allow: tuple[str, ...] | None
    max_changed_files: int | None
    max_diff_lines: int | None
    on_violation: OnViolation
    sandbox: SandboxMode = SandboxMode.NONE
    writable: tuple[str, ...] = ()
    withhold: tuple[str, ...] = ()
    sandbox_gates: bool = False

    @property
    def limits_changes(self) -> bool:
        """Whether the policy limits the size of a change, so that it is compared with the state
        before."""
        limits = (self.allow, self.max_changed_files, self.max_diff_lines)
        return any(limit is not None for limit in limits)


NO_POLICY = Policy((), None, None, None, OnViolation.RESTORE)


class Config(NamedTuple):
    """One openloop.json; project_root as written, baseline None when absent or disabled."""

    mission: str
    total_rounds: int
    project_root: str
    commands: Mapping[Step, Command]
    baseline: Baseline | None
    limits: Limits
    hooks: Mapping[Hook, Command]
    policy: Policy | None = None
    prices: Mapping[str, Price] = {}  # by glob of a model's name

    @property
    def gates(self) -> tuple[Step, ...]:
        """The configured gates, in the order of a round."""
        return tuple(gate for gate in GATES if gate in self.commands or self._measures(gate))

    @property
    def improver(self) -> Step | None:
        """The change that answers a missed baseline."""
        return next((step for step in (Step.IMPROVE, Step.FIX) if step in self.commands), None)

    def command(self, step: Step) -> Command:
        """The command of a configured step; KeyError for any other."""
        if self.baseline and step is Step.BASELINE:
            return self.baseline.command
        return self.commands[step]

    def price_of(self, model: str) -> Price | None:
        """The first price whose glob matches the model's name."""
        from fnmatch import fnmatchcase

        return next((p for glob, p in self.prices.items() if fnmatchcase(model, glob)), None)

    def _measures(self, gate: Step) -> bool:
        return gate is Step.BASELINE and self.baseline is not None


def fits_environment(text: str) -> bool:
    """Whether the text fits into one environment variable; Linux allows less than 128 KiB."""
    return len(text.encode(errors="replace")) <= 64 << 10


def parse(data: bytes, *, where: str) -> Config:
    """The configuration that the bytes of openloop.json hold.

    where: the file's name, for messages. Raises ConfigError with every problem found.
    """
    document = strict_json.read(strict_json.decode(data, where), where)
    problems = tuple(
        OpenLoopError(f"{schema.dotted(problem.path)} {problem.what}", where=where, fix=problem.fix)
        for problem in _checker().problems(document)
    )
    if problems:
        raise ConfigError(problems)
    return _config(document)


@cache
def _checker() -> schema.Checker:
    return schema.Checker(schema.load(), formats())


def formats() -> Mapping[str, schema.Format]:
    """The checks behind the `format` keyword of the schemas, by name."""
    return {
        "shell-command": _check_command,
        "regex": check_regex,
        "bytes-regex": _check_bytes_regex,
        "metric-regex": _check_metric_regex,
        "glob": _check_glob,
        "outside-path": _check_outside_path,
    }


def _check_command(text: str) -> Iterator[Complaint]:
    for trouble in placeholders.check(text):
        yield f"({trouble.where}): {trouble.what}", trouble.fix


def check_regex(text: str) -> Iterator[Complaint]:
    compiled = _compile(text)
    if isinstance(compiled, str):
        yield _broken(text, compiled)


def _check_bytes_regex(text: str) -> Iterator[Complaint]:
    """OOM markers are searched in logs as they are, undecoded."""
    compiled = _compile(text.encode())
    if isinstance(compiled, str):
        yield _broken(text, compiled)


def _check_metric_regex(text: str) -> Iterator[Complaint]:
    compiled = _compile(text)
    if isinstance(compiled, str):
        yield _broken(text, compiled)
    elif not compiled.groups:
        what = f"must have a group around the number, got {schema.shown_value(text)}"
        yield what, "put the number's part in ( ), for example score=(\\S+)"


def _check_glob(text: str) -> Iterator[Complaint]:
    from openloop.config import globs  # only a policy has some

    if trouble := globs.check(text):
        yield trouble, "write a path from the project root as in .gitignore, such as tests/**"


def _check_outside_path(text: str) -> Iterator[Complaint]:
    fix = "write where the agent keeps its state, for example ~/.claude"
    if not text.startswith(("/", "~")):
        yield f"must be absolute or begin with ~/, got {schema.shown_value(text)}", fix
        return
    path = posixpath.normpath(re.sub("^/+", "/", text))  # it would keep two slashes
    if path == "/" or f"{path}/".startswith(("/proc/", "/dev/")):
        what = f"must leave the sandbox its own /proc and /dev, got {schema.shown_value(text)}"
        yield what, fix


def _compile(pattern: AnyStr) -> re.Pattern[AnyStr] | str:
    """The compiled expression, or the reason why it cannot be compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern, re.MULTILINE)
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            return str(error)


def _broken(text: str, why: str) -> Complaint:
    what = f"must be a regular expression, got {schema.shown_value(text)}: {why}"
    return what, "write it as Python's re module reads it, every backslash twice"


def _config(document: Mapping[str, Any]) -> Config:
    """The configuration of a valid document; absent sections and keys take their defaults."""
    top = {**schema.defaults(), **document}
    limits = _limits(document.get("limits", {}))
    hooks = document.get("hooks", {})
    return Config(
        mission=top["mission"],
        total_rounds=int(top["total_rounds"]),
        project_root=top["project_root"],
        commands={
            step: _command(top["commands"][step], limits)
            for step in Step
            if step in top["commands"]
        },
        baseline=_baseline(document.get("baseline", {"enabled": False}), limits),
        limits=limits,
        hooks={hook: _command(hooks[hook], limits) for hook in Hook if hook in hooks},
        policy=_policy(document["policy"]) if "policy" in document else None,
        prices={
            glob: Price(one["input"], one.get("cached", one["input"]), one["output"])
            for glob, one in document.get("prices", {}).items()
        },
    )


def _policy(section: Mapping[str, Any]) -> Policy:
    section = {**schema.defaults("policy"), **section}
    allow = section.get("allow")
    return Policy(
        protect=tuple(section.get("protect", ())),
        allow=None if allow is None else tuple(allow),
        max_changed_files=_whole(section.get("max_changed_files")),
        max_diff_lines=_whole(section.get("max_diff_lines")),
        on_violation=OnViolation(section["on_violation"]),
        sandbox=SandboxMode(section["sandbox"]),
        writable=tuple(section.get("writable", ())),
        withhold=tuple(section.get("withhold", ())),
        sandbox_gates=section["sandbox_gates"],
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _limits(section: Mapping[str, Any]) -> Limits:
    limits = {**schema.defaults("limits"), **section}
    max_runtime = limits["max_runtime_seconds"]
    return Limits(
        command_timeout=float(limits["command_timeout_seconds"]),
        stall_timeout=float(limits["stall_timeout_seconds"]),
        max_consecutive_failures=int(limits["max_consecutive_failures"]),
        kill_grace=float(limits["kill_grace_seconds"]),
        max_runtime=None if max_runtime is None else float(max_runtime),
        oom_markers=tuple(limits.get("oom_markers", OOM_MARKERS)),
        max_cost=limits["max_cost_usd"],
        max_tokens=_whole(limits["max_tokens"]),
        max_wait=float(limits["max_wait_seconds"]),
        max_log_bytes=int(limits["max_log_bytes"]),
        max_attachment_bytes=int(limits["max_attachment_bytes"]),
    )


def _baseline(section: Mapping[str, Any], limits: Limits) -> Baseline | None:
    section = {**schema.defaults("baseline"), **section}
    if not section["enabled"]:
        return None
    return Baseline(
        command=_command(section["command"], limits),
        metric_name=section["metric_name"],
        regex=section["regex"],
        value=float(section["value"]),
        direction=Direction(section["direction"]),
        repeat=int(section["repeat"]),
        match=Match(section["match"]),
        keep_best=section["keep_best"],
        min_delta=float(section["min_delta"]),
    )


def _command(value: str | Mapping[str, Any], limits: Limits) -> Command:
    parts: Mapping[str, Any] = {"run": value} if isinstance(value, str) else value
    return Command(
        run=parts["run"],
        timeout=float(parts.get("timeout_seconds", limits.command_timeout)),
        stall_timeout=float(parts.get("stall_timeout_seconds", limits.stall_timeout)),
        env=dict(parts.get("env", {})),
        expect=parts.get("expect"),
        reject=parts.get("reject"),
        repeat=int(parts.get("repeat", 1)),
        canary=parts.get("canary"),
        private=bool(parts.get("private", False)),
        agent=parts.get("agent"),
        account=parts.get("account", ""),
        fallback=_command(parts["fallback"], limits) if "fallback" in parts else None,
    )
