"""What a step may not touch: rules, violations, restoring, withholding, the sandbox.

`enforcement.Enforcement` is what the runner asks.
"""

MAY_IMPORT = ("core", "config", "loop", "fs", "record")
DOORS = ("enforcement", "withholding", "bubblewrap", "path_rules")
