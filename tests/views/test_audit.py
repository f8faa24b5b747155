"""`openloop audit`: intact records pass, and the first thing that does not hold is named."""

from __future__ import annotations

import os
import random
import shutil
import unittest

from openloop.record import workspace
from openloop.views import audit
from support import (
    Case,
    Workspace,
    agent,
    by_round,
    read_pid,
    recomputed_head,
    run_openloop,
    snapshot,
    wait_until,
)


class AuditCase(Case):
    """A record of two runs with a change, a baseline and a failure in it, copied for each test."""

    template: str

    @classmethod
    def setUpClass(cls) -> None:
        case = Case()
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.template = case.folder
        place = case.workspace(
            commands={"play": "echo x; test -e fixed", "fix": "touch fixed", "verify": "echo ok"},
            baseline={"command": "echo m=1", "regex": "m=(.)", "value": 1},
        )
        place.run()
        place.run("--max-rounds", "1")

    def copied(self, name: str = "copy") -> Workspace:
        place = self.workspace(name)
        shutil.copytree(os.path.join(self.template, "w"), place.folder, dirs_exist_ok=True)
        return place

    def lines(self, place: Workspace) -> list[bytes]:
        with open(place.file("events.jsonl"), "rb") as file:
            return file.read().splitlines(keepends=True)

    def write(self, place: Workspace, lines: list[bytes]) -> None:
        with open(place.file("events.jsonl"), "wb") as file:
            file.writelines(lines)

    def assert_broken(self, place: Workspace, *named: str) -> None:
        """audit ends with 1 and names what does not hold, in words and as JSON."""
        done = place.audit(exitcode=1)
        self.assertTrue(done.out.startswith("broken: "), done.out)
        for words in named:
            self.assertIn(words, done.out.splitlines()[0])
        self.assertEqual(done.err, "")


