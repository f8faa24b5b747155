"""What doctor says of loops of other tools, and what `init --from` makes of them."""

from __future__ import annotations

import json
import os
import unittest
from typing import Any

from openloop.setup.missions import known_tools, plain_yaml
from support import Case, run_openloop

ENDLESS = """#!/bin/bash
# an agent for ever
while :; do
    cat PROMPT.md | claude -p --dangerously-skip-permissions
done
"""
PROMISE = """#!/bin/bash
MAX="${1:-25}"
PROMPT_FILE="docs/TASK.md"
i=0
while [ "$i" -lt "$MAX" ]; do
    out=$(timeout 600 codex exec - < "$PROMPT_FILE")
    if echo "$out" | grep -q '<promise>COMPLETE</promise>'; then
        exit 0
    fi
    i=$((i + 1))
done
"""
PARSING = """MAX=10
while [[ $# -gt 0 ]]; do
  case $1 in *) [[ "$1" =~ ^[0-9]+$ ]] && MAX="$1"; shift ;; esac
done
HERE_DIR="$(cd "$(dirname "$0")" && pwd)"
PROMPT_FILE="$HERE_DIR/prompt.md"
for i in $(seq 1 $MAX); do
  left=$(jq '[.stories[] | select(.passes == false)] | length' prd.json)
  [ "$left" -eq 0 ] && exit 0
  PROMPT=$(cat "$PROMPT_FILE")
  retry=0
  echo "$left are left, the others are done"
  while [ $retry -lt 3 ]; do
    timeout 600 claude \\
      -p "$PROMPT" \\
      --dangerously-skip-permissions && break
    retry=$((retry + 1))
  done
done
"""
FUNCTIONS = """work() {
  echo "$1" | claude -p
}
main() {
  local count=0
  local most=100
  while goes_on; do
    if [[ $count -gt $most ]]; then break; fi
    work "$(cat PROMPT.md)"
  done
}
while [[ $# -gt 0 ]]; do shift; done
main
"""
TESTED = """for i in $(seq 1 12); do
  claude -p "$(cat PROMPT.md)"
  if python3 -m unittest discover -s tests; then break; fi
done
"""
RALPH = """# a comment
cli:
  backend: "claude"   # which one
event_loop:
  prompt_file: "TASK.md"
  completion_promise: 'ALL_DONE'
  max_iterations: 40
  max_runtime_seconds: 7200
  idle_timeout_secs: 900
hats:
  builder:
    triggers: ["task.start"]
    instructions: |
      Build it.
      max_iterations: 3
"""
LOOP = """name: green
description: >
  Until the tests pass.
spec: PROMPT.md
forbid:
  - "tests/**"
runner:
  default: stub
gate:
  kind: command
  run: python3 check.py
bounds: bounds.yaml
memory: STATE.md
"""
BOUNDS = "max_iterations: 15\nno_progress_window: 2\nmax_tokens: null\nmax_wallclock_s: 600\n"


class Folder(Case):
    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def check_output(self, exitcode: int = 1) -> str:
        return run_openloop("doctor", self.folder, exitcode=exitcode).out

    def taken(self, *words: str) -> tuple[dict[str, Any], str]:
        """The configuration that `init --from` writes, and what it says."""
        place = os.path.join(self.folder, ".openloop", "taken")
        done = run_openloop("init", "--from", self.folder, place, *words)
        with open(os.path.join(place, "openloop.json"), encoding="utf-8") as file:
            return json.load(file), done.out


