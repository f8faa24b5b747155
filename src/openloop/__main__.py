"""The entry of `python -m openloop`, of the console script and of a zipapp.

OpenLoop's own interpreter takes nothing from PYTHON* variables, the current folder, the user's
site-packages or `.pth` files: where one of them may have had a say, it is replaced by a new one
that ignores them, before anything else is imported. Commands get the environment as it was.
"""

import os
import sys

_HARMLESS = ("--version", "-V", "--help", "-h", "help", "completion")  # they decide nothing


def main() -> int:
    """Run `openloop`, in an isolated interpreter; returns the exit code."""
    try:
        return _main()
    except KeyboardInterrupt:  # while it loads; later there is an answer
        return 130


def _main() -> int:
    if _is_exposed() and not (len(sys.argv) > 1 and sys.argv[1] in _HARMLESS):
        from openloop.core import interpreter

        words = interpreter.own_command()
        if words[0]:  # else there is no interpreter to be found
            try:
                os.execv(words[0], [*words, *sys.argv[1:]])
            except OSError as error:
                sys.stderr.write(
                    f"error: {words[0]} cannot be started: {error.strerror}\n"
                    "  fix: install OpenLoop with an interpreter that you may execute\n"
                )
                return 2
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, or that of the console script
    from openloop.cli import main as run

    return run()


def _is_exposed() -> bool:
    """Whether a variable, the current folder or the user's site-packages can shadow a module."""
    if sys.flags.isolated and sys.flags.no_site:
        return False
    if any(name.startswith("PYTHON") for name in os.environ):
        return True
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:
        return True
    user_site = getattr(sys.modules.get("site"), "USER_SITE", None)
    return any(
        path == user_site or os.path.join(os.path.abspath(path), "").startswith(here)
        for path in (*sys.path, sys.prefix)
    )


if not __package__:  # started by its path, as bin/openloop does
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if __name__ == "__main__":
    sys.exit(main())
