"""What the documents say of keys, options, codes and files is what the program has."""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import signal
import unittest
from collections.abc import Iterator
from typing import Any

from openloop.agents import catalog
from openloop.browser.plays import play
from openloop.cli import command_line, completion, help_topics
from openloop.config import config, placeholders, schema
from openloop.core.errors import ExitCode
from openloop.core.vocabulary import Kind, Outcome, Status, Step
from openloop.loop.state import State
from openloop.record import projections
from repository.markdown import (
    AGENT,
    ARCHITECTURE,
    BROWSER,
    COMMANDS,
    CONFIGURATION,
    CONTRIBUTING,
    DOCUMENTS,
    ENVIRONMENT,
    EXIT_CODES,
    JUDGE,
    PROMPTS,
    README,
    RECORD,
    RUNS,
    anchors,
    blocks,
    code,
    links,
    prose,
    read,
    rows,
    section,
)
from support import ROOT, SRC, Case, run_openloop

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUBCOMMANDS = (
    *("init", "doctor", "run", "status", "logs", "diff", "report", "audit", "accept", "templates"),
    *("agents", "judge", "browse", "fleet", "ui", "mcp", "completion", "help"),
)
# `openloop NAME`, and what follows it up to the next command
CALL = re.compile(r"\bopenloop (\w+)(?= (?:\.openloop|WORKSPACE|--))((?:(?!openloop \w)[^`\n,])*)")


def first_cells(text: str) -> list[str]:
    """Every name in `…` in the first column of a section's tables, in order."""
    return [name for row in rows(text) for name in code(row[0])]


class Links(unittest.TestCase):
    def test_every_relative_link_resolves(self) -> None:
        for document in DOCUMENTS:
            for link in links(document):
                if re.match(r"[a-z]+:", link):
                    continue
                with self.subTest(document=document, link=link):
                    path, _, anchor = link.partition("#")
                    folder = os.path.dirname(document)
                    target = os.path.normpath(os.path.join(folder, path)) if path else document
                    self.assertTrue(os.path.exists(os.path.join(ROOT, target)))
                    if anchor:
                        self.assertIn(anchor, anchors(target))

    def test_paths_and_names_of_the_code_exist(self) -> None:
        sources = "".join(map(_text, glob.glob(f"{SRC}/openloop/**/*.py", recursive=True)))
        for word in code(prose(CONTRIBUTING) + prose(ARCHITECTURE)):
            with self.subTest(word=word):
                if re.fullmatch(r"(tests|scripts)/[\w/.]+", word):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, word)))
                elif re.fullmatch(r"(\w+/)?\w+\.py|openloop\.\w+\.json", word):
                    self.assertTrue(os.path.exists(os.path.join(SRC, "openloop", word)))
                elif re.fullmatch(r"_[a-zA-Z]\w+", word):
                    self.assertRegex(sources, rf"\b{word}\b")


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


class AgentPack(unittest.TestCase):
    """What agents are given to read. Their context is dear, so it stays short."""

    def test_its_length(self) -> None:
        for document in (AGENT, PROMPTS):
            self.assertLess(len(read(document).split()), 365, document)

    def test_it_sets_up_the_server(self) -> None:
        (line,) = (one for one in read(AGENT).splitlines() if " mcp add " in one)
        self.assertIn(f"`{line}`", read("src/openloop/manual/mcp.md"))

    def test_every_command_in_its_prose_is_in_a_block(self) -> None:
        shown = "".join(block.text for block in blocks(AGENT, "sh"))
        for words in code(prose(AGENT)):
            if words.startswith("openloop "):
                self.assertIn(words, shown)