class Shell(Folder):
    def test_a_loop_without_a_brake_and_without_a_gate(self) -> None:
        self.write("loop.sh", ENDLESS)
        self.write("PROMPT.md", "Write a game.")
        output = self.check_output()
        self.assertIn("loop.sh:3: no brake", output)
        self.assertIn("no command was seen that decides whether the work is done", output)
        self.assertIn("--dangerously-skip-permissions", output)
        self.assertIn("may edit what it is judged by: the tests, PROMPT.md, loop.sh", output)
        self.assertIn("no limit of time", output)
        config, output = self.taken()
        self.assertEqual(config["commands"]["fix"]["agent"], "claude")
        self.assertIn("PROMPT.md", config["mission"])
        self.assertIn("replace me", config["commands"]["verify"])
        self.assertNotIn("no policy", output)
        self.assertLessEqual({"/loop.sh", "/PROMPT.md"}, set(config["policy"]["protect"]))
        self.assertIn("it has no gate", output)

    def test_a_loop_that_believes_a_promise(self) -> None:
        self.write("scripts/ralph/ralph.sh", PROMISE)
        self.write("docs/TASK.md", "Write a game.")
        output = self.check_output()
        self.assertIn("ralph.sh:7: what the agent prints or ticks off ends the loop", output)
        self.assertIn("at most 25 rounds", output)
        self.assertNotIn("no limit of time", output)
        config, _ = self.taken()
        self.assertEqual(config["total_rounds"], 25)
        self.assertIn("docs/TASK.md", config["mission"])
        self.assertEqual(config["commands"]["fix"]["agent"], "codex")

    def test_loops_beside_the_one_that_calls_the_agent(self) -> None:
        self.write("scripts/ralph/ralph.sh", PARSING)
        self.write("scripts/ralph/prompt.md", "Write a game.")
        output = self.check_output()
        self.assertIn("ralph.sh:7: at most 10 rounds", output)
        self.assertIn("ralph.sh:8: what the agent prints or ticks off ends the loop", output)
        self.assertIn("--dangerously-skip-permissions", output)
        self.assertNotIn("no limit of time", output)
        self.assertIn("scripts/ralph/prompt.md", self.taken()[0]["mission"])

    def test_an_agent_that_a_function_calls(self) -> None:
        self.write("loop.sh", FUNCTIONS)
        self.assertIn("loop.sh:7: at most 100 rounds", self.check_output())

    def test_a_loop_that_runs_the_tests(self) -> None:
        self.write("loop.sh", TESTED)
        output = self.check_output()
        self.assertIn("loop.sh:3: `python3 -m unittest discover -s tests` is run", output)
        self.assertNotIn("own word", output)
        config, _ = self.taken()
        self.assertEqual(config["commands"]["verify"], "python3 -m unittest discover -s tests")
        self.assertEqual(config["total_rounds"], 12)

    def test_brakes(self) -> None:
        for script, words in (
            ("while true\ndo\n  gemini -y < P.md\ndone\n", "no brake"),
            ("while true; do claude -p x; n=$((n+1)); [ $n -ge 9 ] && break; done", "at most 9"),
            ("until [ -f DONE ]; do claude -p x; done", "could not be read"),
            ("for ((;;)); do claude -p x; done", "no brake"),
            ("for ((i=0; i<7; i++)); do claude -p x; done", "at most 7 rounds"),
            ("for i in {1..5}; do claude -p x; done", "at most 5 rounds"),
            ('M=${1:-0}\nwhile [ $i -lt "$M" ]; do claude -p x; done', "no brake"),
        ):
            with self.subTest(script):
                self.write("loop.sh", script)
                self.assertIn(words, self.check_output())

    def test_other_scripts_are_no_loops(self) -> None:
        self.write("a.sh", "claude -p once\n")
        self.write("b.sh", "while :; do echo 'claude thinks'; sleep 1; done\n")
        self.write("c.sh", "# while :; do claude -p x; done\n")
        self.assertEqual(known_tools.found(self.folder), [])
        output = run_openloop("doctor", self.folder, exitcode=2).err
        self.assertIn("not a workspace", output)


