"""`deepcolor pipeline`: the sweeps of a file one after the other, each one's best trial promoted before the next one
starts.
"""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcolor.cli import console
from deepcolor.cli.confirmation import spread_text
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    TrackingOption,
    WorkersOption,
    WorkspaceOption,
    in_workspace,
    tracking_uri,
)
from deepcolor.cli.words import duration, params_line, value_text
from deepcolor.plainfile import read_plain
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.cli.drive import How
    from deepcolor.config.schema import Pipeline, Sweep
    from deepcolor.registry.promotion import Promotion
    from deepcolor.registry.versions import ModelVersion
    from deepcolor.search.rules.summary import Summary

SUMMARY_FILE = "pipeline.json"


@dataclass(frozen=True)
class StageResult:
    """What one sweep of a pipeline came to."""

    sweep: Sweep
    summary: Summary
    promotion: Promotion
    before: dict[str, float] | None = None
    """Transfer: figures of the model it started from, on the same test pictures."""

    @property
    def found(self) -> tuple[str, str]:
        """The winning setting and its value, in words: confirmed under other seeds, or the best one."""
        confirmation, best = self.summary.confirmation, self.summary.best
        if confirmation is not None and confirmation.winner is not None:
            return params_line(confirmation.winner.params) or "-", spread_text(confirmation.winner)
        return params_line(best.params) if best else "-", value_text(best.value if best else None)

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object."""
        from deepcolor.cli.promote import promotion_as_dict

        return {
            "study": self.sweep.study,
            "stage": self.sweep.stage,
            "data": self.sweep.data.name,
            **{key: value for key, value in self.summary.as_dict().items() if key != "study"},
            "promotion": promotion_as_dict(self.promotion),
            "before": self.before,
        }


def pipeline(
    file: Annotated[Path, typer.Argument(help="Pipeline file (YAML).", show_default=False)],
    override: OverrideOption = None,
    own_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Let every stage compete for a champion of its own: colorizer-NAME.",
            show_default="with the champion of its data set",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make each best trial champion whatever the gate says.")
    ] = False,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run several sweeps in order, and promote the best trial of each before the next one starts.

    The same command goes on after an interruption at any point; what is done is not done again. A stage whose best
    trial does not become champion is no obstacle, unless a later one starts from that champion: then the pipeline ends
    there.

    [bold]Examples[/bold]

      deepcolor pipeline experiments/quick.yaml

      deepcolor pipeline experiments/pipeline.yaml -o colorizer.training.epochs=30
    """
    from deepcolor.cli.drive import How, command_lines
    from deepcolor.config.load import load_pipeline

    place = Workspace.at(workspace)
    parsed = load_pipeline(file, override or ())
    command, resume = command_lines()
    how = How(place, tracking_uri(place, tracking), executor, workers, device, command, resume=resume)
    results = run_pipeline(parsed, how, own_name=own_name, force=force)
    show_pipeline(parsed, results, place)


def run_pipeline(parsed: Pipeline, how: How, *, own_name: str | None = None, force: bool = False) -> list[StageResult]:
    """Run every sweep of a pipeline and promote its best trial; write the summary after each.

    Raises:
        ModelError: A sweep starts from a champion that the pipeline's own stage before it did not become.
    """
    from deepcolor.cli.drive import run_sweep
    from deepcolor.cli.promote import promote_trial
    from deepcolor.cli.succession import check_succession

    results: list[StageResult] = []
    executor = how.make_executor()
    try:
        for sweep in parsed.sweeps:
            check_succession(sweep, [(done.sweep, done.promotion) for done in results], how)
            summary = run_sweep(sweep, how, executor=executor)
            promotion = promote_trial(
                how.workspace, sweep.study, how.tracking_uri, own_name=own_name, force=force, device=how.device
            )
            for warning in promotion.warnings:
                console.warn(f"{sweep.study}: {warning}")
            (console.note if promotion.promoted else console.warn)(f"{sweep.study}: {promotion.sentence}")
            if promotion.version.evidence is not None:
                console.note(f"{sweep.study}: {promotion.version.evidence.sentence}")
            before = _before(how, sweep, promotion) if sweep.stage == "transfer" else None
            results.append(StageResult(sweep, summary, promotion, before))
            _write(parsed, results, how.workspace)
    finally:
        executor.close()
    return results


