"""Name what is wrong in the Python files of the project, tests aside; 1 where there is anything."""

import ast
import builtins
import re
import sys
from pathlib import Path

SILENCES = re.compile(r"#\s*(noqa|type:\s*ignore|lint:|pylint:|pyright:)")


def findings(path):
    text = path.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        if SILENCES.search(line):
            yield number, "a comment that silences a linter"
    for node in ast.walk(ast.parse(text)):
        yield from ((node.lineno, what) for what in wrong(node))


def wrong(node):
    if isinstance(node, ast.FunctionDef) and node.returns is None:
        yield f"{node.name} does not say what it returns"
    if isinstance(node, ast.arg) and node.arg not in ("self", "cls") and node.annotation is None:
        yield f"{node.arg} has no type"
    if isinstance(node, ast.Name) and node.id == "Any":
        yield "Any is no type"
    stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    name = node.arg if isinstance(node, ast.arg) else node.id if stored else ""
    if hasattr(builtins, name):
        yield f"{name} hides a builtin"
    if isinstance(node, ast.ExceptHandler) and getattr(node.type, "id", "Exception") == "Exception":
        yield "every exception is caught"


def main():
    count = 0
    for path in sorted(Path().rglob("*.py")):
        if "tests" not in path.parts and not path.parts[0].startswith("."):
            for line, what in sorted(findings(path)):
                print(f"{path}:{line}: {what}")
                count += 1
    print(f"{count} findings")
    sys.exit(count > 0)


if __name__ == "__main__":
    main()
