"""The only writer of a workspace, on real files: what it keeps, repairs, and never follows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import unittest
from collections.abc import Callable, Iterator

from loop.missions import EVERYTHING, document, replayed, tell, without_reason
from openloop.core.errors import RecordError, TamperError, UsageError
from openloop.core.vocabulary import Kind, Step
from openloop.loop.events import Event
from openloop.record import mission, reader
from openloop.record.lock import runner_lives
from openloop.record.workspace import FOLDERS, at
from openloop.record.writer import rebuild, tamper_watch
from openloop.record.writer.event_log import SHADOWED
from record.records import (
    PLANTS,
    RecordCase,
    Written,
    lines_of,
    no_hang,
    plant_fifo,
    plant_folder,
    plant_link,
    remove,
    rewrite,
    untouched,
)
from support import Workspace, own_mounts, recomputed_head, snapshot

EVENTS = "events.jsonl"
FILES = (EVENTS, "heartbeat.json", "progress.md")
FIRST_ROUND = "run1/3 1: play- scan fix verify- =unhealthy/continue"


class Keeping(RecordCase):
    """What is recorded can be read again, by anybody."""

    def test_a_later_store_goes_on_from_there(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, FIRST_ROUND)
            before = run.store.state, run.store.head
        with self.opened(place) as run:
            self.assertEqual(without_reason(before[0]), without_reason(run.store.state))
            self.assertEqual(before[1], run.store.head)
            tell(run, "resume1/3 2: play scan fix verify")
        recomputed_head(place)

    def test_the_record_alone_gives_the_state(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, FIRST_ROUND)
            self.assertEqual(run.store.state, replayed(self.replayed(place)))

    def replayed(self, place: Workspace) -> list[Event]:
        descriptor = os.open(place.file(EVENTS), os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        return [event for _, event in rebuild.replay(descriptor)]

    def test_the_heartbeat_names_the_head(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, FIRST_ROUND)
            run.store.beat()
            beat = place.heartbeat
            known = beat["event_head"], beat["event_seq"]
            self.assertEqual((run.store.head, run.store.state.seq), known)
        self.assertEqual(recomputed_head(place), place.heartbeat["event_head"])

    def test_a_round_names_the_hash_of_its_artifact(self) -> None:
        place = self.place()
        self.write_story(place)
        for event in place.events_of("round_finished"):
            with open(place.file(event["artifact"]), "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            self.assertEqual(event["artifact_sha256"], digest)

    def test_nothing_else_is_left_in_the_workspace(self) -> None:
        place = self.place()
        self.write_story(place)
        expected = {"openloop.json", *FILES, *FOLDERS}
        self.assertEqual(expected, set(os.listdir(place.path)))
        rounds = {f"round-{number:04d}.json" for number in (1, 2, 3)}
        self.assertEqual(rounds, set(os.listdir(place.file("artifacts"))))

    def test_a_second_log_of_a_step_has_a_name_of_its_own(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, "run1/3 1:")
            names = []
            for _ in range(3):
                with run.store.step_files.open_log(run.store.state, "fix") as log:
                    names.append(log.path)
        logs = ["round-0001-fix.log", "round-0001-fix-2.log", "round-0001-fix-3.log"]
        self.assertEqual([f"logs/{name}" for name in logs], names)

    def test_no_record_beside_files_of_rounds_was_taken_away(self) -> None:
        for number, name in enumerate(("artifacts/round-0007.json", "logs/round-0012-fix-2.log")):
            with self.subTest(name):
                place = self.workspace(str(number), **document(EVERYTHING, rounds=3, failures=3))
                os.mkdir(os.path.dirname(place.file(name)))
                rewrite(place.file(name), b"{}")
                with self.assertRaisesRegex(TamperError, name), self.opened(place):
                    pass

    def test_other_files_in_their_folders_do_not_count(self) -> None:
        place = self.place()
        os.mkdir(place.file("logs"))
        rewrite(place.file("logs/round-x.log"), b"")
        self.write_story(place, "run1/3 1: play scan verify baseline=1 =healthy/complete complete")

    def data(self, place: Workspace, name: str) -> bytes:
        with open(place.file(name), "rb") as file:
            return file.read()

    def test_the_last_heartbeat_says_that_nobody_runs(self) -> None:
        place = self.place()
        self.write_story(place)
        beat = place.heartbeat
        self.assertEqual(
            ("complete", None, None), (beat["status"], beat["pid"], beat["runner_pid"])
        )

    def test_a_store_that_goes_in_the_middle_says_interrupted(self) -> None:
        place = self.place()
        self.write_story(place, "run1/3 1: play")
        self.assertEqual("interrupted", place.heartbeat["status"])


class TornEnd(RecordCase):
    """A last line that a crash cut off is dropped, and a copy is kept."""

    TAILS = (b'{"seq": 99, "ti', b"\0\0\0\0", b"\xff\xfe", b"x" * 3_000_000)

    def test_dropped_and_kept(self) -> None:
        for number, tail in enumerate(self.TAILS):
            with self.subTest(tail[:10]):
                place = self.workspace(f"w{number}", commands={"verify": "v"})
                self.write_story(place, "run1/3 1: verify-")
                whole = self.events(place)
                rewrite(place.file(EVENTS), whole + tail)
                self.write_story(
                    place, "resume1/3 =interrupted/continue 2: verify =healthy/complete"
                )
                self.assertTrue(self.events(place).startswith(whole))
                with open(place.file(f"{EVENTS}.torn-1"), "rb") as file:
                    self.assertEqual(tail, file.read())
                recomputed_head(place)

    def events(self, place: Workspace) -> bytes:
        with open(place.file(EVENTS), "rb") as file:
            return file.read()

    def test_the_whole_last_event_without_its_newline(self) -> None:
        place = self.place()
        self.write_story(place, "run1/3 1: play")
        os.truncate(place.file(EVENTS), os.path.getsize(place.file(EVENTS)) - 1)
        heartbeat = place.heartbeat | {"status": "running"}  # as at the moment of the crash
        rewrite(place.file("heartbeat.json"), json.dumps(heartbeat).encode())
        with self.opened(place) as run:
            self.assertEqual(Step.PLAY, run.store.state.running)

    def test_it_is_noted(self) -> None:
        place = self.place()
        self.write_story(place, "run1/3 1: play")
        with open(place.file(EVENTS), "ab") as file:
            file.write(b"torn")
        with self.opened(place) as run:
            tell(run, "resume1/3")
            run.store.note_torn()
        self.assertIn(f"{EVENTS}.torn-1", place.events[-1]["text"])
        self.assertIn("was torn", place.read("progress.md"))

    def test_a_second_torn_line_does_not_replace_the_first_copy(self) -> None:
        place = self.place()
        for tail in (b"first", b"second"):
            with open(place.file(EVENTS), "ab") as file:
                file.write(tail)
            with self.opened(place):
                pass
        self.assertEqual("first", place.read(f"{EVENTS}.torn-1"))
        self.assertEqual("second", place.read(f"{EVENTS}.torn-2"))

    def test_looking_changes_nothing(self) -> None:
        place = self.place()
        with open(place.file(EVENTS), "wb") as file:
            file.write(b"torn")
        before = snapshot(place.path)
        reader.load_path(mission.load(place.path).workspace)
        self.assertEqual(before, snapshot(place.path))


class Rebuilding(RecordCase):
    """progress.md and the artifacts are written again from the record, byte for byte."""

    def setUp(self) -> None:
        super().setUp()
        self.here = self.place()
        self.write_story(self.here)
        self.before = snapshot(self.here.path, without=("heartbeat.json",))

    def prepared(self) -> dict[str, object]:
        """What stands in the workspace after the next start."""
        with self.opened(self.here):
            pass
        return snapshot(self.here.path, without=("heartbeat.json",))

    def test_a_start_changes_nothing(self) -> None:
        self.assertEqual(self.before, self.prepared())

    def test_artifacts_that_are_gone(self) -> None:
        shutil.rmtree(self.here.file("artifacts"))
        self.assertEqual(self.before, self.prepared())

    def test_artifacts_that_are_garbage(self) -> None:
        for number, garbage in enumerate((b"", b"{}", b"\0" * 999), 1):
            rewrite(self.here.file("artifacts/round-0002.json"), garbage)
            after = self.prepared()
            self.assertEqual(garbage, after[f"artifacts/round-0002.json.edited-{number}"])
            self.assertEqual(self.before, {name: after[name] for name in self.before})

    def test_artifacts_that_are_something_else(self) -> None:
        path = self.here.file("artifacts/round-0002.json")
        for plant in PLANTS:
            remove(path)
            plant(path)
            with self.subTest(plant.__name__), no_hang():
                self.prepared()
                self.assertEqual(self.before["artifacts/round-0002.json"], self.bytes(path))
                self.assertTrue(untouched(self.here))

    def bytes(self, path: str) -> bytes:
        self.assertFalse(os.path.islink(path))
        with open(path, "rb") as file:
            return file.read()

    def test_progress_that_is_gone(self) -> None:
        os.unlink(self.here.file("progress.md"))
        self.assertEqual(self.before, self.prepared())

    def test_progress_that_lost_its_end_is_kept_beside(self) -> None:
        whole = self.here.read("progress.md")
        rewrite(self.here.file("progress.md"), whole[:-30].encode())
        after = self.prepared()
        self.assertEqual(whole[:-30].encode(), after.pop("progress.md.edited-1"))
        self.assertEqual(self.before, after)

    def test_progress_that_is_garbage_is_kept_beside(self) -> None:
        for number, garbage in enumerate((b"", b"\0" * 10, b"my own notes\n"), 1):
            rewrite(self.here.file("progress.md"), garbage)
            after = self.prepared()
            self.assertEqual(garbage, after[f"progress.md.edited-{number}"])
            self.assertEqual(self.before["progress.md"], after["progress.md"])

    def test_progress_removed_while_a_run_goes_on(self) -> None:
        with self.opened(self.here) as run:
            tell(run, "run2/3 4: play")
            os.unlink(self.here.file("progress.md"))
            tell(run, "scan")
        text = self.here.read("progress.md")
        self.assertTrue(text.encode().startswith(self.bytes_before("progress.md")))
        self.assertEqual(1, text.count("round 4 scan passed"))
        self.assertIn("round 4 play passed", text)

    def bytes_before(self, name: str) -> bytes:
        found = self.before[name]
        assert isinstance(found, bytes)
        return found

    def test_a_heartbeat_that_is_gone_or_garbage(self) -> None:
        for spoil in (os.unlink, lambda path: rewrite(path, b"{garbage")):
            spoil(self.here.file("heartbeat.json"))
            self.prepared()
            self.assertEqual("complete", self.here.heartbeat["status"])


class Planted(RecordCase):
    """Links, FIFOs and folders at a state path are neither followed nor waited for."""

    def each(self, name: str) -> Iterator[Workspace]:
        """A workspace for each thing that may be planted at `name`, planted after a round."""
        for plant in PLANTS:
            with self.subTest(f"{plant.__name__} at {name}"), no_hang():
                place = self.workspace(unique(name, plant), commands={"verify": "v"})
                self.write_story(place, "run1/3 1: verify- =unhealthy/continue")
                path = place.file(name)
                remove(path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                plant(path)
                yield place
                self.assertTrue(untouched(place), "something outside was written")

    def test_at_the_record(self) -> None:
        for place in self.each(EVENTS):
            with self.assertRaises(TamperError), self.opened(place):
                pass

    def test_at_a_projection(self) -> None:
        for name in ("heartbeat.json", "progress.md", "artifacts", "logs"):
            for place in self.each(name):
                self.write_story(place, "resume1/3 2: verify =healthy/complete complete")
                self.assertEqual("complete", place.heartbeat["status"])
                self.assertIn("run 1 complete", place.read("progress.md"))
                self.assertEqual("healthy", place.artifact(2)["outcome"])

    def test_at_a_temporary_name(self) -> None:
        temporary = (".heartbeat.json.new", ".progress.md.new", "artifacts/.round-0002.json.new")
        for name in temporary:
            for place in self.each(name):
                os.unlink(place.file("progress.md"))
                self.write_story(place, "resume1/3 2: verify =healthy/complete complete")
                self.assertEqual("complete", place.heartbeat["status"])
                self.assertEqual("healthy", place.artifact(2)["outcome"])

    def test_at_an_artifact(self) -> None:
        for place in self.each("artifacts/round-0002.json"):
            self.write_story(place, "resume1/3 2: verify =healthy/complete complete")
            self.assertEqual("healthy", place.artifact(2)["outcome"])

    def test_at_a_log(self) -> None:
        for place in self.each("logs/round-0001-verify.log"):
            with (
                self.opened(place) as run,
                run.store.step_files.open_log(run.store.state, "verify") as log,
            ):
                os.write(log.descriptor, b"hello")
            self.assertEqual("logs/round-0001-verify-2.log", log.path)
            self.assertEqual("hello", place.read(log.path))

    def test_at_a_prompt(self) -> None:
        for place in self.each("artifacts/round-0001-fix-prompt.md"):
            with self.opened(place) as run:
                path = run.store.step_files.write_prompt(run.store.state, Step.FIX, "do it")
            with open(path, encoding="utf-8") as file:
                self.assertEqual("do it", file.read())

    def test_at_a_projection_while_a_run_goes_on(self) -> None:
        for name in ("heartbeat.json", "progress.md", "artifacts", "logs"):
            for plant in PLANTS:
                with self.subTest(f"{plant.__name__} at {name}"), no_hang():
                    place = self.workspace(unique(name, plant), commands={"verify": "v"})
                    with self.opened(place) as run:
                        tell(run, "run1/3 1:")
                        remove(place.file(name))
                        plant(place.file(name))
                        with run.store.step_files.open_log(run.store.state, "verify"):
                            pass
                        tell(run, "verify =healthy/complete complete")
                        run.store.beat()
                    self.assertEqual("complete", place.heartbeat["status"])
                    self.assertIn("round 1 healthy", place.read("progress.md"))
                    self.assertEqual("healthy", place.artifact(1)["outcome"])
                    self.assertTrue(untouched(place))

    def test_at_the_configuration(self) -> None:
        """A link is a person's right; anything else is no configuration."""
        for plant in (plant_fifo, plant_folder):
            place = self.workspace(plant.__name__, commands={"verify": "v"})
            remove(place.file("openloop.json"))
            plant(place.file("openloop.json"))
            with self.subTest(plant.__name__), no_hang(), self.assertRaises(UsageError):
                mission.load(place.path)

    def test_what_a_folder_held_is_kept(self) -> None:
        place = self.workspace(commands={"verify": "v"})
        plant_folder(place.file("heartbeat.json"))
        with self.opened(place):
            pass
        self.assertEqual("kept", place.read("heartbeat.json.edited-1/kept"))

    def test_a_whole_run(self) -> None:
        for name in ("progress.md", "logs"):
            place = self.workspace(f"run-{name}", commands={"verify": "true"})
            plant_link(place.file(name))
            with self.subTest(name):
                place.run()
                self.assertTrue(untouched(place))
                place.audit()


