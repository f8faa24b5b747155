"""`openloop fleet`: many loops, on one machine, on a handful of hosts, or on a cluster.

`command` has an action for each subcommand of `openloop fleet`. `coordinator.Coordinator` starts
and polls the launches and records the results; `decide` and `state` decide, `journal` records. Each
loop is the run of a launch (`launchers.launch`), whose workspace is only read."""

MAY_IMPORT = ("core", "config", "fs", "process", "record", "views")
DOORS = ("command", "launchers.launch")
