"""Attachments: files that a step leaves in a folder of its own, which become part of the record."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from itertools import islice

from openloop.core.text import printable_path
from openloop.fs import dirfd, files
from openloop.loop.events import Attachment
from openloop.record.workspace import ARTIFACTS, ATTACHMENTS, LOGS, Workspace

MOST = 1000  # files of one step
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_DEEPEST = 20  # folders in one another
_LOOKED_AT = 20_000  # entries of a folder
_NAMED = 20  # of what is left out, that are named
_LONGEST = 120  # characters of a kept name
_BLOCK = 1 << 20  # bytes
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)  # the record cannot be kept


class CollectedAttachments:
    """The attachments of a step. left_out: descriptions of the first files that were not taken;
    more: the number of others. is_empty: whether the folder exists and is empty, as the next
    command needs it."""

    def __init__(self) -> None:
        self.kept: list[Attachment] = []
        self.left_out: list[str] = []
        self.more = 0
        self.is_empty = False

    def leave_out(self, path: bytes, why: str) -> None:
        if len(self.left_out) < _NAMED:
            self.left_out.append(f"{printable_path(path)[:200]} ({why})")
        else:
            self.more += 1

    @property
    def words(self) -> str:
        """A sentence about the files that were left out; "" for none."""
        more = f", and {self.more} more" if self.more else ""
        return f"{', '.join(self.left_out)}{more}" if self.left_out else ""


def folder_of(log_path: str) -> str:
    """The folder that keeps the attachments of a step. log_path: the step's log, relative to the
    workspace."""
    return f"{ARTIFACTS}/{log_path.removeprefix(f'{LOGS}/').removesuffix('.log')}"


def pictures(workspace: Workspace, log_path: str) -> list[str]:
    """Absolute paths of the pictures that a step left, at most ten."""
    folder = workspace.file(folder_of(log_path))
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(PICTURES))
        return [os.path.join(folder, name) for name in names[:10]]
    return []


def begin(workspace: int) -> None:
    """Make an empty folder for attachments. Raises OSError."""
    try:
        os.mkdir(ATTACHMENTS, dir_fd=workspace)
        return
    except FileExistsError:
        pass
    with contextlib.suppress(OSError):
        folder = files.open_folder(ATTACHMENTS, folder=workspace)
        try:
            if not os.listdir(folder):
                return
        finally:
            os.close(folder)
    dirfd.remove(os.fsencode(ATTACHMENTS), workspace)
    os.mkdir(ATTACHMENTS, dir_fd=workspace)


def collect(workspace: int, log_path: str, limit: int) -> CollectedAttachments:
    """Move the attachments of a step into the record. workspace: its folder; limit: bytes. Only
    regular files are taken, at most MOST of them; names become printable. Raises OSError when the
    disk is full; the files not moved by then stay where they are."""
    found = CollectedAttachments()
    try:
        source = files.open_folder(ATTACHMENTS, folder=workspace)
    except OSError:
        found.leave_out(os.fsencode(ATTACHMENTS), "the folder was removed or replaced")
        return found
    try:
        found.is_empty = not os.listdir(source)
        if not found.is_empty:
            _keep_all(source, workspace, folder_of(log_path), limit, found)
    finally:
        os.close(source)
    return found


def add(workspace: int, log_path: str, name: str, data: bytes) -> Attachment:
    """Add a file to the attachments of a step, readable for its owner alone. Raises OSError."""
    artifacts = files.open_or_make_folder(ARTIFACTS, folder=workspace)
    try:
        place = folder_of(log_path)
        home = files.open_or_make_folder(os.path.basename(place), folder=artifacts)
    finally:
        os.close(artifacts)
    try:
        name = _free(name, home)
        files.replace(name, data, folder=home)
        os.chmod(name, 0o600, dir_fd=home)
    finally:
        os.close(home)
    return Attachment(f"{place}/{name}", len(data), hashlib.sha256(data).hexdigest())


def _keep_all(
    source: int, workspace: int, place: str, limit: int, found: CollectedAttachments
) -> None:
    artifacts = files.open_or_make_folder(ARTIFACTS, folder=workspace)
    try:
        name = place.rpartition("/")[2]
        if files.exists(name, folder=artifacts):  # of a try that was killed
            files.set_aside(name, folder=artifacts, word="earlier")
        used = 0
        for path, parent, status in _files(source, b"", 0, found):
            if len(found.kept) == MOST:
                found.leave_out(path, f"more than {MOST} files")
            elif used + status.st_size > limit:
                found.leave_out(path, f"{status.st_size} bytes, over limits.max_attachment_bytes")
            else:
                _keep(path, parent, status, artifacts, name, found)
                used += status.st_size
    finally:
        os.close(artifacts)


def _files(
    folder: int, below: bytes, depth: int, found: CollectedAttachments
) -> Iterator[tuple[bytes, int, os.stat_result]]:
    """(path, descriptor of its folder, status) of every regular file, in the order of names."""
    with os.scandir(folder) as entries:
        names = sorted(os.fsencode(entry.name) for entry in islice(entries, _LOOKED_AT + 1))
    if len(names) > _LOOKED_AT:
        found.leave_out(below or b".", f"more than {_LOOKED_AT} entries; the others")
    for name in names[:_LOOKED_AT]:
        path = os.path.join(below, name)
        status = dirfd.status(name, folder)
        if status is None:
            continue
        if stat.S_ISREG(status.st_mode):
            yield path, folder, status
        elif not stat.S_ISDIR(status.st_mode):
            found.leave_out(path, "no regular file")
        elif depth == _DEEPEST:
            found.leave_out(path, f"more than {_DEEPEST} folders deep")
        else:
            inner = dirfd.open_with_owner_rights(name, folder)
            try:
                yield from _files(inner, path, depth + 1, found)
            finally:
                os.close(inner)


def _keep(
    path: bytes,
    parent: int,
    status: os.stat_result,
    artifacts: int,
    place: str,
    found: CollectedAttachments,
) -> None:
    *folders, name = (_plain(part) for part in path.split(b"/"))
    home = files.open_or_make_folder(place, folder=artifacts)
    try:
        for inner in folders:
            outer, home = home, files.open_or_make_folder(inner, folder=home)
            os.close(outer)
        name = _free(name, home)
        try:
            _move(os.path.basename(path), parent, status, name, home)
        except OSError as error:
            if error.errno in _DISK:
                raise
            found.leave_out(path, error.strerror or str(error))
            return
        size, sha256 = _hash(name, home)
    finally:
        os.close(home)
    found.kept.append(Attachment("/".join((ARTIFACTS, place, *folders, name)), size, sha256))


def _move(name: bytes, parent: int, status: os.stat_result, target: str, home: int) -> None:
    """Move a file; one with other hard links is copied, because it could be changed through
    them."""
    if status.st_nlink > 1:
        with open(dirfd.open_file(name, parent), "rb") as file:
            files.replace(target, iter(lambda: file.read(_BLOCK), b""), folder=home)
    else:
        os.rename(name, target, src_dir_fd=parent, dst_dir_fd=home)
    os.chmod(target, 0o644, dir_fd=home)


def _hash(name: str, folder: int) -> tuple[int, str]:
    with open(files.open_regular(name, os.O_RDONLY, folder=folder), "rb", buffering=0) as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _plain(name: bytes) -> str:
    """The name without line breaks and without bytes that are not text."""
    text = name.decode(errors="replace")
    plain = "".join(c if c.isprintable() and c != "\ufffd" else "_" for c in text)
    stem, dot, ending = plain.rpartition(".")
    if len(plain) <= _LONGEST or not dot or len(ending) > 10:
        return plain[:_LONGEST]
    return f"{stem[: _LONGEST - len(ending) - 1]}.{ending}"


def _free(name: str, folder: int) -> str:
    """The name, with a number where another file has it already."""
    if not files.exists(name, folder=folder):
        return name
    return files.free_name(name, folder=folder, word="other")
