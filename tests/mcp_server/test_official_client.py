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

SCRIPT = """
import asyncio, json, os, sys
from mcp import Client, StdioServerParameters

async def main(root, mode, source):
    words = ["-m", "openloop", "mcp", "--root", root]
    server = StdioServerParameters(
        command=sys.executable, args=words, env={**os.environ, "PYTHONPATH": source}
    )
    async with Client(server, mode=mode) as client:
        print(*[tool.name for tool in (await client.list_tools()).tools])
        for name, arguments in json.loads(sys.argv[4]):
            result = await client.call_tool(name, arguments)
            print(name, result.is_error)

asyncio.run(main(*sys.argv[1:4]))
"""


class OfficialClient(ServerCase):
    def test_every_tool_in_both_eras(self) -> None:
        need(importlib.util.find_spec("mcp.client.client"), "the Python package mcp")
        env = environment()
        source = env.pop("PYTHONPATH")
        here = {"workspace": self.name}
        names = [name for name in TOOLS if name not in ("list", "stop")]
        calls = [("list", {}), *((name, here) for name in names), ("stop", here)]
        for mode in ("legacy", "2026-07-28", "auto"):
            with self.subTest(mode):
                done = subprocess.run(
                    [sys.executable, "-c", SCRIPT, self.folder, mode, source, json.dumps(calls)],
                    env=env,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                listed, *called = done.stdout.splitlines()
                self.assertEqual(listed.split(), TOOLS)
                # Nothing runs any more: `stop` is the one that has nothing to do.
                expected = [f"{name} {name == 'stop'}" for name, _ in calls]
                self.assertEqual(called, expected)


if __name__ == "__main__":
    unittest.main()
