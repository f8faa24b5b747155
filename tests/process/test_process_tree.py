"""Whole process trees end with their step, and with their runner."""

from __future__ import annotations

import shlex
import shutil
import signal
import unittest

from openloop.record.lock import runner_lives
from openloop.record.workspace import existing
from support import AGENTS, Case, Nobody, agent, need, read_pid, wait_until


class StepTree(Case):
    def test_daemon_with_empty_environment_is_gone_at_the_end_of_its_step(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("daemonizes", pid_file)})
        place.run()
        pid = read_pid(pid_file)
        assert pid is not None
        self.assert_gone(pid, within=0.05)


class HiddenProcess(Case):
    def test_daemon_that_hides_where_proc_hides_it(self) -> None:
        """It shows itself to nobody of its user, but it is a child of somebody."""
        nobody = Nobody(self)
        need(shutil.which("unshare"), "unshare")
        pid_file = f"{self.folder}/w/pid"
        hides = shlex.join([nobody.python, f"{AGENTS}/hides.py", pid_file])
        place = self.workspace(commands={"verify": hides}, limits={"kill_grace_seconds": 0.2})
        hide = 'mount -t proc -o hidepid=2 proc /proc && exec "$0" "$@"'
        nobody.run(place, "unshare", "--mount", "/bin/sh", "-c", hide)
        pid = read_pid(pid_file)
        assert pid is not None
        self.assert_gone(pid, within=0.05)


class KilledRunner(Case):
    def kill_runner_during(self, command: str, pid_file: str) -> None:
        place = self.workspace(commands={"verify": command})
        runner = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        self.assert_gone(pid)
        # Its guard restores a record that is removed under it, by the test's end as well.
        wait_until(lambda: not runner_lives(existing(place.path)), "the guard to be gone")

    def test_plain_command(self) -> None:
        pid_file = f"{self.folder}/pid"
        self.kill_runner_during(agent("sleeps", pid_file), pid_file)

    def test_command_that_ignores_term(self) -> None:
        pid_file = f"{self.folder}/pid"
        self.kill_runner_during(agent("ignores_term", pid_file), pid_file)

    def test_daemon_with_empty_environment(self) -> None:
        pid_file = f"{self.folder}/pid"
        self.kill_runner_during(agent("daemonizes", pid_file, "stay"), pid_file)


if __name__ == "__main__":
    unittest.main()
