"""Every command in every kind of place: a narrow terminal, an old locale, a closed pipe."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from openloop.core.text import fit
from support import PATIENCE, SRC, Case, Workspace, environment, run_openloop
from views.test_views import in_a_terminal

# Words after `openloop`, W for the workspace, and the exit code that they end with.
COMMANDS = (
    ("--help", 0),
    ("--version", 0),
    ("init --help", 0),
    ("init W", 2),  # it is there already
    ("doctor W", 0),
    ("run W --max-rounds 1", 0),
    ("run W --quiet", 0),
    ("run W --json", 0),
    ("status W", 0),
    ("status W --json", 0),
    ("status W --watch", 0),
    ("logs W", 0),
    ("logs W --follow", 0),
    ("report W", 0),
    ("report W --format md", 0),
    ("report W --format json", 0),
    ("report W --format junit", 0),
    ("audit W", 0),
    ("completion bash", 0),
    ("completion zsh", 0),
    ("completion fish", 0),
    ("help", 0),
    ("help environment", 0),
    ("help exit-codes", 0),
    ("help environment", 0),
    ("lunch", 2),
)
LOG = "Straße 猫 \x1b[31mred\x1b[0m\n"
UTF8 = ("logs", "report")  # bytes of a log, and documents that name their encoding

_folders: list[str] = []


def tearDownModule() -> None:
    place.cache_clear()
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


# OpenLoop in its own interpreter, which takes no encoding from a variable.
ASCII = (
    "import sys; sys.path.append(sys.argv.pop(1)); from openloop.cli import main; sys.exit(main())"
)


@functools.cache
def place() -> Workspace:
    """A workspace whose every word needs more than ASCII, with a run behind it."""
    _folders.append(os.path.realpath(tempfile.mkdtemp(prefix="openloop-test-")))
    made = Workspace(
        _folders[-1],
        {
            "mission": "Straße 猫 ☕: für alle",
            "commands": {"verify": f"printf '%b' '{LOG}'", "play": "echo 猫"},
            "baseline": {
                "command": "echo 猫=1",
                "regex": "猫=(.)",
                "value": 1,
                "metric_name": "猫",
            },
        },
    )
    made.run()
    return made


def words_of(line: str) -> list[str]:
    return [place().path if word == "W" else word for word in line.split()]


def program(line: str) -> list[str]:
    return [sys.executable, "-m", "openloop", *words_of(line)]


class Manners(Case):
    def each(self, check) -> None:  # type: ignore[no-untyped-def]
        """Run check(line, code) for every command, those that run the loop one after another."""
        place()
        alone = [row for row in COMMANDS if row[0].startswith("run ")]
        others = [row for row in COMMANDS if row not in alone]
        for line, code in alone:
            with self.subTest(line):
                check(line, code)
        with ThreadPoolExecutor(2) as pool:
            for (line, _), done in zip(
                others, [pool.submit(check, *row) for row in others], strict=True
            ):
                with self.subTest(line):
                    done.result()

    def test_an_old_locale_and_a_narrow_page(self) -> None:
        env = environment(LC_ALL="C", COLUMNS="40")

        def check(line: str, code: int) -> None:
            words = [sys.executable, "-I", "-S", "-X", "utf8=0", "-c", ASCII, SRC, *words_of(line)]
            done = subprocess.run(words, env=env, capture_output=True, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertNotIn(b"Traceback", done.stderr)
            done.stdout.decode("utf-8" if line.startswith(UTF8) else "ascii")
            done.stderr.decode("ascii")
            if line.startswith("help "):
                widest = max(map(len, done.stdout.decode().splitlines()))
                self.assertLessEqual(widest, 40)

        self.each(check)

    def test_a_reader_that_has_gone(self) -> None:
        """No word of it on stderr, and the exit code of a loop is its own."""

        def check(line: str, code: int) -> None:
            reader, writer = os.pipe()
            os.close(reader)
            with open(writer, "wb") as gone:
                done = subprocess.run(
                    program(line),
                    env=environment(),
                    stdout=gone,
                    stderr=subprocess.PIPE,
                    timeout=PATIENCE,
                    check=False,
                )
            err = done.stderr.decode()
            self.assertEqual(done.returncode, code, err)
            self.assertNotRegex(err, "Traceback|BrokenPipe|Exception ignored")

        self.each(check)

    def test_no_color_on_a_narrow_terminal(self) -> None:
        def check(line: str, code: int) -> None:
            found, written = in_a_terminal(*words_of(line), NO_COLOR="1", COLUMNS="40")
            self.assertEqual(found, code, written)
            self.assertNotRegex(written, r"\x1b\[[0-9;]*m")
            for live in re.findall(r"(?:\x1b\[2K|^)([^\r\n]*)(?=\r\x1b\[2K)", written):
                self.assertLess(len(live), 40)

        self.each(check)


class Planted(Case):
    """Files of a project that are called like modules are not taken for ours."""

    def test_python_m_openloop(self) -> None:
        for name in ("argparse", "json", "hashlib", "shutil"):
            with open(f"{self.folder}/{name}.py", "w", encoding="utf-8") as file:
                file.write("print('planted')\nraise SystemExit(0)\n")
        made = self.workspace(commands={"verify": "true"})
        for code, *words in ((0, "run"), (0, "status"), (0, "report", "--format", "json")):
            done = run_openloop(*words, made.path, cwd=self.folder, exitcode=code)
            self.assertNotIn("planted", done.out)
            self.assertIn("complete", done.out)

    def test_doctor_warns_of_a_gate_that_runs_it_as_a_module(self) -> None:
        for command, count in (("python3 -m openloop", 1), ("python3 -P -m openloop", 0)):
            made = self.workspace(command, commands={"verify": f"{command} judge c -- true"})
            output = run_openloop("doctor", made.path, exitcode=0).out
            self.assertEqual(count, output.count("in the project that is called openloop"), output)


class Nowhere(Case):
    def test_the_current_directory_is_gone(self) -> None:
        gone = os.path.join(self.folder, "gone")
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
            file.write('{"stdout": ""}\n')
        cases = file.name
        self.addCleanup(os.unlink, cases)
        script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
        for line in ("status w", "run w", "init w", "audit w", f"judge {cases} -- true"):
            words = ["/bin/sh", "-c", script, gone, sys.executable, "-m", "openloop", *line.split()]
            env = environment(TMPDIR=self.folder)
            done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
            with self.subTest(line):
                self.assertEqual([], os.listdir(self.folder))
                self.assertEqual(2, done.returncode, done.stderr)
                self.assertIn("error: the current directory has been removed\n", done.stderr)


class Columns(unittest.TestCase):
    def test_fit(self) -> None:
        for text, columns, shown in (
            ("plain", 9, "plain"),
            ("plain", 3, "pla"),
            ("猫猫猫", 5, "猫猫"),
            ("猫猫猫", 6, "猫猫猫"),
            ("e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"),
            ("é", 0, ""),
        ):
            self.assertEqual(fit(text, columns), shown)


if __name__ == "__main__":
    unittest.main()
