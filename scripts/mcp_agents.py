"""Let real coding agents run a loop over MCP, with a scripted model on loopback.

    python3 scripts/mcp_agents.py [--only NAME …] [--folder DIR]

Installs each agent's program into a temporary folder, registers `openloop mcp` with it, and has the
model call start, wait and report. Right is an agent whose loop is complete and whose model has
seen the report. Nothing leaves this machine but the installation. Exit code 1: something was not
right.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import scripted_model
from scripted_model import Model

from agents import SETUPS, SRC, environment, install, openloop, version, write

CALLS = ("start", "wait", "report")
SESSION = 150  # seconds that an agent may take
WAITS = "WaitForMcpServers"  # a tool with which Claude Code waits for servers that still start
WORKSPACE = ".openloop/main"
REPORT = "every gate passed"  # stands in the report, not in the status
PROMPT = "Run the loop to its end and read its report."
# What starts a session, with the server in --root's place.
SESSIONS: Mapping[str, Sequence[str]] = {
    "claude": (
        *("claude", "-p", PROMPT, "--mcp-config", "{config}", "--strict-mcp-config"),
        *("--allowedTools", "mcp__openloop"),
    ),
    "codex": (
        *("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        PROMPT,
    ),
    "gemini": ("gemini", "--yolo", "-p", PROMPT),
    "qwen": ("qwen", "--yolo", "-p", PROMPT),
}


class Plan:
    """What the model of one session calls, in the place of `scripted_model.plan`."""

    def __init__(self) -> None:
        self._left = list(CALLS)

    def __call__(
        self, tools: Mapping[str, Any], results: int, root: str
    ) -> tuple[str, dict[str, Any]] | None:
        """The next call; None when all are made, or the server's tools are not there."""
        ours = [name for name in tools if "openloop" in name]
        if not ours and WAITS in tools:
            return WAITS, {}
        if not ours or not self._left:
            return None
        wanted = self._left.pop(0)
        return next(name for name in ours if name.endswith(wanted)), {"workspace": WORKSPACE}


def register(name: str, home: str, project: str) -> str:
    """Write down the server where the agent looks for it; the path of a file of its own."""
    server = {
        "command": sys.executable,
        "args": ["-m", "openloop", "mcp", "--root", project],
        "env": {"PYTHONPATH": SRC},
    }
    config = {"mcpServers": {"openloop": server}}
    path = os.path.join(home, "mcp.json")
    write(path, json.dumps(config))
    if name == "codex":
        text = f"\n[mcp_servers.openloop]\ncommand = {json.dumps(sys.executable)}\n"
        text += f"args = {json.dumps(server['args'])}\nenv = {{ PYTHONPATH = {json.dumps(SRC)} }}\n"
        with open(f"{home}/.codex/config.toml", "a", encoding="utf-8") as file:
            file.write(text)
    if name in ("gemini", "qwen"):
        settings = f"{home}/.{name}/settings.json"
        with open(settings, encoding="utf-8") as file:
            write(settings, json.dumps({**json.load(file), **config}))
    return path


def drive(name: str, programs: str) -> str:
    """What is not as it should be, "" for nothing."""
    with tempfile.TemporaryDirectory(prefix="openloop-agents-", dir="/var/tmp") as folder:
        project, home = os.path.join(folder, "project"), os.path.join(folder, "home")
        os.makedirs(project)
        model = Model("edit", project)
        scripted_model.plan = Plan()  # type: ignore[assignment]
        try:
            env = environment(home, programs, SETUPS[name](home, model.url))
            openloop(["init", f"{project}/{WORKSPACE}", "--mission", "It works."], project, env)
            path = f"{project}/{WORKSPACE}/openloop.json"
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            write(path, json.dumps({**config, "commands": {"verify": "sleep 3; echo it works"}}))
            config_path = register(name, home, project)
            words = [word.replace("{config}", config_path) for word in SESSIONS[name]]
            done = subprocess.run(
                words,
                cwd=project,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SESSION,
                check=False,
            )
            with open(f"{project}/{WORKSPACE}/heartbeat.json", encoding="utf-8") as file:
                status = json.load(file)["status"]
            seen = model.latest
            if status == "complete" and REPORT in seen:
                return ""
            tail = done.stderr.decode(errors="replace")[-500:]
            return f"{status}, exit {done.returncode}, {model.requests} requests: {tail}"
        finally:
            model.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Let real coding agents run a loop over MCP.")
    parser.add_argument("--only", nargs="*", choices=SESSIONS, default=["claude", "codex"])
    parser.add_argument("--folder", metavar="DIR", help="install here, and keep it")
    args = parser.parse_args()
    folder = args.folder or tempfile.mkdtemp(prefix="openloop-agents-")
    wrong = False
    try:
        for name in args.only:
            programs = install(name, folder)
            began = time.monotonic()
            why = drive(name, programs)
            wrong = wrong or bool(why)
            seconds = time.monotonic() - began
            known = version(name, environment(os.environ["HOME"], programs, {}))
            print(f"{name} {known}: {why or 'right'} ({seconds:.0f} s)", flush=True)
    finally:
        if not args.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
