"""Every command that the documents show is run for real, in a copy of the checkout."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

from repository.markdown import (
    AGENT,
    CONTRIBUTING,
    DOCUMENTS,
    JUDGE,
    POLICY,
    PROMPTS,
    README,
    Block,
    blocks,
)
from support import ROOT, Case, environment, need, run_openloop

SLOW = True  # left out by scripts/run_tests.sh --quick

INSTALL = "pip install -e ."
DEMO = "scripts/demo.sh"
PICTURE = "assets/openloop-demo.svg"
CHEAT = ".openloop/cheat"
CASES = "openloop judge cases.jsonl"
CONFIG = {
    "version": 1,
    "commands": {"verify": "test -e done", "fix": "touch done"},
    "policy": {"allow": ["done"]},
}
WHOLE_SUITE = ("scripts/run_tests.sh", "scripts/bench.py --full")
PROMISE = re.compile(r"# exit code (\d+)$")
UNREACHABLE = re.compile(
    r"No matching distribution|Could not find a version|Failed to establish|Temporary failure"
    r"|No module named (?:pip|ensurepip|venv)|ensurepip is not available"
)
TIMEOUT = 300.0  # seconds
PIP = {
    "PIP_RETRIES": "0",
    "PIP_DEFAULT_TIMEOUT": "15",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_COMPILE": "1",
}
ASIDE = (".git", ".venv", ".openloop", "__pycache__", ".*_cache", "dist", "build", "*.egg-info")
CHECK = """check() {
    __code=$?
    [ "$__code" -eq "$1" ] && return
    printf '%s\\n  ended with %s, promised was %s\\n' "$2" "$__code" "$1" >&2
    exit 99
}
"""


def commands(block: Block) -> list[str]:
    """The block's commands, those of several lines whole; without the whole suite and benchmark."""
    found: list[str] = []
    kept = ""
    for line in block.text.splitlines():
        kept += f"{line}\n"
        if not line.endswith("\\") and _is_whole(kept):
            found.append(kept)
            kept = ""
    if kept:
        raise AssertionError(f"{block}: not whole: {kept}")
    return [one for one in found if one.strip() and not one.startswith(WHOLE_SUITE)]


def _is_whole(text: str) -> bool:
    """Whether the shell waits for nothing more: neither a `done` nor the end of a heredoc."""
    asked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return asked.returncode == 0 and not asked.stderr


class Copy:
    """A copy of the checkout, with its program on PATH as `openloop`."""

    def __init__(self, folder: str) -> None:
        self.checkout = os.path.join(folder, "openloop")
        self.programs = os.path.join(folder, "bin")
        self.temporary = os.path.join(folder, "tmp")
        shutil.copytree(ROOT, self.checkout, ignore=shutil.ignore_patterns(*ASIDE))
        os.mkdir(self.programs)
        os.mkdir(self.temporary)
        python = shlex.quote(sys.executable)
        package = shlex.quote(os.path.join(self.checkout, "src"))
        self._program("python", f'exec {python} "$@"')
        self._program("python3", f'exec {python} "$@"')
        self._program("openloop", f'PYTHONPATH={package} exec {python} -m openloop "$@"')
        self._program("claude", "cat > /dev/null")  # for doctor to find; never called

    def _program(self, name: str, text: str) -> None:
        path = os.path.join(self.programs, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def run(self, block: Block, *, without: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run a block in one shell: (exit code, output); 99 is a broken promise.

        without: beginnings of commands that are left out.
        """
        script = CHECK
        for command in commands(block):
            if not command.startswith(without):
                promised = PROMISE.search(command)
                code = promised[1] if promised else "0"
                script += f"{command}check {code} {shlex.quote(f'{block}: {command}')}\n"
        path = f"{self.programs}:{os.environ['PATH']}"
        env = environment(PATH=path, TMPDIR=self.temporary, **PIP)
        del env["PYTHONPATH"]
        done = subprocess.run(
            [block.language, "-c", script],
            cwd=self.checkout,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")


_background = concurrent.futures.ThreadPoolExecutor(1)
_folders: list[str] = []


def setUpModule() -> None:
    """The quick start takes longest, mostly pip; what does not need it runs meanwhile."""
    begun_quick_start()


def tearDownModule() -> None:
    concurrent.futures.wait([begun_quick_start()])
    begun_quick_start.cache_clear()
    untouched.cache_clear()
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def new_copy() -> Copy:
    """A copy in a folder of its own, removed when the tests of this module are over."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-readme-"))
    _folders.append(folder)
    return Copy(folder)