class ConfigurationReference(unittest.TestCase):
    """The tables of the configuration, against the schema that ships."""

    def setUp(self) -> None:
        self.table = {name: row[1:] for row in rows(prose(CONFIGURATION)) for name in code(row[0])}

    def test_every_key_is_there_and_no_other(self) -> None:
        known = {name for name, _, _ in keys()}
        variables = {f"{{{name}}}" for name in placeholders.VARIABLES}
        self.assertEqual(set(self.table) - variables, known)

    def test_defaults(self) -> None:
        for name, rule, required in keys():
            with self.subTest(key=name):
                if "default" in rule:
                    self.assertEqual(self.table[name][0], f"`{json.dumps(rule['default'])}`")
                elif required:
                    self.assertIn("required", self.table[name][0])

    def test_directions_and_matches(self) -> None:
        for name in ("direction", "match"):
            row = " ".join(self.table[f"baseline.{name}"])
            for word in schema.load()["properties"]["baseline"]["properties"][name]["enum"]:
                self.assertIn(f'`"{word}"`', row)

    def test_template_variables(self) -> None:
        named = first_cells(section(CONFIGURATION, "## Template variables"))
        self.assertEqual(named, [f"{{{name}}}" for name in placeholders.VARIABLES])

    def test_environment(self) -> None:
        named = first_cells(section(ENVIRONMENT, "## Set for every command"))
        self.assertEqual(set(named), environment_names())


def keys() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(dotted key, its rule, whether it is required) of everything that is accepted."""
    rules = schema.load()
    command = rules["$defs"]["gate"]["anyOf"][1]
    for name, rule in rules["properties"].items():
        yield name, rule, name in rules["required"]
        required = (*rule.get("required", ()), *rule.get("else", {}).get("required", ()))
        for inner, part in rule.get("properties", {}).items():
            yield f"{name}.{inner}", part, inner in required
    change = rules["$defs"]["change"]["anyOf"][1]
    for name, rule in {**command["properties"], **change["properties"]}.items():
        yield name, rule, name in command["required"]


def environment_names() -> set[str]:
    return {*placeholders.VARIABLES.values(), "OPENLOOP_MISSION", "OPENLOOP_ATTACHMENTS"}


class CasesOfJudge(unittest.TestCase):
    """The table of a case's keys, against the schema that ships."""

    def test_keys_and_defaults(self) -> None:
        table = {code(row[0])[0]: row[1] for row in rows(prose(JUDGE))}
        rules = schema.load("judge/case")["properties"]
        self.assertEqual(list(table), list(rules))
        for name, rule in rules.items():
            if "default" in rule:
                self.assertEqual(table[name], f"`{json.dumps(rule['default'])}`")

    def test_ways_to_match(self) -> None:
        row = next(r for r in rows(prose(JUDGE)) if "`match`" in r[0])
        documented = [word.strip('"') for word in code(row[2])]
        rule = schema.load("judge/case")["properties"]["match"]
        self.assertEqual(sorted(documented), sorted(rule["enum"]))


class PlaysOfBrowse(unittest.TestCase):
    """The tables of a play, against the schema that ships, and the plays that are shown."""

    def test_keys_and_kinds_of_steps(self) -> None:
        rules = schema.load("browser/plays/play")["properties"]
        named = first_cells(section(BROWSER, "## Keys of a play"))
        self.assertEqual(named, list(rules))
        self.assertEqual(
            first_cells(section(BROWSER, "## Steps"))[: len(play.KINDS)], list(play.KINDS)
        )

    def test_every_play_is_accepted(self) -> None:
        for block in blocks(BROWSER, "json"):
            play.parse(block.text.encode(), where=str(block))


class JsonBlocks(unittest.TestCase):
    def test_every_configuration_is_accepted(self) -> None:
        """What shows a part of one is completed with what every configuration needs."""
        shown = [block for document in DOCUMENTS for block in blocks(document, "json")]
        shown = [block for block in shown if block.document != BROWSER]
        self.assertTrue(any('"version"' in block.text for block in shown))
        for block in shown:
            with self.subTest(block=str(block)):
                whole = block.text.startswith("{")
                part = json.loads(block.text if whole else f"{{{block.text}}}")
                document = {"version": 1, **part}
                document["commands"] = {"verify": "true", **document.get("commands", {})}
                config.parse(json.dumps(document).encode(), where=str(block))


