"""`python -m openloop` is the same program as `openloop`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:  # `-m` put the current directory first: a file of the project
        del sys.path[0]  # that is called like a module must not become part of this program
    from openloop.cli import main

    sys.exit(main())
