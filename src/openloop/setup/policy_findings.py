"""What `doctor` finds about the policy: its patterns, the sandbox, withheld files."""

from __future__ import annotations

import glob
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence

import openloop
from openloop.config.config import NO_POLICY, Config, Policy
from openloop.config.globs import Globs
from openloop.core.text import printable_path
from openloop.core.vocabulary import SandboxMode, Status
from openloop.fs import programs, snapshot
from openloop.fs.manifest import FILE, SYMLINK, Manifest
from openloop.record import record_end, withheld
from openloop.record.lock import runner_lives
from openloop.record.workspace import HOLDOUT, Workspace
from openloop.setup.findings import Finding, ok, problem, warning

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from openloop.policy.path_rules import PathRules

_SHOWN = (".py", ".sh", ".js", ".mjs", ".rb", ".pl", "play.json")


def patterns(workspace: Workspace, known: Config, root: str) -> Iterator[Finding]:
    """Whether each pattern matches a file: a mistyped one protects nothing. Paths that cannot be
    read cannot be protected either."""
    policy = known.policy or NO_POLICY
    if not (policy.protect or policy.withhold):
        if known.improver and policy.allow is None:
            fix = 'add for example "policy": {"protect": ["tests/**"]}'
            yield warning("nothing keeps a change from editing the checks themselves", fix)
        return
    if known.improver and policy.allow is None:
        yield warning(
            "policy.allow is missing: code that a gate rewrites is not measured again",
            'name the sources, for example "allow": ["src/**"]',
        )
    skip = snapshot.outside_project(root, workspace.path)
    # slow to import, and many a workspace has no policy
    from openloop.policy.path_rules import PathRules, incomparable_paths

    rules = PathRules(policy)
    paths = snapshot.scan(root, skip=skip, wanted=rules.protects)
    yield from (problem(what, fix) for what, fix in incomparable_paths(paths, rules))
    if policy.sandbox is SandboxMode.NONE:  # a sandbox keeps a change from what lies outside
        yield from _linked_outside(paths, rules, root)
    settings = _ignored_settings(known, root)
    if known.improver and policy.allow is not None:
        yield from _unprotected(settings, policy)
    yield from _leftovers(paths, rules, settings, root)
    lists = {"protect": policy.protect, "allow": policy.allow or ()}
    if not withheld.archive_path(workspace):  # else they are not there to be matched
        lists["withhold"] = policy.withhold
    for key, globs in lists.items():
        for pattern in globs:
            if pattern.startswith("!") and _takes_nothing_back(pattern, globs, root):
                what = f"policy.{key} {pattern!r} takes nothing back: a pattern covers all folders"
                yield warning(f"{what} below", "write folder/* in place of folder/**")
            is_excused = pattern in settings or _may_match_nothing(key, pattern, root)
            if not is_excused and not any(map(Globs((pattern,)).matches, paths)):
                fix = f"write it from {root} as in .gitignore"
                yield warning(f"policy.{key} {pattern!r} matches no file", fix)
    yield from _allowed_and_withheld(policy, paths)


def _allowed_and_withheld(policy: Policy, paths: Manifest) -> Iterator[Finding]:
    hidden, allowed = Globs(policy.withhold), Globs(policy.allow or ())
    both = [path for path in paths if hidden.matches(path) and allowed.matches(path)]
    if both:
        shown = printable_path(both[0])
        fix = "take it out of allow: a pattern that begins with ! takes back"
        yield warning(f"{shown} is both allowed and withheld: it counts as protected", fix)


def _linked_outside(paths: Manifest, rules: PathRules, root: str) -> Iterator[Finding]:
    """Protected folders that are symlinks out of the project: nobody looks behind them."""
    for path, entry in paths.items():
        if entry.kind != SYMLINK or not rules.protects(path + b"/file"):
            continue
        link = os.path.join(root, os.fsdecode(path))
        if os.path.isdir(link) and not programs.is_below(root, os.path.realpath(link)):
            what = f"{printable_path(path)} is protected, but is a link to a folder outside"
            yield warning(
                f"{what} of the project, which no change is kept from",
                'add "sandbox": "auto" to the policy, or move the folder into the project',
            )


def _ignored_settings(known: Config, root: str) -> tuple[str, ...]:
    """Globs of the settings that the gates read and git ignores."""
    from openloop.setup.detection.ignored_settings import ignored_settings
    from openloop.setup.detection.project_listing import ProjectListing

    gates = "\n".join(known.command(gate).run for gate in known.gates)
    return ignored_settings(ProjectListing.below(root), gates)


def _unprotected(settings: tuple[str, ...], policy: Policy) -> Iterator[Finding]:
    kept = Globs((*policy.protect, *policy.withhold))
    missing = [glob for glob in settings if not kept.matches(os.fsencode(glob.lstrip("/")))]
    if missing:
        named = ", ".join(glob.lstrip("/") for glob in missing)
        yield warning(
            f"git ignores {named}, which gates read: policy.allow does not keep a change from it",
            f"add to policy.protect: {', '.join(map(json.dumps, missing))}",
        )


