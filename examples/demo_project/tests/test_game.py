import unittest

from cave import Cave, Cell
from game import GLOW, PLENTY, Game


def corridor(*gems: Cell, entrance: Cell = (3, 1), door: Cell = (8, 1)) -> Game:
    """A straight passage from (1, 1) to (9, 1)."""
    floor = frozenset((x, 1) for x in range(1, 10))
    return Game(Cave(0, floor, frozenset(gems), entrance, door))


def walk(game: Game, *columns: int) -> None:
    for x in columns:
        game.go((x, 1))


class GoTest(unittest.TestCase):
    def test_a_step_burns_one_measure_of_oil(self) -> None:
        game = corridor()
        self.assertTrue(game.go((4, 1)))
        self.assertEqual((game.position, game.moves, game.oil), ((4, 1), 1, game.full - 1))

    def test_rock_and_far_cells_are_refused_and_cost_nothing(self) -> None:
        game = corridor()
        self.assertFalse(game.go((3, 2)))
        self.assertFalse(game.go((5, 1)))
        self.assertEqual((game.position, game.moves), ((3, 1), 0))

    def test_a_gem_is_taken_where_it_lies(self) -> None:
        game = corridor((4, 1), (6, 1))
        walk(game, 4)
        self.assertEqual(game.gems_left, {(6, 1)})


class EndTest(unittest.TestCase):
    def test_the_oil_is_measured_by_the_shortest_way(self) -> None:
        self.assertEqual(corridor((6, 1)).full, int(5 * PLENTY))

    def test_the_door_opens_for_all_gems(self) -> None:
        game = corridor((2, 1))
        walk(game, 2, 3, 4, 5, 6, 7, 8)
        self.assertTrue(game.escaped and game.over)

    def test_the_door_stays_shut_while_a_gem_is_left(self) -> None:
        game = corridor((2, 1))
        walk(game, 4, 5, 6, 7, 8)
        self.assertFalse(game.escaped or game.over)

    def test_all_gems_are_no_escape_before_the_door(self) -> None:
        game = corridor((4, 1))
        walk(game, 4)
        self.assertFalse(game.escaped or game.over)

    def test_without_oil_it_is_over(self) -> None:
        game = corridor((2, 1))
        walk(game, *[4, 3] * game.full)
        self.assertTrue(game.over and not game.escaped)
        self.assertEqual((game.oil, game.moves), (0, game.full))
        self.assertFalse(game.go((4, 1)))


class LightTest(unittest.TestCase):
    def test_the_lantern_shines_so_far_and_no_farther(self) -> None:
        game = corridor()
        self.assertIn((3 + GLOW, 1), game.lit)
        self.assertIn((3 + GLOW + 1, 2), game.lit, "the rock beside the last lit cell")
        self.assertNotIn((3 + GLOW + 2, 1), game.lit)

    def test_what_was_seen_is_remembered(self) -> None:
        game = corridor()
        walk(game, 4, 5, 6, 7)
        self.assertNotIn((1, 1), game.lit)
        self.assertIn((1, 1), game.seen)
