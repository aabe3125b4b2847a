"""What a store answers before anything is recorded in it."""

from __future__ import annotations

import os
from pathlib import Path

from deepcolor.scratch import temporary_folder
from deepcolor.tracking.store import asking, first_line, open_client

_ANSWER_WITHIN_S = 30
_FILE, _CONTENT = "probe.txt", "Written to see whether it comes back."


def count_experiments(tracking_uri: str) -> int:
    """Ask a store for its experiments, and so whether it is there and takes our name and password.

    Raises:
        TrackingError: It does not answer, or refuses.
    """
    client = open_client(tracking_uri)
    with asking(tracking_uri, remedy="Check {option}, that the server is running, and its user and password."):
        return len(client.search_experiments(max_results=1000))


def server_version(tracking_uri: str) -> str | None:
    """Return the version of MLflow that a server runs; None where it does not say."""
    import requests

    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    try:
        answer = requests.get(
            f"{tracking_uri.rstrip('/')}/version",
            auth=(user, password) if user and password else None,
            timeout=_ANSWER_WITHIN_S,
        )
    except requests.RequestException:
        return None
    said = answer.text.strip()
    return said if answer.ok and said[:1].isdigit() and len(said) < 40 else None


def probe_artifacts(tracking_uri: str, *, experiment: str) -> str:
    """Write a file to a server and read it again, in a run that is deleted afterwards.

    Args:
        tracking_uri: The server.
        experiment: Holds the run; it is made if need be, and stays.
    Returns:
        What went wrong, in a line; empty where the file came back as it was.
    """
    from mlflow.exceptions import MlflowException

    client = open_client(tracking_uri)
    try:
        known = client.get_experiment_by_name(experiment)
        run = client.create_run(known.experiment_id if known else client.create_experiment(experiment))
        try:
            client.log_text(run.info.run_id, _CONTENT, _FILE)
            with temporary_folder("probe") as folder:
                file = Path(client.download_artifacts(run.info.run_id, _FILE, str(folder)))
                return "" if file.read_text(encoding="utf-8") == _CONTENT else "got another content"
        finally:
            client.delete_run(run.info.run_id)
    except (MlflowException, OSError) as error:
        return f"got {first_line(error)}"
