"""Files of the project: safe access, snapshots, differences, checkpoints, ignore rules.

`checkpoints.Checkpoints` keeps and restores a tree. Here too is what other packages ask of the file
system: `git` (read-only questions), `mounts` (the mount table), `programs` (found on PATH, outside
the project), `temporary_folders` (those that a killed process left).
"""

MAY_IMPORT = ("core", "config")
DOORS = (
    "files",
    "dirfd",
    "manifest",
    "snapshot",
    "diff",
    "content",
    "object_store",
    "project_copy",
    "checkpoints",
    "restore",
    "symlinks",
    "git",
    "ignore_rules.reader",
    "ignore_rules.rules",
    "temporary_folders",
    "mounts",
    "programs",
)
