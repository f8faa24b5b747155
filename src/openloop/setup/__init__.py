"""Before a run: what `init` proposes and what `doctor` examines.

`init.init` and `doctor.examine` are the two commands; `probe` is `doctor --probe`, and
`missions.templates` is `openloop templates`. They try out what a run will use, and so import
`runner` (gates, documents), `browser` (is there a Chromium?) and `views` (how durations are shown).
"""

MAY_IMPORT = (
    "core",
    "config",
    "agents",
    "loop",
    "fs",
    "process",
    "record",
    "policy",
    "runner",
    "views",
    "browser",
)
DOORS = ("init", "doctor", "findings", "missions.templates", "probe")
