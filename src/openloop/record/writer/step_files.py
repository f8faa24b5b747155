"""The files of a round's steps: logs, attachments, prompts, and the artifact of the round."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from openloop.core.errors import RecordError
from openloop.core.vocabulary import Step
from openloop.fs import files
from openloop.loop.events import Attachment
from openloop.loop.state import State
from openloop.record import attachments, chain
from openloop.record.attachments import CollectedAttachments
from openloop.record.workspace import ARTIFACTS, ATTACHMENTS, LOGS, Workspace
from openloop.record.writer.tamper_watch import FinishedFiles


class StepLog(NamedTuple):
    """The open log of one command. path: in the workspace."""

    path: str
    descriptor: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.descriptor)


class StepFiles:
    """Writes the files of steps, and watches the finished ones, which must not change any more."""

    def __init__(
        self,
        workspace: Workspace,
        folder: int,
        cannot_keep: Callable[[str, OSError], RecordError],
    ) -> None:
        """folder: the workspace's descriptor. cannot_keep: makes the error for a file that cannot
        be written, from its path in the workspace."""
        self._workspace = workspace
        self._folder = folder
        self._cannot_keep = cannot_keep
        self._finished = FinishedFiles(folder)
        self._attached = FinishedFiles(folder)
        self._has_empty_folder = False  # for attachments, since the latest command

    def open_log(self, state: State, step: str) -> StepLog:
        """A new, empty log for a step of the current round."""
        try:
            folder = files.open_or_make_folder(LOGS, folder=self._folder)
        except OSError as error:
            raise self._cannot_keep(LOGS, error) from None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        stem = f"round-{state.round:04d}-{step}"
        number = 1
        try:
            while True:
                name = f"{stem}.log" if number == 1 else f"{stem}-{number}.log"
                try:
                    return StepLog(f"{LOGS}/{name}", files.open_regular(name, flags, folder=folder))
                except (FileExistsError, files.NotRegular):
                    number += 1
        except OSError as error:
            raise self._cannot_keep(f"{LOGS}/{name}", error) from None
        finally:
            os.close(folder)

    def log_finished(self, log: StepLog, sha256: str) -> str:
        """Watch a finished log. Returns a sentence about how its own command changed it; "" if it
        did not."""
        return self._finished.add(log.path, log.descriptor, sha256)

    def begin_attachments(self) -> None:
        """Make an empty folder for the attachments of the next command."""
        try:
            if not self._has_empty_folder:
                attachments.begin(self._folder)
            self._has_empty_folder = False
        except OSError as error:
            raise self._cannot_keep(ATTACHMENTS, error) from None

    def keep_attachments(self, log: StepLog, limit: int) -> CollectedAttachments:
        """Keep and watch the attachments of a step, `limit` bytes at most."""
        try:
            found = attachments.collect(self._folder, log.path, limit)
            self._watch(found.kept)
        except OSError as error:
            raise self._cannot_keep(ATTACHMENTS, error) from None
        self._has_empty_folder = found.is_empty
        return found

    def keep_attachment(self, log: StepLog, name: str, data: bytes) -> Attachment:
        """Keep and watch a file of OpenLoop's own among the attachments of a step."""
        try:
            kept = attachments.add(self._folder, log.path, name, data)
            self._watch([kept])
        except OSError as error:
            raise self._cannot_keep(ARTIFACTS, error) from None
        return kept

    def _watch(self, kept: Iterable[Attachment]) -> None:
        for one in kept:
            with open(files.open_regular(self._workspace.file(one.path), os.O_RDONLY)) as file:
                self._attached.add(one.path, file.fileno(), one.sha256)

    def write_prompt(self, state: State, step: Step, text: str) -> str:
        """Write the prompt of a change; returns its absolute path."""
        number = sum(result.step is step for result in state.steps) + 1
        ending = "" if number == 1 else f"-{number}"
        name = f"round-{state.round:04d}-{step}-prompt{ending}.md"
        self._write_artifact(name, text.encode(errors="replace"), durable=False)
        return self._workspace.file(f"{ARTIFACTS}/{name}")

    def write_round(self, name: str, data: bytes) -> None:
        """Write the artifact of a round durably, and watch it."""
        self._write_artifact(name, data, durable=True, watched=True)

    def _write_artifact(
        self, name: str, data: bytes, *, durable: bool, watched: bool = False
    ) -> None:
        try:
            folder = files.open_or_make_folder(ARTIFACTS, folder=self._folder)
            try:
                files.replace(name, data, folder=folder, durable=durable)
                if watched:
                    file = files.open_regular(name, os.O_RDONLY, folder=folder)
                    try:
                        sha256 = chain.head_of(data)
                        self._finished.add(f"{ARTIFACTS}/{name}", file, sha256, data)
                    finally:
                        os.close(file)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._cannot_keep(f"{ARTIFACTS}/{name}", error) from None

    def differences(self, *, every: bool) -> list[str]:
        """A sentence about how a command changed finished files; "" if it did not. every: see
        `FinishedFiles`."""
        return [each.difference(every=every) for each in (self._finished, self._attached)]

    def restore(self) -> int:
        """Restore the finished files of a workspace that was removed. Returns how many are lost.
        Raises OSError."""
        return self._finished.restore() + self._attached.restore()