def unique(name: str, plant: Callable[[str], None]) -> str:
    return f"{name.replace('/', '-')}-{plant.__name__}"


class Refused(RecordCase):
    """A record that does not hold is not continued: blocked, and the line is named."""

    def setUp(self) -> None:
        super().setUp()
        self.here = self.place()
        self.write_story(self.here)

    def why(self) -> str:
        before = snapshot(self.here.path)
        with self.assertRaises(TamperError) as caught, self.opened(self.here):
            pass
        self.assertEqual(before, snapshot(self.here.path), "a refused record was written to")
        return str(caught.exception)

    def test_an_edited_middle_line_is_named(self) -> None:
        lines = lines_of(self.here.file(EVENTS))
        lines[9] = lines[9].replace(b'"time": "2', b'"time": "1')
        rewrite(self.here.file(EVENTS), b"".join(lines))
        self.assertIn("line 11: ", self.why())

    def test_an_edited_last_line_is_named(self) -> None:
        lines = lines_of(self.here.file(EVENTS))
        lines[-1] = lines[-1].replace(b"complete", b"blocked")
        rewrite(self.here.file(EVENTS), b"".join(lines))
        self.assertIn(f"line {len(lines)}: ", self.why())

    def test_a_line_taken_out_is_named(self) -> None:
        lines = lines_of(self.here.file(EVENTS))
        rewrite(self.here.file(EVENTS), b"".join([*lines[:5], *lines[6:]]))
        self.assertIn("line 6: ", self.why())

    def test_a_cut_end_is_noticed_through_the_heartbeat(self) -> None:
        lines = lines_of(self.here.file(EVENTS))
        for left in (len(lines) - 1, len(lines) // 2, 1):
            rewrite(self.here.file(EVENTS), b"".join(lines[:left]))
            self.assertIn(f"{len(lines) - left} events at its end are missing", self.why())

    def test_a_record_that_is_gone_is_noticed_through_the_heartbeat(self) -> None:
        rewrite(self.here.file(EVENTS), b"")
        self.assertIn("events at its end are missing", self.why())

    def test_the_way_out_is_reported(self) -> None:
        rewrite(self.here.file(EVENTS), b"garbage\n")
        self.assertIn(f"openloop init --force {self.here.path}", self.why())

    def test_the_program_ends_blocked(self) -> None:
        lines = lines_of(self.here.file(EVENTS))
        rewrite(self.here.file(EVENTS), b"".join([*lines[:5], *lines[6:]]))
        done = self.here.run(exitcode=3)
        self.assertIn("line 6", done.err)
        self.assertEqual("blocked", self.here.heartbeat["status"])
        self.assertIn("line 6", self.here.heartbeat["reason"])


class Restored(RecordCase):
    """What a command does to the record and the configuration is noticed and undone."""

    def setUp(self) -> None:
        super().setUp()
        self.here = self.place()

    @contextlib.contextmanager
    def running(self, before: str = "") -> Iterator[Written]:
        if before:
            self.write_story(self.here, before)
        with self.opened(self.here) as run:
            tell(run, "resume1/3 2: play" if before else "run1/3 1: play")
            self.assertEqual("", run.store.tampering())
            yield run

    def spoil_record(self, spoil: Callable[[str], None]) -> str:
        """Words on what was noticed; the record is whole again and goes on."""
        with self.running() as run:
            before = b"".join(lines_of(self.here.file(EVENTS)))
            spoil(self.here.file(EVENTS))
            found = run.store.tampering()
            self.assertEqual(before, b"".join(lines_of(self.here.file(EVENTS))))
            self.assertEqual("", run.store.tampering())
            tell(run, "scan verify")
        recomputed_head(self.here)
        return found

    def test_a_record_that_was_removed(self) -> None:
        self.assertIn(f"{EVENTS} was removed", self.spoil_record(os.unlink))

    def test_a_record_that_was_restored_still_has_its_live_runner(self) -> None:
        with self.running() as run:
            os.unlink(self.here.file(EVENTS))
            run.store.tampering()
            self.assertTrue(runner_lives(at(self.here.path)))
        self.assertFalse(runner_lives(at(self.here.path)))

    def test_a_record_that_was_cut(self) -> None:
        self.assertIn(f"{EVENTS} was edited", self.spoil_record(lambda p: os.truncate(p, 50)))

    def test_a_record_that_was_emptied(self) -> None:
        self.assertIn(f"{EVENTS} was edited", self.spoil_record(lambda p: rewrite(p, b"")))

    def test_a_record_that_grew(self) -> None:
        def grow(path: str) -> None:
            with open(path, "ab") as file:
                file.write(b'{"seq": 99}\n')

        self.assertIn(f"{EVENTS} was edited", self.spoil_record(grow))

    def test_a_record_whose_bytes_changed_and_whose_size_and_times_did_not(self) -> None:
        def change(path: str) -> None:
            before = os.stat(path)
            with open(path, "r+b") as file:
                file.seek(100)
                file.write(b"X")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        self.assertIn(f"{EVENTS} was edited", self.spoil_record(change))

    def test_a_record_that_was_replaced(self) -> None:
        def put(path: str) -> None:
            os.rename(path, f"{path}.moved")
            rewrite(path, b"mine\n")

        self.assertIn(f"{EVENTS} was replaced", self.spoil_record(put))
        self.assertEqual("mine\n", self.here.read(f"{EVENTS}.edited-1"))

    def test_a_record_that_became_something_else(self) -> None:
        for plant in PLANTS:
            self.here = self.workspace(plant.__name__, **CONFIGURATION)

            def put(path: str, plant: Callable[[str], None] = plant) -> None:
                remove(path)
                plant(path)

            with self.subTest(plant.__name__), no_hang():
                self.assertIn(f"{EVENTS} was replaced", self.spoil_record(put))
                self.assertTrue(untouched(self.here))

    def test_a_record_that_was_only_touched(self) -> None:
        with self.running() as run:
            os.utime(self.here.file(EVENTS))
            os.chmod(self.here.file(EVENTS), 0o600)
            self.assertEqual("", run.store.tampering())
            self.assertFalse(self.here.exists(f"{EVENTS}.edited-1"))

    def test_what_an_earlier_run_recorded_is_restored_too(self) -> None:
        with self.running(before=FIRST_ROUND) as run:
            before = lines_of(self.here.file(EVENTS))
            rewrite(self.here.file(EVENTS), b"".join(before[1:]))
            self.assertIn("restored", run.store.tampering())
            self.assertEqual(before, lines_of(self.here.file(EVENTS)))
        recomputed_head(self.here)

    def test_the_start_of_a_long_record_is_not_believed(self) -> None:
        """It is too long for a copy: cut at its end it is restored, damaged inside it is not."""
        self.write_story(self.here, FIRST_ROUND)
        with self.opened(self.here) as run:
            tell(run, "resume1/3")
            while run.store._event_log.size <= SHADOWED:
                run.record(Kind.NOTE, note="hook", text="x" * 100_000)
        with self.opened(self.here) as run:
            tell(run, "resume1/3 2: play")
            self.assertEqual("", run.store.tampering())
            os.truncate(self.here.file(EVENTS), os.path.getsize(self.here.file(EVENTS)) - 10)
            self.assertIn("restored", run.store.tampering())
            recomputed_head(self.here)
            with open(self.here.file(EVENTS), "r+b") as file:
                file.seek(1000)
                file.write(b"X")
            self.assertIn("cannot be restored", run.store.tampering())

    def spoil_configuration(self, spoil: Callable[[str], None]) -> str:
        with self.running() as run:
            before = self.here.read("openloop.json")
            spoil(self.here.file("openloop.json"))
            found = run.store.tampering()
            self.assertEqual(before, self.here.read("openloop.json"))
            self.assertEqual("", run.store.tampering())
        return found

    def test_a_configuration_that_was_edited(self) -> None:
        found = self.spoil_configuration(lambda path: rewrite(path, b"{}"))
        self.assertIn("openloop.json was edited", found)
        self.assertEqual("{}", self.here.read("openloop.json.edited-1"))

    def test_a_configuration_that_grew_by_a_byte(self) -> None:
        def grow(path: str) -> None:
            with open(path, "ab") as file:
                file.write(b" ")

        self.assertIn("openloop.json was edited", self.spoil_configuration(grow))

    def test_a_configuration_that_was_removed(self) -> None:
        self.assertIn("openloop.json was removed", self.spoil_configuration(os.unlink))

    def test_a_configuration_that_became_something_else(self) -> None:
        for plant in PLANTS:
            self.here = self.workspace(plant.__name__, **CONFIGURATION)

            def put(path: str, plant: Callable[[str], None] = plant) -> None:
                remove(path)
                plant(path)

            with self.subTest(plant.__name__), no_hang():
                self.assertIn("openloop.json was replaced", self.spoil_configuration(put))
                self.assertTrue(untouched(self.here))

    def test_both_at_once(self) -> None:
        with self.running() as run:
            rewrite(self.here.file("openloop.json"), b"{}")
            os.unlink(self.here.file(EVENTS))
            found = run.store.tampering()
            self.assertIn("openloop.json was edited", found)
            self.assertIn(f"{EVENTS} was removed", found)

    def test_a_configuration_that_a_person_keeps_elsewhere(self) -> None:
        elsewhere = os.path.join(self.folder, "openloop.json")
        os.rename(self.here.file("openloop.json"), elsewhere)
        os.symlink(elsewhere, self.here.file("openloop.json"))
        with self.running() as run:
            self.assertEqual("", run.store.tampering())
            rewrite(elsewhere, b"{}")
            self.assertIn("openloop.json was edited", run.store.tampering())


class Finished(RecordCase):
    """Logs and artifacts of this run stay as they were when they were finished."""

    LOG = "logs/round-0001-verify.log"
    ARTIFACT = "artifacts/round-0001.json"
    OUTPUT = b"all good\n"

    @contextlib.contextmanager
    def after_a_round(self, name: str = "w") -> Iterator[Written]:
        self.here = self.workspace(name, **CONFIGURATION)
        with self.opened(self.here) as run:
            tell(run, "run1/3 1: play- scan verify")
            with run.store.step_files.open_log(run.store.state, "verify") as log:
                os.write(log.descriptor, self.OUTPUT)
                self.assertEqual("", run.store.step_files.log_finished(log, self.digest()))
            tell(run, "=unhealthy/continue")
            self.assertEqual("", run.store.tampering())
            yield run

    def digest(self) -> str:
        return hashlib.sha256(self.OUTPUT).hexdigest()

    def test_a_log(self) -> None:
        cases: tuple[tuple[str, Callable[[str], None]], ...] = (
            ("edited", lambda path: rewrite(path, b"all evil\n")),
            ("edited", lambda path: rewrite(path, b"")),
            ("removed", os.unlink),
            ("edited", lambda path: (os.unlink(path), rewrite(path, b"mine"))[1]),
        )
        for number, (word, spoil) in enumerate(cases):
            with self.subTest(number), self.after_a_round(f"w{number}") as run:
                spoil(self.here.file(self.LOG))
                self.assertIn(f"{self.LOG} was {word}", run.store.tampering())

    def test_a_log_that_became_something_else(self) -> None:
        for plant in PLANTS:
            name = plant.__name__
            with self.subTest(name), no_hang(), self.after_a_round(name) as run:
                remove(self.here.file(self.LOG))
                plant(self.here.file(self.LOG))
                self.assertIn(f"{self.LOG} was replaced", run.store.tampering())

    def test_a_log_that_was_only_touched(self) -> None:
        with self.after_a_round() as run:
            os.utime(self.here.file(self.LOG))
            self.assertEqual("", run.store.tampering())

    def test_an_artifact_is_restored(self) -> None:
        for spoil in (os.unlink, lambda path: rewrite(path, b"{}"), replace_with_fifo):
            with self.after_a_round(str(id(spoil))) as run:
                before = self.here.read(self.ARTIFACT)
                spoil(self.here.file(self.ARTIFACT))
                with no_hang():
                    found = run.store.tampering()
                self.assertIn(self.ARTIFACT, found)
                self.assertIn("restored", found)
                self.assertEqual(before, self.here.read(self.ARTIFACT))

    def test_the_folder_is_gone(self) -> None:
        with self.after_a_round() as run:
            shutil.rmtree(self.here.file("artifacts"))
            shutil.rmtree(self.here.file("logs"))
            self.assertTrue(run.store.tampering())
            tell(run, "TAMPER blocked")

    def test_what_cannot_be_restored_is_reported_all_the_same(self) -> None:
        with self.after_a_round() as run:
            rewrite(self.here.file(self.ARTIFACT), b"{}")
            with at_most(10):
                found = run.store.tampering()
            self.assertIn(self.ARTIFACT, found)

    def test_the_newest_of_many_at_once_and_every_one_at_the_end(self) -> None:
        os.mkdir(f"{self.folder}/logs")
        folder = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        finished = tamper_watch.FinishedFiles(folder)
        names = [f"logs/{number}" for number in range(2 * tamper_watch.NEWEST)]
        for name in names:
            with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
                file.write("own")
                file.flush()
                found = finished.add(name, file.fileno(), hashlib.sha256(b"own").hexdigest())
            self.assertEqual("", found)
        for name in (names[0], names[-1]):
            rewrite(f"{self.folder}/{name}", b"mine")
        self.assertEqual(f"{names[-1]} was edited while a command ran", finished.difference())
        self.assertEqual("", finished.difference())
        self.assertIn(names[0], finished.difference(every=True))

    def test_a_log_that_its_own_command_replaced(self) -> None:
        log = f"$OPENLOOP_WORKSPACE/{self.LOG}"
        for number, put in enumerate(("echo fake >", "mkfifo", "ln -s /etc/passwd", "mkdir")):
            place = self.workspace(str(number), commands={"verify": f"rm {log}; {put} {log}"})
            with self.subTest(put):
                self.assertEqual(3, place.run(exitcode=None).code)
                self.assertIn(self.LOG, place.heartbeat["reason"])


def replace_with_fifo(path: str) -> None:
    os.unlink(path)
    plant_fifo(path)


CONFIGURATION = {"commands": {"play": "p", "scan": "s", "verify": "v"}}


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class DiskFull(RecordCase):
    """No room: nothing half-run, a clear error, and what was recorded stays readable."""

    def test_an_event_is_whole_or_not_there(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, FIRST_ROUND)
            before = lines_of(place.file(EVENTS))
            size = sum(map(len, before))
            for room in (0, 1, 50, 150):
                with at_most(size + room), self.assertRaises(RecordError) as caught:
                    run.record(Kind.ROUND_STARTED, round=2, state=run.store.state.to_json())
                self.assertIn(EVENTS, str(caught.exception))
                self.assertEqual(before, lines_of(place.file(EVENTS)))
            self.assertFalse(run.store.state.in_round, "what is not on record has not happened")
        self.assertEqual("interrupted", place.heartbeat["status"])
        self.assertIn("cannot be kept", place.heartbeat["reason"])
        self.write_story(place, "resume1/3 2: play scan")
        recomputed_head(place)

    def test_an_artifact_is_the_old_one_or_the_new_one(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, "run1/3 1: play- scan fix verify-")
            events = lines_of(place.file(EVENTS))
            with at_most(300), self.assertRaises(RecordError) as caught:
                tell(run, "=unhealthy/continue")
            self.assertIn("artifacts/round-0001.json", str(caught.exception))
            self.assertEqual([], os.listdir(place.file("artifacts")))
            self.assertEqual(events, lines_of(place.file(EVENTS)))

    def test_a_heartbeat_is_the_old_one_or_the_new_one(self) -> None:
        place = self.place()
        with self.opened(place) as run:
            tell(run, FIRST_ROUND)
            run.store.beat()
            before = place.heartbeat
            with at_most(100), self.assertRaises(RecordError):
                run.store.beat()
            self.assertEqual(before, place.heartbeat)
            self.assertFalse(place.exists(".heartbeat.json.new"))

    def test_a_whole_run(self) -> None:
        """The program ends with 5, the record holds, and the next run resumes."""
        place = self.workspace(
            commands={"verify": "false"},
            total_rounds=500,
            limits={"max_consecutive_failures": 500},
        )
        runner = self.started(place, preexec_fn=lambda: limit_files(20_000))
        _, err = runner.communicate(timeout=60)
        self.assertEqual(5, runner.returncode, err)
        self.assertIn("cannot be kept", err)
        self.assertNotIn("Traceback", err)
        self.assertEqual("interrupted", place.heartbeat["status"])
        place.audit()
        recorded = place.events
        place.run("--max-rounds", "1", exitcode=1)
        self.assertEqual(recorded, place.events[: len(recorded)])
        self.assertTrue(place.events[len(recorded)]["resumed"])
        place.audit()

    def test_no_room_at_the_start(self) -> None:
        place = self.workspace(commands={"verify": "false"})
        runner = self.started(place, preexec_fn=lambda: limit_files(10))
        _, err = runner.communicate(timeout=60)
        self.assertIn(runner.returncode, (2, 5))
        self.assertNotIn("OpenLoop failed", err)
        self.assertIn(place.path, err)
        place.run("--max-rounds", "1", exitcode=1)
        place.audit()


PATIENT = {"limits": {"max_consecutive_failures": 500}}


def limit_files(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("mount"), "only root can mount")
class SmallFileSystem(RecordCase):
    """A file system of its own, which can be full or read-only."""

    def setUp(self) -> None:
        super().setUp()
        self.small = os.path.join(self.folder, "small")
        os.mkdir(self.small)
        if not own_mounts() or not self.mount("-t", "tmpfs", "-o", "size=96k", "tmpfs"):
            self.skipTest("mounting is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.small], check=True)

    def mount(self, *words: str) -> bool:
        done = subprocess.run(["mount", *words, self.small], capture_output=True, check=False)
        return done.returncode == 0

    def test_without_room(self) -> None:
        config = {"commands": {"verify": "false"}, "total_rounds": 500, **PATIENT}
        place = Workspace(self.small, config)
        rewrite(place.file("ballast"), b"x" * 40_000)
        place.run(exitcode=5)
        self.assertIn(place.status()["status"], ("interrupted", "crashed"))
        os.unlink(place.file("ballast"))
        recorded = place.events
        place.audit()
        place.run("--max-rounds", "1", exitcode=1)
        self.assertEqual(recorded, place.events[: len(recorded)])
        place.audit()

    def refused(self, place: Workspace) -> None:
        """Nothing was started, nothing is the program's own fault, and the place is named."""
        before = snapshot(place.path)
        self.assertTrue(self.mount("-o", "remount,ro"))
        done = place.run(exitcode=2)
        self.assertNotIn("OpenLoop failed", done.err)
        self.assertIn(place.path, done.err)
        self.assertEqual(before, snapshot(place.path))

    def test_read_only(self) -> None:
        self.refused(Workspace(self.small, {"commands": {"verify": "true"}}))

    def test_read_only_after_a_run(self) -> None:
        place = Workspace(self.small, {"commands": {"verify": "true"}})
        place.run()
        self.refused(place)
        self.assertEqual("complete", place.status()["status"])
        place.audit()


if __name__ == "__main__":
    unittest.main()
