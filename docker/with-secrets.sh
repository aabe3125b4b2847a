#!/bin/sh
# Runs a command with the passwords that files hold: of each variable NAME_FILE that is set, the content becomes NAME.
# So no password is in an image, in compose.yaml, or on a command line.
set -eu
for name in PGPASSWORD MLFLOW_TRACKING_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
  eval "file=\${${name}_FILE:-}"
  if [ -n "$file" ]; then
    [ -r "$file" ] || { echo "error: ${name}_FILE: must be a file that can be read; got $file. Run docker/secrets.sh" >&2; exit 2; }
    eval "$name=\$(cat \"\$file\"); export $name"
    unset "${name}_FILE"
  fi
done
# The service wants users and their tokens in a file that nobody else can read, which a mounted one is not.
if [ -n "${SERVICE_TOKEN_FILE:-}" ]; then
  (umask 077; printf '%s %s\n' "${MLFLOW_TRACKING_USERNAME:-team}" "$(cat "$SERVICE_TOKEN_FILE")" >"$HOME/service-tokens")
  unset SERVICE_TOKEN_FILE
fi
exec "$@"
