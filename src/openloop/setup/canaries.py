"""Canaries: each breaks a scratch copy of the project on purpose, and a gate must notice.

A gate may have one of its own, and there are built-in ones for verify. So a gate that cannot fail
is named before money is spent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from openloop.config.config import Command
from openloop.core.clock import monotonic
from openloop.core.text import printable
from openloop.core.vocabulary import Step
from openloop.fs import project_copy
from openloop.loop.gates import Verdict
from openloop.process.signals import Interrupts
from openloop.process.supervisor import NamespaceError, Processes
from openloop.record.mission import Mission
from openloop.runner.gate_runner import GateRunner
from openloop.setup import mutations, scratch_copy
from openloop.setup.findings import Finding, ok, problem, warning
from openloop.setup.mutations import Effect, Mutation
from openloop.views.console import duration

_PATIENCE = 600.0  # seconds after which no further built-in canary is tried
_SLOWER = 10.0  # times as long as on the untouched copy is as good as a failure
_LEAST = 10.0  # seconds that a gate is given at least
_NAMED = 5  # files that a sentence names
_NEVER = "let it run the code and check the result, for example with openloop judge"
_COUNTS = (  # a word of verify, what its output says of the number of tests
    ("pytest", "12 passed"),
    ("unittest", "^Ran 12 tests"),
    ("cargo", "12 passed; 0 failed"),
    ("bats", "^1\\.\\.12$"),
    ("go test", "^ok"),
    ("", "12 pass"),
)


class Canaries:
    """All canaries of a mission, tried under the workspace's lock."""

    def __init__(
        self, mission: Mission, lock: int, interrupts: Interrupts, show: Callable[[str], None]
    ) -> None:
        """lock: its descriptor. show: called with each attempt."""
        self._mission = mission
        self._lock = lock
        self._interrupts = interrupts
        self._show = show
        self._overlays = True
        self._untouched: dict[Step, Verdict] = {}
        self._seconds = 0.0  # that verify took on the untouched copy

    def findings(self) -> Iterator[Finding]:
        """The findings, gate by gate. Raises KeyboardInterrupt on a signal."""
        try:
            for gate in self._mission.config.gates:
                canary = self._mission.config.command(gate).canary
                if canary is not None:
                    yield self._try_own(gate, canary)
            yield from self._try_built_in()
        except project_copy.ProjectTooLarge:
            yield warning(
                "canaries were not tried: the project is larger than "
                f"{project_copy.LARGEST >> 30} GB, and this system has no overlays for it",
                "allow user namespaces, or try them on a small clone",
            )

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[GateRunner]:
        """A new copy of the project, with a guard for its commands."""
        with contextlib.ExitStack() as opened:
            yield self._overlay(opened) or self._copy(opened)

    def _overlay(self, opened: contextlib.ExitStack) -> GateRunner | None:
        """The overlay of the project; None if the system has no overlays."""
        if self._overlays:
            place = opened.enter_context(scratch_copy.overlay(self._mission.root))
            try:
                return self._gate_runner(place, opened)
            except NamespaceError:
                self._overlays = False
        return None

    def _copy(self, opened: contextlib.ExitStack) -> GateRunner:
        mission = self._mission
        place = opened.enter_context(scratch_copy.copy(mission.root, mission.workspace.path))
        return self._gate_runner(place, opened)

    def _gate_runner(
        self, place: scratch_copy.ScratchCopy, opened: contextlib.ExitStack
    ) -> GateRunner:
        processes = Processes(self._lock, self._interrupts, lambda gap: None, place.view)
        opened.callback(processes.close)
        return GateRunner(self._mission, processes, place.root)

    def _verdict_on_untouched(self, gate: Step) -> Verdict:
        """The verdict of a gate in a scratch copy as it is; the gate is run once."""
        if gate not in self._untouched:
            self._show(f"{gate} in a scratch copy")
            with self._scratch() as gates:
                began = monotonic()
                self._untouched[gate] = gates.run(gate)
                if gate is Step.VERIFY:
                    self._seconds = monotonic() - began
        return self._untouched[gate]

    # --- a gate's own -------------------------------------------------------------------

    def _try_own(self, gate: Step, canary: str) -> Finding:
        before = self._verdict_on_untouched(gate)
        if not before.outcome.passed:
            return _not_tried(f"its canary was not tried: {gate}", before)
        self._show(f"canary of {gate}")
        with self._scratch() as gates:
            command = self._mission.config.command(gate)
            broken = gates.run_once(gate, _plain(command, canary))
            if not broken.outcome.passed:
                why = _words(broken)
                fix = "correct it; it runs in the project root of a scratch copy"
                return problem(f"the canary of {gate} did not do its work: {why}", fix)
            after = gates.run(gate)
        if after.outcome.passed:
            fix = "let the gate check what its canary breaks"
            return problem(f"{gate} passes although its canary broke the project", fix)
        return ok(f"{gate} fails after its canary: {_words(after)}")

    # --- built in -----------------------------------------------------------------------

    def _try_built_in(self) -> Iterator[Finding]:
        plan = mutations.plan(self._mission)
        if not plan.has_sources and self._mission.config.command(Step.VERIFY).canary is None:
            yield warning(
                "whether verify can fail is unknown: no source is of a kind that built-in canaries "
                "know (Python, JavaScript, TypeScript, shell)",
                'add "canary" to verify: a command that breaks what a test checks, such as sed -i',
            )
        if not plan.mutations:
            return
        before = self._verdict_on_untouched(Step.VERIFY)
        if not before.outcome.passed:
            yield _not_tried("built-in canaries were not tried: verify", before)
            return
        began = monotonic()
        tried: list[tuple[Mutation, bool]] = []
        failed: list[Mutation] = []
        for position, one in enumerate(plan.mutations, 1):
            if monotonic() - began > _PATIENCE:
                break
            self._show(f"canary {position} of {len(plan.mutations)}: {one.path} {one.effect}")
            noticed = self._notices(one)
            if noticed is None:
                failed.append(one)
            else:
                tried.append((one, noticed))
        yield from self._on_verify(tried)
        if failed:
            what = f"{_files(failed)} could not be modified, so these canaries prove nothing"
            yield warning(what, "see whether it can be written")
        late = len(plan.mutations) - len(tried) - len(failed)
        words = f"{len(tried)} built-in canaries tried in {duration(monotonic() - began)}"
        yield ok(f"{words}; left out: {_left_out(plan, late)}")

    def _on_verify(self, tried: Sequence[tuple[Mutation, bool]]) -> Iterator[Finding]:
        """The finding about verify after these trials."""
        sources = [(one, seen) for one, seen in tried if one.effect is not Effect.REMOVED]
        if sources and not any(seen for _, seen in sources):
            what = (
                "verify cannot fail: it passes whichever source is emptied or made to exit with 0"
            )
            yield problem(f"{what} ({_files([one for one, _ in sources])})", _NEVER)
            sources = []
        for effect in Effect:
            some = [(one, seen) for one, seen in tried if one.effect is effect]
            missed = [one for one, seen in some if not seen]
            if effect is not Effect.REMOVED and not sources:
                continue
            if missed:
                yield self._on_missed(missed, effect)
            elif some:
                yield ok(f"verify notices each of {len(some)} files {effect}")

    def _on_missed(self, missed: Sequence[Mutation], effect: Effect) -> Finding:
        config = self._mission.config
        what = f"verify passes with {_files(missed)} {effect}"
        run = config.command(Step.VERIFY).run
        count = next(text for word, text in _COUNTS if word in run)
        if effect is Effect.EMPTIED:
            return warning(what, "if no test looks at it, add one")
        if effect is Effect.EXITS:
            fix = f'let verify look at what its tests say, for example with "expect": "{count}"'
            return warning(
                what, f"{fix}, or check from outside, in another process: openloop judge"
            )
        if config.policy and config.policy.protect:
            return ok(f"{what}; policy.protect restores it")
        return warning(what, f'protect it, and let verify count, for example "expect": "{count}"')

    def _notices(self, one: Mutation) -> bool | None:
        """Whether verify fails on a copy modified so; None when it could not be modified."""
        command = self._mission.config.command(Step.VERIFY)
        with self._scratch() as gates:
            modified = _plain(command, one.command)
            verdict = gates.run_once(Step.VERIFY, modified, env=one.environment)
            if not verdict.outcome.passed:
                return None
            longest = max(_LEAST, _SLOWER * self._seconds)
            return not gates.run(Step.VERIFY, longest=longest).outcome.passed


def _plain(command: Command, text: str) -> Command:
    """A command with this text, and the limits and environment of the gate."""
    return command._replace(run=text, expect=None, reject=None)


def _files(modified: Sequence[Mutation]) -> str:
    names = list(dict.fromkeys(one.path for one in modified))
    left = len(names) - _NAMED
    words = ", ".join(map(printable, names[:_NAMED]))
    return f"{words} and {left} more" if left > 0 else words


def _left_out(plan: mutations.MutationPlan, late: int) -> str:
    parts = (
        (plan.sources_left, "smaller sources"),
        (plan.tests_left, "smaller tests"),
        (late, "for want of time"),
    )
    return ", ".join(f"{count} {words}" for count, words in parts if count) or "nothing"


def _words(verdict: Verdict) -> str:
    return f"{verdict.outcome} ({verdict.detail})" if verdict.detail else str(verdict.outcome)


def _not_tried(what: str, verdict: Verdict) -> Finding:
    fix = "canaries need a gate that passes on the project as it is; try again when it does"
    return warning(f"{what} does not pass in an untouched copy: {_words(verdict)}", fix)
