"""The constructs of a shell command: how each opens, how its inside is read, where it ends.

Only what dash and bash read alike is described; `odd` patterns match where they may differ.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Form(StrEnum):
    """The text that replaces a placeholder; `%s` is the name of an environment variable."""

    WORD = '"${%s}"'
    QUOTED = "${%s}"  # inside "…" and in a heredoc
    SINGLE = "'\"${%s}\"'"  # inside '…'
    VALUE = "value"  # bare, where no reference can stand
    TEXT = "text"  # in a comment: left as it is


class Place(StrEnum):
    """A place for inert values only: a reference is impossible there, or the shell calculates with
    it."""

    BACKSLASH = "directly after a backslash"
    SUBSCRIPT = "in an array subscript"
    ANSI = "inside $'…'"
    BACKTICKS = "inside `…`"
    PARAMETER = "inside ${…}"
    ARITHMETIC = "inside arithmetic"
    HEREDOC = "in a heredoc with a quoted delimiter"

    @property
    def fix(self) -> str:
        return _MEND[self]


_COMPUTED = "bash would run what the value holds: use a number you have tested"
_MEND = {
    Place.BACKSLASH: "take the backslash away, or double it",
    Place.SUBSCRIPT: _COMPUTED,
    Place.ANSI: "use '…' or \"…\"",
    Place.BACKTICKS: "write $(…) instead of `…`",
    Place.PARAMETER: "store it in a variable first, x={…}, and use that one",
    Place.ARITHMETIC: _COMPUTED,
    Place.HEREDOC: "take the quotes off the delimiter",
}


class Construct(NamedTuple):
    stop: str
    context: Context
    place: Place | None = None


class Context:
    """How the inside of a construct is read: what a placeholder becomes there, what shells may
    read differently, and which constructs open in it (the first that fits)."""

    def __init__(self, form: Form, odd: str = r"(?!)", *, escapes: bool = True) -> None:
        """escapes: a backslash takes the meaning from the next character."""
        self.form = form
        self.odd = re.compile(odd)
        self.escapes = escapes
        self.opens: dict[str, Construct] = {}


_DOLLAR = r"\$(?:\[|\\\n|\$[({\[]|\{(?![A-Za-z0-9_#!@*?$-]))"
COMMANDS = Context(
    Form.WORD,
    _DOLLAR + r"|[?*+@!]\(|[(<]\\\n|\\\n[(#]|(?<![^\s;&|(])\[\[(?=\s|\\\n)",
)
TEXT = Context(Form.QUOTED, _DOLLAR)  # inside "…", and the body of a heredoc
_SINGLE = Context(Form.SINGLE, escapes=False)
_BACKTICKS = Context(Form.VALUE)
_ANSI = Context(Form.VALUE, r"\\(?:'|(?:[xuU][0-9A-Fa-f{]*|[0-7]+|c)?\0)")
_PARAMETER = Context(Form.VALUE, _DOLLAR + r"|\{|\\['\"\n]")
_PLAIN = Context(Form.VALUE, r"['\"`\\{}]|\$(?![A-Za-z_])", escapes=False)
_ARITHMETIC = Context(Form.VALUE, _DOLLAR + r"|['\"`\\)]|(?<!\$)#|<<")

_EXPANSIONS = {
    "$((": Construct("))", _ARITHMETIC, Place.ARITHMETIC),
    "$(": Construct(")", COMMANDS),
    "${": Construct("}", _PARAMETER, Place.PARAMETER),
}
_ARITHMETIC.opens.update(_EXPANSIONS)
_ARITHMETIC.opens["("] = Construct(")", _ARITHMETIC)
TEXT.opens.update(_EXPANSIONS)
TEXT.opens["`"] = Construct("`", _BACKTICKS, Place.BACKTICKS)
_PARAMETER.opens.update(TEXT.opens)
_PARAMETER.opens["'"] = Construct("'", _PLAIN)
_PARAMETER.opens['"'] = Construct('"', _PLAIN)
COMMANDS.opens.update(TEXT.opens)
COMMANDS.opens["'"] = Construct("'", _SINGLE)
COMMANDS.opens['"'] = Construct('"', TEXT)
COMMANDS.opens["$'"] = Construct("'", _ANSI, Place.ANSI)
COMMANDS.opens["(("] = _EXPANSIONS["$(("]
SUBSHELL = Construct(")", COMMANDS)  # opened by a single `(`

_PLAINER = {"[[": "write [ … ]", "$[": "write $((…))", ")": "write $( (…) ) or ( (…) )"}


def suggest_rewrite(odd: str) -> str:
    """How to fix text that shells may read differently."""
    return _PLAINER.get(odd, "write it in a plainer way, or move it into a script")
