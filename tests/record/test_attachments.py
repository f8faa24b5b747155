"""Files that a step leaves in OPENLOOP_ATTACHMENTS become part of the record."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import unittest
from typing import Any

from support import Case, Workspace, environment, run_openloop

A = "$OPENLOOP_ATTACHMENTS"


def python(code: str) -> str:
    """A shell command that runs Python with `a` as the folder."""
    begin = "import os; a = os.environ['OPENLOOP_ATTACHMENTS']; "
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(begin + code)}"


class Attachments(Case):
    def ran(self, play: str, exitcode: int = 0, **config: Any) -> Workspace:
        commands = {"play": play, "verify": "true", **config.pop("commands", {})}
        place = self.workspace(commands=commands, total_rounds=1, **config)
        place.run(exitcode=exitcode)
        return place

    def kept(self, place: Workspace) -> dict[str, int]:
        """Path below artifacts/ → bytes, of the play."""
        event = place.events_of("step_finished")[0]
        found = {}
        for one in event.get("attachments", ()):
            with open(place.file(one["path"]), "rb") as file:
                data = file.read()
            self.assertEqual(one["sha256"], hashlib.sha256(data).hexdigest())
            self.assertEqual(one["bytes"], len(data))
            found[one["path"].removeprefix("artifacts/")] = len(data)
        return found

    def notes(self, place: Workspace) -> str:
        return "\n".join(e["text"] for e in place.events_of("note") if e["note"] == "attachments")

    def test_they_are_kept_and_named_everywhere(self) -> None:
        place = self.ran(f"mkdir {A}/in; echo one > {A}/in/a.txt; printf x > {A}/end.png; ls {A}")
        folder = "round-0001-play"
        self.assertEqual(self.kept(place), {f"{folder}/end.png": 1, f"{folder}/in/a.txt": 4})
        steps = place.artifact(1)["steps"]
        self.assertEqual(len(steps[0]["attachments"]), 2)
        self.assertNotIn("attachments", steps[1])
        self.assertEqual(os.listdir(place.file("attachments")), [])
        self.assertEqual(place.heartbeat["attachments"], 2)
        self.assertIn("attached  2 files", run_openloop("status", place.path).out)
        place.audit()
        for kind in ("html", "md", "json", "junit"):
            out = run_openloop("report", place.path, "--format", kind).out
            self.assertIn("end.png", out, kind)

    def test_every_command_finds_an_empty_folder_outside_the_project(self) -> None:
        look = f'test -d "{A}" && test -z "$(ls -A "{A}")" && touch "{A}/x"'
        place = self.ran(look, commands={"verify": look, "scan": look}, hooks={"complete": look})
        self.assertEqual(len(place.events_of("step_finished")[1]["attachments"]), 1)
        self.assertEqual(place.events_of("note"), [])
        self.assertFalse(os.listdir(place.project))

    def test_strange_names(self) -> None:
        code = (
            "[open(os.path.join(os.fsencode(a), n), 'w').close() for n in "
            r"(b'two\nlines', b'two\tlines', "
            r"b'\xff.png', b'-rf', b'\x1b[2J', b'x' * 250 + b'.png')]"
        )
        names = sorted(self.kept(self.ran(python(code))))
        self.assertEqual(len(names), 6)
        self.assertTrue(all(name.isprintable() and len(name) < 160 for name in names), names)
        self.assertTrue(any(name.endswith("x.png") for name in names))

    def test_only_regular_files(self) -> None:
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("s")
        place = self.ran(
            f"ln -s {secret} {A}/link; ln -s / {A}/root; mkfifo {A}/fifo; ln {secret} {A}/hard; "
            f"touch {A}/good; chmod 0 {A}/good"
        )
        self.assertEqual(set(self.kept(place)), {f"round-0001-play/{n}" for n in ("good", "hard")})
        for name in ("link", "root", "fifo"):
            self.assertIn(f"{name} (no regular file)", self.notes(place))
        self.assertEqual(os.stat(secret).st_nlink, 1)  # a copy is kept

    def test_bounds(self) -> None:
        place = self.ran(
            f"truncate -s 1T {A}/giant; printf 123456 > {A}/a; printf 12345 > {A}/b",
            limits={"max_attachment_bytes": 10},
        )
        self.assertEqual(self.kept(place), {"round-0001-play/a": 6})
        self.assertIn("giant (1099511627776 bytes, over limits.max_att", self.notes(place))
        self.assertIn("b (5 bytes", self.notes(place))

    def test_a_thousand_files(self) -> None:
        code = "[open(f'{a}/{n:05d}', 'w').close() for n in range(1100)]"
        place = self.ran(python(code))
        self.assertEqual(len(self.kept(place)), 1000)
        self.assertIn("01000 (more than 1000 files)", self.notes(place))
        self.assertIn("and 80 more", self.notes(place))
        place.audit()

    def test_a_folder_that_is_removed_or_replaced(self) -> None:
        for number, play in enumerate(
            (f"rmdir {A}", f"rmdir {A}; ln -s / {A}", f"rmdir {A}; echo > {A}")
        ):
            with self.subTest(play):
                self.folder = os.path.join(self.folder, str(number))
                os.mkdir(self.folder)
                place = self.ran(play, commands={"verify": f"test -d {A} && touch {A}/x"})
                self.assertIn("was removed or replaced", self.notes(place))
                self.assertEqual(len(place.events_of("step_finished")[1]["attachments"]), 1)

    def test_a_later_edit_blocks_the_run(self) -> None:
        edit = "echo y > $OPENLOOP_WORKSPACE/artifacts/round-0001-play/x"
        place = self.ran(f"echo x > {A}/x", 3, commands={"verify": edit})
        self.assertIn("artifacts/round-0001-play/x was edited", place.heartbeat["reason"])

    def test_audit_notices_an_edit_and_a_removal(self) -> None:
        place = self.ran(f"echo x > {A}/x")
        path = place.file("artifacts/round-0001-play/x")
        with open(path, "w", encoding="utf-8") as file:
            file.write("y\n")
        self.assertIn("was changed after it was recorded", place.audit(exitcode=1).out)
        os.unlink(path)
        self.assertIn("is missing", place.audit(exitcode=1).out)

    def test_the_prompt_names_pictures_of_failed_gates_that_are_not_private(self) -> None:
        play = f"touch {A}/failure.png; exit 1"
        for private in (False, True):
            with self.subTest(private=private):
                place = self.workspace(
                    f"w{private}",
                    commands={
                        "play": {"run": play, "private": private},
                        "fix": f"ls $OPENLOOP_WORKSPACE/artifacts; cp $OPENLOOP_PROMPT_FILE {A}/p",
                        "verify": "true",
                    },
                    total_rounds=1,
                )
                place.run(exitcode=1)
                fix = place.events_of("step_finished")[1]
                with open(place.file(fix["attachments"][0]["path"]), encoding="utf-8") as file:
                    prompt = file.read()
                named = "artifacts/round-0001-play/failure.png" in prompt
                self.assertEqual(named, not private)
                seen = "round-0001-play" in place.read(fix["log_path"])
                self.assertEqual(seen, not private)
                self.assertTrue(place.exists("artifacts/round-0001-play/failure.png"))
                place.audit()

    def test_what_a_killed_try_left_is_not_taken_for_the_next(self) -> None:
        kill = f"touch {A}/old; kill -9 $(sed -n 's/^PPid:.//p' /proc/$PPID/status); sleep 9"
        once = os.path.join(self.folder, "once")
        play = f"if mkdir {once} 2>/dev/null; then {kill}; else touch {A}/new; fi"
        place = self.workspace(commands={"play": play, "verify": "true"}, total_rounds=2)
        place.run(exitcode=None)
        place.run()
        kept = [e["attachments"] for e in place.events_of("step_finished") if e["step"] == "play"]
        self.assertEqual([one["path"].rpartition("/")[2] for one in kept[0]], ["new"])

    def test_a_full_disk_ends_the_run_in_order(self) -> None:
        script = f"""
