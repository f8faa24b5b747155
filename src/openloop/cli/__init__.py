"""The command line: parse, call one function, print, return an exit code.

`main`, a function of this file and its only door, is the entry point of the console script and of
`python -m openloop`. `commands` has a file for each subcommand.
"""

from __future__ import annotations

import contextlib
import os
import sys

MAY_IMPORT = (
    "core",
    "agents",
    "process",
    "record",
    "runner",
    "views",
    "judge",
    "browser",
    "setup",
    "fleet",
    "mcp",
    "web",
)
DOORS = ("main",)


def main(argv: list[str] | None = None) -> int:
    """Run `openloop` with `argv` (without the program's name); returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"]):  # asked by scripts all day: nothing else is loaded
        from openloop import __version__

        with contextlib.suppress(OSError):  # which is answered below, as for every command
            os.write(1, f"openloop {__version__}\n".encode())
            return 0
    try:
        from openloop.cli import dispatch

        return dispatch.dispatch(words)
    except KeyboardInterrupt:  # while it loads; `dispatch` answers its own
        return 130
