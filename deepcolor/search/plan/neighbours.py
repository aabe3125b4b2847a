"""Which forms tell the pace of which, and which one is worth measuring next. Pure.

Forms of one kin are equal in all but the numbers of their networks: the same stage, network, activation, batch size,
optimizer, copies of each picture. Within a kin, the seconds of an epoch are a power of its work:

between two that are known    the power that joins them
beyond the last known         the same power; from a single one, the power that is usual
with none of its kin known    read off at the same work from the nearest kin, which is a guess
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from statistics import fmean

from deepcolor.search.plan.price import Pace
from deepcolor.search.plan.workload import Form

ENOUGH = 0.07
"""Of a sweep's seconds: no more is measured once what is derived can only be wrong by this share of them."""
_POWER_FROM_ONE = 0.4
"""On a CPU, networks of 3 to 48 feature maps take the power 0.35 to 0.8 of their work, small ones the least: one
an eighth as wide takes a quarter of the time, where proportion would say a thirtieth."""
_OFF_BETWEEN, _OFF_BEYOND = 0.15, 0.3
"""By how much the power may be off; a pace that is read off at r times the work is then wrong by r to this power."""
_LEAST_WORK = 1e-12


@dataclass(frozen=True)
class Doubt:
    """How sure the paces of a sweep are, and what would make them surer."""

    seconds: float
    """Of training, as far as known; while nothing is known, in units of work."""
    unsure: float
    """By how many of these the sum may be wrong."""
    form: Form | None
    """The form whose measuring would tell most; None if all of them are known."""

    @property
    def enough(self) -> bool:
        """Whether nothing has to be measured."""
        return self.form is None or self.unsure <= ENOUGH * self.seconds


def filled(known: Mapping[Form, Pace], forms: Sequence[Form], *, work: Mapping[Form, float]) -> dict[Form, Pace]:
    """Return a pace for every form: the known one, else what those of its kin say, else the nearest kin.

    Args:
        known: Paces of some of the forms, or of others; at least one.
        forms: Those wanted.
        work: What an epoch of each form costs, known ones included, in any unit of their stage's.
    """
    curves = _curves(known, work)
    return {form: known[form] if form in known else _curve_of(form, curves).at(work[form]) for form in forms}


def doubt(
    known: Mapping[Form, Pace],
    forms: Sequence[Form],
    *,
    work: Mapping[Form, float],
    epochs: Mapping[Form, float],
    guess: Mapping[Form, Pace],
) -> Doubt:
    """Say how far the paces of a sweep can be trusted, and what to measure next.

    Args:
        known: The paces that are known of it.
        forms: All of its forms.
        work: See `filled`.
        epochs: How many epochs of each are to be trained.
        guess: A pace for each form, whatever it rests on; empty while nothing is known.
    """
    curves = _curves(known, work)
    seconds = {form: epochs[form] * (guess[form].epoch_s if guess else work[form]) for form in forms}
    unsure = {form: seconds[form] * _wrong_by(form, known, curves, work=work) for form in forms}
    kins: dict[Hashable, list[Form]] = {}
    for form in forms:
        kins.setdefault(kin(form), []).append(form)
    open_ = [members for members in kins.values() if any(form not in known for form in members)]
    if not open_:
        return Doubt(sum(seconds.values()), 0.0, None)
    members = max(open_, key=lambda members: sum(unsure[form] for form in members))
    # Of a new kin the form with the most work comes first: it takes most of the time, and is the hardest to foretell.
    telling = unsure if kin(members[0]) in curves else work
    return Doubt(
        seconds=sum(seconds.values()),
        unsure=sum(unsure.values()),
        form=max((form for form in members if form not in known), key=lambda form: (telling[form], work[form])),
    )


def kin(form: Form) -> Hashable:
    """All of a form that must be equal in another one for the paces of both to be compared."""
    return form.stage, tuple((name, value) for name, value in form.model if not _is_number(value)), form.others


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_by(
    form: Form, known: Mapping[Form, Pace], curves: Mapping[Hashable, _Curve], *, work: Mapping[Form, float]
) -> float:
    """By what share the pace of a form may be wrong."""
    if form in known:
        return 0.0
    curve = curves.get(kin(form))
    return 1.0 if curve is None else curve.wrong_by(work[form])


