"""Filled-in commands under real shells: hostile values arrive whole and nothing else happens.

`OPENLOOP_TEMPLATE_CASES=10000 python -m unittest config.test_placeholder_shells` tries more cases,
`OPENLOOP_TEMPLATE_SEED=…` other ones.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import unittest
from collections.abc import Callable

from openloop.config import placeholders
from support import need

CASES = int(os.environ.get("OPENLOOP_TEMPLATE_CASES", "200"))  # for each shell and test
SEED = int(os.environ.get("OPENLOOP_TEMPLATE_SEED", "20"))
DECOYS = ("a b", "x", "-n")  # files that a glob would find
VALUES = (
    "", " ", "plain", "two words", "  blanks \t around  ", "-n", "--", "-", "*", "[a-z]*", "?", "~",
    "it's", "''", 'say "hi"', '"', "'", "\\", "\\\\", "a\\", "\\n", "\\'", '\\"', "`", "$", "$$",
    "$(touch pwned)", "`touch pwned`", "; touch pwned;", "'; touch pwned; '", '"; touch pwned; "',
    "\ntouch pwned\n", ") touch pwned (", ')"; touch pwned; "$(', "&& touch pwned", "> pwned",
    "| touch pwned", "a[$(touch pwned)]", "x=$(touch pwned)", "${x:=$(touch pwned)}", "$((1+1))",
    "line\nline\n\n", "EOF\ntouch pwned\n", "\nEOF\ntouch pwned #", "# x", "!x!!", "{a,b}", "%s%n",
    "{round}", "ü ☃ \U0001f600", "\udcff\udc80\udc81\udc88", "\x01\x02\x7f\x1b[31m", "\r\n",
    "long " * 1000,
)  # fmt: skip
NAMES = ("workspace", "project_root", "last_error", "prompt_file", "round", "step")
# Both shells have these words built in. A NUL parts the arguments as the shell passed them.
PRELUDE = """show() { printf '%s\\0' "$#" "$@"; }; put() { printf %s "$1"; }\n"""

WRAPPINGS = (
    "(SHOW)", "{ SHOW; }", "if :; then SHOW; fi", "for i in 1; do SHOW; done", ": && SHOW",
    "! SHOW", "SHOW | cat", "f() { SHOW; }; f", ": \\\n; SHOW", "# it's \"\nSHOW", "SHOW # it's",
    "SHOW&wait", "SHOW 2>&1", "case x in x) SHOW;; esac", ": <<E\nit's {round}\nE\nSHOW",
    ": $(( {round} + (1) )) `: '\"' \\`:\\``; SHOW",
    ": ${x:-'a'} \"${x#\"b c\"}\" ${#x} $# $'a\\n'; SHOW",
)  # fmt: skip

Piece = tuple[str, str]  # what stands in the command, and what arrives


class Writer:
    """Writes commands at random, together with the words that they must pass to `show`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.values = {name: rng.choice(VALUES) for name in NAMES}
        self.values["round"] = str(rng.choice((1, 2, 30)))
        self.values["step"] = rng.choice(("fix", "verify"))

    def environment(self) -> dict[str, str]:
        return {placeholders.VARIABLES[name]: value for name, value in self.values.items()}

    def command(self) -> tuple[str, list[str]]:
        """One to three commands, and the words of all of them in turn."""
        pairs = [self.rng.choice(self.SHAPES)(self) for _ in range(self.rng.randint(1, 3))]
        return "\n".join(text for text, _ in pairs), [word for _, words in pairs for word in words]

    # --- pieces of a word ---

    def placeholder(self) -> Piece:
        name = self.rng.choice(NAMES)
        return "{" + name + "}", self.values[name]

    def join(self, *kinds: Callable[[], Piece]) -> Piece:
        pieces = [self.rng.choice(kinds)() for _ in range(self.rng.randint(1, 3))]
        return "".join(text for text, _ in pieces), "".join(value for _, value in pieces)

    def word(self, depth: int = 2) -> Piece:
        def double() -> Piece:
            text, value = self.join(self.placeholder, self.plain_in_double, lambda: self.put(depth))
            return f'"{text}"', value

        return self.join(self.placeholder, self.placeholder, self.plain, self.single, double)

    def plain(self) -> Piece:
        text = self.rng.choice(("a", "-x", "--y=", "/", ".", ":", "%", "+", "{}", "é"))
        escaped = self.rng.choice(("\\'", '\\"', "\\\\", "\\ ", "\\#"))
        others = (
            ("$none''", ""),
            ("${none}''", ""),
            ("''", ""),
            ('""', ""),
            ("{{round}}", "{round}"),
        )
        return self.rng.choice(((text, text), (escaped, escaped[1:]), self.rng.choice(others)))

    def plain_in_double(self) -> Piece:
        text = self.rng.choice(("a", " ", "'", "#", "(", ")", ";", "\n", "it's", "|", "<<EOF", "*"))
        escaped = self.rng.choice(('\\"', "\\`", "\\\\", "\\$ "))
        return self.rng.choice(((text, text), (escaped, escaped[1:]), ("{{step}}", "{step}")))

    def single(self) -> Piece:
        plain = self.rng.choice(
            ("", " ", '"', "`", "$(", ")", "${", "\\", "\n", "#", "EOF\n", "\\\\")
        )
        text, value = self.placeholder()
        return f"'{plain}{text}{plain}'", plain + value + plain

    def put(self, depth: int = 2) -> Piece:
        """`$(…)` inside "…", which takes newlines off the end."""
        if depth == 0:
            return self.placeholder()
        text, value = self.word(depth - 1)
        before = self.rng.choice(
            ("", " ", "\n", "# it's )\n", ": ')'; ", " (:); ", ": \"$(: ')')\" && ")
        )
        after = self.rng.choice(("", " ", "\n", "; :", " # it's\n"))
        return f"$({before}put {text}{after})", value.rstrip("\n")

    # --- shapes of a command ---

    def shown(self) -> tuple[str, list[str]]:
        words = [self.word() for _ in range(self.rng.randint(1, 3))]
        return "show " + " ".join(text for text, _ in words), [
            str(len(words)),
            *(v for _, v in words),
        ]

    def wrapped(self) -> tuple[str, list[str]]:
        text, words = self.shown()
        return self.rng.choice(WRAPPINGS).replace("SHOW", text), words

    def assigned(self) -> tuple[str, list[str]]:
        """An unquoted `$(…)` is not split where a variable is assigned."""
        text, value = self.rng.choice((self.word, self.put))()
        return f'x={text}; show "$x"', ["1", value]

    def looped(self) -> tuple[str, list[str]]:
        (one, first), (two, second) = self.word(), self.word()
        return f'for x in {one} {two}; do show "$x"; done', ["1", first, "1", second]

    def matched(self) -> tuple[str, list[str]]:
        text, _ = self.word()
        return f"case {text} in {text}) show a;; *) show b;; esac", ["1", "a"]

    def read_in(self) -> tuple[str, list[str]]:
        dash, mark = self.rng.choice((("", "EOF"), ("-", "EOF"), ("", "END_1")))
        text, value = self.join(
            self.placeholder, lambda: self.put(1), lambda: ("it's \" #\n", "it's \" #\n")
        )
        nested = f'show "$(cat <<{dash}{mark}\n.{text}.\n{mark}\n)"'
        return nested, ["1", f".{value}."]

    def quoted_heredoc(self) -> tuple[str, list[str]]:
        number = self.values["round"]
        return "show \"$(cat <<'EOF'\n$x `{round}` '\nEOF\n)\"", ["1", f"$x `{number}` '"]

    def computed(self) -> tuple[str, list[str]]:
        return 'show "$(( {round} + 1 ))"', ["1", str(int(self.values["round"]) + 1)]

    SHAPES = (
        shown,
        shown,
        wrapped,
        wrapped,
        assigned,
        looped,
        matched,
        read_in,
        quoted_heredoc,
        computed,
    )


