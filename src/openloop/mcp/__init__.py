"""`openloop mcp`: a Model Context Protocol server for agents that are in charge of loops.

It reads workspaces, and starts, watches and stops runs, which are processes of their own and
outlive it. It edits no gate, no policy and no record. `server.serve` is the whole program.
"""

MAY_IMPORT = ("core", "record", "views")
DOORS = ("server",)
