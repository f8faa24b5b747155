"""The entry of `fleet.launchers.launch`, started by its path with `python -I -S`."""

from __future__ import annotations

import os
import sys

if not __package__:
    sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from openloop.cli import main
from openloop.fleet.launchers import launch

if __name__ == "__main__":
    code = launch.main(sys.argv[1:], main)
    sys.stdout.flush()
    os._exit(code)  # to tear the interpreter down would copy the memory that its forks share
