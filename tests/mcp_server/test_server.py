"""`openloop mcp`, spoken to over its pipes in both eras of the protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from typing import Any

from openloop.views import discovery
from support import PATIENCE, Case, Workspace, environment, lives, wait_until

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOOLS = ["list", "start", "status", "wait", "logs", "report", "stop", "doctor"]


class Client:
    """A client of one server; `modern` says which era it speaks."""

    def __init__(self, root: str, *, modern: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openloop", "mcp", "--root", root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        self.modern = modern
        self._number = 0
        self.notices: list[dict[str, Any]] = []

    def send(self, text: str | bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> int:
        """Send a request and return its id."""
        self._number += 1
        merged = {**(MODERN if self.modern else {}), **meta}
        params = {**(params or {}), **({"_meta": merged} if merged else {})}
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self.send(json.dumps(message) + "\n")
        return self._number

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        return message

    def request(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> Any:
        """The whole answer to a request; notifications on the way are kept."""
        number = self.ask(method, params, **meta)
        while (message := self.read()).get("id") != number:
            self.notices.append(message)
        return message

    def call(self, tool: str, **arguments: Any) -> Any:
        """The result of a tool."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        return answer["result"]

    def close(self) -> int:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()
        return self.process.wait(PATIENCE)


class ServerCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace(commands={"verify": "true"})

    def client(self, *, modern: bool = True) -> Client:
        client = Client(self.folder, modern=modern)
        self.addCleanup(self._end, client)
        return client

    def _end(self, client: Client) -> None:
        client.process.kill()
        if client.process.poll() is None or not client.process.stdin.closed:  # type: ignore[union-attr]
            client.close()

    @property
    def name(self) -> str:
        return os.path.relpath(self.place.path, self.folder)

    def slow(self) -> Workspace:
        """A workspace whose verify runs until it is ended."""
        self.place.configure({"commands": {"verify": "sleep 600"}})
        return self.place

    def running(self, client: Client) -> int:
        """Start the loop and return the runner's PID once its command runs."""
        self.assertFalse(client.call("start", workspace=self.name)["isError"])
        wait_until(lambda: self.place.heartbeat["pid"], "the command")
        runner: int = self.place.heartbeat["runner_pid"]
        return runner


