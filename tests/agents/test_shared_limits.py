"""Limits that loops of one user share: garbage, other clocks, hostile names."""

import os
import time
import unittest

from openloop.agents import shared_limits
from openloop.agents.shared_limits import SharedLimit
from support import Case, set_environment


class SharedLimits(Case):
    def setUp(self) -> None:
        super().setUp()
        set_environment(self, XDG_STATE_HOME=self.folder)

    def test_what_one_keeps_another_knows_until_it_is_over(self) -> None:
        self.assertIsNone(shared_limits.known("claude", ""))
        limit = SharedLimit(time.time() + 60, "You've hit your limit")
        shared_limits.save("claude", "", limit)
        self.assertEqual(shared_limits.known("claude", ""), limit)
        self.assertIsNone(shared_limits.known("claude", "work"))
        shared_limits.save("claude", "", SharedLimit(time.time() - 1, "over"))
        self.assertIsNone(shared_limits.known("claude", ""))

    def test_only_what_is_over_is_removed(self) -> None:
        """A session that began before the limit and ends well says nothing against it."""
        shared_limits.save("claude", "", SharedLimit(time.time() + 60, ""))
        shared_limits.remove_expired("claude", "")
        self.assertIsNotNone(shared_limits.known("claude", ""))
        shared_limits.save("claude", "", SharedLimit(time.time() - 1, ""))
        shared_limits.remove_expired("claude", "")
        self.assertEqual(os.listdir(shared_limits.folder()), [])
        shared_limits.remove_expired("claude", "")

    def test_garbage_is_no_limit(self) -> None:
        os.makedirs(shared_limits.folder())
        for data in (
            *(b"", b"{", b"[]", b"null", b'{"until": "soon"}', b'{"until": 1e400}', b"\xff"),
            *(b'{"until": NaN}', b'{"until": 99999999999999}', b'{"until": {}}', b"[" * 100_000),
        ):
            with self.subTest(data[:20]), open(shared_limits.path_of("x", ""), "wb") as file:
                file.write(data)
                file.flush()
                self.assertIsNone(shared_limits.known("x", ""))

    def test_a_hostile_account_stays_in_the_folder(self) -> None:
        for account in ("../../x", "/etc/passwd", "a\nb", "." * 300, "é"):
            with self.subTest(account):
                path = shared_limits.path_of("claude", account)
                self.assertEqual(os.path.dirname(path), shared_limits.folder())
                shared_limits.save("claude", account, SharedLimit(time.time() + 60, ""))
                self.assertIsNotNone(shared_limits.known("claude", account))

    def test_a_folder_that_cannot_be_written_changes_nothing(self) -> None:
        with open(os.path.join(self.folder, "openloop"), "w", encoding="utf-8"):
            shared_limits.save("claude", "", SharedLimit(time.time() + 60, ""))
            self.assertIsNone(shared_limits.known("claude", ""))


if __name__ == "__main__":
    unittest.main()
