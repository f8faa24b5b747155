"""Shell scripts that call an agent in a loop, read line by line: no shell is asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from openloop.agents import catalog
from openloop.core.text import counted
from openloop.setup.findings import Finding, ok, problem, warning
from openloop.setup.missions.foreign_loop import ForeignLoop, protection

_BESIDE = re.compile(r"\$#|\bread\b")  # in loops over arguments and lines
_DONE = re.compile(r"(?:^\s*|[;&]\s*)done\b")
_LOOP = re.compile(r"(?:^\s*|[;&]\s*)(while|until|for)\b(.*?)(?:;?\s*\bdo\b|$)")
_ENDLESS = re.compile(r"\s*(:|true|\[\s*1\s*\]|\(\(\s*1\s*\)\))\s*$|.*\(\(\s*;\s*;\s*\)\)")
_COMPARED = re.compile(r"-(?:lt|le|gt|ge|eq)\s+[\"']?(\S+?)[\"']?(?=[\s\];)]|$)|[<>]=?\s*(\w+)")
_COUNTED = re.compile(r"\{1\.\.(\d+)\}|seq\s+(?:1\s+)?[\"']?(\$?\{?\w+\}?)|[<>]=?\s*(\$?\w+)")
_ENDS = re.compile(r"\b(?:break|exit|return)\b")
_WORD = re.compile(
    r"\bgrep\b.*(?:promise|complete|done|finished|all[ _-]?tasks|\[[x ]\\?\])"
    r"|\bjq\b.*\bpasses\b|\[\[.*(?:=~|==?\s*\*).*",
    re.IGNORECASE,
)
_GATE = re.compile(
    r"(?<![\w./-])((?:python3?\s+-m\s+)?(?:pytest|unittest)\b|(?:npm|pnpm|yarn)\s+(?:run\s+)?test\b"
    r"|(?:cargo|go)\s+test\b|make\s+(?:test|check)\b|tox\b|ctest\b)[^;&|>\n]*"
)
_PROMPT = re.compile(r"(?:\bcat\s+|\b[Rr]ead\s+|<\s*|@)[\"']?([\w./${}-]+)[\"']?")
_PROMPT_SAID = re.compile(r"(?i)prompt.*\bcat\b")  # a prompt read into a variable
_HERE = re.compile(r"^\$\{?\w*(?:DIR|HERE|ROOT)\w*\}?/")  # the script's own folder, most likely
_FREE = re.compile(r"--(?:dangerously[\w-]*|yolo|allow-all[\w-]*|force\b|full-auto)")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_FIX = "take it over, and let a command decide: openloop init --from"


def read(loop: ForeignLoop, text: str) -> ForeignLoop | None:
    """The loop of a script; None where no agent that is known is called, or nothing loops."""
    lines = [*_lines(text)]
    calls = [(line, name) for _, line in lines if (name := _agent(line))]
    head = _head(lines)
    if not calls or not head:
        return None
    loop.agent = calls[0][1]
    loop.prompt = _prompt(loop, [line for line, _ in calls], text)
    inside = [(number, line) for number, line in lines if number >= head[0]]
    loop.findings = [
        *_decides(loop, inside),
        *_brake(loop, head, inside, text),
        *_time(loop, [line for line, _ in calls]),
        *protection(loop, sorted({flag for line, _ in calls for flag in _FREE.findall(line)})),
    ]
    loop.left_out = ["what else the script does: read it"]
    return loop


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line), one for each that is continued on the next, without comments."""
    begun, kept = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        begun, kept = begun or number, kept + _COMMENT.sub("", line)
        if kept.endswith("\\"):
            kept = kept[:-1]
            continue
        yield begun, kept
        begun, kept = 0, ""


def _head(lines: list[tuple[int, str]]) -> tuple[int, re.Match[str]] | None:
    """The outermost loop around the first call of an agent, or, where functions call it, the first
    loop; None where there is none."""
    around: list[tuple[int, re.Match[str]]] = []
    first = None
    for number, line in lines:
        heads = [(number, match) for match in _LOOP.finditer(line)]
        around += heads
        rounds = (one for one in heads if not _BESIDE.search(one[1][2]))
        first = first or next(rounds, None)
        if around and _agent(line):
            return around[0]
        if ends := len(_DONE.findall(line)):
            around = around[:-ends]
    return first


