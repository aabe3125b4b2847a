"""How torch computes, as far as the last bits of a figure depend on it. No torch in here: whoever asks for a
measurement says it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from deepcolor.stages.sections import TrainingSection

VAL_BATCH_SIZE = 32
"""From 16 to 64 a CPU is equally fast; at 128 the activations leave its caches and it takes twice as long."""


@dataclass(frozen=True)
class Conditions:
    """What a training's validation and a later measurement must share to give the same figures, to the last bit."""

    threads: int | None = None
    """CPU threads of one operation; None leaves torch's own choice."""
    reduced_precision: bool = False
    """Whether a GPU may round the factors of convolutions (TF32)."""
    batch_size: int = VAL_BATCH_SIZE
    """Pictures at a time."""

    @classmethod
    def of(cls, training: TrainingSection, *, threads: int | None) -> Self:
        """Return those of a training.

        Args:
            training: Its setting.
            threads: CPU threads it was given.
        """
        # Memory that was enough for training is enough for this, too.
        batch_size = min(getattr(training, "batch_size", VAL_BATCH_SIZE), VAL_BATCH_SIZE)
        return cls(threads=threads, reduced_precision=training.reduced_precision, batch_size=batch_size)


ANY = Conditions()
"""Where nothing is known of the training, or the last bits do not matter."""
