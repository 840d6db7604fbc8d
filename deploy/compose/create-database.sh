#!/bin/sh
# Run once by the image of Postgres, on an empty data folder: Corral's own role, which owns its database and may nothing else, so that
# row-level security binds it; and pgvector, which only a superuser may create.
set -eu
password=$(cat "${CORRAL_PASSWORD_FILE:-/run/corral/postgres/password}")
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "password=$password" --username postgres --dbname postgres <<'END'
create role corral login password :'password';
create database corral owner corral;
\connect corral
create extension vector;
END
