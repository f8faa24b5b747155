"""What `doctor` finds about the scripts that commands give to an interpreter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from openloop.config.config import NO_POLICY, Command, Config
from openloop.config.globs import Globs
from openloop.runner.missing_programs import MissingScript, missing_scripts
from openloop.setup.findings import Finding, problem, warning


def findings(
    known: Config, root: str, commands: Iterable[tuple[str, Command]]
) -> Iterator[Finding]:
    """A finding for each missing script. commands: with their names for sentences."""
    gates = [known.command(gate) for gate in known.gates]
    for name, command in commands:
        for script in missing_scripts(command, root):
            what = f"{name}: {script.interpreter} is to run {script.path}, which {script.why}"
            if command in gates and _may_appear(known, root, script):
                fix = "correct the path if it should be there already"
                yield warning(f"{what}: the gate fails until a change writes it", fix)
            else:
                where = "" if os.path.isabs(os.path.expanduser(script.path)) else f" in {root}"
                fix = "write the script, or correct its path; commands run in the project root"
                yield problem(what + where, fix)


def _may_appear(known: Config, root: str, script: MissingScript) -> bool:
    """Whether a change may write the script: it is what the mission asks for."""
    place = os.path.normpath(script.place)
    if known.improver is None or os.path.lexists(place) or not place.startswith(root + os.sep):
        return False
    policy = known.policy or NO_POLICY
    path = os.fsencode(os.path.relpath(place, root))
    if Globs((*policy.protect, *policy.withhold)).matches(path):
        return False
    return policy.allow is None or Globs(policy.allow).matches(path)
