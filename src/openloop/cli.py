"""The command line: parse, call one function, print, return a number."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run `openloop` with `argv` (without the program's name); returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"]):  # asked by scripts all day: nothing else is loaded
        from openloop import __version__

        print(f"openloop {__version__}")
        return 0
    from openloop import commands

    return commands.dispatch(words)
