#!/bin/sh
# OpenLoop climbs a hill: a random search tunes a numeric program against its benchmark, and what
# does not help is put back. About 15 seconds; needs Python 3.11 or newer.
#
#   examples/hill_climb/run.sh            in a temporary folder, which is removed at the end
#   examples/hill_climb/run.sh FOLDER     in a new folder of that name, which stays
#
# Ends with 0 when some moves were kept, others put back, and the record is whole.

set -eu

die() {
    printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}

title() {
    printf '\n=== %s\n\n' "$1"
}

# Run the command from the checkout.
openloop() {
    PYTHONPATH="$root/src" python3 -m openloop "$@"
}

case "${1:-}" in
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit ;;
    -*) die "run.sh has no option $1" "examples/hill_climb/run.sh [FOLDER]" ;;
esac
[ $# -le 1 ] || die "run.sh takes one folder at most" "examples/hill_climb/run.sh [FOLDER]"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "no Python 3.11 or newer was found as python3" "install one, or put it into PATH"

if [ $# -eq 1 ]; then
    mkdir -- "$1" || die "$1 must be a new folder" "name one that does not exist yet"
    place=$(CDPATH='' cd -- "$1" && pwd)
else
    place=$(mktemp -d "${TMPDIR:-/tmp}/openloop-hill-climb.XXXXXX")
    trap 'rm -rf -- "$place"' EXIT
fi
trap 'exit 130' INT
trap 'exit 143' TERM
cp -R "$here/project" "$here/search_agent.py" "$place"
cd "$place"

title "1. Where the hill begins"
cat project/settings.json
(cd project && python3 -B benchmark.py)

title "2. The run"
openloop init .openloop/climb --project-root project >init.txt
cp "$here/openloop.json" .openloop/climb/openloop.json
code=0
openloop run .openloop/climb >verdict.txt 2>progress.txt || code=$?
[ "$code" -le 1 ] || cat progress.txt >&2
cat verdict.txt
[ "$code" -le 1 ] || exit "$code"

title "3. What was kept, and what was put back"
python3 "$here/kept.py" .openloop/climb

title "4. Where it ends, and whether the record is whole"
cat project/settings.json
(cd project && python3 -B benchmark.py)
openloop audit .openloop/climb --head "$(sed -n 's/^ *head  *//p' verdict.txt)"
