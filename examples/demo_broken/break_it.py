"""Put a bug into a copy of the demo project: python3 break_it.py PROJECT

The bug is one lost word. The bot then walks to the door as soon as it sees it while gems are
left, finds it closed, and stands there until its oil is gone.
"""

import sys
from pathlib import Path

MODULE = "bot.py"
HEALTHY = "    if not game.gems_left and game.cave.door in known:\n"
BROKEN = "    if game.gems_left and game.cave.door in known:\n"


def main(project: Path) -> None:
    module = project / MODULE
    source = module.read_text(encoding="utf-8")
    if source.count(HEALTHY) != 1:
        sys.exit(f"error: {module} does not hold the line to break exactly once: {HEALTHY.strip()}")
    module.write_text(source.replace(HEALTHY, BROKEN), encoding="utf-8")
    print(f"{MODULE}, line {source[: source.index(HEALTHY)].count(chr(10)) + 1}:")
    print(f"-{HEALTHY}+{BROKEN}", end="")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: break_it.py PROJECT")
    main(Path(sys.argv[1]))
