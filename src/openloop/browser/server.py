"""Start the server of a play on a free port, wait until it is ready, and end its process tree."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from openloop.browser.failure import Gone
from openloop.browser.pipe import Pipe
from openloop.browser.plays.play import ServeCommand
from openloop.browser.processes import GuardedProgram
from openloop.core.clock import monotonic
from openloop.core.errors import UsageError
from openloop.fs import files

_PAUSE = 0.05  # seconds between two looks whether it is ready
_LOOK = 2.0  # seconds that one look may take
_HERE = ("127.0.0.1", "localhost", "::1")
_LAST = 5  # lines of its output that an error repeats


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PlayServer:
    """A running server."""

    def __init__(self, serve: ServeCommand, port: int, url: str, log: str) -> None:
        """url: the address that answers when it is ready. log: path of the file that takes its
        output. Raises UsageError when something else answers there."""
        if urlsplit(url).hostname in _HERE and 0 < (_status(url) or 400) < 400:
            fix = "end what listens there, or listen on {port} and leave out base"
            raise UsageError("another program answers where serve would", where=url, fix=fix)
        self._serve = serve
        self._url = url
        self._log = log
        self._program = GuardedProgram()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        out = files.open_regular(log, flags)
        words = ["/bin/sh", "-c", serve.run.replace("{port}", str(port))]
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._program.start(words, os.getcwd(), {"PORT": str(port)}, [null, os.dup(out), out])

    def wait(self, pipe: Pipe) -> None:
        """Wait until the address answers. Raises UsageError when that takes too long, Gone when
        it ends."""
        pipe.watch(self._program.socket.fileno(), self._check)
        deadline = monotonic() + self._serve.timeout
        while not 0 < ((status := _status(self._url)) or 0) < 400:
            if monotonic() > deadline:
                raise self._never_ready(status)
            pipe.idle(_PAUSE)

    def _never_ready(self, status: int | None) -> UsageError:
        silent = "nothing listened there" if status is None else "it did not answer with HTTP"
        seen = f"its last answer was {status}" if status else silent
        return UsageError(
            f"the server was not ready within {self._serve.timeout:g} s: {seen}{self._output()}",
            where=self._url,
            fix="correct serve.run or serve.ready, or raise serve.timeout_seconds",
        )

    def check(self) -> None:
        """Raises UsageError when the server has ended."""
        if self._program.ending:
            fix = "correct serve.run; {port} in it is the port to listen on"
            raise UsageError(self._how_it_ended(), where=self._log, fix=fix)

    def _check(self) -> None:
        if self._program.read_messages():
            raise Gone(self._how_it_ended())

    def _how_it_ended(self) -> str:
        return f"the server has ended: {self._program.ending}{self._output()}"

    def _output(self) -> str:
        """The last lines of its output."""
        with open(self._log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
        last = [line.strip() for line in lines if line.strip()][-_LAST:]
        return "; its last lines: " + " / ".join(last) if last else "; it wrote nothing"

    def end(self) -> None:
        """Start ending the server; `close` waits for it."""
        self._program.end(at_once=False)

    def close(self) -> None:
        self._program.close()


def _status(url: str) -> int | None:
    """The HTTP status of a GET of the URL; 0 when the answer is not HTTP, None when nothing
    listens.

    http.client would take as long to import as a small play to run.
    """
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = socket.create_connection((parts.hostname or "", port), _LOOK)
    except (OSError, ValueError):
        return None
    try:
        with connection:
            if parts.scheme == "https":
                return 200  # somebody listens; the browser will check the rest
            request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            words = connection.recv(64).split()
    except OSError:
        return 0
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return 0
    return int(words[1])
