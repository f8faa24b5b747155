"""`openloop doctor` on programs that are not there: what was probably meant, and what is no
program."""

from __future__ import annotations

import json
import os
import subprocess

from support import Case, run_openloop, set_environment


class Missing(Case):
    def found(self, verify: str, files: dict[str, str] | None = None) -> str:
        """The problems that doctor finds, with their fixes, as one line."""
        place = self.workspace(f"w{len(os.listdir(self.folder))}", commands={"verify": verify})
        for name, text in (files or {}).items():
            with open(place.project_file(name), "w", encoding="utf-8") as file:
                file.write(text)
        report = run_openloop("doctor", place.path, "--json", exitcode=None).json
        problems = [one for one in report["findings"] if one["level"] == "problem"]
        return " ".join(f"{one['what']}; {one['fix']}" for one in problems)

    def test_a_misspelt_program_is_answered_with_one_that_is_there(self) -> None:
        self.assertIn("did you mean python3?", self.found("pyhton3 -m unittest"))
        self.assertIn("did you mean ./agent.sh?", self.found("./agnet.sh", {"agent.sh": ""}))
        self.assertNotIn("did you mean", self.found("quite-another-program"))

    def test_another_package_manager_is_no_misspelt_npm(self) -> None:
        self.folder_of_programs("npm")
        set_environment(self, PATH=os.path.join(self.folder, "bin"))
        self.assertIn("npm install --global pnpm", self.found("pnpm test"))

    def test_words_of_bash(self) -> None:
        asked = subprocess.run(
            ["/bin/sh", "-c", "command -v source"], stdout=subprocess.DEVNULL, check=False
        )
        if asked.returncode == 0:
            self.skipTest("/bin/sh is bash")
        self.assertIn("write . before a path", self.found("source .venv/bin/activate && true"))
        self.assertIn("write bash -c", self.found("pushd src && true"))

    def test_functions_and_aliases_are_no_programs(self) -> None:
        for verify in ("check() { true; }; check", "check () (true)\ncheck", "alias ll=true; ll"):
            with self.subTest(verify):
                self.assertEqual("", self.found(verify))

    def test_a_script_that_package_json_does_not_have(self) -> None:
        self.folder_of_programs("npm")
        files = {"package.json": json.dumps({"scripts": {"test": "true", "lint": "true"}})}
        for verify, fix in (
            ("npm run tests", "package.json has no script tests; did you mean test?"),
            ("npm run-script xyz", "package.json has no script xyz; it has test, lint"),
            ("npm test --silent", ""),
            ("npm run lint -- --quiet", ""),
            ("npm run -w a b", ""),
            ("npm run $SCRIPT", ""),
            ("cd web && npm run e2e", ""),
        ):
            with self.subTest(verify):
                found = self.found(verify, files)
                self.assertIn(fix, found) if fix else self.assertEqual("", found)
        self.assertIn(
            "has no script test; it has none", self.found("npm test", {"package.json": "{}"})
        )
        self.assertEqual("", self.found("npm test"))

    def folder_of_programs(self, *names: str) -> None:
        """A folder on PATH with programs of these names, which do nothing."""
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\n")
            os.chmod(path, 0o755)
        set_environment(self, PATH=f"{folder}:{os.environ['PATH']}")
