#!/bin/sh
# Puts warmupd onto this machine as a service, and takes it away again.
#
#   install.sh install     program, units, user and directories; also the upgrade: a configuration that is there stays
#   install.sh uninstall   all of that but the configuration, the data and the user
#
# DESTDIR (none) is put before every path, for packages and images: nothing of this machine is then told or started.
# PREFIX (/usr/local) is where the program goes, PYTHON the Python (3.11 or later) that it runs on.
set -eu
DESTDIR=${DESTDIR:-}
case $DESTDIR in
'' | /*) ;;
*) DESTDIR=$(pwd)/$DESTDIR ;;
esac
cd "$(dirname "$0")/.."
umask 022 # what root installs, others may run

PREFIX=${PREFIX:-/usr/local}
LIB=$PREFIX/lib/warmupd                # a link to the release in force
RELEASE=$LIB-$(date -u +%Y%m%d%H%M%S) # a directory for each, under which its workers run until they are restarted
STAMP='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]' # so that nothing else is taken for one
CONF=/etc/warmupd
case $PREFIX in
/usr | /usr/local) SHARED=$PREFIX/lib ;; # where systemd looks; /etc/systemd is the administrator's, for overrides
*) SHARED=/etc ;;
esac
case $SHARED in
/etc) UNITS=/etc/systemd/system ;;
*) UNITS=$SHARED/systemd/system ;;
esac

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether systemd runs here, and this is for here.
live() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

# A Python that the daemon's user can reach: one in a home directory it cannot.
python() {
    for candidate in ${PYTHON:-} /usr/bin/python3.1[1-9] /usr/bin/python3 /usr/local/bin/python3; do
        if "$candidate" -c '
import ensurepip, os, sys, venv
home = os.path.realpath(sys.base_prefix).startswith(("/root/", "/home/"))
sys.exit(home or sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    sh scripts/preflight.sh >/dev/null || exit 1
    fail "no Python 3.11 outside of home directories: name one with PYTHON=/path/to/python3"
}

# The program, in a directory of its own, and put in force when it is whole.
program() {
    new=$DESTDIR$RELEASE
    rm -rf "$new"
    mkdir -p "$(dirname "$new")" "$DESTDIR$PREFIX/bin"
    unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
    say "Making $new with $("$1" --version) (a minute) ..."
    "$1" -m venv "$new"
    "$new/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-warn-script-location \
        --no-compile --constraint constraints.txt .
    "$new/bin/python" -m pip uninstall --quiet --yes --disable-pip-version-check setuptools pip
    # Only the program itself, under the name that it will have.
    find "$new/bin" -mindepth 1 ! -name 'python*' ! -name warmupd -delete
    sed -i "s|$new|$RELEASE|g" "$new/bin/warmupd" "$new/pyvenv.cfg"
    case $(head -n 2 "$new/bin/warmupd") in
    *"#!$RELEASE/bin/python"* | *"exec' $RELEASE/bin/python"* | *"exec' \"$RELEASE/bin/python"*) ;;
    *) fail "$new/bin/warmupd does not start with $RELEASE/bin/python: choose a simpler DESTDIR" ;;
    esac
    "$new/bin/python" -m compileall -q -s "$new" -p "$RELEASE" "$new/lib"
    put_in_force
    forget_old
}

# At every moment there is a program, the one before or this one.
put_in_force() {
    rm -rf "$DESTDIR$LIB.new" # a directory of an installation that broke off would take the link into itself
    ln -s "${RELEASE##*/}" "$DESTDIR$LIB.new"
    if [ -d "$DESTDIR$LIB" ] && [ ! -L "$DESTDIR$LIB" ]; then # as it was before there were releases
        ln -sfn "../lib/${RELEASE##*/}/bin/warmupd" "$DESTDIR$PREFIX/bin/warmupd"
        rm -rf "$DESTDIR$LIB-00000000000000"
        mv -T "$DESTDIR$LIB" "$DESTDIR$LIB-00000000000000" # a release by its name, the oldest
    fi
    mv -T "$DESTDIR$LIB.new" "$DESTDIR$LIB"
    ln -sfn ../lib/warmupd/bin/warmupd "$DESTDIR$PREFIX/bin/warmupd"
    rm -rf "$DESTDIR$LIB.old"
}

# Releases before, but those that somebody runs from: a worker loads parts of itself when it first needs them.
forget_old() {
    # shellcheck disable=SC2231 # STAMP is a pattern
    for old in "$DESTDIR$LIB"-$STAMP; do
        if [ "$old" != "$DESTDIR$RELEASE" ] && ! grep -qsF "$(readlink -f "$old")/" /proc/[0-9]*/maps; then
            rm -rf "$old"
        fi
    done
}

