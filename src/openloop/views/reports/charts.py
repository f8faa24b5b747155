"""Charts of a run as inline SVG: the steps of its rounds, its metric, the usage of its agents.

Colours are classes that the page around them defines, so that one picture serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from openloop.core.text import counted, number, printable
from openloop.core.usage import Usage, of_step
from openloop.core.vocabulary import Direction, Step
from openloop.loop.events import Metric
from openloop.views.console import duration
from openloop.views.history import MetricPoint, Round

WIDTH = 960  # units of the picture, which the page scales
_CHARACTER = 6.2  # units that one character of a bar's label takes at most
_MOST_SESSIONS = 40  # whose usage is drawn, the latest
_MOST_POINTS = 300  # of a metric's line; more are thinned out, extremes kept

# The timeline
_ROW = 30
_BAR = 18
_LEFT = 84  # of the bars; round numbers stand before it
_RIGHT = 148  # after the bars; outcomes stand there
_PADDING = 8  # of a bar's label, both sides together
_GAP = 2

# The metric
_HEIGHT = 250
_LEAST_ROOM = 1e-300  # above and below the values; nothing smaller can be reckoned with
_FRAME = (64, 18, 40, 34)  # left, top, right, bottom


def escaped(value: str) -> str:
    """Any text, escaped for markup."""
    return escape(printable(value))


@dataclass(frozen=True, slots=True)
class _Bar:
    """A step in the timeline. look: its class. seconds: 0 while it runs."""

    name: str
    look: str
    words: str
    seconds: float

    @property
    def least(self) -> float:
        """The width in which its name fits."""
        return len(self.name) * _CHARACTER + _PADDING


def timeline(rounds: Sequence[Round]) -> str:
    """A row for each round, a bar for each step, as wide as it took long (and a bit)."""
    rows = [(one, _bars(one)) for one in rounds]
    scale = _scale([bars for _, bars in rows])
    parts = []
    y = 0
    run = None
    for one, bars in rows:
        if one.run != run:
            run = one.run
            y += 20
            parts.append(_label(0, y - 5, f"run {run}", "caption"))
        parts += _row(one, bars, y, scale)
        y += _ROW
    label = f"Steps of {counted(len(rounds), 'round')}"
    return _svg(y + 2, label, parts)


def _bars(one: Round) -> list[_Bar]:
    bars = []
    for step in one.steps:
        result = step.result
        again = " again" if result.confirm else ""
        why = f", {result.detail}" if result.detail else ""
        took = duration(result.duration_seconds)
        words = f"round {one.number}, {result.step}{again}: {result.outcome}, {took}{why}"
        bars.append(
            _Bar(result.step, _look(result.step, result.outcome), words, result.duration_seconds)
        )
    if running := one.running:
        words = f"round {one.number}, {running.step}: has not finished"
        bars.append(_Bar(running.step, "open", words, 0.0))
    return bars


def _look(step: Step, outcome: str) -> str:
    kind = "change" if step.is_change else "gate"
    return f"{kind} o-{outcome}"


def _scale(rows: Sequence[Sequence[_Bar]]) -> float:
    """The scale in units a second, so that the longest row just fits."""
    scale = math.inf
    for bars in rows:
        seconds = sum(bar.seconds for bar in bars)
        if seconds > 0:
            scale = min(scale, max(0.0, _room(bars) - sum(bar.least for bar in bars)) / seconds)
    return 0.0 if math.isinf(scale) else scale


def _room(bars: Sequence[_Bar]) -> float:
    return WIDTH - _LEFT - _RIGHT - len(bars) * _GAP


def _row(one: Round, bars: Sequence[_Bar], y: int, scale: float) -> list[str]:
    middle = y + _ROW / 2 + 4
    parts = [_label(_LEFT - 10, middle, f"round {one.number}", "axis end")]
    x = float(_LEFT)
    squeezed = min(1.0, _room(bars) / max(1.0, sum(bar.least for bar in bars)))
    for bar in bars:
        width = squeezed * bar.least + scale * bar.seconds
        parts.append(_bar(bar, x, y + (_ROW - _BAR) / 2, width))
        x += width + _GAP
    words = f"{one.outcome or 'open'}, {duration(one.seconds)}"
    parts.append(_label(WIDTH - _RIGHT + 12, middle, words, f"axis r-{one.outcome or 'open'}"))
    return parts


def _bar(bar: _Bar, x: float, y: float, width: float) -> str:
    shape = (
        f'<rect class="bar {bar.look}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{_BAR}" rx="4"/>'
    )
    fits = width >= bar.least - 1
    inside = _label(x + width / 2, y + 13, bar.name, f"inside {bar.look}") if fits else ""
    return f"<g><title>{escaped(bar.words)}</title>{shape}{inside}</g>"


def usage(rounds: Sequence[Round]) -> str:
    """A bar for each agent's session, as long as its tokens are many (where none are known: as it
    cost much); "" unless two sessions can be compared."""
    sessions = [
        (f"round {one.number}", step.result)
        for one in rounds
        for step in one.steps
        if step.result.usage and of_step(step.result.usage)
    ][-_MOST_SESSIONS:]
    figures = [Usage.from_json(result.usage or {}).figures for _, result in sessions]
    sizes: list[float] = [one.tokens or 0 for one in figures]
    if not any(sizes):
        sizes = [one.cost_usd or 0.0 for one in figures]
    if len(sessions) < 2 or not any(sizes):
        return ""
    parts = []
    for row, ((name, result), size) in enumerate(zip(sessions, sizes, strict=True)):
        y, words = row * _ROW, of_step(result.usage)
        bar = _Bar(result.step, _look(result.step, result.outcome), f"{name}: {words}", 0.0)
        width = max(1.0, (WIDTH - _LEFT - _RIGHT) * size / max(sizes))
        parts.append(_label(_LEFT - 10, y + _ROW / 2 + 4, name, "axis end"))
        parts.append(_bar(bar, _LEFT, y + (_ROW - _BAR) / 2, width))
        parts.append(_label(_LEFT + width + 8, y + _ROW / 2 + 4, words, "axis"))
    return _svg(len(sessions) * _ROW + 2, f"Usage of {len(sessions)} sessions", parts)


def metric(measured: Sequence[MetricPoint]) -> str:
    """The metric over its measurements, with the baseline and the best; "" for none."""
    latest = measured[-1].metric
    same = [
        one
        for one in measured
        if (one.metric.name, one.metric.direction) == (latest.name, latest.direction)
    ]
    kept = _thinned(same)
    plane = _plane(kept, latest)
    parts = [*_grid(plane), _baseline(plane, latest)]
    parts.append(_line(plane, [one.metric.best for one in kept], "best"))
    parts.append(_line(plane, [one.metric.value for one in kept], "value"))
    parts += [*_points(plane, kept), _latest(plane, kept), *_rounds(plane, kept)]
    label = f"{latest.name} over {len(same)} measurements"
    return _svg(_HEIGHT, label, parts)


def _thinned(measured: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Few enough points to draw: the lowest and the highest of each stretch."""
    if len(measured) <= _MOST_POINTS:
        return list(measured)
    stretch = math.ceil(len(measured) / (_MOST_POINTS // 2))
    kept: list[MetricPoint] = []
    for start in range(0, len(measured), stretch):
        part = measured[start : start + stretch]
        known = [one for one in part if one.metric.value is not None]
        if known:
            low = min(known, key=_value)
            high = max(known, key=_value)
            kept += [low, high] if low.round <= high.round else [high, low]
    if kept[-1:] != [measured[-1]]:
        kept.append(measured[-1])
    return kept


def _value(one: MetricPoint) -> float:
    return one.metric.value if one.metric.value is not None else math.nan


@dataclass(frozen=True, slots=True)
class _Plane:
    """The coordinates of values and measurements in the picture."""

    low: float
    high: float
    count: int

    def x(self, index: int) -> float:
        left, _, right, _ = _FRAME
        room = WIDTH - left - right
        return left + (room / 2 if self.count < 2 else room * index / (self.count - 1))

    def y(self, value: float) -> float:
        _, top, _, bottom = _FRAME
        share = value / self.spread - self.low / self.spread
        return top + (_HEIGHT - top - bottom) * (1 - share)

    @property
    def spread(self) -> float:
        return self.high - self.low


def _plane(measured: Sequence[MetricPoint], latest: Metric) -> _Plane:
    values = [one.metric.value for one in measured if one.metric.value is not None]
    low, high = min([latest.threshold, *values]), max([latest.threshold, *values])
    flat = high - low <= abs(high) * 1e-9
    room = max(abs(high) * 0.1 or 1.0 if flat else (high - low) * 0.12, _LEAST_ROOM)
    if not math.isfinite(high - low + 2 * room):  # values at both ends of what a float can hold
        return _Plane(low / 2, high / 2, len(measured))
    return _Plane(low - room, high + room, len(measured))


def _grid(plane: _Plane) -> list[str]:
    left, _, right, _ = _FRAME
    parts = []
    for value in _ticks(plane.low, plane.spread):
        y = plane.y(value)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{WIDTH - right}"/>')
        parts.append(_label(left - 10, y + 4, f"{value:.6g}", "axis end"))
    return parts


def _ticks(low: float, spread: float) -> list[float]:
    """Three to six round values between `low` and `low + spread`."""
    rough = spread / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step)
    values = ((first + count) * step for count in range(7))
    return [value for value in values if value <= low + spread]


def _baseline(plane: _Plane, latest: Metric) -> str:
    left, _, right, _ = _FRAME
    y = plane.y(latest.threshold)
    above = latest.direction in (Direction.GREATER, Direction.GREATER_EQUAL)
    words = f"baseline {number(latest.threshold)}"
    return (
        f'<path class="baseline" d="M{left} {y:.1f}H{WIDTH - right}"/>'
        f"{_label(left + 4, y - 6 if above else y + 15, words, 'baseline-label')}"
    )


def _line(plane: _Plane, values: Iterable[float | None], look: str) -> str:
    """A line through the measured values, with gaps where nothing was measured."""
    path = ""
    pen = "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{plane.x(index):.1f} {plane.y(value):.1f}"
        pen = "L"
    return f'<path class="line {look}" d="{path}"/>' if path else ""


def _points(plane: _Plane, measured: Sequence[MetricPoint]) -> list[str]:
    if len(measured) > 80:
        return []
    parts = []
    for index, one in enumerate(measured):
        x, value = plane.x(index), one.metric.value
        if value is None:
            y = _HEIGHT - _FRAME[3] - 8
            words = f"round {one.round}: not measured"
            shape = f'<path class="missed" d="M{x - 4:.1f} {y - 4}l8 8m0 -8l-8 8"/>'
        else:
            words = f"round {one.round}: {one.metric.name}={number(value)}"
            look = "o-passed" if one.metric.passed else "o-failed"
            shape = f'<circle class="point {look}" cx="{x:.1f}" cy="{plane.y(value):.1f}" r="4.5"/>'
        parts.append(f"<g><title>{escaped(words)}</title>{shape}</g>")
    return parts


def _latest(plane: _Plane, measured: Sequence[MetricPoint]) -> str:
    """The latest value in figures, beside its point."""
    index = len(measured) - 1
    value = measured[index].metric.value
    if value is None:
        return ""
    x, y = plane.x(index), plane.y(value)
    room_above = y > _FRAME[1] + 16
    return _label(x, y - 11 if room_above else y + 20, number(value), "figure middle")


def _rounds(plane: _Plane, measured: Sequence[MetricPoint]) -> list[str]:
    """Numbers of rounds below the axis, as many as fit."""
    every = max(1, math.ceil(len(measured) / 12))
    y = _HEIGHT - 10
    last = len(measured) - 1
    shown = [i for i in range(0, len(measured), every) if i == 0 or last - i >= every] + [last]
    return [
        _label(plane.x(index), y, f"round {measured[index].round}", "axis middle")
        for index in sorted(set(shown))
    ]


def _label(x: float, y: float, words: str, look: str) -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}">{escaped(words)}</text>'


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escaped(label)}">'
        f"{''.join(parts)}</svg>"
    )
