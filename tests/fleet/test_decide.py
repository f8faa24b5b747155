"""What a coordinator does next, from tables: no process, no file, no clock."""

from __future__ import annotations

import unittest

from openloop.fleet.decide import LaunchAction, Observation, Queue, is_gone, next_action
from openloop.fleet.fleet_file import Task
from openloop.fleet.launchers.launcher import Host
from openloop.fleet.state import EventName, FleetState, Phase, TaskState, ending

GRACE, STOP = 10.0, 30.0
HERE = [Host("", 1000)]


def task(name: str, group: str = "", lane: str = "") -> Task:
    return Task(name, None, f"/{name}", "/p", {}, group, lane)


def step(
    phase: Phase, now: float = 0.0, *, cancelling: bool = False, **seen: object
) -> LaunchAction | None:
    known = TaskState("a")
    known.phase, known.cancelling = phase, cancelling
    look = Observation(0.0)
    for name, value in seen.items():
        setattr(look, name, value)
    return next_action(known, look, now, grace=GRACE, stop=STOP)


class NextStep(unittest.TestCase):
    def test_table(self) -> None:
        end = {"code": 0}
        gone = {"gone_since": 0.0, "asked": GRACE}
        launching, submitted, running = Phase.LAUNCHING, Phase.SUBMITTED, Phase.RUNNING
        for expected, phase, now, seen in (
            (None, launching, 1e6, {"busy": True, "end": end}),
            (LaunchAction.RECORD_END, running, 0, {"end": end, "begun": True}),
            (LaunchAction.RECORD_END, launching, 0, {"end": end, "begun": True}),
            (LaunchAction.ADOPT, launching, 0, {"listed": True}),
            (LaunchAction.RECORD_BEGIN, launching, 0, {"begun": True}),
            (LaunchAction.RECORD_BEGIN, submitted, 0, {"begun": True, **gone}),
            (None, submitted, 1e6, {}),  # the engine was never asked
            (None, running, 1e6, {"begun": True, "listed": True}),
            (None, running, GRACE, {"begun": True, "gone_since": 1.0, "asked": GRACE}),
            (LaunchAction.LOSE, running, GRACE, {"begun": True, **gone}),
            (None, running, GRACE, {"begun": True, **gone, "moved": 1.0}),  # it lives
            (LaunchAction.LOSE, running, GRACE + 1, {"begun": True, **gone, "moved": 1.0}),
            (LaunchAction.GIVE_UP, submitted, GRACE, gone),
            (LaunchAction.GIVE_UP, launching, GRACE, gone),
            # an outage: the latest answer is as old as it is
            (None, running, 1e6, {"begun": True, "gone_since": 5.0, "asked": 5.0}),
        ):
            with self.subTest(expected=expected, phase=phase, seen=seen):
                self.assertEqual(expected, step(phase, now, **seen))

    def test_cancelling(self) -> None:
        running = {"begun": True, "listed": True}
        for expected, now, seen in (
            (LaunchAction.GIVE_UP, 0, {"listed": True}),
            (LaunchAction.STOP, 0, running),
            (None, 29, {**running, "stopped": 0.0}),
            (LaunchAction.CANCEL, 30, {**running, "stopped": 0.0}),
            (None, 59, {**running, "stopped": 0.0, "cancelled": 30.0}),
            (LaunchAction.KILL, 60, {**running, "stopped": 0.0, "cancelled": 30.0}),
            (None, 89, {**running, "stopped": 0.0, "cancelled": 30.0, "killed": 60.0}),
            (LaunchAction.KILL, 90, {**running, "stopped": 0.0, "cancelled": 30.0, "killed": 60.0}),
            (LaunchAction.RECORD_END, 90, {**running, "end": {"code": 143}}),
        ):
            with self.subTest(expected=expected, now=now, seen=seen):
                phase = Phase.RUNNING if seen.get("begun") else Phase.SUBMITTED
                self.assertEqual(expected, step(phase, now, cancelling=True, **seen))

    def test_what_is_listed_again_is_not_gone(self) -> None:
        seen = Observation(0.0)
        seen.answer(False, "", 1.0)
        seen.answer(True, "7", 5.0)
        seen.answer(False, "", 6.0)
        seen.answer(False, "", 12.0)
        self.assertFalse(is_gone(seen, 12.0, GRACE))
        seen.answer(False, "", 16.0)
        self.assertTrue(is_gone(seen, 16.0, GRACE))
        self.assertEqual("7", seen.job)

    def test_a_heartbeat_that_moves_is_life(self) -> None:
        seen = Observation(0.0)
        for now in range(100):
            seen.answer(False, "", now)
            seen.note_heartbeat(("beat", now), now)
            self.assertFalse(is_gone(seen, now, GRACE))
        for now in range(100, 120):
            seen.answer(False, "", now)
            seen.note_heartbeat(("beat", 99), now)
        self.assertTrue(is_gone(seen, 119, GRACE))


