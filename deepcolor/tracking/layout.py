"""Every name, tag and key of the MLflow projection, built and parsed only here; without a client. Links are those of
`views`.

    experiment  deepcolor/<stage>
      parent    the study                      tags deepcolor.kind=study, deepcolor.study, deepcolor.study_id
        child   t0042 lr=1e-3 wd=1e-5 ep=100   tags deepcolor.kind=trial, deepcolor.trial, and all of its own provenance
        child   t0043 confirms=42 seed=1 ...   tags deepcolor.kind=confirmation, deepcolor.confirms, and the same

A study is found again by the name and the moment that it began with: a study that grows or is renamed keeps its runs,
and two people who use one name on one server do not write into each other's runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from deepcolor.config.schema import ParamValue
from deepcolor.printable import as_unicode
from deepcolor.tracking.records import State

EXPERIMENT_PREFIX = "deepcolor/"

KIND = "deepcolor.kind"
"""`study`, `trial`, or `confirmation` for a trial that trains another one's setting again under another seed: these are
left out of the list that is sorted by value, where the luckiest seed would be at the top."""
STAGE = "deepcolor.stage"
STAGE_VERSION = "deepcolor.stage_version"
"""Of a stage that is no longer at its first."""
CODE = "deepcolor.code"
"""SHA-256 by place of the code that a user brought, as JSON."""
STUDY = "deepcolor.study"
STUDY_ID = "deepcolor.study_id"
"""What the runs of a study are found by; the same on the parent and on every child."""
TRIAL = "deepcolor.trial"
STATE = "deepcolor.state"
ERROR = "deepcolor.error"
DIVERGED = "deepcolor.diverged"
NOT_FINITE = "deepcolor.not_finite"
"""The first metric that was not finite, as `name@epoch`; MLflow's charts cannot show it."""
TRAJECTORY = "deepcolor.trajectory"
DATA_DIGEST = "deepcolor.data_digest"
CONFIG_DIGEST = "deepcolor.config_digest"
"""Of the sweep as it stands; it changes with `deepcolor sweep --extend`."""
GIT_COMMIT = "deepcolor.git_commit"
GIT_DIRTY = "deepcolor.git_dirty"
HOST = "deepcolor.host"
DEVICE = "deepcolor.device"
THREADS = "deepcolor.threads"
PARENT_MODEL = "deepcolor.parent_model"
COMMAND = "deepcolor.command"
BEST_TRIAL = "deepcolor.best_trial"
CONFIRMED_TRIAL = "deepcolor.confirmed_trial"
"""The winner by its mean under other seeds."""
CONFIRMS = "deepcolor.confirms"
"""On a confirmation: the number of the trial that it confirms."""
SEED = "deepcolor.seed"
"""On a confirmation: the seed it is trained under."""
BREAKS = "deepcolor.breaks"
"""On a trial: the constraints of the sweep that it breaks, and by how much: `epoch_s 3.4 (at most 3)`."""
FRONT = "deepcolor.front"
"""On a trial that is on the front of several objectives: `true`. On the parent: the numbers of all of them."""
VERSION_PREFIX = "deepcolor.version."
"""Package versions: `deepcolor.version.torch` and so on."""
EPOCHS = "deepcolor.epochs"
"""How many epochs are stored, counted from the first one without a gap; written after them."""
PICTURES = "deepcolor.pictures"
"""The epochs whose pictures are stored, each under a key of its own: `10, 20, 50`; written after them."""
OLD_EPOCHS = "deepcolor.stored_epochs"
"""The last epoch stored, as early releases wrote it: there could be gaps before it."""
STORED_DIGEST = "deepcolor.stored_digest"
"""Digest of the last final record stored; written after its artifacts, so that a restart skips a complete run."""

SEARCH_PREFIX = "deepcolor.search."
"""On the parent: how the study searches now. Tags, because MLflow never lets a param change."""
SPACE_PREFIX = "deepcolor.space."
"""On the parent: the choices or the range of each searched parameter now."""

PARENT_RUN = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
USER = "mlflow.user"
SOURCE_NAME = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
SOURCE_COMMIT = "mlflow.source.git.commit"
LOGGED_IMAGES = "mlflow.loggedImages"
"""Tells the UI that the run has an image grid."""
DATASET_CONTEXT = "mlflow.data.context"

DATA_NAME_PARAM = "data.name"
"""Param of studies and trials: the name of the data set."""

VALUE = "value"
"""Metric: the objective at the epoch whose weights the trial takes; what the leaderboard sorts by. It has this name
wherever it is shown: `val/mse` is the curve over all epochs.
"""
CHOSEN_PREFIX = "chosen/"
SYSTEM_PREFIX = "system/"
"""Of what the machine had to do; MLflow's pages show it on a tab of its own, "System metrics"."""
"""Begins the name of another metric that the sweep watches, is constrained by or optimises, at that same epoch."""
BEST_VALUE = "best/value"
"""Metric of the parent: the best value so far; step = trial number, or the next one where trials ended out of order."""
OLD_BEST_VALUE = "summary/best_value"
"""The last of these values again, on parents made by early releases."""

CHECKPOINT_FOLDER = "checkpoint"
IMAGE_KEY = "samples"
"""Of the contact sheets, in the image grid."""
PICTURE_PREFIX = "pictures/"
"""Begins the key of one picture of the contact sheet; it is followed by its number, counted from 1."""
REPORT_FOLDER = "report"
SWEEP_FILE = "sweep.yaml"
REGISTERED_AS = "deepcolor.registered_as"
"""Reference of the version a run was promoted to: `colorizer@3`."""
MODEL_FOLDER = "model"
"""Where promotion puts the MLflow model of a trial, below the artifacts of its run."""