def _leftovers(
    paths: Manifest, rules: PathRules, settings: tuple[str, ...], root: str
) -> Iterator[Finding]:
    """Protected files that git ignores: probably written by a check that was run by hand."""
    from openloop.fs.ignore_rules.reader import LISTED
    from openloop.setup.detection.dependencies import dependency_folder
    from openloop.setup.detection.ignored_settings import ignored_by_git

    known = Globs((*LISTED, *settings))
    protected = [
        path
        for path, entry in paths.items()
        if entry.kind == FILE
        and rules.protects(path)
        and not known.matches(path)
        and not dependency_folder(os.fsdecode(path))
    ]
    if found := sorted(ignored_by_git(root, protected) or ()):
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        names = ", ".join(map(printable_path, found[:3])) + more
        yield warning(
            f"git ignores {names}, and policy.protect keeps gates from changing what is there",
            "remove what a check writes: it may create such a file in each run",
        )


def _takes_nothing_back(exception: str, patterns: Sequence[str], root: str) -> bool:
    """Whether patterns still cover a file two folders below the folder that an exception names."""
    folder = exception.removeprefix("!").removeprefix("**/").strip("/").removesuffix("/**")
    names_folder = exception.endswith(("/", "/**")) or os.path.isdir(os.path.join(root, folder))
    if set(folder) & set("*?[\\") or not names_folder:
        return False
    return Globs(patterns).matches(os.fsencode(f"{folder}/some/file"))


def _may_match_nothing(key: str, pattern: str, root: str) -> bool:
    """Whether a pattern makes sense without a file that it matches: an exception, dependencies that
    are not installed yet, a name that must not be created in a folder, a file that a change may
    create."""
    from openloop.setup.detection.dependencies import names_dependencies

    folder, _, name = pattern.strip("/").rpartition("/")
    if pattern.startswith("!") or (key == "protect" and names_dependencies(pattern)):
        return True
    above, anywhere, _ = f"/{pattern.lstrip('/')}".partition("/**/")
    if anywhere:
        return any(glob.iglob(f"{glob.escape(root)}{above}/"))
    return key == "allow" and bool(name) and name != "**" and not folder


def sandbox(known: Config, root: str) -> Iterator[Finding]:
    """Whether the sandbox that the policy asks for works here."""
    policy = known.policy or NO_POLICY
    changes = policy.sandbox is not SandboxMode.NONE and known.improver is not None
    if not (changes or policy.sandbox_gates):
        if policy.writable:
            fix = 'add "sandbox": "auto"'
            yield warning("policy.writable has no effect without a sandbox", fix)
        return
    from openloop.policy import bubblewrap

    why = bubblewrap.trouble(root)
    if not why:
        yield ok(f"the sandbox works: {bubblewrap.PROVEN}")
    elif policy.sandbox is not SandboxMode.AUTO:
        yield problem(f"the sandbox cannot be used: {why}", bubblewrap.remedy())
    else:
        who = bubblewrap.enclosed(changes, policy.sandbox_gates)
        yield warning(f"{who} run without a sandbox: {why}", bubblewrap.remedy())
    for path in policy.writable:
        if not os.path.exists(os.path.expanduser(path)):
            fix = "create it, or remove the line"
            yield warning(f"policy.writable {path!r} is not there: it cannot be written", fix)


def installation(known: Config, root: str) -> Iterator[Finding]:
    """Whether a change may write the files of OpenLoop itself."""
    policy = known.policy or NO_POLICY
    own = {
        os.path.dirname(openloop.__file__),
        sys.executable,
        shutil.which("openloop") or "",
    }
    fix = "install OpenLoop where no change can write, for example with pipx"
    for path in sorted(filter(None, own)):
        if programs.is_below(root, path):
            yield warning(f"OpenLoop itself lies in the project: {path}", fix)
        for folder in map(os.path.expanduser, policy.writable):
            if programs.is_below(folder, path):
                yield warning(f"policy.writable holds OpenLoop itself: {path}", fix)


def withheld_files(workspace: Workspace, known: Config) -> Iterator[Finding]:
    """Whether withheld files are still away, and whether logs could show them to the agent."""
    policy = known.policy or NO_POLICY
    if (archive := withheld.archive_path(workspace)) and not runner_lives(workspace):
        words = f"withheld files are away since a run was killed, kept in {archive}"
        if (record_end.heartbeat(workspace) or {}).get("status") == Status.READY:  # a new record
            what = f"{words}, and the record does not mention it"
            yield problem(what, "unpack it with tar, move the files back, then remove it")
            return
        yield warning(words, "start a run; it restores them first")
        return
    open_gates = [gate for gate in known.gates if not known.command(gate).private]
    if not policy.withhold:
        open_gates = [gate for gate in open_gates if _reads_holdout(known.command(gate).run)]
    if open_gates and known.improver:
        fix = 'add "private": true to the gates that use withheld files'
        yield warning(f"the logs of {', '.join(open_gates)} can be read by the agent", fix)


def _reads_holdout(command: str) -> bool:
    """Whether a command names a file of holdout/ that is not a program or a play: those print
    what the agent is to know."""
    words = [word.strip("\"'") for word in command.split() if f"/{HOLDOUT}" in word]
    return any(not word.endswith(_SHOWN) for word in words)
