"""A server with a bounded number of connections, on a port or a Unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AT_ONCE = 64  # connections
PATIENCE = 10.0  # seconds that a client may take for its request, or to take a piece of the answer
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
    b"Connection: close\r\n\r\n"
)


class BoundedServer(ThreadingHTTPServer):
    """A server with one thread a connection. When all are taken, the oldest connection without a
    request is closed: half-open ones must not keep others out."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, port: int, path: str = "") -> None:
        """port: a port of 127.0.0.1, 0 for any free one. path: a Unix socket to use instead. Raises
        OSError."""
        self._silent: dict[socket.socket, None] = {}  # in the order in which they came
        self._open = 0
        self._lock = threading.Lock()
        if path:
            self.address_family = socket.AF_UNIX
        super().__init__((path if path else ("127.0.0.1", port)), handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        """Bind without looking up the name of this host."""
        before = os.umask(0o177)  # a Unix socket is for its owner alone
        try:
            socketserver.TCPServer.server_bind(self)
        finally:
            os.umask(before)
        self.server_name = "localhost"
        unix = self.address_family == socket.AF_UNIX
        self.server_port = 0 if unix else int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._make_room(request):
            with contextlib.suppress(OSError):
                request.settimeout(0)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        request.settimeout(PATIENCE)
        super().process_request(request, client_address)

    def _make_room(self, request: socket.socket) -> bool:
        """Whether there is room for one more connection, if need be after ending a silent one."""
        with self._lock:
            if self._open >= AT_ONCE:
                oldest = next(iter(self._silent), None)
                if oldest is None:
                    return False
                del self._silent[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread sees the end and closes it
            self._silent[request] = None
            self._open += 1
            return True

    def mark_active(self, request: socket.socket) -> None:
        """Note that a connection has sent a whole request: it is kept until it is answered."""
        with self._lock:
            self._silent.pop(request, None)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._silent.pop(request, None)
                self._open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that go away or are too slow."""
