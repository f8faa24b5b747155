#!/bin/sh
# Take the picture of a film strip in README.md: the play of examples/web_game that finds its second bug.
# Needs Chromium.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$root/examples/web_game/run.sh" "$folder/game"
film=$folder/game/.openloop/game/artifacts/round-0003-play/play.html
cat >"$folder/play.json" <<PLAY
{"version": 1, "viewport": {"width": 1200, "height": 700},
 "steps": [{"open": "file://$film"}, {"screenshot": "film-strip", "full": true}]}
PLAY
PYTHONPATH="$root/src" "${PYTHON:-python3}" -m openloop browse "$folder/play.json" --out "$folder"
cp "$folder/film-strip.png" "$root/assets/browse/"
