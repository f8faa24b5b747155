"""The paths in a workspace, and its project root."""

from __future__ import annotations

import os

from openloop.core.errors import UsageError
from openloop.core.text import nearest
from openloop.fs import files

CONFIG = "openloop.json"
EVENTS = "events.jsonl"
HEARTBEAT = "heartbeat.json"
PROGRESS = "progress.md"
LOGS = "logs"
ARTIFACTS = "artifacts"
KNOWLEDGE = "knowledge"
OUTPUT = "output"
CHECKPOINTS = "checkpoints"
ATTACHMENTS = "attachments"  # what the command that runs now leaves
HOLDOUT = "holdout"  # what agents never see
WITHHELD = "withheld"  # where it is kept while one works
HOLDOUT_COPY = f"{WITHHELD}/{HOLDOUT}"  # while a gate runs
REPLACED = "replaced"  # copies of files that the policy restored
COPIES = (CHECKPOINTS, WITHHELD, REPLACED)  # folders with copies of protected files
FOLDERS = (LOGS, ARTIFACTS, KNOWLEDGE, OUTPUT)
DEFAULT_ROOT = "."  # project_root where openloop.json says nothing
HOME = ".openloop"  # the folder in which workspaces of a project are kept
_LIMIT = 16 << 20  # bytes; nobody writes a configuration of that size


class Workspace:
    """A state folder. `path` is absolute, its symlinks resolved once; `given` is what the user
    wrote, for messages."""

    __slots__ = ("given", "path")

    def __init__(self, path: str, given: str) -> None:
        self.path = path
        self.given = given

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @property
    def quoted(self) -> str:
        """`given` as a word of a shell's command, for commands that messages propose."""
        from shlex import quote  # few messages propose one

        return quote(self.given)

    @property
    def other_owner(self) -> str:
        """The user who owns the workspace folder, unless it is the user of this process."""
        owner = os.stat(self.path).st_uid
        if owner == os.geteuid():
            return ""
        import pwd  # seldom needed

        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"user {owner}"

    def shown(self, name: str) -> str:
        """A file's path as the user would write it."""
        return os.path.join(self.given, name)

    @property
    def base(self) -> str:
        """The folder that a relative project root is resolved against: the one that holds
        `.openloop`, or else the workspace's parent. Never the current directory."""
        folder = os.path.dirname(self.path)
        inner = folder
        while inner != os.path.dirname(inner):
            if os.path.basename(inner) == HOME:
                return os.path.dirname(inner)
            inner = os.path.dirname(inner)
        return folder

    def project_root(self, configured: str) -> str:
        """The absolute path of the configured project root; it need not exist."""
        return os.path.realpath(os.path.join(self.base, os.path.expanduser(configured)))


def at(path: str) -> Workspace:
    """The workspace at `path`, which need not exist. Raises UsageError for ""."""
    if not path:
        raise UsageError("WORKSPACE is empty", fix="name a folder, such as .openloop/my-task")
    return Workspace(os.path.realpath(path), path)


def existing_folder(path: str) -> Workspace:
    """The workspace folder at `path`, whatever it holds. Raises UsageError."""
    found = at(path)
    if not os.path.isdir(found.path):
        if _exists(found.path, path):
            raise UsageError(f"workspace {path} is not a folder", fix="choose another name")
        near = _similar(path)
        fix = f"did you mean {near}?" if near else f"create it: openloop init {found.quoted}"
        raise UsageError(f"workspace {path} does not exist", fix=fix)
    return found


def _similar(path: str) -> str:
    """A workspace that was probably meant by a path that does not exist, quoted for the shell: the
    same path from a folder above, or one beside it with a similar name; "" for none."""
    from shlex import quote  # as in `Workspace.quoted`

    above = os.path.join(os.pardir, path)
    while not os.path.isabs(path) and os.path.realpath(above) != os.path.realpath(f"../{above}"):
        if os.path.isfile(os.path.join(above, CONFIG)):
            return quote(above)
        above = os.path.join(os.pardir, above)
    folder, name = os.path.split(path.rstrip("/"))
    near = nearest(name, names_in(folder or os.curdir))
    return quote(os.path.join(folder, near)) if near else ""


def names_in(folder: str) -> list[str]:
    """The names of the workspaces in a folder, sorted."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [name for name in names if os.path.isfile(os.path.join(folder, name, CONFIG))]


def _exists(path: str, given: str) -> bool:
    """Whether the path exists. Raises UsageError when permission to ask is missing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(
            f"workspace {given} cannot be accessed: {error.strerror}",
            fix="give yourself permission to enter its folders",
        ) from None
    return True


def existing(path: str) -> Workspace:
    """The workspace at `path`. Raises UsageError when there is none."""
    found = existing_folder(path)
    if not _exists(found.file(CONFIG), path):
        raise without_config(found)
    return found


def existing_record(path: str) -> Workspace:
    """The workspace at `path`, of which a file of its own or of a round is left at least. Raises
    UsageError."""
    found = existing_folder(path)
    files_left = (CONFIG, EVENTS, HEARTBEAT, PROGRESS)
    if any(_exists(found.file(name), path) for name in files_left) or _has_rounds(found):
        return found
    raise without_config(found)


def _has_rounds(workspace: Workspace) -> bool:
    """Whether logs or artifacts of a round are there."""
    for folder in (LOGS, ARTIFACTS):
        try:
            names = os.listdir(workspace.file(folder))
        except OSError:
            continue
        if any(name.startswith("round-") for name in names):
            return True
    return False


def without_config(workspace: Workspace) -> UsageError:
    """The error for a folder without openloop.json: probably a project with workspaces in it."""
    from shlex import quote  # as in `quoted`

    what = f"{workspace.given} is not a workspace: it has no {CONFIG}"
    if os.path.lexists(workspace.file(EVENTS)):
        fix = f"restore that file, or write a new one: openloop init --force {workspace.quoted}"
        return UsageError(what, fix=fix)
    folders = workspace.path.split(os.sep)
    inner = os.path.normpath(os.path.join(workspace.given, "" if folders[-1] == HOME else HOME))
    for name in names_in(inner):
        return UsageError(what, fix=f"name the one in it: {quote(f'{inner}/{name}')}")
    created = workspace.quoted if HOME in folders[:-1] else quote(f"{inner}/main")
    return UsageError(what, fix=f"create one: openloop init {created}")


def read_config(workspace: Workspace) -> bytes:
    """The bytes of openloop.json. Raises UsageError."""
    try:
        path = os.path.realpath(workspace.file(CONFIG))  # a person may keep it elsewhere
        data = files.read(path, limit=_LIMIT)
    except OSError as error:
        raise unreadable(workspace, CONFIG, error) from None
    return data


def unreadable(workspace: Workspace, name: str, error: OSError) -> UsageError:
    """The error for a file of the workspace that cannot be read."""
    fix = "make it readable" if isinstance(error, PermissionError) else ""
    if name == CONFIG and not fix:
        fix = f"restore it, or write a new one: openloop init --force {workspace.quoted}"
    return UsageError(
        f"{name} cannot be read: {error.strerror}", where=workspace.shown(name), fix=fix
    )


def existing_project_root(workspace: Workspace, configured: str) -> str:
    """The project root's absolute path. Raises UsageError when it is no folder."""
    root = workspace.project_root(configured)
    if not os.path.isdir(root):
        raise UsageError(
            f"project root {root} does not exist",
            where=f"{workspace.shown(CONFIG)}: project_root is {configured!r}",
            fix=f"write a path that is absolute or starts from {workspace.base}",
        )
    return root
