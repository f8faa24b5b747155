"""Make folders below FOLDER, DEPTH of them in each other, their names LENGTH bytes long, and plant
a file called NAME at the bottom."""

import os
import sys

folder, depth, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
inner = "d" * int(sys.argv[4] if len(sys.argv) > 4 else 1)
os.makedirs(folder, exist_ok=True)
os.chdir(folder)
for _ in range(depth):
    os.mkdir(inner)
    os.chdir(inner)
with open(name, "w", encoding="utf-8") as file:
    file.write("import os\nos._exit(0)\n")
