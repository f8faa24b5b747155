"""The order of the packages, read from the syntax tree, so that no import slips by.

Each package says in its `__init__` which packages it may import and which of its modules are its
doors; nobody else's business is behind them.
"""

from __future__ import annotations

import ast
import os
import sys
import unittest
from functools import cache
from typing import Any

import openloop

FOLDER = os.path.dirname(os.path.abspath(openloop.__file__))
PACKAGE = "openloop"
ORDER = (  # from the bottom up: none imports from one that stands behind it
    *("core", "config", "agents", "loop", "fs", "process", "record", "policy", "runner"),
    *("views", "judge", "browser", "setup", "fleet", "mcp", "web", "cli"),
)
PURE = ("config", "loop")  # and the vocabulary: they decide
LARGEST = 16  # Python files of one folder
COMMANDS = os.path.join(FOLDER, "cli", "commands")  # one more there, a file a subcommand
TEMPLATES = os.path.join(FOLDER, "templates")  # data, though some of it is Python
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
WRITERS = (  # what a view never imports
    *("openloop.record.store", "openloop.record.writer"),
    *("openloop.process", "openloop.runner"),
)


@cache
def modules() -> dict[str, str]:
    """Dotted name of every module → its file."""
    found = {}
    for folder, folders, names in os.walk(FOLDER):
        if folder == TEMPLATES:
            folders.clear()
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                parts = os.path.relpath(path, os.path.dirname(FOLDER))[:-3].split(os.sep)
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    with open(modules()[module], encoding="utf-8") as file:
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


def own(module: str) -> set[str]:
    """The modules of this project that a module imports."""
    found = set()
    for name in imported(module):
        if name.split(".")[0] == PACKAGE:
            found.add(name if name in modules() else name.rpartition(".")[0])
    return found


def package(module: str) -> str:
    """`record` of `openloop.record.store`; "" of a module at the root."""
    return module.split(".")[1] if module.count(".") else ""


def outside(module: str) -> set[str]:
    """The top-level packages other than this one that a module imports."""
    return {name.split(".")[0] for name in imported(module)} - {PACKAGE}


@cache
def declared(name: str) -> dict[str, Any]:
    """The constants of a package's `__init__`."""
    found = {}
    for node in tree(f"{PACKAGE}.{name}").body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def packages() -> set[str]:
    return {package(module) for module in modules()} - {"", "__main__"}


class Layers(unittest.TestCase):
    """Packages stand on each other, and are entered by their doors."""

    def test_every_package_has_its_place(self) -> None:
        self.assertEqual(packages(), set(ORDER))

    def test_a_package_imports_only_what_it_says_and_only_from_below(self) -> None:
        for position, name in enumerate(ORDER):
            allowed = set(declared(name)["MAY_IMPORT"])
            self.assertLessEqual(allowed, set(ORDER[:position]), name)
            found = {
                package(other)
                for module in modules()
                if package(module) == name
                for other in own(module)
            }
            self.assertEqual(found - {"", name}, allowed, name)

    def test_packages_are_entered_by_their_doors(self) -> None:
        entered: dict[str, set[str]] = {name: set() for name in ORDER}
        for module in modules():
            for other in own(module):
                if package(other) not in ("", package(module)):
                    entered[package(other)].add(".".join(other.split(".")[2:]))
        for name in ORDER[:-1]:
            with self.subTest(name):
                self.assertEqual(entered[name], set(declared(name)["DOORS"]))

    def test_no_circles(self) -> None:
        below = {module: own(module) - {module} for module in modules()}
        while below:
            resolved = {module for module, others in below.items() if not others & set(below)}
            self.assertTrue(resolved, f"a circle among {sorted(below)}")
            below = {module: others for module, others in below.items() if module not in resolved}

    def test_no_folder_is_too_large(self) -> None:
        for folder, _, names in os.walk(FOLDER):
            python = [name for name in names if name.endswith(".py") and name != "__init__.py"]
            self.assertLessEqual(len(python), LARGEST + (folder == COMMANDS), folder)

    def test_no_relative_imports(self) -> None:
        for module in modules():
            self.assertFalse([name for name in imported(module) if name.startswith(".")], module)

    def test_the_deciding_half_knows_no_process_file_or_clock(self) -> None:
        for module in modules():
            if package(module) in PURE or module == "openloop.core.vocabulary":
                with self.subTest(module):
                    self.assertEqual(set(), outside(module) & THE_WORLD)

    def test_views_never_write_and_start_nothing(self) -> None:
        for module in modules():
            if package(module) == "views":
                with self.subTest(module):
                    self.assertFalse([name for name in own(module) if name.startswith(WRITERS)])

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
