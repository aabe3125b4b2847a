"""Hand a draft to the service that is meant: the one of this workspace, or one elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepcolor.config.schema import Pipeline, Sweep
from deepcolor.service.client import Service
from deepcolor.service.options import options_of
from deepcolor.service.serving import service_of
from deepcolor.service.submitting import Draft, bring_weights, refuse_weights, take_in
from deepcolor.service.tokens import this_user
from deepcolor.workspace import Workspace


@dataclass(frozen=True)
class Receipt:
    """What was submitted, as it stood then."""

    id: str
    kind: str
    """sweep, pipeline."""
    name: str
    """Of the study, or of the pipeline."""
    studies: tuple[str, ...]
    user: str
    """As whom it was submitted."""
    state: str
    service: str
    """URL of the service that has it; "": none runs in the workspace yet, and it waits in the queue."""
    fields: Mapping[str, Any]
    """All that the service says of it."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}: {self.state}{f' at {self.service}' if self.service else ''}>"


def deliver(draft: Draft, parsed: Sweep | Pipeline, *, workspace: Workspace, service: Service | None) -> Receipt:
    """Put a draft into a queue.

    Args:
        draft: As `read_draft` has made it.
        parsed: What it holds.
        workspace: The one here.
        service: The service elsewhere that is meant; None: that of the workspace here, whether or not it runs.
    Raises:
        UserError: It is refused, or the service does not answer.
        StudyError: One that has not ended drives the same study.
    """
    if service is not None:
        refuse_weights(parsed)
        return _receipt(service.submit(draft), service.url)
    made = take_in(draft, workspace=workspace, user=this_user(), allow_code=options_of(workspace).allow_code)
    bring_weights(parsed, workspace)
    here = service_of(workspace)
    return _receipt(made.as_dict(), here.url if here else "")


def _receipt(fields: Mapping[str, Any], url: str) -> Receipt:
    said = {name: str(fields[name]) for name in ("id", "kind", "name", "user", "state")}
    return Receipt(**said, studies=tuple(fields["studies"]), service=url, fields=fields)
