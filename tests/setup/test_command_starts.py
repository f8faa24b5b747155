"""What a shell command starts first: certain, or not reported at all."""

import unittest

from openloop.config.shell_commands import simple_commands
from openloop.setup.command_starts import bare_command, opening_commands, scripts, without_wrappers

SCRIPTS = {  # a command: the scripts that are read before it could have written them
    "sh agent.sh {prompt_file}": "agent.sh",
    "bash ./x.sh": "./x.sh",
    "/bin/bash -x x.sh": "x.sh",
    "bash -euo pipefail x.sh a": "x.sh",
    "bash --norc -- x.sh": "x.sh",
    "python3 -u -W ignore agent.py": "agent.py",
    ".venv/bin/python3.12 -X dev a.py": "a.py",
    "node --enable-source-maps --max-old-space-size=99 -r ./hook a.js": "a.js",
    "perl -w a.pl": "a.pl",
    "sh ~/agents/repair.sh": "~/agents/repair.sh",
    "sh '~/x.sh'": "./~/x.sh",
    "sh 'agent one.sh'": "agent one.sh",
    r"sh agent\ one.sh": "agent one.sh",
    "A=1 env B=2 nice -n 10 timeout -k 5 60 sh x.sh > log 2>&1": "x.sh",
    "exec > log sh x.sh": "x.sh",
    "set -e; export A=1\nsh x.sh": "x.sh",
    "cat {prompt_file} | python3 a.py | sh b.sh": "a.py b.sh",
    ". .venv/bin/activate && pytest": ".venv/bin/activate",
    "sh x.sh; sh y.sh": "x.sh",
}
UNKNOWN = (
    "sh -c 'sh x.sh'",
    "bash -lc x.sh",
    "sh -s x.sh",
    "sh < x.sh",
    "sh - x.sh",
    "sh <<E\nx\nE",
    "sh $HOME/x.sh",
    'sh "$(find . -name x.sh)"',
    "sh {workspace}/x.sh",
    "sh *.sh",
    "python3 -m agent",
    "python3 -um agent",
    "python3 -c x.py",
    "python3 - x.py",
    "node -e 1 x.js",
    "node --test x.js",
    "node inspect x.js",
    "perl -e 1 x.pl",
    ". activate",
    "cd sub && sh x.sh",
    "env -C sub sh x.sh",
    "make && sh x.sh",
    "git clone a b; sh b/x.sh",
    "echo echo > x.sh; sh x.sh",
    "test -e x.sh && sh x.sh",
    "[ -e x.sh ] && sh x.sh",
    "if true; then sh x.sh; fi",
    "for i in 1 2; do sh x.sh; done",
    "(sh x.sh)",
    "sh x.sh || true",
    "a || sh x.sh",
    "sh 'open",
    "agent --file x.sh",
    "",
)


class Starts(unittest.TestCase):
    def test_the_script_of_an_interpreter(self):
        for command, expected in SCRIPTS.items():
            with self.subTest(command):
                found = [path for _, path in scripts(command)]
                self.assertEqual(expected, " ".join(found))

    def test_nothing_is_reported_where_it_is_unknown(self):
        for command in UNKNOWN:
            with self.subTest(command):
                self.assertEqual([], scripts(command))

    def test_wrappers_and_their_options_are_left_out(self):
        for command, expected in {
            "env -u A B=1 make all": "make all",
            "nice -n 10 make": "make",
            "timeout --signal=KILL -k 5 60 make": "make",
            "time -p make": "-p make",  # a word of the shell's own
            "nohup command -p make": "make",
            "make env": "make env",
            "exec": "",
        }.items():
            with self.subTest(command):
                inner = without_wrappers(simple_commands(command)[0])
                assert inner is not None
                self.assertEqual(expected, inner.line)
        for command in ("env -C sub make", "env --chdir=sub make", "env -S 'a b'", "command -v a"):
            with self.subTest(command):
                self.assertIsNone(without_wrappers(simple_commands(command)[0]))

    def test_the_bare_command_is_the_program_with_its_subcommand(self):
        for command, expected in {
            "npm test --silent": "npm test",
            "PYTHONPATH=src python3 -m unittest discover -s tests": "python3 -m unittest",
            "cd x && cmake -B build && ctest --test-dir build": "ctest",
            "pytest -q; code=$?; exit $code": "pytest",
            "go test ./...": "go test",
            "echo 'not parsed": "",
            "echo done": "",
        }.items():
            with self.subTest(command):
                self.assertEqual(expected, bare_command(command))

    def test_the_opening_commands_end_with_the_first_that_could_write(self):
        for command, expected in {
            "set -e; cat a | b; c": "set cat b",
            "a; b": "a",
            "a && b": "a",
            "cd x && a && b": "cd a",
            "if a; then b; fi": "",
        }.items():
            with self.subTest(command):
                self.assertEqual(expected, " ".join(one.name for one in opening_commands(command)))