@functools.cache
def untouched() -> Copy:
    """A copy for what makes its own workspaces and needs nothing of the quick start."""
    return new_copy()


@functools.cache
def begun_quick_start() -> concurrent.futures.Future[tuple[Copy, str]]:
    return _background.submit(run_quick_start)


def quick_start() -> tuple[Copy, str]:
    """What `run_quick_start` returns, once it is over."""
    return begun_quick_start().result()


def run_quick_start() -> tuple[Copy, str]:
    """A copy after the quick start, and why it ran without an installation, "" if it did not."""
    block = next(block for block in blocks(README, "bash") if INSTALL in block.text)
    copy = new_copy()
    code, output = copy.run(block)
    if code == 0:
        return copy, ""
    why = UNREACHABLE.search(output)
    if why is None:
        raise AssertionError(output)
    copy = new_copy()
    code, output = copy.run(block, without=("python -m venv", "source ", INSTALL))
    if code:
        raise AssertionError(output)
    return copy, f"a package registry to install from ({why[0]})"


class Transcripts(unittest.TestCase):
    """The runs that the documents show are those that their commands make."""

    def run_shown(self, document: str, command: str) -> tuple[list[Block], str]:
        """What is shown of the block with this command, up to the next block; and the output."""
        found = blocks(document, "sh", "text")
        place = next(i for i, block in enumerate(found) if command in block.text)
        code, output = untouched().run(found[place])
        self.assertEqual(code, 0, output)
        shown = itertools.takewhile(lambda block: block.language == "text", found[place + 1 :])
        return list(shown), output

    def test_the_demo_prints_what_is_shown(self) -> None:
        _, output = self.run_shown(README, DEMO)
        claims = re.findall(r"In round 1 the agent said: \"(.+?)\"", _words(README))
        self.assertEqual(len(claims), 1)
        self.assertIn(claims[0], output)
        self.assertIn(
            _without_heads(_without_times(pictured())), _without_heads(_without_times(output))
        )

    def test_the_cheat_is_undone_as_shown(self) -> None:
        shown, output = self.run_shown(POLICY, CHEAT)
        shown += [block for block in blocks(README, "text") if "policy: fix" in block.text]
        self.assertEqual(len(shown), 2)
        for block in shown:
            self.assertIn(_without_times(block.text), _without_times(output))

    def test_the_judge_says_what_is_shown(self) -> None:
        shown, output = self.run_shown(JUDGE, CASES)
        self.assertEqual(len(shown), 1)
        self.assertIn(_without_times(shown[0].text), _without_times(output))


def _without_times(text: str) -> str:
    lines = (re.sub(r"\b\d+\.\d s\b", "_ s", " ".join(line.split())) for line in text.splitlines())
    return "\n".join(lines)


def pictured() -> str:
    """The lines of the terminal picture."""
    with open(os.path.join(ROOT, PICTURE), encoding="utf-8") as file:
        texts = ET.fromstring(file.read()).iter("{http://www.w3.org/2000/svg}text")
    return "\n".join("".join(text.itertext()) for text in texts)


