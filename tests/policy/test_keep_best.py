"""Hill climbing: a change that does not help is undone, and no run ends worse than its best."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import unittest
from typing import Any

from support import ROOT, Case, Workspace, agent, by_round, environment, snapshot

SLOW = True  # left out by scripts/run_tests.sh --quick


def climb(value: object, *harm: str) -> str:
    return agent("cheats/climbs", value, *harm)


class Climb(Case):
    """A project whose metric is the number in its file, and an agent that writes numbers."""

    def place(self, *agents: str, name: str = "w", **baseline: Any) -> Workspace:
        place = self.workspace(
            name,
            total_rounds=len(agents),
            commands={"verify": "test ! -e broken", "improve": by_round(*agents)},
            baseline={
                "command": "echo score=$(cat value)",
                "regex": "score=([0-9.a-z]+)",
                "value": 0.9,
                "keep_best": True,
                **baseline,
            },
            limits={"max_consecutive_failures": 99, "kill_grace_seconds": 0.5},
        )
        os.makedirs(place.project_file("data"))
        for path, text in (("value", "0.5\n"), ("data/kept", "kept\n")):
            with open(place.project_file(path), "w", encoding="utf-8") as file:
                file.write(text)
        return place

    def files(self, place: Workspace) -> dict[str, object]:
        return snapshot(place.project, without=("data",))

    def best(self, value: object, *made: object) -> dict[str, object]:
        """The files of a project that holds this value, and what was made on the way to it."""
        files: dict[str, object] = {"value": f"{value}\n".encode(), "data/kept": b"kept\n"}
        return files | {f"made-{one}": b"untracked\n" for one in made}

    def checkpoint_texts(self, place: Workspace, *rounds: int) -> list[str]:
        return [text for n in rounds for text in place.artifact(n)["policy"]["checkpoints"]]


class Keeping(Climb):
    """Each change is measured, then kept or undone whole."""

    def test_kept_and_restored_untracked_files_included(self) -> None:
        place = self.place(climb(0.6), climb(0.4, "deletes"), climb(0.7), climb(0.65))
        subprocess.run(["git", "init", "-q"], cwd=place.project, check=True)
        repository = snapshot(place.project_file(".git"))
        place.run(exitcode=1)
        self.assertEqual(repository, snapshot(place.project_file(".git")))
        found = {path: text for path, text in self.files(place).items() if ".git" not in path}
        self.assertEqual(self.best(0.7, 0.6, 0.7), found)
        texts = self.checkpoint_texts(place, 1, 2, 3, 4)
        verbs = ["kept", "kept", "restored", "kept", "restored"]
        self.assertEqual(verbs, [text.partition(":")[0] for text in texts])
        self.assertIn("0.4 against the best 0.6", texts[2])
        self.assertEqual(0.7, place.heartbeat["metric"]["best"])
        place.audit()

    def test_a_gate_that_fails_puts_back(self) -> None:
        place = self.place(climb(0.8, "breaks"), climb(0.6))
        place.run(exitcode=1)
        self.assertEqual(self.best(0.6, 0.6), self.files(place))
        self.assertTrue(any("verify failed" in text for text in self.checkpoint_texts(place, 1, 2)))

    def test_a_metric_that_cannot_be_measured_puts_back(self) -> None:
        for value in ("nan", "inf", "-"):
            with self.subTest(value):
                place = self.place(climb(value), name=f"v{value}")
                place.run(exitcode=1)
                self.assertEqual(self.best(0.5), self.files(place))
                self.assertIn("was not measured", self.checkpoint_texts(place, 1)[-1])

    def test_less_may_be_better(self) -> None:
        place = self.place(climb(0.4), climb(0.45), value=0.1, direction="less_equal")
        place.run(exitcode=1)
        self.assertEqual(self.best(0.4, 0.4), self.files(place))

    def test_the_goal_reached_is_kept_and_completes(self) -> None:
        place = self.place(climb(0.3), climb(0.95), "false")
        place.run()
        self.assertEqual(self.best(0.95, 0.95), self.files(place))


class Noise(Climb):
    """Progress that could be chance is not kept."""

    def test_min_delta(self) -> None:
        place = self.place(climb(0.55), climb(0.61), climb(0.68), min_delta=0.1)
        place.run(exitcode=1)
        self.assertEqual(self.best(0.61, 0.61), self.files(place))
        self.assertIn(
            "0.55 against the best 0.5, min_delta 0.1", self.checkpoint_texts(place, 2)[0]
        )

    def test_one_lucky_measurement_of_three_is_not_progress(self) -> None:
        """The first of every three measurements says 0.89."""
        count = os.path.join(self.folder, "count")
        quoted = shlex.quote(count)
        lucky = (
            f"echo x >> {quoted}; test $(( $(wc -l < {quoted}) % 3 )) = 1"
            " && echo score=0.89 || echo score=$(cat value)"
        )
        place = self.place(climb(0.45), climb(0.6), command=lucky, repeat=3)
        place.run(exitcode=1)
        self.assertEqual(self.best(0.6, 0.6), self.files(place))
        self.assertEqual(0.6, place.heartbeat["metric"]["best"])
        with open(count, encoding="utf-8") as file:
            self.assertEqual(0, len(file.readlines()) % 3)


class Crashes(Climb):
    """The best checkpoint outlives the runner."""

    def test_killed_in_the_middle_of_a_change(self) -> None:
        place = self.place(climb(0.7), climb(0.1, "kills", "deletes"), "true", "true")
        place.run(exitcode=-signal.SIGKILL)
        self.assertEqual(b"0.1\n", self.files(place)["value"])
        place.run(exitcode=1)
        self.assertEqual(self.best(0.7, 0.7), self.files(place))
        self.assertTrue(
            any(text.startswith("restored") for text in self.checkpoint_texts(place, 3))
        )
        self.assertEqual(0.7, place.heartbeat["metric"]["best"])
        place.audit()

    def test_killed_before_the_first_change_was_measured(self) -> None:
        place = self.place(climb(0.1, "kills"), "true")
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=1)
        self.assertEqual(self.best(0.5), self.files(place))


class Example(Case):
    """The example mission climbs its hill for real."""

    def test_moves_are_kept_and_restored(self) -> None:
        script = os.path.join(ROOT, "examples", "hill_climb", "run.sh")
        place = os.path.join(self.folder, "climb")
        done = subprocess.run(
            [script, place],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "kept: questions [0-9.]+ against the best")
        self.assertRegex(done.stdout, "restored: ")


if __name__ == "__main__":
    unittest.main()
