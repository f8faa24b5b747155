"""The benchmark of a project: a program whose text says that it prints `name=number`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from openloop.setup.project_listing import Listing

_PROGRAMS = (  # ending, what runs it, how a comment begins
    (".py", "python3", "#"),
    (".sh", "sh", "#"),
    (".js", "node", "//"),
    (".mjs", "node", "//"),
    (".rb", "ruby", "#"),
)
# A string that is not closed ends with its line or with the file, so no byte is read twice.
_TOKEN = r"""(?x)
    (?<!\S)COMMENT.*
  | (?P<prints> \b(?:print(?:f|ln)?|echo|puts|console\.log|stdout\.write)\b )
  | (?P<string> (?: (?P<long>\"{3}|'{3}|`) (?s:\\.|(?!(?P=long)).)*+ (?P=long)?
                  | (?P<short>[\"']) (?s:\\.|(?!(?P=short))[^\n])*+ (?P=short)?
                ) (?:[ \t]*\+)? )
  | [()\n]
"""
# At the start of a word, and followed by a number or by where one is filled in or added.
_NAMED = r"(?:[\"'`\s]|\\[nt])([A-Za-z]\w*)=(?=[{%$#0-9]|[\"'`]\s*\+)"
_BETTER = {  # by what a name is known: its first such word. Surer measures come first.
    word: direction
    for direction, words in (
        ("greater_equal", "score accuracy precision recall f1 coverage quality passed"),
        ("less_equal", "loss error errors err failed failures misses"),
        # "second" as in requests_per_second; "seconds" are a time.
        ("greater_equal", "throughput bandwidth ops qps rps fps speed speedup second rate"),
        ("less_equal", "latency time runtime duration elapsed took seconds ms us ns"),
        ("less_equal", "memory rss bytes size"),
    )
    for word in words.split()
}
_RANK = {word: rank for rank, word in enumerate(_BETTER)}


class Benchmark(NamedTuple):
    path: str
    command: str
    metric: str

    def baseline(self) -> dict[str, Any]:
        """A block for openloop.json, disabled, and without its `value`."""
        return {
            "enabled": False,
            "command": self.command,
            "metric_name": self.metric,
            "regex": rf"\b{self.metric}=([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)",
            "direction": _BETTER[_known_word(self.metric)],
        }


def benchmark(project: Listing) -> Benchmark | None:
    """The first benchmark that prints a metric known by its name."""
    for folder, stem, (ending, program, comment) in itertools.product(
        ("", "benchmarks/", "bench/", "scripts/"), ("benchmark", "bench"), _PROGRAMS
    ):
        path = f"{folder}{stem}{ending}"
        names = [name for name in _printed(project.text(path), comment) if _known_word(name)]
        if names:
            metric = min(names, key=lambda name: _RANK[_known_word(name)])
            return Benchmark(path, f"{program} {path}", metric)
    return None


def _printed(text: str, comment: str) -> Iterator[str]:
    """The names before a number in strings that a statement prints."""
    printing, depth = False, 0
    for token in re.finditer(_TOKEN.replace("COMMENT", re.escape(comment)), text):
        if token["prints"]:
            printing, depth = True, 0
        elif printing and token["string"]:
            yield from re.findall(_NAMED, token[0])
        else:
            depth += {"(": 1, ")": -1}.get(token[0], 0)
            printing = printing and depth > 0


def _known_word(name: str) -> str:
    """The word that makes a name known as a metric, or ""."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+", name)
    return next((word.lower() for word in words if word.lower() in _BETTER), "")
