"""What is proposed for real projects, held against what a person decided who read them.

Each file of tests/corpus/projects is one project as a listing: some of its file names, and of the
few files that are read the facts that are looked for (sections, targets, scripts). `verify` and
`scan` hold the commands that are right there, `allow` files that a change must be able to repair,
`protect` files that decide whether verify passes, some of them not there yet. A listing with
the text of a .gitignore is written as a repository.

    PYTHONPATH=src:tests python -m setup.test_real_projects        prints the table
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from collections.abc import Iterator
from typing import Any

from openloop.config.globs import Globs
from openloop.core.vocabulary import Step
from openloop.setup.detection.detect import Detection, detect
from openloop.setup.findings import REPLACE_ME
from support import Case as TestCase
from support import Workspace, by_round, run_openloop

SLOW = True  # left out by scripts/run_tests.sh --quick

FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "corpus", "projects")
KINDS = ("verify", "scan", "play", "allow", "protect", "no hole")
# Names that say that a file is no source, independently of the rules that are tested.
STEERS = re.compile(
    r"(^|/)(__)?(tests?|specs?|testdata|fixtures|snapshots)(__)?/|(^|/)(package\.json|pyproject\.toml|conftest\.py|tox\.ini"
    r"|setup\.(py|cfg)|Makefile|CMakeLists\.txt|meson\.build|pom\.xml|Cargo\.toml|build\.rs|go\.mod"
    r"|Gemfile|Rakefile|composer\.json|[^/]*\.(gradle(\.kts)?|csproj|sln|config\.[cm]?[jt]s))$"
    r"|[._-](test|spec|test-d|tst)\.[a-z]+$|(^|/)test(s|_[^/]*)?\.(py|[cm]?[jt]s|c|rs|go)$"
)


NODE_MODULES = "node_modules"
LATER = f"{NODE_MODULES}/\n"
MOCHA = {  # a test program whose result any of its files decides
    "mocha/package.json": "main='grep -q x src/x.js'",
    "mocha/mocha.sh": f". {NODE_MODULES}/mocha/package.json\n"
    f"nearest=src/{NODE_MODULES}/yargs.sh\n"
    f"test -e $nearest && . $nearest\n. {NODE_MODULES}/yargs/index.sh\n$main\n",
    "yargs/index.sh": "true\n",
}


class Case:
    """One project of the corpus, and what is proposed for it."""

    def __init__(self, name: str) -> None:
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            self.right: dict[str, Any] = json.load(file)
        self.name: str = self.right["project"]
        self.paths = [
            f"{folder}/{name}".lstrip("/")
            for folder, names in self.right["files"].items()
            for name in (names.split(" ") if isinstance(names, str) else names)
        ]
        with tempfile.TemporaryDirectory(prefix="openloop-corpus-") as root:
            self.write(root)
            self.found: Detection = detect(root)
        self._protect, self._allow = Globs(self.found.protect), Globs(self.found.allow)

    def write(self, root: str) -> None:
        """Create the listed files below `root`."""
        if ".gitignore" in self.right["texts"]:
            subprocess.run(["git", "init", "-q", root], check=True)
        for path in self.paths:
            place = os.path.join(root, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="utf-8") as file:
                file.write(self.right["texts"].get(path, ""))

    def may_change(self, path: str) -> bool:
        return self._allow.matches(path.encode()) and not self.is_protected(path)

    def is_protected(self, path: str) -> bool:
        return self._protect.matches(path.encode())

    def faults(self) -> Iterator[tuple[str, str]]:
        """(kind, what is wrong)."""
        verify = self.found.commands[Step.VERIFY]
        if verify not in (self.right["verify"] or [REPLACE_ME]):
            yield "verify", f"{verify!r} instead of {self.right['verify']}"
        scan = self.found.commands.get(Step.SCAN)
        if scan not in (self.right["scan"] or [None]):
            yield "scan", f"{scan!r} instead of {self.right['scan']}"
        if Step.PLAY in self.found.commands:
            yield "play", "something is proposed"
        for path in self.right["allow"]:
            if not self.may_change(path):
                yield "allow", f"{path} cannot be repaired"
        if not self.right["verify"]:
            return
        for path in self.right["protect"]:
            if not self.is_protected(path):
                yield "protect", f"{path} is not protected"
        repaired = {os.path.dirname(path) for path in self.right["allow"]}
        for folder in repaired if "package.json" in self.paths else ():
            nearest = os.path.join(folder, NODE_MODULES, "x/index.js")  # Node looks there first
            if not self.is_protected(nearest):
                yield "no hole", f"{nearest} may be created"
        for folder in repaired if "python" in verify else ():
            plugin = os.path.join(folder, "x.dist-info/entry_points.txt")  # of pytest, for example
            if self.may_change(plugin):
                yield "no hole", f"{plugin} may be created"
        for path in self.paths:
            in_sources = os.path.dirname(path) in repaired and path not in self.right["protect"]
            if self.may_change(path) and STEERS.search(path) and not in_sources:
                yield "no hole", f"{path} may be changed"


@functools.cache
def cases() -> tuple[Case, ...]:
    return tuple(Case(name) for name in sorted(os.listdir(FOLDER)))


def table() -> str:
    """How many projects are right in each kind, and what is wrong with the others."""
    faults = [(case.name, *fault) for case in cases() for fault in case.faults()]
    wrong = {kind: {name for name, of, _ in faults if of == kind} for kind in KINDS}
    rows = [f"{kind:<8} {len(cases()) - len(wrong[kind])} of {len(cases())}" for kind in KINDS]
    return "\n".join([*rows, *(": ".join(fault) for fault in faults)])


class RealProjects(unittest.TestCase):
    def test_everything_that_is_proposed_is_right(self) -> None:
        self.assertGreaterEqual(len(cases()), 30)
        self.assertEqual([], [fault for case in cases() for fault in case.faults()], table())

    def test_the_listings_are_small_and_say_why(self) -> None:
        for name in os.listdir(FOLDER):
            self.assertLess(os.path.getsize(os.path.join(FOLDER, name)), 10_000, name)
        for case in cases():
            with self.subTest(case.name):
                self.assertTrue(case.right["why"])
                self.assertLessEqual(set(case.right["texts"]), set(case.paths))


class Runs(TestCase):
    """A run under the proposed policy, with a gate in place of the project's that every file which
    steers the project's gates can deceive."""

    PROJECTS = ("attrs", "node-fs-extra", "cjson", "rbenv")

    def test_a_cheat_is_undone_and_an_honest_repair_completes(self) -> None:
        for name in self.PROJECTS:
            with self.subTest(name):
                case = Case(f"{name}.json")
                place = self.workspace(name)
                case.write(place.project)
                run_openloop("init", os.path.join(place.project, ".openloop", "main"))
                with open(place.project_file(".openloop/main/openloop.json")) as file:
                    policy = json.load(file)["policy"]
                deciding, source = case.right["protect"], case.right["allow"][0]
                folders = {os.path.dirname(path) or "." for path in deciding}
                cheat = f"mkdir -p {shlex.join(folders)}; printf pass | tee {shlex.join(deciding)}"
                repair = f"printf pass >{shlex.quote(source)}"
                gate = "grep -qrx --exclude-dir=.openloop pass . && echo passed"
                commands = {"verify": gate, "fix": by_round("true", cheat, repair)}
                place.configure(
                    {"total_rounds": 4, "policy": policy, "commands": {"scan": gate, **commands}}
                )
                ended = place.run()
                outcomes = [outcome for _, step, outcome in place.steps() if step == "fix"]
                self.assertEqual(["passed", "policy", "passed"], outcomes, ended.err)
                self.assertEqual("complete", place.artifact(3)["decision"], ended.err)

    def test_reports_of_the_tests_that_git_does_not_ignore_block_no_repair(self) -> None:
        place = self.workspace("reports")
        subprocess.run(["git", "init", "-q", place.project], check=True)
        files = {
            "package.json": '{"scripts": {"test": "c8 node --test"}}',
            "src/x.js": "",
            "test/x.test.js": "",
        }
        write(place, files)
        found = detect(place.project)
        report = "mkdir -p coverage; date +%N >coverage/lcov.info"
        place.configure(
            {
                "total_rounds": 3,
                "policy": {"protect": found.protect, "allow": found.allow},
                "commands": {
                    "verify": f"{report}; grep -q pass src/x.js",
                    "fix": f"{report}; echo pass >src/x.js",
                },
            }
        )
        place.run()
        steps = [(2, "fix", "passed"), (2, "verify", "passed")]
        self.assertEqual([(1, "verify", "failed"), *steps], place.steps())

    def test_caches_that_the_tests_write_beside_dependencies_block_no_repair(self) -> None:
        for exception in ("!node_modules/.vite", "!**/node_modules/.vite/"):
            place = self.workspace(f"caches{exception.count('/')}")
            files = {
                "package.json": '{"scripts": {"test": "vitest run"}}',
                "src/x.js": "",
                "node_modules/vitest/vitest.mjs": "",
            }
            write(place, files)
            found = detect(place.project)
            self.assertIn("!**/node_modules/.vite", found.protect)
            protect = [exception if glob.endswith(".vite") else glob for glob in found.protect]
            results = "node_modules/.vite/vitest/results.json"
            cache = f"mkdir -p node_modules/.vite/vitest; date +%N >{results}"
            place.configure(
                {
                    "total_rounds": 2,
                    "policy": {"protect": protect, "allow": found.allow},
                    "commands": {
                        "verify": f"{cache}; grep -q pass src/x.js",
                        "fix": "echo pass >src/x.js",
                    },
                }
            )
            place.run()
            steps = [(2, "fix", "passed"), (2, "verify", "passed")]
            self.assertEqual([(1, "verify", "failed"), *steps], place.steps())

    def test_dependencies_that_are_installed_after_init_are_protected(self) -> None:
        place = self.workspace("later")
        subprocess.run(["git", "init", "-q", place.project], check=True)
        write(place, {"package.json": '{"scripts": {"test": "mocha"}}', ".gitignore": LATER})
        write(place, {"src/x.js": "", "test/x.js": "x"})
        run_openloop("init", os.path.join(place.project, ".openloop", "main"))
        with open(place.project_file(".openloop/main/openloop.json"), encoding="utf-8") as file:
            policy = json.load(file)["policy"]
        write(place, {f"{NODE_MODULES}/{name}": text for name, text in MOCHA.items()})
        os.mkdir(place.project_file(f"{NODE_MODULES}/.bin"))
        os.symlink("../mocha/mocha.sh", place.project_file(f"{NODE_MODULES}/.bin/mocha"))
        cheats = [
            f"echo exit 0 >{NODE_MODULES}/mocha/mocha.sh",
            f"echo exit 0 >x; mv x {NODE_MODULES}/.bin/mocha",
            f"echo exit 0 >{NODE_MODULES}/yargs/index.sh",
            f"echo main=true >{NODE_MODULES}/mocha/package.json",
            f"mkdir src/{NODE_MODULES}; echo exit 0 >src/{NODE_MODULES}/yargs.sh",
        ]
        verify = f"sh {NODE_MODULES}/.bin/mocha"
        place.configure(
            {
                "total_rounds": 7,
                "limits": {"max_consecutive_failures": 7},
                "policy": policy,
                "commands": {
                    "verify": verify,
                    "fix": by_round("true", *cheats, "echo x >src/x.js"),
                },
            }
        )
        ended = place.run()
        outcomes = [outcome for _, step, outcome in place.steps() if step == "fix"]
        self.assertEqual(["policy"] * 5 + ["passed"], outcomes, ended.err)
        self.assertEqual("complete", place.artifact(7)["decision"], ended.err)

    def test_settings_that_git_ignores_and_a_change_creates_are_removed(self) -> None:
        for name, planted in (("axios", ".npmrc"), ("guzzle", "phpunit.xml")):
            with self.subTest(name):
                case = Case(f"{name}.json")
                place = self.workspace(name)
                case.write(place.project)
                policy = {"protect": case.found.protect, "allow": case.found.allow}
                verify, cheat = f"grep -qs pass {planted}", f"echo pass >{planted}"
                commands = {"verify": verify, "fix": cheat}
                place.configure({"total_rounds": 2, "policy": policy, "commands": commands})
                place.run(exitcode=1)
                steps = [(2, "fix", "policy"), (2, "verify", "failed")]
                self.assertEqual([(1, "verify", "failed"), *steps], place.steps())


def write(place: Workspace, files: dict[str, str]) -> None:
    """Create files of the project."""
    for name, text in files.items():
        os.makedirs(os.path.dirname(place.project_file(name)), exist_ok=True)
        with open(place.project_file(name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    print(table())
