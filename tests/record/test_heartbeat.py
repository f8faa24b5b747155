"""heartbeat.json under its writer: whole for every reader, and nothing else is ever written."""

from __future__ import annotations

import json
import os
import threading
import unittest

from openloop.record import heartbeat
from openloop.record.heartbeat import SPARE, HeartbeatFile
from openloop.record.workspace import HEARTBEAT
from support import Case


def content(number: int, size: int = 20) -> bytes:
    return json.dumps({"beat": number, "text": "x" * size}).encode() + b"\n"


class Beats(Case):
    def setUp(self) -> None:
        super().setUp()
        descriptor = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.file = HeartbeatFile(descriptor)
        self.addCleanup(self.file.close)
        self.number = 0

    def path(self, name: str = HEARTBEAT) -> str:
        return os.path.join(self.folder, name)

    def beat(self, times: int = 1, size: int = 20) -> None:
        for _ in range(times):
            self.number += 1
            self.file.write(content(self.number, size))
            self.assertEqual(self.number, self.shown()["beat"])

    def shown(self) -> dict[str, object]:
        with open(self.path(), "rb") as file:
            found: dict[str, object] = json.load(file)
        return found

    def files(self) -> set[int]:
        """The inodes that a few beats use."""
        used = set()
        for _ in range(6):
            self.beat()
            used.add(os.stat(self.path()).st_ino)
        return used


class Files(Beats):
    def test_two_files_serve_every_beat(self) -> None:
        self.beat(2)
        self.assertEqual(2, len(self.files()))

    def test_longer_content(self) -> None:
        self.beat(3)
        self.beat(3, size=3000)
        self.beat(3)
        with open(self.path(), "rb") as file:
            self.assertTrue(file.read().endswith(b" \n"))

    def test_nothing_else_is_left(self) -> None:
        self.beat(3)
        self.file.close()
        self.assertEqual([HEARTBEAT], os.listdir(self.folder))

    def test_what_a_killed_writer_left_is_used_by_nobody(self) -> None:
        for name in (HEARTBEAT, SPARE):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write("{}")
            os.link(self.path(name), self.path(f"kept-{name}"))
        self.beat(4)
        for name in (HEARTBEAT, SPARE):
            with open(self.path(f"kept-{name}"), encoding="utf-8") as file:
                self.assertEqual("{}", file.read())

    def test_where_names_cannot_be_exchanged(self) -> None:
        known = heartbeat._renameat2
        self.addCleanup(setattr, heartbeat, "_renameat2", known)
        heartbeat._renameat2 = lambda: None  # type: ignore[assignment]
        self.beat(4)
        self.file.close()
        self.assertEqual([HEARTBEAT], os.listdir(self.folder))


class Readers(Beats):
    def test_an_open_heartbeat_stays_what_it_was(self) -> None:
        self.beat(2)
        with open(self.path(), "rb", buffering=0) as file:
            first = file.read(5)  # the number comes after it
            self.beat(5)
            self.assertEqual(2, json.loads(first + file.read())["beat"])

    def test_a_linked_heartbeat_stays_what_it_was(self) -> None:
        self.beat(2)
        os.link(self.path(), self.path("linked"))
        self.beat(5)
        with open(self.path("linked"), encoding="utf-8") as file:
            self.assertEqual(2, json.load(file)["beat"])

    def test_many_readers_of_many_beats(self) -> None:
        self.beat()
        over = threading.Event()
        broken: list[str] = []
        seen = 0

        def read() -> None:
            nonlocal seen
            while not over.is_set():
                with open(self.path(), "rb", buffering=0) as file:
                    text = b"".join(iter(lambda: file.read(7), b""))
                try:
                    json.loads(text)
                    seen += 1
                except ValueError as error:
                    broken.append(f"{error}: {text!r}")

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(2000):
            self.file.write(content(number, size=number % 97))
        over.set()
        for reader in readers:
            reader.join()
        self.assertEqual([], broken)
        self.assertGreater(seen, 10)


class Intruders(Beats):
    def test_removed(self) -> None:
        for name in (HEARTBEAT, SPARE):
            with self.subTest(name):
                self.beat(3)
                os.unlink(self.path(name))
                self.beat(4)
                self.assertEqual(2, len(self.files()))

    def test_lengthened(self) -> None:
        for name in (HEARTBEAT, SPARE):
            with self.subTest(name):
                self.beat(3)
                with open(self.path(name), "a", encoding="utf-8") as file:
                    file.write("x" * 2000)
                self.beat(4)
                self.assertEqual(2, len(self.files()))

    def test_planted(self) -> None:
        victim = self.path("victim")
        with open(victim, "w", encoding="utf-8") as file:
            file.write("mine")
        planters = {
            "symlink": lambda path: os.symlink(victim, path),
            "hard link": lambda path: os.link(victim, path),
            "fifo": os.mkfifo,
            "folder": os.mkdir,
        }
        for name in (HEARTBEAT, SPARE):
            for kind, plant in planters.items():
                with self.subTest(kind, name=name):
                    self.beat(3)
                    os.unlink(self.path(name))
                    plant(self.path(name))
                    self.beat(4)
                    self.assertEqual(2, len(self.files()))
                    with open(victim, encoding="utf-8") as file:
                        self.assertEqual("mine", file.read())


if __name__ == "__main__":
    unittest.main()
