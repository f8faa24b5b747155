"""openloop.json: its schema, its values, its patterns, and the placeholders in its commands.

Pure: no process, no file system but the shipped schema, no clock.

`config.Config` is what a document becomes.
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
