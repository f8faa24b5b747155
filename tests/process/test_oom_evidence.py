"""Evidence that the kernel ended a process for want of memory; a SIGKILL alone is none."""

from __future__ import annotations

import unittest

from openloop.process.oom_evidence import OomCounters, evidence


class Evidence(unittest.TestCase):
    """(our cgroup's count, the machine's count) before and after, and how the command ended."""

    CASES: tuple[tuple[tuple[int, int], tuple[int, int], int | None, str | None, str], ...] = (
        ((0, 0), (0, 0), 0, None, ""),
        ((0, 0), (0, 0), 1, None, ""),
        ((0, 0), (0, 0), 137, None, ""),
        ((0, 0), (0, 0), None, "SIGKILL", ""),
        ((3, 9), (3, 9), None, "SIGKILL", ""),
        ((0, 5), (0, 6), None, "SIGKILL", "probable"),
        ((0, 5), (0, 6), 137, None, "probable"),
        ((0, 5), (0, 6), 1, None, ""),
        ((0, 5), (0, 6), 0, None, ""),
        ((0, 5), (0, 6), 9, None, ""),
        ((0, 5), (0, 6), None, "SIGTERM", ""),
        ((0, 5), (0, 6), None, "SIGSEGV", ""),
        ((0, 5), (1, 6), None, "SIGKILL", "confirmed"),
        ((0, 5), (1, 6), 1, None, "confirmed"),
        ((0, 5), (1, 5), 137, None, "confirmed"),
        ((1, 6), (0, 5), None, "SIGKILL", ""),
    )

    def test_the_table(self) -> None:
        for before, after, code, by_signal, expected in self.CASES:
            with self.subTest(before=before, after=after, code=code, signal=by_signal):
                found = evidence(before, after, code=code, by_signal=by_signal)
                self.assertEqual(expected, found.partition(":")[0])


class RealCounters(unittest.TestCase):
    """The kernel's own counters, where it has them."""

    def test_they_never_fall(self) -> None:
        counters = OomCounters()
        self.addCleanup(counters.close)
        first, second = counters.read(), counters.read()
        self.assertTrue(all(count >= 0 for count in first))
        self.assertGreaterEqual(second, first)
        self.assertEqual(0, counters.read(machine=False)[1])

    def test_after_closing_they_say_nothing(self) -> None:
        counters = OomCounters()
        counters.close()
        self.assertEqual((0, 0), counters.read())


if __name__ == "__main__":
    unittest.main()
