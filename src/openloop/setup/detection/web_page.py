"""A play for a project that is, or serves, a web page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from openloop.setup.detection import javascript_project
from openloop.setup.detection.project_listing import ProjectListing

FILE = "play.json"  # in the workspace
COMMAND = f"openloop browse {{workspace}}/{FILE}"
_FOLDERS = ("", "public", "site", "static", "www")  # where a page without a server may lie
_SCRIPTS = ("dev", "start", "serve", "preview")  # of package.json, the likeliest first
# Pages that show documentation, or that only lead elsewhere.
_NO_PROGRAM = r"(?i)docsify|http-equiv=.?refresh"
# A server of files shows a page only where one lies: built ones are not there yet.
_FILE_SERVER = r"^(?:npx )?(?:http-server|serve)\b(?: --?\w+)*(?: (?:\./)?([\w./-]+))?"
_SERVERS = (  # what serves, and how it is given a port
    (
        r"\bvite\b|\bastro\b|\bparcel\b|\bng serve\b|\bnuxt\b|\bwebpack( serve|-dev-server)\b",
        "--port",
    ),
    (r"\bnext\b|\bhttp-server\b|^serve\b", "-p"),
    (r"\breact-scripts start\b", ""),  # PORT in the environment
)


@dataclass(frozen=True, slots=True)
class WebPage:
    """why: what was seen. play: the document to write."""

    why: str
    play: dict[str, Any]


def detect(project: ProjectListing) -> WebPage | None:
    """The play for a project; None where no web page was seen."""
    if found := _dev_server(project):
        name, run = found
        return WebPage(f"package.json has a server ({name})", _play(run, 60))
    for folder in _FOLDERS:
        path = f"{folder}/index.html".lstrip("/")
        if path in project.named("index.html") and _is_program(project, path):
            directory = f" --directory {folder}" if folder else ""
            run = f"exec python3 -m http.server {{port}} --bind 127.0.0.1{directory}"
            return WebPage(f"{path} is a web page", _play(run, 20))
    return None


def _dev_server(project: ProjectListing) -> tuple[str, str] | None:
    """(script, command) of package.json."""
    scripts = (javascript_project.read_package(project) or {}).get("scripts")
    if not isinstance(scripts, dict):
        return None
    for name in _SCRIPTS:
        text = str(scripts.get(name, ""))
        files = re.search(_FILE_SERVER, text)
        page = f"{files[1] or '.'}/index.html" if files else ""
        if page and not _is_program(project, page):
            continue
        for pattern, option in _SERVERS:
            if re.search(pattern, text):
                words = f" -- {option} {{port}}" if option else ""
                return name, f"npm run --silent {name}{words}"
    return None


def _is_program(project: ProjectListing, page: str) -> bool:
    return project.has(page) and not project.text_matches(page, _NO_PROGRAM)


def _play(run: str, patience: int) -> dict[str, Any]:
    return {
        "version": 1,
        "serve": {"run": run, "timeout_seconds": patience},
        "steps": [{"open": "/"}, {"screenshot": "start"}],
    }
