"""`openloop judge`: run a command on cases, each in a process of its own, and compare.

`command.judge` is the whole command.
"""

MAY_IMPORT = ("core", "config", "fs", "process", "record", "views")
DOORS = ("command",)
