"""What the built wheel and the sdist hold, and where the version comes from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import unittest
import zipfile
from importlib.util import find_spec

import openloop
from support import ROOT, SRC, Case, environment, need, run_openloop

BUILD = """import sys
from flit_core import buildapi
print(buildapi.build_wheel(sys.argv[1]), buildapi.build_sdist(sys.argv[1]))
"""
ASIDE = {"__pycache__", ".venv", ".git", "dist", "build", ".openloop"}
FOLDERS = ("src", "tests", "examples", "agent-instructions", "prompts", "scripts", "assets")


def files(folder: str) -> set[str]:
    """Every file below a folder of the checkout, by its path in it."""
    found = set()
    for place, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = [name for name in folders if name not in ASIDE and "_cache" not in name]
        paths = (os.path.relpath(os.path.join(place, name), ROOT) for name in names)
        found |= {path for path in paths if not path.endswith(".pyc")}
    return found


class Version(unittest.TestCase):
    def test_it_stands_in_one_place(self) -> None:
        with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
            project = tomllib.load(file)["project"]
        self.assertEqual(project["dynamic"], ["version"])
        self.assertNotIn("version", project)
        output = run_openloop("--version").out
        self.assertEqual(output, f"openloop {openloop.__version__}\n")
        pattern = re.compile(rf"[\"']{re.escape(openloop.__version__)}[\"']")
        holders = []
        for path in files("src"):
            with open(os.path.join(ROOT, path), encoding="utf-8") as source:
                if pattern.search(source.read()):
                    holders.append(path)
        self.assertEqual(holders, ["src/openloop/__init__.py"])

    def test_the_changelog_begins_with_it(self) -> None:
        with open(os.path.join(ROOT, ".github", "CHANGELOG.md"), encoding="utf-8") as file:
            first = re.search(r"^## (\S+?)(?:,|$)", file.read(), re.MULTILINE)
        assert first is not None
        self.assertEqual(first[1], openloop.__version__)


class Distributions(Case):
    """Built without a network, where the build backend is installed."""

    def setUp(self) -> None:
        super().setUp()
        need(find_spec("flit_core"), "flit_core")
        done = subprocess.run(
            [sys.executable, "-c", BUILD, self.folder],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wheel, self.sdist = (os.path.join(self.folder, n) for n in done.stdout.split())

    def test_the_wheel_holds_the_package_and_nothing_else(self) -> None:
        package = {os.path.relpath(os.path.join(ROOT, path), SRC) for path in files("src")}
        self.assertIn("openloop/openloop.schema.json", package)
        self.assertIn("openloop/py.typed", package)
        names = zipfile.ZipFile(self.wheel).namelist()
        self.assertEqual({name for name in names if ".dist-info/" not in name}, package)

    def test_the_sdist_holds_the_project(self) -> None:
        with tarfile.open(self.sdist) as archive:
            held = {name.partition("/")[2] for name in archive.getnames()}
        for folder in (*FOLDERS, ".github"):
            with self.subTest(folder=folder):
                self.assertLessEqual(files(folder), held)
        self.assertLessEqual({"LICENSE", "README.md", "pyproject.toml"}, held)
        self.assertEqual([name for name in held if name.endswith(".pyc")], [])


if __name__ == "__main__":
    unittest.main()