class CommandLine(unittest.TestCase):
    """The command reference, against what `--help` prints."""

    def test_options_of_each_command(self) -> None:
        for name in SUBCOMMANDS:
            with self.subTest(command=name):
                named = first_cells(section(COMMANDS, f"## openloop {name}"))
                self.assertEqual(named, options(name))

    def test_usage_lines(self) -> None:
        usage = blocks(COMMANDS, "text")[0]
        self.assertEqual(usage.text.splitlines(), list(map(usage_line, SUBCOMMANDS)))

    def test_the_commands_are_all_there_are(self) -> None:
        shown = re.findall(r"^\| `openloop (\w+)", read(COMMANDS), re.MULTILINE)
        self.assertEqual(tuple(shown), SUBCOMMANDS)
        listed = re.findall(r"^    (\w+) +[A-Z]", run_openloop("--help").out, re.MULTILINE)
        self.assertEqual(tuple(listed), SUBCOMMANDS)

    def test_commands_in_the_text_can_be_typed(self) -> None:
        """Also those in prompts, which no test can run."""
        known = {name: {option.split()[0] for option in options(name)} for name in SUBCOMMANDS}
        for document in DOCUMENTS:
            for name, rest in CALL.findall(read(document)):
                with self.subTest(document=document, call=f"{name}{rest}"):
                    self.assertIn(name, known)
                    own = rest.partition(" -- ")[0]
                    documented = {
                        word.strip(".[]") for word in own.split() if word.startswith("--")
                    }
                    self.assertLessEqual(documented, known[name] | {"--help"})

    def test_agents(self) -> None:
        row = next(
            row for row in rows(section(COMMANDS, "## openloop init")) if "--agent" in row[0]
        )
        self.assertEqual(code(row[1])[2:], list(catalog.shipped()))


def usage_line(name: str) -> str:
    """The usage that the command's help begins with, what it is about before its options."""
    words = run_openloop(name, "--help").out.partition("\n\n")[0].split()[1:]
    end = words.index("--") if "--" in words else len(words)
    own = words[3:end]  # behind `openloop NAME [-h]`
    bare = [word for word in own if re.fullmatch(r"[A-Z]+|\[[A-Z]+\]", word)]
    return " ".join([*words[:2], *bare, *(w for w in own if w not in bare), *words[end:]])


def options(name: str) -> list[str]:
    """`--option METAVAR` in the order of the command's own help."""
    found = re.findall(r"^  (--[\w-]+(?: [A-Z]+)?)", run_openloop(name, "--help").out, re.MULTILINE)
    return [option for option in found if option != "--help"]


class Topics(unittest.TestCase):
    """The pages of the manual, as `openloop help TOPIC` shows them."""

    def test_every_page_begins_with_a_sentence_of_its_own(self) -> None:
        for name in help_topics.names():
            with self.subTest(name):
                title, summary, *_ = help_topics.source(name).split("\n\n")
                self.assertRegex(title, r"^# \S")
                self.assertRegex(summary, r"^[A-Z][^#|]+[.:]", name)

    def test_a_page_is_shown_whole(self) -> None:
        """Every word of its tables and paragraphs, none of its markup."""
        for name in help_topics.names():
            shown = set(" ".join(help_topics.lines(name, 80)).split())
            for row in rows(prose(f"src/openloop/manual/{name}.md")):
                for word in code(" ".join(row)):
                    self.assertTrue(any(word.split()[0] in part for part in shown), word)
            self.assertFalse([word for word in shown if "](" in word], name)

    def test_what_arguments_may_be(self) -> None:
        for command, argument, values in (
            ("help", "topic", sorted({*help_topics.names(), *command_line.COMMANDS})),
            ("logs", "step", list(Step)),
            ("completion", "shell", completion.SHELLS),
        ):
            parser = argparse.ArgumentParser()
            command_line.command(command).add_arguments(parser)
            action = next(action for action in parser._actions if action.dest == argument)
            self.assertEqual(list(action.choices or ()), list(values))

    def test_no_line_is_too_long(self) -> None:
        for name in help_topics.names():
            for columns in (40, 80):
                for line in help_topics.lines(name, columns):
                    fits = len(line) < columns or len(line.split()) == 1
                    self.assertTrue(fits or line.startswith("    "), line)


