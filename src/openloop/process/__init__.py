"""Run shell commands under a guard, end their process trees, and read their logs.

`supervisor.Processes` runs one command to its end; it orders it from the `guard`, a process of its
own. `tree` ends process trees, `log_scan` reads a log. It imports `loop` for the types in which an
end and a log are judged.
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
