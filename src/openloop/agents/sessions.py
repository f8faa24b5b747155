"""The agents of one run. The runner knows no agent and asks these classes instead."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from openloop.agents import catalog, shared_limits
from openloop.agents.failures import ERROR, SessionFailure
from openloop.agents.preset import Preset
from openloop.agents.reset_time import seconds_until_reset
from openloop.agents.shared_limits import SharedLimit
from openloop.agents.transcript import Transcript
from openloop.config.config import Command, Config
from openloop.core.errors import UsageError
from openloop.core.usage import Figures, Usage
from openloop.core.vocabulary import CHANGES, Refusal

PIECE = 1 << 16  # bytes read at once
BEAT_SHARE = 0.005  # CPU seconds that reading may take at one beat
WHOLE = 1 << 24  # bytes of a log that is read whole, whatever it holds
LAST_BYTES = 1 << 19  # of a larger one, that are read at its end when beats could not keep up


class ReportedRefusal(NamedTuple):
    """A refusal by an agent. kind: why. says: in its own words. seconds: until the reset; None
    when it gave no time, or one that is over."""

    kind: Refusal
    says: str
    seconds: float | None


class ConfiguredAgents:
    """The presets that a configuration names, and the limits that are known of them."""

    def __init__(self, config: Config, where: str) -> None:
        """where: the configuration, for messages. Raises UsageError or ConfigError for a preset
        that does not exist or is broken, and for a budget that cannot be kept."""
        self._config = config
        self._presets: dict[str, Preset] = {}
        self._totals: dict[str, Figures] = {}  # of sessions that may be resumed
        for place, command in commands(config):
            if command.agent is not None:
                here = f"{where}: {place}.agent"
                self._presets[command.agent] = catalog.preset_named(
                    command.agent, where=here, fix="openloop agents lists them"
                )
        for problem in unpriced(config, self._presets):
            raise UsageError(problem, where=where, fix=PRICE_FIX)

    def preset(self, command: Command) -> Preset | None:
        return None if command.agent is None else self._presets[command.agent]

    def begin(self, command: Command) -> Session | None:
        """A session of the command, whose log is empty; None for one that names no agent."""
        preset = self.preset(command)
        return Session(self._config, preset, self._totals) if preset else None

    def state(self, command: Command) -> tuple[str, ...]:
        """Paths that the command's agent writes outside of the project; folders are made."""
        preset = self.preset(command)
        if preset is None:
            return ()
        paths = [os.path.expanduser(path) for path in preset.state]
        for path in paths:
            if path.endswith("/"):
                with contextlib.suppress(OSError):  # then the agent says what it cannot write
                    os.makedirs(path, mode=0o700, exist_ok=True)
        return tuple(paths)

    def in_sandbox(self, command: Command) -> str:
        """The command as the sandbox runs it."""
        preset = self.preset(command)
        return preset.in_sandbox(command.run) if preset else command.run

    def known_limit(self, command: Command) -> ReportedRefusal | None:
        """A limit of the command's account that another loop met."""
        if command.agent is None:
            return None
        limit = shared_limits.known(command.agent, command.account)
        if limit is None:
            return None
        return ReportedRefusal(Refusal.LIMIT, limit.says, limit.until - time.time())

    def waited(self, command: Command, until: float) -> None:
        """Let other loops know that the limit of the command's account, which was to last until
        then, is over."""
        if command.agent is not None:
            shared_limits.remove_reached(command.agent, command.account, until)

    def share_result(
        self, command: Command, refused: ReportedRefusal | None, seconds: float | None
    ) -> None:
        """Let other loops know how a session ended. seconds: until the agent may be tried again."""
        if command.agent is None:
            return
        if refused is None:
            shared_limits.remove_expired(command.agent, command.account)
        elif refused.kind is Refusal.LIMIT and seconds is not None:
            limit = SharedLimit(time.time() + seconds, refused.says)
            shared_limits.save(command.agent, command.account, limit)