def _agent(line: str) -> str:
    """The known agent that a line calls as a command, or ""."""
    names = "|".join(map(re.escape, catalog.names()))
    start = r"(?:^|[|;&({`]|\bdo\b|\bthen\b|\bexec\b|\btimeout\s+(?:-\S+\s+)*\S+)"
    match = re.search(rf"{start}\s*(?:\w+=\S*\s+)*({names})(?=\s|$|\))", line)
    return match[1] if match else ""


def _prompt(loop: ForeignLoop, calls: list[str], text: str) -> str:
    """The prompt's path from the folder, where it can be read off; "" otherwise."""
    folder, here = loop.folder, os.path.dirname(loop.name) or "."
    for line in (*calls, *(line for line in text.splitlines() if _PROMPT_SAID.search(line))):
        for word in _PROMPT.findall(line):
            path = os.path.normpath(_HERE.sub(f"{here}/", _resolved(word, text)))
            inside = not path.startswith(("/", "..")) and "$" not in path
            if inside and os.path.isfile(os.path.join(folder, path)):
                return path
    return "PROMPT.md" if os.path.isfile(os.path.join(folder, "PROMPT.md")) else ""


def _resolved(word: str, text: str) -> str:
    """A word, or the value that the script gives to the variable that it is, or its default."""
    match = re.fullmatch(r"\$?\{?(\w+)\}?", word)
    given = match and re.search(
        rf"^\s*(?:(?:export|local|readonly|declare)\s+)?{match[1]}="
        rf"[\"']?(?:\$\{{\w+:-)?([\w./$-]+(?:\{{\w+\}}[\w./-]*)?)",
        text,
        re.MULTILINE,
    )
    return given[1] if given else word


def _decides(loop: ForeignLoop, inside: list[tuple[int, str]]) -> Iterator[Finding]:
    words = [number for number, line in inside if _WORD.search(line)]
    gate = next(((n, m) for n, line in inside if (m := _GATE.search(line))), None)
    if gate:
        loop.gate = " ".join(gate[1][0].split())
        yield ok(f"{loop.name}:{gate[0]}: `{loop.gate}` is run")
    if words:
        what = "what the agent prints or ticks off ends the loop: it accepts the agent's own word"
        yield problem(f"{loop.name}:{words[0]}: {what}", _FIX)
    elif not gate:
        yield problem(
            f"{loop.name}: no command was seen that decides whether the work is done", _FIX
        )


def _brake(
    loop: ForeignLoop, head: tuple[int, re.Match[str]], inside: list[tuple[int, str]], text: str
) -> Iterator[Finding]:
    number, match = head
    where = f"{loop.name}:{number}"
    endless = match[1] == "while" and _ENDLESS.match(match[2])
    endless = endless or (match[1] == "for" and _ENDLESS.match(match[2]))
    counts = (_COUNTED if match[1] == "for" else _COMPARED).search(match[2])
    if endless or not counts:
        compared = [line for _, line in inside if _COMPARED.search(line)]
        is_bound = compared and any(_ENDS.search(line) for _, line in inside)
        if endless and not is_bound:
            yield problem(f"{where}: no brake: nothing bounds the number of rounds", _FIX)
            return
        counts = _COMPARED.search(compared[0]) if is_bound else None
    value = next((group for group in counts.groups() if group), "") if counts else ""
    value = _resolved(value, text)
    if value.isdigit() and 1 <= int(value) <= 10**9:
        loop.rounds = int(value)
        yield ok(f"{where}: at most {counted(loop.rounds, 'round')}")
    elif re.fullmatch(r"\$\d", value):
        yield ok(f"{where}: as many rounds as its argument {value} says")
    elif value == "0":
        yield problem(f"{where}: no brake: the number of rounds is 0, which is no bound", _FIX)
    else:
        fix = "see for yourself whether it ends"
        yield warning(f"{where}: what bounds the number of rounds could not be read", fix)


def _time(loop: ForeignLoop, calls: list[str]) -> Iterator[Finding]:
    if not any(re.search(r"\btimeout\b", line) for line in calls):
        fix = "put timeout in front of it; a mission has limits of its own"
        yield warning(f"{loop.name}: no limit of time: an agent that hangs stops the loop", fix)
