"""Fill in a command safely: a placeholder becomes a quoted reference, never text.

`{last_error}` turns into `"${OPENLOOP_LAST_ERROR}"`, or into what means the same inside `'…'`,
inside `"…"` and in a heredoc. So the shell parses nothing but what the author of the command
wrote, and no value can end a word, a quote or a command. That needs certainty about the place
of each placeholder: the lexer below follows a command as dash and bash both read it, and
refuses what they may read differently. A command without placeholders is not looked at.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from openloop.errors import OpenLoopError

VARIABLES: Mapping[str, str] = {
    "workspace": "OPENLOOP_WORKSPACE",
    "project_root": "OPENLOOP_PROJECT_ROOT",
    "round": "OPENLOOP_ROUND",
    "step": "OPENLOOP_STEP",
    "last_error": "OPENLOOP_LAST_ERROR",
    "prompt_file": "OPENLOOP_PROMPT_FILE",
}
INERT = frozenset({"round", "step"})  # digits or lower-case letters: harmless wherever they stand


class TemplateError(OpenLoopError):
    """A command that cannot be filled in safely; line and column count from 1."""

    def __init__(self, what: str, *, fix: str, line: int, column: int) -> None:
        super().__init__(what, where=f"line {line}, column {column}", fix=fix)
        self.line = line
        self.column = column


def render(command: str, *, round: int, step: str) -> str:
    """The text for `/bin/sh -c`; its environment must hold every variable in VARIABLES.

    Raises TemplateError at the first place that cannot be made safe, ValueError for a round
    that is not digits alone or a step that is not lower-case letters alone.
    """
    values = {"round": str(round), "step": step}
    if not (re.fullmatch("[0-9]+", values["round"]) and re.fullmatch("[a-z]+", step)):
        raise ValueError(f"round {round!r} or step {step!r} may not stand bare in a command")
    source = _Source.read(command)
    lexer = _lex(source)
    if lexer.problems:
        raise lexer.problems[0]

    def fill(match: re.Match[str]) -> str:
        name, form = source.names[match.start()], lexer.forms[match.start()]
        if form is _Form.VALUE:
            return values[name]
        return "{" + name + "}" if form is _Form.TEXT else form % VARIABLES[name]

    return re.sub("\0", fill, source.text) if source.names else source.text


def check(command: str) -> list[TemplateError]:
    """Every place that `render` would refuse, in the order of the command."""
    return _lex(_Source.read(command)).problems


def warnings(command: str) -> list[str]:
    """What is legal but hardly meant, a sentence each: a value that another program parses
    again, and a name in braces that looks like a placeholder but is none."""
    source = _Source.read(command)
    found = [
        f"${{{name}}} is a variable of the shell, not a placeholder: write {{{name}}}"
        for name in VARIABLES
        if f"${{{name}}}" in command
    ]
    for word in re.findall(r"(?<![${])\{(\w+)\}", command):
        near = difflib.get_close_matches(word.lower(), VARIABLES, n=1, cutoff=0.8)
        if near and word not in VARIABLES:
            found.append(f"{{{word}}} is left as it stands: did you mean {{{near[0]}}}?")
    for index, before in _lex(source).before.items():
        program = _INTERPRETER.search(before) or _PIPED.match(source.text, index)
        if program and (name := source.names[index]) not in INERT:
            found.append(
                f"`{program[program.lastgroup or 0]}` parses the value of {{{name}}} once more, as"
                f" part of a program: let that program read ${VARIABLES[name]}, or pass the value"
                f" as an argument of its own (sh -c 'echo \"$1\"' sh {{{name}}})"
            )
    return list(dict.fromkeys(found))


_RUNS = r"(?:[a-z]*sh|python[\d.]*|perl|ruby|node|php)"  # reads a program from an option or stdin
_PARSES = r"(?:eval|ssh|trap|alias|let|watch|parallel)"  # reads one from any argument
_FRONT = r"(?:\w+=\S*|sudo|env|exec|command|nohup|time|timeout\s\S+|if|then|else|do|while|!|\{)"
_INTERPRETER = re.compile(  # in a simple command, up to the word that holds the placeholder
    rf"(?:^|[\s/])(?P<option>{_RUNS}(?:\s+-o\s+\w+|\s+[-+]\S+)*\s+-\w*[cer])\s+$"
    rf"|(?:^|[\s/])(?P<stdin>{_RUNS}(?:\s+-\S*)*)\s*<<$"
    rf"|^\s*(?:{_FRONT}\s+)*(?:\S*/)?(?P<any>{_PARSES})\s"
    r"|(?:^|[\s/])(?P<su>su(?:\s+\S+)*\s+-c)\s+$"
    r"|(?:^|[\s/])(?P<script>(?:[gm]?awk(?:\s+-F\S*)*|sed(?:\s+-[a-eg-zE]+)*))\s+$"
    r"|(?:^|\s)(?P<integer>(?:declare|typeset|local|export|readonly)\s+-\w*i)"
)
_PIPED = re.compile(rf"[^;\n]*\|\s*(?:sudo\s+)?(?P<pipe>{_RUNS})(?:\s+-s?)?\s*(?:[;&|)\n]|$)")


class _Form(StrEnum):
    """What is put in for a placeholder."""

    WORD = '"${%s}"'
    QUOTED = "${%s}"  # inside "…" and in a heredoc
    SINGLE = "'\"${%s}\"'"  # inside '…'
    VALUE = "value"  # where no reference can stand; inert names only
    TEXT = "text"  # in a comment: left as it is


@dataclass(frozen=True, slots=True)
class _Source:
    """A command with each placeholder as one NUL, which no command for a shell can hold.

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

    def between(self, start: int, end: int) -> str:
        return self.command[self.origin[start] : self.origin[end]]

    def error(self, what: str, index: int, fix: str = "") -> TemplateError:
        before = self.between(0, index)
        return TemplateError(
            what,
            fix=fix or "write it in a plainer way, or move it into a script",
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
        )