class ShellCase(unittest.TestCase):
    def setUp(self) -> None:
        for name in ("dash", "bash"):
            need(shutil.which(name), name)
        folder = tempfile.TemporaryDirectory(prefix="openloop-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in DECOYS:
            open(os.path.join(self.folder, name), "w").close()

    def run_shell(self, shell: str, command: str, values: dict[str, str]) -> bytes:
        locale = "C" if len(command) % 2 else "C.UTF-8"
        done = subprocess.run(
            [shell, "-c", PRELUDE + command],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": locale, **values},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
        self.errors = done.stderr
        return done.stdout


class HostileValues(ShellCase):
    def test_words_arrive_whole_and_nothing_else_happens(self) -> None:
        rng = random.Random(SEED)
        for number in range(CASES):
            writer = Writer(rng)
            command, words = writer.command()
            rendered = placeholders.render(
                command, round=int(writer.values["round"]), step=writer.values["step"]
            )
            for shell in ("dash", "bash"):
                output = self.run_shell(shell, rendered, writer.environment())
                about = f"case {number} under {shell}\n{command}\n---\n{rendered}\n{self.errors!r}"
                self.assertEqual(output, b"".join(os.fsencode(w) + b"\0" for w in words), about)
                self.assertEqual(sorted(os.listdir(self.folder)), sorted(DECOYS), about)

    def test_redirection_to_a_hostile_name(self) -> None:
        for value in (value for value in VALUES if "/" not in value and len(value) < 200):
            for shell in ("dash", "bash"):
                rendered = placeholders.render("put a > out{last_error}", round=1, step="fix")
                self.run_shell(shell, rendered, {"OPENLOOP_LAST_ERROR": value})
                self.assertEqual(self.errors, b"")
                self.assertEqual(sorted(os.listdir(self.folder)), sorted((*DECOYS, f"out{value}")))
                os.unlink(os.path.join(self.folder, f"out{value}"))

    def test_damaged_command_is_refused_or_runs_nothing_of_a_value(self) -> None:
        rng = random.Random(SEED)
        tried = 0
        while tried < CASES:
            writer = Writer(rng)
            command = damaged(rng, writer.command()[0])
            if placeholders.check(command):
                continue
            tried += 1
            rendered = placeholders.render(command, round=1, step="fix")
            for shell in ("dash", "bash"):
                output = self.run_shell(shell, rendered, writer.environment())
                about = f"under {shell}\n{command}\n---\n{rendered}\n{writer.values}\n{output!r}"
                self.assertNotIn("pwned", os.listdir(self.folder), about)
                self.assertNotIn(b"OPENLOOP_", output, about)


def damaged(rng: random.Random, command: str) -> str:
    """The command with a few characters that open, close or escape put in or left out."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(command) + 1)
        piece = rng.choice((*"'\"`\\$(){}#;\n [", "$(", "${x", "$'", "((", "<<EOF\n", "\nEOF\n"))
        command = command[:at] + piece + command[at + rng.randint(0, 1) :]
    return command


if __name__ == "__main__":
    unittest.main()
