"""Find the workspaces below a folder, in bounded time and without following symlinks."""

from __future__ import annotations

import os
from collections import deque

from openloop.record.workspace import CONFIG, EVENTS, HEARTBEAT, HOME

FOLDERS = 20_000  # that are looked into at the most
DEPTH = 8  # folders below the root
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


def find(root: str) -> tuple[list[str], bool]:
    """The paths of the workspaces below `root`, or of `root` itself, sorted; and whether the
    search reached everything. A configuration without a record counts where it is named or lies in
    `.openloop`. Folders that cannot be read are passed over."""
    found = []
    queue = deque([(root, 0)])
    seen = 0
    while queue and seen < FOLDERS:
        folder, depth = queue.popleft()
        seen += 1
        names, folders = _entries(folder)
        inside = folder == root or os.path.basename(os.path.dirname(folder)) == HOME
        if CONFIG in names and (inside or EVENTS in names or HEARTBEAT in names):
            found.append(folder)
        elif depth < DEPTH:
            queue.extend((os.path.join(folder, name), depth + 1) for name in folders)
    return sorted(found), not queue


def _entries(folder: str) -> tuple[set[str], list[str]]:
    """The names in a folder, and those of its folders that are worth a look."""
    names, folders = set(), []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.add(entry.name)
                hidden = entry.name.startswith(".") and entry.name != HOME
                if hidden or entry.name in _SKIPPED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
    except OSError:
        return set(), []
    return names, folders
