"""Gates that write other bytes into allowed files each time they run: no run completes with one."""

from __future__ import annotations

from openloop.config.config import Policy
from openloop.core.vocabulary import Step
from openloop.fs import snapshot
from openloop.fs.diff import difference
from openloop.fs.ignore_rules import reader
from openloop.fs.manifest import to_text
from openloop.policy.path_rules import PathRules, is_litter
from openloop.record.mission import Mission
from openloop.record.workspace import CHECKPOINTS
from openloop.setup.findings import Finding, problem

_NAMED = 3  # files that a sentence names


class AllowedFiles:
    """The files of a project that `policy.allow` names and that are not ignored."""

    def __init__(self, mission: Mission, policy: Policy) -> None:
        self._root = mission.root
        self._rules = PathRules(policy)
        self._skip = snapshot.outside_project(mission.root, mission.workspace.path)
        self._ignored = reader.read(mission.root, mission.workspace.file(CHECKPOINTS))
        self._wanted = self._counts
        self._last = snapshot.scan(mission.root, skip=self._skip, wanted=self._wanted)

    def written(self) -> set[bytes]:
        """The files created, changed or removed since the last call, at first since the start."""
        before = self._last
        self._last = snapshot.scan(self._root, skip=self._skip, wanted=self._wanted, before=before)
        found = difference(before, self._last)
        paths = set(filter(self._counts, (*found.created, *found.changed, *found.removed)))
        return paths - self._ignored.ignored(paths)

    def _counts(self, path: bytes) -> bool:
        return self._rules.allows(path) and not self._rules.covers(path) and not is_litter(path)


def finding(gate: Step, paths: set[bytes]) -> Finding:
    """The finding on a gate that wrote these files in its second run in a row."""
    names = sorted(map(to_text, paths))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return problem(
        f"{gate} writes {', '.join(names[:_NAMED])}{more} each time it runs, so that no run "
        "can complete: policy.allow says that only a change writes there",
        f'let git ignore what {gate} writes, or take it out of policy.allow: "!/{names[0]}"',
    )
