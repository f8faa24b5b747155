"""A scripted agent: it claims first, and repairs once a browser has shown what is wrong."""

import os
import sys

CURTAIN = '<div id="curtain"></div>\n'
WRONG, RIGHT = "game.goal.left", "game.left.length"


def edit(name, old, new):
    with open(name, encoding="utf-8") as file:
        text = file.read()
    with open(name, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


def main():
    with open(os.environ["OPENLOOP_PROMPT_FILE"], encoding="utf-8") as file:
        prompt = file.read()
    if os.environ["OPENLOOP_ROUND"] == "1":
        print("All unit tests pass, so the game works. Nothing to do.")
    elif "covered by div#curtain" in prompt:
        edit("index.html", CURTAIN, "")
        print("Something lay over the button: removed.")
    elif "uncaught exception" in prompt:
        edit("game.js", WRONG, RIGHT)
        print("The second lamp threw an exception: repaired.")
    else:
        sys.exit("nothing that I understand is wrong")


if __name__ == "__main__":
    main()
