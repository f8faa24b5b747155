#!/bin/sh
# OpenLoop plays a web game: its unit tests pass, and nobody can click its button. An agent claims that
# all is well; a browser shows what is not. About 20 seconds; needs Python 3.11 or newer and Chromium.
#
#   examples/web_game/run.sh            in a temporary folder, which is removed at the end
#   KEEP=1 examples/web_game/run.sh     the same, and the folder stays
#   examples/web_game/run.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use, OPENLOOP_BROWSER the browser. Ends with 0 when the game was played
# through and the record is intact.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$root/examples/common.sh"
prepare examples/web_game/run.sh "$@"
make_place web-game "$@"
lead_with_python
cp -R "$here/project" "$here/agent.py" "$place"
cd "$place"

title "1. What the unit tests say"
(cd project && python3 -B check.py 2>&1 | tail -n 1)

title "2. The run"
openloop init .openloop/game --project-root project >init.txt
cp "$here/openloop.json" "$here/play.json" .openloop/game
code=0
openloop run .openloop/game 2>&1 || code=$?
[ "$code" -eq 0 ] || exit "$code"

title "3. What the browser saw in each round"
for log in .openloop/game/logs/round-*-play.log; do
    printf '%s\n' "$log"
    sed -n '/^failed/,/^[0-9]/p' "$log"
done

title "4. What is kept of it"
ls .openloop/game/artifacts/*-play*
openloop report .openloop/game --output report.html
openloop audit .openloop/game
