"""Sweep and pipeline files: frozen models (`schema`), and reading them with errors that name file and key (`load`)."""
