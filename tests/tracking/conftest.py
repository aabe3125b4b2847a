"""An empty MLflow database, set up once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracking.building import new_store, template_database


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template_database(tmp_path_factory)


@pytest.fixture
def tracking_uri(mlflow_template: Path, tmp_path: Path) -> str:
    return new_store(mlflow_template, tmp_path)
