#!/bin/sh
# Makes the files of secrets that compose.yaml, and a Kubernetes Secret, are made from. It never replaces one.
#
#   compose-secrets.sh [DIR [POSTGRES_HOST]]        (default: secrets postgres)
#
# The directory is for its owner alone. The files in it are readable for all, since containers see them under the
# numbers of other users; nobody else on this machine gets as far as to them.
set -eu
folder=${1:-secrets}
host=${2:-postgres}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

# make NAME TEXT
make() {
    if [ -e "$folder/$1" ]; then
        echo "$folder/$1 is there already, and stays" >&2
        return
    fi
    printf '%s\n' "$2" >"$folder/.$1"
    chmod 444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
}

make postgres_password "$(random 24)"
make database_url "postgresql://warmupd:$(cat "$folder/postgres_password")@$host:5432/warmupd"
make keys "$(random 32)"
make auth_secret "$(random 32)"
make scrape_token "$(random 24)"
echo "Keep a copy of $folder/keys apart from backups of the database: without it no stored password opens again."
