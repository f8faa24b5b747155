"""`init` proposes a play for a project that is, or serves, a web page."""

from __future__ import annotations

import json
import os
import unittest

from openloop.browser.plays import play
from openloop.setup.detection import web_page
from openloop.setup.detection.project_listing import ProjectListing
from support import SRC, Case, environment, run_openloop


class Pages(Case):
    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def found(self) -> web_page.WebPage | None:
        return web_page.detect(ProjectListing.below(self.folder))

    def test_what_serves(self) -> None:
        self.assertIsNone(self.found())
        self.write("docs/index.html", "")
        self.assertIsNone(self.found())
        self.write("index.html", '<link href="//unpkg.com/docsify/themes/vue.css">')
        self.write("package.json", '{"scripts": {"serve": "serve", "start": "serve build"}}')
        self.assertIsNone(self.found())
        self.write("build/index.html", "")
        self.assertEqual(self.served(), "npm run --silent start -- -p {port}")
        self.write("package.json", "{}")
        self.write("public/index.html", "")
        self.assertIn("--directory public", self.served())
        self.write("index.html", "")
        self.assertTrue(self.served().endswith("--bind 127.0.0.1"))
        for script, command in (
            ("vite", "npm run --silent dev -- --port {port}"),
            ("next dev", "npm run --silent dev -- -p {port}"),
            ("react-scripts start", "npm run --silent dev"),
        ):
            self.write("package.json", json.dumps({"scripts": {"dev": script}}))
            self.assertEqual(self.served(), command)
        for broken in ("[]", "{", '{"scripts": 1}', '{"scripts": {"dev": 1}}'):
            self.write("package.json", broken)
            self.assertIn("http.server", self.served())

    def served(self) -> str:
        page = self.found()
        assert page
        play.parse(json.dumps(page.play).encode(), where="play.json")
        return str(page.play["serve"]["run"])

    def test_init_writes_the_play_where_there_is_a_browser(self) -> None:
        self.write("index.html", "<p>hi")
        browser = os.path.join(self.folder, "bin", "chromium")
        self.write("bin/chromium", "#!/bin/sh\n")
        for mode, is_there in ((0o755, True), (0o644, False)):
            with self.subTest(is_there):
                os.chmod(browser, mode)
                env = environment(PATH=os.path.dirname(browser), PYTHONPATH=SRC)
                place = os.path.join(self.folder, f".openloop/w{mode}")
                output = run_openloop("init", place, env=env).out
                self.assertIn("index.html is a web page", output)
                with open(f"{place}/openloop.json", encoding="utf-8") as file:
                    commands = json.load(file)["commands"]
                self.assertEqual("play" in commands, is_there)
                self.assertEqual(os.path.exists(f"{place}/play.json"), is_there)


if __name__ == "__main__":
    unittest.main()
