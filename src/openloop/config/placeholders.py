"""Fill in a command safely: a placeholder becomes a quoted reference, never text.

`{last_error}` turns into `"${OPENLOOP_LAST_ERROR}"`, or into what means the same inside `'…'`,
inside `"…"` and in a heredoc. So the shell parses nothing but what the author of the command
wrote, and no value can end a word, a quote or a command. A place where that is not certain
under both dash and bash is an error. A command without placeholders is not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from openloop.core.errors import OpenLoopError
from openloop.core.text import nearest

if TYPE_CHECKING:
    from openloop.config import shell_lexer

VARIABLES: Mapping[str, str] = {
    "workspace": "OPENLOOP_WORKSPACE",
    "project_root": "OPENLOOP_PROJECT_ROOT",
    "round": "OPENLOOP_ROUND",
    "step": "OPENLOOP_STEP",
    "last_error": "OPENLOOP_LAST_ERROR",
    "prompt_file": "OPENLOOP_PROMPT_FILE",
}
_BEGUN = 6  # letters of a name that stand for it
INERT = frozenset({"round", "step"})  # digits or lower-case letters: harmless wherever they stand


class PlaceholderError(OpenLoopError):
    """A command that cannot be filled in safely; line and column count from 1."""

    def __init__(self, what: str, *, fix: str, line: int, column: int) -> None:
        super().__init__(what, where=f"line {line}, column {column}", fix=fix)
        self.line = line
        self.column = column


def render(command: str, *, round: int, step: str) -> str:
    """The text for `/bin/sh -c`; its environment must hold every variable in VARIABLES.

    Raises PlaceholderError at the first place that cannot be made safe, ValueError for a round
    that is not digits alone or a step that is not lower-case letters alone.
    """
    values = {"round": str(round), "step": step}
    if not (re.fullmatch("[0-9]+", values["round"]) and re.fullmatch("[a-z]+", step)):
        raise ValueError(f"round {round!r} or step {step!r} may not stand bare in a command")
    source, reading = _read(command)
    if reading is None:
        return source.text
    for problem in reading.problems:
        raise source.error(problem)
    from openloop.config.shell_constructs import Form

    def fill(match: re.Match[str]) -> str:
        name, form = source.names[match.start()], reading.forms[match.start()]
        if form is Form.VALUE:
            return values[name]
        return "{" + name + "}" if form is Form.TEXT else form % VARIABLES[name]

    return re.sub("\0", fill, source.text)


@cache
def _read(command: str) -> tuple[_Source, shell_lexer.PlaceholderForms | None]:
    """Kept, because a loop fills in the same few commands round after round. The reading is None
    for a command without placeholders."""
    source = _Source.read(command)
    if not source.names:
        return source, None
    from openloop.config import shell_lexer  # slow to import

    return source, shell_lexer.read(source.text, source.names, INERT)


def check(command: str) -> list[PlaceholderError]:
    """Every place that `render` would refuse, in the order of the command."""
    source, reading = _read(command)
    return [source.error(problem) for problem in reading.problems] if reading else []


def warnings(command: str) -> list[str]:
    """Legal but probably mistaken uses, a sentence each: what `misspelt` finds, and a value that
    another program parses again."""
    return list(dict.fromkeys([*misspelt(command), *_parsed_again(*_read(command))]))


class _Source(NamedTuple):
    """A command with each placeholder as one NUL, as `quoting` wants it.

    names: index in `text` of a placeholder → its name. origin: index in `text` → in `command`.
    """

    command: str
    text: str
    names: Mapping[int, str]
    origin: list[int]

    @classmethod
    def read(cls, command: str) -> _Source:
        text, names = "", {}
        origin: list[int] = []
        for token in _TOKEN.finditer(command):
            piece = token[0]
            if token["name"]:
                names[len(text)] = token["name"]
                piece = "\0"
            elif token["literal"]:
                piece = "{" + token["literal"] + "}"
            origin += range(token.start(), token.start() + len(piece))
            text += piece
        return cls(command, text, names, [*origin, len(command)])

    def error(self, problem: shell_lexer.ShellProblem) -> PlaceholderError:
        before = self.command[: self.origin[problem.at]]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return PlaceholderError(problem.what, fix=problem.fix, line=line, column=column)


# `${round}` is a variable of the shell; `{{round}}` stands for a literal `{round}`.
_TOKEN = re.compile(
    r"\$\{(?:NAME)\}|\{\{(?P<literal>NAME)\}\}|\{(?P<name>NAME)\}|[^{$]+|[{$]".replace(
        "NAME", "|".join(VARIABLES)
    )
)


def misspelt(command: str) -> list[str]:
    """A sentence on each name in braces that looks like a placeholder but is none."""
    found: list[str] = []
    if "{" not in _read(command)[0].text:
        return found
    for dollar, word in re.findall(r"(\$?)(?<!\{)\{([\w-]+)\}", command):
        if dollar and word in VARIABLES:
            what = f"${{{word}}} is a variable of the shell, not a placeholder"
            found.append(f"{what}: write {{{word}}}")
        elif not dollar and word not in VARIABLES and (name := _meant(word)):
            found.append(f"{{{word}}} is left as it stands: did you mean {{{name}}}?")
    return list(dict.fromkeys(found))


def _meant(word: str) -> str:
    """The placeholder that a word probably stands for; "" for none."""
    bare = re.sub("[_-]", "", word.lower())
    names = {name.replace("_", ""): name for name in VARIABLES}
    if bare.startswith("prompt"):
        return "prompt_file"
    begun = [name for name in names if len(bare) >= _BEGUN and name.startswith(bare)]
    return names.get(begun[0] if begun else nearest(bare, names, likeness=0.8), "")


def _parsed_again(source: _Source, reading: shell_lexer.PlaceholderForms | None) -> Iterator[str]:
    for index, before in reading.before.items() if reading else ():
        name = source.names[index]
        program = re.search(_INTERPRETER, before) or re.match(_PIPED, source.text[index:])
        if program and name not in INERT:
            yield (
                f"`{program[program.lastgroup or 0]}` parses the value of {{{name}}} once more, as"
                f" part of a program: let that program read ${VARIABLES[name]}, or pass the value"
                f" as an argument of its own (sh -c 'echo \"$1\"' sh {{{name}}})"
            )


_SHELL = r"(?:ba|da|k|mk|z|a|fi)?sh"
_RUNS = rf"(?:{_SHELL}|python[\d.]*|perl|ruby|node|php)"
_OPTIONS = r"(?:\s+-\w*o\s+\w+|\s+[-+]\S+)*"
_FRONT = r"(?:\w+=\S*|sudo|env|exec|command|nohup|time|timeout\s\S+|if|then|else|do|while|!|\{)"
_INTERPRETER = (  # in a simple command, up to the word that holds the placeholder
    rf"(?:^|[\s/])(?P<shell>(?:{_SHELL}|python[\d.]*){_OPTIONS}\s+-\w*c)\s+$"
    rf"|(?:^|[\s/])(?P<script>(?:perl|ruby|node){_OPTIONS}\s+-\w*e|php\s+-r)\s+$"
    r"|(?:^|[\s/])(?P<user>su(?:\s+\S+)*\s+-c)\s+$"
    r"|(?:^|[\s/])(?P<text>(?:[gm]?awk(?:\s+-F\S*)*|sed(?:\s+-[a-eg-zE]+)*))\s+$"
    rf"|(?:^|[\s/])(?P<stdin>{_RUNS}(?:\s+-\S*)*)\s*<<$"
    rf"|^\s*(?:{_FRONT}\s+)*(?:\S*/)?(?P<any>eval|ssh|trap|alias|let|watch|parallel)\s"
    r"|(?:^|\s)(?P<integer>(?:declare|typeset|local|export|readonly)\s+-\w*i)"
)
_PIPED = rf"[^;\n]*\|\s*(?:sudo\s+)?(?P<pipe>{_RUNS})(?:\s+-s?)?\s*(?:[;&|)\n]|$)"
