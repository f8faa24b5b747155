"""Temporary folders that a killed process left.

A folder is locked while its owner lives. One without a lock is removed by the next owner, and by
the guard of a run whose runner was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from openloop.fs import dirfd, files

BROWSE = "openloop-browse-"  # prefix of the folders of `openloop browse`


def remove_leftovers(home: str) -> None:
    """Remove the folders of this user in `home` that nobody holds."""
    for name in os.listdir(home):
        path = os.path.join(home, name)
        with contextlib.suppress(OSError):  # gone, in use, or of another user
            if name.startswith(BROWSE) and os.lstat(path).st_uid == os.geteuid():
                lock = files.open_folder(path)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    dirfd.remove_path(path)
                finally:
                    os.close(lock)