import sys
sys.path[:0] = {sys.path[:3]!r}
import os, subprocess
from support import own_mounts
if not own_mounts():
    print("no mounts"); sys.exit()
folder = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
os.makedirs(folder + "/w/project"); os.makedirs(folder + "/w/ws")
import json
fill = "touch $OPENLOOP_ATTACHMENTS/a; cat /dev/zero > $OPENLOOP_ATTACHMENTS/z; true"
json.dump({{"version": 1, "project_root": "project", "commands": {{"verify": fill}}}},
          open(folder + "/w/ws/openloop.json", "w"))
done = subprocess.run([sys.executable, "-m", "openloop", "run", folder + "/w/ws"],
                      capture_output=True, text=True, env=json.loads(sys.argv[2]))
print(done.returncode, done.stderr)
os.unlink(folder + "/w/ws/attachments/z") if os.path.exists(folder + "/w/ws/attachments/z") else 0
print(subprocess.run([sys.executable, "-m", "openloop", "audit", folder + "/w/ws"],
                     capture_output=True, text=True, env=json.loads(sys.argv[2])).stdout)
"""
        words = [sys.executable, "-c", script, self.folder, json.dumps(environment())]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if "no mounts" in done.stdout:
            self.skipTest("root alone may mount a small disk")
        self.assertEqual(done.stdout[:1], "5", done.stdout + done.stderr)
        self.assertIn("cannot be kept", done.stdout)
        self.assertIn("intact", done.stdout)

    def test_in_the_sandbox(self) -> None:
        if not shutil.which("bwrap"):
            self.skipTest("bwrap is missing")
        place = self.ran(
            f"echo x > {A}/x; false",
            1,
            commands={"fix": f"echo x > {A}/x"},
            policy={"sandbox": "bwrap", "sandbox_gates": True},
        )
        for step in place.events_of("step_finished")[:2]:
            self.assertEqual((step["sandbox"], len(step["attachments"])), ("bwrap", 1))


if __name__ == "__main__":
    unittest.main()
