"""Run shell commands under a guard, end their process trees, and read their logs.

`supervisor.Processes` runs one command to its end.
"""

MAY_IMPORT = ("core", "config", "loop", "fs")
DOORS = (
    "supervisor",
    "guard_client",
    "messages",
    "signals",
    "watchdog",
    "log_scan",
    "tree",
    "namespaces",
    "run_marks",
)
