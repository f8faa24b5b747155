"""Each way in that is no way in, tried on the real server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any, ClassVar

from openloop.web.server import remove_abandoned
from support import PATIENCE, Case, Nobody, Workspace, environment, run_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick


class Page:
    """A running `openloop ui`, and a client of it that can get everything wrong."""

    def __init__(self, *words: str, port: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openloop", "ui", *words, "--no-open"],
            stdout=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED="1"),
            text=True,
        )
        self.output: list[str] = []
        assert self.process.stdout
        while not self.output or "Ctrl-C" not in self.output[-1]:
            line = self.process.stdout.readline()
            if not line or (not port and "?token=" in line):
                self.output.append(line.strip())
                break
            self.output.append(line.strip())
        text = "\n".join(self.output)
        found = re.search(r"127\.0\.0\.1:(\d+)/\?token=([\w-]+)", text)
        assert found, text
        self.port, self.token = int(found[1]), found[2]

    def ask(
        self, path: str, method: str = "GET", *, token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body). token: "" for none. headers: with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            if token != "":
                given["Authorization"] = f"Bearer {token or self.token}"
            connection.putrequest(
                method, path, skip_host="Host" in given, skip_accept_encoding=True
            )
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def document(self, path: str) -> Any:
        status, _, body = self.ask(f"/api/v1/{path}")
        assert status == 200, (status, body)
        return json.loads(body)

    def request(self, path: str) -> bytes:
        """A whole request for a path of the API."""
        lines = [f"GET /api/v1/{path} HTTP/1.1", "Host: localhost"]
        return "\r\n".join([*lines, f"Authorization: Bearer {self.token}", "", ""]).encode()

    def raw(self, data: bytes) -> bytes:
        """What comes back for bytes that are no proper request."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as link:
            with contextlib.suppress(ConnectionError):
                link.sendall(data)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while part := link.recv(1 << 16):
                    answer += part
            return answer

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()
        return code


class WebCase(Case):
    def page(self, *words: str) -> Page:
        page = Page(*words, "--port", "0")
        self.addCleanup(self._end, page)
        return page

    def _end(self, page: Page) -> None:
        if page.process.poll() is None:
            page.end()

    def ran(self, **config: Any) -> Any:
        """A workspace with one finished run."""
        place = self.workspace("w", **{"commands": {"verify": "echo seen"}, **config})
        place.run(exitcode=None)
        return place

    def step(self, page: Page, position: int = 0) -> str:
        """The address of a step of the only loop."""
        [loop] = page.document("loops")["loops"]
        [found, *_] = page.document(f"loops/{loop['id']}/rounds")["rounds"]
        return f"loops/{loop['id']}/steps/{found['steps'][position]['id']}"


