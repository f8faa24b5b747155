"""What is proposed for real little projects, and whether the proposals prove anything when run."""

import json
import os
import re
import subprocess
import tempfile
import time
import unittest
from dataclasses import dataclass, field

from openloop.config import config
from openloop.core.vocabulary import Step
from openloop.setup.detection.detect import Detection, detect
from openloop.setup.detection.project_listing import FILE_BYTES, FILES_READ
from openloop.setup.findings import REPLACE_ME
from support import environment, need

CASE = """import unittest
class Tests(unittest.TestCase):
    def test_it(self):
        self.assertEqual(1 + 1, {answer})
"""
UNITTEST = CASE.format(answer=2)
FUNCTION = "def test_it():\n    assert 1 + 1 == 2\n"
MAIN = "if __name__ == '__main__':\n    print('hello')\n"
DJANGO = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n"


def package(**scripts):
    return json.dumps({"name": "x", "scripts": scripts})


@dataclass(frozen=True)
class Tree:
    """A project and what must be proposed; None: the step must be absent; remarks: regexes."""

    name: str
    files: dict
    verify: str
    scan: str | None = None
    play: str | None = None
    remarks: tuple = ()
    protect: tuple = ()
    allow: tuple = ()
    unsaid: tuple = field(default=())


TREES = (
    Tree("empty", {}, REPLACE_ME, remarks=("No test command was found",)),
    Tree(
        "dependencies that are not installed",
        {"package.json": '{"scripts": {"test": "mocha"}, "devDependencies": {"mocha": "1"}}'},
        "npm test --silent",
        remarks=("node_modules is missing: install",),
        protect=("node_modules/*",),
    ),
    Tree(
        "dependencies that are installed",
        {
            "package.json": '{"scripts": {"test": "mocha"}, "devDependencies": {"mocha": "1"}}',
            "node_modules/.bin/mocha": "",
        },
        "npm test --silent",
        unsaid=("node_modules is missing",),
    ),
    Tree(
        "nx passes tests from a cache that git ignores",
        {
            "package.json": '{"scripts": {"test": "nx run-many --targets=test"}, '
            '"devDependencies": {"nx": "1"}}',
            "nx.json": "{}",
        },
        "NX_SKIP_NX_CACHE=true npm test --silent",
        remarks=("node_modules is missing: install",),
    ),
    Tree(
        "turbo passes tests and lint from a cache that git ignores",
        {"package.json": package(test="turbo run test", lint="turbo lint"), "turbo.json": "{}"},
        "TURBO_FORCE=true npm test --silent",
        "TURBO_FORCE=true npm run --silent lint",
    ),
    Tree(
        "no dependencies: npm runs whatever node_modules/.bin/node is",
        {"package.json": '{"scripts": {"test": "node --test"}}', "src/x.js": ""},
        "npm test --silent",
        protect=("node_modules/*", "src/**/node_modules/*", "!**/node_modules/.cache"),
        unsaid=("node_modules is missing",),
    ),
    Tree("only a readme", {"README.md": "# x"}, REPLACE_ME),
    Tree(
        "pytest by pyproject",
        {"pyproject.toml": "[tool.pytest.ini_options]\n", "x.py": "", "tests/test_x.py": FUNCTION},
        "python3 -m pytest -q",
        remarks=("pyproject.toml configures pytest", "must be installed"),
        protect=("tests/**",),
        allow=("/x.py",),
    ),
    Tree(
        "pytest by pytest.ini, whatever it holds",
        {"pytest.ini": "", "test_x.py": UNITTEST},
        "python3 -m pytest -q",
        protect=("/test[_-]*.[!bgsz]*",),
    ),
    Tree(
        "pytest by setup.cfg",
        {"setup.cfg": "[metadata]\n[tool:pytest]\n", "setup.py": "", "x/__init__.py": ""},
        "python3 -m pytest -q",
        allow=("x/**",),
    ),
    Tree(
        "pytest by conftest",
        {"tests/conftest.py": "", "tests/test_x.py": UNITTEST, "src/x/__init__.py": ""},
        "PYTHONPATH=src python3 -m pytest -q",
        remarks=("tests/conftest.py is pytest's",),
        protect=(
            "tests/**",
            "src/**/conftest.py",
            "src/**/????customize",
            "src/**/????customize.*",
        ),
        allow=("src/**",),
    ),
    Tree(
        "pytest with a path of its own",
        {
            "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\n',
            "src/x/__init__.py": "",
        },
        "python3 -m pytest -q",
    ),
    Tree(
        "pytest by import",
        {"x.py": "", "test_x.py": "import pytest\nclass Test:\n    def test_it(self): pass\n"},
        "python3 -m pytest -q",
        remarks=("test_x.py imports pytest",),
    ),
    Tree(
        "plain test functions",
        {"x.py": "", "x_test.py": FUNCTION},
        "python3 -m pytest -q",
        protect=("/*[_-]test.[!bsz]*",),
    ),
    Tree(
        "linters that the project configures",
        {
            "pyproject.toml": "[tool.ruff]\nline-length = 100\n[tool.mypy]\nstrict = true\n",
            "src/x/__init__.py": "",
            "tests/test_x.py": UNITTEST,
        },
        "PYTHONPATH=src python3 -m unittest discover -s tests -p 'test_*.py'",
        "ruff check --no-cache --no-fix .",
    ),
    Tree(
        "a linter of the project's environment, and one that is not installed there",
        {
            "pyproject.toml": "[tool.ruff]\nfix = true\n",
            ".flake8": "[flake8]\n",
            ".venv/bin/python": "",
            ".venv/bin/ruff": "",
            "tests/test_x.py": UNITTEST,
        },
        ".venv/bin/python -m unittest discover -s tests -p 'test_*.py'",
        ".venv/bin/ruff check --no-cache --no-fix . && flake8",
    ),
    Tree(
        "Django",
        {
            "manage.py": DJANGO,
            "shop/__init__.py": "",
            "shop/tests.py": "from django.test import TestCase\nclass T(TestCase):\n"
            "    def test_it(self): pass\n",
        },
        "python3 manage.py test",
        "python3 manage.py check",
    ),
    Tree(
        "Python without tests",
        {"pyproject.toml": "[project]\nname = 'x'\n", "x/__init__.py": "", "x/__main__.py": "1\n"},
        REPLACE_ME,
        remarks=("no tests were seen", "verify is often"),
    ),
    Tree(
        "Django's stub is no test",
        {"manage.py": DJANGO, "shop/tests.py": "from django.test import TestCase\n# Create your\n"},
        REPLACE_ME,
        "python3 manage.py check",
    ),
    Tree(
        "npm",
        {
            "package.json": package(test="jest", lint="eslint ."),
            "src/a.test.js": "",
            "src/a.js": "",
        },
        "npm test --silent",
        "npm run --silent lint",
        protect=("src/**/*.test.*", "/package.json"),
        allow=("src/**",),
    ),
    Tree(
        "npm's stub is no test",
        {"package.json": package(test='echo "Error: no test specified" && exit 1', build="tsc")},
        REPLACE_ME,
        remarks=("no test script",),
    ),
    Tree(
        "yarn",
        {"package.json": package(test="mocha", lint="x", typecheck="tsc"), "yarn.lock": ""},
        "yarn run test",
        "yarn run lint && yarn run typecheck",
    ),
    Tree(
        "pnpm",
        {"package.json": package(test="vitest", start="vite"), "pnpm-lock.yaml": ""},
        "CI=true pnpm run test",
        play="openloop browse {workspace}/play.json",
    ),
    Tree("bun", {"package.json": package(test="bun test"), "bun.lockb": ""}, "bun run test"),
    Tree(
        "broken package.json",
        {"package.json": '{"scripts": {"test": "jest"'},
        REPLACE_ME,
        remarks=("not a JSON object",),
    ),
    Tree(
        "package.json is a list", {"package.json": "[]"}, REPLACE_ME, remarks=("not a JSON object",)
    ),
    Tree("scripts is a number", {"package.json": '{"scripts": 3}'}, REPLACE_ME),
    Tree("deep package.json", {"package.json": "[" * 60_000}, REPLACE_ME),
    Tree(
        "make",
        {"Makefile": "CC := cc\ntest: all\n\t./run\nlint check:\n\ttrue\n", "src/x.c": ""},
        "make -B test",
        "make lint",
        remarks=("Makefile is there: verify is `make -B test`",),
        allow=("src/**",),
    ),
    Tree("make check", {"GNUmakefile": ".PHONY: check\ncheck:\n\ttrue\n"}, "make check"),
    Tree(
        "make lint alone",
        {"makefile": "lint:\n\ttrue\n"},
        REPLACE_ME,
        "make lint",
        remarks=("no target for tests was seen",),
    ),
    Tree(
        "the makefile that make reads",
        {"GNUmakefile": "all:\n\ttrue\n", "Makefile": "test:\n\ttrue\n"},
        REPLACE_ME,
    ),
    Tree("a make variable is no target", {"Makefile": "test := 1\nbuild:\n\ttrue\n"}, REPLACE_ME),
    Tree(
        "just",
        {"justfile": 'x := "1"\ntest *ARGS:\n  true\n@lint:\n  true\n'},
        "just test",
        "just lint",
    ),
    Tree(
        "Rust",
        {"Cargo.toml": "[package]\n", "src/lib.rs": "#[cfg(test)]\nmod tests {}\n"},
        "cargo test",
        allow=("src/**",),
    ),
    Tree(
        "Rust workspace with clippy",
        {"Cargo.toml": "[workspace]\n", "clippy.toml": "", "crates/a/tests/a.rs": "#[tokio::test]"},
        "cargo test --workspace",
        "cargo clippy --all-targets",
        allow=("crates/**",),
    ),
    Tree(
        "Rust without tests",
        {"Cargo.toml": "[package]\n", "src/main.rs": "fn main() {}\n"},
        REPLACE_ME,
        remarks=("Rust: Cargo.toml is there, but no tests were seen",),
    ),
    Tree(
        "Go",
        {"go.mod": "module x\n", "x.go": "", "x_test.go": "func TestX(t *testing.T) {}\n"},
        "go test ./...",
        protect=("/*[_-]test.[!bsz]*", "/go.mod"),
    ),
    Tree("Go without tests", {"go.mod": "module x\n", "x.go": ""}, REPLACE_ME),
    Tree(
        "Gradle",
        {"build.gradle.kts": "", "gradlew": "", "app/src/test/java/XTest.java": ""},
        "./gradlew test",
        protect=("app/**/test/**", "/gradlew"),
    ),
    Tree("Maven", {"pom.xml": "<project/>", "src/test/java/XTest.java": ""}, "mvn -B test"),
    Tree(
        "CMake",
        {"CMakeLists.txt": "project(x C)\ninclude(CTest)\nadd_test(NAME a COMMAND a)\n"},
        "rm -rf build/openloop && cmake -S . -B build/openloop && cmake --build build/openloop"
        " && ctest --test-dir build/openloop --output-on-failure --no-tests=error",
    ),
    Tree(
        "CMake without tests",
        {"CMakeLists.txt": "project(x C)\n"},
        REPLACE_ME,
    ),
    Tree(
        "composer",
        {"composer.json": '{"scripts": {"test": "phpunit"}}', "tests/XTest.php": ""},
        "composer run-script test",
        protect=("tests/**",),
    ),
    Tree(
        "phpunit",
        {"composer.json": "{}", "phpunit.xml.dist": "", "phpstan.neon": "", "tests/XTest.php": ""},
        "vendor/bin/phpunit",
    ),
    Tree(
        "rake",
        {
            "Rakefile": "Rake::TestTask.new\n",
            "Gemfile": "gem 'rubocop'",
            "test/x_test.rb": "",
            ".rubocop.yml": "",
        },
        "bundle exec rake test",
        "bundle exec rubocop",
        protect=("test/**",),
    ),
    Tree("rspec", {"x.gemspec": "", "spec/x_spec.rb": ""}, "rspec", protect=("spec/**",)),
    Tree(
        "mix",
        {"mix.exs": "", "lib/x.ex": "", "test/x_test.exs": ""},
        "mix test",
        allow=("lib/**",),
    ),
    Tree(
        "dotnet",
        {
            "x.sln": "",
            "x.Tests/x.Tests.csproj": '<PackageReference Include="Microsoft.NET.Test.Sdk" />',
        },
        "dotnet test",
    ),
    Tree("dotnet without tests", {"x.csproj": "<Project/>"}, REPLACE_ME),
    Tree("tox", {"tox.ini": "[testenv]\ncommands = true\n"}, "tox"),
    Tree("nox", {"noxfile.py": "import nox\n"}, "nox"),
    Tree(
        "several",
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "x.py": "",
            "package.json": package(test="jest"),
            "Makefile": "test:\n\ttrue\n",
        },
        "python3 -m pytest -q",
        remarks=("not used, but could be.*npm test", "not used, but could be.*make test"),
    ),
    Tree(
        "a script in Python does not hide the project",
        {"scripts/release.py": "", "package.json": package(test="jest", lint="x")},
        "npm test --silent",
        "npm run --silent lint",
    ),
    Tree(
        "the project is further down",
        {"web/package.json": package(test="jest"), "README": ""},
        REPLACE_ME,
        remarks=(r"web/package\.json was seen below the root",),
    ),
    Tree(
        "not the project's own tests",
        {
            "node_modules/x/test_a.py": FUNCTION,
            ".venv/lib/test_b.py": FUNCTION,
            ".openloop/demo/test_c.py": FUNCTION,
            ".git/hooks/test_d.py": FUNCTION,
        },
        REPLACE_ME,
    ),
)


