#!/bin/sh
# Saves a team's state into a folder, or restores it: studies, runs and MLflow's users (databases), artifacts, workspace.
#
#   docker/backup.sh save FOLDER [ENV_FILE]        while the stack runs; sweeps may go on
#   docker/backup.sh restore FOLDER [ENV_FILE]     into a stack that runs, and on which nothing else does
#
# CONTAINERS=1: of the stack of `make up`. Else of the one of `make stack`, with PostgreSQL's programs of this machine.
# The databases come first: what they refer to is then in the files, which may also hold more. SECRETS is not saved here.
set -eu
usage() { echo "error: backup: must be called as docker/backup.sh save|restore FOLDER [ENV_FILE]; got '$*'" >&2; exit 2; }
[ $# -ge 2 ] || usage "$@"
here=$(cd "$(dirname "$0")" && pwd)
env=${3:-$here/stack.env}
[ -f "$env" ] || { echo "error: backup: the environment file must exist; got $env" >&2; exit 2; }
env=$(cd "$(dirname "$env")" && pwd)/$(basename "$env")
value() { eval "given=\${$1:-}"; [ -n "$given" ] || given=$(sed -n "s/^$1=//p" "$env" "$here/stack.env.example" | head -n 1); printf '%s' "$given"; }
# A folder that the environment file names, which a first start has made.
place() { cd "$(dirname "$env")" && cd "$(value "$1")" && pwd; }

if [ -n "${CONTAINERS:-}" ]; then
  compose() { docker compose --env-file "$env" --file "$here/compose.yaml" "$@"; }
  dump() { compose exec -T database pg_dump -U postgres --format custom "$1"; }
  load() { compose exec -T database pg_restore -U postgres --clean --if-exists --exit-on-error --single-transaction -d "$1"; }
  pack() { compose run --rm -T --no-deps --entrypoint tar "$1" -C "$2" -cf - .; }
  unpack() { compose run --rm -T --no-deps --entrypoint tar "$1" -C "$2" -xf -; }
  artifacts="mlflow /artifacts"; workspace="deepcolor /workspace"
else
  (place SECRETS && place STATE && place WORKSPACE) >/dev/null 2>&1 \
    || { echo "error: backup: the stack must have been started once; got no SECRETS, STATE or WORKSPACE of $env" >&2; exit 2; }
  host=$(value BIND); case $host in 0.0.0.0 | ::) host=127.0.0.1 ;; esac
  export PGHOST="$host" PGUSER=postgres PGPORT PGPASSWORD
  PGPORT=$(value DATABASE_PORT); PGPASSWORD=$(cat "$(place SECRETS)/database-owner")
  dump() { pg_dump --format custom "$1"; }
  load() { pg_restore --clean --if-exists --exit-on-error --single-transaction -d "$1"; }
  # The workspace may be a repository: what is saved of it is its state.
  pack() { (cd "$2" && for each in ${3:-.}; do [ ! -e "$each" ] || echo "$each"; done | tar -cf - -T -); }
  unpack() { mkdir -p "$2" && tar -C "$2" -xf -; }
  artifacts="mlflow $(place STATE)/artifacts"; workspace="deepcolor $(place WORKSPACE)"
fi

case $1 in
  save)
    mkdir -p "$2"; chmod 700 "$2"; folder=$(cd "$2" && pwd)
    for name in deepcolor mlflow mlflow_auth; do dump "$name" >"$folder/$name.new"; mv "$folder/$name.new" "$folder/$name.dump"; done
    [ -n "${CONTAINERS:-}" ] || mkdir -p "${artifacts#* }"
    pack $artifacts >"$folder/artifacts.new"; mv "$folder/artifacts.new" "$folder/artifacts.tar"
    pack $workspace "studies experiments mlruns deepcolor.yaml" >"$folder/workspace.new"; mv "$folder/workspace.new" "$folder/workspace.tar"
    ;;
  restore)
    folder=$(cd "$2" && pwd)
    for name in deepcolor mlflow mlflow_auth artifacts workspace; do
      file=$(ls "$folder/$name".dump "$folder/$name".tar 2>/dev/null | head -n 1)
      [ -s "$file" ] || { echo "error: backup: $folder must hold all that 'save' writes; got no $name" >&2; exit 2; }
    done
    unpack $workspace <"$folder/workspace.tar"
    unpack $artifacts <"$folder/artifacts.tar"
    for name in deepcolor mlflow mlflow_auth; do load "$name" <"$folder/$name.dump"; done
    ;;
  *) usage "$@" ;;
esac
echo "backup: $1 is done ($folder)"
