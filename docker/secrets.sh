#!/bin/sh
# Makes the passwords and certificates of a team's stack that are missing, and client.env, which tells deepcolor's commands
# where the stack is. Nothing that is there is replaced, except client.env and pgpass, which follow from the rest.
#
#   docker/secrets.sh ENV_FILE
#
# Needs openssl. Files that containers are given can be read by all (their users are not this machine's), but the folder
# that holds them is closed to others.
set -eu
umask 077
[ -f "${1:-}" ] || { echo "error: secrets: the environment file must exist; got '${1:-}'. Copy docker/stack.env.example" >&2; exit 2; }
command -v openssl >/dev/null || { echo "error: secrets: openssl must be installed (Debian: apt install openssl)" >&2; exit 2; }

# The file's value of a key, unless the environment has one.
value() {
  eval "given=\${$1:-}"
  [ -n "$given" ] || given=$(sed -n "s/^$1=//p" "$file" | tail -n 1)
  printf '%s' "$given"
}
file=$1
cd "$(dirname "$file")"; file=$(basename "$file")
folder=$(value SECRETS); mkdir -p "$folder"; chmod 700 "$folder"; cd "$folder"; folder=$(pwd)
file=$OLDPWD/$file

for name in database-owner database-studies database-mlflow mlflow-password mlflow-secret-key service-token; do
  if [ ! -s "$name" ]; then
    openssl rand -hex 24 >"$name.new"
    chmod 644 "$name.new"; mv "$name.new" "$name"
  fi
done

# One authority, and one certificate for the scheduler, the workers and the drivers: whoever has it is trusted.
if [ ! -s ca.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=deepcolor-team \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.new 2>/dev/null
  chmod 644 ca.new; mv ca.new ca.pem
fi
if [ ! -s team.pem ]; then
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=team -keyout team.key -out team.csr 2>/dev/null
  openssl x509 -req -in team.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -out team.new 2>/dev/null
  rm team.csr; chmod 644 team.key team.new; mv team.new team.pem
fi

host=$(value BIND)
case $host in 0.0.0.0 | ::) host=$(hostname) ;; esac
printf '*:*:deepcolor:deepcolor:%s\n' "$(cat database-studies)" >pgpass.new; mv pgpass.new pgpass
# The service and its clients refuse a file that others may read.
printf '%s %s\n' "$(value MLFLOW_USER)" "$(cat service-token)" >service-tokens.new; mv service-tokens.new service-tokens
cp service-token client-token.new; chmod 600 client-token.new; mv client-token.new client-token
cat >client.new <<CLIENT
export DEEPCOLOR_STORAGE=postgresql+psycopg://deepcolor@$host:$(value DATABASE_PORT)/deepcolor
export PGPASSFILE='$folder/pgpass'
export MLFLOW_TRACKING_URI=http://$host:$(value MLFLOW_PORT)
export MLFLOW_TRACKING_USERNAME='$(value MLFLOW_USER)'
export MLFLOW_TRACKING_PASSWORD=$(cat mlflow-password)
export DEEPCOLOR_CLUSTER_CA='$folder/ca.pem'
export DEEPCOLOR_CLUSTER_CERT='$folder/team.pem'
export DEEPCOLOR_CLUSTER_KEY='$folder/team.key'
export DEEPCOLOR_TOKEN_FILE='$folder/client-token'
export SERVICE=http://$host:$(value SERVICE_PORT)
export CLUSTER=tls://$host:$(value SCHEDULER_PORT)
CLIENT
mv client.new client.env
