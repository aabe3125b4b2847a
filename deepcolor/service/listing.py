"""What is listed of studies and submissions together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from deepcolor.service.queue import Queue
from deepcolor.service.record import Submission
from deepcolor.workspace import Workspace


@dataclass(frozen=True)
class Submitted:
    """The latest submission of each study of a workspace, and those of which there is no study yet."""

    by_study: Mapping[str, Submission]

    @classmethod
    def of(cls, workspace: Workspace, *, called: Mapping[str, str] = MappingProxyType({})) -> Submitted:
        """Read the queue of a workspace; nothing is made where it has none.

        Args:
            workspace: Whose it is.
            called: The present names of studies by those that they had: what was submitted keeps the name it came with.
        """
        return cls({called.get(study, study): one for one in Queue(workspace).all() for study in one.studies})

    def __bool__(self) -> bool:
        return bool(self.by_study)

    def without(self, names: list[str]) -> dict[str, Submission]:
        """Those of studies that have not begun."""
        return {study: one for study, one in self.by_study.items() if study not in names}

    def as_dict(self, study: str) -> dict[str, Any] | None:
        """The submission of a study as a JSON object; None where it was not submitted."""
        one = self.by_study.get(study)
        return one.as_dict() if one is not None else None
