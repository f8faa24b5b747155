"""Withheld files: removed before a change, and restored byte for byte after it.

    withheld/away.tar.gz      all of them, while a change runs; `tar` can unpack it
    withheld/NAME.found-1     an entry that was in the way of a restored file

The archive is needed only if this process dies. Otherwise it restores from its copy in an unlinked
file, which no command can remove.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from openloop.config.config import NO_POLICY
from openloop.core.errors import UsageError
from openloop.core.text import printable, printable_path
from openloop.core.vocabulary import Step
from openloop.fs import dirfd, files
from openloop.fs.content import Tick, no_tick
from openloop.policy.covered_paths import (
    PROJECT,
    WORKSPACE,
    CoveredPaths,
    Item,
    descend,
    skip_openloop,
)
from openloop.record.mission import Mission
from openloop.record.withheld import ARCHIVE, archived
from openloop.record.workspace import ARTIFACTS, HOLDOUT, LOGS, REPLACED, WITHHELD

_NEW = f"{ARCHIVE}.new"
_GONE = f"{WITHHELD}/{ARCHIVE} was removed while a command ran, and the withheld files with it"


class RecoveryResult(NamedTuple):
    """The restored paths in words, and why that is impossible; "" for neither."""

    text: str = ""
    damage: str = ""


class Withholding:
    """The files that a mission withholds from changes."""

    def __init__(
        self, mission: Mission, *, sandboxed: bool, tick: Tick = no_tick, show: Tick = no_tick
    ) -> None:
        """sandboxed: the sandbox hides whole folders, which stay on the disk. tick: called between
        pieces of long work, which ends when it raises. show: called during a restore, in place
        of tick; it must not raise, because a restore is never cut short."""
        self._tick = tick
        self._show = show
        policy = mission.config.policy or NO_POLICY
        self._workspace = mission.workspace
        self._roots = {PROJECT: mission.root, WORKSPACE: mission.workspace.path}
        self._sandboxed = sandboxed
        self._covered = CoveredPaths(policy.withhold, tick) if policy.withhold else None
        self._skip = skip_openloop(mission.root, mission.workspace.path)
        gates = [gate for gate in mission.config.gates if mission.config.command(gate).private]
        self._private = (
            re.compile(rf"round-\d+-(?:{'|'.join(gates)})(?:-\d+)?(?:\.log)?") if gates else None
        )
        self._items: list[Item] = []
        self._archive_file: IO[bytes] | None = None
        self.hidden: tuple[str, ...] = ()  # absolute paths of folders for the sandbox to hide

    # --- finding withheld files ---

    def prepare(self, step: Step, copies: Callable[[], Iterable[str]]) -> dict[str, str]:
        """Archive the files to withhold from a change; none is removed yet.

        copies: absolute paths of files in the workspace that hold contents of withheld files.
        Returns fields for the change's step_started. Raises TamperError, OSError.
        """
        if step.is_gate:
            return {}
        self._find_items(copies)
        if not self._items:
            return {}
        import tempfile

        from openloop.policy import withheld_archive

        folder = self._open_folder()
        try:
            self._archive_file = tempfile.TemporaryFile(dir=self._workspace.file(WITHHELD))  # noqa: SIM115
            withheld_archive.pack(
                [*self._closed_folders(), *self._items],
                self._roots,
                self._archive_file,
                self._tick,
            )
            digest = withheld_archive.write(_NEW, self._archive_file, folder, self._tick)
        finally:
            os.close(folder)
        return {"withheld": digest}

    def _find_items(self, copies: Callable[[], Iterable[str]]) -> None:
        """Find the paths to remove, and the folders that the sandbox hides."""
        self._items = []
        hidden = self._find_in_project()
        holdout = self._workspace.file(HOLDOUT)
        if self._sandboxed and os.path.isdir(holdout):
            hidden.append(holdout)
        elif os.path.lexists(holdout):
            self._items += self._expanded(WORKSPACE, os.fsencode(HOLDOUT), itself=True)
        for path in self._private_files():
            self._items += self._expanded(WORKSPACE, path, itself=True)
        if not self._sandboxed:
            inside = (os.path.relpath(path, self._workspace.path) for path in copies())
            self._items += [(WORKSPACE, os.fsencode(path)) for path in inside]
            self._items += self._replaced()
        self.hidden = tuple(hidden)

    def _find_in_project(self) -> list[str]:
        """Find the project's paths to remove; returns the folders that the sandbox hides."""
        hidden: list[str] = []
        if self._covered:
            root = self._roots[PROJECT]
            for path, whole in self._covered.walk(root, skip=self._skip):
                if whole and self._sandboxed:
                    hidden.append(os.path.join(root, os.fsdecode(path)))
                else:  # `tests/**` leaves the folder `tests` where it is
                    itself = not whole or self._covered.covers(path, folder=True)
                    self._items += self._expanded(PROJECT, path, itself=itself)
        return hidden

    def _expanded(self, place: str, path: bytes, *, itself: bool) -> Iterator[Item]:
        """The paths below a path, each folder before its entries. itself: with the path."""
        for each in descend(self._roots[place], path):
            if itself or each != path:
                yield place, each

    def _private_files(self) -> Iterator[bytes]:
        """The logs of private gates, and the folders with their attachments."""
        for place in (LOGS, ARTIFACTS) if self._private else ():
            with contextlib.suppress(FileNotFoundError):
                for name in sorted(os.listdir(self._workspace.file(place))):
                    if self._private and self._private.fullmatch(name):
                        yield os.fsencode(f"{place}/{name}")

    def _replaced(self) -> Iterator[Item]:
        """Copies of withheld files that a restore replaced."""
        if self._covered is None:
            return
        home = self._workspace.file(REPLACED)
        with contextlib.suppress(OSError):
            for number in sorted(os.listdir(home)):
                place = f"{REPLACED}/{number}/".encode()
                for path, whole in self._covered.walk(os.path.join(home, number), skip=self._skip):
                    yield from self._expanded(WORKSPACE, place + path, itself=not whole)

    def _closed_folders(self) -> list[Item]:
        """Folders above the items that deny their owner a permission: it is granted while the items
        are removed, and the archive restores the mode."""
        above: dict[Item, None] = {}
        for place, path in self._items:
            names = path.split(b"/")[:-1]
            above |= {(place, b"/".join(names[:end])): None for end in range(1, len(names) + 1)}
        return [item for item in above.keys() - set(self._items) if self._is_closed(item)]

    def _is_closed(self, item: Item) -> bool:
        place, path = item
        mode = os.lstat(os.path.join(os.fsencode(self._roots[place]), path)).st_mode
        return stat.S_IMODE(mode) & dirfd.OWNER != dirfd.OWNER

    def is_named_in(self, text: str) -> bool:
        """Whether the text names a withheld file by its path."""
        if not text:
            return False
        if f"{HOLDOUT}/" in text and os.path.lexists(self._workspace.file(HOLDOUT)):
            return True
        if self._covered:
            for path, whole in self._covered.walk(self._roots[PROJECT], skip=self._skip):
                for _, each in self._expanded(PROJECT, path, itself=not whole):
                    if printable_path(each) in text:
                        return True
        return False

    # --- around a change ---

    @contextlib.contextmanager
    def removed(self, step: Step) -> Iterator[list[str]]:
        """Remove the withheld files during a change. Afterwards the list has the printable paths of
        entries that were in their place, which stay in the workspace. Raises OSError."""
        found: list[str] = []
        if step.is_gate:
            yield found
            return
        try:
            self._remove()
            yield found
        finally:
            if self._archive_file is not None or self._is_holdout_exposed:
                found += self._restore_from(self._archive_file, self._show)[1]

    def _remove(self) -> None:
        if self._archive_file is None:
            return
        folder = self._open_folder()
        try:
            os.rename(_NEW, ARCHIVE, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)
        for place, path in reversed(self._items):
            full = os.path.join(os.fsencode(self._roots[place]), path)
            with contextlib.suppress(FileNotFoundError):
                _remove(full)

    def _restore_from(self, archive_file: IO[bytes] | None, tick: Tick) -> tuple[int, list[str]]:
        """Restore the files in an archive, None for an empty one. Returns their number, and the
        printable paths of entries that a change put in their place or into holdout/."""
        from openloop.policy import withheld_archive

        archive = withheld_archive.Archive(archive_file, self._roots, tick)
        count = archive.restore()
        if self._is_holdout_exposed:
            archive.clear_holdout()
        return count, archive.found

    @property
    def _is_holdout_exposed(self) -> bool:
        """Whether a holdout folder exists that no sandbox hides: a change can have written to it,
        or created it."""
        return not self._sandboxed and os.path.lexists(self._workspace.file(HOLDOUT))

    def discard(self) -> None:
        """Remove the archive once the change's end is on record. Raises OSError."""
        if self._archive_file is not None:
            self._archive_file.close()
            self._archive_file = None
            self.remove_archive()

    def remove_archive(self) -> None:
        """Remove the archive on the disk, once its restore is on record. Raises OSError."""
        folder = self._open_folder()
        try:
            with contextlib.suppress(FileNotFoundError):  # a change removed it
                files.remove(ARCHIVE, folder=folder)
        finally:
            os.close(folder)

    def _open_folder(self) -> int:
        workspace = files.open_folder(self._workspace.path)
        try:
            return files.open_or_make_folder(WITHHELD, folder=workspace)
        finally:
            os.close(workspace)

    # --- after a crash ---

    def recover(self, digest: str) -> RecoveryResult:
        """Restore the files that an interrupted run withheld.

        digest: the archive's digest according to the record; "" for none. Raises UsageError for an
        archive that is not on record and whose files are missing, OSError.
        """
        if not os.path.isdir(self._workspace.file(WITHHELD)):
            return RecoveryResult(damage=_GONE if digest else "")
        folder = self._open_folder()
        try:
            if files.exists(_NEW, folder=folder):
                if digest and not files.exists(ARCHIVE, folder=folder):  # no file was removed yet
                    os.rename(_NEW, ARCHIVE, src_dir_fd=folder, dst_dir_fd=folder)
                else:
                    files.remove(_NEW, folder=folder)
            if not digest:
                self._remove_unknown(folder)
                return RecoveryResult()
            return self._recover(digest, folder)
        finally:
            os.close(folder)

    def _recover(self, digest: str, folder: int) -> RecoveryResult:
        from openloop.policy import withheld_archive

        try:
            source = files.open_regular(ARCHIVE, os.O_RDONLY, folder=folder)
        except OSError:
            return RecoveryResult(damage=_GONE)
        with open(source, "rb") as file:
            unpacked = withheld_archive.read(
                file, self._workspace.file(WITHHELD), digest, self._tick
            )
        if unpacked is None:
            aside = files.set_aside(ARCHIVE, folder=folder)
            words = f"{WITHHELD}/{ARCHIVE} was edited while a command ran: see {aside}"
            return RecoveryResult(damage=words)
        with unpacked:
            count, found = self._restore_from(unpacked, self._tick)
        words = f"restored {count} withheld paths that a killed run left away"
        if found:
            words += f"; what was in the way is kept in {WITHHELD}: {', '.join(found[:5])}"
        return RecoveryResult(words)

    def _remove_unknown(self, folder: int) -> None:
        """Remove an archive that is not on record, if all its files exist. Raises UsageError."""
        missing = [name for name in archived(self._workspace) if not self._is_there(name)]
        if missing:
            raise UsageError(
                "the archive holds withheld files that are missing "
                f"({printable(missing[0])}), but no event mentions the archive",
                where=self._workspace.shown(f"{WITHHELD}/{ARCHIVE}"),
                fix="unpack it with tar, move the files back, then remove it",
            )
        with contextlib.suppress(FileNotFoundError):
            files.remove(ARCHIVE, folder=folder)

    def _is_there(self, name: str) -> bool:
        place, _, path = name.partition("/")
        return place not in self._roots or os.path.lexists(os.path.join(self._roots[place], path))


def _remove(path: bytes) -> None:
    """Remove a file, a symlink or an empty folder, also from a folder that denies it."""
    try:
        _try_to_remove(path)
    except PermissionError:
        os.chmod(os.path.dirname(path), dirfd.OWNER)
        _try_to_remove(path)


def _try_to_remove(path: bytes) -> None:
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):  # a FIFO or a socket stays
        os.unlink(path)
    elif stat.S_ISDIR(mode):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
