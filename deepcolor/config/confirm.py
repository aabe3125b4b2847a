"""What follows a search, so that its winner is no lucky draw: the best settings are trained again under other seeds."""

from __future__ import annotations

from pydantic import Field

from deepcolor.fields.frozen import Frozen


class ConfirmConfig(Frozen):
    """How the winner is confirmed. Once the search has ended, its best settings are trained again, each under the seeds
    `training.seed + 1`, `+ 2` and so on, and the one with the best mean over these wins.
    """

    first_fields = frozenset({"top", "seeds"})

    top: int = Field(default=3, ge=1, le=1000)
    """How many of the best settings are trained again."""
    seeds: int = Field(default=3, ge=2, le=1000)
    """Under how many other seeds each; the value that the search has seen does not count. 2 can hardly tell two
    settings apart: 3 or more are worth their time."""

    @property
    def trainings(self) -> int:
        """How many trainings that are at most; a search may have fewer settings."""
        return self.top * self.seeds
