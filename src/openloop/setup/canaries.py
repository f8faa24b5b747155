"""Canaries: a gate that cannot fail is named before money is spent on it.

A scratch copy of the project is broken on purpose, and the gate must notice: by a gate's own
canary, and by built-in ones for verify.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from openloop.config.config import Command
from openloop.core.clock import monotonic
from openloop.core.text import printable
from openloop.core.vocabulary import Step
from openloop.loop.gates import Verdict
from openloop.process.signals import Interrupts
from openloop.process.supervisor import Processes, ViewError
from openloop.record.mission import Mission
from openloop.runner.execution import Trials
from openloop.setup import mutations, scratch_copy
from openloop.setup.finding import Finding, ok, problem, warning
from openloop.setup.mutations import Spoiling, Way
from openloop.views.console import duration

PATIENCE = 600.0  # seconds after which no further built-in canary is tried
_SLOWER = 10.0  # times as long as on the untouched copy is as good as a failure
_LEAST = 10.0  # seconds that a gate is given at least
_NAMED = 5  # files that a sentence names
_NEVER = "let it run the code and check what comes of it, for example with openloop judge"
_MENDS = {
    Way.EMPTIED: "if no test looks at it, add one",
    Way.EXITS: "let verify look at what its tests say (expect), or check from outside, in another "
    "process: openloop judge",
    Way.REMOVED: 'protect it, and let verify count, for example with expect "^Ran 12 tests"',
}


class Canaries:
    """All canaries of a mission, tried under the workspace's lock."""

    def __init__(
        self, mission: Mission, lock: int, interrupts: Interrupts, show: Callable[[str], None]
    ) -> None:
        """lock: its descriptor. show: told what is tried now."""
        self._mission = mission
        self._lock = lock
        self._interrupts = interrupts
        self._show = show
        self._overlays = True
        self._untouched: dict[Step, Verdict] = {}
        self._seconds = 0.0  # that verify took on the untouched copy

    def findings(self) -> Iterator[Finding]:
        """What was found, a gate after the other. Raises KeyboardInterrupt on a signal."""
        try:
            for gate in self._mission.config.gates:
                canary = self._mission.config.command(gate).canary
                if canary is not None:
                    yield self._own(gate, canary)
            yield from self._built_in()
        except scratch_copy.TooLarge:
            yield warning(
                "canaries were not tried: the project is larger than "
                f"{scratch_copy.LARGEST >> 30} GB, and this system has no overlays for it",
                "allow user namespaces, or try them on a small clone",
            )

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Trials]:
        """A new copy of the project and what runs in it."""
        with contextlib.ExitStack() as opened:
            yield self._overlay(opened) or self._copy(opened)

    def _overlay(self, opened: contextlib.ExitStack) -> Trials | None:
        """None where the system has no overlays, from the first time on."""
        if self._overlays:
            place = opened.enter_context(scratch_copy.overlay(self._mission.root))
            try:
                return self._trials(place, opened)
            except ViewError:
                self._overlays = False
        return None

    def _copy(self, opened: contextlib.ExitStack) -> Trials:
        mission = self._mission
        place = opened.enter_context(scratch_copy.copy(mission.root, mission.workspace.path))
        return self._trials(place, opened)

    def _trials(self, place: scratch_copy.Scratch, opened: contextlib.ExitStack) -> Trials:
        processes = Processes(self._lock, self._interrupts, lambda gap: None, place.view)
        opened.callback(processes.close)
        return Trials(self._mission, processes, place.root)

    def _passes_untouched(self, gate: Step) -> Verdict:
        if gate not in self._untouched:
            self._show(f"{gate} in a scratch copy")
            with self._scratch() as trials:
                began = monotonic()
                self._untouched[gate] = trials.gate(gate)
                if gate is Step.VERIFY:
                    self._seconds = monotonic() - began
        return self._untouched[gate]

    # --- a gate's own -------------------------------------------------------------------

    def _own(self, gate: Step, canary: str) -> Finding:
        before = self._passes_untouched(gate)
        if not before.outcome.passed:
            return _says_nothing(f"its canary was not tried: {gate}", before)
        self._show(f"canary of {gate}")
        with self._scratch() as trials:
            command = self._mission.config.command(gate)
            broken = trials.once(gate, _plain(command, canary))
            if not broken.outcome.passed:
                why = _words(broken)
                fix = "mend it; it runs in the project root of a scratch copy"
                return problem(f"the canary of {gate} did not do its work: {why}", fix)
            after = trials.gate(gate)
        if after.outcome.passed:
            fix = "let the gate check what its canary breaks"
            return problem(f"{gate} passes although its canary broke the project", fix)
        return ok(f"{gate} fails after its canary: {_words(after)}")

    # --- built in -----------------------------------------------------------------------

    def _built_in(self) -> Iterator[Finding]:
        plan = mutations.plan(self._mission)
        if not plan.spoilings:
            yield ok("no source of a kind that built-in canaries know (Python, JavaScript, shell)")
            return
        before = self._passes_untouched(Step.VERIFY)
        if not before.outcome.passed:
            yield _says_nothing("built-in canaries were not tried: verify", before)
            return
        began = monotonic()
        tried: list[tuple[Spoiling, bool]] = []
        failed: list[Spoiling] = []
        for position, one in enumerate(plan.spoilings, 1):
            if monotonic() - began > PATIENCE:
                break
            self._show(f"canary {position} of {len(plan.spoilings)}: {one.path} {one.way}")
            noticed = self._notices(one)
            if noticed is None:
                failed.append(one)
            else:
                tried.append((one, noticed))
        yield from _judged(tried)
        if failed:
            what = f"{_files(failed)} could not be spoilt, so that says nothing"
            yield warning(what, "see whether it can be written")
        late = len(plan.spoilings) - len(tried) - len(failed)
        words = f"{len(tried)} built-in canaries tried in {duration(monotonic() - began)}"
        yield ok(f"{words}; left out: {_left(plan, late)}")

    def _notices(self, one: Spoiling) -> bool | None:
        """Whether verify fails on a copy spoilt so; None when it could not be spoilt."""
        command = self._mission.config.command(Step.VERIFY)
        with self._scratch() as trials:
            spoilt = _plain(command, one.command)
            verdict = trials.once(Step.VERIFY, spoilt, env=one.environment)
            if not verdict.outcome.passed:
                return None
            longest = max(_LEAST, _SLOWER * self._seconds)
            return not trials.gate(Step.VERIFY, longest=longest).outcome.passed