units() {
    install -d "$DESTDIR$UNITS" "$DESTDIR$SHARED/sysusers.d" "$DESTDIR$SHARED/tmpfiles.d"
    for unit in warmupd@.service warmupd-migrate.service warmupd-backup.service warmupd-backup.timer warmupd.target; do
        sed "s|/usr/local/bin/warmupd|$PREFIX/bin/warmupd|g" "systemd/$unit" |
            install -m 644 /dev/stdin "$DESTDIR$UNITS/$unit"
    done
    install -m 644 systemd/warmupd.sysusers "$DESTDIR$SHARED/sysusers.d/warmupd.conf"
    install -m 644 systemd/warmupd.tmpfiles "$DESTDIR$SHARED/tmpfiles.d/warmupd.conf"
}

# Nothing that is there is touched, but the manual.
configuration() {
    [ -d "$DESTDIR$CONF" ] || install -d -m 755 "$DESTDIR$CONF"
    [ -d "$DESTDIR$CONF/credentials" ] || install -d -m 700 "$DESTDIR$CONF/credentials"
    [ -e "$DESTDIR$CONF/warmupd.env" ] || install -m 600 systemd/warmupd.env "$DESTDIR$CONF/warmupd.env"
    install -m 644 config.toml.example "$DESTDIR$CONF/config.toml.example"
}

# The user, and who may read what. In a package or an image systemd does that at its next start.
ownership() {
    [ -z "$DESTDIR" ] || return 0
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$SHARED/sysusers.d/warmupd.conf"
        systemd-tmpfiles --create "$SHARED/tmpfiles.d/warmupd.conf"
    else
        say "there is no systemd here: make a user warmupd, who may read $CONF/config.toml"
    fi
}

what_next() {
    [ -z "$DESTDIR" ] || return 0
    if [ -e "$CONF/config.toml" ]; then
        say "Kept      $CONF/config.toml"
        say "Next      systemctl restart warmupd.target"
        return
    fi
    say "Next, a PostgreSQL, the configuration with the first admin, and two workers:"
    say
    say "  sudo -u postgres createuser warmupd"
    say "  sudo -u postgres createdb --owner warmupd warmupd"
    say "  sudo -u warmupd $PREFIX/bin/warmupd init --directory $CONF --admin-email you@example.com \\"
    say "      --database-url 'postgresql://warmupd@/warmupd?host=/run/postgresql'"
    say "  systemctl enable --now warmupd@auto-1 warmupd@auto-2 warmupd.target"
    say "  systemctl status 'warmupd@*'"
}

install_all() {
    if [ -z "$DESTDIR" ] && [ "$(id -u)" != 0 ]; then
        fail "only root can install a service: sudo make install, or make install DESTDIR=/somewhere"
    fi
    chosen=$(python)
    program "$chosen"
    units
    configuration
    ownership
    if live; then systemctl daemon-reload; fi
    say "Program   $DESTDIR$PREFIX/bin/warmupd"
    say "Units     $DESTDIR$UNITS/warmupd@.service, warmupd.target, warmupd-migrate.service, warmupd-backup.timer"
    what_next
}

# Each by its name: `systemctl disable` knows no patterns, and what stays enabled would come back with the next install.
stop_and_disable() {
    if live; then
        say "Stopping  all workers; they end what is in flight first (7 minutes at most)"
        set -- # an earlier version had not all of them, and a unit that is not there is an error
        for unit in warmupd-backup.timer warmupd-backup.service warmupd.target warmupd-migrate.service; do
            if [ -e "$UNITS/$unit" ]; then set -- "$@" "$unit"; fi
        done
        systemctl stop "$@" 'warmupd@*.service'
    fi
    for link in /etc/systemd/system/*.wants/warmupd@*.service /etc/systemd/system/*.wants/warmupd.target \
        /etc/systemd/system/*.wants/warmupd-backup.timer; do
        if [ -L "$link" ]; then systemctl disable --quiet "${link##*/}"; fi
    done
}

uninstall_all() {
    if [ -z "$DESTDIR" ] && [ -e "$UNITS/warmupd.target" ] && command -v systemctl >/dev/null; then stop_and_disable; fi
    rm -f "$DESTDIR$PREFIX/bin/warmupd" "$DESTDIR$UNITS/warmupd@.service" "$DESTDIR$UNITS/warmupd-migrate.service" \
        "$DESTDIR$UNITS/warmupd-backup.service" "$DESTDIR$UNITS/warmupd-backup.timer" \
        "$DESTDIR$UNITS/warmupd.target" "$DESTDIR$SHARED/sysusers.d/warmupd.conf" \
        "$DESTDIR$SHARED/tmpfiles.d/warmupd.conf" "$DESTDIR$CONF/config.toml.example"
    # shellcheck disable=SC2086 # STAMP is a pattern
    rm -rf "$DESTDIR$LIB" "$DESTDIR$LIB.new" "$DESTDIR$LIB.old" "$DESTDIR$LIB"-$STAMP
    if live; then systemctl daemon-reload; fi
    say "Removed   program and units"
    say "Kept      $CONF (secrets without which no stored password opens again), /var/lib/warmupd, the user warmupd"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
