"""What a sweep still has to train: trials, the trajectories they lie on, and the epochs the store does not hold yet."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcolor.config.schema import Choices, Dimension, ParamValue, Setting, Sweep
from deepcolor.errors import StudyError
from deepcolor.search.rules.confirmation import wanted
from deepcolor.search.study.first import first_left
from deepcolor.search.study.sizes import DRAWS, Fitting, fitting_points, left_out, refuse_unfit
from deepcolor.search.study.space import Params, point_key
from deepcolor.search.study.storage import StoredTrial
from deepcolor.search.study.trials import searched
from deepcolor.stages.sections import DataSection, ModelSection
from deepcolor.training.checkpoint import read_history
from deepcolor.training.early_stopping import view_of
from deepcolor.training.remainder import resumable_epochs
from deepcolor.training.result_files import read_result
from deepcolor.training.trajectory import InitWeights, Trajectory, TrajectoryPaths
from deepcolor.words import params_line

_UNLIMITED_DRAWS = 1000
"""Assumed of a search that only its budget ends."""
_COPIES = "copies"
"""Of each training picture: a form's own, where a sweep searches how pictures are augmented."""


@dataclass(frozen=True)
class Form:
    """What determines the seconds of an epoch on one data set and machine."""

    stage: str
    model: ModelSection
    others: tuple[tuple[str, ParamValue], ...] = ()
    """Fields of `training` and `init` that weigh (`Stage.weighs`), by name, and those of `weighs_if_set` that are."""

    @classmethod
    def of(cls, setting: Setting, *, main: DataSection | None = None) -> Form:
        """The form of a setting.

        Args:
            setting: What would be trained.
            main: The form of the data that its sweep is known by; with others an epoch may have more pictures.
        """
        fields = {**vars(setting.training), **vars(setting.init)}
        stage = setting.stage_class
        others = tuple((name, _plain(fields[name])) for name in stage.weighs if name in fields)
        # Only those that are used, so that a form is the same as before such a field was thought of.
        others += tuple((name, True) for name in stage.weighs_if_set if fields.get(name))
        if main is not None and setting.data.form != main.form:
            others += ((_COPIES, _copies(setting.data)),)
        return cls(setting.stage, setting.model, others)

    @property
    def fields(self) -> dict[str, ParamValue]:
        """All that tells it from others of its stage, by name."""
        return {**self.model.model_dump(), **dict(self.others)}


@dataclass(frozen=True)
class Chain:
    """The trials on one trajectory, shortest first; only one of them can be trained at a time."""

    form: Form
    setting: Setting
    """The setting of one of them."""
    epochs: tuple[int, ...]
    """Epochs to be trained for each trial that is not completely in the store."""
    confirms: bool = False
    """It is one of the best settings under another seed, which no pruner ends."""


@dataclass(frozen=True)
class Workload:
    """All that a sweep still has to do."""

    trials: int
    """Trials of the search to start, without those that the study has already finished."""
    trajectories: int
    requested_epochs: int
    """Epochs that these trials would take if each were trained by itself."""
    chains: tuple[Chain, ...]
    """Trajectories on which something is left to do, in the order they start."""
    confirmations: int = 0
    """Trainings of the best settings under other seeds to start, in addition to the trials of the search."""
    presumed_epochs: int | None = None
    """The epochs each of those is assumed to take until the search has found the settings; None once it has."""
    left_out: str = ""
    """What of its grid is not trained, in words."""

    @property
    def trained_epochs(self) -> int:
        """Epochs that have to be trained."""
        return sum(sum(chain.epochs) for chain in self.chains)

    def forms(self) -> dict[Form, Setting]:
        """Every form of which something is left to train, with one setting that has it."""
        return {chain.form: chain.setting for chain in self.chains}


