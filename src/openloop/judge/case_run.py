"""A running case: its folder, its pipes and their output, its deadline.

A case that writes more output than a limit is ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from openloop.judge import cases
from openloop.judge.cases import Answer, Case
from openloop.process.guard_client import ending
from openloop.process.messages import TreeEnded

_OUTPUT = 8 << 20  # bytes kept of one stream beyond the expected output
_BLOCK = 1 << 16  # bytes read at a time


class CaseRun:
    """One running case, for one thread. The caller closes its pipes and removes its folder."""

    def __init__(self, case: Case, number: int, place: str) -> None:
        self.case = case
        self.number = number
        self.place = place
        self.folder = os.path.join(place, "files")
        self.temporary = os.path.join(place, "tmp")
        self.deadline = float("inf")  # monotonic; when to end it, or to kill its guard
        self.pipes: dict[int, str] = {}  # descriptor → name of the stream
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self.flood = ""  # in words: it wrote too much
        self.late = ""  # in words: it ran too long
        self.is_ending = False  # the guard has been asked to end it

    def prepare(self) -> list[int]:
        """Write its files; returns its standard input, output and error. Raises OSError."""
        for path in (self.place, self.folder, self.temporary):
            os.mkdir(path)
        for name, text in self.case.files.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(path, text)
        stdin = os.path.join(self.place, "stdin")
        _write(stdin, self.case.stdin)
        with contextlib.ExitStack() as opened:
            theirs = [_opened(opened, os.open(stdin, os.O_RDONLY | os.O_CLOEXEC))]
            os.unlink(stdin)
            for name in self.output:
                ours, writable = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(ours, False)
                self.pipes[ours] = name
                theirs.append(_opened(opened, writable))
            opened.pop_all()
        return theirs

    def words(self, command: Sequence[str]) -> list[str]:
        return [cases.expand_dir(word, self.folder) for word in (*command, *self.case.args)]

    def environment(self, *, enclosed: bool) -> Mapping[str, str]:
        """The added variables: as few as possible, because they could reveal the judge."""
        own = {name: cases.expand_dir(value, self.folder) for name, value in self.case.env.items()}
        if not enclosed:  # an enclosure has private temporary folders
            own = {"TMPDIR": self.temporary, **own}
        return {"CASE_DIR": self.folder, **own} if self.case.files else own

    def read(self, pipe: int) -> bool:
        """Read the available output of a pipe; False at its end."""
        try:
            data = os.read(pipe, _BLOCK)
        except BlockingIOError:
            return True
        name = self.pipes[pipe]
        kept = self.output[name]
        room = _OUTPUT + len((getattr(self.case, name) or "").encode()) - len(kept)
        kept += data[: max(0, room)]
        if len(data) > room:
            self.flood = f"wrote more than {_OUTPUT >> 20} MB to {name}"
        return bool(data)

    def drain(self) -> None:
        """Read the remaining output, once no process writes any more."""
        for pipe in self.pipes:
            size = -1
            while size != len(self.output[self.pipes[pipe]]) and not self.flood:
                size = len(self.output[self.pipes[pipe]])
                self.read(pipe)

    def answer(self, message: TreeEnded) -> Answer:
        """The result of the case, from the guard's last message."""
        code, signum = ending(message.status)
        trouble = self.flood or ("" if message.by_itself else self.late)
        if not trouble and message.survivors:
            trouble = f"PIDs {', '.join(map(str, message.survivors))} could not be ended"
        if not trouble and signum:
            trouble = f"killed by {signum}"
        out, err = (cases.masked(bytes(kept), self.folder) for kept in self.output.values())
        return Answer(out, err, code, trouble, message.seconds)


def _opened(stack: contextlib.ExitStack, descriptor: int) -> int:
    """The descriptor, closed with the stack."""
    stack.callback(os.close, descriptor)
    return descriptor


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
