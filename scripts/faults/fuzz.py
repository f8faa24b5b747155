"""Templates under real shells, and configurations that were once good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from config.config_documents import HOSTILE_VALUES, mutant, spoil
from config.test_placeholder_shells import DECOYS, ShellCase, Writer, damaged
from faults.bench import Bench, Row, Trial, ends, require, run
from openloop.config import config, placeholders
from openloop.core.errors import ConfigError

SHELLS = ("dash", "bash")


def rows(bench: Bench) -> Iterator[Row]:
    yield templates(bench)
    yield configurations(bench)
    yield configurations_through_the_program(bench)


def templates(bench: Bench) -> Row:
    """Hostile values arrive whole, and nothing of them is run."""
    missing = [shell for shell in SHELLS if not shutil.which(shell)]
    if missing:
        return Row("templates under dash and bash", figures=f"left out: no {missing}")

    def several(number: int) -> Trial:
        count = bench.count(12, 50)
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            for name in DECOYS:
                open(os.path.join(folder, name), "w").close()
            case = ShellCase()
            case.folder = folder
            chance = bench.chance("template", number)
            for each in range(count):
                _fill_in(case, Writer(chance), each)
                _damage(case, Writer(chance), chance, each)
        return Trial(2 * count * len(SHELLS))

    return bench.each("templates under dash and bash", range(bench.count(4, 25)), several)


def _fill_in(case: ShellCase, writer: Writer, number: int) -> None:
    command, words = writer.command()
    about = int(writer.values["round"]), writer.values["step"]
    rendered = placeholders.render(command, round=about[0], step=about[1])
    expected = b"".join(os.fsencode(word) + b"\0" for word in words)
    for shell in SHELLS:
        output = case.run_shell(shell, rendered, writer.environment())
        require(output == expected, f"case {number} under {shell}: {command!r} gave {output!r}")
        _nothing_happened(case, shell, command)


def _damage(case: ShellCase, writer: Writer, chance: object, number: int) -> None:
    """A damaged command is refused, or runs nothing of a value."""
    command = damaged(chance, writer.command()[0])  # type: ignore[arg-type]
    if placeholders.check(command):
        return
    rendered = placeholders.render(command, round=1, step="fix")
    for shell in SHELLS:
        output = case.run_shell(shell, rendered, writer.environment())
        require("pwned" not in os.listdir(case.folder), f"case {number}, {shell}: {command!r}")
        require(b"OPENLOOP_" not in output, f"case {number}, {shell}: {command!r}: {output!r}")
    for name in set(os.listdir(case.folder)) - set(DECOYS):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(case.folder, name))


def _nothing_happened(case: ShellCase, shell: str, command: str) -> None:
    found = sorted(os.listdir(case.folder))
    require(found == sorted(DECOYS), f"under {shell}: {command!r} left {found}")


def configurations(bench: Bench) -> Row:
    """Documents mutated from good ones are accepted, or refused with words for each mistake."""
    row = Row("configurations, mutated")
    pieces = range(bench.count(4, 40))
    accepted = 0
    with ProcessPoolExecutor(bench.jobs) as pool:
        for tries, taken, violations in pool.map(partial(_mutate, bench), pieces):
            row.tries += tries
            accepted += taken
            row.violations += violations
    row.figures = f"{accepted} accepted"
    return row


def _mutate(bench: Bench, piece: int) -> tuple[int, int, list[str]]:
    """Returns how many were tried and accepted, and what was violated."""
    chance = bench.chance("configuration", piece)
    tries, accepted, violations = 250, 0, []
    for number in range(tries):
        data = spoil(json.dumps(mutant(chance, HOSTILE_VALUES, 3)).encode(), chance)
        try:
            config.parse(data, where="openloop.json")
            accepted += 1
        except ConfigError as error:
            plain = str(error).replace("\n", "").isprintable()
            if not (error.problems and plain):
                violations.append(f"seed {bench.seed}, {piece}/{number}: {data[:300]!r}: no words")
        except Exception as error:
            where = f"seed {bench.seed}, {piece}/{number}: {data[:300]!r}"
            violations.append(f"{where}: {type(error).__name__} {error}")
    return tries, accepted, violations


def configurations_through_the_program(bench: Bench) -> Row:
    """A sample through the real program: `doctor` never runs a command."""

    def once(number: int) -> Trial:
        chance = bench.chance("program", number)
        data = spoil(json.dumps(mutant(chance, HOSTILE_VALUES, 3)).encode(), chance)
        place = bench.place(f"configuration-{number}")
        with open(place.file("openloop.json"), "wb") as file:
            file.write(data)
        try:
            config.parse(data, where="openloop.json")
            holds = True
        except ConfigError:
            holds = False
        done = ends(run("doctor", place.path), 0, 1, 2)
        require(holds or done.code != 0, f"doctor calls it sound: {data[:300]!r}")
        if not holds:
            ends(run("run", place.path), 2)
        shutil.rmtree(place.folder)
        return Trial()

    return bench.each("configurations through the program", range(bench.count(4, 100)), once)
