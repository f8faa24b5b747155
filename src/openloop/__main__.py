"""`python -m openloop` is the same program as `openloop`."""

import sys

from openloop.cli import main

if __name__ == "__main__":
    sys.exit(main())
