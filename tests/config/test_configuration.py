"""openloop.json as a run takes it: the project root, commands, values put into them, baselines."""

from __future__ import annotations

import json
import os
import subprocess
import unittest
from typing import Any

from support import Case, Workspace, agent, by_round, environment, run_openloop

NASTY = "- sp 'q\" $(touch pwned) `touch pwned`\n; touch pwned # é\\*?[x] \x1b[31m &"
PATIENT = {"max_consecutive_failures": 1000}


class ProjectRoot(Case):
    """Against the folder that holds `.openloop`, else the workspace's parent; never the cwd."""

    def root_of(self, path: str, *, given: str = "", cwd: str = "", **config: Any) -> str:
        """Where the commands of the workspace at `path` run."""
        path, decoy = os.path.join(self.folder, path), os.path.join(self.folder, "decoy")
        for folder in (path, decoy, os.path.join(decoy, "project")):
            os.makedirs(folder, exist_ok=True)
        with open(os.path.join(path, "openloop.json"), "w", encoding="utf-8") as file:
            json.dump({"version": 1, "commands": {"verify": "pwd -P"}, **config}, file)
        cwd = os.path.join(self.folder, cwd) if cwd else decoy
        run_openloop("run", given or path, cwd=cwd)
        with open(os.path.join(path, "logs/round-0001-verify.log"), encoding="utf-8") as file:
            return os.path.relpath(file.read().removesuffix("\n"), self.folder)

    def make(self, *paths: str) -> None:
        for path in paths:
            os.makedirs(os.path.join(self.folder, path))

    def test_beside_the_workspace(self) -> None:
        self.make("project", "ws/project")
        self.assertEqual(self.root_of("ws", project_root="project"), "project")

    def test_the_default_is_the_base_itself(self) -> None:
        self.assertEqual(self.root_of("a/ws"), "a")
        self.assertEqual(self.root_of("b/.openloop/ws"), "b")

    def test_inside_a_dot_openloop_folder_however_deep(self) -> None:
        self.make("a/project")
        self.assertEqual(self.root_of("a/.openloop/ws", project_root="project"), "a/project")
        self.assertEqual(self.root_of("a/.openloop/x/y/ws", project_root="project"), "a/project")

    def test_an_absolute_one(self) -> None:
        self.make("project")
        absolute = os.path.join(self.folder, "project")
        self.assertEqual(self.root_of("x/.openloop/ws", project_root=absolute), "project")

    def test_a_workspace_named_relative_to_the_current_folder(self) -> None:
        self.make("a/project", "a/b")
        found = self.root_of("a/ws", given="../ws", cwd="a/b", project_root="project")
        self.assertEqual(found, "a/project")

    def test_through_a_symlink_to_the_workspace(self) -> None:
        self.make("a/project", "a/.openloop/ws", "b/project")
        link = os.path.join(self.folder, "b/ws")
        os.symlink("../a/.openloop/ws", link)
        found = self.root_of("a/.openloop/ws", given=link, project_root="project")
        self.assertEqual(found, "a/project")

    def test_a_symlinked_root_is_resolved_once(self) -> None:
        self.make("one", "two")
        os.symlink("one", os.path.join(self.folder, "project"))
        place = self.workspace(
            project_root=os.path.join(self.folder, "project"),
            commands={
                "play": f"ln -sfn two {self.folder}/project",
                "verify": "pwd -P",
            },
        )
        place.run()
        self.assertEqual(place.read("logs/round-0001-verify.log"), f"{self.folder}/one\n")

    def test_names_of_every_kind(self) -> None:
        self.make(f"{NASTY}/{NASTY}")
        found = self.root_of(f"{NASTY}/ws {NASTY}", project_root=NASTY)
        self.assertEqual(found, f"{NASTY}/{NASTY}")


