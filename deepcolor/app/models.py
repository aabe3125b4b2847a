"""The registered models: see which there are, take one out, go back to the champion before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.stages.finding import SHIPPED

if TYPE_CHECKING:
    from deepcolor.registry.versions import ModelVersion, Rollback

_LOOKING = "looking at the registry"


@dataclass(frozen=True)
class Pulled:
    """A version, and the folder that holds it now."""

    version: ModelVersion
    folder: Path


def are_shipped(labels: Iterable[str]) -> bool:
    """Whether these are labels of shipped stages alone, whose figures are all of one kind."""
    return all(label in SHIPPED for label in labels)


def list_models(tracking_uri: str, *, of: str | None = None, reporter: Reporter = SILENT) -> list[ModelVersion]:
    """Return the registered versions with their data sets, stage by stage, line by line, the newest first.

    Args:
        tracking_uri: The MLflow store.
        of: A stage, with all of its lines: `colorizer`; or one line alone: `colorizer-fruits`. None: all there are.
        reporter: Is told what takes long.
    Raises:
        ModelError: `of` is no stage or line.
        TrackingError: The store cannot be read.
    """
    with reporter.starting("models") as steps:
        steps.step(_LOOKING)
        from deepcolor.registry.versions import known_line, list_versions, with_data

        line = known_line(of, tracking_uri=tracking_uri) if of is not None else None
        versions = list_versions(tracking_uri, stage=line.stage if line else None)
        asked = [version for version in versions if line is None or line.name in (None, version.line.name)]
        return with_data(asked, tracking_uri=tracking_uri)


def pull_model(
    ref: str, *, out: Path, tracking_uri: str, registry_stage: str | None = None, reporter: Reporter = SILENT
) -> Pulled:
    """Write a registered model to a folder: weights, description, model card; nothing of it is run.

    Args:
        ref: `colorizer@champion`, `colorizer@3`, or MLflow's `models:/deepcolor-colorizer@champion`.
        out: The folder: new, empty, or one that an earlier pull wrote.
        tracking_uri: The MLflow store.
        registry_stage: `Production`, `Staging` or `Archived`; then `ref` is the stage alone.
        reporter: Is told what takes long.
    Raises:
        ModelError: There is no such version (the message lists what there is), or what it holds is no model.
        CorruptFileError: The weights do not match their checksum.
        WorkspaceError: `out` holds something else, or cannot be written to.
        TrackingError: The store cannot be reached.
    """
    with reporter.starting("pull") as steps:
        steps.step(_LOOKING)
        from deepcolor.registry.pull import pull
        from deepcolor.registry.versions import resolve

        # Found once: an alias may move to another version before this one is fetched.
        version = resolve(ref, tracking_uri=tracking_uri, registry_stage=registry_stage)
        steps.step(f"fetching {version.ref}")
        return Pulled(version, pull(version.ref, out, tracking_uri=tracking_uri))


def roll_back(line: str, *, tracking_uri: str, reporter: Reporter = SILENT) -> Rollback:
    """Make the previous champion the champion again; a second rollback undoes the first.

    Args:
        line: `colorizer`, or `colorizer-fruits`, which has champions of its own.
        tracking_uri: The MLflow store.
        reporter: Is told what takes long, and if a promotion is at work on the same registry.
    Raises:
        ModelError: There is no such line, or it has no champion, or none before it.
        TrackingError: The store cannot be written to.
    """
    with reporter.starting("rollback") as steps:
        steps.step(_LOOKING)
        from deepcolor.registry.versions import known_line, rollback

        return rollback(known_line(line, tracking_uri=tracking_uri), tracking_uri=tracking_uri, on_wait=reporter.note)