def _plain(command: Command, text: str) -> Command:
    """The gate's own limits and environment around another text."""
    return replace(command, run=text, expect=None, reject=None)


def _judged(tried: Sequence[tuple[Spoiling, bool]]) -> Iterator[Finding]:
    """What so many trials say of verify."""
    sources = [(one, noticed) for one, noticed in tried if one.way is not Way.REMOVED]
    if sources and not any(noticed for _, noticed in sources):
        what = "verify cannot fail: it passes whichever source is emptied or made to exit with 0"
        yield problem(f"{what} ({_files([one for one, _ in sources])})", _NEVER)
        sources = []
    for way in Way:
        some = [(one, noticed) for one, noticed in tried if one.way is way]
        missed = [one for one, noticed in some if not noticed]
        if way is not Way.REMOVED and not sources:
            continue
        if missed:
            yield warning(f"verify passes with {_files(missed)} {way}", _MENDS[way])
        elif some:
            yield ok(f"verify notices each of {len(some)} files {way}")


def _files(spoilt: Sequence[Spoiling]) -> str:
    names = list(dict.fromkeys(one.path for one in spoilt))
    left = len(names) - _NAMED
    words = ", ".join(map(printable, names[:_NAMED]))
    return f"{words} and {left} more" if left > 0 else words


def _left(plan: mutations.Plan, late: int) -> str:
    parts = (
        (plan.sources_left, "smaller sources"),
        (plan.tests_left, "smaller tests"),
        (late, "for want of time"),
    )
    return ", ".join(f"{count} {words}" for count, words in parts if count) or "nothing"


def _words(verdict: Verdict) -> str:
    return f"{verdict.outcome} ({verdict.detail})" if verdict.detail else str(verdict.outcome)


def _says_nothing(what: str, verdict: Verdict) -> Finding:
    fix = "canaries need a gate that passes on the project as it is; try again when it does"
    return warning(f"{what} does not pass in an untouched copy: {_words(verdict)}", fix)
