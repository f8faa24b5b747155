"""The project's documents as data: their fenced blocks, tables, headings and links."""

from __future__ import annotations

import functools
import glob
import os
import re
from dataclasses import dataclass

from support import ROOT

README = "README.md"
AGENT = "agent-instructions/OPENLOOP_AGENT.md"
PROMPTS = "prompts/PROMPTS.md"
ARCHITECTURE = ".github/ARCHITECTURE.md"
CONTRIBUTING = ".github/CONTRIBUTING.md"
COMMANDS = "src/openloop/manual/commands.md"
BROWSER = "src/openloop/manual/browser.md"
JUDGE = "src/openloop/manual/judge.md"
POLICY = "src/openloop/manual/policy.md"
RECORD = "src/openloop/manual/record.md"
CONFIGURATION = "src/openloop/manual/configuration.md"
ENVIRONMENT = "src/openloop/manual/environment.md"
EXIT_CODES = "src/openloop/manual/exit-codes.md"
RUNS = "src/openloop/manual/runs.md"
_PAGES = (".github/*.md", "src/openloop/manual/*.md", "examples/*/README.md")
_FOUND = [path for pages in _PAGES for path in glob.glob(pages, root_dir=ROOT)]
DOCUMENTS = (README, AGENT, PROMPTS, *sorted(_FOUND))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_SOURCE = re.compile(r'\bsrc(?:set)?="([^"]+)"')
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is where its text begins, counted from 1."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}, line {self.line}"


@functools.cache
def read(document: str) -> str:
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        return file.read()


def blocks(document: str, *languages: str) -> list[Block]:
    """The fenced blocks in these languages, in order; an indented block loses its indent."""
    text = read(document)
    found = []
    for match in _FENCE.finditer(text):
        indent, language, inside = match.groups()
        if language in languages:
            line = text.count("\n", 0, match.start(3)) + 1
            lines = [row.removeprefix(indent) for row in inside.splitlines(keepends=True)]
            found.append(Block(document, line, language, "".join(lines)))
    return found


def prose(document: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", read(document))


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its rank or above."""
    rank = len(heading) - len(heading.lstrip("#"))
    _, found, rest = prose(document).partition(f"\n{heading}\n")
    if not found:
        raise AssertionError(f"{document} has no heading {heading!r}")
    return re.split(rf"^#{{1,{rank}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row but headers and rules."""
    found = []
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("|--") and not below.startswith("|--"):
            found.append([cell.strip() for cell in _CELL.split(line)[1:-1]])
    return found


def code(text: str) -> list[str]:
    """What stands in `…`."""
    return re.findall(r"`([^`\n]+)`", text)


def links(document: str) -> list[str]:
    """The targets of links and pictures."""
    text = prose(document)
    return [*_LINK.findall(text), *_SOURCE.findall(text)]


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in found)
    return {heading.replace(" ", "-") for heading in kept}
