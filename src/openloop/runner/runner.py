"""The runner performs what the loop decides: steps, hooks, waits, and their place on record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from openloop.config import placeholders
from openloop.config.config import Command
from openloop.core import clock
from openloop.core.errors import Interrupted
from openloop.core.vocabulary import Decision, Hook, Kind, Status, Step
from openloop.loop import actions, gates
from openloop.loop.actions import (
    Action,
    FinishRound,
    FinishRun,
    KeepBest,
    OpenRun,
    RestoreBest,
    RunStep,
    StartRound,
    TripBreaker,
    Wait,
)
from openloop.loop.events import Attachment
from openloop.loop.state import State
from openloop.policy.enforcement import Enforcement
from openloop.policy.withholding import Withholding
from openloop.process.signals import Interrupts
from openloop.process.supervisor import Processes
from openloop.record.mission import Mission
from openloop.record.projections import LiveFacts
from openloop.record.store import Store
from openloop.record.writer.step_files import StepLog
from openloop.runner import agent_availability, prompt
from openloop.runner.run_events import RunEvents, RunView
from openloop.runner.snapshot_watch import SnapshotWatch
from openloop.runner.steps import Execution, StepRunner

if TYPE_CHECKING:
    from openloop.agents.sessions import ConfiguredAgents
    from openloop.policy.bubblewrap import Sandbox

DIFF = "changes.diff"  # what a change did, among its attachments


class Runner:
    """One process's part of a run, from opening it to its end."""

    def __init__(
        self,
        mission: Mission,
        store: Store,
        processes: Processes,
        interrupts: Interrupts,
        gaps: list[float],
        view: RunView,
        sandbox: Sandbox | None,
        agents: ConfiguredAgents | None,
    ) -> None:
        """gaps: seconds in which nothing could run, added by the watchdog's thread.
        sandbox: for the steps that it encloses. agents: that changes name, or None."""
        self._mission = mission
        self._config = mission.config
        self._store = store
        self._files = store.step_files
        self._processes = processes
        self._interrupts = interrupts
        self._events = RunEvents(store, view, interrupts, gaps)
        self._snapshot_watch = SnapshotWatch(
            interrupts.received, self._config.limits, self._events.show_own_work
        )
        self._withholding = Withholding(
            mission,
            sandboxed=sandbox is not None and sandbox.changes,
            tick=self._snapshot_watch.tick,
            show=self._snapshot_watch.show,
        )
        self._sandbox = sandbox
        self._agents = agents
        self._steps = StepRunner(
            mission,
            processes,
            self._events.show_live,
            sandbox,
            self._withholding,
            agents,
            self._snapshot_watch.tick,
        )
        self._enforcement = Enforcement(
            mission, self._events.record, self._snapshot_watch.tick, self._snapshot_watch.show
        )

    @property
    def state(self) -> State:
        return self._store.state

    def run(self, max_rounds: int | None, unsandboxed: str) -> State:
        """Open a run, take it to its end, and return the state then. unsandboxed: why there is
        no sandbox although one was asked for, "" for no such reason."""
        self._restore_withheld()
        try:
            return self._run(max_rounds, unsandboxed)
        except Interrupted:
            if self.state.status is Status.RUNNING:
                self._events.note_interruptions()
            raise  # the step has no result: the policy is enforced on it when the run is resumed

    def _run(self, max_rounds: int | None, unsandboxed: str) -> State:
        self._open(max_rounds)
        if unsandboxed and self.state.status is Status.RUNNING:
            self._events.record(Kind.NOTE, note="sandbox", text=unsandboxed)
        while self.state.status is Status.RUNNING:
            self._events.note_interruptions()
            action = actions.next_action(self._config, self.state)
            if not (_decides(action) and self._is_tampered_with()):
                self._perform(action)
        return self.state

    def _is_tampered_with(self) -> bool:
        """Whether the last check before a run ends finds new tampering. Known tampering that could
        not be restored is left out: it would be found again and again."""
        return not self.state.tampering and self._events.note_tampering(
            self._store.tampering(every=True)
        )

    def _restore_withheld(self) -> None:
        """Restore the files that a killed run withheld, before anything else."""
        done, damage = self._withholding.recover(self.state.away)
        if self.state.away:
            text = done or "the withheld files cannot be restored"
            self._events.record(Kind.NOTE, note="returned", durable=True, text=text)
            self._withholding.remove_archive()
        self._events.note_damage(damage)

    def _open(self, max_rounds: int | None) -> None:
        self._snapshot_watch.begin()
        self._enforcement.restore_earlier(self.state)
        opened = False
        while not opened:
            action = actions.next_opening_action(
                self._config,
                self.state,
                max_rounds=max_rounds,
                config_sha256=self._mission.config_sha256,
            )
            self._perform(action)
            opened = isinstance(action, OpenRun)
            if self.state.status is Status.BLOCKED and not opened:
                return  # what cut the old run off has to be looked at first
        self._store.note_torn()
        if owner := self._mission.workspace.other_owner:
            text = f"the workspace belongs to {owner}, who decides what runs here with your rights"
            self._events.record(Kind.NOTE, note="owner", text=text)

    def _perform(self, action: Action) -> None:
        self._snapshot_watch.begin()
        match action:
            case OpenRun():
                self._open_run(action)
            case StartRound():
                carried = self.state.to_json()
                self._events.record(Kind.ROUND_STARTED, round=action.round, state=carried)
            case RunStep():
                self._run_step(action)
            case Wait():
                self._wait(action)
            case KeepBest():
                self._enforcement.keep_best(action.value, action.reason)
            case RestoreBest():
                self._events.note_damage(self._enforcement.restore_best(action.reason))
            case FinishRound():
                self._events.show(self._store.finish_round(action))
                self._hook(Hook.ROUND)
            case TripBreaker():
                self._events.record(Kind.BREAKER_TRIPPED, reason=action.reason)
            case FinishRun():
                self._finish_run(action)

    def _wait(self, action: Wait) -> None:
        agent_availability.wait(
            action, self._interrupts, self._events.record, self._events.show_live
        )
        if self._agents and not self._interrupts.received:
            agent_availability.end_shared_limits(self._config, action, self._agents)

    def _open_run(self, action: OpenRun) -> None:
        before = self.state
        checkpoints = {} if action.resumed else self._enforcement.begin(before)
        self._events.record(
            Kind.RUN_STARTED,
            run=action.run,
            durable=True,
            budget=action.budget,
            trial=action.trial,
            resumed=action.resumed,
            config_sha256=self._mission.config_sha256,
            mark=self._processes.mark,
            project_root=self._mission.root,
            runner_pid=os.getpid(),
            **({"sandbox": self._sandbox.proven} if self._sandbox else {}),
            **checkpoints,
        )
        self._store.beat()
        if action.resumed:
            self._events.note_damage(self._enforcement.resume(before))

    def _finish_run(self, action: FinishRun) -> None:
        self._events.record(
            Kind.RUN_FINISHED, durable=True, status=action.status, reason=action.reason
        )
        self._store.beat()
        if str(action.status) in tuple(Hook):
            self._hook(Hook(str(action.status)))

    # --- steps ---

    def _run_step(self, action: RunStep) -> None:
        limit = agent_availability.known_limit(self._config, self.state, action, self._agents)
        if limit is None:
            self._step(action)
        else:
            self._events.record(Kind.NOTE, **limit)

    def _step(self, action: RunStep) -> None:
        step = action.step
        if step.is_change:
            text = prompt.build(self._mission, self.state, step, self._withholding)
            self._steps.prompt_file = self._files.write_prompt(self.state, step, text)
        command = agent_availability.command_of(self._config, action)
        with self._execution(command, step, log_name=step) as execution:
            before = self._enforcement.save_before(step)
            withheld = self._withholding.prepare(step, self._enforcement.copies)
            self._events.record(
                Kind.STEP_STARTED,
                step=step,
                durable=bool(withheld),  # whoever finds this run killed must know what is away
                command=execution.text,
                confirm=action.confirm,
                log_path=execution.log.path,
                **before,
                **withheld,
            )
            self._events.show_live(execution.live)
            with self._withholding.removed(step) as planted:
                result = self._steps.run_step(action, execution, self.state)
                self._snapshot_watch.begin()
                self._events.show_live(execution.live)  # restores a workspace that was removed
            self._snapshot_watch.begin()
            tampering = self._store.record_tampering()  # before anything is added to the record
            broken, damage = self._enforcement.enforce(step, planted)
            left = self._files.keep_attachments(
                execution.log, self._config.limits.max_attachment_bytes
            )
            changes = self._keep_changes(step, execution.log, left.kept)
            result = gates.with_violation(result, broken)._replace(
                attachments=tuple(left.kept),
                changes=changes,
                wrote=self._enforcement.written_by_gate(step),
            )
            result = gates.fail_if_it_keeps_writing(result, self.state)
            fallback = {"stand_in": True} if action.fallback else {}
            self._events.record(Kind.STEP_FINISHED, step=step, **result.event_data(), **fallback)
            self._withholding.discard()
            files = self._store.file_tampering()  # now, because the result does not wait for it
            log_tampering = self._files.log_finished(execution.log, result.log_sha256)
            self._events.note_tampering(tampering, files, log_tampering)
            self._events.note_damage(damage)
            if result.wrote and result.outcome.passed:
                text = f"{step} wrote {gates.first_of(result.wrote)}: gates are measured again"
                self._events.record(Kind.NOTE, note="wrote", text=text)
            if left.words:
                text = f"attachments of {step} left out: {left.words}"
                self._events.record(Kind.NOTE, note="attachments", text=text)

    def _keep_changes(
        self, step: Step, log: StepLog, kept: list[Attachment]
    ) -> dict[str, Any] | None:
        """Keep the diff of a change among its attachments; returns the field for its event."""
        found = self._enforcement.change_diff(step)
        if found is None:
            return None
        path = ""
        if found.text:
            kept.append(self._files.keep_attachment(log, DIFF, found.text))
            path = kept[-1].path
        counts = {"files": found.files, "added": found.added, "removed": found.removed}
        return {**counts, "whole": found.is_whole, "diff": path}

    def _hook(self, hook: Hook) -> None:
        """Run a hook. Its failure is noted and changes nothing else, and neither do its edits of a
        project that has been measured. Its edits of the configuration or the record are
        restored, and block a run that goes on; a run that is over keeps its status, which was
        decided before the hook began.
        """
        command = self._config.hooks.get(hook)
        if command is None or self._interrupts.received:
            return
        with self._execution(command, hook, log_name=f"hook-{hook}") as execution:
            self._events.show_live(execution.live)
            verdict = self._steps.run_hook(hook, execution, self.state)
            self._snapshot_watch.begin()
            self._events.show_live(execution.live)
            tampering = self._store.tampering()
            changed, damage = self._enforcement.after_hook()
            self._events.note_tampering(tampering)
            self._events.note_damage(damage)
            if changed:
                text = f"hook {hook} {changed} after it was measured"
                self._events.record(Kind.NOTE, note="hook", text=text)
            if not verdict.outcome.passed:
                words = f"{verdict.outcome}: {verdict.detail} ({execution.log.path})"
                self._events.record(Kind.NOTE, note="hook", text=f"hook {hook} {words}")

    @contextlib.contextmanager
    def _execution(
        self, command: Command, name: Step | Hook, *, log_name: str
    ) -> Iterator[Execution]:
        """Open the log and the session of a command of this round."""
        step = name if isinstance(name, Step) else None
        session, run = None, command.run
        if self._agents and step is not None and step.is_change:
            session = self._agents.begin(command)
            boxed = self._sandbox is not None and self._sandbox.encloses(step)
            run = self._agents.in_sandbox(command) if boxed else run
        text = placeholders.render(run, round=self.state.round, step=name)
        self._files.begin_attachments()
        with self._files.open_log(self.state, log_name) as log:
            live = LiveFacts(step, text, log_path=log.path, started_at=clock.utc())
            yield Execution(command, text, log, live, session)
        live.pid = None


def _decides(action: Action) -> bool:
    """Whether the run ends with this action."""
    return isinstance(action, FinishRound) and action.decision is not Decision.CONTINUE
