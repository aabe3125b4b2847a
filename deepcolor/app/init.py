"""A first sweep file for a stage and a data set, with sizes that fit this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.atomic import TEMPORARY_PREFIX
from deepcolor.counting import counted
from deepcolor.errors import ConfigError
from deepcolor.fields.refusal import nearest
from deepcolor.stages.finding import SHIPPED
from deepcolor.workspace import Workspace, checked_name

if TYPE_CHECKING:
    from deepcolor.data.manifest import Manifest

_BATCHES_AN_EPOCH = 8
"""So many steps, where there are pictures enough, or an epoch teaches little."""
_BATCH, _TRIALS, _TRIALS_A_SLOT, _EPOCHS = (4, 64), (12, 60), 6, 20


@dataclass(frozen=True)
class Sizes:
    """What fits a machine and a data set."""

    slots: int
    gpu: bool
    pictures: int
    """Of the training split."""

    @property
    def batch_size(self) -> int:
        """The largest power of two that leaves an epoch its steps."""
        low, high = _BATCH
        return max(low, min(high, 1 << (max(self.pictures // _BATCHES_AN_EPOCH, 1).bit_length() - 1)))

    @property
    def trials(self) -> int:
        """A few rounds of all slots, and enough for a sampler to learn from."""
        low, high = _TRIALS
        return max(low, min(high, _TRIALS_A_SLOT * self.slots))

    @property
    def feature_maps(self) -> tuple[int, int]:
        """The narrowest and the widest network to try."""
        return (8, 32) if self.gpu else (3, 8)


def init_sweep(
    workspace: Workspace, *, stage: str, data: str | None = None, study: str | None = None, file: Path | None = None
) -> Path:
    """Write a commented sweep file, which `plan` and `sweep` take as it is; return where it is.

    Args:
        workspace: Holds the data set.
        stage: One of the shipped stages.
        data: The name of a prepared data set; None: the only one there is.
        study: What to call the study; None: after data set and stage.
        file: Where to write it; None: `experiments/STUDY.yaml` in the workspace.
    Raises:
        ConfigError: There is no such stage or data set, the file exists, or it cannot be written.
    """
    from deepcolor.config.load import load_sweep

    if stage not in SHIPPED:
        near = nearest(stage, SHIPPED)
        meant = f" Did you mean {near}?" if near else " For one of your own, see docs/extending.md."
        raise ConfigError(f"init: stage must be one of {', '.join(SHIPPED)}; got {stage!r}.{meant}")
    manifest = _data(workspace, data)
    name = checked_name(study or f"{manifest.name}-{stage}", kind="study", error=ConfigError)
    to = file or workspace.root / "experiments" / f"{name}.yaml"
    if to.exists():
        raise ConfigError(f"init: must write a new file; got {to}, which exists. Name another one with --output.")
    shown = to.relative_to(workspace.root) if to.is_relative_to(workspace.root) else to
    text = _text(stage, manifest.name, name, _sizes(manifest), file=str(shown))
    unchecked = to.with_name(f"{TEMPORARY_PREFIX}{to.name}")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        unchecked.write_text(text, encoding="utf-8")
        load_sweep(unchecked)
        with to.open("x", encoding="utf-8") as target:
            target.write(text)
    except OSError as error:
        raise ConfigError(
            f"init: must write a file that can be written; got {to} ({error.strerror or error}). Name another one."
        ) from error
    finally:
        unchecked.unlink(missing_ok=True)
    return to


def _data(workspace: Workspace, name: str | None) -> Manifest:
    from deepcolor.app.data import list_data

    found = {manifest.name: manifest for manifest in list_data(workspace)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    got = "none" if name is None else repr(name)
    advice = f"Choose of: {', '.join(found)}." if found else "Prepare one with: deepcolor data prepare DIR --name NAME"
    raise ConfigError(f"init: --data must be a prepared data set; got {got}. {advice}")


def _sizes(manifest: Manifest) -> Sizes:
    from deepcolor.app.supply import MachineSupply

    supply = MachineSupply.of(workers=None, device="auto")
    gpu = any(device.startswith("cuda") for device in supply.whole.devices)
    return Sizes(supply.slots, gpu, manifest.split_sizes["train"])


def _text(stage: str, data: str, study: str, sizes: Sizes, *, file: str) -> str:
    where = "GPU" if sizes.gpu else "core"
    low, high = sizes.feature_maps
    lines = [
        f"# A first search for the {stage} on {data}; written for a machine that trains {sizes.slots} at a time (one a",
        f"# {where}), and {sizes.pictures} pictures to train on. Every key: docs/sweep-files.md",
        "#",
        f"# What it will cost: deepcolor plan {file}",
        f"# Run it:            deepcolor sweep {file}",
        f"study: {study}  # the name under which results are found",
        f"stage: {stage}",
        f"data: {{name: {data}}}",
    ]
    if stage == "transfer":
        lines += [
            "init:",
            "  init_from: colorizer@champion  # the model to start from; or study:NAME, for the best trial of a study",
        ]
    lines += [
        "training:",
        f"  epochs: {_EPOCHS}",
        f"  batch_size: {sizes.batch_size}  # an epoch is {counted(-(-sizes.pictures // sizes.batch_size), 'step')}",
        "search:",
        "  sampler: tpe  # draws settings where those before them were good; grid tries all that values are named for",
        f"  trials: {sizes.trials}  # more can be added later: --extend -o search.trials=N",
        "  confirm: {top: 2, seeds: 2}  # trains the best two again under other seeds, to tell skill from luck",
        "  space:",
        "    lr: {low: 1.0e-4, high: 1.0e-2, log: true}",
        "    weight_decay: {low: 1.0e-7, high: 1.0e-3, log: true}",
    ]
    if stage == "transfer":
        lines.append("    freeze: [none, encoder]  # keep the encoder as it is, or train all of it")
    else:
        lines.append(
            f"    feature_maps: {{low: {low}, high: {high}}}  # the width of the network, and most of its cost"
        )
    return "\n".join([*lines, ""])
