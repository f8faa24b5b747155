"""Files of the project: safe access, snapshots, differences, checkpoints, ignore rules.

`checkpoints.Checkpoints` keeps and restores a tree.
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
