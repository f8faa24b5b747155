"""Which paths a list of patterns covers, in the language of .gitignore.

The patterns mean what they mean to git in a .gitignore file at the root:

- A pattern without a slash, or with one only at its end, matches at any depth; a slash at its
  start or in its middle ties it to the root. A slash at its end: only folders.
- `*`, `?`, `[a-z]`, `[!x]` match within one name; `**` as a whole name is any number of
  folders. They count bytes: `?` is one byte of a longer letter. Case matters.
- What lies below a covered folder is covered too. `!pattern` takes back, the last match wins;
  but nothing below a covered folder can be taken back.

The patterns stand in a list, not in lines, so nothing is a comment: `#x` is a file called `#x`.
Patterns that match nothing, or other paths than they seem to, are refused: see `check`.
"""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

_STARS = re.compile(r"\*\*+")
_CLASS = re.compile(r"\[:([^\]]*):\]")
_FOLDERS = rb"(?:[^/]+/)*?"  # any number of them, none included
_END_OF_NAME = rb"(?:/|\Z)"
_SPECIAL = re.compile(rb"([\\*?\[])")
_BYTES = frozenset(range(256)) - {ord("/")}
_PRINTED = string.ascii_letters + string.digits + string.punctuation
_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "digit": string.digits,
    "graph": _PRINTED,
    "lower": string.ascii_lowercase,
    "print": _PRINTED + " ",
    "punct": string.punctuation,
    "space": " \t\n\r",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


class Globs:
    """A list of patterns, compiled once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises ValueError for a pattern that `check` objects to."""
        self._compile([_Pattern.parse(pattern) for pattern in patterns])

    @classmethod
    def lenient(cls, patterns: Iterable[str], *, ignore_case: bool = False) -> Globs:
        """The patterns of a .gitignore file, without those that are malformed."""
        rules: list[_Pattern] = []
        for pattern in patterns:
            with contextlib.suppress(ValueError):
                rules.append(_Pattern.lenient(pattern))
        globs = cls.__new__(cls)
        globs._compile(rules, re.IGNORECASE if ignore_case else re.NOFLAG)
        return globs

    def _compile(self, rules: Sequence[_Pattern], flags: re.RegexFlag = re.NOFLAG) -> None:
        self._starts = [rule.start for rule in rules if not rule.negated]
        # The last match wins: the latest rules stand first, neighbours of one kind together.
        runs = [(kind, _any(run)) for kind, run in groupby(rules[::-1], lambda rule: rule.negated)]
        self._covering = [not negated for negated, _ in runs]
        expression = b"|".join(b"(%b)" % run for _, run in runs)
        self._expression = re.compile(expression or rb"(?!)", flags)
        self._stepwise = not all(self._covering)

    def matches(self, path: bytes, *, folder: bool = False) -> bool:
        """Whether the path, or a folder above it, is covered.

        path: relative to the root, names separated by b"/", neither `.` nor `..` among them.
        folder: the path is itself a folder; those above it are in any case.
        """
        if folder:
            path += b"/"
        if not self._stepwise:
            # The expression ends wherever a name ends, so that it finds folders above as well.
            return self._expression.match(path) is not None
        return self._covered_on_the_way(path)

    def verdict(self, path: bytes) -> bool | None:
        """Whether the last pattern that matches the path itself covers it or takes it back; None
        where none matches. The path of a folder ends in a slash."""
        match = self._expression.fullmatch(path)
        return self._covering[(match.lastindex or 0) - 1] if match else None

    def reaches(self, folder: bytes) -> bool:
        """Whether a pattern could cover something in a folder; False is certain."""
        names = folder.split(b"/")
        return any(start[: len(names)] == names[: len(start)] for start in self._starts)

    def _covered_on_the_way(self, path: bytes) -> bool:
        """Whether the path or a folder above it is covered; the topmost covered folder decides."""
        end = 0
        while end < len(path):
            end = path.find(b"/", end) + 1 or len(path)
            match = self._expression.fullmatch(path, 0, end)
            if match and self._covering[(match.lastindex or 0) - 1]:
                return True
        return False


def check(pattern: str) -> str:
    """What is wrong with a pattern, to be read after its name ("is empty"); "" when it is sound.

    Wrong are malformed patterns, names that no path has (`.`, `..`, none between two slashes), `~`,
    and patterns that seem to match more paths than they do, such as `src/**.py`.
    """
    try:
        _Pattern.parse(pattern)
    except ValueError as problem:
        return str(problem)
    return ""


def literal(path: bytes) -> str:
    """The pattern that covers this one path below the root, whatever its names hold."""
    escaped = _SPECIAL.sub(rb"\\\1", path)
    if escaped.endswith(b" "):
        escaped = escaped[:-1] + b"\\ "
    return "/" + escaped.decode("utf-8", "surrogateescape")


class _Pattern(NamedTuple):
    """One pattern. expression: matches from the start of a path to the end of a name in it.
    start: the leading names that every path matched by it has in common."""

    negated: bool
    anchored: bool
    expression: bytes
    start: list[bytes]

    @classmethod
    def parse(cls, pattern: str) -> _Pattern:
        """A pattern that `check` accepts. Raises ValueError, which says why it is refused."""
        rule = cls.lenient(pattern)
        _check_intent(pattern, rule.anchored)
        return rule

    @classmethod
    def lenient(cls, pattern: str) -> _Pattern:
        """A pattern that git accepts. Raises ValueError for a malformed one."""
        _check_whole(pattern)
        text = pattern.removeprefix("!")
        path = text.removesuffix("/")
        names = path.removeprefix("/").split("/")
        anchored = "/" in path
        for name in names:
            _check_name(name)
        end = b"/" if path != text else _END_OF_NAME
        literals = takewhile(lambda name: not _SPECIAL.search(_bytes(name)), names)
        start = list(map(_bytes, literals)) if anchored else []
        return cls(text != pattern, anchored, _path(names) + end, start)


