"""The launchers that ship, with their real engines on loopback: Slurm's two nodes, and sshd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from fleet.engines import SLURM, Slurm, Sshd, which
from fleet.fleets import Place, eager, names, running
from fleet.test_fleet import GATED, QUICK
from support import ROOT, Case, environment, need, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

EXAMPLE = os.path.join(ROOT, "examples", "fleet", "run.sh")
LANDED = ("roman", "primes", "slug", "middle", "wrap", "ring")


def short_folder(test: type[unittest.TestCase], prefix: str) -> str:
    """Sockets do not take long paths, and munged wants no one else to write above its own."""
    folder = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
    test.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
    os.chmod(folder, 0o755)
    return folder


def assert_example(case: Case, **env: str) -> str:
    """The example ends as it says, on any launcher."""
    need(shutil.which("git"), "git")
    done = subprocess.run(
        [EXAMPLE, os.path.join(case.folder, "example")],
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    case.assertEqual(0, done.returncode, f"{done.stdout}\n{done.stderr}")
    landed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("landed ")]
    case.assertEqual(sorted(LANDED), sorted(landed))
    case.assertRegex(done.stdout, "not landed +money +conflict in toolbox/__init__.py")
    case.assertRegex(done.stdout, "not landed +dates +it is exhausted, not complete")
    return done.stdout


class Local(Case):
    def test_the_example(self) -> None:
        out = assert_example(self)
        self.assertIn("FAILED (failures=2)", out)  # the liar's and the one in conflict
        tree = os.path.join(self.folder, "example/project/.openloop/bugs.fleet/tasks/money/tree")
        self.assertTrue(os.path.isdir(tree))  # its work is not removed


class SlurmCase(Case):
    """A cluster of its own for each class."""

    slurm: Slurm

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can have a Slurm of its own")
        for name in SLURM:
            need(which(name), name)
        cls.slurm = Slurm(short_folder(cls, "olsl-"))
        cls.addClassCleanup(cls.slurm.stop)

    def fleet(self, config: object = QUICK, *tasks: str) -> Place:
        return Place(
            self.folder,
            config,  # type: ignore[arg-type]
            launcher=eager("slurm"),
            max_parallel=8,
            tasks=names(*(tasks or "abcdefgh")),
        )

    @property
    def env(self) -> dict[str, str]:
        return environment(**self.slurm.env)


class OnSlurm(SlurmCase):
    def test_the_example(self) -> None:
        assert_example(self, LAUNCHER="slurm", **self.slurm.env)

    def test_a_cancel_spares_the_job_that_has_the_id_by_now(self) -> None:
        """A controller that lost its latest state gives the ids of forgotten jobs to new ones."""
        held = ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"]
        other = self.slurm.ask(*held).strip()
        self.addCleanup(self.slurm.ask, "scancel", other)
        shipped = eager("slurm")
        place = Place(
            self.folder,
            QUICK,
            launcher={**shipped, "submit": f"{shipped['submit']} >&2 && echo {other}"},
            options="--hold",
            tasks=names("a"),
        )
        coordinator = running(self, place, env=self.env)
        place.wait_for("task_submitted")
        self.assertEqual(other, place.events_of("task_submitted")[0]["job"])
        place.do("cancel", env=self.env)
        self.assertEqual(1, coordinator.wait(30))
        wait_until(
            lambda: self.slurm.ask("squeue", "-h", "-o", "%A").split() == [other],
            "the other job alone in the queue",
        )

    def test_cancel_and_a_refusal(self) -> None:
        place = self.fleet(GATED, "a")
        first = running(self, place, env=self.env)
        place.wait_for("task_running")
        place.do("cancel", env=self.env)
        self.assertEqual(1, first.wait(30))
        wait_until(lambda: not self.slurm.ask("squeue", "-h").strip(), "an empty queue")
        other = Place(
            os.path.join(self.folder, "other"),
            QUICK,
            launcher=eager("slurm"),
            options="--partition=none",
            tasks=names("a"),
        )
        other.do("run", exitcode=1, env=self.env)
        self.assertIn("Invalid partition", other.do("explain", "a").out)


class SlurmControllerKilled(SlurmCase):
    """It may have lost its latest state, so that later tests on its cluster could lose launches."""

    def test_coordinator_and_controller_are_gone_for_a_while(self) -> None:
        place = self.fleet(GATED, "a", "b")
        first = running(self, place, env=self.env)
        place.wait_for("task_running", 2)
        first.kill()
        first.wait()
        self.slurm.controller.kill(signal.SIGKILL)
        second = running(self, place, env=self.env)
        place.wait_for("engine_unreachable")
        self.assertEqual({"a": "unknown", "b": "unknown"}, place.states())
        self.slurm.controller.start()
        place.wait_for("engine_reached")
        place.write("go", "")
        self.assertEqual(0, second.wait(60))
        self.assertEqual(["a", "b"], sorted(place.ran()))


class OverSsh(Case):
    ssh: Sshd

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can have an SSH server of its own")
        for name in ("sshd", "ssh", "ssh-keygen"):
            need(which(name), name)
        cls.ssh = Sshd(short_folder(cls, "olssh-"))
        cls.addClassCleanup(cls.ssh.stop)

    def test_the_example(self) -> None:
        hosts = " ".join(f"node{n}" for n in range(4))
        assert_example(self, LAUNCHER="ssh", HOSTS=hosts, OPTIONS=self.ssh.options)

    def test_a_server_that_is_gone_for_a_while(self) -> None:
        place = Place(
            self.folder,
            GATED,
            launcher=eager("ssh"),
            hosts=["one", {"name": "two", "slots": 2}],
            options=self.ssh.options,
            tasks=names("a", "b", "c", "d"),
            max_parallel=9,
        )
        first = running(self, place)
        place.wait_for("task_running", 3)
        self.assertEqual(
            ["one", "two", "two"], sorted(e["host"] for e in place.events_of("task_launching"))
        )
        self.ssh.daemon.kill()
        place.wait_for("engine_unreachable", 2)
        first.kill()  # and the coordinator dies as well
        first.wait()
        self.ssh.daemon.start()
        place.write("go", "")
        place.do("run")
        self.assertEqual(["a", "b", "c", "d"], sorted(place.ran()))


if __name__ == "__main__":
    unittest.main()
