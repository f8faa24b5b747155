"""The official client of the protocol lists and calls every tool, in both eras."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import unittest

from mcp_server.test_server import TOOLS, ServerCase
from support import environment, need

SLOW = True  # left out by scripts/run_tests.sh --quick

MODES = ("legacy", "2026-07-28", "auto")
SCRIPT = """
import asyncio, json, os, sys
from mcp import Client, StdioServerParameters

async def speak(root, source, mode, calls):
    words = ["-m", "openloop", "mcp", "--root", root]
    server = StdioServerParameters(
        command=sys.executable, args=words, env={**os.environ, "PYTHONPATH": source}
    )
    async with Client(server, mode=mode) as client:
        print(mode, *[tool.name for tool in (await client.list_tools()).tools])
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
            print(mode, name, result.is_error)

root, source, calls, *modes = sys.argv[1:]
for mode in modes:
    asyncio.run(speak(root, source, mode, json.loads(calls)))
"""


class OfficialClient(ServerCase):
    def test_every_tool_in_both_eras(self) -> None:
        need(importlib.util.find_spec("mcp.client.client"), "the Python package mcp")
        env = environment()
        source = env.pop("PYTHONPATH")
        here = {"workspace": self.name}
        names = [name for name in TOOLS if name not in ("list", "stop")]
        calls = [("list", {}), *((name, here) for name in names), ("stop", here)]
        done = subprocess.run(  # all modes in one process: the package takes long to import
            [sys.executable, "-c", SCRIPT, self.folder, source, json.dumps(calls), *MODES],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        for mode in MODES:
            with self.subTest(mode):
                spoken = [line.split() for line in done.stdout.splitlines()]
                listed, *called = [words[1:] for words in spoken if words[0] == mode]
                self.assertEqual(listed, TOOLS)
                # Nothing runs any more: `stop` is the one that has nothing to do.
                expected = [[name, str(name == "stop")] for name, _ in calls]
                self.assertEqual(called, expected)


if __name__ == "__main__":
    unittest.main()
