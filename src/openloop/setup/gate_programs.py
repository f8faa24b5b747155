"""The programs that a gate starts: whether they exist, and whether a change may write them."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

from openloop.config.config import Command, Policy
from openloop.config.globs import Globs
from openloop.config.shell_commands import SimpleCommand, simple_commands
from openloop.core import interpreter
from openloop.core.errors import UsageError
from openloop.core.text import nearest, printable
from openloop.setup import script_findings
from openloop.setup.command_starts import without_wrappers
from openloop.setup.findings import Finding, ok, problem, warning

_PATIENCE = 10.0  # seconds for a question to the shell or to an interpreter
_PLAIN_WORD = re.compile(r"[\w./+@%:,~\[-]+", re.ASCII)
_INTERPRETER = re.compile(r"(python[\d.]*|node|ruby|perl|php|(ba|da|z)?sh)")
_BUILDS = {  # folders that a program trusts, by its name
    **dict.fromkeys(("cargo", "mvn", "mvnw"), "target"),
    **dict.fromkeys(("gradle", "gradlew"), "build"),
    "tox": ".tox",
}
_IN_ENVIRONMENT = ("uv", "poetry", "pdm", "pipenv")  # run programs of .venv
_DEFINED = re.compile(r"(?<![\w$])([\w-]+)[ \t]*\([ \t]*\)|\b(?:alias|function) ([\w-]+)")
_BASH_WORDS = ("declare", "function", "let", "popd", "pushd", "readarray", "shopt", "typeset")
_OF_BASH = {  # a builtin that /bin/sh may lack, what to do about it
    "source": "write . before a path, or name the program: .venv/bin/python",
    **dict.fromkeys(_BASH_WORDS, "write bash -c '…', or put it into a script"),
}
# Package managers are no misspelt npm: what installs each.
_INSTALLED_BY = {name: f"npm install --global {name}" for name in ("pnpm", "yarn", "bun")}
_TYPO = 0.8  # from this likeness on (difflib) a name is probably a known one, mistyped
_LOOP = re.compile(r"\s*for \w+ in [^;\n]*[;\n]\s*do\b")
_FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


class Programs:
    """The programs of one command, found as the shell would find them in the project root."""

    def __init__(self, name: str, command: Command, root: str) -> None:
        """name: the command's name, for sentences."""
        self._name = name
        self._command = command
        self._root = root
        self._commands = _started(command.run)
        # A path further on may name what an earlier command builds.
        names = [one.name for n, one in enumerate(self._commands) if n == 0 or "/" not in one.name]
        own = {name for pair in re.findall(_DEFINED, command.run) for name in pair}
        self._paths = self._located(name for name in names if name not in own)

    def availability(self) -> Iterator[Finding]:
        """Whether each program can be run, and its dependencies are there."""
        first = next(iter(simple_commands(_body(self._command.run))), None)
        if self._paths is None:
            what = f"{self._name}: the search for its programs took longer than {_PATIENCE:g} s"
            yield warning(what, "look for a folder on PATH that is out of reach")
            return
        if first is None or first.depth or not _PLAIN_WORD.fullmatch(first.name):
            word = first.name if first else self._command.run.partition(" ")[0]
            fix = "try the command by hand once"
            yield warning(f"{self._name}: cannot judge whether {printable(word)!r} can be run", fix)
        for name, place in self._paths.items():
            given = os.path.expanduser(place or name)  # some shells find what cannot be executed
            found = os.path.join(self._root, given) if "/" in given else ""
            if why := script_findings.obstacle_to_execution(found):
                yield problem(f"{self._name}: {name} {why[0]}", why[1])
            elif place:
                yield ok(f"{self._name}: {name} can be run")
            else:
                yield self._missing(name)
        for one in self._commands:
            if "browse" in one.words and "openloop" in one.words[: one.words.index("browse")]:
                yield from self._browser(one)
            if path := self._paths.get(one.name):
                yield from self._module(one, path)
                yield from self._packages(one)

    def _missing(self, name: str) -> Finding:
        from openloop.setup import agent_findings  # only a missing program needs it

        what = f"{self._name}: {name} is neither a program on PATH nor a file in the project root"
        fix = "install it, correct the name, or write its path from the project root"
        if name in _OF_BASH:
            fix = f"commands run in /bin/sh, which has no {name}: {_OF_BASH[name]}"
        elif name in _INSTALLED_BY:
            fix = f"install it: {_INSTALLED_BY[name]}"
        elif near := self._nearest_program(name):
            fix = f"did you mean {near}? Otherwise {fix}"
        return problem(what, agent_findings.installation(self._command, name) or fix)

    def _nearest_program(self, name: str) -> str:
        """A program on PATH, or a file beside the missing one, with nearly the same name."""
        folder, slash, base = name.rpartition("/")
        folders = [os.path.join(self._root, folder)]
        if not slash:
            folders = os.get_exec_path({**os.environ, **self._command.env})
        found: set[str] = set()
        for place in folders:
            with contextlib.suppress(OSError):
                found.update(os.listdir(place))
        near = nearest(base, sorted(found), likeness=_TYPO)
        return f"{folder}{slash}{near}" if near else ""

    def writable(self, policy: Policy) -> Iterator[Finding]:
        """The files that the command runs and that a change may write."""
        from openloop.fs.ignore_rules.reader import LISTED
        from openloop.setup.detection import dependencies

        kept, ignored = Globs((*policy.protect, *policy.withhold)), Globs(LISTED)

        def is_open(path: str) -> bool:
            name = os.fsencode(path)
            unseen = dependencies.dependency_folder(path) or ignored.matches(name)
            return not kept.matches(name) and bool(policy.allow is None or unseen)

        open_paths = list(filter(is_open, dict.fromkeys(self._run_from())))
        if open_paths:
            lines = dict.fromkeys(line for path in open_paths for line in _protecting(path))
            yield warning(
                f"{self._name} runs {', '.join(open_paths[:5])}, which a change may write",
                f"add to policy.protect: {', '.join(map(json.dumps, lines))}",
            )
        for one in self._commands:
            folder = _BUILDS.get(os.path.basename(one.name), "")
            place = os.path.join(self._root, folder)
            removed = "CARGO_TARGET_DIR" in self._command.env or "rm -rf" in self._command.run
            is_kept = kept.matches(os.fsencode(f"{folder}/x"))
            if folder and os.path.isdir(place) and not (removed or is_kept):
                what = f"{self._name}: {one.name} trusts what it finds in {folder}/, which a change"
                fix = "let the gate remove it first, or build outside the project"
                yield warning(f"{what} may write", fix)

    def rewritable(self, policy: Policy) -> Iterator[Finding]:
        """For a change: the files of the project that it runs and may itself rewrite."""
        kept, allowed = Globs((*policy.protect, *policy.withhold)), Globs(policy.allow or ("*",))
        for path in dict.fromkeys(self._run_from()):
            name = os.fsencode(path)
            if allowed.matches(name) and not kept.matches(name):
                what = f"{self._name} runs {path}, which it may rewrite for the next round"
                line = ", ".join(map(json.dumps, _protecting(path)))
                yield warning(
                    what, f"keep it outside the project, or add to policy.protect: {line}"
                )

    def _located(self, names: Iterable[str]) -> dict[str, str] | None:
        """The path of each plain word, "" when it is not found; None without an answer in time."""
        words = [name for name in dict.fromkeys(names) if _PLAIN_WORD.fullmatch(name)]
        script = 'for word; do command -v "$word" || echo; done'
        env = {**os.environ, **self._command.env}
        try:
            asked = subprocess.run(
                ["/bin/sh", "-c", script, "sh", *map(os.path.expanduser, words)],
                cwd=self._root,
                env={**env, **interpreter.program_variables(env.get("PATH"))},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        return dict(zip(words, os.fsdecode(asked.stdout).splitlines(), strict=False))

    # --- what a program needs ---

    def _browser(self, one: SimpleCommand) -> Iterator[Finding]:
        """Whether `openloop browse` would find a browser."""
        from openloop.browser import chromium

        found = re.search(r" --browser[ =](\S+)", one.line)
        given = found[1] if found else self._command.env.get("OPENLOOP_BROWSER")
        try:
            yield ok(f"{self._name}: the browser is {chromium.find(given)}")
        except UsageError as error:
            yield problem(f"{self._name}: {error.what}", error.fix)

    def _module(self, one: SimpleCommand, path: str) -> Iterator[Finding]:
        """Whether the interpreter that would run has the module of `python -m`."""
        if not re.fullmatch(r"python[\d.]*", os.path.basename(one.name)) or "-m" not in one.words:
            return
        place = os.path.abspath(os.path.join(self._root, path))
        own = os.path.join(self._root, ".venv/bin/python")
        beside = os.path.join(os.path.dirname(place), "openloop")
        ours = os.path.exists(beside) and not place.startswith(self._root + os.sep)
        if ours and os.path.exists(own):
            what = f"{self._name}: {one.name} is of the environment that OpenLoop is installed in"
            yield warning(what, "name the project's own: .venv/bin/python")
        module = one.words[one.words.index("-m") + 1 :][:1]
        if not module or not re.fullmatch(r"\w[\w.]*", module[0]):
            return
        if not self._has_module(module[0].partition(".")[0], place, one):
            install = f"-m pip install {module[0]}"
            fix = f"install it there: {one.name} {install}"
            if os.path.exists(own):
                fix = "name the project's interpreter: .venv/bin/python"
            elif ours:
                made = f"{one.name} -m venv .venv && .venv/bin/python {install}"
                fix = f"that is OpenLoop's own environment; make one for the project: {made}"
                fix += f"; then write .venv/bin/python instead of {one.name}"
            yield problem(f"{self._name}: {one.name} ({place}) has no module {module[0]}", fix)

    def _has_module(self, module: str, python: str, one: SimpleCommand) -> bool:
        """Whether an interpreter has a module, without running the interpreter or anything of the
        project."""
        paths = [
            word.partition("=")[2] for word in one.assignments if word.startswith("PYTHONPATH=")
        ]
        paths += [{**os.environ, **self._command.env}.get("PYTHONPATH", "")]
        folders = ["", *(folder for path in paths for folder in path.split(":"))]
        inside = python.startswith(self._root + os.sep)
        if inside:
            prefix = os.path.dirname(os.path.dirname(python))
            folders += glob.glob(os.path.join(glob.escape(prefix), "lib/python*/site-packages"))
        for folder in folders:
            place = os.path.join(self._root, folder, module)
            if os.path.isdir(place) or os.path.exists(f"{place}.py"):
                return True
        if inside or module in sys.stdlib_module_names:
            return module in sys.stdlib_module_names
        if os.path.realpath(python) == os.path.realpath(sys.executable) and sys.prefix in python:
            return importlib.util.find_spec(module) is not None
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            asked = subprocess.run(
                [python, "-c", _FIND, module],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError):
            return True  # nothing is known
        return asked.returncode == 0

    def _packages(self, one: SimpleCommand) -> Iterator[Finding]:
        """Whether package.json has the script, and its packages are installed."""
        if one.name not in ("npm", "pnpm", "yarn", "npx"):
            return
        from openloop.setup.detection import javascript_project
        from openloop.setup.detection.project_listing import ProjectListing

        project = ProjectListing.without_files(self._root)
        package = javascript_project.read_package(project)
        script = _package_script(one.words)
        known = {script: ""} if package is None else package.get("scripts", {})
        if script and isinstance(known, dict) and script not in known:
            near = nearest(script, known)
            fix = f"did you mean {near}?" if near else f"it has {', '.join(known) or 'none'}"
            yield problem(f"{self._name}: package.json has no script {script}", fix)
        if javascript_project.lacks_dependencies(project):
            what = f"{self._name}: package.json has dependencies, and node_modules is missing"
            yield problem(what, f"install them: {one.name.replace('npx', 'npm')} install")

    # --- what is run from inside the project ---

    def _run_from(self) -> Iterator[str]:
        """Paths below the root, relative, of programs and scripts that the command runs."""
        for one in self._commands:
            path = (self._paths or {}).get(one.name, "")
            if "/" in path:
                yield from self._below(path)
            if _INTERPRETER.fullmatch(os.path.basename(one.name)):
                script = next((word for word in one.words[1:] if not word.startswith("-")), "")
                if "-m" not in one.words and "-c" not in one.words:
                    yield from self._below(script)
            if os.path.basename(one.name).startswith("python"):
                for folder in ("", "src/"):
                    for info in glob.glob(f"{glob.escape(self._root)}/{folder}*.egg-info"):
                        yield from self._below(os.path.join(info, "entry_points.txt"))
            if os.path.basename(one.name) in _IN_ENVIRONMENT:
                yield from self._below(".venv/bin/python")
            if one.name in ("npm", "pnpm", "yarn"):
                from openloop.setup.detection import javascript_project
                from openloop.setup.detection.project_listing import ProjectListing

                others = (word for word in one.words[1:] if word not in ("run", "--silent"))
                project = ProjectListing.without_files(self._root)
                for name in javascript_project.started(project, next(others, "")):
                    yield from self._below(f"node_modules/.bin/{name}")

    def _below(self, path: str) -> Iterator[str]:
        place = os.path.normpath(os.path.join(self._root, path))
        if os.path.isfile(place) and place.startswith(self._root + os.sep):
            yield os.path.relpath(place, self._root)


def _package_script(words: list[str]) -> str:
    """The script of package.json that a command of npm or its like runs; "" when it is unknown."""
    if words[1:2] == ["test"]:
        return "test"
    run = words[1:2] in (["run"], ["run-script"]) and words[0] != "npx"
    return words[2] if run and words[2:] and re.fullmatch(r"\w[\w:.-]*", words[2]) else ""


def _body(text: str) -> str:
    """A command without the loop around it, if any."""
    head = _LOOP.match(text)
    return text[head.end() :] if head else text


def _started(text: str) -> list[SimpleCommand]:
    """The simple commands that certainly run, without wrappers such as `env`."""
    found = []
    for one in simple_commands(_body(text)):
        if one.name == "cd":
            break  # what follows is searched elsewhere
        inner = without_wrappers(one)
        if inner and inner.words and not (one.depth or one.before == "||"):
            found.append(inner)
    return found


def _protecting(path: str) -> list[str]:
    """Lines for `policy.protect` that guard a path."""
    from openloop.setup.detection import dependencies

    if folder := dependencies.dependency_folder(path):
        return folder.globs()
    info, found, _ = path.partition(".egg-info/")
    return [f"{info}.egg-info/**"] if found else [f"/{path}"]
