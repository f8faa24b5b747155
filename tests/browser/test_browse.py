"""`openloop browse`: the program as a user and a gate call it, and what it leaves: nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import unittest
from typing import Any

from browser.pages import Site, program
from openloop.browser import output
from openloop.browser.output import OutputFolder
from openloop.fs import temporary_folders
from openloop.process import tree
from support import Case, Done, Workspace, environment, run_openloop, start_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

PAGE = """<!doctype html><link rel=icon href='data:,'><title>Game</title>
<button onclick="out.textContent='You won'">Start</button><p id=out></p>"""
SERVER = f"exec {shlex.quote(sys.executable)} -m http.server {{port}} --bind 127.0.0.1"
SILENT = (
    "import socket, sys, time; s = socket.create_server(('', int(sys.argv[1]))); time.sleep(99)"
)
SHOWN = """
const canvas = document.createElement("canvas").getContext("2d");
return [...document.images].slice(1).map((image) => {
  canvas.drawImage(image, 0, 0, 300, 150);
  const [red, lime, blue] = canvas.getImageData(9, 140, 1, 1).data;
  return Object.entries({ red, lime, blue }).sort((a, b) => b[1] - a[1])[0][0];
});
"""
WAIT = {"expect": {"text": "never"}, "timeout_seconds": 60}


class Browse(Case):
    def setUp(self) -> None:
        super().setUp()
        self.program = program()
        self.site = os.path.join(self.folder, "site")
        self.tmp = os.path.join(self.folder, "t")
        os.mkdir(self.site)
        os.mkdir(self.tmp)
        with open(os.path.join(self.site, "index.html"), "w", encoding="utf-8") as file:
            file.write(PAGE)
        self.env = environment(TMPDIR=self.tmp)

    def play(self, *steps: dict[str, Any], **more: Any) -> str:
        path = os.path.join(self.folder, "play.json")
        document = {
            "version": 1,
            "serve": {"run": SERVER},
            "steps": [{"open": "/"}, *steps],
            **more,
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def browse(self, *words: str, exitcode: int = 0, **env: str) -> Done:
        return run_openloop(
            "browse", *words, exitcode=exitcode, cwd=self.site, env={**self.env, **env}
        )

    def out(self, name: str) -> bytes:
        with open(os.path.join(self.site, "openloop-browse", name), "rb") as file:
            return file.read()

    def assert_nothing_left(self) -> None:
        wait_until(lambda: not os.listdir(self.tmp), f"{self.tmp} to be empty")
        wait_until(lambda: not self.processes(), "every process to be gone")

    def processes(self) -> list[int]:
        """What was started with our TMPDIR."""
        found = []
        for pid, _, _ in tree.alive():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if self.tmp.encode() in file.read():
                        found.append(pid)
            except OSError:
                continue
        return found


class Plays(Browse):
    def test_a_play_that_passes(self) -> None:
        play = self.play(
            {"click": "role=button[name=Start]"},
            {"expect": {"text": "You won"}},
            {"measure": "answer", "script": "return 12.5"},
            {"screenshot": "end"},
        )
        done = self.browse(play)
        self.assertIn("passed    2  click role=button[name=Start]  0.", done.out)
        self.assertIn("\nanswer=12.5\n", done.out)
        self.assertIn("5 of 5 steps passed", done.out)
        self.assertEqual(self.out("end.png")[:4], b"\x89PNG")
        film = self.out("play.html")
        self.assertNotIn(b"http:", film.replace(b"http-equiv", b""))
        self.assertGreaterEqual(film.count(b'src="data:image/'), 4)
        requests = json.loads(self.out("requests.json"))
        self.assertEqual([each["status"] for each in requests], [200])
        self.assertIn(b"GET /", self.out("server.log"))
        self.assert_nothing_left()

    def test_a_play_that_fails(self) -> None:
        play = self.play({"expect": {"text": "You won"}, "timeout_seconds": 0.2}, {"press": "a"})
        done = self.browse(play, "--out", os.path.join(self.folder, "o"), exitcode=1)
        self.assertIn('expected: within 0.2 s text "You won"', done.out)
        self.assertIn('seen: a page that says "Start"', done.out)
        self.assertIn("picture: failure.png", done.out)
        last = done.out.splitlines()[-1]
        self.assertTrue(last.startswith('1 of 3 steps passed; expect text "You won": not seen: a '))
        self.assertIn("failure.png", os.listdir(os.path.join(self.folder, "o")))

    def test_each_picture_of_the_film_shows_its_own_step(self) -> None:
        paint = "document.body.style.background = '{}'; return true"
        colours = ("red", "lime", "blue", "red", "lime", "blue")
        self.browse(self.play(*({"script": paint.format(colour)} for colour in colours)))
        film = self.out("play.html").decode()
        with open(os.path.join(self.site, "film.html"), "w", encoding="utf-8") as file:
            file.write(film.replace("Content-Security-Policy", "X"))
        self.browse(self.play({"open": "/film.html"}, {"script": SHOWN, "equals": list(colours)}))

    def test_a_url_alone_and_json(self) -> None:
        url = f"file://{self.site}/index.html"
        done = self.browse(url, "--json", OPENLOOP_ATTACHMENTS=os.path.join(self.folder, "a"))
        answer = json.loads(done.out)
        self.assertTrue(answer["passed"])
        self.assertEqual([step["step"][:5] for step in answer["steps"]], ["open ", "scree"])
        self.assertIn("page.png", os.listdir(os.path.join(self.folder, "a")))

    def test_what_comes_after_the_last_step_counts(self) -> None:
        play = self.play({"script": "setTimeout(() => fetch('/none'), 0)"})
        done = self.browse(play, exitcode=1)
        self.assertRegex(done.out, "failed    (2  script|3  end of the play)")
        self.assertIn("/none: 404", done.out)


class Usage(Browse):
    def test_every_mistake_is_reported_at_once(self) -> None:
        play = self.play({"clik": "a"}, {"click": "xpath=//a"}, {"press": "Entr"}, bas="x")
        done = self.browse(play, exitcode=2)
        for text in ("bas is not", "key is base", "steps[1].clik", "xpath=", "nearest is Enter"):
            self.assertIn(text, done.err)

    def test_a_play_that_is_not_there(self) -> None:
        self.assertIn("No such file", self.browse("none.json", exitcode=2).err)

    def test_no_browser(self) -> None:
        done = self.browse(self.play(), exitcode=2, PATH="/nowhere")
        self.assertIn("apt install chromium", done.err)
        done = self.browse(self.play(), "--browser", "/bin/none", exitcode=2)
        self.assertIn("apt install chromium", done.err)
        done = self.browse(self.play(), exitcode=2, OPENLOOP_BROWSER="/bin/false")
        self.assertIn("the browser does not start", done.err)
        self.assert_nothing_left()

    def test_an_address_that_none_can_be_made_of(self) -> None:
        for ready, base in (("/", "http://["), ("http://[", "http://127.0.0.1:{port}")):
            play = self.play(serve={"run": "sleep 9", "ready": ready}, base=base)
            done = self.browse(play, exitcode=2)
            self.assertIn("is no address below http://", done.err)
            self.assertIn("fix: correct base or serve.ready", done.err)
        self.assert_nothing_left()

    def test_another_server_on_its_port(self) -> None:
        other = Site()
        self.addCleanup(other.close)
        other.pages["/"] = "other"
        done = self.browse(self.play(base=other.url), exitcode=2)
        self.assertIn("another program answers where serve would", done.err)
        self.assert_nothing_left()

    def test_another_play_in_the_same_folder(self) -> None:
        OutputFolder(output.folder(os.path.join(self.site, "openloop-browse")))
        done = self.browse(self.play(), exitcode=2)
        self.assertIn("another play leaves its pictures there", done.err)
        self.assertEqual(os.listdir(os.path.join(self.site, "openloop-browse")), [])

    def test_a_server_that_is_never_ready(self) -> None:
        serve = {"run": "sleep 99", "timeout_seconds": 0.3}
        done = self.browse(self.play(serve=serve), exitcode=2)
        self.assertIn("not ready within 0.3 s: nothing listened", done.err)
        serve = {"run": "echo no such module; exit 3"}
        done = self.browse(self.play(serve=serve), exitcode=2)
        self.assertIn("the server has ended: exit code 3; its last lines: no such module", done.err)
        serve = {"run": f"exec {shlex.quote(sys.executable)} -c {shlex.quote(SILENT)} {{port}}"}
        done = self.browse(self.play(serve={**serve, "timeout_seconds": 1}), exitcode=2)
        self.assertIn("did not answer with HTTP", done.err)
        serve = {"run": SERVER, "ready": "/none", "timeout_seconds": 1}
        self.assertIn(
            "its last answer was 404", self.browse(self.play(serve=serve), exitcode=2).err
        )
        self.assert_nothing_left()


class Ends(Browse):
    """Whoever is killed, nothing is left."""

    def started(self) -> subprocess.Popen[str]:
        process = start_openloop("browse", self.play(WAIT), cwd=self.site, env=self.env)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        assert process.stdout
        self.assertIn("passed    1", process.stdout.readline())
        return process

    def children(self, process: subprocess.Popen[str], word: bytes) -> list[int]:
        found = []
        for pid in tree.descendants(process.pid):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word in file.read():
                    found.append(pid)
        return sorted(found)

    def browser(self, process: subprocess.Popen[str]) -> int:
        """The one whose processes say of what type they are."""
        everyone = self.children(process, b"--remote-debugging-pipe")
        [browser] = set(everyone) - set(self.children(process, b"--type="))
        return browser

    def test_a_signal_ends_it(self) -> None:
        process = self.started()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 143)
        self.assert_nothing_left()

    def test_it_is_killed(self) -> None:
        self.started().kill()
        self.assert_nothing_left()

    def test_its_guards_are_killed(self) -> None:
        process = self.started()
        for pid in self.children(process, b"openloop-guard"):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(process.wait(20), 1)
        self.assert_nothing_left()

    def test_the_browser_is_killed(self) -> None:
        process = self.started()
        os.kill(self.browser(process), signal.SIGKILL)
        out, _ = process.communicate(timeout=20)
        self.assertIn("the browser has ended: SIGKILL", out)
        self.assertEqual(process.returncode, 1)
        self.assert_nothing_left()

    def test_the_server_ends(self) -> None:
        process = self.started()
        os.kill(self.children(process, b"http.server")[-1], signal.SIGKILL)
        out, _ = process.communicate(timeout=20)
        self.assertIn("the server has ended: SIGKILL", out)
        self.assertEqual(process.returncode, 1)
        self.assert_nothing_left()

    def test_what_a_killed_play_left_is_removed_by_the_next(self) -> None:
        left = os.path.join(self.tmp, "openloop-browse-left")
        os.makedirs(os.path.join(left, "profile"))
        temporary_folders.remove_leftovers(self.tmp)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_the_runner_is_killed_with_and_without_its_guard(self) -> None:
        for both in (False, True):
            with self.subTest(both=both):
                self.kill_runner(both)

    def kill_runner(self, both: bool) -> None:
        folder = os.path.join(self.folder, f"run-{both}")
        os.mkdir(folder)
        workspace = Workspace(
            folder,
            {
                "project_root": self.site,
                "commands": {
                    "verify": "true",
                    "play": f"{sys.executable} -m openloop browse {self.play(WAIT)}",
                },
            },
        )
        process = workspace.start(env=self.env)
        self.addCleanup(process.communicate)
        wait_until(lambda: "passed    1" in _log(workspace), "the play to begin")
        guards = self.children(process, b"openloop-guard") if both else []
        for pid in guards[:1]:
            os.kill(pid, signal.SIGSTOP)  # or it could act before it dies
        for pid in [process.pid, *guards[:1]]:
            os.kill(pid, signal.SIGKILL)
        self.assert_nothing_left()


def _log(workspace: Workspace) -> str:
    name = "logs/round-0001-play.log"
    return workspace.read(name) if workspace.exists(name) else ""


if __name__ == "__main__":
    unittest.main()
