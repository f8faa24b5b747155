"""Whether an agent can work: what it reported, until when it was refused, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openloop.config.config import Command, Config
from openloop.core import clock
from openloop.core.vocabulary import Kind, Outcome, Refusal
from openloop.loop import waits
from openloop.loop.gates import Exit, Verdict
from openloop.loop.state import AgentRefusal, State
from openloop.loop.waits import RunStep, Wait
from openloop.process.signals import Interrupts
from openloop.process.watchdog import BEAT_INTERVAL
from openloop.record.projections import LiveFacts

if TYPE_CHECKING:
    from openloop.agents import sessions
    from openloop.agents.sessions import ConfiguredAgents, Session

TEMPORARY = 75  # EX_TEMPFAIL: a wrapper says that its agent could not work
BELIEVED = 3  # refusals in a row whose reset is taken as it was given
JITTER = (5.0, 60.0)  # seconds by which loops of one account are spread, at least and at most


def command_of(config: Config, action: RunStep) -> Command:
    """The command that the action runs."""
    command = config.command(action.step)
    return command.fallback or command if action.fallback else command


def judged(verdict: Verdict, end: Exit, session: Session | None, last_line: str) -> Verdict:
    """The verdict on a change once its agent's own report is known. A refusal explains an exit, a
    time that ran out and silence; whatever else OpenLoop did to the command stands."""
    if end.ended not in (None, Outcome.TIMEOUT, Outcome.STALLED) or end.oom or end.survivors:
        return verdict
    if verdict.outcome is Outcome.OOM:
        return verdict
    refused = session.refused if session else None
    if refused is not None or (end.ended is None and end.code == TEMPORARY):
        says = refused.says if refused else last_line or f"exit {TEMPORARY}"
        return Verdict(Outcome.UNAVAILABLE, f"{says} ({verdict.detail})" if end.ended else says)
    if end.ended is not None or session is None:
        return verdict
    return _in_its_words(verdict, end, session)


def _in_its_words(verdict: Verdict, end: Exit, session: Session) -> Verdict:
    """The verdict with the meaning of the agent's exit code and its last error; a session that
    failed has not passed, whatever its exit code."""
    failure = session.failure
    words = session.exit_words(end.code)
    detail = f"{verdict.detail} ({words})" if words else verdict.detail
    if failure is None:
        return Verdict(verdict.outcome, detail, verdict.value)
    if verdict.outcome.passed:
        return Verdict(Outcome.FAILED, failure.says)
    return Verdict(verdict.outcome, f"{detail}: {failure.says}")


def refused(
    config: Config, state: State, action: RunStep, found: sessions.ReportedRefusal | None, says: str
) -> tuple[AgentRefusal, float]:
    """(the refusal for the loop to decide on, seconds until the reset). found: as reported; None
    for a command that ended with TEMPORARY. says: why, in words."""
    before = state.refused.get(waits.refusal_key(action.step, action.fallback))
    times = before.times + 1 if before else 1
    kind = found.kind if found else Refusal.OVERLOADED
    agent = command_of(config, action).agent or "its agent"
    given = found.seconds if found else None
    delay = waits.backoff_seconds(times) if given is None else given
    if times > BELIEVED:  # the agent's word on the reset was wrong again and again
        delay = max(delay, waits.backoff_seconds(times - BELIEVED))
    import random  # slow to import

    least, most = JITTER
    spread = random.uniform(0, min(most, max(least, delay / 10)))
    seconds = round(min(delay + spread, max(delay, waits.patience(config, state))), 3)
    until = clock.utc(seconds) if kind.passes else ""
    return AgentRefusal(agent, kind, says, until, seconds, times), delay


def known_limit(
    config: Config, state: State, action: RunStep, agents: ConfiguredAgents | None
) -> dict[str, Any] | None:
    """A limit of the change's agent that another loop met: the fields of its note."""
    if agents is None or action.step.is_gate:
        return None
    known = agents.known_limit(command_of(config, action))
    if known is None:
        return None
    found, _ = refused(config, state, action, known, known.says)
    return {
        "step": action.step,
        "note": "unavailable",
        "text": f"{found.agent} was not tried: another loop met its limit ({found.says})",
        "stand_in": action.fallback,
        "refusal": found.to_json(),
    }


def end_shared_limits(config: Config, action: Wait, agents: ConfiguredAgents) -> None:
    """After a wait: a clock that was set back meanwhile would keep its limit in force."""
    import time  # only a wait needs it

    until = time.time() + clock.seconds_until(action.until)
    command = config.command(action.step)
    for one in (command, command.fallback):
        if one is not None:
            agents.waited(one, until)


def wait(
    action: Wait,
    interrupts: Interrupts,
    record: Callable[..., None],
    show: Callable[[LiveFacts], None],
) -> None:
    """Wait for an agent, at most until a signal, and record the wait."""
    step, until = action.step, action.until
    record(
        Kind.WAIT_STARTED, step=step, durable=True, agent=action.agent, until=until, why=action.why
    )
    begun = clock.monotonic()
    live = LiveFacts()
    end = begun + action.seconds
    while not interrupts.received and (rest := clock.remaining_wait(until, end)) > 0:
        show(live)
        interrupts.sleep(min(rest, BEAT_INTERVAL))
    seconds = round(clock.monotonic() - begun, 3)
    over = not interrupts.received
    record(Kind.WAIT_FINISHED, step=step, until=until, seconds=seconds, over=over)
    show(LiveFacts())
