"""Patterns in the language of .gitignore: what they cover, and that git says the same."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
import unittest

from openloop.config.globs import Globs, check, literal
from support import Case, need

Patterns = tuple[str, ...]

# Each line: patterns, `|`, paths that they cover, `|`, paths that they do not. The path of a
# folder ends in a slash.
TABLE = r"""
tests/           | tests/ tests/a tests/a/b src/tests/ src/tests/a | tests src/tests test/a testsx/a
tests            | tests tests/ tests/a src/tests src/tests/a/b | test testsx xtests tests.py
/tests           | tests tests/ tests/a tests/a/b             | src/tests src/tests/a
/tests/          | tests/ tests/a                             | tests src/tests/ src/tests/a
tests/**         | tests/a tests/a/b tests/a/b/c              | tests tests/ src/tests/a
tests/*          | tests/a tests/a/ tests/a/b                 | tests tests/ src/tests/a
tests/**/        | tests/a/ tests/a/b                         | tests/ tests/a
**/tests         | tests tests/a a/tests a/b/tests a/b/tests/c | atests a/testsb
**/tests/**      | tests/a a/tests/b a/b/tests/c/d            | tests tests/ a/tests a/tests/
a/**/b           | a/b a/x/b a/x/y/b a/b/c                    | a ab a/xb b x/a/b
a/**/**/b        | a/b a/x/b a/x/y/b                          | ab a/xb
a/***/b          | a/b a/x/b a/x/y/b                          | ab a/xb
a/**/b/**/c      | a/b/c a/x/b/y/c a/b/b/c a/b/x/b/c/d        | a/c a/b a/c/b b/c
a/*/c            | a/b/c a/b/c/d                              | a/c a/b/b/c
a/b              | a/b a/b/ a/b/c                             | b/a/b x/a/b a/bc
*.py             | a.py b/a.py .py a.py/ a.py/b               | a.pyc py a.py.txt
/*.py            | a.py .py                                   | b/a.py
src/*.py         | src/a.py                                   | src/b/a.py a.py
src/**/*.py      | src/a.py src/b/a.py src/b/c/a.py           | a.py src/a.pyc
*                | a a/ a/b .a                                |
/*               | a a/b                                      |
**               | a a/b a/                                   |
/**              | a a/b                                      |
**/              | a/ a/b                                     | a
*/               | a/ a/b                                     | a
*/b              | a/b a/b/c                                  | b a/c a/c/b
**/*             | a a/b                                      |
a**b             | ab axb axxb c/ab                           | a/b a b
**.py            | a.py b/a.py                                | a.pyc
?                | a b/a a/b/c                                | ab
??.c             | ab.c d/ab.c                                | a.c abc.c
a?b              | axb                                        | ab a/b axxb
/a?b             | axb                                        | a/b x/axb
[a-c]            | a b c x/b                                  | d ab
[!a-c]           | d x/d e/a                                  | a b
[^a-c]           | d                                          | a
[abc-]           | a -                                        | d
[-abc]           | a -                                        | d
[]a]             | ] a                                        | b
[!]a]            | b                                          | ] a
[\]]             | ]                                          | a
[\a-c]           | a b c                                      | d -
[a\-c]           | a - c                                      | b
[a-]             | a -                                        | b
[[]              | [                                          | a ]
[[:digit:]]      | 0 9 a/5                                    | a :
[![:digit:]]     | a :                                        | 0
[[:alpha:]_]x    | ax _x Zx                                   | 0x
[[:x]            | [ : x                                      | a
[+--]            | + , -                                      | . a
x[a-c]y          | xay xby                                    | xdy x/y
a[!x]b           | ayb                                        | axb a/b
/a[!x]b          | ayb                                        | axb a/b
\*               | *                                          | a
\?               | ?                                          | a
\[a]             | [a]                                        | a
\a               | a                                          | \a
a\\b             | a\b                                        | ab
\!a              | !a                                         | a
#a               | #a x/#a                                    | a
*.[oa]           | x.o x.a y/x.o                              | x.c x.oa
*a*b*c           | abc xaxbxc d/abc                           | acb ab a/bc
*a               | a ba aa                                    | ab
a*               | a ab ab/c                                  | ba
a*a              | aa aba aaa                                 | a
*.*.*            | a.b.c ...                                  | a.b
.*               | .a .git/a b/.a                             | a
foo/bar/         | foo/bar/ foo/bar/a                         | foo/bar x/foo/bar/
* !*.py          | a a/b.py                                   | a.py
* !*/ !*.py      | a a/b a.txt                                | a.py a/b.py a/ a/b/
*.log !a.log     | b.log x/b.log                              | a.log x/a.log
*.log !/a.log    | b.log x/a.log                              | a.log
!a.log *.log     | a.log b.log                                |
a !a/b           | a a/ a/b a/c                               | b
a/* !a/b         | a/c a/c/b                                  | a a/b a/b/c
a/** !a/b        | a/c a/b/c                                  | a/b a/b/
a/** !a/b/**     | a/c a/b/                                   | a/
a !a             |                                            | a a/b
a !a a           | a a/b                                      |
!a               |                                            | a a/b
a/ !a            |                                            | a/ a/b a
a !a/            | a                                          | a/ a/b
x y/z !y/z/w     | x y/z y/z/w q/x                            | z y
""".strip()

NAMES = ["a", "b", "c", "ab", "ba", "abc", "a.b", ".a", "a-", "]", "a*", "\\", "\u00e9", "a "]
PIECES = [
    *("a", "b", "c", "ab", ".", "-", "\u00e9", "\\ ", "#", "\\*", "\\\\", "\\a", "\\!"),
    *("*", "*", "*", "?", "?", "[ab]", "[!a]", "[^b-z]", "[a-c]", "[]a]", "[-.]", "[[:alpha:]]"),
    *("/", "/", "/", "**/", "/**", "/**/", "/*/"),
]


def rows() -> list[tuple[Patterns, list[str], list[str]]]:
    """TABLE, read: (patterns, paths that they cover, paths that they do not)."""
    found = []
    for line in TABLE.strip().splitlines():
        patterns, covered, others = line.split("|")
        found.append((tuple(patterns.split()), covered.split(), others.split()))
    return found


def covers(patterns: Patterns, path: str) -> bool:
    name = os.fsencode(path)
    return Globs(patterns).matches(name.removesuffix(b"/"), folder=name.endswith(b"/"))


def line_of(pattern: str) -> str:
    """A pattern as a line of .gitignore, where a # would begin a comment."""
    return "\\" + pattern if pattern.startswith("#") else pattern


def asked_of_git(folder: str, questions: list[tuple[Patterns, list[str]]]) -> list[set[str]]:
    """Of each question, the paths that git calls ignored; one process answers them all."""
    need(shutil.which("git"), "git")
    alone = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone |= {"HOME": folder, "XDG_CONFIG_HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", folder], env=alone, check=True, capture_output=True)
    wanted = {}
    for number, (patterns, paths) in enumerate(questions):
        for kind in ("file", "folder"):  # a path is asked for as the one and as the other
            os.mkdir(os.path.join(folder, f"{number}-{kind}"))
            with open(os.path.join(folder, f"{number}-{kind}", ".gitignore"), "wb") as file:
                file.writelines(os.fsencode(line_of(pattern)) + b"\n" for pattern in patterns)
        for path in paths:
            name = f"{number}-{'folder' if path.endswith('/') else 'file'}/{path.rstrip('/')}"
            wanted[os.fsencode(name)] = number, path
            if path.endswith("/"):
                os.makedirs(os.path.join(folder, name), exist_ok=True)
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        input=b"".join(name + b"\0" for name in wanted),
        cwd=folder,
        env=alone,
        capture_output=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise AssertionError(done.stderr)
    answers: list[set[str]] = [set() for _ in questions]
    for number, path in map(wanted.__getitem__, done.stdout.split(b"\0")[:-1]):
        answers[number].add(path)
    return answers


class Covered(unittest.TestCase):
    """What patterns cover."""

    def test_table(self) -> None:
        for patterns, covered, others in rows():
            for path in covered:
                with self.subTest(patterns=patterns, path=path):
                    self.assertTrue(covers(patterns, path))
            for path in others:
                with self.subTest(patterns=patterns, path=path):
                    self.assertFalse(covers(patterns, path))

    def test_no_patterns_cover_nothing(self) -> None:
        self.assertFalse(Globs([]).matches(b"a"))

    def test_names_hold_any_byte(self) -> None:
        self.assertTrue(Globs(["a*z"]).matches(b"a\n\xff\xfez"))
        self.assertTrue(Globs(["a/**"]).matches(b"a/\n/\xff"))
        self.assertTrue(Globs(["a\nb/"]).matches(b"a\nb/c"))
        self.assertTrue(Globs(["a"]).matches(b"\n/a"))
        self.assertFalse(Globs(["a"]).matches(b"a\n"))
        self.assertFalse(Globs(["*", "!a"]).matches(b"a"))
        self.assertTrue(Globs(["*", "!a"]).matches(b"a\n"))
        self.assertTrue(Globs(["\udcff"]).matches(b"\xff"))
        self.assertTrue(Globs(["[!a]"]).matches(b"\xff"))
        self.assertTrue(Globs(["a\\ "]).matches(b"a "))
        self.assertTrue(Globs(["a b"]).matches(b"a b/c"))

    def test_folders_that_no_pattern_reaches(self) -> None:
        globs = Globs(["tests/**", "/a/b/*.c", "!x/y", "d/**/e", "space/x?"])
        for folder in (b"tests", b"tests/deep/er", b"a", b"a/b", b"a/b/c", b"d", b"d/x", b"space"):
            self.assertTrue(globs.reaches(folder), folder)
        for folder in (b"build", b"a/c", b"x", b"x/y", b"test", b"tests2"):
            self.assertFalse(globs.reaches(folder), folder)
        self.assertTrue(Globs(["*.py"]).reaches(b"any/folder"))
        self.assertFalse(Globs([]).reaches(b"any/folder"))

    def test_literal_covers_its_path_alone(self) -> None:
        paths = [b"a", b"a*", b"x/[b]", b"a?", b"\\", b"!a", b"#a", b"a ", b"\xff\n", b"~", b"a  "]
        for path in paths:
            for other in paths:
                with self.subTest(path=path, other=other):
                    self.assertEqual("", check(literal(path)))
                    self.assertEqual(path == other, Globs([literal(path)]).matches(other))
        self.assertFalse(Globs([literal(b"a")]).matches(b"b/a"))