def unpriced(config: Config, presets: Mapping[str, Preset]) -> Iterator[str]:
    """Agents whose cost can never be known although it is limited."""
    if config.limits.max_cost is None:
        return
    for name, preset in presets.items():
        reports = preset.reading.reports
        if "cost" not in reports and not ("tokens" in reports and config.prices):
            what = "has no price in prices" if "tokens" in reports else "reports no tokens"
            yield f"limits.max_cost_usd cannot be kept: {name} reports no cost and {what}"


PRICE_FIX = (
    'add what its model costs, for example "prices": {"gpt-5*": {"input": 1.25, "output": 10}}, '
    "or limit tokens instead: limits.max_tokens"
)


def commands(config: Config) -> Iterator[tuple[str, Command]]:
    """(place in openloop.json, command) of every change and its fallback."""
    for step in CHANGES:
        if step in config.commands:
            command = config.commands[step]
            yield f"commands.{step}", command
            if command.fallback:
                yield f"commands.{step}.fallback", command.fallback


class Session:
    """One session: its log is read as it grows. Not for two threads at once."""

    def __init__(self, config: Config, preset: Preset, finished: dict[str, Figures]) -> None:
        """finished: totals of sessions by their ids, to which this one's is added at its end."""
        self._config = config
        self._finished = finished
        self._preset = preset
        self._transcript = Transcript(preset.reading, preset.name, dict(finished))
        self._read = 0  # bytes
        self._given_up: SessionFailure | None = None

    def read(self, log: int, size: int) -> None:
        """Read what is new in the log, as far as one beat's share of CPU time goes. log: its
        descriptor; size: in bytes."""
        self._feed(log, size, time.thread_time() + BEAT_SHARE)
        failure = self._transcript.failure
        if failure and failure.is_hopeless:
            self._given_up = failure

    def end(self, log: int, code: int | None) -> None:
        """Note the exit code of the ended command."""
        size = os.fstat(log).st_size
        if size > WHOLE and size - self._read > LAST_BYTES:
            self._transcript.skip(size - LAST_BYTES - self._read)
            self._read = size - LAST_BYTES
        self._feed(log, size, float("inf"))
        self._transcript.end(code)
        session, total = self._transcript.total
        if session and total:
            self._finished[session] = total

    def _feed(self, log: int, size: int, deadline: float) -> None:
        while self._read < size and time.thread_time() < deadline:
            data = os.pread(log, min(PIECE, size - self._read), self._read)
            if not data:
                return
            self._read += len(data)
            self._transcript.feed(data)

    @property
    def usage(self) -> Usage:
        """What the session used so far, priced where the agent names no cost."""
        usage = self._transcript.usage
        if usage.figures.cost_usd is None and (price := self._config.price_of(usage.model or "")):
            figures = usage.figures._replace(cost_usd=price.of(usage.figures))
            usage = usage._replace(figures=figures)
        return usage

    @property
    def failure(self) -> SessionFailure | None:
        return self._given_up or self._transcript.failure

    @property
    def hopeless(self) -> str:
        """Why the session must be ended, in the agent's words; "" while it may still succeed."""
        return self._given_up.says if self._given_up else ""

    @property
    def refused(self) -> ReportedRefusal | None:
        """Why the agent could not work, if that was its provider's or its login's doing."""
        failure = self.failure
        if failure is None or failure.kind == ERROR:
            return None
        seconds = seconds_until_reset(failure.reset or failure.says, time.time())
        given = seconds if seconds is not None and seconds > 0 else None
        return ReportedRefusal(Refusal(failure.kind), failure.says, given)

    @property
    def retries(self) -> str:
        """The retry that the agent itself waits for now, in its own words; "" for none."""
        failure = self.failure
        return failure.says if failure and failure.retries else ""

    @property
    def answer(self) -> str:
        """The last message of the agent to its user; "" for none."""
        return self._transcript.answer

    def exit_words(self, code: int | None) -> str:
        """The meaning of an exit code that would be misread as a signal; "" for any other."""
        return self._preset.reading.exit_words.get(code or 0, "")
