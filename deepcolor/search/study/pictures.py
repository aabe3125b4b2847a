"""Which pictures a study uses: those it began with, even if its data set has been prepared again since."""

from __future__ import annotations

import json
from typing import cast

from deepcolor.atomic import write_atomically
from deepcolor.config.schema import DataConfig, Sweep
from deepcolor.data.identity import data_digest, pictures_digest
from deepcolor.data.manifest import Manifest, former_manifests, load_manifest
from deepcolor.errors import StudyError
from deepcolor.search.study.starts import read_start
from deepcolor.workspace import Workspace

PICTURES_FILE = "pictures.json"


def manifest_of(workspace: Workspace, sweep: Sweep) -> Manifest:
    """Return the data set that a study began with; for a new study, the one that is prepared now.

    Raises:
        DataError: No data set of this name has been prepared.
        StudyError: The study began with pictures of which there is no record any more.
    """
    name = sweep.data.title
    present = load_manifest(workspace, name)
    known = (present, *former_manifests(workspace, name))
    try:
        noted = json.loads((workspace.study(sweep.study) / PICTURES_FILE).read_bytes())
        begun_with, of = str(noted["pictures"]), str(noted["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return _by_digest(workspace, sweep, known) or present
    if of != name:
        return present  # The sweep has changed, and will be refused for that reason.
    manifest = next((each for each in known if pictures_digest(each) == begun_with), None)
    if manifest is None:
        raise StudyError(
            f"study: {sweep.study!r} must continue with the pictures it began with; got data set {name} prepared "
            f"again, and no record of those pictures ({workspace.dataset(name)}). Prepare them again with --replace, "
            "or give the sweep another study name."
        )
    return manifest


def is_former(workspace: Workspace, manifest: Manifest) -> bool:
    """Whether other pictures have since been prepared under a data set's name."""
    return pictures_digest(manifest) != pictures_digest(load_manifest(workspace, manifest.name))


def is_begun(workspace: Workspace, sweep: Sweep) -> bool:
    """Whether a driver has been started on a study."""
    return read_start(workspace.study(sweep.study)) is not None


def note_pictures(workspace: Workspace, study: str, manifest: Manifest) -> None:
    """Record which pictures a study begins with, unless that has been recorded before.

    Raises:
        OSError: The study's folder cannot be written to.
    """
    path = workspace.study(study) / PICTURES_FILE
    if not path.exists():
        noted = {"data": manifest.name, "pictures": pictures_digest(manifest)}
        write_atomically(path, json.dumps(noted).encode() + b"\n")


def _by_digest(workspace: Workspace, sweep: Sweep, known: tuple[Manifest, ...]) -> Manifest | None:
    """Identify the pictures by the arrays the last driver used, for studies that began before they were recorded."""
    start = read_start(workspace.study(sweep.study))
    if start is None:
        return None
    return next(
        (m for m in known if data_digest(m, cast(DataConfig, sweep.data)) == start.provenance.data_digest), None
    )
