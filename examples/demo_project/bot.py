"""A player that knows only what the lantern has shown, and always walks to what is nearest."""

from cave import Cell, beside, distances
from game import Game


def play(game: Game) -> None:
    """Play to the end."""
    while not game.over:
        game.go(next_cell(game))


def next_cell(game: Game) -> Cell:
    """The next step towards the nearest place that is worth the oil.

    >>> from cave import dig
    >>> next_cell(Game(dig(1))) in beside((1, 1))
    True
    """
    known = game.seen & game.cave.floor
    away = distances(game.position, known)
    goal = min(_goals(game, known), key=lambda cell: (away[cell], cell))
    way_back = distances(goal, known)
    return min((c for c in beside(game.position) if c in known), key=lambda c: way_back[c])


def _goals(game: Game, known: set[Cell]) -> set[Cell]:
    """Gems in sight; else the door, once it would open; else where the darkness begins."""
    if game.gems_left & known:
        return game.gems_left & known
    if not game.gems_left and game.cave.door in known:
        return {game.cave.door}
    edge = {cell for cell in known if not game.seen.issuperset(beside(cell))}
    return edge or {game.cave.door}
