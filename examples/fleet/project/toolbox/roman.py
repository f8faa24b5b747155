"""Roman numerals."""

SIGNS = (("M", 1000), ("D", 500), ("C", 100), ("L", 50), ("X", 10), ("V", 5), ("I", 1))


def roman(number: int) -> str:
    text = ""
    for sign, value in SIGNS:
        text += sign * (number // value)
        number %= value
    return text
