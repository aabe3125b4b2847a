"""What a stage says of itself; nothing outside asks for its name. No torch in here: the command line asks, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from deepcolor.fields.objective import Direction

EPOCH_S = "epoch_s"
"""The seconds of an epoch, which every training has beside its stage's own metrics."""


class Stage:
    """A kind of training. A subclass says what may be asked of it, and what becomes of it; all of it is said once."""

    metrics: ClassVar[Mapping[str, Direction]]
    """What it measures after every epoch, by public name (`val/mse`), and which values are the better ones. One that
    begins with `train/` is of the training itself: where it is no number, the training has diverged."""

    stops_early: ClassVar[bool] = True
    """Whether a training ends early unless its sweep says otherwise."""

    starts_from: ClassVar[tuple[str, ...]] = ()
    """The stages whose models it may start from, the usual one first; empty: it starts from random weights always."""

    must_start: ClassVar[bool] = False
    """Whether it has to start from a model."""

    takes_form: ClassVar[tuple[str, ...]] = ()
    """The fields of `model` that must be those of the model it starts from; left out, they are taken over."""

    ignores: ClassVar[Mapping[str, str]] = {}
    """Fields that mean nothing to it, so that a sweep must not set them, and why."""

    about: ClassVar[str] = ""
    """What its models do, in a sentence for their cards."""

    colours_pixels: ClassVar[bool] = False
    """Whether its models colour pictures, so that `deepcolor colorize` can use them."""

    @classmethod
    def metrics_under(cls, loss: str) -> Mapping[str, Direction]:  # noqa: ARG003  # for stages that do depend on it
        """What it measures where this loss is minimised (`training.loss`); `metrics`, unless a subclass says more."""
        return cls.metrics

    @classmethod
    def directions(cls, losses: Iterable[str]) -> Mapping[str, Direction]:
        """Return what may be asked of trainings under any of these losses, and which values are the better ones."""
        first, *others = (cls.metrics_under(loss) for loss in losses)
        common = {name: first[name] for name in first if all(name in other for other in others)}
        return {**common, EPOCH_S: "minimize"}
