"""A coding agent without a model, for demonstrations: python3 repair_agent.py PROMPT_FILE

On its first call for a workspace it does what makes agents hard to trust: it reports a success
and changes nothing. On later calls it repairs in earnest, by search: it reads the prompt and
runs the unit tests to learn which module the failures speak of, tries one small edit after the
other on a scratch copy, and keeps the first one with which the tests pass.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = ["-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]
TRIAL_TIMEOUT = 5.0  # seconds; an edit may well make a loop endless

# Slips of one word, and what may have been meant.
MEANT = {
    "if": ["if not"],
    "not": [""],
    "and": ["or"],
    "or": ["and"],
    "<": ["<=", ">"],
    "<=": ["<", ">="],
    ">": [">=", "<"],
    ">=": [">", "<="],
    "==": ["!="],
    "!=": ["=="],
    "min": ["max"],
    "max": ["min"],
    "pop": ["popleft"],
    "popleft": ["pop"],
}


@dataclass(frozen=True, slots=True)
class Edit:
    """Another word at one place of a module."""

    module: str
    line: int  # from 1
    before: str
    after: str
    source: str  # the whole module after the edit


def main(prompt_file: Path) -> int:
    workspace = Path(os.environ["OPENLOOP_WORKSPACE"])
    project = Path(os.environ.get("OPENLOOP_PROJECT_ROOT") or Path.cwd())
    diary = workspace / "knowledge" / "repair-agent.md"
    if not diary.exists():
        note(diary, "reported success, changed nothing.")
        print("Found the root cause and fixed it. Every test passes, the mission is complete.")
        return 0
    edit = search(project, prompt_file.read_text(encoding="utf-8", errors="replace"))
    if edit is None:
        note(diary, "found no edit of one word that makes the tests pass.")
        print("No edit of one word makes the tests pass.")
        return 1
    (project / edit.module).write_bytes(edit.source.encode())
    what = f"{edit.module}, line {edit.line}: `{edit.before}` became `{edit.after}`"
    note(diary, what)
    print(f"Repaired {what}")
    return 0


def note(diary: Path, lesson: str) -> None:
    diary.parent.mkdir(parents=True, exist_ok=True)
    with diary.open("a", encoding="utf-8") as lines:
        lines.write(f"- round {os.environ.get('OPENLOOP_ROUND', '?')}: {lesson}\n")


def search(project: Path, prompt: str) -> Edit | None:
    """The first edit with which the tests pass; the project itself stays as it is."""
    with tempfile.TemporaryDirectory(prefix="repair-agent-") as folder:
        scratch = Path(folder) / "project"
        shutil.copytree(project, scratch, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        tried = 0
        for module in suspects(scratch, prompt + run_tests(scratch)[1]):
            path = scratch / module
            original = path.read_bytes()
            for edit in edits(module, original.decode()):
                tried += 1
                path.write_bytes(edit.source.encode())
                if run_tests(scratch, "--failfast")[0]:
                    print(f"The tests pass with edit number {tried}.")
                    return edit
            path.write_bytes(original)
    return None


def suspects(project: Path, evidence: str) -> list[str]:
    """The modules of the project, those first that failing tests and tracebacks name most."""
    names = Counter(re.findall(r"\btest_(\w+)\b|\b(\w+)\.py\b", evidence))
    count = {path: names[path.stem, ""] + names["", path.stem] for path in project.glob("*.py")}
    modules = sorted(count, key=lambda path: (-count[path], path.name))
    found = ", ".join(f"{path.name} {count[path]}" for path in modules)
    print(f"Suspects, and how often each was named: {found}")
    return [path.name for path in modules]


def edits(module: str, source: str) -> Iterator[Edit]:
    """Every edit of one word that still compiles, from the top of the module to its end."""
    lines = io.StringIO(source, newline="").readlines()
    for token in tokenize.generate_tokens(iter(lines).__next__):
        for after in MEANT.get(token.string, []):
            row, column = token.start
            # A word that goes takes the blank behind it along.
            rest = lines[row - 1][token.end[1] :].removeprefix("" if after else " ")
            line = lines[row - 1][:column] + after + rest
            edited = "".join([*lines[: row - 1], line, *lines[row:]])
            if compiles(edited):
                yield Edit(module, row, lines[row - 1].strip(), line.strip(), edited)


def compiles(source: str) -> bool:
    try:
        compile(source, "<edit>", "exec")
    except SyntaxError:
        return False
    return True


def run_tests(project: Path, *options: str) -> tuple[bool, str]:
    """Whether the unit tests pass, and what they print."""
    try:
        done = subprocess.run(
            [sys.executable, *TESTS, *options],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRIAL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, ""
    return done.returncode == 0, done.stdout.decode(errors="replace")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: repair_agent.py PROMPT_FILE")
    sys.exit(main(Path(sys.argv[1])))
