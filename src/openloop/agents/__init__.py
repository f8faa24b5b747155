"""Coding agents as data: how each is called, what its output reports, when its provider refuses.

`catalog.named` gives a preset, `transcript.Transcript` reads what a session printed.
"""

MAY_IMPORT = ("core", "config")
DOORS = ("catalog", "check", "preset", "sessions")
