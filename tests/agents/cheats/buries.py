"""Make folders below FOLDER until it is DEPTH deep, and plant a file called NAME at the bottom."""

import os
import sys

folder, depth, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.makedirs(folder, exist_ok=True)
os.chdir(folder)
for _ in range(depth):
    os.mkdir("d")
    os.chdir("d")
with open(name, "w", encoding="utf-8") as file:
    file.write("import os\nos._exit(0)\n")