class Refused(unittest.TestCase):
    """Patterns that would not do what they seem to."""

    def test_each_with_its_reason(self) -> None:
        for pattern, reason in {
            "": "is empty",
            "  ": "is empty",
            "!": "is empty",
            "/": "no name",
            "a//b": "no name",
            "//a": "no name",
            "a//": "no name",
            "./a": "`.`",
            "a/.": "`.`",
            "../a": "`..`",
            "a/../b": "`..`",
            "..": "`..`",
            "!../a": "`..`",
            "!src/**.py": "`**` beside other letters",
            "~/a": "~",
            "~": "~",
            "a\0b": "NUL",
            "a ": "ends in a space",
            "[a": "not closed",
            "[": "not closed",
            "[]": "not closed",
            "[!]": "not closed",
            "[a\\": "not closed",
            "[a-": "not closed",
            "[a/b]": "not closed",
            "a[[:alpha:]": "not closed",
            "[[:word:]]": "unknown class [:word:]",
            "[z-a]": "backwards",
            "[\u00e9]": "ASCII",
            "a\\": "backslash",
            "a\\/b": "backslash",
            "src/**.py": "`**`",
            "src**/a": "`**`",
            "\ud800": "surrogate",
        }.items():
            with self.subTest(pattern=pattern):
                self.assertIn(reason, check(pattern))
                with self.assertRaisesRegex(ValueError, ""):
                    Globs(["a", pattern])

    def test_sound_patterns(self) -> None:
        for patterns, _, _ in rows():
            for pattern in patterns:
                with self.subTest(pattern=pattern):
                    self.assertEqual("", check(pattern))
        for pattern in ("...", "..a", "a..", "~a", "a~/b", "[a]b]", "a]", "{a,b}", "\\~/a"):
            with self.subTest(pattern=pattern):
                self.assertEqual("", check(pattern))


