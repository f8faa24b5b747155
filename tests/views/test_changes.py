"""What a change did: on the step's line, as a diff that git applies, in the reports."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from support import Case, Workspace, by_round, need, run_openloop

POLICY = {"protect": ["tests/**"], "withhold": ["secret/**"]}
BEFORE = {
    "src/a.py": b"one\ntwo\nthree\n",
    "src/gone.py": b"to be removed\n",
    "src/open.txt": b"no newline",
    "src/run.sh": b"true\n",
    "tests/t.py": b"check\n",
    "secret/s.txt": b"hidden\n",
}


class Changes(Case):
    def place(self, *fixes: str, **config: Any) -> Workspace:
        place = self.workspace(
            total_rounds=len(fixes) + 1,  # the first one only measures
            **{
                "commands": {"verify": "test -e done", "fix": by_round("true", *fixes)},
                "policy": POLICY,
                "limits": {"max_consecutive_failures": 99, "kill_grace_seconds": 0.5},
                **config,
            },
        )
        for path, data in BEFORE.items():
            os.makedirs(os.path.dirname(place.project_file(path)), exist_ok=True)
            with open(place.project_file(path), "wb") as file:
                file.write(data)
        return place

    def changes(self, place: Workspace) -> dict[str, Any]:
        return next(one for one in reversed(place.events) if "changes" in one)["changes"]


class Counted(Changes):
    def test_on_the_line_of_the_step_and_in_the_record(self) -> None:
        place = self.place("printf 'one\\n2\\n3\\n' > src/a.py; echo new > src/new; touch done")
        done = place.run(exitcode=0)
        self.assertRegex(done.err, r"(?m)^ +2  fix +passed +[0-9.]+ s  3 files, \+3 -2$")
        path = "artifacts/round-0002-fix/changes.diff"
        numbers = {"files": 3, "added": 3, "removed": 2, "whole": True, "diff": path}
        self.assertEqual(self.changes(place), numbers)
        self.assertIn(numbers, [step.get("changes") for step in place.artifact(2)["steps"]])

    def test_nothing(self) -> None:
        place = self.place("true")
        self.assertIn("no file changed", place.run(exitcode=1).err)
        done = run_openloop("diff", place.path)
        self.assertEqual((done.out, done.code), ("", 0))
        self.assertIn("round 2, fix passed: no file changed", done.err)

    def test_restored_withheld_and_ignored_paths_are_no_part_of_it(self) -> None:
        place = self.place(
            "echo cheat >> tests/t.py; mkdir -p secret; echo mine > secret/s.txt; mkdir build;"
            "echo made > build/o; echo good >> src/a.py"
        )
        with open(place.project_file(".gitignore"), "w", encoding="utf-8") as file:
            file.write("build/\n")
        subprocess.run(["git", "init", "-q"], cwd=place.project, check=True)
        place.run(exitcode=None)
        self.assertEqual(self.changes(place)["files"], 1)
        shown = run_openloop("diff", place.path).out
        self.assertIn("+good\n", shown)
        for word in ("cheat", "mine", "hidden", "made"):
            self.assertNotIn(word, shown)

    def test_what_was_undone_whole_is_called_so(self) -> None:
        place = self.place("echo cheat >> tests/t.py")
        place.run(exitcode=None)
        self.assertIn("fix policy: all of it undone", run_openloop("diff", place.path).err)


class Shown(Changes):
    def test_git_takes_it_back(self) -> None:
        need(shutil.which("git"), "git")
        place = self.place(
            "printf 'zero\\none\\ntwo\\n' > src/a.py; rm src/gone.py; printf more >> src/open.txt;"
            "chmod +x src/run.sh; ln -s a.py src/link; printf x > 'src/ü \"q\".txt'"
        )
        place.run(exitcode=1)
        diff = run_openloop("diff", place.path).out
        self.assertIn("new file mode 120000\n", diff)
        self.assertIn("old mode 100644\nnew mode 100755\n", diff)
        reverse = ["git", "apply", "-R", "-"]
        subprocess.run(reverse, cwd=place.project, input=diff, text=True, check=True)
        for path, data in BEFORE.items():
            with open(place.project_file(path), "rb") as file:
                self.assertEqual(file.read(), data, path)
        self.assertEqual(sorted(os.listdir(place.project_file("src"))), self.names())
        self.assertFalse(os.access(place.project_file("src/run.sh"), os.X_OK))

    def names(self) -> list[str]:
        return sorted(path[4:] for path in BEFORE if path.startswith("src/"))

    def test_what_is_no_text_or_too_large_is_named(self) -> None:
        place = self.place(
            "printf 'a\\0b' > src/binary; head -c 600000 /dev/zero | tr '\\0' x > src/large"
        )
        place.run(exitcode=1)
        diff = run_openloop("diff", place.path).out
        self.assertIn("b/src/binary\nnew file mode 100644\n# not shown: binary, 3 bytes\n", diff)
        self.assertIn("# not shown: 600000 bytes, over 524288\n", diff)
        self.assertLess(len(diff), 1000)
        self.assertFalse(self.changes(place)["whole"])

    def test_a_large_diff_is_bounded(self) -> None:
        place = self.place("for i in 1 2 3 4 5; do seq 80000 > src/n$i; done")
        place.run(exitcode=1)
        diff = run_openloop("diff", place.path).out
        self.assertLess(len(diff), (1 << 20) + 200)
        self.assertIn("# the diffs of 4 files are left out: a diff holds", diff)
        self.assertEqual(self.changes(place)["files"], 5)

    def test_rounds(self) -> None:
        place = self.place("echo first >> src/a.py", "echo second >> src/a.py", "true")
        place.run(exitcode=1)
        self.assertIn("+first\n", run_openloop("diff", place.path, "--round", "2").out)
        second = run_openloop("diff", place.path, "--round", "3").out
        self.assertIn("+second\n", second)
        self.assertNotIn("+first\n", second)
        latest = run_openloop("diff", place.path)  # not that of round 4, which did nothing
        self.assertEqual((second, True), (latest.out, "round 3" in latest.err))
        self.assertEqual(run_openloop("diff", place.path, "--round", "4").out, "")
        missing = run_openloop("diff", place.path, "--round", "9", exitcode=2)
        self.assertIn("error: there is no finished change in round 9", missing.err)

    def test_without_a_policy(self) -> None:
        place = self.place("touch x")
        commands = {"verify": "test -e done", "fix": "touch x"}
        place.configure({"total_rounds": 2, "commands": commands})
        place.run(exitcode=1)
        self.assertIn("diffs need a policy", run_openloop("diff", place.path, exitcode=2).err)

    def test_before_a_run(self) -> None:
        done = run_openloop("diff", self.place("true").path, exitcode=2)
        self.assertIn("error: there is no finished change yet", done.err)

    def test_escapes_do_nothing_in_the_reports(self) -> None:
        place = self.place("printf '\\033[31m<b>```\\n' >> src/a.py")
        place.run(exitcode=1)
        page = run_openloop("report", place.path).out
        self.assertIn("What each change did", page)
        self.assertIn('<span class="add">+\\x1b[31m&lt;b&gt;', page)
        short = run_openloop("report", place.path, "--format", "md").out
        self.assertIn("<summary>round 2, fix: 1 file, +1 -0</summary>", short)
        self.assertIn("````diff\n", short)


class Watched(Changes):
    def test_an_edited_diff_is_no_longer_shown_and_audit_names_it(self) -> None:
        place = self.place("echo first >> src/a.py")
        place.run(exitcode=1)
        path = self.changes(place)["diff"]
        self.assertEqual(os.stat(place.file(path)).st_mode & 0o777, 0o600)
        with open(place.file(path), "a", encoding="utf-8") as file:
            file.write("+forged\n")
        for words in (("audit",), ("diff",)):
            done = run_openloop(*words, place.path, exitcode=None)
            self.assertIn("changes.diff", done.out + done.err)
            self.assertNotEqual(done.code, 0)
        self.assertNotIn("forged", run_openloop("report", place.path).out)

    def test_a_step_cannot_take_its_place(self) -> None:
        place = self.place('echo mine > "$OPENLOOP_ATTACHMENTS/changes.diff"; echo 1 >> src/a.py')
        place.run(exitcode=1)
        self.assertIn("+1\n", run_openloop("diff", place.path).out)
        self.assertEqual(run_openloop("audit", place.path).code, 0)
