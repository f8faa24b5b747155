"""A view of the file system of a process's own: files hidden, or a folder that can be spoilt.

The process moves into a mount namespace, which takes a user namespace; a second one makes the
mounts ones that its commands may not undo, root or not. The processes outside are out of reach as
well: neither their memory nor their view of the file system (`/proc/PID/root`) can be opened from
inside. The numbers of users and groups stay.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_PR_SET_DUMPABLE = 4


LOWER, UPPER, WORK = "lower", "upper", "work"  # folders that an overlay needs


def enter(*, hide: Sequence[str] = (), overlay: Sequence[str] = ()) -> bool:
    """Give this process and its descendants such a view.

    hide: files that look empty. overlay: (root, folder): what is written below the root goes into
    the folder, which holds LOWER, UPPER and WORK, and the root itself stays as it is.
    False where the system does not allow it: then this process is good for nothing more.
    """
    try:
        _unshare()
        _mount("none", "/", _MS_REC | _MS_PRIVATE)
        for path in hide:
            _mount(os.devnull, path, _MS_BIND)
        if overlay:
            _overlay(*overlay)
        _unshare()
    except (OSError, AttributeError):  # AttributeError: a C library without these calls
        return False
    return True


def _overlay(root: str, folder: str) -> None:
    """Relative names in the options: a comma or a colon in a path would end it there."""
    _mount(root, os.path.join(folder, LOWER), _MS_BIND)
    os.chdir(folder)
    options = f"lowerdir={LOWER},upperdir={UPPER},workdir={WORK},userxattr"
    _mount("overlay", root, 0, kind="overlay", options=options)
    os.chdir("/")


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


def _mount(source: str, target: str, flags: int, *, kind: str = "", options: str = "") -> None:
    names = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    _call("mount", *names, ctypes.c_ulong(flags), options.encode() or None)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
