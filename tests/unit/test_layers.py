"""The floors of the house: read from the syntax tree, so that no import slips by."""

from __future__ import annotations

import ast
import os
import sys
import unittest
from functools import cache

import openloop

FOLDER = os.path.dirname(os.path.abspath(openloop.__file__))
PACKAGE = "openloop"
FLOORS = {
    0: "__init__ text errors words states chain",
    1: "oom_markers schema constructs quoting template globs jsontext config cases gates breaker",
    2: "transitions loop",
    3: "clock files tree marks witness guard interrupts watchdog watched oom process workspace"
    " logscan excerpt"
    " mission"
    " glance journal projections documents agents"
    " mounts"
    " listing kit python_kit javascript_kit ecosystems play benchmark detect"
    " manifest changes contents footing restoration checkpoint repository shadow ignored"
    " links rules diffs conduct policy"
    " extent quotation archive withhold holdout sandbox",
    4: "lock reader history evidence rebuild ledger heartbeat store",
    5: "prompt enforcement steps runner",
    6: "console github status audit doctor probe scaffold"
    " logs charts report report_html report_markdown report_junit completion topics"
    " canary attempt judge junit"
    " judging recording surroundings"
    " scratch spoiling trials",
    7: "output arguments commands cli __main__",
}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules.split()}
DECIDES = [module for module, floor in FLOOR.items() if floor <= 2]
THE_WORLD = {
    "asyncio",
    "datetime",
    "fcntl",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "select",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
VIEWS = (
    *("status", "audit", "doctor", "console", "github", "logs", "charts", "completion", "topics"),
    *("report", "report_html", "report_markdown", "report_junit", "history"),
)
WRITERS = {"store", "ledger", "rebuild", "process", "guard", "watchdog", "runner"}


def modules() -> list[str]:
    return sorted(name[:-3] for name in os.listdir(FOLDER) if name.endswith(".py"))


@cache
def tree(module: str) -> ast.Module:
    with open(os.path.join(FOLDER, f"{module}.py"), encoding="utf-8") as file:
        return ast.parse(file.read())


@cache
def imported(module: str) -> frozenset[str]:
    """Every name a module imports, dotted: lazily, for type checking only, or at its top."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(found)


def rooms(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    own: set[str] = set()
    for name in imported(module):
        parts = name.split(".")
        if parts[0] == PACKAGE:
            second = parts[1] if len(parts) > 1 else "__init__"
            own.add(second if second in modules() else "__init__")
    return own


def outside(module: str) -> set[str]:
    """The top-level packages other than this one that a module imports."""
    return {name.split(".")[0] for name in imported(module)} - {PACKAGE}


class Layers(unittest.TestCase):
    """Lower floors never import higher ones."""

    def test_every_module_has_a_floor(self) -> None:
        self.assertEqual(set(modules()), set(FLOOR))

    def test_no_module_imports_a_higher_floor(self) -> None:
        for module in FLOOR.keys() & set(modules()):
            for other in rooms(module) & FLOOR.keys():
                with self.subTest(f"{module} imports {other}"):
                    self.assertLessEqual(FLOOR[other], FLOOR[module])

    def test_no_circles(self) -> None:
        below: dict[str, set[str]] = {module: rooms(module) - {module} for module in modules()}
        while below:
            settled = {module for module, others in below.items() if not others & set(below)}
            self.assertTrue(settled, f"a circle among {sorted(below)}")
            below = {module: others for module, others in below.items() if module not in settled}

    def test_no_relative_imports(self) -> None:
        for module in modules():
            self.assertFalse([name for name in imported(module) if name.startswith(".")], module)

    def test_the_deciding_half_knows_no_process_file_or_clock(self) -> None:
        for module in DECIDES:
            with self.subTest(module):
                self.assertEqual(set(), outside(module) & THE_WORLD)

    def test_views_never_write_and_start_nothing(self) -> None:
        for module in VIEWS:
            with self.subTest(module):
                self.assertEqual(set(), rooms(module) & WRITERS)

    def test_only_the_standard_library(self) -> None:
        for module in modules():
            with self.subTest(module):
                self.assertEqual(set(), outside(module) - sys.stdlib_module_names)

    def test_imports_of_private_names_stay_at_home(self) -> None:
        for module in modules():
            names = {name.rpartition(".")[2] for name in imported(module)}
            private = [name for name in names if name.startswith("_") and not name.endswith("__")]
            self.assertEqual([], private, module)


if __name__ == "__main__":
    unittest.main()
