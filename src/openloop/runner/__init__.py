"""The runner: joins the loop, the processes, the policy and the record.

`mission_run.run` takes a mission to its end.
"""

MAY_IMPORT = ("core", "config", "agents", "loop", "fs", "process", "record", "policy")
DOORS = ("mission_run", "run_events", "gate_runner", "acceptance", "documents")
