"""`openloop browse`: play a web page in Chromium, over its debugging pipe.

`command.browse` is the whole command; `chromium` finds the program, for `init` and `doctor` too.
"""

MAY_IMPORT = ("core", "config", "fs", "process")
DOORS = ("command", "chromium")