class Eras(ServerCase):
    def test_without_a_handshake(self) -> None:
        client = self.client()
        found = client.request("server/discover")["result"]
        self.assertEqual(found["supportedVersions"], ["2026-07-28", "2025-11-25"])
        for result in (found, client.request("tools/list")["result"]):
            self.assertEqual(
                (result["resultType"], result["cacheScope"], type(result["ttlMs"])),
                ("complete", "public", int),
            )
        called = client.call("list")
        self.assertEqual((called["resultType"], called["isError"]), ("complete", False))
        server = called["_meta"]["io.modelcontextprotocol/serverInfo"]
        self.assertTrue(server["name"] and server["version"])

    def test_with_initialize(self) -> None:
        client = self.client(modern=False)
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
        found = client.request("initialize", hello)["result"]
        self.assertEqual(found["protocolVersion"], "2025-11-25")
        client.send('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        self.assertEqual(client.request("ping")["result"], {})
        self.assertEqual(
            [t["name"] for t in client.request("tools/list")["result"]["tools"]], TOOLS
        )
        self.assertNotIn("resultType", client.call("list"))

    def test_other_versions_and_no_version(self) -> None:
        client = self.client()
        meta = {"io.modelcontextprotocol/protocolVersion": "1900-01-01"}
        error = client.request("tools/list", **meta)["error"]
        self.assertEqual(error["code"], -32022)
        self.assertEqual(error["data"]["requested"], "1900-01-01")
        client.modern = False
        self.assertEqual(client.request("tools/list")["error"]["code"], -32602)
        self.assertEqual(client.request("ping")["error"]["code"], -32602)

    def test_the_list_of_tools_is_short_and_says_what_changes_something(self) -> None:
        result = self.client().request("tools/list")["result"]
        self.assertEqual([tool["name"] for tool in result["tools"]], TOOLS)
        self.assertLess(len(json.dumps(result["tools"])), 6000)
        hints = {tool["name"]: tool["annotations"] for tool in result["tools"]}
        changing = {name for name, hint in hints.items() if not hint["readOnlyHint"]}
        self.assertEqual(changing, {"start", "stop"})
        self.assertTrue(hints["stop"]["destructiveHint"])


class Hostile(ServerCase):
    def test_garbage_is_answered_and_the_next_request_too(self) -> None:
        client = self.client()
        for garbage, code in (
            (b"\xff\xfe\n", -32700),
            (b"[1, 2]\n", -32700),
            (b'{"jsonrpc": "2.0", "id": null, "method": "tools/list"}\n', -32600),
            (b'{"id": 7, "method": 3}\n', -32600),
            (b'{"id": 7, "method": "tools/list", "params": []}\n', -32602),
            (b"[" * 5000 + b"\n", -32700),
            (b'{"id": NaN, "method": "ping"}\n', -32700),
            (b'{"id": 1e999, "method": "ping"}\n', -32700),
            (b'{"id": true, "method": "ping"}\n', -32600),
        ):
            with self.subTest(garbage[:30]):
                client.send(garbage)
                self.assertEqual(client.read()["error"]["code"], code)
        client.send(b"\n\n")
        self.assertIn("tools", client.request("tools/list")["result"])
        self.assertEqual(client.request("no/such")["error"]["code"], -32601)
        for name in ("rm", {}, [], None):
            unknown = client.request("tools/call", {"name": name})
            self.assertEqual(unknown["error"]["code"], -32602)

    def test_a_line_without_an_end_is_not_kept(self) -> None:
        client = self.client()
        block = b"x" * (1 << 20)
        for _ in range(1024):
            client.send(block)
        with open(f"/proc/{client.process.pid}/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        self.assertLess(resident, 48 << 20)
        client.send(b"\n")
        self.assertEqual(client.read()["error"]["code"], -32700)
        self.assertIn("tools", client.request("tools/list")["result"])

    def test_it_ends_with_its_input_though_nobody_reads(self) -> None:
        client = self.client()
        for _ in range(200):  # more than a pipe holds
            client.ask("tools/list")
        assert client.process.stdin
        client.process.stdin.close()
        self.addCleanup(client.process.stdout.close)  # type: ignore[union-attr]
        # The writer stands still in the pipe; a client that is gone closes it.
        os.set_blocking(client.process.stdout.fileno(), True)  # type: ignore[union-attr]
        while client.process.stdout.read(1 << 16):  # type: ignore[union-attr]
            pass
        self.assertEqual(client.process.wait(PATIENCE), 0)

    def test_workspaces_elsewhere_and_bad_arguments(self) -> None:
        client = self.client()
        outside = self.workspace("outside", commands={"verify": "true"})
        root = os.path.join(self.folder, "root")
        os.mkdir(root)
        os.symlink(outside.path, os.path.join(root, "link"))
        inner = Client(root)
        self.addCleanup(self._end, inner)
        for path in ("link", outside.path, "../outside/ws", "", ".", 3, None, "\0", "\ud800"):
            with self.subTest(path=path):
                refused = inner.call("status", workspace=path)
                self.assertTrue(refused["isError"])
                self.assertTrue(refused["content"][0]["text"].startswith("error: "))
        for tool, arguments in (
            ("start", {"max_rounds": 0}),
            ("start", {"max_rounds": "1"}),
            ("wait", {"until": "never"}),
            ("wait", {"seconds": True}),
            ("logs", {"offset": -1}),
            ("logs", {"round": "1"}),
            ("logs", {"round": True}),
            ("logs", {"step": "no such step"}),
            ("logs", {"step": ["verify"]}),
            ("status", {"verify": "true"}),
            ("list", {"root": "/"}),
        ):
            with self.subTest(tool=tool, arguments=arguments):
                where = {} if tool == "list" else {"workspace": self.name}
                refused = client.call(tool, **where, **arguments)
                self.assertTrue(refused["isError"])
                words = refused["content"][0]["text"]
                self.assertRegex(words, "must be|unknown arguments")


class Runs(ServerCase):
    def test_start_wait_logs_report_doctor(self) -> None:
        self.place.configure({"commands": {"verify": "echo seen; echo done"}})
        client = self.client()
        loops = client.call("list")["structuredContent"]["loops"]
        self.assertEqual(loops, [])  # nothing has been recorded in it
        self.assertFalse(client.call("start", workspace=self.name)["isError"])
        ended = client.call("wait", workspace=self.name)["structuredContent"]
        self.assertEqual((ended["status"], ended["round"]), ("complete", 1))
        [loop] = client.call("list")["structuredContent"]["loops"]
        self.assertEqual((loop["workspace"], loop["status"]), (self.name, "complete"))
        log = client.call("logs", workspace=self.name, step="verify")["content"][0]["text"]
        self.assertTrue(log.endswith("bytes 0 to 10 of 10\nseen\ndone\n"), log)
        rest = client.call("logs", workspace=self.name, offset=5)["content"][0]["text"]
        self.assertTrue(rest.endswith("\ndone\n"), rest)
        past = client.call("logs", workspace=self.name, offset=10**40)["content"][0]["text"]
        self.assertIn("bytes 10 to 10 of 10", past)
        self.assertTrue(client.call("logs", workspace=self.name, round=9)["isError"])
        report = client.call("report", workspace=self.name)["content"][0]["text"]
        self.assertIn("complete", report)
        examined = client.call("doctor", workspace=self.name)["structuredContent"]
        self.assertTrue(examined["findings"])

    def test_a_long_log_comes_in_whole_lines(self) -> None:
        line = "\u00e9" * 49
        self.place.configure({"commands": {"verify": f"yes {line} | head -n 300"}})
        self.place.run()
        client, text, offset = self.client(), "", 0
        while offset is not None:
            shown = client.call("logs", workspace=self.name, offset=offset)["content"][0]["text"]
            head, _, part = shown.partition("\n")
            text += part
            offset = int(head.rpartition("offset=")[2]) if "offset=" in head else None
        self.assertEqual(text, f"{line}\n" * 300)

    def test_a_run_that_cannot_start_says_why(self) -> None:
        self.place.configure({"commands": {}})
        result = self.client().call("start", workspace=self.name)
        self.assertTrue(result["isError"])
        self.assertIn("verify", result["content"][0]["text"])

    def test_a_run_that_is_over_at_once_is_no_error(self) -> None:
        self.place.configure({"commands": {"verify": "false"}})
        result = self.client().call("start", workspace=self.name, max_rounds=1)
        self.assertFalse(result["isError"])
        ended = self.client().call("wait", workspace=self.name)["structuredContent"]
        self.assertEqual(ended["status"], "exhausted")

    def test_a_run_outlives_the_server(self) -> None:
        self.slow()
        client = self.client()
        runner = self.running(client)
        self.assertEqual(client.close(), 0)
        self.assertTrue(lives(runner))
        other = self.client()
        self._stopped(other, runner)

    def _stopped(self, client: Client, runner: int) -> None:
        asked = client.call("stop", workspace=self.name)["structuredContent"]
        self.assertEqual(asked["would_end"]["pid"], runner)
        self.assertTrue(lives(runner))
        wrong = asked["token"][:-1] + ("0" if asked["token"][-1] != "0" else "1")
        self.assertTrue(client.call("stop", workspace=self.name, token=wrong)["isError"])
        done = client.call("stop", workspace=self.name, token=asked["token"])
        self.assertFalse(done["isError"])
        ended = client.call("wait", workspace=self.name)["structuredContent"]
        self.assertEqual(ended["status"], "interrupted")
        self.assert_gone(runner, PATIENCE)
        again = client.call("stop", workspace=self.name, token=asked["token"])
        self.assertTrue(again["isError"])

    def test_two_clients_and_a_token_of_another_server(self) -> None:
        self.slow()
        one, other = self.client(), self.client()
        runner = self.running(one)
        token = other.call("stop", workspace=self.name)["structuredContent"]["token"]
        for wrong in (token, "", 7, "\u00e9.\u00e9", "9" * 5000 + ".x"):
            refused = one.call("stop", workspace=self.name, token=wrong)
            self.assertIn("the token is not of this run", refused["content"][0]["text"])
        self.assertTrue(one.call("start", workspace=self.name)["isError"])  # it is held
        self._stopped(other, runner)

    def test_a_wait_is_bounded_reports_progress_and_can_be_cancelled(self) -> None:
        self.slow()
        client = self.client()
        runner = self.running(client)
        seen = client.call("wait", workspace=self.name, seconds=0.2)["structuredContent"]
        self.assertEqual(seen["status"], "running")
        call = {"name": "wait", "arguments": {"workspace": self.name}}
        number = client.ask("tools/call", call)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
        client.send(json.dumps({**cancel, "params": {"requestId": number}}) + "\n")
        answered = client.request("tools/list")  # and nothing comes for the cancelled one
        self.assertIn("tools", answered["result"])
        self.assertNotIn(number, [notice.get("id") for notice in client.notices])
        waiting = client.ask("tools/call", call, progressToken="p")
        client.send(json.dumps({**cancel, "params": {"requestId": str(waiting)}}) + "\n")
        client.send(json.dumps({**cancel, "params": {"requestId": [waiting]}}) + "\n")
        self._stopped(self.client(), runner)
        while (message := client.read()).get("id") != waiting:
            self.assertEqual(message["params"]["progressToken"], "p")
        self.assertEqual(message["result"]["structuredContent"]["status"], "interrupted")

    def test_a_private_log_is_not_shown(self) -> None:
        self.place.configure({"commands": {"verify": {"run": "echo secret", "private": True}}})
        self.place.run()
        result = self.client().call("logs", workspace=self.name)
        self.assertTrue(result["isError"])
        self.assertNotIn("secret", json.dumps(result))


class Discovery(ServerCase):
    def test_links_are_not_followed_and_deep_trees_end(self) -> None:
        self.place.run()
        project = os.path.join(self.folder, "project")
        os.makedirs(os.path.join(project, ".openloop"))
        os.rename(self.place.path, os.path.join(project, ".openloop", "one"))
        os.symlink("..", os.path.join(project, "loop"))
        os.makedirs(os.path.join(project, *"abcdefghijkl"))
        self.assertEqual(
            discovery.find(project), ([os.path.join(project, ".openloop", "one")], True)
        )


if __name__ == "__main__":
    unittest.main()
