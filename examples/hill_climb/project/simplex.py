"""Nelder and Mead's search for the minimum of a function, without derivatives."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

Point = list[float]
Function = Callable[[Sequence[float]], float]
SETTINGS = pathlib.Path(__file__).with_name("settings.json")


def minimum(
    function: Function, start: Sequence[float], *, size: float = 1.0, enough: float = 1e-12
) -> tuple[Point, int]:
    """Where the function is least, and how often it was asked.

    size: of the first simplex. enough: a spread of values at which the search ends.
    Raises ArithmeticError when 4,000 questions do not suffice.
    """
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    asked = 0

    def ask(point: Point) -> tuple[float, Point]:
        nonlocal asked
        asked += 1
        if asked > 4000:
            raise ArithmeticError("no minimum found in 4,000 questions")
        return function(point), point

    corners = [list(start)]
    corners += [[x + size * (i == j) for j, x in enumerate(start)] for i in range(len(start))]
    simplex = sorted(ask(corner) for corner in corners)
    while simplex[-1][0] - simplex[0][0] > enough:
        worst = simplex[-1]
        others = [point for _, point in simplex[:-1]]
        middle = [sum(column) / len(others) for column in zip(*others, strict=True)]
        found = ask(_along(middle, worst[1], -settings["reflection"]))
        if found < simplex[0]:
            found = min(found, ask(_along(middle, worst[1], -settings["expansion"])))
        elif found >= simplex[-2]:
            found = ask(_along(middle, min(found, worst)[1], settings["contraction"]))
        if found < worst:
            simplex[-1] = found
        else:
            best = simplex[0]
            shrunk = [ask(_along(best[1], point, settings["shrink"])) for _, point in simplex[1:]]
            simplex = [best, *shrunk]
        simplex.sort()
    return simplex[0][1], asked


def _along(start: Point, end: Point, share: float) -> Point:
    return [a + share * (b - a) for a, b in zip(start, end, strict=True)]
