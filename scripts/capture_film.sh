#!/bin/sh
# Take the pictures of the film strips in README.md and in examples/web_game: the play that finds the
# second bug, and the one that passes. Needs Chromium.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$root/examples/web_game/run.sh" "$folder/game"
artifacts=$folder/game/.openloop/game/artifacts
cat >"$folder/play.json" <<PLAY
{"version": 1, "viewport": {"width": 1200, "height": 700},
 "steps": [{"open": "file://$artifacts/round-0003-play/play.html"},
           {"screenshot": "film-strip", "full": true},
           {"open": "file://$artifacts/round-0003-play-2/play.html"},
           {"screenshot": "film", "full": true}]}
PLAY
PYTHONPATH="$root/src" "${PYTHON:-python3}" -m openloop browse "$folder/play.json" --out "$folder"
cp "$folder/film-strip.png" "$root/assets/browse/"
cp "$folder/film.png" "$root/examples/web_game/"
