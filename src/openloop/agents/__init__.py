"""Coding agents as data: how each is called, what its output reports, when its provider refuses.

The runner uses `sessions`: the agents of one run. `catalog` and `preset` describe an agent, `check`
serves `openloop agents`.
"""

MAY_IMPORT = ("core", "config")
DOORS = ("catalog", "check", "preset", "sessions")
