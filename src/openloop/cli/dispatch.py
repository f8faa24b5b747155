"""Runs a subcommand. The only place where errors are turned into messages."""

from __future__ import annotations

import contextlib
import io
import os
import sys

from openloop.cli import command_line, output
from openloop.core.errors import ExitCode, Interrupted, OpenLoopError, UsageError


def dispatch(words: list[str]) -> int:
    """Parse the words and run the command they name; returns the exit code."""
    try:
        _open_standard_streams()
        args = command_line.parse(words)
        code: int = command_line.command(args.command).run(args)
        return code
    except SystemExit as ending:  # argparse has printed its message
        return int(ending.code or 0)
    except Interrupted as error:
        _report(error)
        return 128 + error.signum
    except OpenLoopError as error:
        _report(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output.discard_output()
        return ExitCode.OK
    except Exception as error:
        return _report_internal(error)


def _report(error: OpenLoopError) -> None:
    """Print an error. If standard error cannot be written, the exit code alone reports it."""
    try:
        print(error, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - or the exit fails too


def _open_standard_streams() -> None:
    """Open closed standard streams, so that no file of the record gets their descriptors, and
    escape characters that the locale cannot encode."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    # This interpreter ignores variables; the encoding that a person asks for is no danger.
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0] or None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(LookupError):  # no such encoding
                stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _report_internal(error: Exception) -> int:
    """Report an internal error in one line; the traceback only if it was asked for."""
    if _lacks_current_folder(error):
        fix = "cd to a folder that is there"
        _report(UsageError("the current directory has been removed", fix=fix))
        return ExitCode.USAGE
    if os.environ.get("OPENLOOP_DEBUG"):
        import traceback

        traceback.print_exc()
    what = f"OpenLoop failed: {type(error).__name__}: {error}"
    fix = "run again with OPENLOOP_DEBUG=1 for the details, and report them"
    _report(OpenLoopError(what, fix=fix))
    return ExitCode.RECORD


def _lacks_current_folder(error: Exception) -> bool:
    """Whether the error is that the current directory has been removed."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