class Asked(WebCase):
    """Requests to one server, which nothing here changes."""

    place: ClassVar[Workspace]
    web: ClassVar[Page]

    @classmethod
    def setUpClass(cls) -> None:
        folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-test-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.place = Workspace(folder, {"commands": {"verify": "echo seen"}})
        cls.place.run()
        cls.web = Page(folder, "--port", "0")
        cls.addClassCleanup(cls.web.end)

    def status(self, path: str, method: str = "GET", **how: Any) -> int:
        return self.web.ask(path, method, **how)[0]

    def test_the_token_is_needed_and_becomes_a_cookie(self) -> None:
        self.assertEqual(self.status("/", token=""), 403)
        self.assertEqual(self.status("/api/v1/loops", token=""), 403)
        self.assertEqual(self.status("/api/v1/loops", token="of-another-start"), 403)
        self.assertEqual(self.status("/?token=of-another-start", token=""), 403)
        code, headers, _ = self.web.ask(f"/?token={self.web.token}", token="")
        self.assertEqual((code, headers["Location"]), (303, "/"))
        cookie = headers["Set-Cookie"]
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        kept = cookie.partition(";")[0]
        self.assertEqual(self.status("/", token="", Cookie=kept), 200)
        self.assertEqual(self.status("/", token="", Cookie=kept[:-1] + "~"), 403)
        self.assertEqual(self.status("/", token="", Cookie="\x7f=;;=;"), 403)

    def test_other_hosts_sites_and_origins(self) -> None:
        for headers in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{self.web.port}"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": ""},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{self.web.port + 1}"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ):
            for method, path in (("GET", "/api/v1/loops"), ("POST", "/api/v1/loops"), ("GET", "/")):
                with self.subTest(headers=headers, path=path):
                    self.assertEqual(self.status(path, method, **headers), 403)
        local = ("localhost", f"localhost:{self.web.port}", "[::1]:9", "127.0.0.1:9000")
        for host in local:  # the last ones through `ssh -L`
            self.assertEqual(self.status("/api/v1/loops", Host=host), 200)
        answer = self.web.raw(
            b"GET /api/v1/loops HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"
        )
        self.assertIn(b" 403 ", answer)

    def test_every_answer_carries_the_headers(self) -> None:
        for path in (
            "/",
            "/nothing",
            "/api/v1/loops",
            "/static/app.js",
            f"/?token={self.web.token}",
        ):
            with self.subTest(path):
                _, headers, _ = self.web.ask(path)
                self.assertTrue(headers["Content-Security-Policy"].startswith("default-src 'self'"))
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["X-Frame-Options"], "DENY")
                self.assertFalse([name for name in headers if name.startswith("Access-Control")])

    def test_traversal_in_every_parameter(self) -> None:
        """Encoded, doubly encoded, with NUL, absolute: nothing outside of the record is served."""
        step = self.step(self.web)
        loop = step.split("/")[1]
        evil = (
            *("../../../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd"),
            *("%252e%252e%252f", "%00", "x%0d%0aSet-Cookie:a=b", "openloop.json"),
        )
        for word in evil:
            for path in (
                f"/static/{word}",
                f"/{word}",
                f"/api/v1/loops/{word}",
                f"/api/v1/loops/{loop}/steps/{word}/log",
                f"/api/v1/{step}/attachments/{word}",
                f"/api/v1/loops/{loop}/knowledge?name={word}",
                f"/api/v1/{step}/log?offset={word}",
                f"/api/v1/{step}/log?length={word}",
                f"/api/v1/loops/{loop}/rounds?before={word}",
            ):
                with self.subTest(path):
                    code, headers, body = self.web.ask(path)
                    self.assertIn(code, (400, 404))
                    self.assertNotIn(b"root:", body)
                    self.assertNotIn("Set-Cookie", headers)

    def test_a_step_is_found_by_its_own_place_only(self) -> None:
        step = self.step(self.web)
        prefix, _, place = step.rpartition("/")
        for offset in (1, int(place) + 1, 10**14, 0):
            with self.subTest(offset):
                code, _, _ = self.web.ask(f"/api/v1/{prefix}/{offset}/log")
                self.assertEqual(code, 404)

    def test_bodies_and_methods(self) -> None:
        self.assertEqual(self.status("/api/v1/loops", Content_Length="1000000000"), 413)
        self.assertEqual(self.status("/api/v1/loops", Transfer_Encoding="chunked"), 413)
        self.assertEqual(self.status("/api/v1/loops", "PUT"), 501)
        self.assertEqual(self.status("/api/v1/loops", "POST"), 404)
        self.assertEqual(self.status("/" + "a" * 5000), 414)
        many = "&".join(f"a{number}=1" for number in range(30))
        self.assertEqual(self.status(f"/api/v1/loops?{many}"), 400)
        wait = b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n"
        self.assertNotIn(b" 100 ", self.web.raw(wait))
        half = self.web.request("loops").replace(b"Host", b"no colon\r\nHost")
        self.assertNotIn(b" 200 ", self.web.raw(half))

    def test_garbage_and_pipelining(self) -> None:
        good = self.web.request("loops")
        answer = self.web.raw(good * 3)
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 1)
        for garbage in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            with self.subTest(garbage[:20]):
                answer = self.web.raw(garbage)
                self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0])
                self.assertIn(b"Content-Security-Policy: default-src 'self'", answer)
        self.assertEqual(self.status("/api/v1/loops"), 200)

    def test_half_open_connections_keep_nobody_out(self) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                link = stack.enter_context(contextlib.closing(socket.socket()))
                link.settimeout(PATIENCE)
                link.connect(("127.0.0.1", self.web.port))
                with contextlib.suppress(ConnectionError):
                    link.sendall(b"GET / HT")
            began = time.monotonic()
            self.assertEqual(self.status("/api/v1/loops"), 200)
            self.assertLess(time.monotonic() - began, 5)
        with open(f"/proc/{self.web.process.pid}/status", encoding="ascii") as file:
            threads = int(re.search(r"Threads:\s+(\d+)", file.read())[1])  # type: ignore[index]
        self.assertLess(threads, 100)

    def test_the_workspace_is_not_written(self) -> None:
        def facts() -> dict[str, float]:
            return {
                os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
                for folder, _, names in os.walk(self.place.path)
                for name in names
            }

        before = facts()
        step = self.step(self.web)
        loop = step.split("/steps")[0]
        for path in (loop, f"{loop}/rounds", f"{step}/log", f"{step}/search?q=seen"):
            self.web.document(path)
        self.assertEqual(self.web.ask(f"/api/v1/{loop}/audit", "POST")[0], 202)
        wait_until(lambda: self.web.document(loop)["audit"].get("intact"), "the audit")
        self.assertEqual(facts(), before)


