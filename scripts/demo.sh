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

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/examples/common.sh"
prepare scripts/demo.sh "$@"
make_place demo "$@"
lead_with_python

title "1. A copy of the demo project, with a bug in it"
cp -R "$root/examples/demo_project" "$place/project"
find "$place/project" -name __pycache__ -prune -exec rm -rf {} +
cp "$root/examples/agents/repair_agent.py" "$place/repair_agent.py"
python3 "$root/examples/demo_broken/break_it.py" "$place/project"
printf '\nWhat a player sees of it:\n'
(cd "$place/project" && python3 app.py --bot --cave 3) | tail -n 12

title "2. A workspace: what to run, and what counts as healthy"
cd "$place"
shown init .openloop/demo --project-root project \
    --mission "Get the bot out of the cave again, and keep it above baseline"
cp "$root/examples/openloop.broken.json" .openloop/demo/openloop.json
shown doctor .openloop/demo

title "3. The run: the agent's first answer is a claim, its second a repair"
code=0
failed=0
shown run .openloop/demo || code=$?
[ "$code" -eq 0 ] || failed=1

title "4. What the agent said, round by round"
show_logs .openloop/demo/logs/*-fix*.log

title "5. Where the run stands"
shown status .openloop/demo || failed=1

title "6. Whether the record is intact"
shown audit .openloop/demo || failed=1

cmp -s project/bot.py "$root/examples/demo_project/bot.py" || failed=1
if [ "$failed" -eq 0 ]; then
    title "Complete: bot.py is byte for byte what it was before the bug."
else
    title "Not as expected: the run ended with exit code $code."
fi
[ "$code" -ne 0 ] || code=$failed
exit "$code"
