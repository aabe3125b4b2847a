-- The stack's roles and databases: studies (deepcolor), runs (mlflow) and MLflow's users (mlflow_auth). Run as the owner by
-- psql, which reads the passwords from files, so that they are in no list of processes; done again, it changes nothing.
\set ON_ERROR_STOP on
\getenv secrets SECRETS
\set studies_password `cat "$SECRETS/database-studies"`
\set mlflow_password `cat "$SECRETS/database-mlflow"`
-- A statement that fails must not be logged with a password in it.
SET log_min_error_statement = panic;
SET log_statement = none;
SELECT format('CREATE ROLE deepcolor LOGIN PASSWORD %L', :'studies_password')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'deepcolor') \gexec
SELECT format('CREATE ROLE mlflow LOGIN PASSWORD %L', :'mlflow_password')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mlflow') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', wanted.name, wanted.owner)
  FROM (VALUES ('deepcolor', 'deepcolor'), ('mlflow', 'mlflow'), ('mlflow_auth', 'mlflow')) AS wanted (name, owner)
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = wanted.name) \gexec
-- Each role sees its own databases alone.
REVOKE CONNECT ON DATABASE deepcolor, mlflow, mlflow_auth FROM PUBLIC;
