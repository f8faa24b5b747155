"""Give this process a private view of the file system, and of the processes.

It enters a mount and user namespace; a second user namespace prevents its commands, root or not,
from undoing the mounts, and from reaching memory and file systems (`/proc/PID/root`) of processes
outside. User and group numbers stay.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence

from openloop.fs import mounts

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWIPC = 0x08000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_PR_SET_PDEATHSIG = 1
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # system calls, on every machine
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NODEV = 1, 4
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_GRAPHICS = re.compile("nvidia.*|dri|kfd")  # devices that compute
_DEVICE_LINKS = {"fd": "/proc/self/fd", "ptmx": "pts/ptmx"} | {
    name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))
}
_OF_THE_MACHINE = ("bus", "irq", "sys", "sysrq-trigger")  # in /proc; root could write there

LOWER, UPPER, WORK = "lower", "upper", "work"  # folders that an overlay needs
_private: list[int] = []  # descriptors of the file systems with private writes
_shared: list[str] = []  # folders that could not be made private


def enter(
    *,
    hide: Sequence[str] = (),
    overlay: Sequence[str] = (),
    enclosure: Mapping[str, Sequence[str]] | None = None,
) -> bool:
    """Give this process and its descendants such a view.

    hide: files and folders that look empty, at every mount of their file system. overlay: (root,
    folder): writes below the root go into the folder, which has LOWER, UPPER and WORK; the root
    stays unchanged. enclosure: see `_enclose`; a child becomes the first process of a PID namespace
    and continues, while this process waits for it.
    False where the system does not allow it; then this process must not be used any more.
    """
    try:
        places = [place for path in hide for place in _places_of(path)]
        _unshare()
        _mount("none", "/", _MS_REC | _MS_PRIVATE)
        if enclosure is not None:
            _become_first()
            _enclose(**enclosure)
        for path in filter(os.path.exists, places):
            _empty(path)
        if overlay:
            _overlay(*overlay)
        _unshare()
        if enclosure is not None:
            _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # AttributeError: a C library without these calls
        return False
    return True


def _overlay(root: str, folder: str) -> None:
    """Mount an overlay. Its options have relative names, because `,` and `:` end a path."""
    _mount(root, os.path.join(folder, LOWER), _MS_BIND)
    os.chdir(folder)
    options = f"lowerdir={LOWER},upperdir={UPPER},workdir={WORK},userxattr"
    _mount("overlay", root, 0, kind="overlay", options=options)
    os.chdir("/")


def _empty(path: str) -> None:
    if os.path.isdir(path):
        _mount("tmpfs", path, _MS_RDONLY, kind="tmpfs", options="mode=755")
    else:
        _mount(os.devnull, path, _MS_BIND)


def _places_of(path: str) -> list[str]:
    """Every path at which mounts show a file or folder, or a part of it: its file system may be
    mounted repeatedly. Copies and hard links are not found."""
    status, table = os.stat(path), list(mounts.mounts())
    point, device, top = max(
        (mount for mount in table if f"{path}/".startswith(mount[0])),
        key=lambda each: len(each[0]),
    )
    inside = os.path.join(top, path[len(point) :])
    found = {path}
    for other, its_device, its_top in table:
        if its_device == device and its_top.startswith(f"{inside}/"):
            found.add(other.rstrip("/"))
        elif its_device == device and f"{inside}/".startswith(its_top):
            place = os.path.join(other, inside[len(its_top) :]).rstrip("/")
            with contextlib.suppress(OSError):  # hidden by another mount
                if os.path.samestat(os.stat(place), status):
                    found.add(place)
    return sorted(found)


# --- an enclosure -----------------------------------------------------------------------


def _become_first() -> None:
    """Continue in a child, the first process of a PID namespace. Shared memory and message queues
    are its own too: they would outlive it."""
    _call("unshare", _CLONE_NEWPID | _CLONE_NEWIPC)
    opened = os.listdir("/proc/self/fd")  # read before the child mounts its own /proc
    if child := os.fork():
        signal.set_wakeup_fd(-1)
        for name in opened:  # so that the child's peers see it end
            with contextlib.suppress(OSError):
                os.close(int(name))
        os.waitpid(child, 0)
        os._exit(0)


def _enclose(
    *,
    writable: Sequence[str],
    closed: Sequence[str],
    private: Sequence[str],
    temporary: Sequence[str],
) -> None:
    """Make the file system read-only and hide all processes outside.

    All are absolute paths, each named once; missing ones are skipped. writable: folders and sockets
    that stay writable. closed: paths in them that are read-only. private: folders whose writes stay
    in memory, visible here only; read-only where the system cannot do that. temporary: the same,
    but unchanged where the system cannot do that.
    """
    trees = {}
    for path in (*closed, *writable):
        with contextlib.suppress(FileNotFoundError):
            trees[path] = _clone(path)
            _restrict(trees[path], _MOUNT_ATTR_NODEV)
    for path in trees.keys() & set(closed):
        _restrict(trees[path], _MOUNT_ATTR_RDONLY)
    lowest = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*private, *temporary)}
    spare = {path: _clone(path) for path in temporary}
    devices = {name: _clone(f"/dev/{name}") for name in _devices()}
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    _restrict(root, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NODEV)
    os.close(root)
    _own_devices(devices)
    for path in sorted({*trees, *lowest}):  # a folder comes before the paths in it
        if path in trees:
            _put(trees[path], path)
        elif not _keep_private(path, lowest[path]):
            _shared.append(path)
            if path in spare:
                _put(spare[path], path)
    for descriptor in (*trees.values(), *lowest.values(), *spare.values()):
        os.close(descriptor)
    _own_processes()


def _keep_private(path: str, real: int) -> bool:
    """Mount an overlay in memory over a folder; False where the system cannot do that. real: the
    folder's descriptor."""
    status = os.fstat(real)
    try:
        _mount("tmpfs", path, _MS_NOSUID | _MS_NODEV, kind="tmpfs", options="mode=700")
    except OSError:
        return False
    memory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (UPPER, WORK):
            os.mkdir(name, dir_fd=memory)
        with contextlib.suppress(OSError):  # its owner may have no number in here
            os.chown(UPPER, status.st_uid, status.st_gid, dir_fd=memory)
        os.chmod(UPPER, stat.S_IMODE(status.st_mode), dir_fd=memory)
        inside = f"/proc/self/fd/{memory}"
        upper, work = f"{inside}/{UPPER}", f"{inside}/{WORK}"
        options = f"lowerdir=/proc/self/fd/{real},upperdir={upper},workdir={work},userxattr"
        _mount("overlay", path, _MS_NOSUID | _MS_NODEV, kind="overlay", options=options)
    except OSError:
        os.close(memory)
        _call("umount2", os.fsencode(path), 0)
        return False
    _private.append(memory)
    return True


