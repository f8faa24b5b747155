"""The rules: one lantern, little oil, gems to find, a door that wants all of them."""

from itertools import product

from cave import Cave, Cell, beside, distances, fewest_moves

GLOW = 4  # moves: how far the lantern shines along the passages
PLENTY = 2.2  # the oil lasts for this many times the shortest walk


class Game:
    """One walk through a cave, seen from where the lantern is."""

    def __init__(self, cave: Cave) -> None:
        self.cave = cave
        self.position = cave.entrance
        self.gems_left = set(cave.gems)
        self.full = int(fewest_moves(cave) * PLENTY)
        self.oil = self.full
        self.seen: set[Cell] = set()
        self.lit: set[Cell] = set()
        self._look()

    @property
    def escaped(self) -> bool:
        """At the door, with every gem: the door opens for nothing less."""
        return self.position == self.cave.door and not self.gems_left

    @property
    def over(self) -> bool:
        return self.escaped or self.oil <= 0

    @property
    def moves(self) -> int:
        return self.full - self.oil

    def go(self, cell: Cell) -> bool:
        """Step to a cell beside this one; rock and far cells are refused and burn no oil."""
        if self.over or cell not in beside(self.position) or cell not in self.cave.floor:
            return False
        self.position = cell
        self.oil -= 1
        self.gems_left.discard(cell)
        self._look()
        return True

    def _look(self) -> None:
        passages = distances(self.position, self.cave.floor, reach=GLOW)
        self.lit = {
            (x + dx, y + dy) for x, y in passages for dx, dy in product((-1, 0, 1), repeat=2)
        }
        self.seen |= self.lit
