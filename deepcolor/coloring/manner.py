"""How pictures are coloured, beside the model that does it. No torch in here: the command line checks it first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepcolor.errors import ConfigError

MOST_SATURATION = 3.0
"""Beyond, sRGB has none of the colours any more."""


@dataclass(frozen=True)
class Manner:
    """What may be said of colouring. As it stands: what the model says."""

    saturation: float = 1.0
    """What a* and b* are multiplied by: 0 leaves grey, 1 what the model says, 2 twice as much colour."""
    flip: bool = False
    """Whether the picture is coloured as it is and mirrored, and gets the mean of both."""
    bfloat16: bool = False
    """Whether the network computes in bfloat16: about twice as fast where the processor knows it, a little coarser."""

    def __post_init__(self) -> None:
        saturation: Any = self.saturation  # From a client, a file or a shell: whatever the annotation says.
        number = isinstance(saturation, int | float) and not isinstance(saturation, bool)
        if not (number and 0 <= saturation <= MOST_SATURATION):  # not the other way round: NaN must fail too
            raise ConfigError(
                f"saturation: must be a number from 0 to {MOST_SATURATION:g}; got {saturation!r}. "
                "1 leaves the colours as the model says, 0 makes them grey."
            )
        switches: dict[str, Any] = {"flip": self.flip, "bfloat16": self.bfloat16}
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise ConfigError(f"{name}: must be true or false; got {value!r}. Choose one.")

    def options(self) -> dict[str, Any]:
        """Return what differs from what a model does by itself, as arguments: a model of somebody's own need not know
        them.
        """
        usual = Manner()
        return {name: value for name, value in vars(self).items() if value != getattr(usual, name)}
