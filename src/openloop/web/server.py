"""`openloop ui`: start the server, print its address, serve until it is to end."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket as socket_module
import stat
import sys
import threading
from collections.abc import Callable, Sequence

from openloop.core.errors import UsageError
from openloop.web.connections import BoundedServer
from openloop.web.handler import Handler
from openloop.web.routes import ROUTES
from openloop.web.site import Site

PORT = 8420
_LAST_PORT = 65535
_TRIES = 50  # ports that are tried, one after the other


def start(paths: Sequence[str], *, port: int, socket: str = "", private: bool = False) -> Site:
    """Listen, and serve nothing yet. port: the first to be tried, 0 for any. socket: path of a Unix
    socket instead. Raises UsageError when it cannot listen."""

    class SiteHandler(Handler):
        """The handler of this server's requests."""

        routes = ROUTES

    server = _on_socket(SiteHandler, socket) if socket else _on_port(SiteHandler, port)
    try:
        site = Site(paths, server, private=private)
    except UsageError:
        server.server_close()
        raise
    SiteHandler.site = site
    return site


def _on_port(handler: type[Handler], port: int) -> BoundedServer:
    last = min(port + _TRIES, _LAST_PORT + 1) if port else 1
    for candidate in range(port, last):
        try:
            return BoundedServer(handler, port=candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UsageError(f"cannot listen on port {candidate}: {error.strerror}") from None
    raise UsageError(f"ports {port} to {last - 1} are taken", fix="name another with --port")


def _on_socket(handler: type[Handler], path: str) -> BoundedServer:
    """Raises UsageError. A socket that a killed server left behind is replaced."""
    try:
        if _is_abandoned(path):
            remove_abandoned(path)
        return BoundedServer(handler, port=0, path=path)
    except OSError as error:
        fix = "name another path with --socket, a short one in a folder that you may write"
        if error.errno == errno.EADDRINUSE:
            fix = "another server listens there, or it is no socket: name a path that is free"
        what = f"cannot listen on {path}: {error.strerror or error}"
        raise UsageError(what, fix=fix) from None


def _is_abandoned(path: str) -> bool:
    """Whether there is a socket at `path` without a listener."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except OSError:
        return False
    with socket_module.socket(socket_module.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:  # a full queue or a foreign socket: somebody's
            return False
    return False


def remove_abandoned(path: str) -> None:
    """Remove a socket on which nobody listened a moment ago. Raises OSError.

    Another server may have replaced it since, so it is moved aside first and looked at there.
    """
    aside = os.path.join(os.path.dirname(path), f".{os.getpid()}")
    os.rename(path, aside)
    if _is_abandoned(aside):
        os.unlink(aside)
    else:
        os.rename(aside, path)


def serve(
    paths: Sequence[str],
    *,
    port: int | None,
    socket: str,
    private: bool,
    browse: bool,
    say: Callable[[str], None],
    end: int,
) -> None:
    """Serve until a descriptor, `end`, can be read. port: None for the usual one. say: prints a
    line. Raises UsageError."""
    site = start(paths, port=PORT if port is None else port, socket=socket, private=private)
    own = os.lstat(socket) if socket else None
    threading.Thread(target=site.overview.document, daemon=True).start()  # ready when a person is
    threading.Thread(target=site.server.serve_forever, args=(3600,), daemon=True).start()
    try:
        for line in _introduction(site, PORT if port is None else port, socket):
            say(line)
        if browse and not socket and _is_desktop():
            import webbrowser

            key = site.access.one_time_key()
            webbrowser.open(f"http://127.0.0.1:{site.server.server_port}/?token={key}")
        select.select([end], [], [])
    finally:
        site.server.server_close()
        with contextlib.suppress(FileNotFoundError):
            if own and os.path.samestat(own, os.lstat(socket)):  # a person may have replaced it
                os.unlink(socket)


def _introduction(site: Site, port: int, socket: str) -> list[str]:
    if socket:
        path = f"/?token={site.access.token}"
        return [
            f"OpenLoop listens on {socket}. From another machine:",
            f"  ssh -L 8420:{os.path.abspath(socket)} HOST",
            f"  then open http://127.0.0.1:8420{path}",
        ]
    lines = [] if not port or site.server.server_port == port else [f"port {port} is taken"]
    lines.append(site.address)
    if os.environ.get("SSH_CONNECTION"):
        number = site.server.server_port
        lines.append(f"On your own machine first: ssh -L {number}:127.0.0.1:{number} HOST")
    return [*lines, "Ctrl-C ends it."]


def _is_desktop() -> bool:
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown) and sys.stdout.isatty() and not os.environ.get("SSH_CONNECTION")
