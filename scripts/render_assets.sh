#!/bin/sh
# Render the PNGs in assets/ from the SVGs beside them, which are their source. Needs
# rsvg-convert (Debian: librsvg2-bin). The SVGs hold no text to set and no filter, so no font of
# the machine gets into a picture.
#
#   scripts/render_assets.sh           write the PNGs
#   scripts/render_assets.sh FOLDER    write them there instead

set -eu

case "${1:-}" in
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit ;;
    -*) printf 'error: render_assets.sh has no option %s\n  fix: scripts/render_assets.sh [FOLDER]\n' \
        "$1" >&2 && exit 2 ;;
esac
assets=$(CDPATH='' cd -- "$(dirname -- "$0")/../assets" && pwd)
folder=${1:-$assets}
command -v rsvg-convert >/dev/null || {
    printf 'error: rsvg-convert is not there\n  fix: apt-get install librsvg2-bin\n' >&2
    exit 2
}

# render SOURCE PNG WIDTH HEIGHT, in pixels
render() {
    rsvg-convert --width "$3" --height "$4" --output "$folder/$2" "$assets/$1"
    printf '%s  %s x %s\n' "$folder/$2" "$3" "$4"
}

render openloop-logo.svg openloop-logo.png 1200 256
render openloop-social-preview.svg openloop-social-preview.png 1280 640
render openloop-mark.svg openloop-mark.png 512 512
render openloop-mark.svg openloop-icon.png 64 64
