"""A play in the browser, against the same steps through Playwright with the same Chromium.

Playwright comes from npm: NODE_PATH names the folder that holds `playwright-core`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator

from bench.lab import Goal, Lab, Row, Trouble, in_turn, medians

_PAGE = """<!doctype html><title>Shop</title><link rel=icon href="data:,">
<label>Name <input></label><select id=size><option value=S>S<option value=L>L</select>
<button onclick="out.textContent = 'Thank you'">Order</button><p id=out></p><ul><li>1<li>2<li>3</ul>
"""
_STEPS = (
    {"fill": {"at": "label=Name", "text": "Ada"}},
    {"select": {"at": "#size", "value": "L"}},
    {"hover": "li:first-child"},
    {"click": "role=button[name=Order]"},
    {"expect": {"text": "Thank you"}},
    {"expect": {"at": "li", "count": 3}},
    {"press": "Tab"},
    {"script": "return document.title", "equals": "Shop"},
    {"screenshot": "end"},
)
_PLAYWRIGHT = """
const {chromium} = require("playwright-core");
const assert = require("node:assert");
(async () => {
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({executablePath: process.argv[3], args});
  const page = await browser.newPage({viewport: {width: 1280, height: 720}});
  await page.goto(process.argv[2]);
  if (process.argv[4] === "all") {
    await page.getByLabel("Name").fill("Ada");
    await page.locator("#size").selectOption("L");
    await page.locator("li:first-child").hover();
    await page.getByRole("button", {name: "Order"}).click();
    await page.getByText("Thank you").waitFor();
    assert.equal(await page.locator("li").count(), 3);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate("document.title"), "Shop");
    await page.screenshot({path: process.argv[5], animations: "disabled"});
  }
  await browser.close();
})();
"""


def play(lab: Lab) -> Iterator[Row]:
    """Ten steps on a static page, and one step, which is the start."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), "")
    node = shutil.which("node") or ""
    if not browser or not node:
        raise Trouble("the row `browser` needs Chromium and Node.js")
    place = lab.fresh("browser")
    url = f"file://{_file(place, 'page.html', _PAGE)}"
    script = _file(place, "steps.js", _PLAYWRIGHT)
    lab.output("env", f"NODE_PATH={os.environ.get('NODE_PATH', '')}", node, "-e", _ASK)
    opening = {"open": url}
    plays = {
        "all": _file(place, "all.json", _document([opening, *_STEPS])),
        "one": _file(place, "one.json", _document([opening])),
    }

    def ours(name: str) -> float:
        words = ("browse", plays[name], "--browser", browser, "--out", place)
        return lab.seconds(lab.openloop, *words)

    def theirs(name: str) -> float:
        picture = os.path.join(place, "theirs.png")
        path = f"NODE_PATH={os.environ.get('NODE_PATH', '')}"
        return lab.seconds("env", path, node, script, url, browser, name, picture)

    found = medians(
        in_turn(
            lab,
            lab.amount(5, 25),
            {
                "ours all": lambda: ours("all"),
                "theirs all": lambda: theirs("all"),
                "ours one": lambda: ours("one"),
                "theirs one": lambda: theirs("one"),
            },
        )
    )
    for name, what, limit in (
        ("one", "browse: open one page, start and end included, against Playwright", 1.0),
        ("all", "browse: ten steps, start and end included, against Playwright", 1.5),
    ):
        floor, figure = found[f"theirs {name}"] * 1e3, found[f"ours {name}"] * 1e3
        yield Row("browser", what, floor, figure, "ms", Goal(limit))


_ASK = 'require.resolve("playwright-core")'


def _document(steps: list[dict[str, object]]) -> str:
    return json.dumps({"version": 1, "steps": steps})


def _file(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
