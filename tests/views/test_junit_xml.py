"""JUnit XML: what both schemas in use ask for, and text that XML cannot hold."""

from __future__ import annotations

import re
import unittest
import xml.etree.ElementTree as ET

from openloop.views import junit_xml
from openloop.views.junit_xml import Suite

HOSTILE = "\x1b[31m\0 \ud800 ]]> <b>&\"' \x85 \ufffe é\u2028\U0001f600\ttab\nline"
# Attributes of the Ant schema, all of them required there; Jenkins' knows the same ones.
SUITE = {"id", "name", "package", "timestamp", "hostname", "tests", "failures", "errors", "time"}
TIME = re.compile(r"\d+\.\d{3}")  # a decimal, and Surefire's pattern


def read(*suites: Suite) -> ET.Element:
    return ET.fromstring(junit_xml.document(suites))


def suite(*tests: junit_xml.Test, **parts: str) -> Suite:
    words = {"name": "s", "started": "2026-01-02T03:04:05.678Z", "host": "h", **parts}
    return Suite(seconds=1.5, tests=tests, **words)


class Document(unittest.TestCase):
    def check(self, root: ET.Element) -> None:
        """The rules of both schemas, as far as they concern what is written."""
        self.assertEqual(("testsuites", {}), (root.tag, root.attrib))
        for position, element in enumerate(root):
            self.assertEqual("testsuite", element.tag)
            self.assertEqual(SUITE, set(element.attrib))
            self.assertEqual(str(position), element.get("id"))
            self.assertRegex(element.get("timestamp", ""), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")
            self.assertTrue(element.get("name") and element.get("hostname"))
            self.assertRegex(element.get("time", ""), TIME)
            tags = [part.tag for part in element]
            cases = tags[1:-2]
            self.assertEqual(["properties", *cases, "system-out", "system-err"], tags)
            self.assertEqual({"testcase"}, {*cases, "testcase"})
            self.assertEqual(str(len(cases)), element.get("tests"))
            failed = element.findall("testcase/failure")
            errors = element.findall("testcase/error")
            self.assertEqual(str(len(failed)), element.get("failures"))
            self.assertEqual(str(len(errors)), element.get("errors"))
            for case in element.findall("testcase"):
                self.assertEqual({"name", "classname", "time"}, set(case.attrib))
                self.assertLessEqual(len(case), 1)
            for failure in failed + errors:
                self.assertEqual({"message", "type"}, set(failure.attrib))

    def test_errors_properties_and_what_else_there_is_to_say(self) -> None:
        tests = (
            junit_xml.Test("one", "g", 1.0, "why", is_error=True),
            junit_xml.Test("two", "g", 1.0),
        )
        whole = Suite("s", "2026-01-02T03:04:05Z", "h", 2.0, tests, "", "said", {"run": "3"})
        root = read(whole)
        self.check(root)
        self.assertEqual(root[0].get("errors"), "1")
        self.assertEqual(root[0].findtext("system-err"), "said")
        self.assertEqual([p.attrib for p in root[0][0]], [{"name": "run", "value": "3"}])

    def test_passes_failures_and_nothing_at_all(self) -> None:
        tests = (
            junit_xml.Test("one", "g", 0.25),
            junit_xml.Test("two", "g", 1e-9, "why", "timeout", "more"),
        )
        root = read(suite(*tests, out="said"), suite())
        self.check(root)
        failure = root.find("testsuite/testcase[@name='two']/failure")
        assert failure is not None
        self.assertEqual(("why", "timeout", "more"), (*failure.attrib.values(), failure.text))
        self.assertEqual("said", root.findtext("testsuite/system-out"))
        self.check(read())

    def test_hostile_text_is_kept_readable(self) -> None:
        test = junit_xml.Test(HOSTILE, HOSTILE, 0.0, HOSTILE, HOSTILE, HOSTILE)
        root = read(suite(test, name=HOSTILE, host=HOSTILE, out=HOSTILE))
        self.check(root)
        text = root.findtext("testsuite/system-out") or ""
        self.assertEqual(junit_xml.safe(HOSTILE), text)
        for part in (
            r"\x1b[31m\x00",
            r"\ud800",
            "]]> <b>&",
            r"\ufffe",
            "é",
            "\U0001f600\ttab\nline",
        ):
            self.assertIn(part, text)

    def test_blank_names_still_have_the_least_length(self) -> None:
        self.check(read(suite(name="", host="")))


if __name__ == "__main__":
    unittest.main()