class Intact(AuditCase):
    """The audit of an intact record."""

    def test_what_it_tells(self) -> None:
        place = self.copied()
        done = place.audit()
        head = recomputed_head(place)
        self.assertRegex(done.out, r"\Aintact: \d+ events, 2 runs, 2 rounds, \d+ logs, 2 artifacts")
        self.assertIn(head, done.out)
        document = place.audit("--json").json
        self.assertEqual((document["intact"], document["broken"]), (True, None))
        self.assertEqual(document["head"], head)
        self.assertEqual(document["events"], len(place.events))

    def test_it_changes_nothing(self) -> None:
        place = self.copied()
        before = snapshot(place.folder)
        place.audit()
        self.assertEqual(snapshot(place.folder), before)

    def test_the_head_that_a_run_printed(self) -> None:
        place = self.copied()
        head = recomputed_head(place)
        place.audit("--head", head)
        place.audit("--head", head.upper())

    def test_a_workspace_that_has_not_run(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        self.assertIn("intact: 0 events", place.audit().out)

    def test_while_a_run_goes_on(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": by_round("false", agent("sleeps", pid_file))})
        self.started(place)
        wait_until(lambda: read_pid(pid_file))
        place.audit()

    def test_projections_alone_break_nothing(self) -> None:
        place = self.copied()
        for name in ("heartbeat.json", "progress.md"):
            os.unlink(place.file(name))
        self.assertIn("heartbeat.json is missing", place.audit().out)


class Heads(AuditCase):
    """`--head`: the head that a run printed, kept where no agent can write."""

    def test_another_head(self) -> None:
        place = self.copied()
        other = "0123456789abcdef" * 4
        done = place.audit("--head", other, exitcode=1)
        self.assertIn(other, done.out)
        self.assertIn(recomputed_head(place), done.out)
        self.assertFalse(place.audit("--head", other, "--json", exitcode=1).json["intact"])

    def test_an_earlier_head(self) -> None:
        place = self.copied()
        earlier = place.events[-2]["prev"]
        self.assertIn("2 events ago", place.audit("--head", earlier, exitcode=1).out)

    def test_a_malformed_head(self) -> None:
        place = self.copied()
        head = recomputed_head(place)
        for malformed in ("", "xyz", head[:-1], head + "0", "g" * 64, " " + head[1:]):
            with self.subTest(malformed):
                done = run_openloop("audit", place.path, f"--head={malformed}", exitcode=2)
                self.assertIn("64 hexadecimal digits", done.err)

    def test_a_record_that_was_rewritten_whole(self) -> None:
        """A forger with the same hash function is caught by the head that was kept elsewhere."""
        place, other = self.copied(), self.copied("other")
        head = recomputed_head(place)
        run_openloop("run", other.path)
        shutil.rmtree(place.path)
        shutil.move(other.path, place.path)
        place.audit()
        place.audit("--head", head, exitcode=1)


class Changed(AuditCase):
    """Whatever was changed afterwards is named."""

    def flip(self, place: Workspace, number: int, part: bytes) -> None:
        """Change one bit of the first byte of `part` in a line (counted from 1)."""
        lines = self.lines(place)
        line = lines[number - 1]
        at = line.index(part)
        lines[number - 1] = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
        self.write(place, lines)

    def test_one_bit_in_each_kind_of_place(self) -> None:
        place = self.copied()
        whole = self.lines(place)
        for number in (4, len(whole)):  # a step_finished, and the run_finished at the end
            for part in (
                *(b"{", b'"seq', b'time": "', b"Z", b"event", b"finished", b"run", b"play"),
                *(b"passed", b"failed", b"outcome", b"complete", b"log_path", b"log_sha256"),
                *(b": null", b", ", b'"prev": "', b'"}\n', b"\n"),
            ):
                if part in whole[number - 1]:
                    with self.subTest(number=number, part=part):
                        self.write(place, whole)
                        self.flip(place, number, part)
                        broken = audit.examine(workspace.at(place.path)).broken
                        assert broken
                        self.assertIn("events.jsonl", broken.where)

    def test_a_changed_key(self) -> None:
        place = self.copied()
        self.flip(place, 4, b"log_sha256")
        self.assert_broken(place, "events.jsonl, line ")

    def test_random_bits_anywhere(self) -> None:
        chance = random.Random(300)
        place = self.copied()
        whole = b"".join(self.lines(place))
        for _ in range(150):
            changed = bytearray(whole)
            changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            self.write(place, [bytes(changed)])
            self.assertIsNotNone(audit.examine(workspace.at(place.path)).broken)

    def test_a_changed_line_is_named(self) -> None:
        place = self.copied()
        self.flip(place, 4, b"exit_code")
        self.assert_broken(place, "events.jsonl, line 5")

    def test_the_last_line(self) -> None:
        place = self.copied()
        self.flip(place, len(place.events), b"complete")
        self.assert_broken(place, "events.jsonl", f"line {len(self.lines(place))}")

    def test_a_removed_line(self) -> None:
        place = self.copied()
        lines = self.lines(place)
        self.write(place, lines[:6] + lines[7:])
        self.assert_broken(place, "events.jsonl, line 7")

    def test_lines_cut_off_the_end(self) -> None:
        place = self.copied()
        self.write(place, self.lines(place)[:-1])
        self.assert_broken(place, "events.jsonl", "the end was cut")

    def test_swapped_lines(self) -> None:
        place = self.copied()
        lines = self.lines(place)
        lines[3], lines[5] = lines[5], lines[3]
        self.write(place, lines)
        self.assert_broken(place, "events.jsonl, line 4")

    def test_an_added_line(self) -> None:
        place = self.copied()
        lines = self.lines(place)
        self.write(place, [*lines, lines[-1]])
        self.assert_broken(place, f"events.jsonl, line {len(lines) + 1}")

    def test_an_emptied_record(self) -> None:
        place = self.copied()
        self.write(place, [])
        self.assert_broken(place, "events.jsonl")

    def test_a_record_that_is_no_file(self) -> None:
        place = self.copied()
        os.rename(place.file("events.jsonl"), place.file("real"))
        os.symlink("real", place.file("events.jsonl"))
        self.assert_broken(place, "events.jsonl")
        os.unlink(place.file("events.jsonl"))
        os.mkfifo(place.file("events.jsonl"))
        self.assert_broken(place, "events.jsonl")

    def test_a_changed_log(self) -> None:
        place = self.copied()
        with open(place.file("logs/round-0002-verify.log"), "r+", encoding="utf-8") as file:
            file.write("OK")
        self.assert_broken(place, "logs/round-0002-verify.log", "sha256")

    def test_a_longer_log(self) -> None:
        place = self.copied()
        with open(place.file("logs/round-0001-play.log"), "a", encoding="utf-8") as file:
            file.write("more")
        self.assert_broken(place, "logs/round-0001-play.log", "6 bytes, recorded were 2")

    def test_a_missing_log(self) -> None:
        place = self.copied()
        os.unlink(place.file("logs/round-0001-fix.log"))
        self.assert_broken(place, "logs/round-0001-fix.log", "missing")

    def test_a_changed_artifact(self) -> None:
        place = self.copied()
        path = place.file("artifacts/round-0001.json")
        with open(path, "r+", encoding="utf-8") as file:
            text = file.read().replace('"repaired"', '"healthy"')
            file.seek(0)
            file.write(text)
            file.truncate()
        self.assert_broken(place, "artifacts/round-0001.json", "sha256")

    def test_a_missing_artifact(self) -> None:
        place = self.copied()
        os.unlink(place.file("artifacts/round-0002.json"))
        self.assert_broken(place, "artifacts/round-0002.json", "missing")

    def test_a_heartbeat_that_knows_another_history(self) -> None:
        place = self.copied()
        shutil.copy(place.file("heartbeat.json"), f"{self.folder}/kept")
        other = self.copied("other")
        run_openloop("run", other.path)
        shutil.copy(other.file("heartbeat.json"), place.file("heartbeat.json"))
        self.assert_broken(place, "events.jsonl")

    def test_the_first_of_several_is_named(self) -> None:
        place = self.copied()
        os.unlink(place.file("artifacts/round-0001.json"))
        os.unlink(place.file("logs/round-0002-verify.log"))
        self.assert_broken(place, "artifacts/round-0001.json")


if __name__ == "__main__":
    unittest.main()
