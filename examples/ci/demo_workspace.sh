#!/bin/sh
# The broken demo as a job finds it: a project, an agent, a workspace. Run from the root of a
# checkout; in a repository of your own, the workspace's openloop.json is committed instead.
#
#   examples/ci/demo_workspace.sh WORKSPACE        for example .openloop/demo
#
# project/ and repair_agent.py are written to the current directory, which must not hold them.

set -eu

[ $# -eq 1 ] || {
    printf 'error: one word is needed\n  fix: examples/ci/demo_workspace.sh .openloop/demo\n' >&2
    exit 2
}
examples=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

for name in project repair_agent.py; do
    [ ! -e "$name" ] || {
        printf 'error: %s is there already\n  fix: start in a fresh checkout\n' "$name" >&2
        exit 2
    }
done
cp -R "$examples/demo_project" project
cp "$examples/agents/repair_agent.py" repair_agent.py
python3 "$examples/demo_broken/break_it.py" project
openloop init "$1" --project-root project \
    --mission "Get the bot out of the cave again, and keep it above baseline"
cp "$examples/openloop.broken.json" "$1/openloop.json"
openloop doctor "$1"