STUDIES_FILTER = f"tags.{KIND} = 'study' and tags.{STUDY_ID} LIKE '%'"
"""All parents, except those that have lost the tag they are found by."""

MAX_TAG_CHARS = 5000
MAX_PARAM_CHARS = 6000
_MAX_NAME_CHARS = 250

_SHORT = {
    "feature_maps": "fm",
    "growth": "gr",
    "hidden_activation": "hid",
    "output_activation": "out",
    "skip_connections": "skip",
    "epochs": "ep",
    "lr": "lr",
    "weight_decay": "wd",
    "batch_size": "bs",
    "optimizer": "opt",
    "lr_schedule": "sched",
    "early_stopping": "stop",
    "patience": "pat",
    "seed": "seed",
    "mixed_precision": "amp",
    "init_from": "init",
    "freeze": "frz",
}
_LABEL = re.compile("[a-z0-9_]+")
_RUN_NAME = re.compile(r"t(?P<number>\d{4,})(?: .*)?")
_STATUS: dict[State, str] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "failed": "FAILED",
    "waiting": "KILLED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
}


def experiment_name(stage: str) -> str:
    """`deepcolor/colorizer`."""
    return f"{EXPERIMENT_PREFIX}{stage}"


def stage_in(experiment: str) -> str | None:
    """Return the stage an experiment belongs to; None for one that is not deepcolor's."""
    label = experiment.removeprefix(EXPERIMENT_PREFIX)
    return label if experiment.startswith(EXPERIMENT_PREFIX) and _LABEL.fullmatch(label) else None


def run_name(number: int, params: Mapping[str, ParamValue]) -> str:
    """Name a trial's run by its number and its searched parameters: `t0042 lr=1e-3 wd=1e-5 fm=9`, or, where it confirms
    another one, `t0042 confirms=7 seed=1 lr=1e-3 wd=1e-5 fm=9`.
    """
    words = [f"t{number:04d}", *(f"{_SHORT.get(name, name)}={short(value)}" for name, value in params.items())]
    return " ".join(words)[:_MAX_NAME_CHARS]


def trial_number(name: str) -> int | None:
    """Return the trial's number in a run's name; None if it is not the name of a trial's run."""
    match = _RUN_NAME.fullmatch(name)
    return int(match["number"]) if match else None


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that people gave a run, apart from those of deepcolor and of MLflow."""
    return {name: value for name, value in tags.items() if not name.startswith(("deepcolor.", "mlflow."))}


def short(value: ParamValue) -> str:
    """Write a parameter's value the way people say it: 1e-3, 3.72e-4, 0.5, 32, relu, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value != 0 and not 0.01 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"


def param_value(value: object) -> str:
    """Write a setting's value in full, as an MLflow param: what YAML would read back as the same value."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return as_unicode(str(value))[:MAX_PARAM_CHARS]


def run_status(state: State) -> str:
    """MLflow's status for a state: a run is RUNNING, FINISHED, FAILED, or KILLED (ended on purpose, or waiting)."""
    return _STATUS[state]


def study_id(study: str, started_ms: int) -> str:
    """Name a study for good: `report1-colorizer-19aa8c0f1d2`, the name and the moment it began with (ms since 1970, in
    hex); it stays the same when the study is renamed.
    """
    return f"{study}-{started_ms:x}"


def first_name(study_id: str) -> str:
    """Return the name that a study began with."""
    return study_id.rpartition("-")[0]


def study_filter(study_id: str) -> str:
    """Return the search filter for all runs of a study: the parent and its trials."""
    return f"tags.{STUDY_ID} = '{study_id}'"


def trials_filter(study_id: str) -> str:
    """Return the search filter for the trials of a study, short enough to read in the UI's search box."""
    return f"tags.{STUDY_ID} = '{study_id}' and tags.{KIND} = 'trial'"


def confirmations_filter(study_id: str) -> str:
    """Return the search filter for what a study trained again under other seeds."""
    return f"tags.{STUDY_ID} = '{study_id}' and tags.{KIND} = 'confirmation'"


def trial_filter(study: str, number: int, *, study_id: str | None = None) -> str:
    """Return the search filter for one trial's run; without its study's id by the name only, whenever that began."""
    of_study = f"tags.{STUDY} = '{study}'" if study_id is None else study_filter(study_id)
    return f"{of_study} and tags.{TRIAL} = '{number}'"


def image_files(key: str, *, step: int, time_ms: int, unique: str, suffix: str) -> tuple[str, str]:
    """Name the two artifacts that MLflow's image grid reads: the picture and its thumbnail.

    Args:
        key: What the grid shows side by side: the pictures of one key.
        step: The epoch.
        time_ms: Unix time in milliseconds.
        unique: A UUID; the same one for the same picture, so that storing it again replaces it.
        suffix: Of the picture's file: `.png` or `.webp`.
    """
    stem = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{time_ms}+{unique}"
    return f"{stem}{suffix}", f"{stem}+compressed.webp"


def picture_epochs(tags: Mapping[str, str]) -> set[int]:
    """Return the epochs whose pictures a run holds, by its tags."""
    return {int(epoch) for epoch in tags.get(PICTURES, "").split(", ") if epoch.isdecimal()}