def _check_whole(pattern: str) -> None:
    if pattern in ("", "!"):
        raise ValueError("is empty")
    if "\0" in pattern:
        raise ValueError("holds a NUL, which no file name can")
    try:
        pattern.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which no file name can") from None


def _check_intent(pattern: str, anchored: bool) -> None:
    if not pattern.removeprefix("!").strip():
        raise ValueError("is empty")
    if pattern.endswith(" ") and not pattern.endswith("\\ "):
        raise ValueError("ends in a space; remove it, or write `\\ ` for a name that ends in one")
    if re.match(r"!?~(/|$)", pattern):
        raise ValueError("starts with ~: patterns are relative to the root, and none leads out")
    for name in pattern.removeprefix("!").split("/") if anchored else ():
        if _STARS.search(name) and not _STARS.fullmatch(name):
            raise ValueError(
                "has `**` beside other letters, where it is only `*`: write `**/*` for any depth"
            )


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("has no name before, after or between slashes")
    if name in (".", ".."):
        raise ValueError(f"holds the name `{name}`: write the path as it is seen from the root")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _any(rules: Iterable[_Pattern]) -> bytes:
    """One regular expression for all rules; those that match at any depth share their prefix."""
    rules = list(rules)
    floating = b"|".join(rule.expression for rule in rules if not rule.anchored)
    anchored = [rule.expression for rule in rules if rule.anchored]
    return b"|".join([*anchored, *([_FOLDERS + b"(?:" + floating + b")"] if floating else [])])


def _path(names: Sequence[str]) -> bytes:
    """The expression of a path's names, `**` among them."""
    found = block = b""
    stretches = False
    for name in names[:-1]:
        if not _STARS.fullmatch(name):
            block += _name(name) + b"/"
            continue
        # Atomic, so that it cannot explode: the first place where the names between two `**`
        # fit is as good as any later one, because the second `**` can stretch.
        found += b"(?>%b%b)" % (_FOLDERS, block) if stretches else block
        block, stretches = b"", True
    last = rb"(?s:.+)" if _STARS.fullmatch(names[-1]) else _name(names[-1])
    return found + (_FOLDERS if stretches else b"") + block + last


def _name(name: str) -> bytes:
    """The expression of one name, which is not empty and has no slash."""
    pieces = [b""]  # what stands between the stars
    at = 0
    while at < len(name):
        if name[at] == "*":
            pieces.append(b"")
            at += 1
        else:
            unit, at = _unit(name, at)
            pieces[-1] += unit
    if not any(pieces):
        return rb"[^/]+"
    first, *between = pieces
    if not between:
        return first
    # Atomic for the same reason as above.
    middle = b"".join(rb"(?>[^/]*?%b)" % piece for piece in between[:-1] if piece)
    return first + middle + rb"[^/]*" + between[-1]


def _unit(name: str, at: int) -> tuple[bytes, int]:
    """The expression for the next unit of a name, and the index behind that unit."""
    match name[at]:
        case "?":
            return rb"[^/]", at + 1
        case "[":
            return _set(name, at + 1)
        case "\\":
            at += 1
    letter = name[at : at + 1]
    if not letter:
        raise ValueError("has a backslash at the end of a name, where it escapes nothing")
    return re.escape(letter.encode("utf-8", "surrogateescape")), at + 1


def _set(name: str, at: int) -> tuple[bytes, int]:
    """The same for a set `[…]`, from the index behind its bracket."""
    negated = name.startswith(("!", "^"), at)
    first = at = at + negated
    members: set[int] = set()
    low = None  # what a range can start from
    while at == first or not name.startswith("]", at):
        if named := _CLASS.match(name, at):
            members.update(_class(named[1]))
            low, at = None, named.end()
        elif (
            low is not None and name.startswith("-", at) and name[at + 1 : at + 2] not in ("", "]")
        ):
            high, at = _member(name, at + 1)
            if high < low:
                raise ValueError("has a range in `[…]` that runs backwards")
            members.update(range(low, high + 1))
            low = None
        else:
            low, at = _member(name, at)
            members.add(low)
    return _one_of(_BYTES - members if negated else _BYTES & members), at + 1


def _member(name: str, at: int) -> tuple[int, int]:
    """The byte of one member of a set, and the index behind it."""
    at += name.startswith("\\", at)
    if at >= len(name):
        raise ValueError(
            "has a `[` that is not closed before the next slash: write `\\[` for itself"
        )
    if not name[at].isascii():
        raise ValueError("has a letter beyond ASCII in `[…]`: write one pattern for each letter")
    return ord(name[at]), at + 1


def _class(word: str) -> Iterable[int]:
    if word not in _CLASSES:
        raise ValueError(f"has an unknown class [:{word}:], known are {', '.join(_CLASSES)}")
    return _CLASSES[word].encode()


def _one_of(members: Iterable[int]) -> bytes:
    letters = b"".join(rb"\x%02x" % member for member in sorted(members))
    return b"[%b]" % letters if letters else rb"(?!)"
