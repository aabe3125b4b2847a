"""What is said of a study's front and of its constraints. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.counting import counted
from deepcolor.search.rules.front import chosen_of, front_of, nearest_to_choice
from deepcolor.search.study.trials import StoredTrial, finite, nearest_of
from deepcolor.words import value_text


def judged_lines(trials: Sequence[StoredTrial]) -> tuple[str, ...]:
    """Say which trials are on the front and which is chosen, and what no trial keeps to; nothing if neither is asked.

    Args:
        trials: All of a study.
    """
    if not trials:
        return ()
    front = front_of(trials)
    said = [front_line(front)] if front else []
    if front and (near := nearest_to_choice(front)) is not None:
        said.append(f"No trial is {near.aims.choose}; the nearest is trial {near.number}: {figures_line(near)}.")
    if not finite(trials) and (near := nearest_of(trials)) is not None:
        said.append(f"No trial keeps to the constraints; the nearest is trial {near.number}: {near.breaks_text}.")
    return tuple(said)


def front_line(front: Sequence[StoredTrial]) -> str:
    """Say how many trials are on a front, and which one is chosen, by which rule."""
    aims, chosen = front[0].aims, chosen_of(front)
    many = f"{counted(len(front), 'trial')} on the front of {' and '.join(aims.names)}"
    if chosen is None:
        return f"{many}: {', '.join(str(trial.number) for trial in front)}."
    rule = aims.choose or f"the best {aims.names[0]}"
    return f"{many}; chosen is trial {chosen.number}, {rule}: {figures_line(chosen)}."


def figures_line(trial: StoredTrial) -> str:
    """Return what a trial is worth in each objective: `val/mse 6.100e-04, epoch_s 1.8`."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in zip(trial.aims.names, trial.values, strict=False))
