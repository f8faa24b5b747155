"""The diffs of changes, for `openloop diff` and for reports.

A terminal gets colours and text whose escapes are visible. Anything else gets the bytes as they
are.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from openloop.core.errors import UsageError
from openloop.core.text import TAB, counted, printable
from openloop.core.vocabulary import Kind, Outcome
from openloop.fs import files
from openloop.loop.events import StepResult
from openloop.record import chain, event_format, record_end
from openloop.record.workspace import EVENTS, Workspace

LARGEST = 2 << 20  # bytes of a kept diff that are read


class Change(NamedTuple):
    """A finished fix or improve."""

    run: int
    round: int
    result: StepResult


def diff_counts(result: StepResult) -> str:
    """`3 files, +40 -2` for a change; "" when nothing was compared."""
    if result.changes is None:
        return ""
    numbers = [result.changes.get(name, 0) for name in ("files", "added", "removed")]
    if not all(type(number) is int for number in numbers):
        return ""
    count, added, removed = numbers
    if count == 0:
        return "all of it undone" if result.outcome is Outcome.POLICY else "no file changed"
    more = "" if result.changes.get("whole") else " and more"
    return f"{counted(count, 'file')}, +{added} -{removed}{more}"


def has_changes(result: StepResult) -> bool:
    """Whether a change left the project different, as far as that was compared."""
    return result.changes is not None and result.changes.get("files") != 0


def diff_of(workspace: Workspace, result: StepResult) -> bytes | None:
    """The kept diff of a change, if it matches the record; None without one."""
    path = (result.changes or {}).get("diff")
    for one in result.attachments:
        if one.path == path:
            try:
                data = files.read(workspace.file(one.path), limit=LARGEST)
            except OSError:
                return None
            return data if hashlib.sha256(data).hexdigest() == one.sha256 else None
    return None


def show(workspace: Workspace, number: int | None) -> None:
    """Write a diff to standard output: the one of the latest change that left one, or all of a
    round. Raises UsageError where there is none."""
    found = _changes(workspace, number)
    if not found:
        where = f" in round {number}" if number is not None else f" yet in {workspace.given}"
        fix = f"see what ran: openloop report {workspace.quoted} --format md"
        raise UsageError(f"there is no finished change{where}", fix=fix)
    for change in reversed(found):
        _show(workspace, change)


def _changes(workspace: Workspace, number: int | None) -> list[Change]:
    """The latest change of its run that left a difference, or else the latest; or those of a
    round, the latest first."""
    found: list[Change] = []
    for change in _backward(workspace):
        if number is None:
            if found and change.run != found[0].run:
                break
            if has_changes(change.result):
                return [change]
            found = found or [change]
        elif change.round < number:
            break
        elif change.round == number:
            found.append(change)
    return found


def _backward(workspace: Workspace) -> Iterator[Change]:
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        for line in record_end.backward(events, record_end.whole_size(events)):
            if chain.kind_of(line) == Kind.STEP_FINISHED:
                try:
                    event = event_format.decode(line)
                    if event.step is not None and event.step.is_change:
                        yield Change(event.run, event.round, StepResult.of(event))
                except (KeyError, TypeError, ValueError) as error:
                    raise UsageError(
                        f"the record cannot be read: {error}",
                        where=workspace.shown(EVENTS),
                        fix=f"openloop audit {workspace.quoted}",
                    ) from None
    finally:
        os.close(events)


def _show(workspace: Workspace, change: Change) -> None:
    result = change.result
    title = f"round {change.round}, {result.step} {result.outcome}"
    words = diff_counts(result)
    if not words:
        raise UsageError(
            f"{title}: no difference was recorded",
            where=workspace.given,
            fix="diffs need a policy, or baseline.keep_best: openloop help policy",
        )
    data = b""
    if (result.changes or {}).get("diff"):
        kept = diff_of(workspace, result)
        if kept is None:
            raise UsageError(
                f"{title}: its diff is missing or differs from the record",
                where=workspace.shown(str((result.changes or {})["diff"])),
                fix=f"openloop audit {workspace.quoted}",
            )
        data = kept
    print(f"==> {title}: {words}", file=sys.stderr, flush=True)
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(data)
        return
    for line in lines(data):
        print(_painted(line))


def lines(data: bytes) -> list[str]:
    """A diff as printable lines; tabulators stay."""
    decoded = data.decode(errors="replace").removesuffix("\n").split("\n") if data else []
    return ["\t".join(map(printable, line.split("\t"))) for line in decoded]


def quoted(workspace: Workspace, change: Change, most: int) -> tuple[list[str], int]:
    """(the first lines of a kept diff, how many more there are)."""
    data = diff_of(workspace, change.result) or b""
    found = [line.replace("\t", TAB) for line in lines(data)]
    return found[:most], max(len(found) - most, 0)


_COLOURS = {"+": "32", "-": "31", "@": "36", "d": "1", "#": "2"}


def _painted(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    if colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return line
    return f"\x1b[{colour}m{line}\x1b[0m"
