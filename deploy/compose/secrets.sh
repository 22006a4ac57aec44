#!/bin/sh
# Makes the secrets of a laptop in the folder "secrets" beside this file, or in the one named. What is there already is kept. It needs
# the program of the suite ("make build"), or its path in PCN_BIN: the keys of the broker, and the roles of the database, are as it says.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/secrets}
suite=${PCN_BIN:-$here/../../bin/pcnfunding}
[ -x "$suite" ] || { echo "$suite is not there: make build" >&2; exit 1; }
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
printf 'laptop %s\n' "$(head -c 32 /dev/urandom | base64)" | keep webhook
for role in pcn_owner pcn_register pcn_core pcn_arrs pcn_iif pcn_devfund pcn_activity pcn_payments pcn_partners; do
	printf '*:*:*:%s:%s\n' "$role" "$(secret)" | keep "$role"
done
"$suite" migrate all --print-roles | keep roles.sql
# Of the broker's folder no container gets the keys that sign accounts and services.
[ -e "$dir/nats" ] || "$suite" nats init "$dir/nats" >/dev/null
chmod 644 "$dir/nats/nats-server.conf" "$dir/nats/partners.key" "$dir"/nats/creds/*.creds
