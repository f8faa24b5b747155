"""Hide files from everything that a process starts from now on, as far as the kernel lets it.

The process moves into a mount namespace of its own, where an empty file stands on each path. That
takes a user namespace; the second one makes the mounts ones that its commands may not undo, root
or not. The processes outside are out of reach as well: neither their memory nor their view of the
file system (`/proc/PID/root`) can be opened from inside. The numbers of users and groups stay.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_PR_SET_DUMPABLE = 4


def hide(paths: Iterable[str]) -> bool:
    """Put an empty file over each path, for this process and its descendants.

    False where the system does not allow it: then this process is good for nothing more.
    """
    try:
        _unshare()
        _mount("none", "/", _MS_REC | _MS_PRIVATE)
        for path in paths:
            _mount(os.devnull, path, _MS_BIND)
        _unshare()
    except (OSError, AttributeError):  # AttributeError: a C library without these calls
        return False
    return True


def close_memory() -> None:
    """Keep other processes of the same user from reading this one's memory and descriptors."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _unshare() -> None:
    """Enter a new user and mount namespace with the same numbers of users and groups.

    Only a process that stays outside may map more than one number.
    """
    maps = {name: list(_identities(name)) for name in ("uid_map", "gid_map")}
    own = {"uid_map": os.geteuid(), "gid_map": os.getegid()}
    readable, writable = os.pipe2(os.O_CLOEXEC)
    inside = os.getpid()
    mapper = os.fork()
    if mapper == 0:
        os.close(writable)
        code = 1
        try:
            if os.read(readable, 1):
                for name, ranges in maps.items():
                    _write_map(inside, name, ranges, own[name])
                code = 0
        finally:
            os._exit(code)
    os.close(readable)
    try:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        os.write(writable, b"x")
    finally:
        os.close(writable)
        _, status = os.waitpid(mapper, 0)
    if status:
        raise PermissionError("the users of the new namespace cannot be mapped")


def _identities(name: str) -> Iterator[str]:
    """Lines that map every number that is known here to itself."""
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        for line in file:
            first, _, count = line.split()
            yield f"{first} {first} {count}\n"


def _write_map(pid: int, name: str, ranges: list[str], own: int) -> None:
    try:
        _write(f"/proc/{pid}/{name}", "".join(ranges))
    except PermissionError:  # an ordinary user may map itself
        if name == "gid_map":
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/{name}", f"{own} {own} 1\n")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _mount(source: str, target: str, flags: int) -> None:
    _call("mount", os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
