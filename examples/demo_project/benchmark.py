"""How good is the bot? The share of a fixed fifty caves that it gets out of, as `score=`."""

from statistics import mean

import bot
from cave import dig, fewest_moves
from game import Game

CAVES = range(1, 51)


def main() -> None:
    games = [Game(dig(number)) for number in CAVES]
    for game in games:
        bot.play(game)
    escaped = [game for game in games if game.escaped]
    print(f"out of {len(escaped)} of {len(games)} caves", end="")
    if escaped:
        detour = mean(game.moves / fewest_moves(game.cave) for game in escaped)
        print(f", in {detour:.2f} times the moves of one who knows the map", end="")
    print(f"\nscore={len(escaped) / len(games):.2f}")


if __name__ == "__main__":
    main()
