"""What a step may not touch: rules, violations, restoring, withholding, the sandbox.

The runner calls `enforcement.Enforcement` after each step. `path_rules` says which paths are
protected, `withholding` removes files while a change runs, `bubblewrap` is the sandbox.
"""

MAY_IMPORT = ("core", "config", "loop", "fs", "record")
DOORS = ("enforcement", "withholding", "bubblewrap", "path_rules")