class Yaml(Folder):
    def test_ralph_yml(self) -> None:
        self.write("ralph.yml", RALPH)
        output = self.check_output()
        self.assertIn("ends when the agent prints 'ALL_DONE'", output)
        self.assertIn("at most 40 rounds and 7200 s", output)
        config, output = self.taken()
        self.assertEqual(config["total_rounds"], 40)
        self.assertEqual(config["limits"]["max_runtime_seconds"], 7200)
        self.assertEqual(config["limits"]["stall_timeout_seconds"], 900)
        self.assertIn("TASK.md", config["mission"])
        self.assertIn("left out: `hats`", output)
        self.assertIn("'ALL_DONE'", output)

    def test_loop_yaml_with_its_bounds(self) -> None:
        self.write("loop.yaml", LOOP)
        self.write("bounds.yaml", BOUNDS)
        self.write("check.py", "")
        output = self.check_output()
        self.assertIn("the gate runs check.py, which the agent may edit", output)
        self.assertIn("at most 15 rounds", output)
        config, output = self.taken("--mission", "Mine.")
        self.assertEqual(config["mission"], "Mine.")
        self.assertEqual(config["commands"]["verify"], "python3 check.py")
        self.assertIn("tests/**", config["policy"]["protect"])
        self.assertEqual(config["limits"]["max_consecutive_failures"], 2)
        self.assertNotIn("fix", config["commands"])
        self.assertIn("--agent NAME", output)
        self.write("loop.yaml", LOOP.replace('"tests/**"', '"*.py"'))
        self.assertIn("sound", self.check_output(exitcode=0))

    def test_what_cannot_brake_or_fail(self) -> None:
        for loop, bounds, words in (
            (LOOP, "max_iterations: null\n", "bounds.yaml: no brake"),
            (LOOP.replace("check.py", "check.py || true"), BOUNDS, "cannot fail"),
            (LOOP.replace("  run: python3 check.py\n", ""), BOUNDS, "has no command to read"),
            (LOOP.replace("gate:", "gates:"), BOUNDS, "accepts the agent's own word"),
            (LOOP, "max_iterations: {a: 1}\n", "could not be read: 1"),
        ):
            with self.subTest(words):
                self.write("loop.yaml", loop)
                self.write("bounds.yaml", bounds)
                self.assertIn(words, run_openloop("doctor", self.folder, exitcode=None).out)
        os.remove(os.path.join(self.folder, "bounds.yaml"))
        self.assertIn("bounds.yaml cannot be read", self.check_output())

    def test_the_reader(self) -> None:
        for text, values, unread in (
            ("a: 1\nb: 'it''s'\nc: \"x\\ty\" # z\n", {"a": 1, "b": "it's", "c": "x\ty"}, []),
            ("a:\n- x\n- y # z\nb: [1, two]\n", {"a": ["x", "y"], "b": [1, "two"]}, []),
            ("a:\n  b:\n    c: true\n  d: ~\n", {"a": {"b": {"c": True}, "d": None}}, []),
            ("a: &x 1\nb: {c: 1}\n", {}, [1, 2]),
            ("a:\n  - b: 1\n    c: 2\n", {"a": []}, [2, 3]),
            ("a: |\n  b: 1\n\n  c\nd: 2\n", {"a": "b: 1\n\nc", "d": 2}, []),
            ('a: "open\n  end"\nb: 1\n', {"b": 1}, [1, 2]),
            ("\ta: 1\n- 3\n", {}, [1, 2]),
        ):
            with self.subTest(text):
                found = plain_yaml.read(text)
                self.assertEqual(found.values, values)
                self.assertEqual(found.unread, unread)

    def test_other_yaml_is_no_loop(self) -> None:
        for text in ("a: 1\n", "", "\x00", "- x\n", "event_loop: 3\ncli: no\n"):
            self.write("ralph.yml", text)
            self.write("loop.yaml", text)
            self.assertEqual(known_tools.found(self.folder), [], text)


class Taking(Folder):
    def test_what_cannot_be_taken(self) -> None:
        place = os.path.join(self.folder, ".openloop", "taken")
        for words in (("--from", self.folder), ("--from", f"{self.folder}/none.sh")):
            output = run_openloop("init", place, *words, exitcode=2).err
            self.assertIn("holds no loop of a known tool", output)
        self.write("loop.sh", ENDLESS)
        self.write("ralph.yml", RALPH)
        output = run_openloop("init", place, "--from", self.folder, exitcode=2).err
        self.assertIn("several loops: ralph.yml, loop.sh", output)
        both = ("--from", self.folder, "--template", "documents")
        self.assertIn("exclude", run_openloop("init", place, *both, exitcode=2).err)
        self.assertFalse(os.path.exists(place))
        run_openloop("init", place, "--from", f"{self.folder}/loop.sh", "--agent", "gemini")
        with open(os.path.join(place, "openloop.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["commands"]["fix"]["agent"], "gemini")

    def test_a_project_above_the_loop(self) -> None:
        self.write("loops/green/loop.yaml", LOOP)
        self.write("loops/green/bounds.yaml", BOUNDS)
        place = os.path.join(self.folder, ".openloop", "taken")
        path = os.path.join(self.folder, "loops", "green")
        run_openloop("init", place, "--from", path, "--project-root", self.folder)
        with open(os.path.join(place, "openloop.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.assertEqual(config["total_rounds"], 15)
        self.assertIn("loops/green/tests/**", config["policy"]["protect"])
        self.assertIn("loops/green/PROMPT.md", config["mission"])
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        words = ("init", "--from", path, "--project-root", other, f"{other}/ws")
        self.assertIn("outside of the project", run_openloop(*words, exitcode=2).err)


if __name__ == "__main__":
    unittest.main()
