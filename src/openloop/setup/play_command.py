"""What uses a project as people do, where that can be known without running it."""

from __future__ import annotations

import os
import re

from openloop.setup import javascript_project
from openloop.setup.project_listing import FILES_READ, Listing

_PROGRAMS = ("main.py", "app.py", "run.py", "demo.py")
_SERVES = (
    r"\b(flask|fastapi|uvicorn|aiohttp|tornado|http\.server|socketserver|serve_forever"
    r"|start_server|streamlit|gradio)\b"
)
_UNSUITED = (
    (_SERVES, "looks like a server"),
    (r"\b(tkinter|pygame|curses|PyQt\d|PySide\d)\b", "opens a window or a screen"),
    (r"\b(argparse|sys\.argv|click|typer|docopt)\b", "takes arguments"),
    (r"\binput\(|\bsys\.stdin\b", "asks its user"),
    (r"\bwhile (True|1)\b", "may not end by itself"),
)


def play(project: Listing) -> tuple[str, str]:
    """A command that uses the program ("" when none can be known), and a sentence on it."""
    refusals = []
    for path in _PROGRAMS:
        if not project.says(path, r"^if __name__ =="):
            continue
        if not (refusal := _unsuited(project, path)):
            return f"python3 {path}", f"play: {path} runs as it is; make it use more if it can."
        refusals.append(f"{path} {refusal}")
    for path in project.named("__main__.py"):
        if path.count("/") == 1:
            refusals.append(f"python3 -m {os.path.dirname(path)} may need arguments")
    if (javascript_project.scripts(project) or {}).get("start"):
        refusals.append("the start script of package.json may be a server")
    because = f" ({'; '.join(refusals)})" if refusals else ""
    return "", f"play is left out{because}: write a command that uses the program as people do."


def _unsuited(project: Listing, path: str) -> str:
    """Why a program should not be run unattended without arguments, as far as text can tell."""
    text = project.text(path)
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    texts = [text, *(project.text(f"{name}.py") for name in imported[:FILES_READ])]
    return next(
        (why for pattern, why in _UNSUITED if any(re.search(pattern, text) for text in texts)), ""
    )
