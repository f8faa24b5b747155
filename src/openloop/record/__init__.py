"""The workspace: the chained record, its one writer, its readers, and the files derived from it.

`store.Store` writes, with its parts in `writer`; `reader` reads. `workspace` names the files,
`lock` keeps a second runner out, `chain`, `integrity` and `record_end` check what was written,
`projections` derives the heartbeat, progress.md and the artifacts."""

MAY_IMPORT = ("core", "config", "loop", "fs")
DOORS = (
    "attachments",
    "workspace",
    "mission",
    "lock",
    "store",
    "reader",
    "record_end",
    "chain",
    "event_format",
    "integrity",
    "projections",
    "log_tail",
    "withheld",
    "writer.step_files",
)
