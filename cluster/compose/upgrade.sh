#!/bin/sh
# Takes the cluster of compose.yaml to the version that is checked out, without an outage where there are two of each: the
# permissions of the bus first, then one NATS server after the other, then one container after the other. Run it in the
# folder of compose.yaml, with the environment (or .env) of "docker-compose up". Additions are named as compose does it:
#   COMPOSE_FILE=compose.yaml:cluster/compose/haproxy.yaml cluster/compose/upgrade.sh
# After a failure or an interruption it may be run again: it goes on where it stopped. With --no-build the image is there
# already.
set -eu

if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
compose() { $compose "$@"; }
say() { echo "upgrade: $*"; }
fail() {
  echo "upgrade: $*" >&2
  exit 1
}
containers() { compose ps -q "$1"; }

# Waits until each container of a service says that it does its work. An interrupted run may have stopped one.
await_health() { # service
  for container in $(containers "$1"); do
    docker start "$container" >/dev/null
    tries=0
    until docker exec "$container" sealpost health /tmp/health.sock >/dev/null 2>&1; do
      tries=$((tries + 1))
      [ "$tries" -lt 120 ] || fail "$1 is not well after 2 minutes: see its log, then run this again"
      sleep 1
    done
  done
}

# Whether a container runs the image that it would be made of now.
is_current() { # container
  wanted=$(docker image inspect --format '{{.Id}}' "$(docker inspect --format '{{.Config.Image}}' "$1")")
  [ "$(docker inspect --format '{{.Image}}' "$1")" = "$wanted" ]
}

remove() { # container
  docker stop -t 35 "$1" >/dev/null
  docker rm "$1" >/dev/null
}

# A changed file is taken into use without a restart, a changed container is replaced.
upgrade_nats() { # service
  before=$(containers "$1")
  compose up -d --no-deps "$1"
  if [ "$(containers "$1")" = "$before" ]; then compose kill -s HUP "$1"; fi
  sleep 2
  # What keeps mail or keys is well when a majority of the servers is there.
  for keeper in $keepers; do await_health "$keeper"; done
  say "$1 is of this version"
}

# One container after the other. What keeps nothing on disk and has no port has its successor first.
upgrade_service() { # service
  # An interrupted run leaves one more or one fewer than there were: their number is noted until all are replaced.
  if [ ! -f "$notes/$1" ]; then
    if [ -z "$(containers "$1")" ]; then compose up -d --no-deps --no-recreate "$1"; fi
    containers "$1" | wc -l >"$notes/new"
    mv "$notes/new" "$notes/$1"
  fi
  count=$(($(cat "$notes/$1")))
  if [ "$(containers "$1" | wc -l)" -lt "$count" ]; then
    compose up -d --no-deps --no-recreate --scale "$1=$count" "$1"
    await_health "$1"
  fi
  for old in $(containers "$1"); do
    if is_current "$old"; then continue; fi
    case $1 in
      policy | signer)
        compose up -d --no-deps --no-recreate --scale "$1=$((count + 1))" "$1"
        await_health "$1"
        remove "$old"
        ;;
      *)
        remove "$old"
        compose up -d --no-deps --no-recreate --scale "$1=$count" "$1"
        await_health "$1"
        ;;
    esac
  done
  rm "$notes/$1"
  say "$1 is of this version"
}

notes=.upgrade-${COMPOSE_PROJECT_NAME:-unfinished}
mkdir -p "$notes"
services=$(compose config --services | sort)
keepers=$(echo "$services" | grep -E '^(router|credential-store)-' || true)
[ "${1:-}" = --no-build ] || compose build
compose run --rm init
for service in $services; do case $service in nats-*) upgrade_nats "$service" ;; esac; done
compose run --rm streams
for service in $services; do case $service in resolver) compose up -d --no-deps resolver ;; esac; done
for service in $services; do case $service in policy | signer) upgrade_service "$service" ;; esac; done
for service in $keepers; do upgrade_service "$service"; done
for service in $services; do
  case $service in
    listener | extra-listener) upgrade_service "$service" ;;
    init | streams | resolver | nats-* | policy | signer | router-* | credential-store-* | operator) ;;
    *) compose up -d --no-deps "$service" ;;
  esac
done
rmdir "$notes"
say 'done; "docker-compose run --rm operator cluster status" shows the cluster'
