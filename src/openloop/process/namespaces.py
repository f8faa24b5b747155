"""Give this process a private view of the file system, and of the processes.

It enters a mount and user namespace; a second user namespace prevents its commands, root or not,
from undoing the mounts, and from reaching memory and file systems (`/proc/PID/root`) of processes
outside. User and group numbers stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence

from openloop.fs import mounts
from openloop.process.mount_calls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    attach,
    call,
    clone,
    mount,
    restrict,
)

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWIPC = 0x08000000
_PR_SET_PDEATHSIG = 1
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
        mount("none", "/", MS_REC | MS_PRIVATE)
        if enclosure is not None:
            _become_first()
            _enclose(**enclosure)
        for path in filter(os.path.exists, places):
            _empty(path)
        if overlay:
            _overlay(*overlay)
        _unshare()
        if enclosure is not None:
            call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # AttributeError: a C library without these calls
        return False
    return True


def _overlay(root: str, folder: str) -> None:
    """Mount an overlay. Its options have relative names, because `,` and `:` end a path."""
    mount(root, os.path.join(folder, LOWER), MS_BIND)
    os.chdir(folder)
    options = f"lowerdir={LOWER},upperdir={UPPER},workdir={WORK},userxattr"
    mount("overlay", root, 0, kind="overlay", options=options)
    os.chdir("/")


def _empty(path: str) -> None:
    if os.path.isdir(path):
        mount("tmpfs", path, MS_RDONLY, kind="tmpfs", options="mode=755")
    else:
        mount(os.devnull, path, MS_BIND)


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
    call("unshare", _CLONE_NEWPID | _CLONE_NEWIPC)
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
            trees[path] = clone(path)
            restrict(trees[path], MOUNT_ATTR_NODEV)
    for path in trees.keys() & set(closed):
        restrict(trees[path], MOUNT_ATTR_RDONLY)
    lowest = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*private, *temporary)}
    spare = {path: clone(path) for path in temporary}
    devices = {
        name: clone(f"/dev/{name}")
        for name in os.listdir("/dev")
        if name in _DEVICES or _GRAPHICS.fullmatch(name)
    }
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    restrict(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)
    os.close(root)
    _own_devices(devices)
    for path in sorted({*trees, *lowest}):  # a folder comes before the paths in it
        if path in trees:
            attach(trees[path], path)
        elif not _keep_private(path, lowest[path]):
            _shared.append(path)
            if path in spare:
                attach(spare[path], path)
    for descriptor in (*trees.values(), *lowest.values(), *spare.values()):
        os.close(descriptor)
    _own_processes()


def _keep_private(path: str, real: int) -> bool:
    """Mount an overlay in memory over a folder; False where the system cannot do that. real: the
    folder's descriptor."""
    status = os.fstat(real)
    try:
        mount("tmpfs", path, MS_NOSUID | MS_NODEV, kind="tmpfs", options="mode=700")
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
        mount("overlay", path, MS_NOSUID | MS_NODEV, kind="overlay", options=options)
    except OSError:
        os.close(memory)
        call("umount2", os.fsencode(path), 0)
        return False
    _private.append(memory)
    return True


def private_bytes_used() -> int:
    """Bytes of memory used by writes to private and temporary folders."""
    sizes = map(os.fstatvfs, _private)
    return sum((size.f_blocks - size.f_bfree) * size.f_frsize for size in sizes)


def shared() -> list[str]:
    """The folders that could not be made private: the system has no overlays for users, or they
    contain mounts."""
    return list(_shared)


def _own_devices(devices: Mapping[str, int]) -> None:
    """Mount a /dev with these devices (descriptors of mounts) and private terminals: no disks, and
    not the person's terminal."""
    mount("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, kind="tmpfs", options="mode=755")
    for name, device in devices.items():
        path = f"/dev/{name}"
        if stat.S_ISDIR(os.fstat(device).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC))
        attach(device, path)
        os.close(device)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/shm")
    os.mkdir("/dev/pts")
    with contextlib.suppress(OSError):  # then there are no terminals
        options = "newinstance,ptmxmode=0666,mode=620"
        mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, kind="devpts", options=options)
    opened = os.open("/dev", os.O_PATH | os.O_CLOEXEC)
    restrict(opened, MOUNT_ATTR_RDONLY, below=False)
    os.close(opened)


def _own_processes() -> None:
    """Mount a /proc with the processes of this namespace, whose machine settings are read-only."""
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", "/proc", flags, kind="proc", options="hidepid=ptraceable")
    for name in _OF_THE_MACHINE:
        path = f"/proc/{name}"
        if os.path.exists(path):
            copy = clone(path)
            restrict(copy, MOUNT_ATTR_RDONLY)
            attach(copy, path)
            os.close(copy)


# --- namespaces -------------------------------------------------------------------------


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
        call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
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