def litter() -> int:
    """Bytes of memory used by writes to private and temporary folders."""
    sizes = map(os.fstatvfs, _private)
    return sum((size.f_blocks - size.f_bfree) * size.f_frsize for size in sizes)


def shared() -> list[str]:
    """The folders that could not be made private: the system has no overlays for users, or they
    contain mounts."""
    return list(_shared)


def _devices() -> list[str]:
    return [name for name in os.listdir("/dev") if name in _DEVICES or _GRAPHICS.fullmatch(name)]


def _own_devices(devices: Mapping[str, int]) -> None:
    """Mount a /dev with these devices (descriptors of mounts) and private terminals: no disks, and
    not the person's terminal."""
    _mount("tmpfs", "/dev", _MS_NOSUID | _MS_NOEXEC, kind="tmpfs", options="mode=755")
    for name, device in devices.items():
        path = f"/dev/{name}"
        if stat.S_ISDIR(os.fstat(device).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC))
        _put(device, path)
        os.close(device)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/shm")
    os.mkdir("/dev/pts")
    with contextlib.suppress(OSError):  # then there are no terminals
        options = "newinstance,ptmxmode=0666,mode=620"
        _mount("devpts", "/dev/pts", _MS_NOSUID | _MS_NOEXEC, kind="devpts", options=options)
    mount = os.open("/dev", os.O_PATH | os.O_CLOEXEC)
    _restrict(mount, _MOUNT_ATTR_RDONLY, below=False)
    os.close(mount)


def _own_processes() -> None:
    """Mount a /proc with the processes of this namespace, whose machine settings are read-only."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount("proc", "/proc", flags, kind="proc", options="hidepid=ptraceable")
    for name in _OF_THE_MACHINE:
        path = f"/proc/{name}"
        if os.path.exists(path):
            mount = _clone(path)
            _restrict(mount, _MOUNT_ATTR_RDONLY)
            _put(mount, path)
            os.close(mount)


def _clone(path: str) -> int:
    """Descriptor of a copy of the mounts at and below a path, not attached yet."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return _system_call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def _restrict(mount: int, attributes: int, *, below: bool = True) -> None:
    """Set attributes (read-only, no devices) on a mount and those below it."""
    change = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if below else 0)
    _system_call(_MOUNT_SETATTR, mount, b"", flags, change, len(change))


def _put(mount: int, path: str) -> None:
    flags = _MOVE_MOUNT_F_EMPTY_PATH
    _system_call(_MOVE_MOUNT, mount, b"", _AT_FDCWD, os.fsencode(path), flags)


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


# --- namespaces and mounts --------------------------------------------------------------


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
    """Lines that map every number of this namespace to itself."""
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
    if getattr(_libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