_TOKEN = re.compile(
    r"\$\{(?:NAME)\}|\{\{(?P<literal>NAME)\}\}|\{(?P<name>NAME)\}|(?s:.)".replace(
        "NAME", "|".join(VARIABLES)
    )
)


class _Construct(NamedTuple):
    stop: str
    context: _Context
    place: str = ""  # a key of _MEND, where only an inert value may stand


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """How the inside of a construct is read: what a placeholder becomes there, what shells may
    read differently, and which constructs open in it."""

    form: _Form
    odd: re.Pattern[str] = re.compile(r"(?!)")
    escapes: bool = True  # a backslash takes the meaning from the next character
    opens: dict[str, _Construct] = field(default_factory=dict)


_DOLLAR = r"\$(?:\[|\\\n|\$[({\[]|\{(?![A-Za-z0-9_#!@*?$-]))"
_COMMANDS = _Context(
    _Form.WORD,
    re.compile(_DOLLAR + r"|[?*+@!]\(|\\\n[(<)#]|(?<=[$<()])\\\n|(?<![^\s;&|(])\[\[(?=\s)"),
)
_SINGLE = _Context(_Form.SINGLE, escapes=False)
_DOUBLE = _Context(_Form.QUOTED, re.compile(_DOLLAR))
_RAW = _Context(_Form.VALUE)
_ANSI = _Context(_Form.VALUE, re.compile(r"\\(?:'|(?:[xuU][0-9A-Fa-f{]*|[0-7]+|c)?\0)"))
_PARAMETER = _Context(_Form.VALUE, re.compile(_DOLLAR + r"|\{|\\['\"\n]"))
_PLAIN = _Context(_Form.VALUE, re.compile(r"['\"`\\${}]"), escapes=False)
_ARITHMETIC = _Context(_Form.VALUE, re.compile(_DOLLAR + r"|['\"`\\)]|(?<!\$)#|<<"))

