"""Show registered versions among the models of an experiment in MLflow, each linked to its run, data set and figures.

A version's tags say all of it, so that it can be done again: when promoting, and by `sync`. The files stay where the
version has them, with its run; a store that knows no such models goes without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepcolor.registry import names
from deepcolor.registry.versions import ModelVersion, asking, list_versions, open_registry
from deepcolor.tracking import layout

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.exceptions import MlflowException

_MODEL_TYPE = "deepcolor"
_VERSIONS = "mlflow.modelVersions"
"""Tag of a logged model by which MLflow's pages know the versions made of it."""
_ABSENT, _UNKNOWN = "RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"


def show_versions(tracking_uri: str, *, study: str | None = None) -> None:
    """Bring the logged models of all versions up to date; done twice, the second time changes nothing.

    Args:
        tracking_uri: The MLflow store.
        study: Of the versions of this study alone.
    Raises:
        TrackingError: The store cannot be reached, or refuses.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        return
    versions = [each for each in list_versions(tracking_uri) if study in (None, each.study)]
    with asking(tracking_uri):
        for version in versions:
            show(client, version)


def show(client: MlflowClient, version: ModelVersion) -> None:
    """Bring the logged model of one version up to date; nothing is done where its run is gone."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException

    if version.run_id is None:
        return
    try:
        run = client.get_run(version.run_id)
        model = found_model(client, run, version) or _created(client, run, version)
        _link(client, run, model)
        _log_figures(client, run, model, version)
        _tie(client, model, version)
        if model.status != LoggedModelStatus.READY:
            client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    except MlflowException as error:
        if not is_absent(error):
            raise


def is_absent(error: MlflowException) -> bool:
    """Whether a store has lost what is asked for, or knows nothing of such models."""
    return error.error_code in {_ABSENT, _UNKNOWN}


def found_model(client: MlflowClient, run: Run, version: ModelVersion) -> LoggedModel | None:
    """Return the logged model of a version: that of the same weights, for one trial may compete in two lines."""
    models: Iterable[LoggedModel] = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    weights = version.weights_sha256
    return next((model for model in models if model.tags.get(names.WEIGHTS_SHA256) == weights), None)


def _created(client: MlflowClient, run: Run, version: ModelVersion) -> LoggedModel:
    tags = {
        names.WEIGHTS_SHA256: version.weights_sha256,
        names.STUDY: version.study,
        names.TRIAL: version.trial,
        names.DATA: version.data,
        names.DATA_DIGEST: version.data_digest,
        names.PARENT: version.parent,
    }
    trial = f"-t{version.trial:04d}" if version.trial is not None else ""
    return client.create_logged_model(
        run.info.experiment_id,
        name=f"{version.study or version.stage}{trial}",
        source_run_id=run.info.run_id,
        tags={name: str(value) for name, value in tags.items() if value is not None},
        params=version.params,
        model_type=_MODEL_TYPE,
    )


def _link(client: MlflowClient, run: Run, model: LoggedModel) -> None:
    from mlflow.entities import LoggedModelOutput

    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])


def _log_figures(client: MlflowClient, run: Run, model: LoggedModel, version: ModelVersion) -> None:
    """Give the model its figures on the test pictures, and those of its run that are about the same weights."""
    from mlflow.entities import Metric

    measured = run.data.metrics
    figures = {name: value for name, value in measured.items() if _is_of_weights(name)}
    figures |= {f"test/{name}": value for name, value in version.test.items() if name != "images"}
    there = {metric.key: metric.value for metric in model.metrics or ()}
    datasets = run.inputs.dataset_inputs if run.inputs else []
    data = datasets[0].dataset if datasets else None
    # With the time of the run's own figures, so that these are not stored twice.
    time_ms = run.info.end_time or run.info.start_time
    metrics = [
        Metric(
            name,
            value,
            time_ms,
            0,
            model_id=model.model_id,
            run_id=run.info.run_id,
            dataset_name=data.name if data else None,
            dataset_digest=data.digest if data else None,
        )
        for name, value in figures.items()
        if there.get(name) != value
    ]
    if metrics:
        client.log_batch(run.info.run_id, metrics=metrics)


def _is_of_weights(name: str) -> bool:
    """Whether a run's figure is of the weights that were chosen; the others are curves, or of the clock."""
    return name.startswith(layout.CHOSEN_PREFIX) or ("/" not in name and name != "epoch_s")


def _tie(client: MlflowClient, model: LoggedModel, version: ModelVersion) -> None:
    """Let model and version name each other."""
    name, number = version.line.registered_name, str(version.number)
    told = json.loads(model.tags.get(_VERSIONS, "[]"))
    one = {"name": name, "version": number}
    if one not in told:
        client.set_logged_model_tags(model.model_id, {_VERSIONS: json.dumps([*told, one])})
    if client.get_model_version(name, number).tags.get(names.LOGGED_MODEL) != model.model_id:
        client.set_model_version_tag(name, number, names.LOGGED_MODEL, model.model_id)