class Meanings(Case):
    """Tables of words and numbers, against the vocabulary."""

    def test_exit_codes(self) -> None:
        table = rows(section(EXIT_CODES, "## openloop run"))
        codes = {int(number) for row in table for number in row[0].split(",")}
        self.assertEqual(codes, {*map(int, ExitCode), *(128 + number for number in ENDINGS)})
        status = {row[0]: code(row[1]) for row in table}
        for number, word in ((0, Status.COMPLETE), (1, Status.EXHAUSTED), (3, Status.BLOCKED)):
            self.assertEqual(status[str(number)], [word])

    def test_the_agent_instructions_list_the_same_codes(self) -> None:
        described = section(AGENT, "### Reporting")
        for mine in (section(README, "## When a run ends"), section(EXIT_CODES, "## openloop run")):
            self.assertEqual([row[0] for row in rows(described)], [row[0] for row in rows(mine)])

    def test_outcomes(self) -> None:
        named = first_cells(section(RUNS, "## Outcomes of a step"))
        self.assertEqual(set(named), set(Outcome))

    def test_events(self) -> None:
        listed = section(RECORD, "## events.jsonl").partition("Each line is an event: ")[2]
        self.assertEqual(set(code(listed.partition(".")[0])), set(Kind))

    def test_heartbeat_fields(self) -> None:
        named = first_cells(section(RECORD, "## heartbeat.json"))
        written = projections.heartbeat(
            State(),
            projections.LiveFacts(),
            projections.WriterProcess(None, ""),
            mission="",
            total_rounds=0,
            now="",
            eta=None,
            head="",
        )
        documented = [name for name in named if name not in ("normal", *Status)]
        self.assertEqual(sorted(documented), sorted(written))

    def test_artifact_fields(self) -> None:
        place = self.workspace()
        place.configure({"commands": {"verify": "true"}})
        place.run()
        with open(place.file("artifacts/round-0001.json"), "rb") as file:
            written = json.load(file)
        self.assertEqual(sorted(first_cells(section(RECORD, "## artifacts/"))), sorted(written))

    def test_workspace_layout(self) -> None:
        layout = next(block for block in blocks(RECORD, "text") if "my-task/" in block.text)
        named = re.findall(r"^  ([\w.]+)", layout.text, re.MULTILINE)
        place = self.workspace()
        os.unlink(place.file("openloop.json"))
        run_openloop("init", place.path, "--project-root", place.project)
        place.configure({"commands": {"verify": "true"}, "policy": {"protect": ["tests/"]}})
        place.run()
        self.assertEqual(sorted(named), sorted(os.listdir(place.path)))


class Metrics(unittest.TestCase):
    def test_no_expression_that_is_taught_takes_a_part_of_a_number(self) -> None:
        found = []
        for folder in ("src/openloop", "examples", "agent-instructions", "prompts"):
            for path in glob.glob(os.path.join(ROOT, folder, "**/*"), recursive=True):
                if path.endswith((".md", ".json")):
                    texts = re.findall(r'"regex": ?("(?:[^"\\]|\\.)+")', read(path))
                    found += [(os.path.relpath(path, ROOT), json.loads(text)) for text in texts]
        self.assertGreater(len(found), 8)
        for path, expression in found:
            for number in ("9.5e-05", "1,234.5", "0.5"):
                with self.subTest(path, expression=expression, number=number):
                    name = expression.partition("(")[0].removeprefix("^")
                    match = re.search(expression, f"{name}{number}", re.MULTILINE)
                    self.assertIn(match and match[1], (None, number))


if __name__ == "__main__":
    unittest.main()
