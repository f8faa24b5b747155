"""Lantern: find the three gems and the door before the oil is gone.

Walk with the arrow keys or w a s d, leave with q.
"""

import argparse
import os
import sys
import termios
import time
import tty

import bot
from cave import GEMS, HEIGHT, WIDTH, Cell, beside, dig, fewest_moves
from game import Game

FRAME_TIME = 0.05  # seconds between two steps of the bot, on a terminal
KEYS = {"w": 0, "a": 1, "d": 2, "s": 3, "\x1b[A": 0, "\x1b[D": 1, "\x1b[C": 2, "\x1b[B": 3}
PICTURES = {"you": "@ ", "gem": "◆ ", "door": "∏ ", "rock": "██", "floor": "· ", "dark": "  "}
PLAIN_PICTURES = PICTURES | {"gem": "* ", "door": "[]", "rock": "##", "floor": ". "}
COLOURS = {"you": "1;97", "gem": "1;96", "door": "1;92", "rock": "33", "floor": "33"}


class Screen:
    """Draws a game: in place and in colour on a terminal, plainly anywhere else."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.colour = self.live and not os.environ.get("NO_COLOR")
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        self.pictures = PICTURES if unicode else PLAIN_PICTURES

    def draw(self, game: Game) -> None:
        rows = [self._headline(game)]
        for y in range(HEIGHT):
            rows.append("  " + "".join(self._cell(game, (x, y)) for x in range(WIDTH)).rstrip())
        print(("\x1b[H\x1b[2J" if self.live else "") + "\n".join(rows), flush=True)

    def _headline(self, game: Game) -> str:
        flame = "=" * round(20 * game.oil / game.full)
        found = GEMS - len(game.gems_left)
        return f"  cave {game.cave.number}   oil [{flame:<20}] {game.oil:>3}   gems {found}/{GEMS}"

    def _cell(self, game: Game, cell: Cell) -> str:
        what = self._what(game, cell)
        if not self.colour or what == "dark":
            return self.pictures[what]
        faint = "" if cell in game.lit else "2;"
        return f"\x1b[{faint}{COLOURS[what]}m{self.pictures[what]}\x1b[0m"

    def _what(self, game: Game, cell: Cell) -> str:
        if cell == game.position:
            return "you"
        if cell not in game.seen:
            return "dark"
        if cell in game.gems_left:
            return "gem"
        if cell == game.cave.door:
            return "door"
        return "floor" if cell in game.cave.floor else "rock"


def watch_bot(game: Game, screen: Screen) -> None:
    screen.draw(game)
    while not game.over:
        game.go(bot.next_cell(game))
        if screen.live:
            screen.draw(game)
            time.sleep(FRAME_TIME)
    if not screen.live:
        screen.draw(game)


def play_by_hand(game: Game, screen: Screen) -> None:
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        while not game.over:
            screen.draw(game)
            key = read_key()
            if key in ("q", ""):
                return
            if key in KEYS:
                game.go(beside(game.position)[KEYS[key]])
        screen.draw(game)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def read_key() -> str:
    """One key; an arrow arrives as three bytes, the end of the input as none."""
    key = os.read(sys.stdin.fileno(), 1)
    if key == b"\x1b":
        key += os.read(sys.stdin.fileno(), 2)
    return key.decode(errors="replace")


def verdict(game: Game) -> str:
    if game.escaped:
        return f"ESCAPED after {game.moves} moves; the shortest way is {fewest_moves(game.cave)}."
    found = GEMS - len(game.gems_left)
    where = "at the closed door" if game.position == game.cave.door else "in the cave"
    why = f"the lantern went out {where}" if game.over else "given up"
    return f"LOST: {why} after {game.moves} moves, with {found} of {GEMS} gems."


def main() -> int:
    """Play one cave; 0 when it was escaped from, 1 when not, 2 when it cannot be played here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cave", type=int, default=3, metavar="N", help="which cave (default 3)")
    parser.add_argument("--bot", action="store_true", help="let the bot play")
    args = parser.parse_args()
    if not args.bot and not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.error("playing by hand needs a terminal; --bot plays anywhere")
    game = Game(dig(args.cave))
    player = watch_bot if args.bot else play_by_hand
    player(game, Screen())
    print("  " + verdict(game))
    return 0 if game.escaped else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
