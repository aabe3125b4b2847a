"""What a sweep will cost: its workload, priced by what an epoch and a trial take on this machine. Pure.

seconds of an epoch  from the store or a calibration; else from forms of the same kin (`neighbours`)
a trajectory         its epochs, and for each trial on it a checkpoint and a result
the sweep            trajectories in order on the workers, between the driver's start and its report
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from deepcolor.config.schema import Sweep
from deepcolor.counting import counted
from deepcolor.search.plan.foreseen import Foreseen, Run, foreseen
from deepcolor.search.plan.workload import Form, Workload
from deepcolor.words import duration, size

Source = Literal["store", "calibration", "interpolation"]

DRIVER_START_S = 2.5
"""Processor seconds from the command to the first segment: imports, databases, the data set's checksums."""
REPORT_S = 2.5
"""Processor seconds of the report at the end."""
TRACKING_S = 0.08
"""Processor seconds that the driver spends on each trial: Optuna, MLflow, artifacts."""
PROMOTION_S = 4.0
"""Processor seconds of a promotion between two sweeps of a pipeline, on a small test split."""


@dataclass(frozen=True)
class Pace:
    """What one form costs; seconds while all workers are busy."""

    epoch_s: float
    trial_s: float
    """In addition to its epochs: build or load the network, write a checkpoint, measure and draw the result."""
    checkpoint_bytes: float
    result_bytes: float
    source: Source


@dataclass(frozen=True)
class Machine:
    """How the segments would run, and what starting them costs."""

    workers: int
    threads: int
    device: str
    """`cpu` or `cuda`."""
    startup_s: float
    """Until the workers train."""
    cold_s: float = 0.0
    """What only the first training of a worker costs."""
    stretch: float = 1.0
    """Wall-clock seconds per processor second: above 1 on a machine that others use too."""


@dataclass(frozen=True)
class Cost:
    """What a sweep will take; the summary of a plan."""

    study: str
    trials: int
    trajectories: int
    requested_epochs: int
    trained_epochs: int
    epoch_s: float
    """Mean over the epochs to be trained."""
    trial_s: float
    """Mean over the trials to be run."""
    startup_s: float
    """Of the driver and its workers; the report at the end is part of it."""
    wall_s: float
    gpu_hours: float
    store_bytes: int
    """Checkpoints and results in the trajectory store."""
    tracking_bytes: int
    """The same results as MLflow's artifacts."""
    at_most: bool
    """Early stopping, a pruner or a target may end it sooner."""
    limited_by: str | None
    """The limit of its budget that it will reach first, if any."""
    sources: dict[str, int]
    """How many of its forms were priced from each source."""
    confirmations: int = 0
    """Trainings of the best settings under other seeds, in addition to the trials of the search."""
    presumed_epochs: int | None = None
    """The epochs each of those is assumed to take: the longest trial's, as the settings are not known yet; None if they
    are."""
    left_out: str = ""
    """What of its grid is not trained, in words."""
    data_forms: int = 1
    """Forms in which its data is decoded: more than one where augmentation is searched."""
    data_bytes: int = 0
    """What they take on disk, where there are several; they are decoded by now."""
    expected_s: float | None = None
    """What is left of `wall_s` if its pruner ends as many trials as it mostly does; None if it has none that is known.
    Early stopping is not foreseen."""
    expected_epochs: int | None = None
    """What is left of `trained_epochs`, likewise."""

    def __repr__(self) -> str:
        return f"<cost of {self.sentence}>"

    def _repr_html_(self) -> str:
        return f"<div>{escape(self.sentence)}</div>"

    @property
    def time(self) -> str:
        """How long it takes, in words."""
        return time_text(self.wall_s, expected_s=self.expected_s, at_most=self.at_most)

    @property
    def sentence(self) -> str:
        """What matters most, in a line."""
        trials = f"{counted(self.trials, 'trial')} in {counted(self.trajectories, 'training')}"
        epochs = f"{counted(self.trained_epochs, 'epoch')} to train, {self.epoch_s:.3g} s each"
        ends = f"; ends on its budget: {self.limited_by}" if self.limited_by else ""
        took = f"{self.time}, {size(self.store_bytes + self.tracking_bytes)} on disk"
        without = f"; {self.left_out}" if self.left_out else ""
        return f"{self.study}: {trials}, {epochs}; {took}{ends}{without}"

    def as_dict(self) -> dict[str, Any]:
        """The cost as a JSON object."""
        return asdict(self)


def time_text(wall_s: float, *, expected_s: float | None, at_most: bool) -> str:
    """Say how long something takes, and whether it may take less."""
    bound = f"{'at most ' if at_most else ''}{duration(wall_s)}"
    about = duration(expected_s) if expected_s is not None else bound
    return bound if expected_s is None or about == duration(wall_s) else f"about {about}, {bound}"


