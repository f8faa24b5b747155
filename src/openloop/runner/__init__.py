"""The runner: joins the loop, the processes, the policy and the record.

`runner.run` takes a mission to its end.
"""

MAY_IMPORT = ("core", "config", "agents", "loop", "fs", "process", "record", "policy")
DOORS = ("runner", "trials", "acceptance", "documents")
