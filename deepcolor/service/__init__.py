"""Sweeps and pipelines that are submitted: a queue in the workspace, a service that runs them, and its HTTP API."""