LAYOUTS = {
    "flat": {"x.py": "", "test_x.py": UNITTEST},
    "folder": {"x.py": "", "tests/test_x.py": "import x\n" + UNITTEST},
    "package": {
        "x.py": "",
        "tests/__init__.py": "",
        "tests/test_x.py": "import x\n" + UNITTEST,
    },
    "relative imports": {
        "tests/__init__.py": "",
        "tests/base.py": "",
        "tests/test_x.py": "from . import base\n" + UNITTEST,
    },
    "a helper beside the tests": {
        "tests/__init__.py": "",
        "tests/help_me.py": "",
        "tests/test_x.py": "import help_me\n" + UNITTEST,
    },
    "a package of folders": {
        "tests/__init__.py": "",
        "tests/unit/__init__.py": "",
        "tests/unit/test_x.py": "from tests import unit\n" + UNITTEST,
        "tests/deep/__init__.py": "",
        "tests/deep/er/__init__.py": "",
        "tests/deep/er/test_y.py": UNITTEST,
    },
    "folders that are no packages": {
        "tests/unit/test_x.py": UNITTEST,
        "tests/system/test_x.py": UNITTEST,
    },
    "src": {"src/x/__init__.py": "", "tests/test_x.py": "import x\n" + UNITTEST},
    "inside the package": {
        "x/__init__.py": "answer = 2\n",
        "x/tests/__init__.py": "",
        "x/tests/test_x.py": "from .. import answer\n" + UNITTEST,
    },
    "other names": {"x.py": "", "x_test.py": UNITTEST, "y_test.py": UNITTEST},
    "mixed names": {"tests/test_x.py": UNITTEST, "tests/y_test.py": UNITTEST},
    "names to quote": {"my tests/test_x.py": UNITTEST, "it's/test_y.py": UNITTEST},
    "root and elsewhere": {
        "test_x.py": UNITTEST,
        "a/__init__.py": "",
        "a/test_y.py": UNITTEST,
        "b/test_z.py": UNITTEST,
    },
}


