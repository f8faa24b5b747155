"""The simple commands of a shell command, and what hides their exit code.

A parser good enough for warnings: it follows quotes, comments, substitutions and compound
commands; for a text that it cannot follow, nothing is reported.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<comment>(?:(?<=\s)|^)\#[^\n]*)
  | (?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\$\((?:[^()]|\([^()]*\))*\)|\$\{[^}]*\}|\\(?s:.)
      |[0-9]*[<>]&[0-9-]|[0-9]*(?:>>|>\||<<<|<<-?|[<>])|[^\s;&|()<>'"`\\])+)
  | (?P<operator>&>>?|&&|\|\||\|&|;;|[;&|()\n])
  | (?P<space>[^\S\n]+)
  | (?P<other>.)""",
    re.VERBOSE,
)
_OPENS = frozenset(("if", "for", "while", "until", "case", "{", "select"))
_CLOSES = frozenset(("fi", "done", "esac", "}"))
_GOES_ON = frozenset(("then", "else", "elif", "do", "in", "!", "time"))
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh"))
_STRICT = re.compile(r"set -(\w*e|o errexit)")
_TRIVIAL = frozenset(("echo", "printf", "true", ":", "date"))
_FILTERS = frozenset(
    ("tee", "cat", "tail", "head", "sed", "sort", "uniq", "wc", "tr", "cut", "ts", "less", "more")
)


class SimpleCommand(NamedTuple):
    """One simple command. before, after: the operators around it ("" at the ends). depth: how many
    compound commands it stands in. assignments: words before it, such as `CI=1`."""

    words: list[str]
    before: str
    depth: int
    assignments: list[str]
    after: str = ""

    @property
    def name(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def line(self) -> str:
        return " ".join(self.words)

    @property
    def is_trivial(self) -> bool:
        return self.name in _TRIVIAL or self.words == ["exit", "0"]


def simple_commands(text: str) -> list[SimpleCommand]:
    """The simple commands in the order of the text; empty when the text cannot be parsed."""
    found: list[SimpleCommand] = []
    current = SimpleCommand([], "", 0, [])
    around: list[str] = []  # what opened the compound commands that the current one stands in

    def end(operator: str) -> None:
        nonlocal current
        if current.words or current.assignments:
            found.append(current._replace(after=operator))
        elif found and operator and operator not in ("\n", "("):
            found[-1] = found[-1]._replace(after=operator)
        current = SimpleCommand([], operator, len(around), [])

    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["other"] or ("<<" in token and match["word"]):
            return []  # an open quote, a heredoc
        if match["operator"]:
            if token == ")" and around[-1:] != ["("]:  # ends a pattern of case
                current = SimpleCommand([], token, len(around), [])
                continue
            if token == "(":
                around.append(token)
            elif token == ")":
                around.pop()
            end(token)
        elif match["word"]:
            if not current.words and token in _OPENS | _CLOSES | _GOES_ON:
                if token in _OPENS:
                    around.append(token)
                elif token in _CLOSES and around:
                    around.pop()
                current = current._replace(depth=len(around))
            elif not current.words and _ASSIGNMENT.match(token):
                current.assignments.append(token)
            else:
                current.words.append(token)
    end("")
    return found


def pitfalls(text: str, shell: str = "sh") -> Iterator[tuple[str, str]]:
    """(what hides a failure, how to fix it) for a gate's command. shell: what reads it."""
    commands = simple_commands(text)
    if shell != "bash":
        yield from _not_posix(commands)
    yield from _hidden(commands, text)
    for one in commands:
        if one.name.rpartition("/")[2] in _SHELLS and "-c" in one.words[:-1]:
            inner = one.words[one.words.index("-c") + 1]
            if inner[:1] in ("'", '"') and not re.search(
                r"-\w*e|pipefail", " ".join(one.words[1:-1])
            ):
                words = shlex.split(inner)
                name = one.name.rpartition("/")[2]
                yield from pitfalls(words[0] if words else "", "bash" if name != "dash" else "sh")


def _not_posix(commands: list[SimpleCommand]) -> Iterator[tuple[str, str]]:
    if any(one.after in ("&>", "&>>") for one in commands):
        what = "`&>` is not POSIX: sh may run the command in the background and pass at once"
        yield what, "write > FILE 2>&1"
    if any(one.name == "[[" for one in commands):
        what = "`[[` is not POSIX: where sh has no such command the test is never true"
        yield what, "write [ … ], or run it with bash -c"


def _hidden(commands: list[SimpleCommand], text: str) -> Iterator[tuple[str, str]]:
    outer = [one for one in commands if one.depth == 0]
    if not outer or outer[-1] is not commands[-1]:
        return
    last = outer[-1]
    if last.after == "&":
        yield "a trailing & leaves it in the background: its failure is lost", "remove the &"
    if last.before == "||" and last.is_trivial:
        yield f"it cannot fail: it ends with || {last.line}", "remove that part"
    stops = any(one.name in ("exit", "trap") or _STRICT.match(one.line) for one in commands)
    if len(outer) > 1 and last.before in (";", "\n") and last.is_trivial and not stops:
        what = f"it ends with the exit code of `{last.name}`: what came before may have failed"
        yield what, "join the commands with &&"
    for one in outer:
        piped = one.before in ("|", "|&") and one.after not in ("|", "|&")
        if piped and one.name in _FILTERS and "pipefail" not in text:
            what = f"a pipe ends with the exit code of its last command, here `{one.name}`"
            yield what, "write the output to a file, then show it; or bash -o pipefail -c '…'"
    if all(one.is_trivial for one in commands) and len(commands) == 1 and last.before == "":
        yield f"it cannot fail: `{last.name}` is all it runs", "run the check itself"
