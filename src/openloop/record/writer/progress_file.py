"""progress.md: a line for each event that a person cares about, rebuilt when it went missing."""

from __future__ import annotations

import os

from openloop.fs import files
from openloop.record import event_format, projections, record_end
from openloop.record.workspace import PROGRESS
from openloop.record.writer.rebuild import replay


class ProgressFile:
    """progress.md, open for appending once `open` was called."""

    def __init__(self, folder: int, mission: str) -> None:
        """folder: descriptor of the workspace. mission: for the title."""
        self._folder = folder
        self._mission = mission
        self._descriptor = -1

    def open(self, events: int) -> None:
        """Open the file, rebuilt when it does not match the events; the other one is kept beside
        it. events: descriptor of events.jsonl. Raises OSError."""
        self.close()
        try:
            descriptor = files.open_regular(PROGRESS, os.O_RDWR | os.O_APPEND, folder=self._folder)
            if _ends_well(descriptor, events):
                self._descriptor = descriptor
                return
            os.close(descriptor)
        except (FileNotFoundError, files.NotRegular):
            pass
        if files.exists(PROGRESS, folder=self._folder):
            files.set_aside(PROGRESS, folder=self._folder)
        lines = [projections.progress_line(event) for _, event in replay(events)]
        text = projections.progress_title(self._mission) + "".join(lines)
        files.replace(PROGRESS, text.encode(errors="replace"), folder=self._folder)
        self._descriptor = files.open_regular(
            PROGRESS, os.O_RDWR | os.O_APPEND, folder=self._folder
        )

    def append(self, line: str, events: int) -> None:
        """Append the line of the latest event, which `events` holds already. A file that was
        removed or replaced is rebuilt. Raises OSError."""
        if self._is_in_place():
            files.write_all(self._descriptor, line.encode())
        else:
            self.open(events)

    def _is_in_place(self) -> bool:
        try:
            named = os.stat(PROGRESS, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        held = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _ends_well(progress: int, events: int) -> bool:
    """Whether progress.md ends with the latest event that it shows."""
    expected = b""
    for line in record_end.backward(events, record_end.whole_size(events)):
        try:
            expected = projections.progress_line(event_format.decode(line)).encode()
        except ValueError:
            continue
        if expected:
            break
    end = os.fstat(progress).st_size
    ending = os.pread(progress, len(expected) + 1, max(0, end - len(expected)))
    return ending.endswith(expected) and (end > 0)
