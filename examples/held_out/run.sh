#!/bin/sh
# OpenLoop with checks that the agent does not see: it writes the answers of the visible examples into
# the program, is told how many withheld cases fail, and then solves the problem. Under a minute;
# needs Python 3.11 or newer.
#
#   examples/held_out/run.sh            in a temporary folder, which is removed at the end
#   examples/held_out/run.sh FOLDER     in a new folder of that name, which stays
#
# Ends with 0 when the run ended complete, its record is whole, and nothing withheld was told.

set -eu

die() {
    printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}

title() {
    printf '\n=== %s\n\n' "$1"
}

case "${1:-}" in
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit ;;
    -*) die "run.sh has no option $1" "examples/held_out/run.sh [FOLDER]" ;;
esac
[ $# -le 1 ] || die "run.sh takes one folder at most" "examples/held_out/run.sh [FOLDER]"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "no Python 3.11 or newer was found as python3" "install one, or put it into PATH"

if [ $# -eq 1 ]; then
    mkdir -- "$1" || die "$1 must be a new folder" "name one that does not exist yet"
    place=$(CDPATH='' cd -- "$1" && pwd)
else
    place=$(mktemp -d "${TMPDIR:-/tmp}/openloop-held-out.XXXXXX")
    trap 'rm -rf -- "$place"' EXIT
fi
trap 'exit 130' INT
trap 'exit 143' TERM
cp -R "$here/project" "$here/agent.py" "$place"
cd "$place"

# The command from the checkout, for the gates too.
mkdir bin
ln -s "$root" checkout
cat >bin/openloop <<'END'
#!/bin/sh
PYTHONPATH="$(dirname -- "$0")/../checkout/src" exec python3 -m openloop "$@"
END
chmod +x bin/openloop
PATH="$place/bin:$PATH"
export PATH

title "1. What the agent sees: the examples"
openloop judge project/examples.jsonl -- python3 -B project/change.py || [ $? -eq 1 ]

title "2. What it does not see: more cases, their answers recorded from a version that is trusted"
openloop init .openloop/coins --project-root project >init.txt
cp "$here/openloop.json" .openloop/coins/openloop.json
mkdir .openloop/coins/holdout
cp "$here/cases.jsonl" .openloop/coins/holdout/cases.jsonl
openloop judge --record .openloop/coins/holdout/cases.jsonl -- python3 -B "$here/reference.py" |
    tail -n 3

title "3. The run"
code=0
openloop run .openloop/coins 2>&1 || code=$?
[ "$code" -eq 0 ] || exit "$code"

title "4. What the agent said, and what it was told"
cat .openloop/coins/logs/*-fix.log
printf '\n'
python3 "$here/told.py" .openloop/coins

title "5. Whether the record is whole"
openloop audit .openloop/coins
