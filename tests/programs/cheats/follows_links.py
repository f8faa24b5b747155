"""Change what the protected symlink LINK leads to, under its own name. HOW: `writes` to it,
`replaces` it, `plants` a file in it, `turns` a symlink on the way to it."""

import os
import sys

link, how = sys.argv[1:]
target = os.path.realpath(link)
if how == "replaces":
    os.remove(target)
if how == "turns":
    on_the_way = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    on_the_way = os.path.dirname(on_the_way)
    os.remove(on_the_way)
    os.mkdir(on_the_way)
    target = os.path.join(on_the_way, os.path.basename(target))
if how == "plants":
    target = os.path.join(target, "test_planted.py")
with open(target, "w", encoding="utf-8") as file:
    file.write("0")
