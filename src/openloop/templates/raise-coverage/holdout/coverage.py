"""Print coverage=N: the share of functions whose loss some test notices.

Each function in turn loses its body in a copy of the project, and the suite must fail there.
"""

import ast
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]
ASIDE = shutil.ignore_patterns(".*", "__pycache__")


def sources(root):
    found = (path.relative_to(root) for path in sorted(root.rglob("*.py")))
    return [p for p in found if "tests" not in p.parts and not p.parts[0].startswith(".")]


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def passes(root):
    return not subprocess.run(SUITE, cwd=root, capture_output=True, check=False).returncode


def main():
    covered = total = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        shutil.copytree(".", root, ignore=ASIDE)
        if not passes(root):
            sys.exit("the tests do not pass, so they say nothing")
        for path in sources(root):
            code = (root / path).read_text()
            for number, function in enumerate(functions(ast.parse(code))):
                tree = ast.parse(code)
                functions(tree)[number].body = [ast.Pass()]
                (root / path).write_text(ast.unparse(tree))
                noticed = not passes(root)
                total, covered = total + 1, covered + noticed
                if not noticed:
                    print(f"no test notices the loss of {function.name} in {path}")
            (root / path).write_text(code)
    print(f"coverage={covered / total if total else 0:.2f}")


if __name__ == "__main__":
    main()
