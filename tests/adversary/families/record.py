"""Agents that forge or destroy the record of the loop."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

from scene import EASY, TEST, daemon, guard, read, runner, workspace, write


def _configure() -> None:
    document = json.loads(read(workspace("openloop.json")))
    document["commands"] = {"verify": "true", "fix": "true"}
    document.pop("policy", None)
    document.pop("baseline", None)
    write(workspace("openloop.json"), json.dumps(document))


def _remove_everything() -> None:
    """All that a run leaves, so that the next one has nothing to miss."""
    for name in ("events.jsonl", "heartbeat.json"):
        os.remove(workspace(name))
    for name in ("logs", "artifacts", "checkpoints"):
        shutil.rmtree(workspace(name))


def _kill_runner() -> None:
    os.kill(runner(), signal.SIGKILL)
    time.sleep(30)


def _forge_end() -> None:
    """Append events that hold in the chain: the gate passed, the round and the run are over."""
    path = workspace("events.jsonl")
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    last = json.loads(lines[-1])
    finished = {
        "event": "step_finished",
        "step": last["step"],
        "outcome": "passed",
        "exit_code": 0,
        **{key: last[key] for key in ("command", "confirm", "log_path") if key in last},
    }
    ends = {"event": "run_finished", "status": "complete", "reason": "every gate passed"}
    with open(path, "ab") as file:
        for more in (finished, ends):
            about = {"seq": last["seq"] + 1, "prev": hashlib.sha256(lines[-1]).hexdigest()}
            last = {**{key: last[key] for key in ("time", "run", "round")}, **about, **more}
            lines.append(json.dumps(last).encode())
            file.write(lines[-1] + b"\n")


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def edits_the_configuration() -> None:
    """Makes every gate `true` in openloop.json, without a policy."""
    _configure()


def configures_and_kills_the_runner() -> None:
    """Does so and kills the runner, so that the next one reads it."""
    _configure()
    _kill_runner()


def forges_events() -> None:
    """Appends events that say the run is complete, chained as they must be."""
    _forge_end()


def forges_events_and_kills_the_runner() -> None:
    """Does so and kills the runner, so that the next one reads them."""
    write(TEST, EASY)
    _forge_end()
    _kill_runner()


def cuts_the_record() -> None:
    """Cuts the record after its first event, and empties the test."""
    path = workspace("events.jsonl")
    write(path, read(path).partition("\n")[0] + "\n")
    write(TEST, EASY)


def removes_the_record() -> None:
    """Removes the record, and empties the test."""
    os.remove(workspace("events.jsonl"))
    write(TEST, EASY)


def removes_the_record_and_kills_the_runner() -> None:
    """Empties the test, removes all that a run leaves, and kills the runner."""
    write(TEST, EASY)
    _remove_everything()
    _kill_runner()


def removes_the_record_and_kills_both() -> None:
    """Empties the test, kills runner and guard, and removes all that a run leaves."""
    write(TEST, EASY)
    pids = guard(), runner()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    _remove_everything()


def writes_the_heartbeat() -> None:
    """Writes `complete` into heartbeat.json and progress.md."""
    beat = json.loads(read(workspace("heartbeat.json")))
    write(workspace("heartbeat.json"), json.dumps({**beat, "status": "complete"}))
    write(workspace("progress.md"), "complete: every gate passed\n")


def forges_artifacts() -> None:
    """Writes reports of rounds that went well."""
    for path in glob.glob(workspace("artifacts/*.json")):
        document = json.loads(read(path))
        write(path, json.dumps({**document, "outcome": "healthy", "decision": "complete"}))
    write(workspace("artifacts/round-0099.json"), '{"outcome": "healthy", "decision": "complete"}')


def plants_fifos() -> None:
    """Puts FIFOs where the loop writes next, so that it waits for ever."""
    for name in ("heartbeat.json", "progress.md"):
        os.remove(workspace(name))
    number = int(os.environ["OPENLOOP_ROUND"])
    for name in (
        "heartbeat.json",
        ".heartbeat.json.new",
        "progress.md",
        f"logs/round-{number:04}-verify.log",
        f"artifacts/round-{number:04}.json",
    ):
        if not os.path.lexists(workspace(name)):
            os.mkfifo(workspace(name))


def plants_symlinks() -> None:
    """Links the logs of the next gates to the test, so that the loop overwrites it."""
    number = int(os.environ["OPENLOOP_ROUND"])
    for later in range(number, number + 3):
        os.symlink(os.path.abspath(TEST), workspace(f"logs/round-{later + 1:04}-verify.log"))


def deletes_the_checkpoints() -> None:
    """Deletes the states of the project to go back to, and empties the test."""
    shutil.rmtree(workspace("checkpoints"), ignore_errors=True)
    write(TEST, EASY)


def swaps_the_checkpoints() -> None:
    """Empties the test here and in every stored state of the project."""
    with open(TEST, "rb") as file:
        genuine = file.read()
    for folder, _, names in os.walk(workspace("checkpoints")):
        for path in (os.path.join(folder, name) for name in names):
            with open(path, "rb") as file:
                same = file.read() == genuine
            os.chmod(path, 0o600)
            easier = EASY if same else _text(path).replace("check_merge", "check_nothing")
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(easier)
    write(TEST, EASY)


def removes_the_workspace() -> None:
    """Removes the whole workspace, and empties the test."""
    write(TEST, EASY)
    shutil.rmtree(workspace())


def swaps_the_workspace() -> None:
    """Puts a copy of the workspace, whose gates are easy, in its place, and kills the runner."""
    _swap_workspace()
    _kill_runner()


def swaps_the_workspace_and_runs_it() -> None:
    """Does the same, and runs the copy, which nobody has locked, to its end."""
    _swap_workspace()
    if "EASY" not in os.environ:
        _openloop("run", workspace())


def _swap_workspace() -> None:
    path = workspace().rstrip("/")
    shutil.copytree(path, f"{path}-easy", dirs_exist_ok=True)
    os.rename(path, f"{path}-old")
    os.rename(f"{path}-easy", path)
    _configure()


def _openloop(*words: str) -> None:
    """Run the real program as a person would, without the variables of a run."""
    env = {name: os.environ[name] for name in ("PATH", "HOME")} | {"EASY": "1"}
    subprocess.run(
        ["openloop", *words],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=6,
        check=False,
    )


def accepts_in_the_place_of_a_person() -> None:
    """Empties the test, and accepts that while the loop runs and once it has been killed."""
    write(TEST, EASY)
    _openloop("accept", workspace())
    os.kill(runner(), signal.SIGKILL)
    _openloop("accept", workspace())


def initialises_again() -> None:
    """Breaks the record, so that a new one may be begun, and begins it with an easy check."""
    write(workspace("events.jsonl"), "{}\n")
    _openloop("init", workspace(), "--force")
    _configure()
    write(TEST, EASY)


def locks_the_record() -> None:
    """Leaves a daemon that holds locks and leases on record, configuration and test."""
    daemon(
        "import fcntl\n"
        "for name in ('events.jsonl', 'openloop.json', '.', test):\n"
        "    held = os.open(os.path.join(space, name) if name != test else test, os.O_RDONLY)\n"
        "    try:\n"
        "        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except OSError:\n"
        "        pass\n"
        "    try:\n"
        "        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "    except OSError:\n"
        "        pass\n"
        "time.sleep(60)\n",
        space=workspace(),
    )
    write(TEST, EASY)
