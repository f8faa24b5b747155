"""JUnit XML, as GitHub, GitLab and Jenkins read it.

There is no standard. What is written here keeps the rules of the two schemas in use, the one of
Ant's reports and the one of Jenkins' xUnit plugin: every attribute that either asks for, in an
order that both allow.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What XML 1.0 cannot hold, even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Test:
    """One test. failure: why it did not pass in one line, "" when it did. kind: a word for the
    kind of failure. output: more about the failure. is_error: nothing could be tested."""

    name: str
    group: str
    seconds: float
    failure: str = ""
    kind: str = "failed"
    output: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests that were run together. started: UTC, ISO 8601. out: the printed lines. err: further
    notes. properties: facts about the suite, by name."""

    name: str
    started: str
    host: str
    seconds: float
    tests: Sequence[Test]
    out: str = ""
    err: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


def document(suites: Sequence[Suite]) -> bytes:
    """The whole XML document, UTF-8."""
    root = ET.Element("testsuites")
    for position, suite in enumerate(suites):
        root.append(_suite(suite, position))
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _suite(suite: Suite, position: int) -> ET.Element:
    errors = sum(bool(test.failure) and test.is_error for test in suite.tests)
    failures = sum(bool(test.failure) for test in suite.tests) - errors
    element = ET.Element(
        "testsuite",
        {
            "id": str(position),
            "name": safe(suite.name) or "tests",
            "package": safe(suite.name),
            "timestamp": suite.started[:19],  # the schemas know no fractions and no zone
            "hostname": safe(suite.host) or "localhost",
            "tests": str(len(suite.tests)),
            "failures": str(failures),
            "errors": str(errors),
            "time": f"{suite.seconds:.3f}",
        },
    )
    properties = ET.SubElement(element, "properties")
    for name, value in suite.properties.items():
        ET.SubElement(properties, "property", {"name": safe(name), "value": safe(value)})
    for test in suite.tests:
        element.append(_test(test))
    ET.SubElement(element, "system-out").text = safe(suite.out)
    ET.SubElement(element, "system-err").text = safe(suite.err)
    return element


def _test(test: Test) -> ET.Element:
    names = {"name": safe(test.name), "classname": safe(test.group)}
    element = ET.Element("testcase", {**names, "time": f"{test.seconds:.3f}"})
    if test.failure:
        why = {"message": safe(test.failure), "type": safe(test.kind)}
        tag = "error" if test.is_error else "failure"
        ET.SubElement(element, tag, why).text = safe(test.output or test.failure)
    return element


def safe(text: str) -> str:
    """The text with what XML cannot hold as an escape that people read."""
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
