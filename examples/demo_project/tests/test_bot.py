import unittest

import bot
from cave import Cave, Cell, dig
from game import Game


def crossing(*gems: Cell, door: Cell) -> Game:
    """Two passages that cross at (9, 9), where the bot stands; each arm is eight cells long."""
    arms = {(x, 9) for x in range(1, 18)} | {(9, y) for y in range(1, 18)}
    return Game(Cave(0, frozenset(arms), frozenset(gems), entrance=(9, 9), door=door))


class NextCellTest(unittest.TestCase):
    def test_a_gem_in_sight_comes_first(self) -> None:
        game = crossing((9, 12), (9, 1), door=(10, 9))
        self.assertEqual(bot.next_cell(game), (9, 10))

    def test_the_nearer_gem_comes_first(self) -> None:
        game = crossing((9, 12), (7, 9), door=(17, 9))
        self.assertEqual(bot.next_cell(game), (8, 9))

    def test_the_open_door_comes_before_the_darkness(self) -> None:
        game = crossing(door=(10, 9))
        self.assertEqual(bot.next_cell(game), (10, 9))

    def test_the_closed_door_is_left_alone(self) -> None:
        game = crossing((9, 17), door=(10, 9))
        bot.play(game)
        self.assertTrue(game.escaped, "the bot found no way from the closed door to the last gem")

    def test_it_explores_what_the_lantern_has_not_shown(self) -> None:
        game = crossing((17, 9), door=(1, 9))
        for _ in range(4):
            game.go(bot.next_cell(game))
        self.assertGreater(len(game.seen), len(crossing(door=(1, 9)).seen))


class PlayTest(unittest.TestCase):
    def test_it_escapes(self) -> None:
        for number in range(1, 11):
            with self.subTest(cave=number):
                game = Game(dig(number))
                bot.play(game)
                self.assertTrue(game.escaped, f"still in cave {number} with {game.oil} oil")
