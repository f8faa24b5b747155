"""Join spans that touch or overlap."""


def merge(spans):
    """spans: (start, end) in minutes, in any order. Returns them joined, in order."""
    merged = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged
