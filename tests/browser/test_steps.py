"""Every kind of step, in the real browser."""

from __future__ import annotations

import os
import unittest
from typing import Any, ClassVar

from browser.pages import Browsing

SLOW = True  # left out by scripts/run_tests.sh --quick

BRIEF = {"timeout_seconds": 0.3}


def expect(**what: Any) -> dict[str, Any]:
    return {"expect": what}


class Locators(Browsing):
    def test_css_text_role_label_and_testid(self) -> None:
        page = """<label for=n>Name</label><input id=n value=Ada>
            <button data-testid=go>Go <b>on</b></button><p>Go away</p>"""
        self.do(
            page,
            expect(at="#n", value="Ada"),
            expect(at="label=Name", value="Ada"),
            expect(at="testid=go", text="Go on"),
            expect(at="role=button[name=Go on]"),
            expect(at='role=button[name="Go on"]'),
            expect(at="role=textbox"),
            expect(at='text="Go on"'),
            expect(at="text=Go", count=2),
        )

    def test_frames_also_of_another_site(self) -> None:
        self.site.pages["/inner"] = "<button onclick='this.textContent=\"done\"'>inner</button>"
        other = self.site.url.replace("127.0.0.1", "localhost")
        page = f"""<div style='height:900px'></div>
            <iframe style='margin:40px;padding:9px;border:7px solid' src='{other}/inner'>
            </iframe>"""
        self.do(page, {"click": "role=button[name=inner]"}, expect(at="text=done"))

    def test_shadow_roots(self) -> None:
        page = """<x-a></x-a><script>
            const root = document.querySelector("x-a").attachShadow({mode: "open"});
            root.innerHTML = "<div><x-b></x-b></div>";
            const inner = root.querySelector("x-b").attachShadow({mode: "open"});
            inner.innerHTML = "<label>Deep <input></label><button>Hit</button>";
            inner.querySelector("button").onclick = () => document.title = "hit";
            </script>"""
        self.do(
            page,
            {"fill": {"at": "label=Deep", "text": "x"}},
            expect(at="label=Deep", value="x", **{"is": "focused"}),
            {"click": "text=Hit"},
            expect(title="hit"),
        )

    def test_what_is_laid_out_only_in_sight(self) -> None:
        page = """<p style='height:3000px'>top</p>
            <section style='content-visibility:auto'>
            <button onclick='document.title="hit"'>Far</button><p id=p>so <b>far</b></p></section>
            <section style='content-visibility:hidden'><button>Never</button></section>"""
        self.do(
            page,
            expect(text="so far"),
            expect(at="#p", text="so far"),
            {"click": "text=Far"},
            expect(title="hit"),
            expect(gone="text=Never"),
            expect(at="role=button", count=1),
        )

    def test_what_can_be_seen_goes_before_what_cannot(self) -> None:
        self.do("<p hidden>One</p><p>One</p>", expect(at="text=One"), expect(at="p"))

    def test_a_role_on_a_large_page(self) -> None:
        self.do(
            "<button>One</button>" + "<p>x <b>y</b> <a href=#>z</a>" * 15_000,
            expect(at="role=button"),
        )

    def test_no_selector(self) -> None:
        failure = self.fails("<p>", {"click": "p:::", **BRIEF})
        self.assertIn("not a CSS selector", failure.what)

    def test_a_wrong_name_lists_the_others(self) -> None:
        page = "<button>Start</button><button>Help</button>"
        failure = self.fails(page, {"click": "role=button[name=Strat]", **BRIEF})
        self.assertIn('with that role: "Start", "Help"', failure.seen)


class Actions(Browsing):
    def test_click_at_a_place_twice_with_the_right_button(self) -> None:
        page = """<canvas width=200 height=100 style='border:0'></canvas><pre id=o></pre><script>
            const c = document.querySelector("canvas"), o = document.querySelector("#o");
            c.onmousedown = (e) => o.textContent += `${e.button}@${e.offsetX},${e.offsetY} `;
            c.ondblclick = () => o.textContent += "double ";</script>"""
        self.do(
            page,
            {"click": {"at": "canvas", "x": 150, "y": 30, "button": "right"}},
            expect(at="#o", text="2@150,30"),
            {"click": {"at": "canvas", "count": 2}},
            expect(at="#o", text="double"),
        )

    def test_fill_type_press_and_select(self) -> None:
        page = """<form onsubmit="document.title='sent '+a.value; return false">
            <input id=a value=old><textarea id=t></textarea><input type=date id=d>
            <div contenteditable id=e>old</div>
            <select id=s><option value=S>Small<option value=L>Large</select></form>"""
        self.do(
            page,
            {"fill": {"at": "#a", "text": "néw 😀"}},
            expect(at="#a", value="néw 😀"),
            {"fill": {"at": "#a", "text": ""}},
            expect(at="#a", value=""),
            {"type": "Ab1?"},
            expect(at="#a", value="Ab1?"),
            {"press": "Backspace"},
            expect(at="#a", value="Ab1"),
            {"press": "Control+A"},
            {"type": "x"},
            expect(at="#a", value="x"),
            {"press": "Enter"},
            expect(title="sent x"),
            {"fill": {"at": "#d", "text": "2026-11-29"}},
            expect(at="#d", value="2026-11-29"),
            {"fill": {"at": "#e", "text": "new"}},
            expect(at="#e", text="new"),
            {"fill": {"at": "#t", "text": "two\nlines"}},
            expect(at="#t", value="two\nlines"),
            {"select": {"at": "#s", "value": "L"}},
            expect(at="#s", value="L"),
            {"select": {"at": "#s", "value": "Small"}},
            expect(at="#s", value="S"),
        )

    def test_a_key_is_held(self) -> None:
        page = """<script>addEventListener("keydown", (e) => self.down = performance.now());
            addEventListener("keyup", (e) => document.title = e.code + " " +
            (performance.now() - down > 150))</script>"""
        self.do(
            page,
            {"press": {"key": "ArrowLeft", "hold_seconds": 0.2}},
            expect(title="ArrowLeft true"),
        )

    def test_hover(self) -> None:
        page = "<p id=m onmouseenter='document.title=1'>menu</p>"
        self.do(page, {"hover": "#m"}, expect(title="1"))

    def test_upload_and_download(self) -> None:
        with open(f"{self.out}/photo.txt", "w", encoding="utf-8") as file:
            file.write("picture")
        self.site.pages["/report"] = {
            "body": b"a,b",
            "headers": {"Content-Disposition": "attachment; filename=report.csv"},
        }
        page = """<input id=f type=file hidden onchange="document.title='hidden'">
            <label>Photo <input type=file onchange="document.title=this.files[0].name"></label>
            <a href=/report>get</a>"""
        self.do(
            page,
            {"upload": {"at": "label=Photo", "files": ["photo.txt"]}},
            expect(title="photo.txt"),
            {"upload": {"at": "#f", "files": ["photo.txt"]}},
            expect(title="hidden"),
            {"click": "text=get"},
            expect(download="report.csv"),
        )
        with open(f"{self.out}/report.csv", encoding="utf-8") as file:
            self.assertEqual(file.read(), "a,b")
        failure = self.fails(page, {**expect(download="x"), **BRIEF})
        self.assertIn("report.csv (completed)", failure.seen)

    def test_a_dialog_that_was_asked_for(self) -> None:
        page = "<button onclick='document.title=prompt(\"who?\")'>ask</button>"
        self.do(page, {"dialog": "accept", "text": "Ada"}, {"click": "button"}, expect(title="Ada"))
        page = page.replace('"who?"', '"who?", "Eve"')
        self.do(page, {"dialog": "accept"}, {"click": "button"}, expect(title="Eve"))
        page = "<button onclick='document.title=confirm(1)'>ask</button>"
        self.do(page, {"dialog": "dismiss"}, {"click": "button"}, expect(title="false"))
        failure = self.fails("<p>no</p>", {"dialog": "accept"}, {"click": "p", **BRIEF})
        self.assertEqual(failure.what, "no dialog came")

    def test_a_popup_is_a_page(self) -> None:
        self.site.pages["/second"] = "<title>second</title><button>There</button>"
        page = "<button onclick='window.open(\"/second\")'>pop</button>"
        self.do(page, {"click": "button"}, {"page": 2}, expect(title="second"))
        self.do(page, {"page": 1}, expect(at="text=pop"))

    def test_an_element_is_scrolled_to(self) -> None:
        page = """<div style='height:3000px'></div><div style='overflow:auto;height:50px'>
            <div style='height:500px'></div><button onclick='document.title=1'>low</button></div>"""
        self.do(page, {"click": "role=button"}, expect(title="1"))

    def test_an_element_is_waited_for(self) -> None:
        page = """<button disabled onclick='document.title="hit"'>b</button><div id=cover
            style='position:fixed;inset:0'></div><script>
            setTimeout(() => document.querySelector("#cover").remove(), 200);
            setTimeout(() => document.querySelector("button").disabled = false, 300);
            setTimeout(() => document.body.append("late"), 400);</script>"""
        self.do(page, {"click": "button"}, expect(title="hit"), expect(text="late"))


