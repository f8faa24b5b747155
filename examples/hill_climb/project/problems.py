"""Functions whose minimum is known."""

from __future__ import annotations

from collections.abc import Sequence


def bowl(x: Sequence[float]) -> float:
    """Least, 0, at (1, 2, 3)."""
    return sum((value - n) ** 2 for n, value in enumerate(x, 1))


def valley(x: Sequence[float]) -> float:
    """Rosenbrock's: a bent, narrow valley; least, 0, at (1, 1)."""
    return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2


def plate(x: Sequence[float]) -> float:
    """Booth's: least, 0, at (1, 3)."""
    return (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2
