"""The system calls for mounts and namespaces, which Python does not offer."""

from __future__ import annotations

import ctypes
import os
import struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # system calls, on every machine
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NODEV = 1, 4
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000


def mount(source: str, target: str, flags: int, *, kind: str = "", options: str = "") -> None:
    """Mount a file system, or a folder again, as mount(2). Raises OSError, as all calls here."""
    names = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    call("mount", *names, ctypes.c_ulong(flags), options.encode() or None)


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns 0. Raises AttributeError if there is none."""
    if getattr(_libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def clone(path: str) -> int:
    """Descriptor of a copy of the mounts at and below a path, not attached yet."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return _system_call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def restrict(mounted: int, attributes: int, *, below: bool = True) -> None:
    """Set attributes (read-only, no devices) on a mount and those below it."""
    change = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if below else 0)
    _system_call(_MOUNT_SETATTR, mounted, b"", flags, change, len(change))


def attach(mounted: int, path: str) -> None:
    """Attach a copy of mounts at a path."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH
    _system_call(_MOVE_MOUNT, mounted, b"", _AT_FDCWD, os.fsencode(path), flags)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(number: int, *arguments: int | bytes) -> int:
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    words = (each if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments)
    result: int = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number}: {os.strerror(code)}")
    return result
