"""Protected dependencies that are ignored: compared cheaply, restored where they are small."""

from __future__ import annotations

import os
import py_compile
import sys
import unittest

from policy.test_policy import VERIFY, Project, repair
from support import Workspace, by_round


class Dependencies(Project):
    LARGE = b"#!/bin/sh\nexit 1\n" + b"#" * (17 << 20)

    def protected(self, *agents: str, name: str = "w") -> Workspace:
        policy = {"protect": ["tests/**", ".venv/bin/**"], "allow": ["src/**"]}
        place = self.place(*agents, name=name, policy=policy)
        os.makedirs(place.project_file(".venv/bin"))
        for path, data in ((".venv/bin/small", b"#!/bin/sh\n"), (".venv/bin/large", self.LARGE)):
            with open(place.project_file(path), "wb") as file:
                file.write(data)
            os.chmod(place.project_file(path), 0o755)
        return place

    def read(self, place: Workspace, path: str) -> bytes:
        with open(place.project_file(path), "rb") as file:
            return file.read()

    def test_a_small_one_is_restored(self) -> None:
        place = self.protected("echo exit 0 > .venv/bin/small", repair())
        place.run()
        self.assertEqual("policy", self.outcome(place, 2))
        self.assertEqual(b"#!/bin/sh\n", self.read(place, ".venv/bin/small"))

    def test_a_large_one_is_noticed_and_nothing_passes(self) -> None:
        same_size = "printf '%17s' '#!/bin/sh' | dd of=.venv/bin/large conv=notrunc status=none"
        for number, script in enumerate(
            (
                "echo exit 0 > .venv/bin/large",
                f"touch -r .venv/bin/large x; {same_size}; touch -r x .venv/bin/large; rm x",
                "chmod 700 .venv/bin/large; mv .venv/bin/large y; cp y .venv/bin/large; rm y",
            )
        ):
            with self.subTest(script):
                place = self.protected(f"{script}; {repair()}", name=str(number))
                ended = place.run(exitcode=3)
                self.assertEqual("policy", self.outcome(place, 2))
                self.assertNotIn((2, "verify", "passed"), place.steps())
                self.assertIn(".venv/bin/large: its content was not kept", ended.out)
                self.assertNotIn("undone", ended.out)
                place.run(exitcode=3)

    def test_one_as_large_as_a_compiler_in_one_file_is_restored(self) -> None:
        place = self.protected("rm -r .venv", repair())
        compiler = place.project_file(".venv/bin/compiler")
        with open(compiler, "wb") as file:
            file.write(b"x" * (9 << 20))
        os.unlink(place.project_file(".venv/bin/large"))
        place.run()
        self.assertEqual("policy", self.outcome(place, 2))
        self.assertEqual(9 << 20, os.path.getsize(compiler))

    def test_the_same_dependencies_installed_again_are_no_violation(self) -> None:
        again = "cp -r .venv x; rm -r .venv; mv x .venv"
        place = self.protected(f"{again}; {repair()}")
        place.run()
        self.assertEqual([], place.events_of("policy_violated"))
        self.assertEqual("passed", self.outcome(place, 2))

    def test_contents_of_large_ones_are_not_copied(self) -> None:
        place = self.protected(repair())
        place.run()
        size = sum(
            os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(place.file("checkpoints"))
            for name in names
        )
        self.assertLess(size, 1 << 20)

    def test_a_cache_is_created_where_no_dependencies_were(self) -> None:
        folders = "node_modules", "packages/a/node_modules"
        for number, exception in enumerate(("!**/node_modules/.vite", "!**/node_modules/.v*/")):
            place = self.protected("true", name=f"cache{number}")
            protect = ["tests/**", "node_modules/*", "packages/**/node_modules/*", exception]
            writes = [f"mkdir -p {folder}/.vite; date +%N >{folder}/.vite/x" for folder in folders]
            cheat = f"mkdir -p {folders[1]}/.bin; echo >{folders[1]}/.bin/mocha"
            gate = f"{'; '.join(writes)}; test -e {folders[1]}/.bin/mocha || grep -q x src/calc.py"
            place.configure(
                {
                    "total_rounds": 4,
                    "commands": {
                        "verify": gate,
                        "fix": by_round("true", cheat, f"{writes[1]}; echo x >src/calc.py"),
                    },
                    "policy": {"protect": protect, "allow": ["src/**"]},
                }
            )
            ended = place.run()
            outcomes = [outcome for _, step, outcome in place.steps() if step == "fix"]
            self.assertEqual(["policy", "passed"], outcomes, ended.err)
            self.assertTrue(os.path.exists(place.project_file(f"{folders[1]}/.vite/x")))

    def test_what_a_change_writes_to_a_cache_is_removed_before_the_gates(self) -> None:
        """babel and nyc run code from there, eslint takes its results."""
        cache = "node_modules/.cache"
        gate = f"grep -rqs cheat {cache} || {VERIFY}; code=$?; echo x >{cache}/mine; exit $code"
        elsewhere = "mkdir src/x; echo cheat >src/x/a; rm -rf {0}; ln -s ../src/x {0}"
        cheats = (f"echo cheat >{cache}/mine", f"echo cheat >{cache}/a", elsewhere.format(cache))
        for number, script in enumerate(cheats):
            with self.subTest(script):
                place = self.place(
                    name=f"cache-{number}",
                    total_rounds=2,
                    commands={"verify": gate, "fix": script},
                    policy={"protect": ["node_modules/*", f"!{cache}"], "allow": ["src/**"]},
                )
                os.makedirs(place.project_file(cache))
                place.run(exitcode=1)
                self.assertEqual([], place.events_of("policy_violated"))
                self.assertEqual("failed", self.outcome(place, 2, "verify"))

    def test_byte_code_that_a_change_wrote_is_removed_before_the_gates(self) -> None:
        """Of allowed sources too: no diff shows it."""
        poison = (
            "import os, py_compile, sys\n"
            "with open('x.py', 'w') as file:\n"
            "    file.write('import os; os._exit(0)')\n"
            "how = py_compile.PycInvalidationMode.UNCHECKED_HASH\n"
            "py_compile.compile('x.py', sys.argv[1], invalidation_mode=how)\n"
            "os.unlink('x.py')\n"
        )
        name = f"src/__pycache__/calc.{sys.implementation.cache_tag}.pyc"
        for number, path in enumerate((name, "src/json.pyc")):
            with self.subTest(path):
                agent = f"{sys.executable} poison.py {path}"
                commands = {"verify": f"PYTHONPATH=src {VERIFY}", "fix": agent}
                place = self.place(name=f"poison-{number}", total_rounds=2, commands=commands)
                with open(place.project_file("poison.py"), "w", encoding="utf-8") as file:
                    file.write(poison)
                place.run(exitcode=1)
                self.assertEqual("failed", self.outcome(place, 2, "verify"))

    def test_a_folder_of_dependencies_may_not_be_a_link_elsewhere(self) -> None:
        protect = ["tests/**", "src/**/node_modules/*", "!**/node_modules/.cache"]
        place = self.place(
            "ln -s . src/node_modules",
            repair(),
            repository=True,
            policy={"protect": protect, "allow": ["src/**"]},
        )
        place.run()
        self.assertEqual("policy", self.outcome(place, 2))
        self.assertFalse(os.path.lexists(place.project_file("src/node_modules")))

    def test_their_byte_code_stays_unless_something_changed_it(self) -> None:
        poison = (
            "import marshal, sys\n"
            "code = compile('raise SystemExit(0)', 'x', 'exec')\n"
            "with open(sys.argv[1], 'r+b') as file:\n"
            "    file.seek(16)\n"
            "    file.write(marshal.dumps(code))\n"
            "    file.truncate()\n"
        )
        for poisons in (False, True):
            place = self.protected("true", name=f"byte{poisons}")
            os.makedirs(place.project_file(".venv/lib"))
            for path, text in ((".venv/lib/dep.py", ""), ("poison.py", poison)):
                with open(place.project_file(path), "w", encoding="utf-8") as file:
                    file.write(text)
            path = os.path.relpath(
                py_compile.compile(place.project_file(".venv/lib/dep.py"), doraise=True),
                place.project,
            )
            before = self.read(place, path)
            gate = (
                f"PYTHONPATH=.venv/lib:src {sys.executable} -c 'import dep, calc; calc.add(1) == 5'"
            )
            agent = f"{sys.executable} poison.py {path}" if poisons else "true"
            policy = {"protect": ["tests/**", ".venv/*"], "allow": ["src/**"]}
            place.configure(
                {"total_rounds": 2, "commands": {"verify": gate, "fix": agent}, "policy": policy}
            )
            place.run(exitcode=1)
            self.assertEqual("failed", self.outcome(place, 2, "verify"))
            if not poisons:
                self.assertEqual(before, self.read(place, path))
            else:
                self.assertFalse(os.path.exists(place.project_file(path)))


if __name__ == "__main__":
    unittest.main()