def price(
    sweep: Sweep, work: Workload, *, paces: Mapping[Form, Pace], machine: Machine, promoted: bool = False
) -> Cost:
    """Work out the seconds and bytes of a workload.

    Args:
        sweep: The sweep to be run.
        work: What is left to do.
        paces: Of every form in it.
        machine: What it would run on.
        promoted: Whether its best trial is promoted afterwards.
    """
    blocks = [_block_s(paces[chain.form], chain.epochs) for chain in work.chains]
    spans = _spans_s(blocks, workers=machine.workers)
    own_s = DRIVER_START_S + REPORT_S + (PROMOTION_S if promoted else 0.0)
    fixed_s = own_s * machine.stretch + (machine.startup_s if blocks else 0.0)
    driver_s = TRACKING_S * machine.stretch * (work.trials + work.confirmations) / machine.workers
    busy_s = max(spans, default=0.0) + (machine.cold_s if blocks else 0.0) + driver_s
    trained = work.trained_epochs
    share, limited_by = _within_budget(
        sweep, fixed_s=fixed_s, busy_s=busy_s, gpu_s=_gpu_s(spans, machine), epochs=trained
    )
    left = _foreseen(sweep, work, paces, machine)
    expected_s = fixed_s + (left.span_s + busy_s - max(spans, default=0.0)) if left else None
    results = [(paces[chain.form], len(chain.epochs)) for chain in work.chains]
    return Cost(
        study=sweep.study,
        trials=work.trials,
        trajectories=work.trajectories,
        requested_epochs=work.requested_epochs,
        trained_epochs=math.ceil(trained * share),
        epoch_s=_mean([(paces[chain.form].epoch_s, sum(chain.epochs)) for chain in work.chains]),
        trial_s=_mean([(pace.trial_s, count) for pace, count in results]),
        startup_s=fixed_s,
        wall_s=fixed_s + busy_s * share,
        gpu_hours=_gpu_s(spans, machine) * share / 3600,
        store_bytes=round(share * sum((pace.checkpoint_bytes + pace.result_bytes) * n for pace, n in results)),
        tracking_bytes=round(share * sum(pace.result_bytes * n for pace, n in results)),
        at_most=_may_end_sooner(sweep, work),
        limited_by=limited_by,
        sources=_sources(paces, work),
        confirmations=work.confirmations,
        presumed_epochs=work.presumed_epochs,
        left_out=work.left_out,
        expected_s=None if expected_s is None else min(expected_s, fixed_s + busy_s * share),
        expected_epochs=None if left is None else min(math.ceil(left.epochs), math.ceil(trained * share)),
    )


def _foreseen(sweep: Sweep, work: Workload, paces: Mapping[Form, Pace], machine: Machine) -> Foreseen | None:
    """What a pruner is expected to leave; the best settings are trained to their end under other seeds after that."""
    runs = [
        Run(sum(chain.epochs), paces[chain.form].epoch_s, paces[chain.form].trial_s)
        for chain in work.chains
        if not chain.confirms
    ]
    left = foreseen(sweep, runs, workers=machine.workers)
    confirming = [chain for chain in work.chains if chain.confirms]
    if left is None:
        return None
    spans = _spans_s([_block_s(paces[chain.form], chain.epochs) for chain in confirming], workers=machine.workers)
    return Foreseen(left.epochs + sum(sum(chain.epochs) for chain in confirming), left.span_s + max(spans))


def _block_s(pace: Pace, epochs: Sequence[int]) -> float:
    return sum(epochs) * pace.epoch_s + len(epochs) * pace.trial_s


def _spans_s(blocks: Sequence[float], *, workers: int) -> list[float]:
    """Seconds that each worker is busy when the next block always goes to the one that is free first."""
    spans = [0.0] * workers
    for block in blocks:
        heapq.heapreplace(spans, spans[0] + block)
    return spans


def _gpu_s(spans: Sequence[float], machine: Machine) -> float:
    return sum(spans) if machine.device.startswith("cuda") else 0.0


def _within_budget(
    sweep: Sweep, *, fixed_s: float, busy_s: float, gpu_s: float, epochs: int
) -> tuple[float, str | None]:
    """The share of the work that the sweep's budget allows, and the limit that decides it."""
    budget = sweep.search.budget
    limits: list[tuple[float, str]] = []
    if budget.wall_s is not None and busy_s > 0:
        limits.append((max(0.0, budget.wall_s - fixed_s) / busy_s, "wall_s"))
    if budget.gpu_hours is not None and gpu_s > 0:
        limits.append((budget.gpu_hours * 3600 / gpu_s, "gpu_hours"))
    if budget.epochs is not None and epochs > 0:
        limits.append((budget.epochs / epochs, "epochs"))
    share, name = min(limits, default=(1.0, ""))
    return (share, name) if share < 1 else (1.0, None)


def _may_end_sooner(sweep: Sweep, work: Workload) -> bool:
    search = sweep.search
    stops_early = any(chain.setting.patience is not None for chain in work.chains)
    ends_early = (
        search.budget.target is not None or search.budget.patience_trials is not None or search.stop is not None
    )
    return stops_early or ends_early or search.pruner.name != "none"


def _mean(pairs: Sequence[tuple[float, int]]) -> float:
    count = sum(n for _, n in pairs)
    return sum(value * n for value, n in pairs) / count if count else 0.0


def _sources(paces: Mapping[Form, Pace], work: Workload) -> dict[str, int]:
    counts: dict[str, int] = {}
    for form in work.forms():
        counts[paces[form].source] = counts.get(paces[form].source, 0) + 1
    return counts
