"""openloop.json: its schema, its values, its patterns, and the shell commands in it.

`config.Config` holds the values of a document. `placeholders` fills in its commands,
`shell_commands` finds mistakes in them without running them. Pure: no process, no file system but
the shipped schema, no clock.
"""

MAY_IMPORT = ("core",)
DOORS = (
    "config",
    "schema",
    "strict_json",
    "globs",
    "placeholders",
    "oom_markers",
    "shell_commands",
)
