#!/bin/sh
# OpenLoop with checks that the agent does not see: it writes the answers of the visible examples into
# the program, learns how many withheld cases fail, and then solves the problem. Under a minute;
# needs Python 3.11 or newer.
#
#   examples/held_out/run.sh            in a temporary folder, which is removed at the end
#   KEEP=1 examples/held_out/run.sh     the same, and the folder stays
#   examples/held_out/run.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use. Ends with 0 when the run ended complete, its record is intact, and
# no prompt contains a withheld input.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$root/examples/common.sh"
prepare examples/held_out/run.sh "$@"
make_place held-out "$@"
lead_with_python
cp -R "$here/project" "$here/agent.py" "$place"
cd "$place"

# The command from the checkout, for the gates.
ln -s "$root" checkout
cat >bin/openloop <<'END'
#!/bin/sh
PYTHONPATH="$(dirname -- "$0")/../checkout/src" exec python3 -m openloop "$@"
END
chmod +x bin/openloop

title "1. What the agent sees: the examples"
openloop judge project/examples.jsonl -- python3 -B project/change.py || [ $? -eq 1 ]

title "2. What it does not see: more cases, their answers recorded from a trusted version"
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

title "4. What the agent said, and what its prompts said of the withheld cases"
cat .openloop/coins/logs/*-fix.log
printf '\n'
python3 "$here/check_prompts.py" .openloop/coins

title "5. Whether the record is intact"
openloop audit .openloop/coins