class Changed(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.ran()
        self.web = self.page(self.folder)

    def test_planted_links_and_pipes_are_not_opened(self) -> None:
        log = self.place.file("logs/round-0001-verify.log")
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret")
        step = self.step(self.web)
        knowledge = self.place.file("knowledge/note.md")
        os.makedirs(os.path.dirname(knowledge), exist_ok=True)
        for plant in (os.symlink, lambda _, name: os.mkfifo(name)):
            for path, address in (
                (log, f"/api/v1/{step}/log"),
                (log, f"/api/v1/{step}/download"),
                (knowledge, f"/api/v1/{step.rpartition('/steps')[0]}/knowledge?name=note.md"),
            ):
                with self.subTest(path=path), contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                plant(secret, path)
                code, _, body = self.web.ask(address)
                self.assertEqual(code, 404)
                self.assertNotIn(b"secret", body)
                os.unlink(path)
        os.rename(os.path.dirname(log), f"{self.folder}/logs")
        os.symlink(f"{self.folder}/logs", os.path.dirname(log))
        os.rename(os.path.dirname(knowledge), f"{self.folder}/names")
        os.symlink("/etc", os.path.dirname(knowledge))
        self.assertEqual(self.web.ask(f"/api/v1/{step}/log")[0], 404)
        self.assertEqual(self.web.document(step.partition("/steps")[0])["knowledge"], [])

    def test_a_slow_reader_costs_nobody_anything(self) -> None:
        path = self.place.file("logs/round-0001-verify.log")
        with open(path, "wb") as file:
            file.write(b"line\n" * (1 << 22))
        step = self.step(self.web)
        links = []
        for _ in range(10):
            link = socket.create_connection(("127.0.0.1", self.web.port), PATIENCE)
            self.addCleanup(link.close)
            link.sendall(self.web.request(f"{step}/download"))
            links.append(link)
        began = time.monotonic()
        self.assertEqual(self.web.ask("/api/v1/loops")[0], 200)
        self.assertLess(time.monotonic() - began, 5)


class Content(WebCase):
    def test_hostile_content_is_text(self) -> None:
        """What is shown comes as JSON; scripts in it reach the page as strings alone."""
        evil = "<script>alert(1)</script>\x1b[31m"
        place = self.ran(
            mission=evil,
            commands={"verify": "printf '<img src=x onerror=alert(1)>\\n'; exit 1"},
            limits={"max_consecutive_failures": 1},
        )
        page = self.page(place.path)
        [loop] = page.document("loops")["loops"]
        self.assertEqual(loop["mission"], evil)
        for path in ("/api/v1/loops", f"/api/v1/{self.step(page)}/log"):
            _, headers, _ = page.ask(path)
            self.assertEqual(headers["Content-Type"], "application/json")

    def test_private_logs_are_served_only_when_asked_for(self) -> None:
        place = self.ran(commands={"verify": {"run": "echo secret", "private": True}})
        hidden, shown = self.page(place.path), self.page(place.path, "--private")
        for path in ("log", "download", "search?q=s"):
            code, _, body = hidden.ask(f"/api/v1/{self.step(hidden)}/{path}")
            self.assertEqual(code, 403)
            self.assertNotIn(b"secret", body)
        self.assertIn("secret", shown.document(f"{self.step(shown)}/log")["text"])


class Sockets(WebCase):
    def test_a_unix_socket_is_its_owners(self) -> None:
        place = self.ran()
        path = os.path.join(self.folder, "s")
        page = Page(place.path, "--socket", path, port=False)
        self.addCleanup(self._end, page)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

        def over(request: str) -> bytes:
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(path)
                link.sendall(request.encode())
                answer = b""
                while part := link.recv(1 << 16):
                    answer += part
                return answer

        head = "GET /api/v1/loops HTTP/1.1\r\nHost: localhost\r\n"
        self.assertIn(b" 403 ", over(f"{head}\r\n"))
        self.assertIn(b" 200 ", over(f"{head}Authorization: Bearer {page.token}\r\n\r\n"))
        self.assertEqual(page.end(), 0)
        self.assertFalse(os.path.exists(path))

    def test_every_signal_removes_the_socket(self) -> None:
        place = self.ran()
        path = os.path.join(self.folder, "s")
        for number in (signal.SIGTERM, signal.SIGHUP):
            page = Page(place.path, "--socket", path, port=False)
            self.addCleanup(self._end, page)
            page.process.send_signal(number)
            self.assertEqual(page.process.wait(PATIENCE), 0)
            self.assertFalse(os.path.exists(path))

    def test_a_dead_socket_is_replaced_and_a_live_one_is_not(self) -> None:
        place = self.ran()
        path = os.path.join(self.folder, "s")
        killed = Page(place.path, "--socket", path, port=False)
        killed.process.kill()
        killed.process.communicate()
        page = Page(place.path, "--socket", path, port=False)
        self.addCleanup(self._end, page)
        done = run_openloop("ui", "--no-open", place.path, "--socket", path, exitcode=2)
        self.assertIn("another server listens there", done.err)
        self.assertTrue(os.path.exists(path))

    def test_a_socket_that_another_server_replaces_meanwhile_stays(self) -> None:
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
            other.bind(path)
            other.listen()
            remove_abandoned(path)  # by a server that saw a dead one there a moment ago
            client.connect(path)
        remove_abandoned(path)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_socket_of_another_server_is_not_removed_at_the_end(self) -> None:
        place = self.ran()
        path = os.path.join(self.folder, "s")
        page = Page(place.path, "--socket", path, port=False)
        self.addCleanup(self._end, page)
        os.unlink(path)
        other = Page(place.path, "--socket", path, port=False)
        self.addCleanup(self._end, other)
        self.assertEqual(page.end(), 0)
        self.assertTrue(os.path.exists(path))

    def test_what_cannot_be_listened_on_is_never_removed(self) -> None:
        long = os.path.join(self.folder, "s" * 200)
        for path, text in ((self.folder, "name a path that is free"), (long, "a short one")):
            done = run_openloop("ui", "--no-open", "--socket", path, exitcode=2)
            self.assertIn(text, done.err)
            self.assertNotIn("None", done.err)
        done = run_openloop("ui", "--no-open", "--socket", "s", "--port", "0", exitcode=2)
        self.assertIn("--port does not go with --socket", done.err)
        done = run_openloop("ui", "--no-open", __file__, exitcode=2)
        self.assertIn("is no workspace, and no fleet that has run", done.err)

    def test_another_user_cannot_open_the_socket(self) -> None:
        nobody = Nobody(self)
        os.chmod(self.folder, 0o755)
        place = self.ran()
        path = os.path.join(self.folder, "s")
        page = Page(place.path, "--socket", path, port=False)
        self.addCleanup(self._end, page)
        probe = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
        done = nobody.run_python(probe)
        self.assertIn("PermissionError", done.stderr)

    def test_a_taken_port_is_reported_and_the_next_one_used(self) -> None:
        place = self.ran()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            page = Page(place.path, "--port", str(port))
            self.addCleanup(self._end, page)
            self.assertNotEqual(page.port, port)
            self.assertIn(f"port {port} is taken", page.output)

    def test_ctrl_c_ends_it_at_once_and_a_wrong_path_is_usage(self) -> None:
        page = self.page(self.ran().path)
        with socket.create_connection(("127.0.0.1", page.port), PATIENCE):
            began = time.monotonic()
            self.assertEqual(page.end(), 0)
            self.assertLess(time.monotonic() - began, 3)
        done = subprocess.run(
            [sys.executable, "-m", "openloop", "ui", os.path.join(self.folder, "no")],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    unittest.main()
