"""Where in a shell command a placeholder stands, and what can stand for it there.

The lexer follows a command as dash and bash both read it, and stops at what they may read
differently: an unclosed quote, `[[ … ]]`, a `case` inside `$(…)`. A placeholder is one NUL in
the text, which no command for a shell can hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from openloop.config.shell_constructs import (
    COMMANDS,
    SUBSHELL,
    TEXT,
    Construct,
    Context,
    Form,
    Place,
    suggest_rewrite,
)


class ShellProblem(NamedTuple):
    """An error: what is wrong, at which index of the text, and how to fix it."""

    at: int
    what: str
    fix: str


class PlaceholderForms:
    """The form found for each placeholder, by its index.

    before: the simple command up to the word, or up to the heredoc, that holds the placeholder.
    problems: in the order of the text; without any, `forms` is complete.
    """

    def __init__(self) -> None:
        self.forms: dict[int, Form] = {}
        self.before: dict[int, str] = {}
        self.problems: list[ShellProblem] = []


def read(text: str, names: Mapping[int, str], inert: frozenset[str]) -> PlaceholderForms:
    """Find a form for each placeholder of `text`.

    names: index of each placeholder → its name. inert: the names whose values are digits or
    lower-case letters alone, so that they may also go in bare.
    """
    lexer = _Lexer(text, names, inert)
    try:
        if text.count("\0") > len(names):
            raise _Doubt(ShellProblem(0, "a NUL cannot be part of a command", "take it out"))
        lexer.scan(COMMANDS)
        lexer.finish()
    except _Doubt as doubt:
        lexer.found.problems.append(doubt.problem)
    lexer.found.problems.sort(key=lambda problem: problem.at)
    return lexer.found


class _Doubt(Exception):
    """Raised where it becomes uncertain how shells read the rest of the text."""

    def __init__(self, problem: ShellProblem) -> None:
        super().__init__(problem)
        self.problem = problem


_DEEPEST = 40  # constructs inside each other
# The front of a[…]= or of [x]=1 in a=(…), unless what is in the brackets is plain.
_SUBSCRIPT = re.compile(r"(?:[A-Za-z_]\w*\[|\[(?=[^\n]*\]\+?=))(?![^][$`\"'()\0]*\])")
_REDIRECTION = re.compile(r"<<<|<[&>]?|&?>>?[&|]?")
_DELIMITER = re.compile(
    r"<<(?P<tabs>-?)[ \t]*(?:(?P<plain>[\w.-]+)|(?P<mark>['\"])(?P<quoted>[\w .-]+)(?P=mark)"
    r"|\\(?P<escaped>[\w.-]+))(?=[ \t\n;&|<>()]|\Z)",
    re.ASCII,
)


class _Heredoc(NamedTuple):
    """A heredoc announced by `<<`; its body begins on the next line."""

    start: int  # of the simple command that reads it
    at: int
    delimiter: str
    quoted: bool
    tabs: str  # a tab, where leading ones do not count

    def end(self, text: str, index: int, stop: int) -> tuple[int, int]:
        """Where the closing line begins and ends."""
        while index < stop:
            newline = text.find("\n", index, stop)
            line_end = stop if newline < 0 else newline
            if text[index:line_end].lstrip(self.tabs) == self.delimiter:
                return index, line_end
            index = line_end + 1
        fix = f"end it with a line that is {self.delimiter} alone"
        raise _Doubt(ShellProblem(self.at, "this heredoc is never closed", fix))

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


class _Frame:
    """One list of commands: the whole command, or the inside of a `$(…)`."""

    def __init__(self, start: int = 0, *, nested: bool = False) -> None:
        self.start = start  # of the current simple command
        self.word: int | None = None  # where the current word began
        self.nested = nested
        self.case = False  # the word `case` was seen
        self.heredocs: list[_Heredoc] = []  # whose bodies are still to come


class _Lexer:
    def __init__(self, text: str, names: Mapping[int, str], inert: frozenset[str]) -> None:
        self.text, self.names, self.inert = text, names, inert
        self.position, self.end = 0, len(text)
        self.frame = _Frame()
        self.inside: list[Place | None] = []  # the places of the open constructs
        self.found = PlaceholderForms()
        self.actions: dict[str, Callable[[], None]] = {
            "\n": self.newline,
            "#": self.hash,
            "<": self.less,
            "(": self.parenthesis,
            **dict.fromkeys(";&|>)", self.operator),
        }

    def at(self, text: str) -> bool:
        return self.text.startswith(text, self.position, self.end)

    def scan(self, context: Context, stop: str = "") -> None:
        """Read on to `stop`, or to the end of the text."""
        while self.position < self.end:
            here = self.position
            char = self.text[here]
            if context is COMMANDS:
                self.track_word(char)
            if stop and self.at(stop):
                return
            if odd := context.odd.match(self.text, here, self.end):
                shown = odd[0].replace("\0", "{…}").replace("\n", "\\n")
                what = f"not every shell reads {shown} alike here"
                raise _Doubt(ShellProblem(here, what, suggest_rewrite(odd[0])))
            if char == "\0":
                self.place(context.form)
            elif char == "\\" and context.escapes:
                self.escape()
            elif opening := next(filter(self.at, context.opens), ""):
                self.construct(opening, context.opens[opening])
            elif context is COMMANDS and char in self.actions:
                self.actions[char]()
            else:
                self.position += 1

    # --- constructs ---

    def construct(self, opening: str, construct: Construct) -> None:
        start, outer = self.position, self.frame
        self.position += len(opening)
        self.inside.append(construct.place or self.subscript())
        if len(self.inside) > _DEEPEST:
            what = f"more than {_DEEPEST} constructs stand inside each other"
            raise _Doubt(ShellProblem(start, what, suggest_rewrite(opening)))
        if opening == "$(":
            self.frame = _Frame(self.position, nested=True)
        self.scan(construct.context, construct.stop)
        if not self.at(construct.stop):
            fix = f"close it with {construct.stop}"
            raise _Doubt(ShellProblem(start, f"this {opening} is never closed", fix))
        self.position += len(construct.stop)
        self.inside.pop()
        if opening == "$(":
            self.finish()
            self.frame = outer
        if construct is not SUBSHELL and "\n" in self.text[start : self.position]:
            self.refuse_waiting_heredoc()

    def finish(self) -> None:
        """Check what is still open at the end of a list of commands."""
        for heredoc in self.frame.heredocs:
            raise _Doubt(
                ShellProblem(heredoc.at, "this heredoc has no body", "begin it on a new line")
            )

    def refuse_waiting_heredoc(self) -> None:
        """Refuse a line that continues after a `<<`: shells differ in where the body begins."""
        for heredoc in self.frame.heredocs:
            what = "shells differ in where the body of this heredoc begins"
            raise _Doubt(ShellProblem(heredoc.at, what, "keep the rest of the command on one line"))

    def escape(self) -> None:
        if self.at("\\\n"):
            self.refuse_waiting_heredoc()
        self.position += 1
        if self.at("\0"):
            self.place(Form.VALUE, Place.BACKSLASH)
        else:
            self.position += 1

    # --- placeholders ---

    def place(self, form: Form, place: Place | None = None) -> None:
        """Find a form for the placeholder that stands here."""
        here, word = self.position, self.frame.word
        shown = "{" + self.names[here] + "}"
        place = next(filter(None, (place, *self.inside, self.subscript())), None)
        if place and self.names[here] not in self.inert:
            what = f"{shown} cannot be filled in safely {place}"
            self.found.problems.append(ShellProblem(here, what, place.fix))
        elif form is Form.VALUE and self.joins(place):
            what = f"{shown} would become part of what stands next to it"
            self.found.problems.append(ShellProblem(here, what, "keep them apart"))
        self.found.forms[here] = form
        self.found.before[here] = self.text[self.frame.start : here if word is None else word]
        self.position += 1

    def joins(self, place: Place | None) -> bool:
        """Whether a bare value would lengthen a variable's name or number a redirection."""
        if place is Place.HEREDOC:
            return False
        redirects = place is Place.BACKTICKS and self.text[self.position + 1 :].startswith(
            ("<", ">")
        )
        return redirects or bool(re.search(r"\$\w*\Z", self.text[: self.position]))

    def subscript(self) -> Place | None:
        word = self.frame.word
        inside = word is not None and _SUBSCRIPT.match(self.text, word)
        return Place.SUBSCRIPT if inside else None

    # --- commands ---

    def track_word(self, char: str) -> None:
        frame = self.frame
        if char not in " \t\n;&|<>()":
            if frame.word is None and char != "#" and not self.at("\\\n"):
                frame.word = self.position
        elif frame.word is not None:
            word = self.text[frame.word : self.position].replace("\\\n", "")
            if frame.nested and frame.case and word == "in":
                what = "the `)` of a pattern in `case` looks like the end of $(…)"
                raise _Doubt(ShellProblem(frame.word, what, "write if … then, or use a script"))
            frame.case |= word == "case"
            frame.word = None

    def hash(self) -> None:
        """Skip a comment, if a word could begin here."""
        self.position += 1
        while self.frame.word is None and self.position < self.end and not self.at("\n"):
            if self.at("\0"):
                self.found.forms[self.position] = Form.TEXT
            self.position += 1

    def operator(self) -> None:
        redirection = _REDIRECTION.match(self.text, self.position, self.end)
        self.position = redirection.end() if redirection else self.position + 1
        if not redirection:
            self.frame.start = self.position

    def parenthesis(self) -> None:
        # Only a `$(…)` has an end to find, and only it refuses the single `)` of `case`.
        if self.frame.nested:
            self.construct("(", SUBSHELL)
        else:
            self.operator()

    def less(self) -> None:
        if self.at("<<<") or not self.at("<<"):
            self.operator()
        elif match := _DELIMITER.match(self.text, self.position, self.end):
            delimiter = match["plain"] or match["quoted"] or match["escaped"]
            tabs = "\t" if match["tabs"] else ""
            self.frame.heredocs.append(
                _Heredoc(self.frame.start, self.position, delimiter, not match["plain"], tabs)
            )
            self.position = match.end()
        else:
            what = "the delimiter of this heredoc is not one plain or quoted word"
            raise _Doubt(ShellProblem(self.position, what, "write <<EOF or <<'EOF'"))

    def newline(self) -> None:
        heredocs, self.frame.heredocs = self.frame.heredocs, []
        self.position += 1
        for heredoc in heredocs:
            self.body(heredoc)
        self.frame.start = self.position

    def body(self, heredoc: _Heredoc) -> None:
        start, outer_end = self.position, self.end
        last, line_end = heredoc.end(self.text, start, outer_end)
        if heredoc.may_end_early(self.text[start:last]):
            fix = "choose a delimiter in capitals that is nowhere in the text"
            raise _Doubt(ShellProblem(heredoc.at, "this heredoc may end too early", fix))
        self.frame.start, self.frame.word = heredoc.start, heredoc.at + 2
        if heredoc.quoted:
            for index in (index for index in self.names if start <= index < last):
                self.position = index
                self.place(Form.VALUE, Place.HEREDOC)
        else:
            self.end = last
            self.scan(TEXT)
        self.end, self.frame.word = outer_end, None
        self.position = min(line_end + 1, outer_end)