class Refusals(Browsing):
    """The error says what keeps an action from being done."""

    def seen(self, page: str, *steps: dict[str, Any]) -> str:
        return self.fails(page, *steps).seen

    def test_why_an_element_cannot_be_acted_on(self) -> None:
        for page, why in (
            ("<p>", "no such element"),
            ("<button>a</button><button>b</button>", '2 elements: button "a", button "b"'),
            ("<button style='visibility:hidden'>a", "not visible"),
            ("<button style='width:0;height:0;padding:0;border:0;overflow:hidden'>", "not visible"),
            ("<button disabled>a", "is disabled"),
            (
                "<button>a</button><div id=veil style='position:fixed;inset:0'>",
                "covered by div#veil",
            ),
            ("<button style='pointer-events:none'>a", "is covered by"),
            (
                "<style>@keyframes k {to {margin-left:900px}}</style>"
                "<button style='animation:k 2s infinite linear'>a",
                "moves",
            ),
        ):
            with self.subTest(page):
                self.assertIn(why, self.seen(page, {"click": "button", **BRIEF}))

    def test_a_frame_that_is_covered(self) -> None:
        page = """<iframe srcdoc="<button>in</button>"></iframe>
            <div id=veil style='position:fixed;inset:0'>"""
        seen = self.seen(page, {"click": "text=in", **BRIEF})
        self.assertIn("lies in a frame that is covered by div#veil", seen)

    def test_fields_that_take_no_text(self) -> None:
        for page, why in (
            ("<input id=a readonly>", "read-only"),
            ("<p id=a>x", "no field"),
            ("<input id=a type=checkbox>", "no field"),
            ("<input id=a type=number>", "nothing but numbers"),
        ):
            fill = {"fill": {"at": "#a", "text": "x"}, **BRIEF}
            self.assertIn(why, self.seen(page, fill))

    def test_an_option_that_is_not_there(self) -> None:
        failure = self.fails(
            "<select><option value=S>S</select>", {"select": {"at": "select", "value": "XL"}}
        )
        self.assertIn("no option", failure.what)
        self.assertIn("options: S", failure.seen)