class _Curve:
    """What is known of one kin: paces over the work of an epoch."""

    def __init__(self, form: Form, points: Sequence[tuple[float, Pace]]) -> None:
        """Take forms of the same work together: whatever tells them apart costs nothing, as far as is known."""
        self.form = form
        in_order = groupby(sorted(points, key=lambda point: point[0]), key=lambda point: point[0])
        same = [(work, [pace for _, pace in group]) for work, group in in_order]
        self._work = [work for work, _ in same]
        self._paces = [_mean(paces) for _, paces in same]

    def at(self, work: float) -> Pace:
        """The pace at some work."""
        place = bisect_left(self._work, work)
        if place < len(self._work) and self._work[place] == work:
            return self._paces[place]
        if 0 < place < len(self._work):
            return self._between(place - 1, place, work)
        return self._beyond(0 if place == 0 else -1, work)

    def wrong_by(self, work: float) -> float:
        """By what share that may be wrong."""
        ratio = min(abs(_log_ratio(work, point)) for point in self._work)
        inside = self._work[0] <= work <= self._work[-1]
        return min(1.0, math.expm1(ratio * (_OFF_BETWEEN if inside else _OFF_BEYOND)))

    def _between(self, below: int, above: int, work: float) -> Pace:
        low, high = self._paces[below], self._paces[above]
        share = _log_ratio(work, self._work[below]) / _log_ratio(self._work[above], self._work[below])

        def mixed(name: str) -> float:
            one, two = getattr(low, name), getattr(high, name)
            return float(one ** (1 - share) * two**share if min(one, two) > 0 else one + share * (two - one))

        return _each(mixed)

    def _beyond(self, end: int, work: float) -> Pace:
        nearest, factor = self._paces[end], math.exp(self._power(end) * _log_ratio(work, self._work[end]))
        return _each(lambda name: float(getattr(nearest, name)) * (factor if name == "epoch_s" else 1.0))

    def _power(self, end: int) -> float:
        """Of the work, at one end of what is known."""
        if len(self._work) == 1:
            return _POWER_FROM_ONE
        inner = 1 if end == 0 else -2
        grows = _log_ratio(self._paces[end].epoch_s, self._paces[inner].epoch_s)
        return min(1.0, max(0.0, grows / _log_ratio(self._work[end], self._work[inner])))


def _mean(paces: Sequence[Pace]) -> Pace:
    return _each(lambda name: fmean(getattr(pace, name) for pace in paces))


def _each(figure: Callable[[str], float]) -> Pace:
    """A pace, each figure of which is worked out by its name."""
    names = [field.name for field in fields(Pace) if field.name != "source"]
    return Pace(**{name: figure(name) for name in names}, source="interpolation")


def _log_ratio(one: float, other: float) -> float:
    return math.log(max(one, _LEAST_WORK) / max(other, _LEAST_WORK))


def _curves(known: Mapping[Form, Pace], work: Mapping[Form, float]) -> dict[Hashable, _Curve]:
    members: dict[Hashable, list[Form]] = {}
    for form in known:
        members.setdefault(kin(form), []).append(form)
    return {key: _Curve(forms[0], [(work[f], known[f]) for f in forms]) for key, forms in members.items()}


def _curve_of(form: Form, curves: Mapping[Hashable, _Curve]) -> _Curve:
    """The curve of a form's own kin, else that of the nearest."""
    own = curves.get(kin(form))
    return own if own is not None else min(curves.values(), key=lambda curve: _distance(form, curve.form))


def _distance(one: Form, other: Form) -> tuple[bool, float]:
    """In how much forms of two kins differ: another stage is farthest, and a number is nearer the less it differs."""
    mine, others, of_network = one.fields, other.fields, type(one.model).model_fields
    steps = 0.0
    for name in mine.keys() | others.keys():
        a, b = mine.get(name), others.get(name)
        both = [float(value) for value in (a, b) if isinstance(value, int | float) and not isinstance(value, bool)]
        if a == b or (name in of_network and len(both) == len((a, b))):
            continue
        near = len(both) == len((a, b)) and min(both) > 0
        steps += min(1.0, abs(_log_ratio(*both)) / 10) if near else 1.0
    return one.stage != other.stage, steps
