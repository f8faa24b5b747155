"""What a JavaScript project can be verified and scanned with: the scripts of package.json."""

from __future__ import annotations

import json
import re

from openloop.setup.kit import Kit
from openloop.setup.project_listing import Listing

_LOCKS = (  # lock file, how to run a script
    ("pnpm-lock.yaml", "pnpm run {}"),
    ("yarn.lock", "yarn run {}"),
    ("bun.lock", "bun run {}"),
    ("bun.lockb", "bun run {}"),
    ("package.json", "npm run --silent {}"),
)
_WATCHES = r"--watch\b|\breact-scripts test|\bng test|\bvitest\b"
_SCRIPT_ENDINGS = ("js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx")


def kit(project: Listing) -> Kit | None:
    if not project.has("package.json"):
        return None
    known = scripts(project)
    if known is None:
        return Kit("JavaScript", "package.json is not a JSON object that can be read")
    lock, run = next((lock, run) for lock, run in _LOCKS if project.has(lock))
    test = known.get("test", "")
    if "no test specified" in test:
        test = ""
    lints = [name for name in ("lint", "typecheck") if name in known]
    scans = [run.format(name) for name in lints or ("build",) if name in known]
    return Kit(
        name="JavaScript",
        why=f"package.json has {'a' if test else 'no'} test script ({lock})",
        verify=_verify(run, test) if test else "",
        scan=" && ".join(scans),
        tests=_tests(project),
        sources=tuple(f"{name}/**" for name in ("src", "lib", "app") if project.has(name)),
    )


def scripts(project: Listing) -> dict[str, str] | None:
    """The scripts of package.json; None when it cannot be read."""
    try:
        package = json.loads(project.text("package.json"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(package, dict):
        return None
    named = package.get("scripts")
    pairs = named.items() if isinstance(named, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str) and text.strip()}


def _verify(run: str, test: str) -> str:
    command = "npm test --silent" if run.startswith("npm") else run.format("test")
    # Without CI they wait for edits and never end.
    return f"CI=true {command}" if re.search(_WATCHES, test) else command


def _tests(project: Listing) -> tuple[str, ...]:
    folders = [f"{name}/**" for name in ("test", "tests", "__tests__") if project.has(name)]
    beside = [f"*.{word}.{end}" for word in ("test", "spec") for end in _SCRIPT_ENDINGS]
    return (*folders, *(f"**/{glob}" for glob in beside if project.named(glob)))
