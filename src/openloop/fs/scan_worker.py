"""A second process that looks at the folders of a large tree from its end while a scan does so from
its beginning.

It only saves time: whatever it has not seen, because it is late or dead, the scan sees itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import starmap
from struct import error as StructError

from openloop.core import interpreter
from openloop.fs.dirfd import OpenTree, open_tree
from openloop.fs.manifest import PACKED, SIGNATURE, signature_of

_PROGRAM = "from openloop.fs import scan_worker; scan_worker.main()"
_LENGTH = 64  # bytes of a digest
_CLOSED = bytes(_LENGTH)  # instead of the digest of a folder that cannot be listed


def list_folder(folder: int) -> tuple[list[str], list[bytes]]:
    """Names and packed signatures, in the folder's own order; the loops run in C."""
    names = os.listdir(folder)
    lstat = partial(os.lstat, dir_fd=folder)
    try:
        return names, list(starmap(PACKED.pack, map(SIGNATURE, map(lstat, names))))
    except (FileNotFoundError, StructError):
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found[name] = PACKED.pack(*signature_of(lstat(name)))
        return list(found), list(found.values())


def folder_digest(names: list[str], signatures: list[bytes]) -> bytes:
    """A digest of a folder's entries, which is the same while nothing in it changes."""
    data = os.fsencode("\0".join(names)) + b"".join(signatures)
    return hashlib.blake2b(data, digest_size=_LENGTH).digest()


class ScanWorker:
    """The process, for one scan. It begins with the last folder, so that the two meet where both
    have done what they could; nobody waits for the other."""

    def __init__(self, root: str, folders: Sequence[bytes]) -> None:
        """folders: paths in the root that end in a slash, or empty, in the order of the scan.
        Raises OSError where no process can be had."""
        import subprocess  # scans of large trees alone need it

        order = (os.fsencode(root), *reversed(folders))
        self._places = {path: _LENGTH * at for at, path in enumerate(order[1:])}
        with contextlib.ExitStack() as undo, open(os.memfd_create("folders"), "w+b") as file:
            self._digests = os.memfd_create("digests")
            undo.callback(os.close, self._digests)
            file.write(b"\0".join(order))
            file.seek(0)
            self._process = subprocess.Popen(
                interpreter.isolated(_PROGRAM),
                stdin=file,
                stdout=self._digests,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for the runner
            )
            undo.pop_all()

    def digest_of(self, folder: bytes) -> bytes:
        """What it found; empty for a folder that it has not seen yet or was not asked for."""
        place = self._places.get(folder)
        return b"" if place is None else os.pread(self._digests, _LENGTH, place)

    def close(self) -> None:
        """End it, whether it has finished or not."""
        self._process.kill()
        self._process.wait()
        os.close(self._digests)


def main() -> None:
    """Be the process: read the root and the folders, write a digest for each."""
    root, *folders = sys.stdin.buffer.read().split(b"\0")
    with open_tree(os.fsdecode(root)) as tree:
        for path in folders:
            os.write(sys.stdout.fileno(), _look(tree, path))


def _look(tree: OpenTree, path: bytes) -> bytes:
    try:
        return folder_digest(*list_folder(tree.folder(path[:-1])))
    except OSError:
        return _CLOSED
