#!/bin/sh
# Makes the roles and schemas that roles.sql asks for and gives each role its password. Postgres runs it once, on an empty database.
# Passwords come from files of the form "host:port:database:role:password", which the services read too.
set -eu
secrets=${SECRETS:-/run/secrets}

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"; }

sql --file "$secrets/roles.sql"
for file in "$secrets"/pcn_*; do
	sql --set role="$(basename "$file")" --set password="$(cut -d: -f5 "$file")" <<'SQL'
ALTER ROLE :"role" PASSWORD :'password';
SQL
done