class Expectations(Browsing):
    def test_what_was_seen_instead(self) -> None:
        page = "<title>T</title><p id=p>forty two</p><p class=r>1<p class=r>2<input id=i value=v>"
        for what, seen in (
            (expect(text="You won"), 'a page that says "forty two'),
            (expect(at="#p", text="x"), 'text "forty two"'),
            (expect(at="#p", matches="[0-9]+"), 'text "forty two"'),
            (expect(at=".r", count=3), "2 visible"),
            (expect(at="#i", value="w"), 'value "v"'),
            (expect(at="#i", **{"is": "checked"}), "not checked"),
            (expect(at="#i", **{"is": "disabled"}), "not disabled"),
            (expect(gone="#p"), "1 visible"),
            (expect(url="/end"), f"url {self.site.url}/"),
            (expect(title="U"), 'title "T"'),
        ):
            with self.subTest(what):
                self.assertIn(seen, self.fails(page, {**what, **BRIEF}).seen)

    def test_what_is_so(self) -> None:
        page = """<p id=p>forty  two</p><input type=checkbox checked id=c>
            <button disabled>b</button><p hidden id=h>x"""
        self.do(
            page,
            expect(text="forty two"),
            expect(at="#p", matches="^forty"),
            expect(at="#c", **{"is": "checked"}),
            expect(at="button", **{"is": "disabled"}),
            expect(at="#c", **{"is": "enabled"}),
            expect(at=".none", count=0),
            expect(gone="#h"),
            expect(url="/"),
            {"script": "history.pushState(0, '', '/a b')"},
            expect(url="/a b"),
        )

    def test_scripts_and_measures(self) -> None:
        page = "<script>const game = {state: 'won', list: [1, {a: 2.0}]}</script>"
        printed = self.do(
            page,
            {"script": "return game.state", "equals": "won"},
            {"script": "return game.list", "equals": [1, {"a": 2}]},
            {"script": "await new Promise((f) => setTimeout(f, 20))"},
            {"measure": "answer", "script": "return 42.5"},
            {"measure": "nothing", "script": "return -0"},
        )
        self.assertEqual(printed, ["answer=42.5", "nothing=0"])
        failure = self.fails(page, {"script": "return true", "equals": 1})
        self.assertEqual((failure.expected, failure.seen), ("1", "true"))
        failure = self.fails(page, {"script": "throw new Error('bang')"})
        self.assertIn("bang", failure.what)
        failure = self.fails(page, {"measure": "m", "script": "return NaN"})
        self.assertEqual(failure.seen, '"NaN"')
        failure = self.fails(page, {"script": "while (true);", **BRIEF})
        self.assertRegex(failure.what, "the script did not end within [0-9.]+ s")


class Pictures(Browsing):
    PAGE = "<body style='margin:0'><div style='width:300px;height:200px;background:teal'></div>"

    def test_a_picture_is_like_itself_and_unlike_another(self) -> None:
        shot = {"screenshot": "a"}
        self.do(self.PAGE, shot)
        os.rename(f"{self.out}/a.png", f"{self.out}/wanted.png")
        like = {"screenshot": "b", "like": "wanted.png"}
        self.do(self.PAGE, like)
        other = self.PAGE.replace("300px", "310px")
        self.do(other, {**like, "tolerance": 0.01})
        failure = self.fails(other, {**like, **BRIEF})
        self.assertEqual(failure.seen, "0.217 %")
        for name in failure.files:
            with open(f"{self.out}/{name}", "rb") as file:
                self.assertEqual(file.read(4), b"\x89PNG")
        self.assertTrue(failure.files[-1].endswith(".difference.png"))
        failure = self.fails(self.PAGE, {**like, "at": "div", **BRIEF})
        self.assertEqual((failure.expected, failure.seen), ("1280 x 720", "300 x 200"))

    def test_a_picture_of_one_colour(self) -> None:
        failure = self.fails("<p>", {"screenshot": "blank"})
        self.assertEqual(failure.what, "the picture is of one colour")
        self.do("<p>", {"screenshot": "blank", "one_colour": True})

    def test_animations_and_the_caret_stand_still(self) -> None:
        page = """<style>@keyframes k {to {transform: translateX(900px)}}
            @keyframes in {from {opacity: 0}}
            div {animation: k 3s infinite linear; width: 50px; height: 50px; background: red}
            p {animation: in 5s}</style><div></div><p>here</p><input autofocus>"""
        self.do(page, {"screenshot": "one"}, {"screenshot": "two"})
        with open(f"{self.out}/one.png", "rb") as one, open(f"{self.out}/two.png", "rb") as two:
            self.assertEqual(one.read(), two.read())
        self.do(page, {"screenshot": "full", "full": True})


class Devices(Browsing):
    options: ClassVar[dict[str, Any]] = {
        "viewport": {"width": 390, "height": 844, "mobile": True, "dark": True}
    }

    def test_a_dark_telephone(self) -> None:
        page = """<meta name=viewport content='width=device-width'>
            <button onclick='document.title=touched' ontouchstart='self.touched=1'>b</button>"""
        self.do(
            page,
            {"script": "return [innerWidth, innerHeight]", "equals": [390, 844]},
            {"script": "return matchMedia('(prefers-color-scheme: dark)').matches", "equals": True},
            {"click": "button"},
            expect(title="1"),
        )


if __name__ == "__main__":
    unittest.main()