class Project(unittest.TestCase):
    """A folder to make projects in."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="openloop-detect-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def make(self, files, root=None):
        root = root or tempfile.mkdtemp(dir=self.root)
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        return root

    def run_in(self, root, command):
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=root,
            env=environment(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=""),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )


class Kinds(Project):
    def test_each_kind_of_project(self):
        for tree in TREES:
            with self.subTest(tree.name):
                found = detect(self.make(tree.files))
                found_text = "\n".join(found.remarks)
                self.assertEqual(found.commands[Step.VERIFY], tree.verify, found_text)
                self.assertEqual(found.commands.get(Step.SCAN), tree.scan, found_text)
                self.assertEqual(found.commands.get(Step.PLAY), tree.play, found_text)
                for pattern in tree.remarks:
                    self.assertRegex(found_text, pattern)
                self.assertLessEqual(set(tree.protect), set(found.protect))
                self.assertLessEqual(set(tree.allow), set(found.allow))

    def test_every_proposal_can_be_configured(self):
        for tree in TREES:
            with self.subTest(tree.name):
                found = detect(self.make(tree.files))
                config.parse(document(found), where="openloop.json")
                for sentence in found.remarks:
                    self.assertRegex(sentence, r"[.?]\Z")
                    self.assertTrue(sentence.isprintable(), sentence)

    def test_a_gate_that_proves_nothing_is_never_proposed(self):
        for tree in TREES:
            with self.subTest(tree.name):
                found = detect(self.make(tree.files))
                self.assertNotIn(found.commands[Step.VERIFY], ("", "true", ":"))

    def test_the_same_answer_twice_and_nothing_changed(self):
        for tree in TREES:
            with self.subTest(tree.name):
                root = self.make(tree.files)
                before = sorted(os.walk(root))
                self.assertEqual(detect(root), detect(root + "/"))
                self.assertEqual(sorted(os.walk(root)), before)


def document(found: Detection) -> bytes:
    """An openloop.json of what was found."""
    whole = {"version": 1, "mission": "m", "project_root": ".", "commands": found.commands}
    if found.allow:
        whole["policy"] = {"protect": found.protect, "allow": found.allow}
    return json.dumps(whole).encode()


class ReplaceMe(Project):
    def test_it_fails_and_says_what_to_do(self):
        done = self.run_in(self.root, detect(self.root).commands[Step.VERIFY])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stdout, "replace me: write the command that proves this project works\n"
        )


class Unittest(Project):
    """The discovery that is proposed must find every test: each layout is really run."""

    def test_every_test_is_run(self):
        for name, files in LAYOUTS.items():
            with self.subTest(name):
                root = self.make(files)
                command = detect(root).commands[Step.VERIFY]
                self.assertIn("unittest discover", command)
                done = self.run_in(root, command)
                self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
                ran = sum(int(count) for count in re.findall(r"^Ran (\d+)", done.stdout, re.M))
                cases = sum(text.count("def test_it") for text in files.values())
                self.assertEqual(ran, cases, f"{command}\n{done.stdout}")

    def test_each_broken_test_is_seen(self):
        for name, files in LAYOUTS.items():
            for path in files:
                if UNITTEST in files[path]:
                    with self.subTest(name, broken=path):
                        broken = files[path].replace(UNITTEST, CASE.format(answer=3))
                        root = self.make({**files, path: broken})
                        done = self.run_in(root, detect(root).commands[Step.VERIFY])
                        self.assertNotEqual(done.returncode, 0, done.stdout)

    def test_none_is_left_out_where_there_are_too_many_to_read(self):
        files = {f"a/test_{number}.py": UNITTEST for number in range(FILES_READ + 5)}
        root = self.make({**files, "b/test_x.py": UNITTEST})
        done = self.run_in(root, detect(root).commands[Step.VERIFY])
        self.assertRegex(done.stdout, rf"Ran {FILES_READ + 5} tests")
        self.assertRegex(done.stdout, "Ran 1 test ")

    def test_too_many_folders_for_one_go(self):
        root = self.make({f"{letter}/test_x.py": UNITTEST for letter in "abcde"})
        self.assertEqual(detect(root).commands[Step.VERIFY], "python3 -m pytest -q")


class RealTools(Project):
    """A few proposals run by the tool itself, where the machine has it."""

    def works(self, tool, files, broken):
        done = self.run_in(self.root, f"command -v {tool}")
        need(done.returncode == 0, tool)
        root = self.make(files)
        command = detect(root).commands[Step.VERIFY]
        done = self.run_in(root, command)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
        self.make(broken, root)
        done = self.run_in(root, command)
        self.assertNotEqual(done.returncode, 0, f"{command}\n{done.stdout}")

    def test_make(self):
        self.works("make", {"Makefile": "test:\n\ttrue\n"}, {"Makefile": "test:\n\tfalse\n"})

    def test_npm(self):
        self.works(
            "npm",
            {"package.json": package(test="node -e 0")},
            {"package.json": package(test="node -e 'process.exit(3)'")},
        )


class Weird(Project):
    def assert_bounded(self, root, seconds=5.0):
        began = time.monotonic()
        found = detect(root)
        self.assertLess(time.monotonic() - began, seconds)
        config.parse(document(found), where="openloop.json")
        return found

    def test_no_such_folder_or_no_folder(self):
        path = os.path.join(self.make({"x.py": ""}), "x.py")
        for root in (os.path.join(self.root, "missing"), path, "a\0b"):
            with self.subTest(root):
                self.assertIn(Step.VERIFY, detect(root).commands)

    def test_ten_thousand_files_do_not_hide_the_project(self):
        root = self.make({"package.json": package(test="jest"), "tests/test_x.py": UNITTEST})
        for number in range(10_000):
            os.mknod(os.path.join(root, f"data-{number:05}.bin"))
        found = self.assert_bounded(root)
        self.assertIn("npm test --silent", "\n".join(found.remarks))
        self.assertIn("files were looked at: the project has more", "\n".join(found.remarks))

    def test_ten_thousand_files_below(self):
        root = self.make({"tests/test_x.py": UNITTEST})
        os.mkdir(os.path.join(root, "data"))
        for number in range(10_000):
            os.mknod(os.path.join(root, "data", f"{number}.py"))
        found = self.assert_bounded(root)
        self.assertIn("unittest discover -s tests", found.commands[Step.VERIFY])

    def test_thousands_of_folders(self):
        root = self.make({"go.mod": "module x\n"})
        for number in range(3000):
            os.makedirs(os.path.join(root, str(number % 100), str(number)))
        found = self.assert_bounded(root)
        # Not all was seen, so tests may be there; go itself says when there are none.
        self.assertEqual(found.commands[Step.VERIFY], "go test ./...")

    def test_a_deep_tree(self):
        deep = os.path.join(self.make({"tests/test_x.py": UNITTEST}), *["d"] * 900)
        os.makedirs(deep)
        self.assert_bounded(deep.partition("/d/")[0])

    def test_symlinks_in_a_circle(self):
        root = self.make({"tests/test_x.py": UNITTEST})
        os.symlink("..", os.path.join(root, "tests", "up"))
        os.symlink("pyproject.toml", os.path.join(root, "pyproject.toml"))
        os.symlink("loop.py", os.path.join(root, "loop.py"))
        os.symlink("/nowhere", os.path.join(root, "package.json"))
        found = self.assert_bounded(root)
        self.assertEqual(
            found.commands[Step.VERIFY], "python3 -m unittest discover -s tests -p 'test_*.py'"
        )

    def test_a_symlinked_file_is_read(self):
        root = self.make({"real.json": package(test="jest")})
        os.symlink("real.json", os.path.join(root, "package.json"))
        self.assertEqual(detect(root).commands[Step.VERIFY], "npm test --silent")

    def test_a_fifo_or_a_folder_where_a_file_should_be(self):
        root = self.make({})
        for name in ("package.json", "pyproject.toml", "Makefile", "benchmark.py", "app.py"):
            os.mkfifo(os.path.join(root, name))
        for name in ("tox.ini", "Cargo.toml", "CMakeLists.txt", "composer.json", "setup.cfg"):
            os.mkdir(os.path.join(root, name))
        self.assertEqual(self.assert_bounded(root).commands[Step.VERIFY], REPLACE_ME)

    def test_names_that_are_no_text(self):
        root = os.fsencode(self.make({"x.py": "", "test_x.py": UNITTEST}))
        names = (
            b"\xff\xfe.py",
            b"test_\xe9.py",
            b"a\nb.py",
            b"\x1b[2J.py",
            b"{round}.py",
            b"-q.py",
        )
        for name in names:
            with open(os.path.join(root, name), "w") as file:
                file.write(UNITTEST)
        os.mkdir(os.path.join(root, b"\xff"))
        found = self.assert_bounded(os.fsdecode(root))
        self.assertIn("unittest discover -s .", found.commands[Step.VERIFY])
        self.assertEqual(found.allow, ["/x.py"])

    def test_names_that_a_shell_would_read(self):
        name = "$(touch hit) `touch hit`; 'x' \"y\".py"
        root = self.make({name: "", "test_x.py": UNITTEST})
        done = self.run_in(root, detect(root).commands[Step.VERIFY])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("hit", os.listdir(root))

    def test_files_that_are_no_text(self):
        junk = bytes(range(256)) * 1000
        root = self.make({"tests/test_x.py": UNITTEST})
        for name in (
            "pyproject.toml",
            "package.json",
            "Makefile",
            "benchmark.py",
            "app.py",
            "y.py",
        ):
            with open(os.path.join(root, name), "wb") as file:
                file.write(junk)
        found = self.assert_bounded(root)
        self.assertIn("unittest discover -s tests", found.commands[Step.VERIFY])

    def test_a_byte_order_mark(self):
        root = self.make({"package.json": "\ufeff" + package(test="jest")})
        self.assertEqual(detect(root).commands[Step.VERIFY], "npm test --silent")

    def test_texts_that_are_hard_to_search(self):
        names = ("Makefile", "justfile", "benchmark.py", "app.py", "test_x.py", "Cargo.toml")
        names += ("composer.json", "CMakeLists.txt", "tox.ini", "x.rs", "Rakefile", "x_test.go")
        names += ("pyproject.toml", "setup.cfg", "manage.py", "go.mod", "package.json")
        for text in (
            "a ",
            "'",
            "'a ",
            " ",
            "\n",
            "test ",
            "test-",
            "'a=b ",
            '"test" ',
            "task ",
            "\\n",
            '"""\\',
            "'''\\' ",
            "`\\",
            'print("',
            "print(' +",
        ):
            for start in ("", "print"):
                with self.subTest(text, start=start):
                    whole = start + text * (FILE_BYTES // len(text))
                    self.assert_bounded(self.make(dict.fromkeys(names, whole)), seconds=2.0)

    def test_a_folder_that_may_not_be_read(self):
        root = self.make({"closed/test_x.py": FUNCTION, "tests/test_x.py": UNITTEST})
        os.chmod(os.path.join(root, "closed"), 0)
        self.addCleanup(os.chmod, os.path.join(root, "closed"), 0o700)
        self.assert_bounded(root)


if __name__ == "__main__":
    unittest.main()
