"""The pruner that a user brings: imported, built, and named when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcolor.config.schema import PrunerConfig, Sweep
from deepcolor.errors import CodeError
from deepcolor.fields.named import PRUNERS
from deepcolor.plugins import Code
from deepcolor.search.rules.pruning import OwnPruner


def own_pruner(sweep: Sweep, *, code: Path | None) -> OwnPruner | None:
    """Return the pruner that a sweep brings; None if it names a shipped one.

    Args:
        sweep: Names it.
        code: See `Segment.code`.
    Raises:
        CodeError: It cannot be imported, does not take its options, or is not a pruner.
    """
    pruner = sweep.search.pruner
    if not pruner.brought:
        return None
    kind = Code(sweep.code, code or Path()).load(pruner.name, group=PRUNERS.group)
    try:
        made: OwnPruner = kind(**pruner.options)
    except Exception as error:
        rule, got = f"the pruner {pruner.name} must take its options", f"{type(error).__name__}: {error}"
        raise CodeError(rule, got=got, advice="Correct search.pruner.options.") from error
    lacking = [name for name in ("rungs", "quota") if not callable(getattr(made, name, None))]
    if lacking:
        raise CodeError(f"the pruner {pruner.name} must have {' and '.join(lacking)}", advice="See docs/extending.md.")
    return made


@contextmanager
def blamed_on(pruner: PrunerConfig) -> Iterator[None]:
    """Say in one line that it was the user's pruner that failed."""
    try:
        yield
    except Exception as error:
        if not pruner.brought:
            raise
        got = " ".join(f"{type(error).__name__}: {error}".split())
        rule = f"the pruner {pruner.name} must decide which trials continue"
        raise CodeError(rule, got=got, advice="Fix it.") from error
