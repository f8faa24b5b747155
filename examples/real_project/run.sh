#!/bin/sh
# OpenLoop on a package that other people wrote: cachetools, with its own test suite. Its source
# distribution is fetched from the package registry that pip is set up with, broken with a patch,
# and brought back by the loop. Under two minutes; needs Python 3.11 or newer with pip, tar, patch.
#
#   examples/real_project/run.sh            in a temporary folder, which is removed at the end
#   KEEP=1 examples/real_project/run.sh     the same, and the folder stays
#   examples/real_project/run.sh FOLDER     in a new folder of that name, which stays
#
# PYTHON names the Python to use. Ends with 0 when the run ended complete, with 69 when the
# registry cannot be reached.

set -eu

PACKAGE=cachetools
VERSION=8.0.1
SHA256=deb1d376d4d28c2f33f3e3058043b005e0af75c35c094bd54053e27d2906ad95
UNREACHABLE=69 # EX_UNAVAILABLE of sysexits.h

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$root/examples/common.sh"

# The source distribution as sdist.tar.gz. pip has no other way to fetch one than to ask its
# build backend for its name, which it does in a throw-away environment.
fetch() {
    if ! "$python" -m pip --disable-pip-version-check --retries 1 --timeout 30 download --quiet \
        --no-deps --no-binary "$PACKAGE" --dest fetched "$PACKAGE==$VERSION" >fetch.log 2>&1; then
        tail -n 5 fetch.log >&2
        die "the package registry that pip is set up with did not hand out $PACKAGE $VERSION" \
            "see the lines above, the network, and \`pip config list\`; then try again" \
            "$UNREACHABLE"
    fi
    mv fetched/*.tar.gz sdist.tar.gz
    sum=$(python3 -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' sdist.tar.gz)
    [ "$sum" = "$SHA256" ] || die "the sha256 of $PACKAGE $VERSION is $sum, not $SHA256" \
        "ask pip for the original: its registry serves another file under this name" 1
}

prepare examples/real_project/run.sh "$@"
"$python" -m pip --version >/dev/null 2>&1 || die "$python has no pip" \
    "PYTHON=/path/to/python3 examples/real_project/run.sh, with one that has"
for tool in tar patch; do
    command -v "$tool" >/dev/null || die "$tool is missing" "install it, then run this again"
done

make_place real-project "$@"
cd "$place"

title "1. $PACKAGE $VERSION, as its makers published it"
"$python" -m venv --without-pip venv
PATH="$place/venv/bin:$PATH"
export PATH
unset PYTHONPATH
fetch
tar -xzf sdist.tar.gz
mv "$PACKAGE-$VERSION" project
cp -R project original
cp "$here/play.py" "$here/benchmark.py" "$here/repair_agent.py" .
(cd project && PYTHONPATH=src python3 -B -m unittest discover -s tests -t .) >tests.log 2>&1 || {
    tail -n 20 tests.log >&2
    die "$PACKAGE fails its own tests before anything was broken" "use another Python: PYTHON=…" 1
}
printf 'Its own tests: %s\n' "$(tail -n 3 tests.log | tr -s '\n' ' ')"
printf 'The benchmark: '
(cd project && PYTHONPATH=src python3 -B ../benchmark.py)

title "2. Broken with a patch of ours"
patch -d project -p1 -s <"$here/broken.patch"
sed -n '/^@@/,$p' "$here/broken.patch" | grep '^[-+]'

title "3. A workspace: what to run, and what counts as healthy"
shown init .openloop/real --project-root project \
    --mission "Bring $PACKAGE back: its own tests pass, and old sessions leave the memory"
cp "$here/openloop.json" .openloop/real/openloop.json
shown doctor .openloop/real

title "4. The run"
code=0
show run .openloop/real
openloop run .openloop/real >verdict.txt || code=$?
cat verdict.txt

title "5. What the agent said"
show_logs .openloop/real/logs/*-fix*.log .openloop/real/logs/*-improve*.log

title "6. Where the run stands, and whether its record is intact"
failed=0
shown status .openloop/real || failed=1
head=$(sed -n 's/^ *head  *//p' verdict.txt)
shown audit .openloop/real --head "$head" || failed=1

[ "$code" -eq 0 ] || failed=1
if [ "$failed" -eq 0 ] && diff -r -x __pycache__ original project; then
    title "Complete: $PACKAGE is byte for byte what its makers published."
else
    title "Not as expected: the run ended with exit code $code."
    failed=1
fi
[ "$code" -ne 0 ] || code=$failed
exit "$code"
