#!/bin/sh
# Makes the files of secrets that compose.yaml, and a Kubernetes Secret, are made from. It never replaces one.
#
#   compose-secrets.sh [DIR [POSTGRES_HOST]]        (default: secrets postgres)
#
# A password of your own is written into DIR/postgres_password before, a URL of your own into DIR/database_url.
#
# The directory is for its owner alone. The files in it are readable for all, since containers see them under the
# numbers of other users; nobody else on this machine gets as far as to them.
set -eu
folder=${1:-secrets}
host=${2:-postgres}
umask 077
export LC_ALL=C # a letter is one of A to Z
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

# What a URL takes as it is; all else would have to be written in another way there than in the file.
demand_plain_password() {
    case $(cat "$folder/postgres_password") in
    '' | *[!A-Za-z0-9._~-]*) ;;
    *) return 0 ;;
    esac
    echo "error: the password in $folder/postgres_password may hold letters, digits and . _ ~ - only, in one line," >&2
    echo "       since it goes into a URL: choose another, or write $folder/database_url yourself" >&2
    exit 2
}

# make NAME TEXT
make() {
    if [ -e "$folder/$1" ]; then
        echo "$folder/$1 is there already, and stays" >&2
        chmod 444 "$folder/$1"
        return
    fi
    printf '%s\n' "$2" >"$folder/.$1"
    chmod 444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
}

make postgres_password "$(random 24)"
[ -e "$folder/database_url" ] || demand_plain_password
make database_url "postgresql://warmupd:$(cat "$folder/postgres_password")@$host:5432/warmupd"
make keys "$(random 32)"
make auth_secret "$(random 32)"
make scrape_token "$(random 24)"
echo "Keep a copy of $folder/keys apart from backups of the database: without it no stored password opens again."
