"""The interpreter that OpenLoop runs in: isolated, so that nobody else decides what it loads.

Imports nothing that is not loaded already: in an exposed interpreter, that could be anybody's.
"""

import os
import sys

_PROGRAM = """\
import sys
sys.path.append(sys.argv.pop(1))
try:
    from openloop.cli import main
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(main())
"""


def openloop() -> list[str]:
    """The words that start this very OpenLoop; a subcommand follows them.

    Neither a variable nor the current folder decides what is loaded, nor a `.pth` file of a virtual
    environment, which may lie in a project. PYTHONDONTWRITEBYTECODE is ignored as well: with it a
    checkout would be compiled anew by each start.
    """
    # The program of a virtual environment may lie in the project; the one behind it does not.
    python = getattr(sys, "_base_executable", None) or sys.executable
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [python, "-I", "-S", "-c", _PROGRAM, package]
