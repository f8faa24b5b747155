#!/bin/sh
# A fleet of eight agents in one repository, each in a worktree of its own: seven repair a bug, one
# lies, and two of the seven change the same line. What is sound lands, the rest is named. Under a
# minute; needs Python 3.11 or newer, and git.
#
#   examples/fleet/run.sh            in a temporary folder, which is removed at the end
#   KEEP=1 examples/fleet/run.sh     the same, and the folder stays
#   examples/fleet/run.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use. LAUNCHER is slurm or ssh instead of local, HOSTS are for ssh, OPTIONS
# for both. Ends with 0 when six tasks landed and the two others did not.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$root/examples/common.sh"
prepare examples/fleet/run.sh "$@"
command -v git >/dev/null || die "git was not found" "install git"
make_place fleet "$@"
lead_with_python

title "1. One repository with eight bugs"
cp -R "$here/project" "$here/agent.py" "$place"
cd "$place/project"
git init --quiet --initial-branch=main .
git config user.name Example
git config user.email example@localhost
echo .openloop/ >.git/info/exclude
git add --all
git commit --quiet --message "Eight tools, eight bugs"
python3 -B -m unittest -q 2>&1 | tail -n 1

title "2. A fleet of eight agents"
mkdir .openloop
cp "$here/tasks.jsonl" .openloop/
sed "s|@PLACE@|$place|" "$here/openloop.json" >.openloop/openloop.json
python3 - "$here/bugs.json" >.openloop/bugs.json <<'END'
import json, os, sys
fleet = json.load(open(sys.argv[1]))
fleet["launcher"] = os.environ.get("LAUNCHER", "local")
fleet["options"] = os.environ.get("OPTIONS", "")
if hosts := os.environ.get("HOSTS", "").split():
    fleet["hosts"] = hosts
print(json.dumps(fleet, indent=2))
END
code=0
shown fleet run .openloop/bugs.json 2>&1 || code=$?
[ "$code" -eq 1 ] || die "fleet run ended with $code, and not with 1" "read what it printed" 1

title "3. Why one is not complete"
shown fleet explain .openloop/bugs.json dates

title "4. What is sound lands"
shown fleet land .openloop/bugs.json 2>/dev/null || code=$?
[ "$code" -eq 1 ] || die "fleet land ended with $code, and not with 1" "read what it printed" 1

title "5. The repository"
git log --oneline --first-parent
git status --short
python3 -B -m unittest -q 2>&1 | tail -n 1
[ "$(git log --oneline --merges --first-parent | wc -l)" -eq 6 ]
