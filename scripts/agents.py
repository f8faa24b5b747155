"""Drive real coding agents through OpenLoop against a scripted model on loopback.

    python3 scripts/agents.py [--only NAME …] [--modes MODE …] [--sandbox] [--folder DIR] [--json]

Installs each agent's program into a temporary folder (npm or pip), makes a small project with a
failing test, and takes it through `openloop init --agent` and `openloop run` in each mode: edit,
401, 429, limit (its reset is some seconds away), overloaded, credit. Prints one table: what came of
it, in how many seconds, the tokens that OpenLoop recorded, and whether all is as it should be:

- edit: complete, and the tokens are those that the model served, where the agent reports any
- limit: waited, and complete in the same round, or the agent itself went on trying
- 401, credit: blocked after one session, with a sentence of the agent's own
- 429, overloaded: no round was burned: waited, or exhausted for want of patience

Nothing leaves this machine but the installation. Exit code 1: something was not right.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scripted_model import MODES, WRONG, Model

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
sys.path.insert(0, SRC)

from openloop.agents import catalog  # noqa: E402

SESSION = 150  # seconds that a session may take here
TEST = """\
import unittest

from calc import add


class Add(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)
"""
Setup = Callable[[str, str], Mapping[str, str]]  # (home, the model's address) → environment


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def claude(home: str, url: str) -> Mapping[str, str]:
    off = ("DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER")
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **dict.fromkeys(off, "1"),
    }


def codex(home: str, url: str) -> Mapping[str, str]:
    provider = f'name = "scripted"\nbase_url = "{url}/v1"\nenv_key = "SCRIPTED_KEY"\n'
    text = 'model = "gpt-5"\nmodel_provider = "scripted"\n\n[model_providers.scripted]\n'
    write(f"{home}/.codex/config.toml", f'{text}{provider}wire_api = "responses"\n')
    return {"SCRIPTED_KEY": "dummy"}


def qwen(home: str, url: str) -> Mapping[str, str]:
    settings = {"security": {"auth": {"selectedType": "openai"}}, "telemetry": {"enabled": False}}
    write(f"{home}/.qwen/settings.json", json.dumps(settings))
    openai = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_MODEL": "gpt-5"}
    return {"OPENAI_API_KEY": "dummy", **openai}


def gemini(home: str, url: str) -> Mapping[str, str]:
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    write(f"{home}/.gemini/settings.json", json.dumps(settings))
    return {"GEMINI_API_KEY": "dummy", "GOOGLE_GEMINI_BASE_URL": url}


def opencode(home: str, url: str) -> Mapping[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"},
        "models": {"scripted": {}},
    }
    document = {"model": "scripted/scripted", "provider": {"scripted": provider}}
    write(f"{home}/.config/opencode/opencode.json", json.dumps(document))
    return {"OPENCODE_DISABLE_AUTOUPDATE": "1"}


def pi(home: str, url: str) -> Mapping[str, str]:
    model = {"id": "scripted", "contextWindow": 100_000, "maxTokens": 4096, "input": ["text"]}
    model |= {"cost": {"input": 1, "output": 1, "cacheRead": 0, "cacheWrite": 0}}
    provider = {"baseUrl": f"{url}/v1", "apiKey": "dummy", "api": "openai-completions"}
    document = {"providers": {"scripted": {**provider, "models": [model]}}}
    write(f"{home}/.pi/agent/models.json", json.dumps(document))
    settings = {"defaultProvider": "scripted", "defaultModel": "scripted"}
    write(f"{home}/.pi/agent/settings.json", json.dumps(settings))
    return {}


def cline(home: str, url: str) -> Mapping[str, str]:
    settings = {"provider": "openai-compatible", "apiKey": "dummy", "model": "scripted"}
    settings["baseUrl"] = f"{url}/v1"
    known = {"openai-compatible": {"settings": settings, "tokenSource": "manual"}}
    document = {"version": 1, "lastUsedProvider": "openai-compatible", "modes": {}}
    stamped = {"updatedAt": "2026-01-01T00:00:00.000Z"}
    known["openai-compatible"] |= stamped  # type: ignore[arg-type]
    path = f"{home}/.cline/data/settings/providers.json"
    write(path, json.dumps({**document, "providers": known}))
    return {}


def copilot(home: str, url: str) -> Mapping[str, str]:
    provider = {"BASE_URL": f"{url}/v1", "API_KEY": "dummy", "TYPE": "openai"}
    own = {f"COPILOT_PROVIDER_{name}": value for name, value in provider.items()}
    return {**own, "COPILOT_MODEL": "gpt-5", "COPILOT_OFFLINE": "true"}


def litellm(home: str, url: str) -> Mapping[str, str]:
    openai = {"OPENAI_API_BASE": f"{url}/v1", "OPENAI_BASE_URL": f"{url}/v1"}
    names = {"AIDER_MODEL": "openai/gpt-5", "MSWEA_MODEL_NAME": "openai/gpt-5"}
    return {**openai, **names, "OPENAI_API_KEY": "dummy", "MSWEA_CONFIGURED": "true"}


SETUPS: Mapping[str, Setup] = {
    "claude": claude,
    "codex": codex,
    "qwen": qwen,
    "gemini": gemini,
    "opencode": opencode,
    "pi": pi,
    "copilot": copilot,
    "cline": cline,
    "aider": litellm,
    "mini": litellm,
}


ESTIMATES = ("aider",)  # count tokens by themselves, not as the provider does


@dataclass(frozen=True, slots=True)
class Row:
    agent: str
    version: str
    mode: str
    sandbox: bool
    status: str
    outcome: str
    seconds: float
    tokens: int | None
    cost: float | None
    right: bool
    why: str


def install(name: str, folder: str) -> str:
    """The folder of the program, which is installed unless it is there."""
    words = catalog.preset_named(name).install.split()
    if words[0] == "npm":
        path = os.path.join(folder, "node_modules", ".bin")
        command = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", words[-1]]
    else:
        path = os.path.join(folder, name, "bin")
        subprocess.run([sys.executable, "-m", "venv", os.path.join(folder, name)], check=True)
        command = [os.path.join(path, "pip"), "install", "-q", words[-1]]
    if not os.path.exists(os.path.join(path, name)):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
    return path


def drive(name: str, mode: str, programs: str, *, sandbox: bool, patience: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="openloop-agents-", dir="/var/tmp") as folder:
        project, home = os.path.join(folder, "project"), os.path.join(folder, "home")
        write(f"{project}/calc.py", f"def add(a, b):\n    {WRONG}\n")
        write(f"{project}/test_calc.py", TEST)
        os.makedirs(home)
        subprocess.run(["git", "init", "-q", project], check=True)
        model = Model(mode, project)
        try:
            env = environment(home, programs, SETUPS[name](home, model.url))
            return _run(name, mode, project, env, model, sandbox=sandbox, patience=patience)
        finally:
            model.close()


def environment(home: str, programs: str, own: Mapping[str, str]) -> dict[str, str]:
    path = f"{programs}:{os.environ['PATH']}"
    return {
        "PATH": path,
        "HOME": home,
        "PYTHONPATH": SRC,
        "TERM": "dumb",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
        "CI": "1",
        **own,
    }


def _run(
    name: str,
    mode: str,
    project: str,
    env: Mapping[str, str],
    model: Model,
    *,
    sandbox: bool,
    patience: float,
) -> Row:
    place = f"{project}/.openloop/main"
    openloop(["init", place, "--agent", name], project, env)
    path = f"{place}/openloop.json"
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["commands"].pop("improve", None)
    config["commands"]["fix"] |= {"timeout_seconds": SESSION, "stall_timeout_seconds": SESSION - 1}
    config["limits"] |= {"max_wait_seconds": patience}
    if sandbox:
        config.setdefault("policy", {})["sandbox"] = "bwrap"
    write(path, json.dumps(config))
    began = time.monotonic()
    openloop(["run", place, "--quiet"], project, env)
    seconds = round(time.monotonic() - began, 1)
    with open(f"{place}/events.jsonl", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    with open(f"{place}/heartbeat.json", encoding="utf-8") as file:
        beat = json.load(file)
    fixes = [one for one in events if one["event"] == "step_finished" and one["step"] == "fix"]
    why = judge(mode, beat, fixes, None if name in ESTIMATES else model)
    usage = beat["usage"] or {}
    known = [usage.get(key) for key in ("input_tokens", "output_tokens")]
    return Row(
        agent=name,
        version=version(name, env),
        mode=mode,
        sandbox=sandbox,
        status=beat["status"],
        outcome=", ".join(one["outcome"] for one in fixes),
        seconds=seconds,
        tokens=sum(known) if None not in known else None,  # type: ignore[arg-type]
        cost=usage.get("cost_usd"),
        right=not why,
        why=why or (fixes[-1]["detail"] if fixes else beat["reason"]),
    )


def openloop(words: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "openloop", *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def version(name: str, env: Mapping[str, str]) -> str:
    words = [sys.executable, "-m", "openloop", "agents", name, "--check", "--json"]
    asked = subprocess.run(words, env=env, capture_output=True, check=False)
    return json.loads(asked.stdout)["agents"][0]["version"] or "?"


def judge(
    mode: str, beat: Mapping[str, Any], fixes: Sequence[Mapping[str, Any]], model: Model | None
) -> str:
    """What is not as it should be, "" for nothing. model: whose count the tokens must equal."""
    outcomes = [one["outcome"] for one in fixes]
    if mode in ("edit", "limit"):
        if beat["status"] != "complete":
            offered = f"; tools offered: {', '.join(model.tools)}" if model else ""
            return f"not complete: {beat['reason']}{offered}"
        if {one["round"] for one in fixes} != {2}:
            return f"not in one round: {outcomes}"
        return _tokens(beat["usage"], model) if model else ""
    if mode in ("401", "credit"):
        right = beat["status"] == "blocked" and outcomes == ["unavailable"]
        return "" if right else f"not blocked at once: {beat['status']}, {outcomes}"
    right = "unavailable" in outcomes and "failed" not in outcomes
    return "" if right else f"not unavailable: {beat['status']}, {outcomes}"


def _tokens(usage: Mapping[str, Any] | None, model: Model) -> str:
    """Whether the tokens are those that were served, where the agent reports any; some leave out
    what they ask beside the session, such as a title for it."""
    if not usage or usage["output_tokens"] is None:
        return ""
    reported = tuple(usage[f"{key}_tokens"] for key in ("input", "cached", "output"))
    right = reported in (model.served(), model.served(asides=False))
    return "" if right else f"reported {reported}, served {model.served()}"


def table(rows: Sequence[Row]) -> str:
    lines = ["| agent | version | mode | sandbox | run | fix | seconds | tokens | cost | |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for one in rows:
        cost = "" if one.cost is None else f"${one.cost:.4f}"
        words = [one.agent, one.version, one.mode, "bwrap" if one.sandbox else "", one.status]
        words += [one.outcome, str(one.seconds), str(one.tokens or ""), cost]
        words.append("right" if one.right else f"wrong: {one.why}"[:120])
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Drive real coding agents through OpenLoop.")
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=SETUPS, default=list(SETUPS))
    parser.add_argument("--modes", nargs="*", metavar="MODE", choices=MODES, default=list(MODES))
    parser.add_argument("--sandbox", action="store_true", help="edit in the sandbox too")
    parser.add_argument("--folder", metavar="DIR", help="install here, and keep it")
    parser.add_argument("--patience", type=float, metavar="SECONDS", default=90.0)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    folder = args.folder or tempfile.mkdtemp(prefix="openloop-agents-")
    rows = []
    try:
        for name in args.only:
            programs = install(name, folder)
            for mode in args.modes:
                for sandbox in (False, True) if args.sandbox and mode == "edit" else (False,):
                    row = drive(name, mode, programs, sandbox=sandbox, patience=args.patience)
                    rows.append(row)
                    print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    finally:
        if not args.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps([asdict(row) for row in rows], indent=2) if args.json else table(rows))
    return 0 if all(row.right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
