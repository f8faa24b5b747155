"""The ecosystems that a table can describe: compilers, build tools and task runners."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from openloop.setup.detection.project_listing import ProjectListing, top_name


@dataclass(frozen=True, slots=True)
class ProjectCommands:
    """The commands of one ecosystem for a project; "" for none.

    why: what was seen, the first half of a sentence. example: a typical verify command. protect:
    globs of further files that decide whether verify passes. protect_anywhere: names of files that
    change the result of verify wherever they are created. doubtful: other ecosystems come first."""

    name: str
    why: str
    verify: str = ""
    scan: str = ""
    example: str = ""
    protect: tuple[str, ...] = ()
    protect_anywhere: tuple[str, ...] = ()
    doubtful: bool = False


class Candidate(NamedTuple):
    """A command that fits where `file` is there and its text matches, where `beside` is there too,
    and where the path of a file matches `among`.

    file: "" for the file that the ecosystem was known by.
    """

    command: str
    file: str = ""
    text: str = ""
    beside: str = ""
    among: str = ""

    def fits(self, project: ProjectListing, marker: str = "") -> bool:
        there = not self.beside or project.has(self.beside)
        among = not self.among or any(re.search(self.among, path) for path in project.files)
        return there and among and project.text_matches(self.file or marker, self.text)


class Ecosystem(NamedTuple):
    """An ecosystem known by a file at the root; the first candidate that fits is taken.

    proof: names of test files, and what one of them must say, where the test command passes
    when it finds no tests at all. example: where verify has none without conditions. protect_regex:
    for the text of the marker; its group is a path that is protected, too. adapted: a function
    of the command and of that text; its result is proposed.
    """

    name: str
    markers: tuple[str, ...]
    verify: tuple[Candidate, ...]
    scan: tuple[Candidate, ...] = ()
    proof: tuple[str, ...] = ()
    proof_text: str = ""
    example: str = ""
    protect_regex: str = ""
    adapted: Callable[[str, str], str] = lambda command, text: command

    def detect_commands(self, project: ProjectListing) -> ProjectCommands | None:
        marker = project.first(*self.markers)
        if not marker:
            return None
        verify = next((one for one in self.verify if one.fits(project, marker)), None)
        scan = next((one.command for one in self.scan if one.fits(project, marker)), "")
        if not (verify or scan or self.example):
            return None
        proven = verify is not None and self._is_proven(project)
        seen = (verify.file if verify else "") or marker
        return ProjectCommands(
            name=self.name,
            why=f"{seen} is there" if proven else f"{seen} is there, but no tests were seen",
            verify=self.adapted(verify.command, project.text(marker)) if verify and proven else "",
            scan=scan,
            example=self.example or self.verify[-1].command,
            protect=tuple(self._protected_paths(project, marker)),
        )

    def _protected_paths(self, project: ProjectListing, marker: str) -> Iterator[str]:
        """The globs of the paths named in the file at the root; a folder is taken whole."""
        found = re.search(self.protect_regex, project.text(marker), re.MULTILINE)
        if self.protect_regex and found and project.has(found[1]):
            folder, _, name = found[1].rpartition("/")
            yield f"{folder}/**" if folder else f"/{name}"

    def _is_proven(self, project: ProjectListing) -> bool:
        """Whether tests are visible in the files."""
        if not self.proof or not project.whole:
            return True
        return any(
            project.text_matches(path, self.proof_text) for path in project.named(*self.proof)
        )


def _with_tests(command: str, text: str) -> str:
    """The commands of CMake, with the first option that has to be on for the tests to be built."""
    for option in re.finditer(r'\boption\s*\(\s*(\w+)\s+"[^"]*"\s+OFF\s*\)', text, re.IGNORECASE):
        opened = rf"\bif\s*\((?!\s*NOT\b)[^)]*\b{option[1]}\b[^)]*\)"
        if re.search(rf"{opened}(?:(?!\bendif\b|\belse).)*?{_TESTING}", text, _LOOSE):
            return command.replace(f"-B {_BUILD}", f"-B {_BUILD} -D{option[1]}=ON", 1)
    return command


def _just(target: str) -> Candidate:
    return Candidate(f"just {target}", text=rf"^@?{target}( [^:=\n]*)?:(?!=)")


_JVM_TESTS = ("*Test.java", "*Tests.java", "Test*.java", "*Test.kt", "*Tests.kt", "*Spec.groovy")
_COMMON_TESTS = r"(^|/)src/commonTest/"  # of Kotlin for several platforms
_CLIPPY = "cargo clippy --all-targets"
# A folder of its own, made new each time: what an earlier build left could be forged.
_BUILD = "build/openloop"
_CTEST = (
    f"rm -rf {_BUILD} && cmake -S . -B {_BUILD} && cmake --build {_BUILD}"
    f" && ctest --test-dir {_BUILD} --output-on-failure --no-tests=error"
)
_MESON = f"rm -rf {_BUILD} && meson setup {_BUILD} && meson test -C {_BUILD}"
_TESTING = (
    r"\b(enable_testing\s*\(|include\s*\(\s*CTest\b"
    r"|add_subdirectory\s*\(\s*\"?[\w/${}-]*\btests?\"?\s*\))"
)
_LOOSE = re.IGNORECASE | re.DOTALL
_RAKE_TEST = r"TestTask|\btask\W+test\b"

# In the order in which one is made verify: a language's own test command, then what calls it for
# the person, then what calls it in environments of its own, and slower.
LANGUAGES = (
    Ecosystem(
        "Rust",
        ("Cargo.toml",),
        (Candidate("cargo test --workspace", text=r"^\[workspace\]"), Candidate("cargo test")),
        (
            Candidate(_CLIPPY, "clippy.toml"),
            Candidate(_CLIPPY, ".clippy.toml"),
            Candidate(_CLIPPY, text=r"^\[(workspace\.)?lints\.clippy"),
        ),
        proof=("*.rs",),
        proof_text=r"#\[(\w+::)*test\b|#\[cfg\(test\)\]|#\[rstest|^[ \t]*//[/!] ```",
        protect_regex=r'^build *= *"([\w./-]+)"',
    ),
    Ecosystem(
        "Go",
        ("go.mod",),
        (Candidate("go test ./..."),),
        (
            Candidate("golangci-lint run", ".golangci.yml"),
            Candidate("golangci-lint run", ".golangci.yaml"),
        ),
        proof=("*_test.go",),
        proof_text=r"^func (Test|Fuzz|Example)",
    ),
    Ecosystem(
        "Gradle",
        ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
        (
            Candidate("./gradlew jvmTest", "gradlew", among=_COMMON_TESTS),
            Candidate("./gradlew test", "gradlew"),
            Candidate("gradle test"),
        ),
        proof=_JVM_TESTS,
    ),
    Ecosystem(
        "Maven",
        ("pom.xml",),
        (Candidate("./mvnw -B test", "mvnw"), Candidate("mvn -B test")),
        proof=_JVM_TESTS,
    ),
    Ecosystem(
        ".NET",
        ("*.sln", "*.slnx", "*.csproj", "*.fsproj"),
        (Candidate("dotnet test"),),
        proof=("*.csproj", "*.fsproj", "*.props", "*.targets"),
        proof_text=r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>true|MSTest\.Sdk",
    ),
    Ecosystem("Elixir", ("mix.exs",), (Candidate("mix test"),), proof=("*_test.exs",)),
    Ecosystem(
        "PHP",
        ("composer.json",),
        (
            Candidate("composer run-script test", text=r'"test"\s*:\s*["\[]'),
            Candidate("vendor/bin/phpunit", "phpunit.xml"),
            Candidate("vendor/bin/phpunit", "phpunit.xml.dist"),
        ),
        (
            Candidate("vendor/bin/phpstan analyse", "phpstan.neon", beside="vendor/bin/phpstan"),
            Candidate("composer run-script phpstan", text=r'"phpstan"\s*:\s*["\[]'),
            Candidate("composer run-script lint", text=r'"lint"\s*:\s*["\[]'),
        ),
        proof=("*Test.php",),
    ),
    Ecosystem(
        "Ruby",
        ("Gemfile", "Rakefile", "*.gemspec"),
        (
            Candidate("bundle exec rspec", ".rspec", beside="Gemfile"),
            Candidate("bundle exec rspec", "spec", beside="Gemfile"),
            Candidate("rspec", "spec"),
            Candidate("bundle exec rake test", "Rakefile", _RAKE_TEST, beside="Gemfile"),
            Candidate("rake test", "Rakefile", _RAKE_TEST),
        ),
        (
            Candidate("bundle exec rubocop", "Gemfile", "rubocop", beside=".rubocop.yml"),
            Candidate("rubocop", ".rubocop.yml", beside="bin/rubocop"),
        ),
        proof=("*_spec.rb", "spec_*.rb", "*_test.rb", "test_*.rb"),
    ),
    Ecosystem(
        "CMake",
        ("CMakeLists.txt",),
        (Candidate(_CTEST, text=r"(?i)^[ \t]*(enable_testing|include\s*\(\s*CTest)"),),
        example=_CTEST,
        adapted=_with_tests,
    ),
    Ecosystem(
        "Meson",
        ("meson.build",),
        (
            Candidate(_MESON, among=r"^(?!subprojects/)(.+/)?tests?/(.+/)?meson\.build$"),
            Candidate(_MESON, text=r"^test\("),
        ),
        example=_MESON,
    ),
    Ecosystem(
        "autotools",
        ("configure.ac",),
        (Candidate("make check", "Makefile"),),
        example="make check, once configure has written a Makefile",
    ),
)
RUNNERS = (
    Ecosystem(
        "just",
        ("justfile", "Justfile", ".justfile"),
        (_just("test"), _just("check")),
        (_just("lint"),),
    ),
    Ecosystem(
        "tox",
        ("tox.ini", "pyproject.toml"),
        (
            Candidate("tox", "tox.ini", r"^\[(tox|testenv)"),
            Candidate("tox", "pyproject.toml", r"^\[tool\.tox"),
        ),
    ),
    Ecosystem("nox", ("noxfile.py",), (Candidate("nox"),)),
)
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
MARKERS = frozenset(
    (*_MAKEFILES, *(marker for ecosystem in (*LANGUAGES, *RUNNERS) for marker in ecosystem.markers))
)


def bats(project: ProjectListing) -> ProjectCommands | None:
    """The commands for shell scripts tested with bats."""
    files = project.named("*.bats")
    if not files or _makes_bats(project):
        return None
    deep = " -r" if any(path.count("/") > 1 for path in files) else ""
    folders = sorted({top_name(path) if "/" in path else "." for path in files})
    return ProjectCommands("bats", f"{files[0]} is there", verify=f"bats{deep} {' '.join(folders)}")


def _makes_bats(project: ProjectListing) -> bool:
    """Whether a Makefile has the tests of bats, often with a bats that it fetches itself."""
    file = project.first(*_MAKEFILES)
    return (
        bool(file)
        and project.text_matches(file, r"\bbats\b")
        and _has_target(project, file, "test")
    )


def make(project: ProjectListing) -> ProjectCommands | None:
    """Targets of a Makefile; with C sources all of it is built again each time, because an object
    file that lies around may be forged."""
    file = project.first(*_MAKEFILES)
    if not file:
        return None
    builds = project.named("*.c", "*.cc", "*.cpp") and not _makes_bats(project)
    run = "make -B" if builds else "make"
    test = next((name for name in ("test", "check") if _has_target(project, file, name)), "")
    verify = f"{run} {test}" if test else ""
    if not test and (program := _built_test(project.text(file))):
        verify = f"{run} {program} && ./{program}"
    lint = "lint" if _has_target(project, file, "lint") else ""
    return ProjectCommands(
        "make",
        f"{file} is there" if verify else f"{file} is there, but no target for tests was seen",
        verify=verify,
        scan=f"make {lint}" if lint else "",
        example="make test",
    )


def _has_target(project: ProjectListing, file: str, name: str) -> bool:
    """Whether a Makefile has a target, or passes those that it does not have on to src/."""
    target = rf"^([\w.-]+ ){{0,9}}{name}( [\w.-]+){{0,9}} ?:(?!=)"
    passed_on = project.text_matches(file, r"^\.DEFAULT:") and project.text_matches(
        "src/Makefile", target
    )
    return passed_on or project.text_matches(file, target)


def _built_test(makefile: str) -> str:
    """A target that is a test program: named as one, and linked by its own recipe."""
    for match in re.finditer(r"^([\w-]+) ?:(?!=).*\n((?:\t.*\n?)+)", makefile, re.MULTILINE):
        name, recipe = match.groups()
        if "test" in name and re.search(rf"-o (\$@|{re.escape(name)})(\s|$)", recipe):
            return name
    return ""