def workload(
    sweep: Sweep,
    trials: Sequence[StoredTrial],
    *,
    data_digest: str,
    forms: Mapping[str, str] = MappingProxyType({}),
    store: Path,
    parent_of: Callable[[Setting], InitWeights | None],
) -> Workload:
    """Work out what a sweep would do now; nothing is written.

    Args:
        sweep: With what it takes over from its parent model.
        trials: Those of its study; none if it does not exist yet.
        data_digest: Of the data in the sweep's form.
        forms: Of the data in each form that its trials ask for, by `DataSection.form`.
        store: The folder of all trajectories.
        parent_of: The weights a setting starts from; only their checksum matters.
    """
    trajectories: dict[str, list[Trajectory]] = {}
    main = sweep.data_forms[0]
    points = open_points(sweep, trials)
    searched_for = [sweep.setting(params) for params in points]
    confirming = [sweep.setting(params) for params in _confirming_points(sweep, trials, points)]
    settings = searched_for + confirming
    confirms = set()
    for number, setting in enumerate(settings):
        digest = forms.get(setting.data.form, data_digest)
        trajectory = Trajectory(setting, digest, parent_of(setting), sweep.objective)
        trajectories.setdefault(trajectory.digest, []).append(trajectory)
        if number >= len(searched_for):
            confirms.add(trajectory.digest)
    chains = [
        _chain(same, store=store, main=main, confirms=digest in confirms) for digest, same in trajectories.items()
    ]
    return Workload(
        trials=len(searched_for),
        trajectories=len(trajectories),
        requested_epochs=sum(setting.training.epochs for setting in settings),
        chains=tuple(chain for chain in chains if chain.epochs),
        confirmations=len(confirming),
        presumed_epochs=sweep.most_epochs if confirming and points else None,
        left_out=str(left_out(sweep) or ""),
    )


def open_points(sweep: Sweep, trials: Sequence[StoredTrial]) -> list[Params]:
    """Return the points a sweep has yet to finish: of a grid the actual ones, else as many draws as trials are left."""
    trials = searched(trials)
    done = {point_key(trial.params) for trial in trials if trial.state in {"complete", "pruned"}}
    limit = sweep.limit()
    if sweep.search.sampler == "grid":
        first = first_left(sweep, trials)
        ahead = {point_key(point) for point in first}
        points = first + [point for point in fitting_points(sweep) if point_key(point) not in done | ahead]
        return points if limit is None else points[: max(0, limit - len(done))]
    asked = _UNLIMITED_DRAWS if limit is None else limit
    open_ = [dict(trial.params) for trial in trials if not trial.finished]
    count = asked - sum(trial.state in {"complete", "pruned"} for trial in trials) - len(open_)
    draw = random.Random(sweep.search.seed)
    given = first_left(sweep, trials)[: max(0, count)]
    given += [{} for _ in range(max(0, count) - len(given))]
    fitting, even = Fitting(sweep), _Even(draw, of=len(given))
    return open_ + [_fitting_draw(fitting, draw, first, even=even) for first in given]


def drawn(sweep: Sweep, draw: random.Random, given: Mapping[str, ParamValue] = MappingProxyType({})) -> Params:
    """Draw a setting of a sweep's space, or what is not given of it, whether it may be trained or not."""
    return _drawn(sweep, given, lambda _: draw.random())


def _drawn(sweep: Sweep, given: Mapping[str, ParamValue], share: Callable[[str], float]) -> Params:
    return sweep.space.drawn(lambda each: given[each.name] if each.name in given else _value(each, share(each.name)))


class _Even:
    """Draws that lie evenly over each parameter's range: a few of them then have the mean of very many."""

    def __init__(self, draw: random.Random, *, of: int) -> None:
        self._draw = draw
        self._of = of
        self._left: dict[str, list[float]] = {}

    def share(self, name: str) -> float:
        """How far along the range of a parameter the next draw lies, from 0 to 1."""
        left = self._left.setdefault(name, [])
        if not left:
            left += [(place + 0.5) / self._of for place in range(self._of)]
            self._draw.shuffle(left)
        return left.pop()