class AskedOfGit(Case):
    """git check-ignore says the same."""

    def compare(self, questions: list[tuple[Patterns, list[str]]]) -> int:
        """How many pairs were compared."""
        answers = asked_of_git(self.folder, questions)
        for (patterns, paths), ignored in zip(questions, answers, strict=True):
            ours = {path for path in paths if covers(patterns, path)}
            self.assertEqual(ignored, ours, patterns)
        return sum(len(paths) for _, paths in questions)

    def test_table(self) -> None:
        questions = [(patterns, covered + others) for patterns, covered, others in rows()]
        self.assertGreater(self.compare(questions), 300)

    def test_random_lists(self) -> None:
        chance = random.Random(20)
        questions = [(random_patterns(chance), random_paths(chance)) for _ in range(200)]
        self.assertGreater(self.compare(questions), 3000)


def random_patterns(chance: random.Random) -> Patterns:
    found: list[str] = []
    size = chance.randint(1, 5)
    while len(found) < size:
        pattern = "".join(chance.choices(PIECES, k=chance.randint(1, 6)))
        pattern = chance.choice(("", "", "", "!")) + pattern + chance.choice(("", "", "/"))
        if not check(pattern):
            found.append(pattern)
    return tuple(found)


def random_paths(chance: random.Random) -> list[str]:
    paths = {
        "/".join(chance.choices(NAMES, k=chance.randint(1, 5))) + chance.choice(("", "", "/"))
        for _ in range(20)
    }
    return sorted(paths)


class Speed(unittest.TestCase):
    """Matching costs next to nothing, and no pattern makes it explode."""

    def seconds(self, patterns: list[str], paths: list[bytes]) -> float:
        globs = Globs(patterns)
        began = time.process_time()
        for path in paths:
            globs.matches(path)
        return time.process_time() - began

    def test_a_hundred_thousand_matches(self) -> None:
        protect = ["tests/**", "benchmark.py", "*.toml", "**/conftest.py", "/ci/", "docs/*.md"]
        paths = [b"src/package%d/module%d/file%d.py" % (n % 7, n % 91, n) for n in range(100_000)]
        self.assertLess(self.seconds(protect, paths), 1.5)
        self.assertLess(self.seconds([*protect, "!tests/fixtures/**"], paths), 3.0)

    def test_hard_patterns(self) -> None:
        hard = ["*a*a*a*a*a*a*b", "x/**/a/**/a/**/a/**/a/**/b", "**/*a*/**/*a*/**/*a*/b"]
        names = [b"a" * 200, b"x/" + b"a/" * 500 + b"c", b"a" * 60 + b"/" + b"aaaa/" * 60 + b"c"]
        self.assertLess(self.seconds(hard, names), 1.5)


if __name__ == "__main__":
    unittest.main()
