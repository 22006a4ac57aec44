#!/bin/sh
# Makes the secrets of a laptop in the folder "secrets" beside this file, or in the one named. What is there already is kept.
set -eu
dir=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$dir"

# Containers read these as a user of their own: the folder keeps others on this machine out, not the files.
keep() {
	[ -e "$dir/$1" ] || cat >"$dir/$1"
	chmod 644 "$dir/$1"
}

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

secret | keep postgres
{ secret; secret; } | keep person
for role in pcn_owner pcn_register pcn_core pcn_arrs pcn_iif pcn_devfund pcn_activity pcn_payments; do
	printf '*:*:*:%s:%s\n' "$role" "$(secret)" | keep "$role"
done