class Order(unittest.TestCase):
    """Which waiting tasks may start."""

    def queue(self, *tasks: Task, most: int = 100, groups: dict[str, int] | None = None,
              hosts: list[Host] | None = None) -> Queue:  # fmt: skip
        found = Queue(tasks, groups or {}, hosts or HERE, most)
        for one in tasks:
            found.add(one.name)
        return found

    def taken(self, queue: Queue, unreachable: tuple[str, ...] = ()) -> list[str]:
        return [one.name for one, _ in queue.startable(unreachable)]

    def test_in_order_up_to_the_bound(self) -> None:
        queue = self.queue(*map(task, "abcd"), most=2)
        self.assertEqual(["a", "b"], self.taken(queue))
        self.assertEqual([], self.taken(queue))
        queue.free_slot("a", "")
        self.assertEqual(["c"], self.taken(queue))
        self.assertIn("max_parallel is 2", queue.why_waiting("d", {}))

    def test_a_full_group_holds_back_nobody_else(self) -> None:
        tasks = (task("a", "g"), task("b", "g"), task("c"), task("d", "h"))
        queue = self.queue(*tasks, groups={"g": 1, "h": 1})
        self.assertEqual(["a", "c", "d"], self.taken(queue))
        self.assertEqual("group g runs 1 of at most 1", queue.why_waiting("b", {}))

    def test_one_at_a_time_in_a_workspace(self) -> None:
        queue = self.queue(task("a", lane="/w"), task("b", lane="/w"), task("c"))
        self.assertEqual(["a", "c"], self.taken(queue))
        self.assertEqual("another task works in /w", queue.why_waiting("b", {}))
        queue.free_slot("a", "")
        self.assertEqual(["b"], self.taken(queue))

    def test_hosts_have_slots_and_may_be_down(self) -> None:
        hosts = [Host("one", 1), Host("two", 2)]
        queue = self.queue(*map(task, "abcd"), hosts=hosts)
        self.assertEqual([("a", "two"), ("b", "two")],
                         [(t.name, h) for t, h in queue.startable(("one",))])  # fmt: skip
        self.assertIn("one: away", queue.why_waiting("c", {"one": "away"}))
        self.assertEqual(["c"], self.taken(queue))

    def test_dropped(self) -> None:
        queue = self.queue(*map(task, "abc"))
        queue.drop({"a", "c"})
        self.assertEqual(["b"], self.taken(queue))
        self.assertFalse(queue.has_waiting)


class Endings(unittest.TestCase):
    def test_states_by_exit_code(self) -> None:
        beat = {"status": "complete", "reason": "every gate passed", "round": 4, "usage": {"a": 1}}
        for code, state in (
            *((0, "complete"), (1, "exhausted"), (2, "blocked"), (3, "blocked")),
            *((4, "interrupted"), (5, "interrupted"), (130, "interrupted"), (143, "interrupted")),
            *((-9, "crashed"), (137, "crashed"), (127, "crashed"), (77, "crashed")),
        ):
            with self.subTest(code=code):
                found = ending({"code": code, "beat": beat}, "the last line")
                self.assertEqual(state, found["state"])
                is_reported = code in (
                    0,
                    1,
                    3,
                    5,
                    130,
                    143,
                )  # else the heartbeat is of an earlier run
                self.assertEqual(4 if is_reported else None, found["round"])
                self.assertEqual(is_reported, found["reason"] == "every gate passed")
                if not is_reported:
                    self.assertIn("the last line", found["reason"])

    def test_no_heartbeat(self) -> None:
        self.assertEqual("exit code 1", ending({"code": 1, "beat": None}, "")["reason"])


class Replay(unittest.TestCase):
    def test_a_history(self) -> None:
        start = {"event": EventName.FLEET_STARTED, "id": "f", "sha256": ""}
        launch = {"task": "a", "launch": "f.a.1", "number": 1, "host": ""}
        history: list[tuple[dict[str, object], str]] = [
            (start, "waiting"),
            ({"event": EventName.TASK_LAUNCHING, **launch}, "submitted"),
            ({"event": EventName.TASK_SUBMITTED, "task": "a", "job": "7"}, "submitted"),
            ({"event": EventName.ENGINE_UNREACHABLE, "host": "", "why": "down"}, "unknown"),
            ({"event": EventName.ENGINE_REACHED, "host": ""}, "submitted"),
            ({"event": EventName.TASK_RUNNING, "task": "a", "host": "n1"}, "running"),
            ({"event": EventName.ENGINE_UNREACHABLE, "host": "", "why": "down"}, "unknown"),
            ({"event": EventName.TASK_ENDED, "task": "a", "state": "lost", "reason": ""}, "lost"),
            ({"event": EventName.TASK_RETRIED, "task": "a"}, "waiting"),
        ]
        state = FleetState(["a"])
        for event, word in history:
            state.apply(event)
            self.assertEqual(word, state.word(state.tasks["a"]), event)

    def test_a_task_that_is_no_longer_named_is_shown_while_it_lives(self) -> None:
        state = FleetState(["a"])
        state.apply({"event": EventName.TASK_LAUNCHING, "task": "b", "launch": "x", "number": 1,
                     "host": ""})  # fmt: skip
        self.assertEqual(["a", "b"], [one.name for one in state.shown()])
        state.apply({"event": EventName.TASK_ENDED, "task": "b", "state": "complete", "reason": ""})
        self.assertEqual(["a"], [one.name for one in state.shown()])

    def test_what_is_no_event(self) -> None:
        for event in ({}, {"event": "nonsense"}, {"event": EventName.TASK_ENDED, "task": "a"}):
            with self.assertRaises((KeyError, ValueError)):
                FleetState(["a"]).apply(event)


if __name__ == "__main__":
    unittest.main()
