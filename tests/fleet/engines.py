"""Engines for the tests: a Slurm of two emulated nodes, and an SSH server, all on loopback.

Everything lies in one folder, listens on 127.0.0.1 at ports that were free, and is ended by `stop`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from support import lives, wait_until

SLURM = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")
NODES = 2


def path() -> str:
    """PATH with the folders that hold daemons."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def which(name: str) -> str | None:
    return shutil.which(name, path=path())


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class Daemon:
    """A program in the foreground, as a child of ours."""

    def __init__(self, *words: str, log: str) -> None:
        self.words = words
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": path()},
            )

    def kill(self, signum: int = signal.SIGKILL) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


class Slurm:
    """A cluster; `conf` is what SLURM_CONF has to say."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.conf = os.path.join(folder, "slurm.conf")
        for name in ("state", "run", *(f"spool-n{n}" for n in range(1, NODES + 1))):
            os.makedirs(os.path.join(folder, name), mode=0o755)
        self._configure()
        self.munged = self._munge()
        self.controller = self.daemon("slurmctld", "-D", "-f", self.conf)
        self.nodes = [
            self.daemon("slurmd", "-D", "-f", self.conf, "-N", f"n{n}", name=f"slurmd-n{n}")
            for n in range(1, NODES + 1)
        ]
        wait_until(self.is_ready, "the nodes of Slurm", patience=30)

    def daemon(self, *words: str, name: str = "") -> Daemon:
        log = os.path.join(self.folder, f"{name or words[0]}.log")
        return Daemon(which(words[0]) or words[0], *words[1:], log=log)

    def _munge(self) -> Daemon:
        key = os.path.join(self.folder, "munge.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(128))
        daemon = self.daemon(
            *("munged", "--foreground", "--force", f"--key-file={key}"),
            f"--socket={self.folder}/run/munge.socket",
            f"--pid-file={self.folder}/run/munged.pid",
            f"--seed-file={self.folder}/munge.seed",
            f"--log-file={self.folder}/munged-own.log",
        )
        wait_until(lambda: os.path.exists(f"{self.folder}/run/munge.socket"), "munged")
        return daemon

    def _configure(self) -> None:
        control, *ports = free_ports(1 + NODES)
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": "localhost(127.0.0.1)",
            "SlurmctldPort": control,
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "CredType": "cred/munge",
            "AuthInfo": f"socket={self.folder}/run/munge.socket,cred_expire=5",
            "StateSaveLocation": f"{self.folder}/state",
            "SlurmdSpoolDir": f"{self.folder}/spool-%n",
            "SlurmctldPidFile": f"{self.folder}/run/slurmctld.pid",
            "SlurmdPidFile": f"{self.folder}/run/slurmd-%n.pid",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,sched_min_interval=0",
            "ReturnToService": 2,
            "SlurmdParameters": "config_overrides",
            "JobRequeue": 1,
            "KillWait": 5,
            "MessageTimeout": 5,
            "SlurmdTimeout": 10,
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        lines += [
            f"NodeName=n{n} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=8 "
            "RealMemory=1000 State=UNKNOWN"
            for n, port in enumerate(ports, 1)
        ]
        lines.append(
            f"PartitionName=loops Nodes=n[1-{NODES}] Default=YES MaxTime=INFINITE State=UP"
        )
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": self.conf, "PATH": path()}

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            words,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout

    def recover(self) -> None:
        """What an operator does after a fault: start daemons that have ended by themselves, and
        return nodes that Slurm drained, which ReturnToService does not."""
        for daemon in (self.controller, *self.nodes):
            if daemon.process and daemon.process.poll() is not None:
                daemon.start()
        for line in self.ask("sinfo", "-h", "-N", "-o", "%N %T").splitlines():
            node, state = line.split()
            if state.startswith("drain"):
                self.ask("scontrol", "update", f"nodename={node}", "state=resume")

    def is_ready(self) -> bool:
        states = self.ask("sinfo", "-h", "-N", "-o", "%T").split()
        return len(states) == NODES and set(states) <= {"idle", "mixed", "allocated", "completing"}

    def stop(self) -> None:
        self.ask(
            "scancel", "--signal=KILL", "--full", *self.ask("squeue", "-h", "-o", "%A").split()
        )
        for daemon in (*self.nodes, self.controller):
            daemon.kill(signal.SIGTERM)
        self._end_steps()
        self.munged.kill(signal.SIGTERM)

    def _end_steps(self) -> None:
        """slurmstepd outlives slurmd; ours are those with our configuration."""
        mine = f"SLURM_CONF={self.conf}".encode()
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/comm", encoding="ascii") as file:
                    if file.read().strip() != "slurmstepd":
                        continue
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mine in file.read().split(b"\0"):
                        os.kill(int(name), signal.SIGKILL)


class Sshd:
    """A server on loopback; `options` are for the client."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        for name in ("host", "id"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.file(name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self.file("id.pub"), self.file("authorized_keys"))
        os.makedirs("/run/sshd", exist_ok=True)
        self._write(
            "sshd.conf",
            *("ListenAddress 127.0.0.1", f"Port {self.port}", f"HostKey {self.file('host')}"),
            *("PidFile none", f"AuthorizedKeysFile {self.file('authorized_keys')}"),
            *("PermitRootLogin prohibit-password", "PasswordAuthentication no", "UsePAM no"),
            *("StrictModes no", "MaxStartups 200"),
            f"SetEnv HOME={folder}",  # the account's own shell files may wait for anything
        )
        self._write(
            "config",
            *("Host *", f"Port {self.port}", "HostName 127.0.0.1"),
            *(f"IdentityFile {self.file('id')}", "IdentitiesOnly yes", "LogLevel ERROR"),
            *(f"UserKnownHostsFile {self.file('known')}", "StrictHostKeyChecking accept-new"),
        )
        self.options = f"-F {self.file('config')}"
        server = which("sshd") or "sshd"
        self.daemon = Daemon(server, "-D", "-f", self.file("sshd.conf"), log=self.file("log"))
        wait_until(self.answers, "sshd")

    def file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _write(self, name: str, *lines: str) -> None:
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def answers(self) -> bool:
        words = ["ssh", "-F", self.file("config"), "-o", "BatchMode=yes", "one", "true"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def stop(self) -> None:
        self.daemon.kill(signal.SIGTERM)


def gone(pid: int, patience: float = 10.0) -> bool:
    deadline = time.monotonic() + patience
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not lives(pid)
