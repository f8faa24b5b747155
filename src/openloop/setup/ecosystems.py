"""The ecosystems that a table can describe: compilers, build tools and task runners."""

from __future__ import annotations

from typing import NamedTuple

from openloop.setup.kit import Kit, Way
from openloop.setup.project_listing import Listing, top


class Ecosystem(NamedTuple):
    """An ecosystem known by a file at the root; the first way that fits is taken.

    proof: names of test files, and what one of them must say, where the test command passes
    when it finds no tests at all.
    """

    name: str
    markers: tuple[str, ...]
    verify: tuple[Way, ...]
    scan: tuple[Way, ...] = ()
    proof: tuple[str, ...] = ()
    proof_text: str = ""
    tests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def kit(self, project: Listing) -> Kit | None:
        marker = project.first(*self.markers)
        if not marker:
            return None
        verify = [way for way in self.verify if way.fits(project, marker)][:1]
        scan = [way for way in self.scan if way.fits(project, marker)]
        if not verify and not scan:
            return None
        proven = bool(verify) and self._is_proven(project)
        seen = (verify[0].file if verify else "") or marker
        return Kit(
            name=self.name,
            why=f"{seen} is there" if proven else f"{seen} is there, but no tests were seen",
            verify=verify[0].command if proven else "",
            scan=next((way.command for way in scan if way not in verify), ""),
            tests=_present(project, self.tests),
            sources=_present(project, self.sources),
        )

    def _is_proven(self, project: Listing) -> bool:
        """Whether there are tests to run, as far as that can be seen."""
        if not self.proof or not project.whole:
            return True
        return any(project.says(path, self.proof_text) for path in project.named(*self.proof))


def _present(project: Listing, globs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(glob for glob in globs if glob.startswith("**/") or project.has(top(glob)))


def _make(target: str) -> Way:
    return Way(f"make {target}", text=rf"^([\w.-]+ ){{0,9}}{target}( [\w.-]+){{0,9}} ?:(?!=)")


def _just(target: str) -> Way:
    return Way(f"just {target}", text=rf"^@?{target}( [^:=\n]*)?:(?!=)")


_JVM_TESTS = ("*Test.java", "*Tests.java", "Test*.java", "*Test.kt", "*Tests.kt", "*Spec.groovy")
_CLIPPY = "cargo clippy --all-targets"
_CTEST = " && ctest --test-dir build --output-on-failure --no-tests=error"
_CMAKE = "cmake -S . -B build && cmake --build build"
_RAKE_TEST = r"TestTask|\btask\W+test\b"

# In the order in which one is made verify: a language's own test command, then whoever calls it
# for the person, then what calls it in environments of its own, and slower.
ECOSYSTEMS = (
    Ecosystem(
        "Rust",
        ("Cargo.toml",),
        (Way("cargo test --workspace", text=r"^\[workspace\]"), Way("cargo test")),
        (
            Way(_CLIPPY, "clippy.toml"),
            Way(_CLIPPY, text=r"^\[(workspace\.)?lints\.clippy"),
            Way("cargo check --all-targets"),
        ),
        proof=("*.rs",),
        proof_text=r"#\[(\w+::)*test\b|#\[cfg\(test\)\]|#\[rstest|^[ \t]*//[/!] ```",
        tests=("tests/**",),
        sources=("src/**", "crates/**"),
    ),
    Ecosystem(
        "Go",
        ("go.mod",),
        (Way("go test ./..."),),
        (Way("golangci-lint run", ".golangci.yml"), Way("go vet ./...")),
        proof=("*_test.go",),
        proof_text=r"^func (Test|Fuzz|Example)",
        tests=("**/*_test.go", "**/testdata/**"),
        sources=("**/*.go",),
    ),
    Ecosystem(
        "Gradle",
        ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
        (Way("./gradlew test", "gradlew"), Way("gradle test")),
        proof=_JVM_TESTS,
        tests=("**/src/test/**",),
        sources=("**/src/main/**",),
    ),
    Ecosystem(
        "Maven",
        ("pom.xml",),
        (Way("./mvnw -B test", "mvnw"), Way("mvn -B test")),
        proof=_JVM_TESTS,
        tests=("**/src/test/**",),
        sources=("**/src/main/**",),
    ),
    Ecosystem(
        ".NET",
        ("*.sln", "*.slnx", "*.csproj", "*.fsproj"),
        (Way("dotnet test"),),
        (Way("dotnet build"),),
        proof=("*.csproj", "*.fsproj"),
        proof_text=r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>true|MSTest\.Sdk",
        tests=("**/*Tests.cs", "**/*Tests.fs"),
        sources=("src/**",),
    ),
    Ecosystem(
        "Elixir",
        ("mix.exs",),
        (Way("mix test"),),
        (Way("mix compile --warnings-as-errors"),),
        proof=("*_test.exs",),
        tests=("test/**",),
        sources=("lib/**",),
    ),
    Ecosystem(
        "PHP",
        ("composer.json",),
        (
            Way("composer run-script test", text=r'"test"\s*:\s*["\[]'),
            Way("vendor/bin/phpunit", "phpunit.xml"),
            Way("vendor/bin/phpunit", "phpunit.xml.dist"),
        ),
        (
            Way("vendor/bin/phpstan analyse", "phpstan.neon"),
            Way("vendor/bin/phpstan analyse", "phpstan.neon.dist"),
            Way("composer run-script lint", text=r'"lint"\s*:\s*["\[]'),
        ),
        proof=("*Test.php",),
        tests=("tests/**",),
        sources=("src/**", "app/**"),
    ),
    Ecosystem(
        "Ruby",
        ("Gemfile", "Rakefile", "*.gemspec"),
        (
            Way("bundle exec rspec", "spec", beside="Gemfile"),
            Way("rspec", "spec"),
            Way("bundle exec rake test", "Rakefile", _RAKE_TEST, beside="Gemfile"),
            Way("rake test", "Rakefile", _RAKE_TEST),
        ),
        (
            Way("bundle exec rubocop", ".rubocop.yml", beside="Gemfile"),
            Way("rubocop", ".rubocop.yml"),
        ),
        proof=("*_spec.rb", "*_test.rb", "test_*.rb"),
        tests=("spec/**", "test/**"),
        sources=("lib/**", "app/**"),
    ),
    Ecosystem(
        "CMake",
        ("CMakeLists.txt",),
        (Way(_CMAKE + _CTEST, text=r"(?i)^[ \t]*(enable_testing|include\s*\(\s*CTest)"),),
        (Way(_CMAKE),),
        tests=("tests/**", "test/**"),
        sources=("src/**", "include/**"),
    ),
    Ecosystem(
        "make",
        ("GNUmakefile", "makefile", "Makefile"),
        (_make("test"), _make("check")),
        (_make("lint"), _make("check")),
        tests=("tests/**", "test/**"),
        sources=("src/**",),
    ),
    Ecosystem(
        "just",
        ("justfile", "Justfile", ".justfile"),
        (_just("test"), _just("check")),
        (_just("lint"), _just("check")),
        tests=("tests/**", "test/**"),
        sources=("src/**",),
    ),
    Ecosystem(
        "tox",
        ("tox.ini", "pyproject.toml"),
        (
            Way("tox", "tox.ini", r"^\[(tox|testenv)"),
            Way("tox", "pyproject.toml", r"^\[tool\.tox"),
        ),
    ),
    Ecosystem("nox", ("noxfile.py",), (Way("nox"),)),
)
MARKERS = frozenset(marker for ecosystem in ECOSYSTEMS for marker in ecosystem.markers)
