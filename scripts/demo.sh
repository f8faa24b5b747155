#!/bin/sh
# OpenLoop at work: a broken game, an agent that first only claims to have repaired it, and
# gates that do not take its word. Under a minute; Python 3.11 or newer is all it needs.
#
#   scripts/demo.sh            in a temporary folder, which is removed at the end
#   KEEP=1 scripts/demo.sh     the same, and the folder stays
#   scripts/demo.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use. Ends with 0 when the run ended complete.

set -eu

die() {
    printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}

title() {
    printf '\n=== %s\n\n' "$1"
}

# The executable behind the first Python that is new enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.14 python3.13 python3.12 python3.11
    fi
    for candidate in "$@"; do
        "$candidate" -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
print(sys.executable)' 2>/dev/null && return
    done
    return 1
}

# Show the command as one would type it, then run it from the checkout.
openloop() {
    printf '$ openloop'
    for word in "$@"; do
        case $word in
            *' '*) printf ' "%s"' "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    python3 -m openloop "$@"
}

case "${1:-}" in
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit ;;
    -*) die "demo.sh has no option $1" "scripts/demo.sh [FOLDER]" ;;
esac
[ $# -le 1 ] || die "demo.sh takes one folder at most" "scripts/demo.sh [FOLDER]"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$(find_python) || die "no Python 3.11 or newer was found" \
    "PYTHON=/path/to/python3 scripts/demo.sh"

if [ $# -eq 1 ]; then
    mkdir -- "$1" || die "$1 must be a new folder" "name one that does not exist yet"
    place=$(CDPATH='' cd -- "$1" && pwd)
    KEEP=1
else
    place=$(mktemp -d "${TMPDIR:-/tmp}/openloop-demo.XXXXXX")
fi
if [ "${KEEP:-0}" = 1 ]; then
    printf 'Working in %s\n' "$place"
else
    printf 'Working in %s (removed at the end; KEEP=1 keeps it)\n' "$place"
    trap 'rm -rf -- "$place"' EXIT
fi
trap 'exit 130' INT
trap 'exit 143' TERM

# The commands of the demo say python3: let that be the Python found above.
mkdir "$place/bin"
ln -s "$python" "$place/bin/python3"
PATH="$place/bin:$PATH"
PYTHONPATH="$root/src"
export PATH PYTHONPATH

title "1. A copy of the demo project, with a bug in it"
cp -R "$root/examples/demo_project" "$place/project"
find "$place/project" -name __pycache__ -prune -exec rm -rf {} +
cp "$root/examples/agents/repair_agent.py" "$place/repair_agent.py"
python3 "$root/examples/demo_broken/break_it.py" "$place/project"
printf '\nWhat a player sees of it:\n'
(cd "$place/project" && python3 app.py --bot --cave 3) | tail -n 12

title "2. A workspace: what to run, and what counts as healthy"
cd "$place"
openloop init .openloop/demo --project-root project \
    --mission "Get the bot out of the cave again, and keep it above baseline"
cp "$root/examples/openloop.broken.json" .openloop/demo/openloop.json
openloop doctor .openloop/demo

title "3. The run: the agent's first answer is a claim, its second a repair"
code=0
failed=0
openloop run .openloop/demo || code=$?
[ "$code" -eq 0 ] || failed=1

title "4. What the agent said, round by round"
for log in .openloop/demo/logs/*-fix*.log; do
    [ -f "$log" ] || continue
    printf '%s:\n' "$(basename "$log")"
    sed 's/^/    /' "$log"
done

title "5. Where the run stands"
openloop status .openloop/demo || failed=1

title "6. Whether the record is whole"
openloop audit .openloop/demo || failed=1

cmp -s project/bot.py "$root/examples/demo_project/bot.py" || failed=1
if [ "$failed" -eq 0 ]; then
    title "Complete: bot.py is byte for byte what it was before the bug."
else
    title "Not as expected: the run ended with exit code $code."
fi
[ "$code" -ne 0 ] || code=$failed
exit "$code"
