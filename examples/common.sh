# What the demo and the examples share; to be sourced.
#
# The comment at the top of a script is what its --help prints, and PYTHON and KEEP mean the same
# to all of them.

# die WHAT FIX [CODE]
die() {
    printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
    exit "${3:-2}"
}

title() {
    printf '\n=== %s\n\n' "$1"
}

# Show the command as one would type it.
show() {
    printf '$ openloop'
    for word in "$@"; do
        case $word in
            *' '*) printf ' "%s"' "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
}

# Run the command from the checkout.
openloop() {
    PYTHONPATH="$root/src" python3 -m openloop "$@"
}

# Show the command, then run it.
shown() {
    show "$@"
    openloop "$@"
}

# show_logs LOG…: print the logs that exist, indented.
show_logs() {
    for log in "$@"; do
        [ -f "$log" ] || continue
        printf '%s:\n' "$(basename "$log")"
        sed 's/^/    /' "$log"
    done
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

# prepare SCRIPT [WORD…]: answer to the words of a script, and set python to the Python to use.
prepare() {
    script=$1
    shift
    case "${1:-}" in
        -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit ;;
        -*) die "${script##*/} has no option $1" "$script [FOLDER]" ;;
    esac
    [ $# -le 1 ] || die "${script##*/} takes one folder at most" "$script [FOLDER]"
    python=$(find_python) || die "no Python 3.11 or newer was found" \
        "PYTHON=/path/to/python3 $script"
}

# make_place NAME [FOLDER]: make the folder to work in, and set place to it.
make_place() {
    if [ $# -eq 2 ]; then
        mkdir -- "$2" || die "$2 must be a new folder" "name one that does not exist yet"
        place=$(CDPATH='' cd -- "$2" && pwd)
        KEEP=1
    else
        place=$(mktemp -d "${TMPDIR:-/tmp}/openloop-$1.XXXXXX")
    fi
    if [ "${KEEP:-0}" = 1 ]; then
        printf 'Working in %s\n' "$place"
    else
        printf 'Working in %s (removed at the end; KEEP=1 keeps it)\n' "$place"
        trap 'rm -rf -- "$place"' EXIT
    fi
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Let python3 be the Python found: openloop.json and the agents say python3.
lead_with_python() {
    mkdir "$place/bin"
    ln -s "$python" "$place/bin/python3"
    PATH="$place/bin:$PATH"
    export PATH
}
