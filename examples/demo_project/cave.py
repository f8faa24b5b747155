"""The cave: a maze dug from a number, three gems in it, one door out."""

from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from itertools import pairwise, permutations
from random import Random

WIDTH, HEIGHT = 25, 11  # cells, both odd: chambers lie on odd coordinates, rock between them
GEMS = 3
LOOPS = 15  # walls taken down after the digging, so that there is more than one way

Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cave:
    """What is where; everything that is not floor is rock."""

    number: int
    floor: frozenset[Cell]
    gems: frozenset[Cell]
    entrance: Cell = (1, 1)
    door: Cell = (WIDTH - 2, HEIGHT - 2)


def beside(cell: Cell, stride: int = 1) -> list[Cell]:
    """The four cells around one: north, west, east, south.

    >>> beside((5, 5))
    [(5, 4), (4, 5), (6, 5), (5, 6)]
    """
    x, y = cell
    return [(x, y - stride), (x - stride, y), (x + stride, y), (x, y + stride)]


def distances(start: Cell, floor: Set[Cell], reach: int | None = None) -> dict[Cell, int]:
    """Moves from `start` to each cell of `floor` that can be walked to, at most `reach` away.

    >>> distances((1, 1), {(1, 1), (2, 1), (3, 1), (9, 9)})
    {(1, 1): 0, (2, 1): 1, (3, 1): 2}
    """
    away = {start: 0}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if away[cell] == reach:
            continue
        for near in beside(cell):
            if near in floor and near not in away:
                away[near] = away[cell] + 1
                queue.append(near)
    return away


def dig(number: int) -> Cave:
    """The cave of that number, always the same one.

    >>> dig(7) == dig(7), dig(7) == dig(8)
    (True, False)
    """
    # Of Python's generator only random() promises the same sequence in every version.
    rng = Random(number)
    chambers = [(x, y) for y in range(1, HEIGHT, 2) for x in range(1, WIDTH, 2)]
    floor = {(1, 1)}
    trail = [(1, 1)]
    while trail:
        untouched = [c for c in _chambers_beside(trail[-1]) if c not in floor]
        if untouched:
            chamber = _pick(untouched, rng)
            floor |= {chamber, _between(trail[-1], chamber)}
            trail.append(chamber)
        else:
            trail.pop()
    for _ in range(LOOPS):
        chamber = _pick(chambers, rng)
        floor.add(_between(chamber, _pick(_chambers_beside(chamber), rng)))
    hiding_places = chambers[1:-1]  # the first chamber is the entrance, the last one the door
    gems: set[Cell] = set()
    while len(gems) < GEMS:
        gems.add(_pick(hiding_places, rng))
    return Cave(number, frozenset(floor), frozenset(gems))


def fewest_moves(cave: Cave) -> int:
    """The length of the shortest walk past every gem to the door, for one who knows the map."""
    away = {cell: distances(cell, cave.floor) for cell in {cave.entrance, *cave.gems}}
    walks = ((cave.entrance, *gems, cave.door) for gems in permutations(cave.gems))
    return min(sum(away[here][there] for here, there in pairwise(walk)) for walk in walks)


def _pick(cells: list[Cell], rng: Random) -> Cell:
    return cells[int(rng.random() * len(cells))]


def _chambers_beside(chamber: Cell) -> list[Cell]:
    return [(x, y) for x, y in beside(chamber, 2) if 0 < x < WIDTH and 0 < y < HEIGHT]


def _between(one: Cell, other: Cell) -> Cell:
    return (one[0] + other[0]) // 2, (one[1] + other[1]) // 2
