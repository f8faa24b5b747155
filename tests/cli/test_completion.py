"""`openloop completion`: the scripts, asked in the real shells."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import time
import unittest
from functools import cache

from support import PATIENCE, Case, environment, need, run_openloop
from views.test_views import read_some

# What is typed, what must be among the proposals, and what must not be.
TYPED: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("openloop ", ("init", "run", "status", "logs", "report", "completion", "help"), ("html",)),
    ("openloop re", ("report",), ("run", "init")),
    ("openloop run --", ("--max-rounds", "--json", "--quiet", "--help"), ("--watch",)),
    ("openloop report --f", ("--format",), ("--output",)),
    ("openloop report --format ", ("html", "md", "json", "junit"), ("afile", "run")),
    ("openloop report --format j", ("json", "junit"), ("html",)),
    ("openloop logs --step ", ("play", "scan", "fix", "verify", "baseline", "improve"), ("run",)),
    ("openloop completion ", ("bash", "zsh", "fish"), ("afile",)),
    ("openloop help e", ("exit-codes", "environment"), ("configuration",)),
    ("openloop run a", ("a folder", "another"), ("afile",)),
    ("openloop report a --output a", ("afile", "a folder", "another"), ()),
    ("openloop fleet ", ("run", "status", "land"), ("afile",)),
    ("openloop fleet run ", ("afile", "a folder"), ("status",)),
    ("openloop fleet run --", ("--max-parallel", "--json"), ("--quiet",)),
    ("openloop fleet report f --format ", ("html", "md", "json", "junit"), ("afile", "run")),
    ("openloop init --agent ", ("claude", "codex"), ("afile", "make-faster")),
    ("openloop init --template ", ("make-faster", "repair-test"), ("afile", "claude")),
    ("openloop init --from a", ("afile", "a folder", "another"), ()),
    ("openloop agents c", ("claude", "codex"), ("afile", "aider")),
    ("openloop templates ", ("make-faster", "repair-test"), ("afile", "claude")),
    ("openloop browse --browser a", ("afile", "a folder", "another"), ()),
    ("openloop browse a", ("afile",), ()),
    ("openloop mcp --root a", ("a folder", "another"), ("afile",)),
    ("openloop init --project-root a", ("a folder", "another"), ("afile",)),
)
# A shell reads keys from its prompt on. Set in two parts, so that the echo of the setting is not
# taken for it.
PROMPT = "<ask>"
ASK = "PS1='<a''sk>'"
# Proposals are written to a file, one a line, when zsh's own completion adds them.
RECORD = """
compadd() {
    if [[ " $* " != *' -'[OAD]' '* ]]; then
        local -a proposed
        builtin compadd -A proposed "$@"
        print -l -- $proposed >> $PROPOSED
    fi
    builtin compadd "$@"
}
"""


@cache
def script(shell: str) -> str:
    return run_openloop("completion", shell).out


class Shells(Case):
    def setUp(self) -> None:
        super().setUp()
        self.script = os.path.join(self.folder, "script")
        self.place = os.path.join(self.folder, "place")
        for name in ("a folder", "another"):
            os.makedirs(os.path.join(self.place, name))
        with open(os.path.join(self.place, "afile"), "w", encoding="utf-8"):
            pass

    def wrote(self, shell: str) -> str:
        """The shell's own path; its script is in `self.script`."""
        path = shutil.which(shell)
        need(path, shell)
        assert path
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(script(shell))
        return path

    def check(self, index: int, found: set[str]) -> None:
        line, wanted, unwanted = TYPED[index]
        proposed = {word.rstrip("/") for word in found}
        self.assertLessEqual(set(wanted), proposed, line)
        self.assertFalse(set(unwanted) & proposed, line)

    def test_bash(self) -> None:
        bash = self.wrote("bash")
        code = f"""source {self.script}
        IFS= read -r line
        while [[ -n $line ]]; do
            read -ra COMP_WORDS <<< "$line"
            [[ $line == *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
            COMPREPLY=()
            _openloop
            for reply in "${{COMPREPLY[@]}}"; do
                printf '%s\\0' "$reply"
            done
            printf '\\n'
            IFS= read -r line || break
        done"""
        asked = "".join(f"{line}\n" for line, *_ in TYPED)
        done = self.run_shell([bash, "--norc", "-c", code], asked)
        replies = done.splitlines()
        self.assertEqual(len(replies), len(TYPED), done)
        for index, reply in enumerate(replies):
            self.check(index, set(reply.split("\0")))

    def test_bash_after_an_equals_sign(self) -> None:
        bash = self.wrote("bash")
        code = f"""source {self.script}
        COMP_WORDS=(openloop report --format = j); COMP_CWORD=4; _openloop; echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(openloop report --format =); COMP_CWORD=3; _openloop; echo "${{COMPREPLY[@]}}"
        """
        done = self.run_shell([bash, "--norc", "-c", code], "")
        self.assertEqual(done, "json junit\nhtml md json junit\n")

    def test_bash_completes_it_by_itself(self) -> None:
        """With the line editor, as a person does: one Tab finishes the word."""
        bash = self.wrote("bash")
        self.program()
        with Terminal([bash, "--norc", "--noprofile", "-i"], self.place, self.folder) as terminal:
            terminal.type(f"source {self.script}; {ASK}\n")
            terminal.until(PROMPT)
            terminal.type("openloop repo\ta\\ \t --fo\tju\t\n")
            terminal.until("ran: report a folder/ --format junit\r\n")

    def test_fish(self) -> None:
        fish = self.wrote("fish")
        for index, (line, *_) in enumerate(TYPED):
            code = f"source {self.script}; complete -C '{line}'"
            found = self.run_shell([fish, "--no-config", "-c", code], "")
            self.check(index, {reply.split("\t")[0] for reply in found.splitlines()})

    def test_zsh(self) -> None:
        zsh = self.wrote("zsh")
        proposed = os.path.join(self.folder, "proposed")
        start = f"PROPOSED={proposed}; autoload -U compinit; compinit -D -u; source {self.script}\n"
        with Terminal([zsh, "-f", "-i"], self.place, self.folder) as terminal:
            terminal.type(f"{start}{RECORD}\n{ASK}\n")
            terminal.until(PROMPT)
            for index, (line, *_) in enumerate(TYPED):
                with open(proposed, "w", encoding="utf-8"):
                    pass
                terminal.type(f"{line}\t\x15echo do''ne\n")  # Tab, then give the line up
                terminal.until("done\r\n")
                terminal.until(PROMPT)
                with open(proposed, encoding="utf-8") as file:
                    self.check(index, set(file.read().splitlines()))

    def test_zsh_as_a_file_of_its_function_path(self) -> None:
        zsh = self.wrote("zsh")
        os.rename(self.script, os.path.join(self.folder, "_openloop"))
        self.program()
        start = f"fpath=({self.folder} $fpath); autoload -U compinit; compinit -D -u"
        with Terminal([zsh, "-f", "-i"], self.place, self.folder) as terminal:
            terminal.type(f"{start}; {ASK}\n")
            terminal.until(PROMPT)
            terminal.type("openloop repo\tano\t --fo\tju\t\n")
            terminal.until("ran: report another --format junit\r\n")

    def program(self) -> None:
        """An `openloop` that says what it was given, first in the terminal's PATH."""
        with open(os.path.join(self.folder, "openloop"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho ran: $*\n")
        os.chmod(file.name, 0o755)

    def run_shell(self, words: list[str], asked: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.place,
            env=environment(HOME=self.folder, TERM="xterm"),
            input=asked,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout


class Terminal(contextlib.AbstractContextManager["Terminal"]):
    """A shell on a real terminal, and what it writes there."""

    def __init__(self, words: list[str], cwd: str, folder: str) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = ""
        env = environment(
            HOME=folder, TERM="xterm", PATH=f"{folder}:{os.environ['PATH']}", COLUMNS="200"
        )
        self._shell = subprocess.Popen(
            words, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def __exit__(self, *why: object) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, word: str) -> str:
        """What was written up to the word, and not returned before."""
        deadline = time.monotonic() + PATIENCE
        while word not in self._seen:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {word!r} in {self._seen!r}")
            self._seen += read_some(self._ours).decode(errors="replace")
        before, found, self._seen = self._seen.partition(word)
        return before + found


if __name__ == "__main__":
    unittest.main()
