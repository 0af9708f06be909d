#!/bin/sh
# Prints the Python that the environment is to be made with, or says what is missing and the line that installs it.
set -eu

recent='import sys; sys.exit(sys.version_info < (3, 11))'
complete='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
incomplete=
git=$(command -v git || true)

say() { printf '%s\n' "$*" >&2; }

how_to_install() {
    sudo='sudo '
    [ "$(id -u)" != 0 ] || sudo=
    system=$(uname -s)
    # shellcheck source=/dev/null
    [ ! -r /etc/os-release ] || system=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
    case $system in
    *" debian "* | *" ubuntu "*) say "    ${sudo}apt-get update && ${sudo}apt-get install -y python3 python3-venv git make" ;;
    *" fedora "* | *" rhel "* | *" centos "*) say "    ${sudo}dnf install -y python3.12 git make" ;;
    *" arch "*) say "    ${sudo}pacman -S --needed python git make" ;;
    Darwin) say "    xcode-select --install; brew install python@3.13" ;;
    *) say "    (the packages for Python 3.11 or later with venv, git and make of this system)" ;;
    esac
}

for python in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
    if "$python" -c "$complete" 2>/dev/null; then
        [ -n "$git" ] || say "note: git is not installed; nothing here needs it but updating the clone"
        command -v "$python"
        exit 0
    fi
    if [ -z "$incomplete" ] && "$python" -c "$recent" 2>/dev/null; then
        incomplete=$python
    fi
done

if [ -n "$incomplete" ]; then
    say "missing: venv and ensurepip for $("$incomplete" --version 2>&1), which some systems package apart."
elif command -v python3 >/dev/null; then
    say "missing: Python 3.11 or later; python3 here is $(python3 --version 2>&1)."
else
    say "missing: Python 3.11 or later."
fi
[ -n "$git" ] || say "missing: git."
say "To install what is needed:"
how_to_install
say "Then run make again. Another Python can be named: make PYTHON=/path/to/python3.12 ..."
exit 1
