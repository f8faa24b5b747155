"""The interpreter that OpenLoop runs in: isolated, so that nobody else decides what it loads.

Imports only modules that Python has already loaded. Without -I, any other import could load a file
planted by somebody else.
"""

import os
import sys

_PATH = """\
import sys
sys.path.append(sys.argv.pop(1))
"""
_MAIN = """\
try:
    from openloop.cli import main
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(main())
"""


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAUNCH = os.path.join(_PACKAGE, "cli", "launch.py")  # what a launcher of fleets starts
PROGRAMS = os.path.join(_PACKAGE, "bin")  # holds `openloop` alone


def own_command() -> list[str]:
    """The words that start this very OpenLoop; a subcommand follows them."""
    return isolated(_MAIN)


def isolated(program: str) -> list[str]:
    """The words that run a program in an interpreter that can import this very OpenLoop.

    Neither a variable nor the current folder decides what is loaded, nor a `.pth` file of a virtual
    environment, which may lie in a project. PYTHONDONTWRITEBYTECODE is ignored as well: with it a
    checkout would be compiled again at each start.
    """
    return [*isolated_python(), "-c", _PATH + program, os.path.dirname(_PACKAGE)]


def isolated_python() -> list[str]:
    """The words that start this interpreter, isolated; a program follows them."""
    # The program of a virtual environment may lie in the project; the one behind it does not.
    return [getattr(sys, "_base_executable", None) or sys.executable, "-I", "-S"]


def program_variables(path: str | None) -> dict[str, str]:
    """Variables with which the command `openloop` runs this installation, isolated.

    path: the PATH that they extend; this process's when None or empty.
    """
    if not os.access(os.path.join(PROGRAMS, "openloop"), os.X_OK):  # in a zip archive
        return {}
    path = path or os.environ.get("PATH") or os.defpath
    return {"PATH": f"{PROGRAMS}:{path}", "OPENLOOP_PYTHON": sys.executable}
