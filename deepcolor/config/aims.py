"""What a search aims at, checked against what its stage can say: objectives, constraints, and what is watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from deepcolor.config.constraints import KNOWN_BEFORE
from deepcolor.fields.objective import Better, Direction, Nearest
from deepcolor.fields.refusal import Refusal, nearest, written
from deepcolor.stages.contract import EPOCH_S, Stage

if TYPE_CHECKING:
    from deepcolor.config.schema import Sweep
    from deepcolor.config.space import SearchConfig

MOST_OBJECTIVES = 3
_SIZES: Mapping[str, Direction] = dict.fromkeys(KNOWN_BEFORE, "minimize")


def objectives_of(value: Any) -> Any:
    """Return objectives as written: one is a text, several are a tuple."""
    if not isinstance(value, list | tuple):
        return value
    if not 1 <= len(value) <= MOST_OBJECTIVES or not all(isinstance(each, str) for each in value):
        advice = "Name one metric, or two or three in brackets."
        raise Refusal(f"must be 1 to {MOST_OBJECTIVES} metrics", got=written(list(value)), advice=advice)
    twice = next((each for each in value if list(value).count(each) > 1), None)
    if twice is not None:
        raise Refusal("objectives must differ from each other", got=f"{twice} twice", advice="Leave one out.")
    return value[0] if len(value) == 1 else tuple(value)


def check_search(search: SearchConfig) -> None:
    """Refuse what several objectives do not go together with."""
    if len(search.objectives) == 1:
        return
    if search.pruner.name != "none":
        rule = "pruning compares one figure, so it does not go with several objectives"
        raise Refusal(rule, got=search.pruner.name, key="pruner", advice="Leave pruner out, or name one objective.")
    if search.stop is not None:
        rule = "what is left to find is told of one figure, so it does not go with several objectives"
        raise Refusal(rule, got=search.stop.name, key="stop", advice="Leave stop out, or name one objective.")
    if search.confirm is not None and search.confirm.top != 1:
        rule = "with several objectives the chosen setting alone is trained again"
        raise Refusal(rule, got=f"top={search.confirm.top}", key="confirm.top", advice="Leave top out.")


def check_aims(sweep: Sweep, *, epoch: Mapping[str, Better | None]) -> None:
    """Refuse objectives, constraints and watched metrics that the stage of a sweep does not measure.

    Args:
        sweep: Of a stage that is at hand.
        epoch: What is measured after every epoch, and which values are the better ones.
    """
    search, objectives = sweep.search, sweep.search.objectives
    several = len(objectives) > 1
    known: dict[str, Better | None] = {**epoch, **sweep.final_metrics, **_SIZES}
    after_epoch = f"must be what a {sweep.label} measures after every epoch"
    first = f"the first objective {after_epoch}, as it decides which epoch is taken" if several else after_epoch
    _check_names([objectives[0]], epoch, rule=first, key="search.objective")
    figures = f"must be what is known of a {sweep.label}"
    _check_names(objectives[1:], known, rule=figures, key="search.objective")
    _check_names(search.watch, epoch, rule=after_epoch, key="search.watch")
    for name in search.constraints:
        _check_names([name], known, rule=figures, key=f"search.constraints.{name}")
    _check_ways(objectives, known)
    _check_directions(search, directed(known))
    for name in objectives:
        if name in search.watch:
            rule = f"{'an' if several else 'the'} objective is shown already"
            raise Refusal(rule, got=name, key="search.watch", advice="Leave it out of watch.")
    _check_sizes(sweep)
    if search.choose is not None:
        try:
            search.choose.check(sweep.objectives)
        except Refusal as refusal:
            raise refusal.below("search.choose") from None


def directed(known: Mapping[str, Better | None]) -> dict[str, Direction | None]:
    """Return the metrics of which less or more is better, or the sweep says which; the others can be no objectives."""
    return {name: way for name, way in known.items() if not isinstance(way, Nearest)}


def _check_ways(objectives: Iterable[str], known: Mapping[str, Better | None]) -> None:
    for name in objectives:
        if isinstance(best := known[name], Nearest):
            rule = "an objective must be better the smaller it is, or the larger"
            advice = f"Bound it instead: search.constraints: {{{name}: {{at_least: LOW, at_most: HIGH}}}}."
            raise Refusal(rule, got=f"{name}, which is {best}", key="search.objective", advice=advice)


def _check_names(names: Iterable[str], known: Mapping[str, Any], *, rule: str, key: str) -> None:
    for name in names:
        if name not in known:
            near = nearest(name, known)
            advice = f"{f'Did you mean {near}? ' if near else ''}Allowed: {', '.join(known)}."
            raise Refusal(rule, got=written(name), advice=advice, key=key)


def _check_directions(search: SearchConfig, known: Mapping[str, Direction | None]) -> None:
    asked = search.directions
    if asked and len(asked) != len(search.objectives):
        got = f"{len(asked)} for {len(search.objectives)}"
        advice = "Write [minimize, maximize], in the order of the objectives."
        raise Refusal("must be one for each objective", got=got, key="search.direction", advice=advice)
    for name, direction in zip(search.objectives, asked, strict=False):
        wanted = known[name]
        if direction != wanted and wanted is not None:
            advice = f"Write {wanted} for it." if len(asked) > 1 else "Leave direction out."
            raise Refusal(f"{name} is {wanted}d", got=str(direction), key="search.direction", advice=advice)


def _check_sizes(sweep: Sweep) -> None:
    """A stage of one's own may not say how large its models are."""
    stage, search = sweep.stage_class, sweep.search
    if stage.size.__func__ is not Stage.size.__func__:  # type: ignore[attr-defined]  # of class methods
        return
    keys = {name: f"search.constraints.{name}" for name in search.constraints}
    keys |= dict.fromkeys(search.objectives, "search.objective")
    for name in KNOWN_BEFORE:
        if name in keys:
            rule = f"the stage {stage.__name__} does not say how large its models are"
            advice = "Give it a class method size(cls, job) (docs/extending.md), or leave it out."
            raise Refusal(rule, got=name, key=keys[name], advice=advice)


def figures_needed(search: SearchConfig) -> tuple[str, ...]:
    """What has to be known of a finished trial beside its value, by name: other objectives, and what is bounded."""
    first, *others = search.objectives
    named = [*others, *search.constraints]
    return tuple(dict.fromkeys(name for name in named if name != first or name == EPOCH_S))
