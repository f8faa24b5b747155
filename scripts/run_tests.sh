#!/bin/sh
# Run every check of the project: style, types, spelling, tests. Needs Python 3.11 or newer; what else it
# needs it installs into .venv/. With --quick the files that say `SLOW = True` are left out. Other words
# given to it go to pytest.
set -eu
cd "$(dirname "$0")/.."

quick=
if [ "${1:-}" = --quick ]; then
    shift
    quick=$(grep -rl --include='test_*.py' '^SLOW = True' tests | sed 's/^/--ignore=/')
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python is older than Python 3.11; fix: set PYTHON to a newer one" >&2
    exit 2
}

tools=.venv/bin
ready() { "$tools/python" -c 'import codespell_lib, flit_core, jsonschema, mcp.client.client, mypy, pytest, ruff, xdist' 2>/dev/null; }
if ! ready; then
    echo "installing the tools of the tests into .venv"
    { "$python" -m venv .venv && "$tools/python" -m pip install --quiet \
        'pytest>=9' 'pytest-xdist>=3.6' 'jsonschema>=4.20' 'mypy>=1.10' 'ruff>=0.6' \
        'codespell>=2.4' 'mcp>=2.3' 'flit_core>=3.11,<4'; } || true
fi

# Programs that some tests ask: skipped without them, but a failure where CI is true.
missing=
have() { for name in "$@"; do PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null && return; done; return 1; }
have chromium chromium-browser google-chrome || missing="$missing chromium"
have zsh || missing="$missing zsh"
have fish || missing="$missing fish"
have bwrap || missing="$missing bubblewrap"
have xmllint || missing="$missing libxml2-utils"
have curl || missing="$missing curl"
have npm || missing="$missing npm"
have sshd || missing="$missing openssh-server"
have sbatch || missing="$missing slurm-client"
have slurmctld || missing="$missing slurmctld"
have slurmd || missing="$missing slurmd"
have munged || missing="$missing munge"
if [ -n "$missing" ] && [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ] && have apt-get; then
    echo "installing$missing"
    # shellcheck disable=SC2086 # a list of words
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing; } \
        >/dev/null || echo "note: could not install$missing" >&2
fi

export PYTHONPATH=src
if ! ready; then
    if [ "${CI:-}" = true ]; then
        echo "error: the tools of the tests could not be installed" >&2
        exit 1
    fi
    echo "note: pytest, mypy, ruff and codespell could not be installed; running the tests alone" >&2
    exec "$python" -m unittest discover -s tests -p 'test_*.py'
fi

"$tools/ruff" check src tests scripts examples
"$tools/ruff" format --check src tests scripts examples
"$tools/mypy"
"$tools/codespell"

count='import sys, unittest
sys.path.insert(0, "tests")
print(unittest.defaultTestLoader.discover("tests", "test_*.py").countTestCases())'
discovered=$("$tools/python" -c "$count")
collected=$("$tools/pytest" --collect-only -q -o addopts= | grep -c '::')
if [ "$discovered" -eq 0 ] || [ "$discovered" -ne "$collected" ]; then
    echo "error: unittest finds $discovered tests, pytest $collected: they must be the same" >&2
    exit 1
fi

"$tools/python" -m compileall -q src # once, whatever PYTHONDONTWRITEBYTECODE says

# shellcheck disable=SC2086 # a list of words
# Commands of the tests that say python3 get one without what a system adds to its start. A third of
# the tests' time is waiting: one worker more than there are cores.
PATH=$PWD/$tools:$PATH exec "$tools/pytest" --numprocesses $(($(nproc) + 1)) --dist worksteal $quick "$@"
