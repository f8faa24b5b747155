"""The runner: joins the loop, the processes, the policy and the record.

`mission_run.run` takes a mission to its end. `gate_runner` runs single gates for `doctor --probe`,
`acceptance` is `openloop accept`, `documents` writes the workspace's files for people and agents.
"""

MAY_IMPORT = ("core", "config", "agents", "loop", "fs", "process", "record", "policy")
DOORS = ("mission_run", "run_events", "gate_runner", "acceptance", "documents")