class Values(Case):
    """Placeholders and environment variables arrive whole, whatever they hold."""

    def described(self, place: Workspace) -> dict[str, Any]:
        with open(f"{self.folder}/about", encoding="utf-8") as file:
            about: dict[str, Any] = json.load(file)
        for where, _, names in os.walk(self.folder):
            self.assertNotIn("pwned", names, where)
        return about

    def test_paths_wherever_they_stand(self) -> None:
        words = (
            "{workspace}",
            "'{project_root}'",
            '"{workspace}"',
            '"$(printf %s {project_root})"',
            "\"$(printf %s '{workspace}')\"",
            'a{project_root}b"c"',
            "'it is {workspace}: '\\''{round}'\\'",
            "x{round}y",
            "{step}",
            "{prompt_file}",
            "{{round}}",
            "{unknown}",
        )
        place = self.workspace(
            NASTY,
            commands={"verify": f"{agent('describes', f'{self.folder}/about')} {' '.join(words)}"},
        )
        place.run()
        self.assertEqual(
            self.described(place)["words"],
            [
                place.path,
                place.project,
                place.path,
                place.project,
                place.path,
                f"a{place.project}bc",
                f"it is {place.path}: '1'",
                "x1y",
                "verify",
                "",
                "{round}",
                "{unknown}",
            ],
        )

    def test_everything_else_passes_through(self) -> None:
        script = (
            "echo one two | awk '{print $2}'\n"
            'HOME=here; echo "${HOME} ${none:-{}}"\n'
            """echo '{"json": [1, {"a": "{x}"}], "round": "{{step}}"}'\n"""
            'f() { echo "{ $1; }"; }; f x; echo { } {} {{x}} {a,b}\n'
            "cat <<'END'\n${HOME} {x} \\\nEND\n"
        )
        place = self.workspace(commands={"verify": script})
        place.run()
        expected = subprocess.run(
            ["/bin/sh", "-c", script.replace("{{step}}", "{step}")],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(place.read("logs/round-0001-verify.log"), expected.stdout)

    def test_last_error_is_a_value_and_not_a_program(self) -> None:
        text = '\'; touch pwned; echo "$(touch pwned)`touch pwned`" {round} $HOME \\ é \x1b[31m'
        place = self.workspace(
            commands={
                "scan": {
                    "run": "test -e fixed && exit 0; printf '%s\\n' \"$TEXT\"; exit 3",
                    "env": {"TEXT": text},
                },
                "fix": f"touch fixed; {agent('describes', f'{self.folder}/about')} "
                "{last_error} '{last_error}' \"{last_error}\" {prompt_file}",
                "verify": "true",
            }
        )
        place.run()
        about = self.described(place)
        expected = f"scan failed (exit 3): {text}".removesuffix("\x1b[31m").strip()
        prompt = place.file("artifacts/round-0001-fix-prompt.md")
        self.assertEqual(about["words"], [expected] * 3 + [prompt])
        self.assertEqual(about["environment"]["OPENLOOP_LAST_ERROR"], expected)
        self.assertEqual(about["environment"]["OPENLOOP_PROMPT_FILE"], prompt)

    def test_the_environment_of_a_command(self) -> None:
        place = self.workspace(
            NASTY,
            mission=f"Mend it: {NASTY}",
            commands={
                "verify": {
                    "run": agent("describes", f"{self.folder}/about"),
                    "env": {"OWN": NASTY, "INHERITED": "changed", "EMPTY": ""},
                }
            },
        )
        env = environment(INHERITED="as it was", KEPT="as it was")
        place.run(env=env)
        found = self.described(place)["environment"]
        expected = {
            "OPENLOOP_WORKSPACE": place.path,
            "OPENLOOP_PROJECT_ROOT": place.project,
            "OPENLOOP_ROUND": "1",
            "OPENLOOP_STEP": "verify",
            "OPENLOOP_LAST_ERROR": "",
            "OPENLOOP_PROMPT_FILE": "",
            "OPENLOOP_MISSION": f"Mend it: {NASTY}",
            "OWN": NASTY,
            "INHERITED": "changed",
            "EMPTY": "",
            "KEPT": "as it was",
        }
        self.assertEqual({name: found.get(name) for name in expected}, expected)

    def test_what_cannot_be_made_safe_is_refused_at_the_start(self) -> None:
        for script in ("cat <<'X'\n{last_error}\nX\n", "echo `{last_error}`", "echo 'open {round}"):
            with self.subTest(script):
                place = self.workspace(commands={"verify": script})
                self.assertIn("commands.verify", place.run(exitcode=2).err)
                self.assertEqual(os.listdir(place.path), ["openloop.json"])


class Notes(Case):
    """Keys that begin with `$` or `x-`."""

    def test_keys_for_notes_and_editors_are_ignored(self) -> None:
        place = self.workspace(
            **{
                "$schema": "https://example.invalid/schema.json",
                "x-note": {"any": "thing"},
                "commands": {"verify": {"run": "true", "x-why": 1}, "$why": "because"},
                "limits": {"x-note": None},
            }
        )
        place.run()


class Directions(Case):
    """`greater_equal`, `less_equal`, `greater`, `less`: where each one begins to pass."""

    def first_pass(self, direction: str, *values: float) -> int:
        """The round in which the baseline of 2 passes for the first time."""
        place = self.workspace(
            direction,
            total_rounds=len(values),
            commands={"verify": "true"},
            baseline={
                "command": by_round(*(f"echo value={value}" for value in values)),
                "regex": "value=(.+)",
                "value": 2,
                "direction": direction,
            },
            limits=PATIENT,
        )
        place.run()
        metric = place.heartbeat["metric"]
        self.assertEqual((metric["direction"], metric["passed"]), (direction, True))
        return place.heartbeat["round"]

    def test_each(self) -> None:
        self.assertEqual(self.first_pass("greater_equal", 1, 1.99, 2), 3)
        self.assertEqual(self.first_pass("greater", 1, 2, 2.01), 3)
        self.assertEqual(self.first_pass("less_equal", 3, 2.01, 2), 3)
        self.assertEqual(self.first_pass("less", 3, 2, -2e3), 3)


class Measurements(Case):
    """What counts as a measured metric, and what never does."""

    def measured(self, *scripts: str, **baseline: Any) -> list[tuple[str, float | None]]:
        """(outcome, value) of the baseline in each round, one round a script."""
        place = self.workspace(
            str(baseline),
            total_rounds=len(scripts),
            commands={"verify": "true"},
            baseline={
                "command": by_round(*scripts),
                "regex": r"m=(\S*)",
                "value": -1e300,
                **baseline,
            },
            limits=PATIENT,
        )
        found: list[tuple[str, float | None]] = []
        while len(found) < len(scripts):  # a complete run is followed by another one
            place.run(exitcode=None)
            found = [
                (event["outcome"], event["metric"]["value"])
                for event in place.events_of("step_finished")
                if event["step"] == "baseline"
            ]
        place.audit()
        return found

    def test_a_failed_measurement_is_never_a_pass(self) -> None:
        scripts = (
            "echo nothing here",
            "true",
            "echo m=",
            "echo m=nan",
            "echo m=inf",
            "echo m=-Infinity",
            "echo m=1e999",
            "echo m=1_0",
            "echo m=0x10",
            "echo m=1,5",
            "echo m=٣",
            "echo m=1 m=2",
            "echo m=5; echo m=6",
            "echo m=5; exit 1",
        )
        found = self.measured(*scripts)
        for script, result in zip(scripts, found, strict=True):
            with self.subTest(script):
                self.assertEqual(result, ("failed", None))

    def test_numbers(self) -> None:
        scripts = ("echo m=5 m=5.0", "echo m=-1.5e3", "echo m=+.5", "echo m=7.")
        self.assertEqual([value for _, value in self.measured(*scripts)], [5, -1500, 0.5, 7])

    def test_match_chooses_among_several_values(self) -> None:
        script = "echo m=3; echo m=1; echo m=2"
        self.assertEqual(self.measured(script, match="first"), [("passed", 3)])
        self.assertEqual(self.measured(script, match="last"), [("passed", 2)])
        self.assertEqual(self.measured(script, match="only"), [("failed", None)])

    def test_the_metric_is_taken_from_its_own_log(self) -> None:
        place = self.workspace(
            commands={"play": "echo m=9", "verify": "echo m=9"},
            baseline={"command": "echo none", "regex": "m=(.)", "value": 1},
            total_rounds=1,
        )
        place.run(exitcode=1)
        self.assertIsNone(place.heartbeat["metric"]["value"])

    def test_the_median_of_repetitions(self) -> None:
        script = "echo . >> n; echo m=$(sed -n $(wc -l < n)p values)"
        for values, repeat, median in (("9 1 5", 3, 5), ("1 9 2 4", 4, 3)):
            with self.subTest(values):
                place = self.workspace(
                    values,
                    commands={"verify": "true"},
                    baseline={"command": script, "regex": "m=(.)", "value": 3, "repeat": repeat},
                )
                with open(place.project_file("values"), "w", encoding="utf-8") as file:
                    file.write(values.replace(" ", "\n") + "\n")
                place.run()
                self.assertEqual(place.heartbeat["metric"]["value"], median)
                self.assertEqual([step for _, step, _ in place.steps()], ["verify", "baseline"])
                log = place.read("logs/round-0001-baseline.log")
                self.assertEqual(log, "".join(f"m={value}\n" for value in values.split()))

    def test_one_bad_repetition_spoils_the_measurement(self) -> None:
        script = "echo . >> n; test $(wc -l < n) = 2 && {}; echo m=5"
        for bad in ("echo m=nan", "exit 0"):
            with self.subTest(bad):
                place = self.workspace(
                    bad,
                    commands={"verify": "true"},
                    baseline={
                        "command": script.replace("{}", bad),
                        "regex": "m=(.*)",
                        "value": 1,
                        "repeat": 3,
                    },
                    total_rounds=1,
                )
                place.run(exitcode=1)
                self.assertIsNone(place.heartbeat["metric"]["value"])


if __name__ == "__main__":
    unittest.main()
