#!/bin/sh
# init-secrets.sh FOLDER: makes the secrets of compose.yaml, each for the user that reads it. What exists is kept, so that a second start
# changes nothing. Prints no secret; to see one: docker compose run --rm --entrypoint cat secrets /run/corral/corral/secret
set -eu
folder=$1
umask 077

random() { # 32 random bytes in hexadecimal: nothing in it has to be quoted, neither in a URL nor in a file
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# keep FILE OWNER: writes standard input to FILE unless there is one, whole or not at all.
keep() {
  file=$folder/$1
  mkdir -p "$(dirname "$file")"
  chown "$2" "$(dirname "$file")"
  [ ! -e "$file" ] || { cat >/dev/null; return 0; }
  cat >"$file.draft"
  chown "$2" "$file.draft"
  mv "$file.draft" "$file"
}

chmod 755 "$folder"
postgres_user=999:999
pgbouncer_user=70:70
redis_user=999:1000
corral_user=1000:1000
prometheus_user=65534:65534
grafana_user=472:0

random | keep postgres/superuser-password "$postgres_user"
random | keep postgres/password "$postgres_user"
password=$(cat "$folder/postgres/password")

keep pgbouncer/users.txt "$pgbouncer_user" <<END
"corral" "$password"
END
keep pgbouncer/pgbouncer.ini "$pgbouncer_user" <<END
[databases]
corral = host=postgres port=5432 dbname=corral
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/pgbouncer/users.txt
pool_mode = transaction
default_pool_size = 40
max_client_conn = 1000
server_login_retry = 1
END

random | keep redis/password "$redis_user"
redis_password=$(cat "$folder/redis/password")
keep redis/redis.conf "$redis_user" <<END
requirepass $redis_password
maxmemory 256mb
maxmemory-policy allkeys-lru
save ""
appendonly no
END

random | keep corral/secret "$corral_user"
echo "postgres://corral:$password@pgbouncer:6432/corral" | keep corral/database-url "$corral_user"
echo "postgres://corral:$password@postgres:5432/corral" | keep corral/direct-database-url "$corral_user"
echo "redis://:$redis_password@redis:6379/0" | keep corral/redis-url "$corral_user"

# One word, which opens /metrics alone, for the two who have to know it.
random | keep corral/metrics-token "$corral_user"
keep prometheus/metrics-token "$prometheus_user" <"$folder/corral/metrics-token"
random | keep grafana/admin-password "$grafana_user"
echo 'secrets: there'
