"""`openloop browse`: play a page, report each step, and write pictures and lists."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from openloop.browser import chromium, expectations, film_strip, output
from openloop.browser.chromium import PlayFolder
from openloop.browser.failure import Failure, Gone
from openloop.browser.film_strip import FilmFrame
from openloop.browser.output import OutputFolder
from openloop.browser.player import Player
from openloop.browser.plays import play
from openloop.browser.plays.play import Play, PlayStep, ServeCommand
from openloop.browser.processes import Descendants
from openloop.browser.server import PlayServer, free_port
from openloop.core.clock import monotonic
from openloop.core.errors import ExitCode, UsageError
from openloop.process import run_marks
from openloop.process.signals import Interrupts

_ALSO = 5  # further problems that a failure names
_TITLE = 100  # characters of a step that its line repeats
_LAST = PlayStep("end of the play", "", {}, 0.0)
Say = Callable[[list[str]], None]


class _Stopped(Exception):
    """A signal asked the play to stop, or the guard above ended."""


@dataclass(slots=True)
class PlayStepResult:
    """The result of one step. image: the page after it, b"" for none. files: names of
    the pictures that show a failure."""

    title: str
    seconds: float
    failure: Failure | None
    image: bytes = b""
    files: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.failure is None


def browse(given: str, *, out: str | None, browser: str | None, as_json: bool, say: Say) -> int:
    """Play a page, given as the path of a play or as a URL; returns the exit code.

    say: prints lines. as_json: one document at the end instead. Raises OpenLoopError.
    """
    what = play.load(given)
    program = chromium.find(browser)
    files = OutputFolder(output.folder(out))
    with Interrupts() as interrupts:
        try:
            code = _play(what, program, files, interrupts, as_json, say)
        except _Stopped:
            return 128 + next(iter(interrupts.received), signal.SIGINT)
        except OSError as error:
            what_failed = f"the results cannot be written: {error.strerror or error}"
            fix = "make room, or name another folder with --out"
            raise UsageError(what_failed, where=files.folder, fix=fix) from None
    return code


def _play(
    what: Play, program: str, out: OutputFolder, interrupts: Interrupts, as_json: bool, say: Say
) -> int:
    with _running(what, program, out, interrupts) as (player, version):
        results: list[PlayStepResult] = []
        room = film_strip.MOST
        for step in [*what.steps, _LAST]:
            result, lines = _one(player, step, out, film=room > 0 and step is not _LAST)
            room -= len(result.image)
            if step is _LAST and result.passed:
                break
            results.append(result)
            if not as_json:
                say([*line(len(results), result), *lines])
            if not result.passed:
                break
        verdict = _verdict(what, results)
        console = player.page_log.console_log()
        out.write(output.CONSOLE, console)
        out.write(output.REQUESTS, player.page_log.requests_json())
        film = film_strip.document(what.name, verdict, list(map(_frame, results)), console)
        out.write(output.FILM, film)
        if as_json:
            document = _document(what, results, player, out, version)
            say(json.dumps(document, indent=2).split("\n"))
        else:
            say([f"film strip: {out.path(output.FILM)}", verdict])
    return ExitCode.OK if all(result.passed for result in results) else ExitCode.FAILED


@contextlib.contextmanager
def _running(
    what: Play, program: str, out: OutputFolder, interrupts: Interrupts
) -> Iterator[tuple[Player, str]]:
    """The browser and the server, both ready; none of their processes is left afterwards."""
    descendants, folder, server = Descendants(), PlayFolder(), None
    player = Player(what, program, folder, out)

    def stop() -> None:
        raise _Stopped

    try:
        player.pipe.watch(interrupts.wakeup, stop)
        if guard := run_marks.guard_above():  # one that is killed cannot end this
            with contextlib.suppress(OSError):
                player.pipe.watch(os.pidfd_open(guard), stop)
        if what.serve:
            player.port = free_port()
            url = _address_of(what.serve, player)
            log = out.path(output.SERVER)
            server = PlayServer(what.serve, player.port, url, log)
        version = _ready(player, server)
        yield player, version
    finally:
        player.browser.end()
        if server:
            server.end()
            server.close()
        player.browser.close()
        descendants.end()
        folder.close()


def _ready(player: Player, server: PlayServer | None) -> str:
    """Wait for browser and server; returns the browser's name and version. Raises UsageError."""
    try:
        if server:
            server.wait(player.pipe)
        return player.begin()
    except Failure as failure:
        if server:
            server.check()
        fix = "start it by hand to see what is wrong, or name another one with --browser"
        raise UsageError(f"the browser does not start: {failure.what}", fix=fix) from None


