import unittest

from cave import GEMS, HEIGHT, WIDTH, Cave, dig, distances, fewest_moves


class DigTest(unittest.TestCase):
    def test_a_number_names_one_cave(self) -> None:
        self.assertEqual(dig(5), dig(5))
        self.assertNotEqual(dig(5).floor, dig(6).floor)

    def test_everything_can_be_reached(self) -> None:
        for number in range(30):
            with self.subTest(cave=number):
                cave = dig(number)
                reached = distances(cave.entrance, cave.floor).keys()
                self.assertEqual(reached, cave.floor)
                self.assertLess(cave.gems | {cave.door}, reached)
                self.assertEqual(len(cave.gems - {cave.entrance, cave.door}), GEMS)

    def test_rock_closes_the_cave_all_around(self) -> None:
        for x, y in dig(1).floor:
            self.assertTrue(0 < x < WIDTH - 1 and 0 < y < HEIGHT - 1)


class DistancesTest(unittest.TestCase):
    RING = frozenset((x, y) for x in range(4) for y in range(4) if x in (0, 3) or y in (0, 3))

    def test_the_short_way_round_counts(self) -> None:
        away = distances((0, 0), self.RING)
        self.assertEqual([away[0, 3], away[3, 3], away[3, 1]], [3, 6, 4])

    def test_reach_ends_the_walk(self) -> None:
        self.assertEqual(distances((0, 0), self.RING, reach=1).keys(), {(0, 0), (1, 0), (0, 1)})


class FewestMovesTest(unittest.TestCase):
    def test_gems_on_both_sides_of_the_entrance(self) -> None:
        corridor = frozenset((x, 1) for x in range(10))
        cave = Cave(0, corridor, frozenset({(1, 1), (6, 1)}), entrance=(3, 1), door=(8, 1))
        self.assertEqual(fewest_moves(cave), 2 + 7)
