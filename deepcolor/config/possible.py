"""What a sweep as a whole must keep to, beyond what each of its keys does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from deepcolor.config.aims import check_aims
from deepcolor.config.dimensions import Bundle, Range
from deepcolor.config.first import STUDY, first_points
from deepcolor.config.points import MOST_COUNTED
from deepcolor.config.space import MOST_GRID_POINTS
from deepcolor.fields.refusal import Refusal, unknown_key
from deepcolor.stages.contract import AUGMENT, UnknownStage
from deepcolor.stages.sections import INIT_REF

if TYPE_CHECKING:
    from deepcolor.config.schema import Sweep

_MOST_FORMS = 64


def check_possible(sweep: Sweep) -> None:
    """Refuse a sweep that cannot be run.

    Raises:
        Refusal: Of the first key that is not as it must be.
    """
    _check_space(sweep)
    _check_first(sweep)
    _check_metrics(sweep)
    _check_ignored(sweep)
    _check_start(sweep)
    for case in sweep.cases():
        sweep.stage_class.check(partial(sweep.values, case=case))
    if sweep.study in sweep.search.warm_start:
        advice = "Leave it out: its own trials are always learnt from."
        raise Refusal("a study cannot start from itself", got=sweep.study, key="search.warm_start", advice=advice)
    if sweep.search.confirm is not None and sweep.training.seed + sweep.search.confirm.seeds >= 2**31:
        rule = "must leave room below 2147483648 for the seeds of search.confirm"
        raise Refusal(rule, got=str(sweep.training.seed), key="training.seed", advice="Choose a smaller seed.")


def _check_space(sweep: Sweep) -> None:
    """Refuse a space that names what is not there, or that no grid can go through."""
    fields, search = sweep.stage_class.searchable_fields(), sweep.search
    if sweep.stage_class is UnknownStage:
        return
    for dimension in search.space:
        if not isinstance(dimension, Bundle) and dimension.name not in fields:
            raise unknown_key(dimension.name, fields).below(f"search.space.{dimension.name}")
    try:
        sweep.space.check(fields=fields)
    except Refusal as refusal:
        raise refusal.below("search.space") from None
    _check_forms(sweep, fields)
    if sweep.sampler == "grid" and (count := sweep.grid_points()) > MOST_GRID_POINTS:
        advice = "Search fewer values, or choose the sampler tpe or random."
        rule = f"a grid may have {MOST_GRID_POINTS} points at most"
        got = f"at least {count}" if count >= MOST_COUNTED and sweep.space.coupled else str(count)
        raise Refusal(rule, got=got, advice=advice, key="search.space")


def _check_forms(sweep: Sweep, fields: Mapping[str, str]) -> None:
    """Refuse more forms of the data than can be decoded."""
    for dimension in sweep.search.space:
        searched = [field for field in dimension.sets if fields.get(field) == AUGMENT]
        if searched and isinstance(dimension, Range) and dimension.step is None:
            rule, advice = "pictures are decoded for each of its values", "Write a list, or add a step."
            raise Refusal(rule, got="a range without steps", key=f"search.space.{dimension.name}", advice=advice)
        if searched and isinstance(dimension, Range) and dimension.points() > _MOST_FORMS:
            rule, got = f"pictures may be decoded in {_MOST_FORMS} forms at most", str(dimension.points())
            raise Refusal(rule, got=got, key=f"search.space.{dimension.name}", advice="Choose a larger step.")
    if (count := len(sweep.data_forms)) > _MOST_FORMS:
        rule = f"pictures may be decoded in {_MOST_FORMS} forms at most"
        raise Refusal(rule, got=str(count), key="search.space", advice="Search fewer values of data.augment.")


def _check_first(sweep: Sweep) -> None:
    first, limit = sweep.search.first, sweep.limit()
    if isinstance(first, str):
        named = STUDY.fullmatch(first)
        if named is not None and named["study"] == sweep.study:
            advice = "Leave it out: what it has tried is known."
            raise Refusal("a study cannot begin with its own trials", got=first, key="search.first", advice=advice)
        return
    try:
        first_points(sweep.space, first, grid=sweep.sampler == "grid")
    except Refusal as refusal:
        raise refusal.below("search.first") from None
    if limit is not None and len(first) > limit:
        rule, got = f"must be no more settings than the study has trials ({limit})", str(len(first))
        advice = "Leave some out (FILE.csv#3 takes the first 3 rows), or ask for more trials."
        raise Refusal(rule, got=got, key="search.first", advice=advice)


def _check_metrics(sweep: Sweep) -> None:
    if sweep.stage_class is not UnknownStage:
        check_aims(sweep, epoch=sweep.directions)


def _check_ignored(sweep: Sweep) -> None:
    for field, reason in sweep.stage_class.ignores.items():
        if sweep.touches(field):
            key = sweep.values(field)[0][0]
            raise Refusal(f"{reason}, so {field} means nothing to it", key=key, advice="Leave it out.")


def _check_start(sweep: Sweep) -> None:
    stage, own = sweep.stage_class, sweep.label
    allowed = stage.starts_from
    for key, ref in sweep.values("init_from"):
        if ref is None and stage.must_start:
            advice = f"Name one, such as {allowed[0]}@champion."
            raise Refusal(f"a {own} starts from a model", got="null", key=key, advice=advice)
        match = INIT_REF.fullmatch(str(ref)) if ref is not None else None
        if match is None or stage is UnknownStage:
            continue
        if not allowed:
            advice = "Leave it out."
            raise Refusal(f"a {own} starts from no other model", got=str(ref), key=key, advice=advice)
        if match["stage"] and match["stage"] not in allowed:
            advice = f"Name one, such as {allowed[0]}@champion."
            raise Refusal(f"a {own} starts from a {allowed[0]}", got=str(ref), key=key, advice=advice)
