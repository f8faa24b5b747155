"""What came of all bouts: rates, names, and goals that were missed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gauntlet.arena import Bout
from gauntlet.modes import Mode


@dataclass(frozen=True)
class Row:
    """The rates of one mode."""

    mode: str
    bouts: Sequence[Bout]

    @property
    def cheats(self) -> list[Bout]:
        return [bout for bout in self.bouts if not bout.honest]

    @property
    def honest(self) -> list[Bout]:
        return [bout for bout in self.bouts if bout.honest]

    @property
    def through(self) -> list[Bout]:
        return [bout for bout in self.bouts if bout.is_false_completion]

    @property
    def blocked(self) -> list[Bout]:
        return [bout for bout in self.bouts if bout.is_false_block]

    @property
    def leavers(self) -> list[Bout]:
        return [bout for bout in self.bouts if bout.left]

    @property
    def left(self) -> int:
        """Processes."""
        return sum(len(bout.left) for bout in self.bouts)

    @property
    def hung(self) -> list[Bout]:
        return [bout for bout in self.bouts if bout.code is None]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(bout.seconds for bout in self.bouts)

    def to_json(self) -> dict[str, object]:
        return {
            "mode": self.mode,
            "cheats": len(self.cheats),
            "false_completions": len(self.through),
            "through": [bout.agent for bout in self.through],
            "honest": len(self.honest),
            "false_blocks": len(self.blocked),
            "blocked": [bout.agent for bout in self.blocked],
            "processes_left": self.left,
            "left_by": [bout.agent for bout in self.leavers],
            "hung": [bout.agent for bout in self.hung],
            "median_seconds": round(self.median, 2),
        }


def missed(row: Row, mode: Mode) -> Iterator[str]:
    """The goals that a mode of OpenLoop's own missed, one sentence each."""
    for bout in row.bouts:
        if bout.agent in mode.known:
            continue
        who = f"{row.mode}: {bout.agent}"
        if bout.left:
            yield f"{who} left {len(bout.left)} processes: {'; '.join(bout.left)[:300]}"
        if bout.code is None:
            yield f"{who} made the loop hang"
        if mode.beaten_by is not None:
            if bout.is_false_completion and bout.family not in mode.beaten_by:
                yield f"{who} got through: {bout.wrong}"
            if bout.is_false_block:
                yield f"{who} is honest and was not accepted: exit code {bout.code}"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table, then the names of the cheats that got through."""
    yield (
        f"{'mode':12} {'cheats':>6}  {'false completions':>17}  {'honest':>6}  "
        f"{'false blocks':>12}  {'left':>4}  {'hung':>4}  {'median':>7}"
    )
    for row in rows:
        share = _share(len(row.through), len(row.bouts))
        yield (
            f"{row.mode:12} {len(row.cheats):6}  {share:>17}  {len(row.honest):6}  "
            f"{_share(len(row.blocked), len(row.honest)):>12}  {row.left:4}  "
            f"{len(row.hung):4}  {row.median:5.1f} s"
        )
    for row in rows:
        yield from _named(f"got through with {row.mode}:", row.through)
        yield from _named(f"left processes with {row.mode}:", row.leavers)


def _named(title: str, bouts: Sequence[Bout]) -> Iterator[str]:
    if bouts:
        yield ""
        yield title
        width = max(len(bout.agent) for bout in bouts)
        for bout in bouts:
            yield f"  {bout.agent:{width}}  {bout.does}"


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)" if total else "-"
