"""Before a run: what `init` proposes and what `doctor` examines.

`init.init` and `doctor.examine`.
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
