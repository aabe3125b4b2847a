"""Run the sweeps of a pipeline one after the other, each one's best trial promoted before the next one starts."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepcolor.app.data import data_of
from deepcolor.app.how import How
from deepcolor.app.naming import refuse_former_names
from deepcolor.app.pipeline_report import leave_report
from deepcolor.app.promote import conditions_of, promote_trial
from deepcolor.app.succession import check_succession
from deepcolor.app.sweep import run_sweep
from deepcolor.plainfile import read_plain
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.config.schema import Pipeline, Sweep
    from deepcolor.registry.promotion import Promotion
    from deepcolor.search.rules.summary import Summary


@dataclass(frozen=True)
class StageResult:
    """What one sweep of a pipeline came to."""

    sweep: Sweep
    summary: Summary
    promotion: Promotion
    before: dict[str, float] | None = None
    """Transfer: figures of the model it started from, on the same test pictures."""

    def __repr__(self) -> str:
        return f"<{self.sweep.study}: {self.promotion.sentence.rstrip('.')}>"

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "study": self.sweep.study,
            "stage": self.sweep.stage,
            "data": self.sweep.data.title,
            **{key: value for key, value in self.summary.as_dict().items() if key != "study"},
            "promotion": self.promotion.as_dict(),
            "before": self.before,
        }


def run_pipeline(parsed: Pipeline, how: How, *, own_name: str | None = None, force: bool = False) -> list[StageResult]:
    """Run every sweep of a pipeline and promote its best trial; write a summary after each, and a page in the end.

    Raises:
        ModelError: A sweep starts from a champion that the pipeline's own stage before it did not become.
        StudyError: A study of it has another name by now, which is seen before the first one is trained.
    """
    refuse_former_names(how.workspace, [sweep.study for sweep in parsed.sweeps])
    results: list[StageResult] = []
    executor = how.make_executor()
    try:
        for sweep in parsed.sweeps:
            check_succession(sweep, [(done.sweep, done.promotion) for done in results], how)
            summary = run_sweep(sweep, how, executor=executor)
            promotion = promote_trial(
                how.workspace,
                sweep.study,
                how.tracking_uri,
                own_name=own_name,
                force=force,
                device=how.device,
                reporter=how.reporter,
                heading=f"{sweep.study}: ",
            )
            (how.reporter.note if promotion.promoted else how.reporter.warn)(f"{sweep.study}: {promotion.sentence}")
            if promotion.version.evidence is not None:
                how.reporter.note(f"{sweep.study}: {promotion.version.evidence.sentence}")
            before = _before(how, sweep, promotion) if sweep.stage_class.must_start else None
            results.append(StageResult(sweep, summary, promotion, before))
            _write(parsed, results, how.workspace)
    finally:
        executor.close()
    leave_report(parsed.pipeline, how)
    return results


def check_own_name(parsed: Pipeline, name: str) -> None:
    """Refuse a name that no champion of a pipeline's stages can have.

    Raises:
        ModelError: It is none.
    """
    from deepcolor.registry.names import named_line

    for sweep in parsed.sweeps:
        named_line(sweep.label, name)


def _before(how: How, sweep: Sweep, promotion: Promotion) -> dict[str, float] | None:
    """Figures of the model a transfer started from, on the transfer's test pictures; measured once, then remembered."""
    from deepcolor.models.description import read_description
    from deepcolor.models.saved import open_saved
    from deepcolor.search.study.storage import StudyStorage

    pins = StudyStorage(how.workspace).load(sweep.study).pins
    pin = next((pin for pin in pins.values() if pin["ref"] == promotion.version.parent), None)
    if pin is None:
        return None
    folder = how.workspace.study(sweep.study) / "parents" / pin["folder"]
    data = data_of(how.workspace, sweep)
    remembered = folder / f"test-{data.digest}.json"
    key = read_description(folder).weights_sha256
    try:
        figures: dict[str, Any] = jsonlib.loads(read_plain(remembered, most_bytes=2**16))
        if figures.pop("weights_sha256") == key:
            return figures
    except (OSError, ValueError, KeyError):
        pass  # measured for the first time
    from deepcolor.atomic import write_atomically

    stage, saved = open_saved(folder)
    measured = stage.measure(
        saved,
        folder=data.folder,
        data=sweep.data,
        split="test",
        device=how.device,
        conditions=conditions_of(how.workspace, sweep),
    )
    figures = dict(measured.metrics)
    write_atomically(remembered, jsonlib.dumps({**figures, "weights_sha256": key}).encode())
    return figures


def _write(parsed: Pipeline, results: list[StageResult], workspace: Workspace) -> None:
    from deepcolor.atomic import write_atomically

    content = {"pipeline": parsed.pipeline, "stages": [result.as_dict() for result in results]}
    write_atomically(
        workspace.pipeline_summary(parsed.pipeline), jsonlib.dumps(content, indent=2, default=str).encode() + b"\n"
    )
