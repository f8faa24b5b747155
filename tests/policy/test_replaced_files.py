"""What a restore replaces or removes is kept: a person may have written it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import unittest
from collections.abc import Callable

from policy.test_policy import TEST, Project, cheat, end, git, repair
from support import Workspace, by_round, need, snapshot, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick
JAVASCRIPT = {
    "package.json": '{"type": "commonjs"}',
    "src/add.js": "module.exports = (a, b) => a - b\n",
    "test/one.test.js": """\
const add = require("../src/add.js")
require("node:assert").strictEqual(add(2, 2), 4)
""",
}
EDITED = TEST + "# a person's own line\n"


def edit(place: Workspace, name: str = "tests/test_calc.py", text: str = EDITED) -> None:
    with open(place.project_file(name), "w", encoding="utf-8") as file:
        file.write(text)


def kept(place: Workspace) -> dict[str, bytes]:
    """The contents of the copies, by number and path in the project."""
    found = snapshot(place.file("replaced")) if place.exists("replaced") else {}
    return {
        path.removesuffix(".replaced"): content
        for path, content in found.items()
        if path.endswith(".replaced") and isinstance(content, bytes)  # others were cut off
    }


class AfterABlockedRun(Project):
    def test_what_a_person_edited_is_restored_and_kept(self) -> None:
        need(shutil.which("git"), "git")
        place = self.place("mv src/inner tests/inner", repair())
        os.mkdir(place.project_file("src/inner"))
        git(place.project_file("src/inner"), "init", "-q")
        place.run(exitcode=3)
        os.rename(place.project_file("tests/inner"), place.project_file("src/inner"))
        edit(place)
        os.chmod(place.project_file("tests/test_calc.py"), 0o644)
        os.remove(place.project_file("tests/data/golden.txt"))
        os.symlink("/etc/passwd", place.project_file("tests/data/golden.txt"))
        ended = place.run("--max-rounds", "1", exitcode=None)
        found = snapshot(place.project)
        self.assertEqual(TEST.encode(), found["tests/test_calc.py"])
        self.assertEqual(b"3", found["tests/data/golden.txt"])
        self.assertEqual(EDITED.encode(), kept(place)["1/tests/test_calc.py"])
        link = place.file("replaced/1/tests/data/golden.txt.replaced")
        self.assertEqual("/etc/passwd", os.readlink(link))
        file = place.file("replaced/1/tests/test_calc.py.replaced")
        self.assertEqual(0o600, stat.S_IMODE(os.stat(file).st_mode))
        self.assertEqual(0o700, stat.S_IMODE(os.stat(place.file("replaced")).st_mode))
        words = "as in run 1; the replaced content is kept in replaced/1"
        self.assertIn(words, ended.err)
        [event] = [e for e in place.events_of("checkpoint_restored") if e["why"] == "settled"]
        self.assertIn(words, event["text"])
        place.audit()


class AfterAKill(Project):
    """The runner dies by SIGKILL while it restores, or copies; then a person edits."""

    FILES = 400

    def killed(self, name: str, has_begun: Callable[[Workspace], bool]) -> Workspace:
        script = f"for n in $(seq {self.FILES}); do echo edited > tests/data/$n; done"
        place = self.place(script, repair(), name=name)
        for number in range(1, self.FILES + 1):
            edit(place, f"tests/data/{number}", "1\n")
        running = self.started(place)
        wait_until(lambda: has_begun(place), "the restore to begin")
        end(running.pid)
        running.wait()
        edit(place)
        edit(place, "tests/data/7", "by a person\n")
        return place

    def test_bytes_are_kept_before_an_interrupted_restore_is_finished(self) -> None:
        moments: dict[str, Callable[[Workspace], bool]] = {
            "announced": lambda place: (
                place.exists("events.jsonl") and '"intent":' in place.read("events.jsonl")
            ),
            "copying": lambda place: place.exists("replaced/1"),
        }
        for name, has_begun in moments.items():
            with self.subTest(name):
                place = self.killed(name, has_begun)
                ended = place.run(exitcode=None)
                found = snapshot(place.project)
                self.assertEqual(TEST.encode(), found["tests/test_calc.py"])
                self.assertEqual(b"1\n", found["tests/data/7"])
                copies = kept(place)
                for text in (EDITED.encode(), b"by a person\n"):
                    [path] = [path for path, content in copies.items() if content == text]
                    self.assertIn(f"replaced/{path.split('/')[0]}", ended.err)
                self.assertLess(len([p for p in copies if p.endswith("/data/9")]), 2)
                place.audit()

    def test_what_finds_no_room_blocks_instead(self) -> None:
        place = self.place("sleep 60")
        running = self.started(place)
        wait_until(lambda: place.running_step("fix"), "fix to run")
        end(running.pid)
        running.wait()
        large = place.project_file("tests/large.bin")
        with open(large, "wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, 257 << 20)
        if os.stat(large).st_blocks * 512 < 257 << 20:
            self.skipTest("no room here for a file of 257 MiB")
        for _ in range(2):
            self.assertIn("move tests/large.bin", place.run(exitcode=3).err)
            self.assertEqual(257 << 20, os.path.getsize(large))
        os.rename(large, os.path.join(self.folder, "large.bin"))
        place.run("--max-rounds", "1", exitcode=None)
        self.assertEqual(2, place.heartbeat["run"])
        place.audit()


class DuringARun(Project):
    def test_a_violation_is_kept_once(self) -> None:
        place = self.place(cheat("edits"), cheat("edits"), repair())
        ended = place.run()
        copies = kept(place)
        self.assertEqual(["1/tests/test_calc.py"], list(copies))
        self.assertNotEqual(TEST.encode(), copies["1/tests/test_calc.py"])
        words = "the replaced content is kept in replaced/1"
        self.assertEqual(2, ended.err.count(words), ended.err)

    def test_no_test_runner_finds_the_copies(self) -> None:
        """Those of JavaScript look into every folder, `.openloop` of the project included."""
        need(shutil.which("node"), "node")
        inside = os.path.join(self.folder, "project", ".openloop", "main")
        os.makedirs(inside)
        cheat_first = "echo 'nothing();' >> test/one.test.js"
        honest = "sed -i 's/-/+/' src/add.js"
        place = self.workspace(
            "project/.openloop/main",
            project_root=".",
            total_rounds=3,
            commands={"verify": "node --test", "fix": by_round("false", cheat_first, honest)},
            policy={"protect": ["test/**"], "allow": ["src/**"]},
        )
        for name, text in JAVASCRIPT.items():
            path = os.path.join(self.folder, "project", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        place.run()
        self.assertEqual(["1/test/one.test.js"], list(kept(place)))

    def test_an_edit_during_a_hook_is_kept(self) -> None:
        hook = "echo person >> tests/test_calc.py"
        place = self.place(repair(), hooks={"round": hook}, total_rounds=1)
        ended = place.run(exitcode=None)
        self.assertEqual((TEST + "person\n").encode(), kept(place)["1/tests/test_calc.py"])
        self.assertIn("restored tests/test_calc.py; the replaced content is kept", ended.err)

    def test_copies_of_withheld_files_are_withheld(self) -> None:
        verify = "echo secret > tests/withheld/one; false"
        fix = "! grep -r secret $OPENLOOP_WORKSPACE/replaced"
        policy = {"withhold": ["tests/withheld/**"]}
        place = self.place(commands={"verify": verify, "fix": fix}, policy=policy, total_rounds=2)
        os.mkdir(place.project_file("tests/withheld"))
        edit(place, "tests/withheld/one", "1\n")
        place.run(exitcode=1)
        self.assertEqual([b"secret\n"], list(kept(place).values()))
        self.assertEqual("passed", self.outcome(place, 2))


if __name__ == "__main__":
    unittest.main()