_EXPANSIONS = {
    "$(": _Construct(")", _COMMANDS),
    "$((": _Construct("))", _ARITHMETIC, "inside arithmetic"),
    "${": _Construct("}", _PARAMETER, "inside ${…}"),
}
_BACKTICKS = {"`": _Construct("`", _RAW, "inside `…`")}
_ARITHMETIC.opens.update(_EXPANSIONS | {"(": _Construct(")", _ARITHMETIC)})
_DOUBLE.opens.update(_EXPANSIONS | _BACKTICKS)
_PARAMETER.opens.update(_DOUBLE.opens | {mark: _Construct(mark, _PLAIN) for mark in "'\""})
_COMMANDS.opens.update(_DOUBLE.opens)
_COMMANDS.opens["'"] = _Construct("'", _SINGLE)
_COMMANDS.opens['"'] = _Construct('"', _DOUBLE)
_COMMANDS.opens["$'"] = _Construct("'", _ANSI, "inside $'…'")
_COMMANDS.opens["(("] = _EXPANSIONS["$(("]

_MEND = {
    "directly after a backslash": "take the backslash away, or double it",
    "in an array subscript": "bash would run what the value holds: use a number you have tested",
    "inside $'…'": "use '…' or \"…\"",
    "inside `…`": "write $(…) instead of `…`",
    "inside ${…}": "store it in a variable first, x={…}, and use that one",
    "inside arithmetic": "bash would run what the value holds: use a number you have tested",
    "in a heredoc with a quoted delimiter": "take the quotes off the delimiter",
}
_DEEPEST = 40  # constructs inside each other
_SUBSCRIPT = re.compile(r"(?:[A-Za-z_]\w*)?\[(?![^][$`\"'()\0]*\])")
_REDIRECTION = re.compile(r"<<<|<[&>]?|&?>>?[&|]?")
_DELIMITER = re.compile(
    r"<<(?P<tabs>-?)[ \t]*(?:(?P<plain>[\w.-]+)|(?P<mark>['\"])(?P<quoted>[\w .-]+)(?P=mark)"
    r"|\\(?P<escaped>[\w.-]+))(?=[ \t\n;&|<>()]|\Z)",
    re.ASCII,
)


class _Heredoc(NamedTuple):
    """One that was announced by `<<`; its body begins on the next line."""

    start: int  # of the simple command that reads it
    at: int
    delimiter: str
    quoted: bool
    tabs: str  # the tab, where leading ones do not count

    def end(self, text: str, index: int, stop: int) -> tuple[int, int]:
        """Where the closing line begins and ends; (-1, -1) if there is none."""
        while index < stop:
            newline = text.find("\n", index, stop)
            line_end = stop if newline < 0 else newline
            if text[index:line_end].lstrip(self.tabs) == self.delimiter:
                return index, line_end
            index = line_end + 1
        return -1, -1

    def may_end_early(self, body: str) -> bool:
        """Whether joined lines, or an inert value, could look like the closing line."""
        if self.quoted:
            shapes = [line.lstrip(self.tabs).split("\0") for line in body.split("\n")]
            return any(
                re.fullmatch("[0-9a-z]+".join(map(re.escape, shape)), self.delimiter)
                for shape in shapes
            )
        lines = body.replace("\\\n", "").split("\n")
        return body.endswith("\\\n") or self.delimiter in [line.lstrip(self.tabs) for line in lines]


@dataclass(slots=True)
class _Frame:
    """One list of commands: the whole command, or the inside of a `$(…)`."""

    start: int = 0  # of the current simple command
    word: int | None = None  # where the current word began
    nested: bool = False
    case: bool = False  # the word `case` was seen
    heredocs: list[_Heredoc] = field(default_factory=list)


