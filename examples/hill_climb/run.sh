#!/bin/sh
# OpenLoop climbs a hill: a random search tunes a numeric program against its benchmark, and what
# does not help is restored. About 15 seconds; needs Python 3.11 or newer.
#
#   examples/hill_climb/run.sh            in a temporary folder, which is removed at the end
#   KEEP=1 examples/hill_climb/run.sh     the same, and the folder stays
#   examples/hill_climb/run.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use. Ends with 0 when some changes were kept, others restored, and the
# record is intact.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$root/examples/common.sh"
prepare examples/hill_climb/run.sh "$@"
make_place hill-climb "$@"
lead_with_python
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

title "3. What was kept, and what was restored"
python3 "$here/kept.py" .openloop/climb

title "4. Where it ends, and whether the record is intact"
cat project/settings.json
(cd project && python3 -B benchmark.py)
openloop audit .openloop/climb --head "$(sed -n 's/^ *head  *//p' verdict.txt)"
