"""What tests of the record share: missions written to real files, planted things, a limit."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from loop.missions import EVERYTHING, Mission, chained, document, tell
from openloop.config.config import Config
from openloop.core.vocabulary import Kind, Step
from openloop.loop.actions import FinishRound
from openloop.loop.events import Event
from openloop.record import mission
from openloop.record.lock import Lock
from openloop.record.store import Store
from support import Case, Workspace

STORY = (
    "run1/3 1: play- scan fix verify- =unhealthy/continue"
    " 2: play scan fix verify baseline=0.5 improve =unhealthy/continue"
    " 3: play scan verify baseline=0.95 =healthy/complete complete"
)


class Written(Mission):
    """A mission whose events go to a workspace's record."""

    def __init__(self, store: Store, config: Config) -> None:
        super().__init__(config)
        self.store = store
        self.state = store.state

    def record(self, kind: Kind, step: Step | None = None, **data: Any) -> None:
        self.store.record(kind, step=step, **data)
        self.state = self.store.state

    def _finish_round(self, action: FinishRound) -> None:
        self.store.finish_round(action)
        self.state = self.store.state


class RecordCase(Case):
    """A test that writes records itself, without running commands."""

    def place(self, steps: str = EVERYTHING, *, rounds: int = 3, failures: int = 3) -> Workspace:
        return self.workspace(**document(steps, rounds=rounds, failures=failures))

    @contextlib.contextmanager
    def opened(self, place: Workspace) -> Iterator[Written]:
        """The workspace in the hands of a process, from its start to its end."""
        known = mission.load(place.path)
        lock = Lock(known.workspace, patience=0)
        try:
            store = Store(known, lock, check_files=False)
            try:
                store.prepare()
                yield Written(store, known.config)
            finally:
                store.close()
        finally:
            lock.release()

    def write_story(self, place: Workspace, story: str = STORY) -> None:
        """Let the story happen in the workspace."""
        with self.opened(place) as run:
            tell(run, story)


def write_events(path: str, events: list[Event]) -> None:
    with open(path, "wb") as file:
        file.writelines(line + b"\n" for line in chained(events))


def lines_of(path: str) -> list[bytes]:
    with open(path, "rb") as file:
        return file.read().splitlines(keepends=True)


def rewrite(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


# --- what may be planted at a path ------------------------------------------------------

OUTSIDE = b"a person's own file\n"


def plant_link(path: str) -> None:
    os.symlink(outside(path), path)


def plant_dangling_link(path: str) -> None:
    os.symlink("/nonexistent/openloop", path)


def plant_folder(path: str) -> None:
    os.mkdir(path)
    with open(os.path.join(path, "kept"), "w", encoding="utf-8") as file:
        file.write("kept")


def plant_link_to_folder(path: str) -> None:
    folder = outside(path) + ".folder"
    os.makedirs(folder, exist_ok=True)
    os.symlink(folder, path)


def plant_socket(path: str) -> None:
    short = os.path.relpath(path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as planted, contextlib.chdir(os.path.dirname(path)):
        planted.bind(os.path.basename(short))


def plant_fifo(path: str) -> None:
    os.mkfifo(path)


PLANTS: tuple[Callable[[str], None], ...] = (
    plant_link,
    plant_dangling_link,
    plant_folder,
    plant_link_to_folder,
    plant_socket,
    plant_fifo,
)


def outside(path: str) -> str:
    """A file outside of the workspace that a planted link names; it must stay as it is."""
    while os.path.basename(path) != "ws":
        path = os.path.dirname(path)
    target = os.path.join(os.path.dirname(path), "outside")
    if not os.path.exists(target):
        rewrite(target, OUTSIDE)
    return target


def untouched(place: Workspace) -> bool:
    """Whether everything that planted links name is as it was."""
    target = os.path.join(place.folder, "outside")
    if not os.path.exists(target):
        return True
    with open(target, "rb") as file:
        same = file.read() == OUTSIDE
    folder = target + ".folder"
    return same and not (os.path.isdir(folder) and os.listdir(folder))


def remove(path: str) -> None:
    """Remove whatever stands at a path, so that something else can be planted there."""
    if os.path.isdir(path) and not os.path.islink(path):
        os.rename(path, f"{path}.moved")
    elif os.path.lexists(path):
        os.unlink(path)


@contextlib.contextmanager
def no_hang(seconds: float = 20.0) -> Iterator[None]:
    """Raises AssertionError when what is inside waits for somebody to open a FIFO."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
