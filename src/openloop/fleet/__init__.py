"""`openloop fleet`: many loops, on one machine, on a handful of hosts, or on a cluster.

`state` and `decide` decide, `journal` records, `coordinator.Coordinator` joins them with the world.
A loop is started as a program (`launch`), and its workspace is only read.
"""

MAY_IMPORT = ("core", "config", "fs", "process", "record", "views")
DOORS = ("command",)
