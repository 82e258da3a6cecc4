#!/bin/sh
# Usage: setup.sh DIR [PYTHON]
# Makes the virtual environment DIR for this checkout. DIR/.ready is written last, when all is done.
# KIND=newest installs the built wheel with the newest fastai and fastcore instead of the pinned versions.
set -eu
cd "$(dirname "$0")/.."
dir=$1
asked=${2:-}
here=$(pwd -P)
accepted="3.10 3.11 3.12 3.13"

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

find_python() {
    seen=
    if [ -n "$asked" ]; then set -- "$asked"
    else set -- python3 python3.11 python3.12 python3.13 python3.10; fi
    for py in "$@"; do
        v=$(version "$py")
        [ -n "$v" ] || continue
        for ok in $accepted; do
            if [ "$v" = "$ok" ]; then echo "$py"; return; fi
        done
        seen="$seen $py is $v;"
    done
    echo "This needs Python 3.10 to 3.13, but${seen:- ${asked:-python3} is not there or does not run;}" \
         "name another with: make PYTHON=/path/to/python3.11" >&2
    return 1
}

python=$(find_python)
built_at=$(cat "$dir/.ready" 2>/dev/null || echo "$here")
rm -f "$dir/.ready"

# An environment of another Python, or one that was moved here, is made anew. Any other is updated.
fresh=
[ "$(version "$dir/bin/python")" = "$(version "$python")" ] && [ "$built_at" = "$here" ] || fresh=--clear
echo "Setting up $dir with $python ($(version "$python")). This takes as long as PyTorch takes to download."
"$python" -m venv $fresh "$dir"

# .ready carries the time when the set-up began, so that a file edited meanwhile still counts as newer.
echo "$here" > "$dir/.begun"
pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }

if [ "${KIND:-}" = newest ]; then
    pip install -qq --upgrade --upgrade-strategy eager "$(grep '^torch==' constraints.txt)" \
        "fastai>=2.8.8,<2.9" "fastcore>=2,<3" .
    pip uninstall -qq -y lmfromscratch
else
    pip install -qq -c constraints.txt -e ".[dev]"
fi
mv "$dir/.begun" "$dir/.ready"