def _confirming_points(sweep: Sweep, trials: Sequence[StoredTrial], open_: Sequence[Params]) -> list[Params]:
    """The points, seed included, at which the best settings would be trained under other seeds.

    While the search lasts they are not known: as many points are taken from all over it, each assumed to be as long as
    the longest trial, because the best trials are seldom the shortest.
    """
    confirm, first = sweep.search.confirm, sweep.training.seed + 1
    if confirm is None:
        return []
    if not open_:
        params = {trial.number: trial.params for trial in trials}
        done = {trial.confirms for trial in trials if trial.state == "complete"}
        to_do = [confirms for confirms in wanted(sweep, trials) if confirms not in done]
        return [{**params[confirms.trial], "seed": confirms.seed} for confirms in to_do]
    points = [dict(trial.params) for trial in searched(trials) if trial.state == "complete"] + [*open_]
    count = min(confirm.top, len(points))
    best = [points[index * len(points) // count] for index in range(count)]
    return [
        {**point, **_longest(sweep, point), "seed": first + extra} for extra in range(confirm.seeds) for point in best
    ]


def _plain(value: Any) -> ParamValue:
    """A field's value; of one that names several things, such as metrics, all in one text."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _copies(data: DataSection) -> str:
    """How many copies of each picture, and whether they are drawn anew in every epoch."""
    return f"{len(data.augment.active)} {data.augment.mode}"


def _longest(sweep: Sweep, point: Params) -> Params:
    """The epochs that a setting is presumed to have, where its point says how many it has."""
    return {"epochs": sweep.most_epochs} if "epochs" in point else {}


def _chain(same: Sequence[Trajectory], *, store: Path, main: DataSection, confirms: bool) -> Chain:
    """Work out what a driver would do for the trials on one trajectory, given what the store holds."""
    paths = TrajectoryPaths(store, same[0].digest)
    final = same[0].setting.final_metrics
    history = read_history(paths)
    reached = 0
    epochs: list[int] = []
    asked = sorted({(t.setting.training.epochs, t.setting.patience or 0) for t in same})
    for until, patience in asked:
        view = view_of(history, epochs=until, patience=patience or None, objective=same[0].objective)
        if view is not None and (view.diverged or read_result(paths.result(view), final) is not None):
            continue
        end = until if view is None else view.chosen_epoch
        begins = max(resumable_epochs(paths, view, final), reached if reached <= end else 0)
        epochs.append(max(0, end - begins))
        reached = max(reached, end)
    return Chain(Form.of(same[0].setting, main=main), same[0].setting, tuple(epochs), confirms)


def refuse_if_nothing_fits(sweep: Sweep) -> Sweep:
    """Return a sweep that has something to train.

    Raises:
        StudyError: No setting keeps to the constraints that are known before, or one that is to be tried first does
            not.
    """
    _refuse_first(Fitting(sweep))
    draw = random.Random(sweep.search.seed)
    return refuse_unfit(sweep, draw=lambda: drawn(sweep, draw))


def _refuse_first(fitting: Fitting) -> None:
    """Refuse a whole setting that is to be tried first and may not be trained; a partial one can still fit."""
    sweep = fitting.sweep
    for number, point in enumerate(first_left(sweep, ())):
        broken = fitting.broken(point) if fitting.bounded and sweep.space.is_whole(point) else ()
        if broken:
            raise StudyError(
                f"search.first.{number}: must keep to search.constraints; got {params_line(point)}, over "
                f"{' and '.join(broken)} (study {sweep.study}). Leave it out, or raise the limit."
            )


def _fitting_draw(fitting: Fitting, draw: random.Random, given: Params, *, even: _Even) -> Params:
    for turn in range(DRAWS):
        params = drawn(fitting.sweep, draw, given) if turn else _drawn(fitting.sweep, given, even.share)
        if fitting.fits(params):
            return params
    raise fitting.none_fits(tried=f"{DRAWS} draws")


def _value(dimension: Dimension, share: float) -> ParamValue:
    """The value at a share of a range, from 0 to 1; below 1 of choices."""
    if isinstance(dimension, Choices):
        return _at(dimension.values, share)
    if dimension.step is not None:
        return _at(dimension.grid(), share)
    low, high = dimension.low, dimension.high
    if isinstance(low, int) and isinstance(high, int) and not dimension.log:
        return min(high, low + int(share * (high - low + 1)))
    value = dimension.rounded(low * (high / low) ** share if dimension.log else low + share * (high - low))
    whole = isinstance(low, int) and isinstance(high, int)
    return round(value) if whole else min(max(value, low), high)


def _at(values: Sequence[ParamValue], share: float) -> ParamValue:
    return values[min(len(values) - 1, int(share * len(values)))]
