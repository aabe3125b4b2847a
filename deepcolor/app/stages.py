"""The stages there are, and what a sweep of one may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepcolor.config.reference import Key, keys_of
from deepcolor.errors import CodeError, UserError
from deepcolor.plugins import offered, read
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import SHIPPED, STAGES, label_of, stage_of


@dataclass(frozen=True)
class DescribedStage:
    """A stage as it says itself what it is."""

    name: str
    """What a sweep calls it."""
    label: str
    """What its models are called by."""
    about: str
    metrics: Mapping[str, str]
    """What it measures after every epoch, and whether that is minimised, maximised or best at a value."""
    final_metrics: Mapping[str, str]
    starts_from: tuple[str, ...]
    """The labels of the stages whose models it may start from."""
    keys: tuple[Key, ...]
    """Of its sections of a sweep file; those of all sweeps stand in docs/sweep-files.md."""

    def as_dict(self) -> dict[str, Any]:
        """The stage as a JSON object."""
        return asdict(self)


def list_stages(folder: Path = Path()) -> list[DescribedStage]:
    """Return the shipped stages, then those that installed packages have as entry points.

    Raises:
        UserError: A package's stage cannot be imported, or does not keep the contract.
    """
    own = [name for name in offered(STAGES.group) if name not in SHIPPED]
    return [describe_stage(name, folder=folder) for name in (*SHIPPED, *own)]


def describe_stage(name: str, *, folder: Path = Path()) -> DescribedStage:
    """Return what a stage says of itself. One of your own is imported for it.

    Args:
        name: As a sweep names it: a shipped one, an entry point, `FILE.py:NAME` or `package.module:NAME`.
        folder: What the paths of files are relative to.
    Raises:
        UserError: There is no such stage, it cannot be imported, or does not keep the contract.
    """
    stage = _found(name, folder=folder)
    sections = {"data": stage.data, **stage.sections()}
    if not stage.starts_from:
        del sections["init"]  # A sweep of it must not set any of it.
    keys = tuple(key for part, section in sections.items() for key in keys_of(section, part))
    return DescribedStage(
        name,
        label_of(name),
        stage.about,
        {name: str(better) for name, better in stage.metrics.items()},
        {name: str(better) for name, better in stage.final_metrics.items()},
        stage.starts_from,
        tuple(key for key in keys if key.key.rpartition(".")[2] not in stage.ignores),
    )


def _found(name: str, *, folder: Path) -> type[Stage]:
    if name in SHIPPED:
        return stage_of(name)
    reference = STAGES.reference(name)
    if reference is None:
        unknown = STAGES.unknown(name)
        raise UserError(f"stage: {unknown.rule}; got {unknown.got}. {unknown.advice}")
    try:
        return stage_of(name, {reference.place: read(reference, folder=folder)})
    except CodeError as error:
        got = f"; got {error.got}" if error.got else ""
        advice = "Fix it." if "study" in error.advice else error.advice  # Nothing has begun with it.
        raise UserError(f"stage: {error.rule}{got}. {advice}") from error
