"""A coding agent without a model, for this example: python3 repair_agent.py PROMPT_FILE

It takes from the prompt which tests fail, or that none does and the baseline is missed, tries
one small edit after the other in the classes that the prompt names, and keeps the first that
helps. Like many an agent it is content too soon: it looks at nothing but what was reported. It
learns from the loop: when tests fail after an edit that was made for the baseline, it takes
that edit back and looks for one with which every gate passes.
"""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

MODULE = Path("src", "cachetools", "__init__.py")
TRIAL_TIMEOUT = 20.0  # seconds; an edit may well make a loop endless

TESTS, BASELINE, EVERY_GATE = "the failed tests", "the baseline", "every gate"

# Slips of one word, and what may have been meant.
MEANT = {
    "<": ["<=", ">"],
    "<=": ["<", ">="],
    ">": [">=", "<"],
    ">=": [">", "<="],
    "==": ["!="],
    "!=": ["=="],
    "and": ["or"],
    "or": ["and"],
}


@dataclass(frozen=True, slots=True)
class Edit:
    """Another wording of one line of the module, and what it was made for."""

    line: int  # from 1
    before: str
    after: str
    goal: str

    def __str__(self) -> str:
        return f"line {self.line}, `{self.before.strip()}` became `{self.after.strip()}`"

    def apply(self, source: str) -> str:
        return self._put(source, self.after)

    def take_back(self, source: str) -> str:
        return self._put(source, self.before)

    def _put(self, source: str, text: str) -> str:
        lines = source.splitlines(keepends=True)
        return "".join([*lines[: self.line - 1], text, *lines[self.line :]])


def main(prompt_file: Path) -> int:
    prompt = prompt_file.read_text(encoding="utf-8", errors="replace")
    workspace = Path(os.environ["OPENLOOP_WORKSPACE"])
    project = Path(os.environ["OPENLOOP_PROJECT_ROOT"])
    config = json.loads((workspace / "openloop.json").read_text(encoding="utf-8"))
    diary = workspace / "knowledge" / "repair_agent.jsonl"
    source = (project / MODULE).read_text(encoding="utf-8")
    tests = failed_tests(prompt)
    last = last_edit(diary)
    goal = choose_goal(tests, last)
    if last and goal == EVERY_GATE:
        print(f"Tests fail since my last edit. I take it back: {last}")
        source = last.take_back(source)
    helps = {
        TESTS: partial(tests_pass, tests),
        BASELINE: partial(baseline_met, config),
        EVERY_GATE: partial(gates_pass, config),
    }[goal]
    edit = search(project, edits(source, suspects(source, prompt), goal), source, helps)
    if edit is None:
        print(f"No edit of one word helps with {goal}.")
        return 1
    print(f"This satisfies {goal}: {edit}")
    (project / MODULE).write_text(edit.apply(source), encoding="utf-8")
    with diary.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(edit)) + "\n")
    return 0


def failed_tests(prompt: str) -> list[str]:
    """The tests that the quoted logs report, named as unittest takes them."""
    names = re.findall(r"^(?:FAIL|ERROR): \w+ \((tests\.[\w.]+)\)", prompt, re.MULTILINE)
    return list(dict.fromkeys(names))


def last_edit(diary: Path) -> Edit | None:
    if not diary.exists():
        return None
    return Edit(**json.loads(diary.read_text(encoding="utf-8").splitlines()[-1]))


def choose_goal(tests: list[str], last: Edit | None) -> str:
    if not tests:
        return BASELINE
    return EVERY_GATE if last and last.goal == BASELINE else TESTS


def suspects(source: str, prompt: str) -> list[ast.ClassDef]:
    """The classes that the prompt names, by themselves or in the name of a test case; those
    named most often first."""
    words = Counter(word.removesuffix("Test") for word in re.findall(r"\w+", prompt))
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    named = [node for node in classes if words[node.name]]
    named.sort(key=lambda node: -words[node.name])
    print(f"Suspects: {', '.join(node.name for node in named) or 'none'}")
    return named


def edits(source: str, places: list[ast.ClassDef], goal: str) -> Iterator[Edit]:
    """Every edit of one word, class by class, from the top of each to its end."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for place in places:
        for token in tokens:
            row, column = token.start
            if place.lineno <= row <= (place.end_lineno or row):
                line, rest = lines[row - 1], lines[row - 1][token.end[1] :]
                for word in MEANT.get(token.string, []):
                    yield Edit(row, line, line[:column] + word + rest, goal)


def search(
    project: Path, tries: Iterator[Edit], source: str, helps: Callable[[Path], bool]
) -> Edit | None:
    """The first edit that helps, tried on a scratch copy beside the project."""
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=project.parent) as scratch:
        shutil.copytree(project, scratch, dirs_exist_ok=True)
        for number, edit in enumerate(tries, 1):
            Path(scratch, MODULE).write_text(edit.apply(source), encoding="utf-8")
            if helps(Path(scratch)):
                print(f"Edits tried: {number}")
                return edit
    return None


def tests_pass(names: list[str], folder: Path) -> bool:
    return run(f"python3 -B -m unittest {' '.join(names)}", folder) is not None


def baseline_met(config: dict[str, Any], folder: Path) -> bool:
    baseline = config["baseline"]
    printed = run(baseline["command"]["run"], folder) or ""
    found = re.search(baseline["regex"], printed)
    return found is not None and float(found[1]) <= baseline["value"]


def gates_pass(config: dict[str, Any], folder: Path) -> bool:
    commands = (config["commands"][gate]["run"] for gate in ("play", "scan", "verify"))
    return baseline_met(config, folder) and all(run(line, folder) is not None for line in commands)


def run(line: str, folder: Path) -> str | None:
    """What a shell command prints; None when it fails."""
    try:
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRIAL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: repair_agent.py PROMPT_FILE")
    sys.exit(main(Path(sys.argv[1])))