def _address_of(serve: ServeCommand, player: Player) -> str:
    """The address that must answer before the play begins. Raises UsageError."""
    try:
        return player.address(serve.ready)
    except Failure as failure:
        raise UsageError(failure.what, fix="correct base or serve.ready in the play") from None


def _one(
    player: Player, step: PlayStep, out: OutputFolder, *, film: bool
) -> tuple[PlayStepResult, list[str]]:
    """Play one step; returns its result and the additional lines that it prints. film: whether a
    picture is taken although it passes."""
    began = monotonic()
    title = title_of(step)
    try:
        lines: list[str] = []
        if step is _LAST:
            player.finish()
        else:
            lines = player.perform(step)
        seconds = monotonic() - began
        image = player.capture_now("jpeg") if film else b""
        return PlayStepResult(title, seconds, None, image), lines
    except Failure as failure:
        seconds = monotonic() - began
        image = b"" if isinstance(failure, Gone) else _last_picture(player)
        if image:
            out.write(output.FAILURE, image)
        files = [*([output.FAILURE] if image else []), *failure.files]
        return PlayStepResult(title, seconds, failure, image, files), []


def _last_picture(player: Player) -> bytes:
    try:
        return player.capture_now("png")
    except Gone:
        return b""


def _frame(result: PlayStepResult) -> FilmFrame:
    notes = [] if result.failure is None else list(_why(result.failure))
    return FilmFrame(result.title, result.passed, result.seconds, result.image, notes)


# --- words ------------------------------------------------------------------------------


def title_of(step: PlayStep) -> str:
    """`click role=button[name=Start]`."""
    value = step.value
    if step.kind == "expect":
        words = expectations.words(value)
    elif isinstance(value, dict):
        words = " ".join(str(part) for part in value.values())
    else:
        words = str(value)
    if "like" in step.options:
        words += f" like {step.options['like']}"
    return f"{step.kind} {words}".strip()[:_TITLE]


def line(number: int, result: PlayStepResult) -> list[str]:
    """The line `passed 3 click #start 0.1 s`, and below a failed one its details."""
    verdict = "passed" if result.passed else "failed"
    first = f"{verdict}  {number:>3}  {result.title}  {result.seconds:.1f} s"
    if result.failure is None:
        return [first]
    files = [f"picture: {name}" for name in result.files]
    return [first, *(f"             {text}" for text in [*_why(result.failure), *files])]


def _why(failure: Failure) -> Iterator[str]:
    yield failure.what
    if failure.expected:
        yield f"expected: {failure.expected}"
    if failure.seen:
        yield f"seen: {failure.seen}"
    yield from (f"also: {problem}" for problem in failure.also[:_ALSO])
    if len(failure.also) > _ALSO:
        yield f"and {len(failure.also) - _ALSO} more"


def _verdict(what: Play, results: Sequence[PlayStepResult]) -> str:
    passed = sum(result.passed for result in results)
    verdict = f"{passed} of {len(what.steps)} steps passed"
    if (last := results[-1]).failure:
        reason = f"{last.failure.what}: {last.failure.seen}".removesuffix(": ")
        verdict += f"; {last.title}: {reason}"
    return verdict


def _document(
    what: Play, results: Sequence[PlayStepResult], player: Player, out: OutputFolder, version: str
) -> dict[str, Any]:
    return {
        "play": what.name,
        "passed": all(result.passed for result in results),
        "browser": version,
        "out": out.folder,
        "steps": [
            {
                "step": result.title,
                "passed": result.passed,
                "seconds": round(result.seconds, 3),
                "failure": result.failure and result.failure.what,
                "expected": result.failure and result.failure.expected,
                "seen": result.failure and result.failure.seen,
                "also": result.failure and list(result.failure.also),
                "files": result.files,
            }
            for result in results
        ],
        "not_played": max(0, len(what.steps) - len(results)),
        "measured": player.measured,
    }