def show_pipeline(parsed: Pipeline, results: list[StageResult], workspace: Workspace) -> None:
    """Print the summary of a pipeline: a row a stage, then what fine-tuning changed."""
    if console.settings.json:
        console.result("", {"pipeline": parsed.pipeline, "stages": [result.as_dict() for result in results]})
        return
    rows = [
        [
            result.sweep.stage,
            result.promotion.version.ref,
            *result.found,
            value_text(result.promotion.test["mse"]),
            value_text(result.promotion.test["baseline_mse"]),
            result.promotion.verdict,
        ]
        for result in results
    ]
    columns = ["stage", "version", "best setting", "val MSE", "test MSE", "mean colour", "verdict"]
    console.table(f"pipeline {parsed.pipeline}", columns, rows, numeric=("val MSE", "test MSE", "mean colour"))
    lines = [line for result in results if (line := _fine_tuning(result)) is not None]
    trained = sum(result.summary.trained_now for result in results)
    wall_s = sum(result.summary.wall_s for result in results)
    lines.append(f"{console.bold('epochs')}    {trained} trained now, in {duration(wall_s)}")
    lines.append(f"{console.bold('summary')}   {_summary_path(parsed, workspace)}")
    where = in_workspace(workspace.root)
    usable = [result.promotion.version for result in results if result.sweep.stage != "regressor"]
    model = f" --model {reference(usable[-1])}" if usable else ""
    commands = ("models", "ui", f"colorize PHOTO -o OUT{model}")
    lines.append(f"{console.bold('next')}      {'; '.join(f'deepcolor {command}{where}' for command in commands)}")
    console.result("\n".join(lines), {})


def reference(version: ModelVersion) -> str:
    """Name a version: as champion where it is, else by its number."""
    return f"{version.line}@champion" if "champion" in version.aliases else version.ref


def _fine_tuning(result: StageResult) -> str | None:
    if result.before is None:
        return None
    before, after = result.before["mse"], result.promotion.test["mse"]
    psnr_db = (result.before["psnr_db"], result.promotion.test["psnr_db"])
    return (
        f"{console.bold(result.sweep.data.name)}    test MSE {before:.3e} without fine-tuning, {after:.3e} with it "
        f"({(after - before) / before:+.0%}); PSNR {psnr_db[0]:.2f} dB and {psnr_db[1]:.2f} dB"
    )


def _before(how: How, sweep: Sweep, promotion: Promotion) -> dict[str, float] | None:
    """Figures of the model a transfer started from, on the transfer's test pictures; measured once, then remembered."""
    from deepcolor.data.stored import ensure_cache
    from deepcolor.models.description import read_description
    from deepcolor.search.study.pictures import manifest_of
    from deepcolor.search.study.storage import StudyStorage

    pins = StudyStorage(how.workspace).load(sweep.study).pins
    pin = next((pin for pin in pins.values() if pin["ref"] == promotion.version.parent), None)
    if pin is None:
        return None
    folder = how.workspace.study(sweep.study) / "parents" / pin["folder"]
    cache = ensure_cache(how.workspace, manifest_of(how.workspace, sweep), sweep.data)
    remembered = folder / f"test-{cache.name}.json"
    key = read_description(folder).weights_sha256
    try:
        figures: dict[str, Any] = jsonlib.loads(read_plain(remembered, most_bytes=2**16))
        if figures.pop("weights_sha256") == key:
            return figures
    except (OSError, ValueError, KeyError):
        pass  # measured for the first time
    from deepcolor.atomic import write_atomically
    from deepcolor.cli.promote import conditions_of
    from deepcolor.training.metrics import measure

    measured = measure(folder, cache, device=how.device, conditions=conditions_of(how.workspace, sweep))
    figures = {name: float(value) for name, value in vars(measured).items() if name != "per_image_mse"}
    write_atomically(remembered, jsonlib.dumps({**figures, "weights_sha256": key}).encode())
    return figures


def _summary_path(parsed: Pipeline, workspace: Workspace) -> Path:
    return workspace.study(parsed.pipeline) / SUMMARY_FILE


def _write(parsed: Pipeline, results: list[StageResult], workspace: Workspace) -> None:
    from deepcolor.atomic import write_atomically

    content = {"pipeline": parsed.pipeline, "stages": [result.as_dict() for result in results]}
    write_atomically(_summary_path(parsed, workspace), jsonlib.dumps(content, indent=2, default=str).encode() + b"\n")
