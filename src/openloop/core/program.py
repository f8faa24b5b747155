"""How this very OpenLoop is started again, as a process of its own."""

from __future__ import annotations

import os
import sys

_BOOT = (
    "import sys; sys.path.append(sys.argv.pop(1)); from openloop.cli import main; sys.exit(main())"
)


def words() -> list[str]:
    """The words before a subcommand: an isolated interpreter, and this package from where it lies.

    Neither a variable nor the current folder decides what is loaded, nor a `.pth` file of a virtual
    environment, which may lie in a project.
    """
    python = getattr(sys, "_base_executable", None) or sys.executable
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [python, "-I", "-S", "-c", _BOOT, package]
