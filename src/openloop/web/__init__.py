"""`openloop ui`: a web page that shows loops. It reads workspaces and writes nothing.

`server.serve` is the whole program; everything a browser gets lies in `static/`.
"""

MAY_IMPORT = ("core", "config", "fs", "loop", "record", "views")
DOORS = ("server",)
