"""What the record of a workspace must hold after any fault."""

from __future__ import annotations

import json
import os
from typing import Any

from faults.bench import PLANTED, require
from openloop.record import workspace
from openloop.views import audit
from support import Workspace

Events = list[dict[str, Any]]


def intact(place: Workspace) -> audit.AuditReport:
    """The record holds, a torn last line allowed."""
    report = audit.examine(workspace.at(place.path))
    why = report.broken and f"{report.broken.where}: {report.broken.why}"
    require(report.broken is None, f"audit says broken: {why}")
    return report


def whole(place: Workspace) -> None:
    """After the last run of a workspace: every invariant of a record that was cut off and
    resumed any number of times."""
    report = intact(place)
    require(not any("torn" in note for note in report.notes), "the last line is still torn")
    alone = not os.path.exists(f"{place.folder}/overlapped")
    require(alone, "a command ran beside what was left of another one")
    events = place.events
    _runs_follow(events)
    _rounds_follow(place, events)
    _changes_answer(events)
    _logs_exist(place, events)
    _effects_are_recorded(place, events)
    _planted_stand(place)


def _runs_follow(events: Events) -> None:
    """A cut-off run is resumed under its number; a new one begins only when it was over."""
    number, over = 0, True
    for event in events:
        if event["event"] == "run_started":
            resumed = event["resumed"]
            require(resumed != over, f"run {event['run']} resumed={resumed}, over={over}")
            require(event["run"] == number + over, f"run {event['run']} after {number}")
            number, over = event["run"], False
        elif event["event"] == "run_finished":
            over = event["status"] != "interrupted"


def _rounds_follow(place: Workspace, events: Events) -> None:
    """No round is missing, repeated or half-recorded. `audit` has compared the artifacts."""
    started = [event["round"] for event in events if event["event"] == "round_started"]
    finished = [event["round"] for event in events if event["event"] == "round_finished"]
    require(started == list(range(1, len(started) + 1)), f"rounds started: {started}")
    require(finished == started, f"rounds started {started}, finished {finished}")
    for number in finished:
        recorded = [
            event["step"]
            for event in events
            if event["event"] == "step_finished" and event["round"] == number
        ]
        kept = [step["step"] for step in place.artifact(number)["steps"]]
        require(recorded == kept, f"round {number}: events tell {recorded}, the artifact {kept}")


def _changes_answer(events: Events) -> None:
    """No change runs without a failure that a gate measured since the change before."""
    failed = False
    for event in events:
        change = event["step"] in ("fix", "improve")
        if event["event"] == "step_started" and change:
            require(failed, f"{event['step']} in round {event['round']} answers no failure")
            failed = False
        elif event["event"] == "step_finished" and not change:
            failed = failed or event["outcome"] != "passed"


def _logs_exist(place: Workspace, events: Events) -> None:
    for event in events:
        if event["event"] == "step_started":
            require(place.exists(event["log_path"]), f"{event['log_path']} is missing")


def _effects_are_recorded(place: Workspace, events: Events) -> None:
    """What a command did was announced before, once for each time."""
    path = place.project_file("effects")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        done = file.read().split("\n")[:-1]
    announced = [
        f"{event['round']} {event['step']}" for event in events if event["event"] == "step_started"
    ]
    for effect in set(done):
        times, allowed = done.count(effect), announced.count(effect)
        require(times <= allowed, f"{effect} ran {times} times, recorded are {allowed}")


def _planted_stand(place: Workspace) -> None:
    """What a change did to a protected file was undone, and what it may not see came back."""
    for name in PLANTED:
        with open(place.project_file(name), encoding="utf-8") as file:
            require(file.read() == name, f"the project's file {name!r} is not as it was")


def is_open(place: Workspace) -> bool:
    """Whether the record ends inside of a run whose end was not yet decided."""
    if not place.exists("events.jsonl"):
        return False
    whole_lines = place.read("events.jsonl").split("\n")[:-1]
    open_run = False
    for event in map(json.loads, whole_lines):
        if event["event"] == "run_started":
            open_run = True
        elif event["event"] == "run_finished":
            open_run = event["status"] == "interrupted"
        elif event["event"] == "round_finished":
            open_run = event["decision"] == "continue"
    return open_run


def runs_opened(place: Workspace) -> int:
    """How often a run was opened or resumed, also while a runner writes."""
    if not place.exists("events.jsonl"):
        return 0
    return place.read("events.jsonl").count('"event": "run_started"')
