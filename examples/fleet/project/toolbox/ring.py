"""A buffer that forgets the oldest."""


class Ring:
    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[int] = []

    def add(self, value: int) -> None:
        self.kept.append(value)
