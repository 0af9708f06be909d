#!/bin/sh
# The Python environment of this clone.
#
#   setup.sh where       prints the directory it is, or will be, in
#   setup.sh caches      prints a directory for the caches of tools, writable for this user
#   setup.sh make DIR    makes or renews it; DIR/.ready, written last, says for which clone it is complete
#
# It is .venv, unless that cannot be: when another user (root, often) has made .venv it is used as it is if it is
# complete and up to date, and left alone otherwise; a directory among this user's own caches takes its place.
set -eu
cd "$(dirname "$0")/.."
clone=$(pwd -P)
umask 022 # what root makes, others may use

say() { printf '%s\n' "$*" >&2; }

# This user's own directory for this clone.
own() {
    name=warmupd/$(printf %s "$clone" | cksum | cut -d ' ' -f 1)
    for base in "${XDG_CACHE_HOME:-}" "${HOME:-}/.cache" "${TMPDIR:-/tmp}/cache-$(id -u)"; do
        case $base in /.cache | '') continue ;; esac
        if mkdir -p "$base/$name" 2>/dev/null && [ -O "$base/$name" ] && [ -w "$base/$name" ]; then
            printf '%s\n' "$base/$name"
            return
        fi
    done
    say "no directory to write to: neither ~/.cache nor ${TMPDIR:-/tmp}; set XDG_CACHE_HOME to one"
    exit 1
}

made_here() { [ "$(cat "$1/.ready" 2>/dev/null)" = "$clone" ]; }

usable() {
    made_here "$1" && [ ! pyproject.toml -nt "$1/.ready" ] && [ ! constraints.txt -nt "$1/.ready" ] &&
        "$1/bin/python" -c 'import pydantic' 2>/dev/null
}

where() {
    if [ -O .venv ] || { [ ! -e .venv ] && [ -w . ]; }; then
        if [ -e .venv/.ready ] && ! made_here .venv; then # the clone was moved or copied: its scripts name the old place
            rm -f .venv/.ready
        fi
        echo .venv
    elif usable .venv; then
        echo .venv
    else
        echo "$(own)/venv"
    fi
}

# Whether a directory holds an environment whose programs call its own Python, and not that of where it was copied from.
works_here() {
    place=$(cd "$1" 2>/dev/null && pwd) && grep -qF "$place/bin/python" "$1/bin/pip" 2>/dev/null &&
        "$1/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_it() {
    python=$(sh scripts/preflight.sh)
    unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER
    log=$(own)/setup.log
    say "Setting up $1 with $("$python" --version), once (a minute or two) ..."
    if ! works_here "$1"; then
        "$python" -m venv --clear "$1" >"$log" 2>&1 || failed "python -m venv"
    fi
    "$1/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-warn-script-location \
        --editable '.[demo,dev,browser]' --constraint constraints.txt >"$log" 2>&1 || failed "pip install"
    rm -f "$log"
    echo "$clone" >"$1/.ready"
}

failed() {
    cat "$log" >&2
    say
    say "Setting up failed: $1 ended with the error above (kept in $log)."
    if grep -Eqi 'connection|timed out|resol|proxy|certificate|no matching distribution' "$log"; then
        say "It seems that pip reaches no package index. Try: $python -m pip download --no-deps --dest /tmp pytest"
        say "Behind a proxy or with a mirror, set HTTPS_PROXY, PIP_INDEX_URL or PIP_CERT, or write them into pip.conf."
    fi
    exit 1
}

case ${1:-} in
where) where ;;
caches) own ;;
make) make_it "$2" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
