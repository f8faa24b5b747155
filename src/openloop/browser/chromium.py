"""Find the browser, start it with a profile of its own, and end it with all its processes."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable

from openloop.browser.failure import Gone
from openloop.browser.pipe import Message, Pipe
from openloop.browser.processes import GuardedProgram
from openloop.core.errors import UsageError
from openloop.fs import dirfd, temporary_folders

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "chrome-headless-shell",
)
_INSTALL = "install one, for example with apt install chromium or dnf install chromium"
_START = 30.0  # seconds until the browser must have answered
_TOO_LONG = 60  # characters: a socket in the folder would have too long a name
_LONGEST_OUTPUT = 600  # characters of what the browser wrote that an error repeats
# The browser talks through 3 and 4; what it prints goes to its log.
_TRAMPOLINE = ("/bin/sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >&2')
_OFF = (
    *("AcceptCHFrame", "AutofillServerCommunication", "DialMediaRouteProvider"),
    *("GlobalMediaControls", "HttpsUpgrades", "IsolateOrigins", "LensOverlay", "MediaRouter"),
    *("OptimizationHints", "PaintHolding", "Translate", "WebUIOmniboxAimPopup"),
    *("WebUIOmniboxPopup", "site-per-process"),
)
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-dev-shm-usage",  # a container's is too small
    # nothing of its own goes out
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--disable-breakpad", "--no-pings"),
    *("--disable-client-side-phishing-detection", "--disable-domain-reliability"),
    *("--password-store=basic", "--use-mock-keychain"),
    # what is not looked at runs all the same
    *("--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"),
    *("--disable-background-timer-throttling", "--disable-hang-monitor"),
    # pictures are the same everywhere
    *("--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none"),
    *("--disable-lcd-text", "--enable-unsafe-swiftshader", "--mute-audio"),
    # all frames of a page are reached in its own session, popups are counted and not blocked
    *("--disable-site-isolation-trials", "--disable-popup-blocking"),
    f"--disable-features={','.join(_OFF)}",
)


def find(given: str | None) -> str:
    """The browser's path. given: a path or a name instead of the usual ones. Raises UsageError."""
    if given := given or os.environ.get("OPENLOOP_BROWSER"):
        if found := shutil.which(given):
            return os.path.abspath(found)
        fix = f"correct --browser or OPENLOOP_BROWSER, or {_INSTALL}"
        raise UsageError(f"the browser {given} is not a program", fix=fix)
    for name in NAMES:
        if found := shutil.which(name):
            return os.path.abspath(found)
    fix = f"{_INSTALL}, or name one with --browser PATH or OPENLOOP_BROWSER"
    raise UsageError(f"there is no browser: none of {', '.join(NAMES)} is on PATH", fix=fix)


def is_installed() -> bool:
    """Whether `find` finds one."""
    return any(map(shutil.which, (os.environ.get("OPENLOOP_BROWSER") or "", *NAMES)))


class PlayFolder:
    """A folder for one play, locked for as long as this process lives. The browser's guard knows
    of it before it is made, and removes it at its end."""

    def __init__(self) -> None:
        home = tempfile.gettempdir()
        self.home = home if len(home) < _TOO_LONG else "/tmp"
        temporary_folders.remove_leftovers(self.home)
        name = base64.urlsafe_b64encode(os.urandom(6)).decode()  # long ones do not fit
        self.path = os.path.join(self.home, f"{temporary_folders.BROWSE}{name}")
        self.guarded = GuardedProgram(discard=self.path)
        while True:
            os.mkdir(self.path, 0o700)
            self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            if _is_at(self.path, self.lock):  # or somebody took it for a leftover
                break
            os.close(self.lock)
        for name in ("profile", "downloads", "tmp"):
            os.mkdir(os.path.join(self.path, name))

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def close(self) -> None:
        """Remove the folder, unless a guard has done so."""
        if _is_at(self.path, self.lock):
            dirfd.remove_path(self.path)
        os.close(self.lock)


def _is_at(path: str, folder: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(folder))
    except FileNotFoundError:
        return False


class Chromium:
    """A running browser."""

    def __init__(
        self, program: str, folder: PlayFolder, on_event: Callable[[Message], None]
    ) -> None:
        self._folder = folder
        self._program = folder.guarded
        commands, writing = os.pipe2(os.O_CLOEXEC)
        reading, answers = os.pipe2(os.O_CLOEXEC)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.pipe = Pipe(reading, writing, on_event)
        self.pipe.watch(self._program.socket.fileno(), self._check)
        words = [*_TRAMPOLINE, program, *self._flags(), "about:blank"]
        self._program.start(words, folder.path, self._environment(), [commands, answers, log])

    @property
    def _log(self) -> str:
        return self._folder.file("browser.log")

    def _flags(self) -> list[str]:
        flags = [*_FLAGS, f"--user-data-dir={self._folder.file('profile')}"]
        return [*flags, "--no-sandbox"] if os.geteuid() == 0 else flags

    def _environment(self) -> dict[str, str]:
        """The environment that makes the browser write into the folder of the play only."""
        path = self._folder.path
        return {
            "HOME": path,
            "XDG_CONFIG_HOME": path,
            "XDG_CACHE_HOME": path,
            "TMPDIR": self._folder.file("tmp"),
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "CHROMIUM_FLAGS": "",
        }

    def version(self) -> str:
        """Wait until it answers; its name and version. Raises Gone, NoAnswer."""
        return str(self.pipe.call("Browser.getVersion", within=_START)["product"])

    def _check(self) -> None:
        if self._program.read_messages():
            raise Gone(f"the browser has ended: {self._program.ending}{self._last_words()}")

    def _last_words(self) -> str:
        """The last lines that the browser wrote, if any."""
        with open(self._log, "rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - 4096)
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
        whole = lines[1:] if start else lines  # the first one was cut
        words = [line for line in whole if "dbus" not in line and line.strip()]
        return f" ({' '.join(words[-3:])[-_LONGEST_OUTPUT:]})" if words else ""

    def end(self) -> None:
        """Start ending the browser; `close` waits for it."""
        self._program.end(at_once=True)

    def close(self) -> None:
        self._program.close()
        self.pipe.close()
