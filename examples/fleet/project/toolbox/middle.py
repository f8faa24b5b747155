"""The median."""


def median(values: list[float]) -> float:
    ranked = sorted(values)
    return ranked[len(ranked) // 2]
