"""How this very OpenLoop is started again, as a process of its own."""

from __future__ import annotations

import os
import sys

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from openloop.cli import main; sys.exit(main())"
)


def words() -> list[str]:
    """The words before a subcommand: this interpreter, and this package from where it lies.

    Isolated (`-I`): neither the current folder nor a variable decides what is loaded.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, "-I", "-c", _BOOT, package]
