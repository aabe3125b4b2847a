"""Let registered versions, and what MLflow shows of them, follow the name of the study that they came from.

Whether a version is the study's own is said by its run, and that by the study's id: another one may have had its name.
What is written last is the tag by which a version is looked for, so that an interruption leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from deepcolor.registry import names
from deepcolor.registry.card import with_study
from deepcolor.registry.logged import found_model, is_absent
from deepcolor.registry.versions import ModelVersion, asking, list_versions, open_registry
from deepcolor.tracking import layout

if TYPE_CHECKING:
    from mlflow import MlflowClient


def follow_name(tracking_uri: str, *, study: str, former: Collection[str], study_id: str) -> None:
    """Name a study by its present name wherever versions of it tell of it; done twice, the second time changes nothing.

    Args:
        tracking_uri: The MLflow store.
        study: The present name.
        former: Those that it had.
        study_id: `layout.study_id` of the study.
    Raises:
        TrackingError: The store cannot be reached, or refuses.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        return
    with asking(tracking_uri):
        for version in list_versions(tracking_uri):
            if version.study in former and version.study != study:
                _follow(client, version, study=study, study_id=study_id)


def _follow(client: MlflowClient, version: ModelVersion, *, study: str, study_id: str) -> None:
    from mlflow.exceptions import MlflowException

    if version.run_id is None or version.study is None:
        return
    try:
        run = client.get_run(version.run_id)
        if run.data.tags.get(layout.STUDY_ID) != study_id:
            return
        if (model := found_model(client, run, version)) is not None:
            client.set_logged_model_tags(model.model_id, {names.STUDY: study})
    except MlflowException as error:
        if not is_absent(error):
            raise
    name, number = version.line.registered_name, str(version.number)
    text = client.get_model_version(name, number).description or ""
    if (told := with_study(text, before=version.study, study=study)) != text:
        client.update_model_version(name, number, description=told)
    client.set_model_version_tag(name, number, names.STUDY, study)