def _without_heads(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{64}\b", "HEAD", text)


def _words(document: str) -> str:
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        return " ".join(file.read().split())


class InsideALoop(Case):
    """The commands that the agent instructions recommend, run by a loop as its fix."""

    def test_agent_instructions(self) -> None:
        inside = [block for block in blocks(AGENT, "sh") if "$OPENLOOP_" in block.text]
        self.assertGreater(len(inside), 1)
        script = os.path.join(self.folder, "fix.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write("".join(["set -eu\n", *(block.text for block in inside)]))
        place = self.workspace()
        os.unlink(place.file("openloop.json"))
        run_openloop("init", place.path, "--project-root", place.project)
        place.configure({"commands": {"play": "false", "fix": f"sh {script}", "verify": "true"}})
        place.run("--max-rounds", "1", exitcode=1)
        self.assertIn((1, "fix", "passed"), place.steps(), place.read("logs/round-0001-fix.log"))
        self.assertIn("# fix in round 1", place.read("logs/round-0001-fix.log"))
        self.assertIn("bot.py", place.read("knowledge/round-1-fix.md"))


class Prompts(Case):
    """The commands of the prompts, each in a line of its own, in their order."""

    def test_every_command(self) -> None:
        words = {"NAME": "work", "AGENT": "claude", "FLEET": "fleet", "TASK": "one"}
        shown = "".join(block.text for block in blocks(PROMPTS, "text"))
        found = [
            re.sub("|".join(words), lambda match: words[match[0]], line)
            for line in re.findall(r"^ +(openloop .*)$", shown, re.MULTILINE)
        ]
        self.assertEqual(len(found), shown.count("openloop "), "a command is not in its own line")
        self.assertGreater(len(found), 15)
        self.make_project()
        for command in found:
            with self.subTest(command):
                if command.startswith("openloop ui"):
                    self.assert_page(shlex.split(command)[1:])
                    continue
                run_openloop(*shlex.split(command)[1:], cwd=self.folder, exitcode=0)
                if command.startswith("openloop init"):
                    self.write(".openloop/work/openloop.json", {**CONFIG, "project_root": "."})

    def make_project(self) -> None:
        """A repository, and a fleet of one task on it."""
        need(shutil.which("git"), "git")
        task = {"name": "one", "project_root": "."}
        fleet = {"version": 1, "config": "loop.json", "isolation": "worktree", "tasks": [task]}
        self.write("fleet.json", fleet)
        commands = {"verify": "test -e landed", "fix": "touch landed"}
        self.write("loop.json", {"version": 1, "commands": commands})
        git = ("git", "-c", "user.name=P", "-c", "user.email=p@localhost")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "begin")):
            subprocess.run([*git, *words], cwd=self.folder, check=True)

    def write(self, name: str, document: object) -> None:
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            json.dump(document, file)

    def assert_page(self, words: list[str]) -> None:
        program = [sys.executable, "-m", "openloop", *words]
        env = environment()
        with subprocess.Popen(program, cwd=self.folder, env=env, stdout=subprocess.PIPE) as page:
            assert page.stdout
            self.assertIn(b"http://127.0.0.1:", page.stdout.readline())
            page.terminate()


class DocumentedCommands(unittest.TestCase):
    """The shell blocks of the documents, in order, after the quick start."""

    def run_document(self, document: str) -> None:
        for block in blocks(document, "sh", "bash"):
            if any(words in block.text for words in (INSTALL, DEMO, CHEAT, CASES, "$OPENLOOP_")):
                continue  # run by other tests
            with self.subTest(block=str(block)):
                alone = "init .openloop/demo" in block.text
                place = untouched() if alone else quick_start()[0]
                code, output = place.run(block)
                self.assertEqual(code, 0, output)

    def test_every_document(self) -> None:
        """But the set-up for contributors, which is what runs this test, and the examples, which
        have tests of their own."""
        for document in DOCUMENTS:
            if document != CONTRIBUTING and not document.startswith("examples/"):
                self.run_document(document)


class QuickStart(unittest.TestCase):
    """Word for word, in a new virtual environment."""

    def test_it_installs_and_runs(self) -> None:
        copy, missing = quick_start()
        with open(os.path.join(copy.checkout, ".openloop/demo/heartbeat.json"), "rb") as file:
            self.assertEqual(json.load(file)["status"], "complete")
        need(not missing, missing)


if __name__ == "__main__":
    unittest.main()
