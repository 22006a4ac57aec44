#!/bin/sh
# Makes the owner of the schemas, and for each service a schema and a role that may log in and use it. Postgres runs it once, on an empty
# database. Passwords come from files of the form "host:port:database:role:password", which the services read too.
set -eu
secrets=${SECRETS:-/run/secrets}

role() {
	psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
		--set role="$1" --set password="$(cut -d: -f5 "$secrets/$1")" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
SQL
}

role pcn_owner
for service in register core arrs iif devfund activity payments; do
	role "pcn_$service"
	# Until "migrate" grants each table what its service needs, a role may change the rows of its own schema, and nothing else.
	psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
		--set role="pcn_$service" --set schema="$service" <<'SQL'
CREATE SCHEMA :"schema" AUTHORIZATION pcn_owner;
GRANT USAGE ON SCHEMA :"schema" TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE pcn_owner IN SCHEMA :"schema" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE pcn_owner IN SCHEMA :"schema" GRANT USAGE ON SEQUENCES TO :"role";
SQL
done