def _lex(source: _Source) -> _Lexer:
    lexer = _Lexer(source)
    try:
        if source.names and source.text.count("\0") > len(source.names):
            raise source.error("a NUL cannot be part of a command", 0, "take it out")
        if source.names:
            lexer.scan(_COMMANDS)
            lexer.finish()
    except TemplateError as doubt:  # from there on nothing is certain
        lexer.problems.append(doubt)
    return lexer


class _Lexer:
    """Follows a command from construct to construct and finds a form for each placeholder.

    A doubt about the context is raised and ends the lexing; a refused placeholder does not.
    """

    def __init__(self, source: _Source) -> None:
        self.source, self.text, self.end = source, source.text, len(source.text)
        self.position = 0
        self.frame = _Frame()
        self.inside: list[str] = []  # the places of the open constructs
        self.forms: dict[int, _Form] = {}
        self.before: dict[int, str] = {}  # the simple command before a placeholder's word
        self.problems: list[TemplateError] = []
        self.actions: dict[str, Callable[[], None]] = {
            "\n": self.newline,
            "#": self.hash,
            "<": self.less,
            "(": self.parenthesis,
            **dict.fromkeys(";&|>)", self.operator),
        }

    def scan(self, context: _Context, stop: str = "") -> None:
        """Go on to `stop`, or to the end."""
        while self.position < self.end:
            here = self.position
            char = self.text[here]
            if context is _COMMANDS:
                self.track_word(char)
            if stop and self.text.startswith(stop, here, self.end):
                return
            if odd := context.odd.match(self.text, here, self.end):
                shown = self.source.between(here, odd.end())
                raise self.source.error(f"not every shell reads {shown!r} alike here", here)
            if char == "\0":
                self.place(context.form)
            elif char == "\\" and context.escapes:
                self.escape()
            elif opening := self.opening(context):
                self.construct(opening, context.opens[opening])
            elif context is _COMMANDS and char in self.actions:
                self.actions[char]()
            else:
                self.position += 1

    def opening(self, context: _Context) -> str:
        tries = (self.text[self.position : min(self.position + n, self.end)] for n in (3, 2, 1))
        return next((opening for opening in tries if opening in context.opens), "")

    def construct(self, opening: str, construct: _Construct) -> None:
        start, outer = self.position, self.frame
        self.position += len(opening)
        self.inside.append(construct.place or self.subscript())
        if opening == "$(":
            self.frame = _Frame(self.position, nested=True)
        if len(self.inside) > _DEEPEST:
            raise self.source.error(f"more than {_DEEPEST} constructs inside each other", start)
        self.scan(construct.context, construct.stop)
        if not self.text.startswith(construct.stop, self.position, self.end):
            fix = f"close it with {construct.stop}"
            raise self.source.error(f"this {opening} is never closed", start, fix)
        if opening == "$(":
            self.finish()
        self.frame = outer
        self.inside.pop()
        self.position += len(construct.stop)
        if outer.heredocs and opening != "(" and "\n" in self.text[start : self.position]:
            raise self.source.error("a heredoc announced on this line begins in doubt", start)

    def finish(self) -> None:
        """At the end of a list of commands: no heredoc may still wait for its body."""
        for heredoc in self.frame.heredocs:
            raise self.source.error("this heredoc has no body", heredoc.at, "begin a new line")

    def track_word(self, char: str) -> None:
        frame = self.frame
        if char not in " \t\n;&|<>()":
            if frame.word is None and char != "#" and not self.at("\\\n"):
                frame.word = self.position
        elif frame.word is not None:
            word = self.text[frame.word : self.position].replace("\\\n", "")
            if frame.nested and frame.case and word == "in":
                what = "the `)` of a pattern in `case` looks like the end of $(…)"
                raise self.source.error(what, frame.word, "use if, or move it into a script")
            frame.case |= word == "case"
            frame.word = None

    def place(self, form: _Form, place: str = "") -> None:
        """Settle the placeholder that stands here."""
        here, frame = self.position, self.frame
        name = self.source.names[here]
        shown = "{" + name + "}"
        place = next(filter(None, (place, *self.inside, self.subscript())), "")
        if place and name not in INERT:
            what = f"{shown} cannot be filled in safely {place}"
            self.problems.append(self.source.error(what, here, _MEND[place]))
        elif form is _Form.VALUE and self.joins(place):
            what = f"{shown} would become part of what stands next to it"
            self.problems.append(self.source.error(what, here, "keep them apart"))
        self.forms[here] = form
        self.before[here] = self.text[frame.start : here if frame.word is None else frame.word]
        self.position += 1

    def joins(self, place: str) -> bool:
        """Whether a bare value would lengthen a variable's name or number a redirection."""
        if place == "in a heredoc with a quoted delimiter":
            return False
        redirects = place == "inside `…`" and self.text[self.position + 1 :].startswith(("<", ">"))
        return redirects or bool(re.search(r"\$\w*$", self.text[: self.position]))

    def subscript(self) -> str:
        frame = self.frame
        open_ = frame.word is not None and _SUBSCRIPT.match(self.text, frame.word, self.position)
        return "in an array subscript" if open_ else ""

    def at(self, text: str) -> bool:
        return self.text.startswith(text, self.position, self.end)

    def escape(self) -> None:
        if self.at("\\\n") and self.frame.heredocs:
            what = "a heredoc announced on this line begins in doubt"
            raise self.source.error(what, self.position, "end the line here")
        self.position += 1
        if self.at("\0"):
            self.place(_Form.VALUE, "directly after a backslash")
        else:
            self.position += 1

    def hash(self) -> None:
        """A comment, where a word could begin."""
        self.position += 1
        while self.frame.word is None and self.position < self.end and not self.at("\n"):
            self.forms[self.position] = _Form.TEXT
            self.position += 1

    def operator(self) -> None:
        redirection = _REDIRECTION.match(self.text, self.position, self.end)
        self.position = redirection.end() if redirection else self.position + 1
        if not redirection:
            self.frame.start = self.position

    def parenthesis(self) -> None:
        if self.frame.nested:
            self.construct("(", _Construct(")", _COMMANDS))
        else:
            self.operator()

    def less(self) -> None:
        if self.at("<<<") or not self.at("<<"):
            return self.operator()
        here = self.position
        match = _DELIMITER.match(self.text, here, self.end)
        if not match:
            what = "the delimiter of this heredoc is not one plain or quoted word"
            raise self.source.error(what, here, "write <<EOF or <<'EOF'")
        delimiter = match["plain"] or match["quoted"] or match["escaped"]
        tabs = "\t" if match["tabs"] else ""
        heredoc = _Heredoc(self.frame.start, here, delimiter, not match["plain"], tabs)
        self.frame.heredocs.append(heredoc)
        self.position = match.end()
        return None

    def newline(self) -> None:
        heredocs, self.frame.heredocs = self.frame.heredocs, []
        self.position += 1
        for heredoc in heredocs:
            self.body(heredoc)
        self.frame.start = self.position

    def body(self, heredoc: _Heredoc) -> None:
        start, outer_end = self.position, self.end
        last, line_end = heredoc.end(self.text, start, outer_end)
        if last < 0:
            fix = f"end it with a line that is {heredoc.delimiter} alone"
            raise self.source.error("this heredoc is never closed", heredoc.at, fix)
        if heredoc.may_end_early(self.text[start:last]):
            fix = "choose a delimiter that is in capitals and nowhere in the text"
            raise self.source.error("this heredoc may end too early", heredoc.at, fix)
        self.frame.start, self.frame.word = heredoc.start, heredoc.at + 2
        if heredoc.quoted:
            for index in (index for index in self.source.names if start <= index < last):
                self.position = index
                self.place(_Form.VALUE, "in a heredoc with a quoted delimiter")
        else:
            self.end = last
            self.scan(_DOUBLE)
        self.end, self.frame.word = outer_end, None
        self.position = min(line_end + 1, outer_end)
