"""`deepcolor studies`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.confirmation import confirmation_lines, show_confirmation
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    ServiceOption,
    ServiceTokenOption,
    StorageOption,
    WorkspaceOption,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.errors import StudyError
from deepcolor.words import figure_text, param_text, params_line, value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.studies import ListedStudy, Standing
    from deepcolor.search.study.storage import StoredTrial
    from deepcolor.service.listing import Submitted

_TITLES = {
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "colourfulness": "colour",
    "ciede2000": "CIEDE2000",
    "bias_a": "bias a*",
    "bias_b": "bias b*",
}
"""How a leaderboard calls final metrics; others by their own names."""
_PRINTED = Path("-")


def studies(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show the leaderboard of this study.", show_default=False, autocompletion=completing.studies
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Trials to show.")] = 20,
    write_sweep: Annotated[
        Path | None,
        typer.Option(
            "--write-sweep",
            metavar="FILE",
            help="Write the sweep that the study holds now to a new file, for `deepcolor sweep`; - prints it.",
        ),
    ] = None,
    csv: Annotated[
        bool,
        typer.Option("--csv", help="Print all trials of the study with all they have, as comma-separated values."),
    ] = False,
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the studies, or the trials of one, the best first.

    A trial is running while it is trained. One that is open and is not trained now is waiting: at a rung, before its
    turn, or for the next start of a sweep that was stopped. A pruned one has ended at a rung, with its value there.
    With --csv all trials come by number, also those that confirm the best ones, in columns that stay the same while the
    study runs: params.NAME for what is searched, metrics.NAME for what is measured.

    What was submitted to the service is shown with its state there, and by whom; with --service, that of one elsewhere.

    [bold]Examples[/bold]

      deepcolor studies

      deepcolor studies report1-regressor --limit 50

      deepcolor studies report1-regressor --json

      deepcolor studies report1-regressor --csv > trials.csv

      deepcolor studies tpe-regressor --write-sweep grown.yaml
    """
    from deepcolor.app.naming import say_name
    from deepcolor.app.studies import list_studies, standing_of

    place = workspace_at(workspace, storage)
    if csv:
        _print_csv(place, name, conflicting=_conflicting(service, write_sweep, json=json))
    elif service is not None:
        _elsewhere(service, name, token_file, place)
    elif write_sweep is not None:
        _write_sweep(place, name, write_sweep)
    elif name is None:
        from deepcolor.service.listing import Submitted

        studies = list_studies(place, reporter=ConsoleReporter())
        called = {former: study.name for study in studies for former in study.names}
        _list(studies, Submitted.of(place, called=called))
    else:
        standing = standing_of(place, name, reporter=ConsoleReporter())
        say_name(name, standing.study.name, console.note)
        _show(standing, limit)


def leaderboard(standing: Standing, *, limit: int) -> None:
    """Print the best trials of a study's search as a table.

    Args:
        standing: The study's.
        limit: How many are shown.
    """
    study = standing.study
    order, names, search = standing.ranked(), list(study.sweep.search_names), study.sweep.search
    shown = order[:limit]
    more = f" (best {limit} of {len(order)})" if len(order) > limit else ""
    first = search.objectives[0]
    by = f"the front first, by {first}" if study.aims.several else f"by value ({first} at the chosen epoch)"
    title = f"{study.name}{more}, {by}"
    judged = Judged.of(standing)
    final = [name for name in study.sweep.final_metrics if name not in judged.names]
    watch = [*judged.names, *(name for name in search.watch if name not in judged.names)]
    titles = [_TITLES.get(name, name) for name in final]
    figures = [*judged.columns, "state", first if study.aims.several else "value", *watch, *titles, "epoch"]
    spare = (*reversed(titles), "epoch")  # The last columns, in the order in which a narrow terminal does without them.
    rows = [[*judged.cells(trial), *_figures(trial, standing, judged=judged.names, final=final)] for trial in shown]
    wide = [
        [str(trial.number), *(param_text(trial.params[name]) if name in trial.params else "-" for name in names), *row]
        for trial, row in zip(shown, rows, strict=True)
    ]
    columns = ["trial", *names, *figures]
    if console.fits([*columns[: -len(spare)]], [row[: -len(spare)] for row in wide], unfolded=columns):
        numeric = [column for column in columns if column not in ("state", *judged.columns)]
        console.table(title, columns, wide, numeric=numeric, whole=("state",), spare=spare)
    else:  # The settings in one column can be folded.
        narrow = [[str(trial.number), *row, params_line(trial.params)] for trial, row in zip(shown, rows, strict=True)]
        numeric = ["trial", *(column for column in figures if column not in ("state", *judged.columns))]
        console.table(title, ["trial", *figures, "setting"], narrow, numeric=numeric, whole=("state",), spare=spare)


@dataclass(frozen=True)
class Judged:
    """What a leaderboard says of front and constraints."""

    front: frozenset[int]
    chosen: int | None
    columns: tuple[str, ...]
    """That say it in words; only those that say something of this study."""
    names: tuple[str, ...]
    """The figures that constraints and further objectives are about."""

    @classmethod
    def of(cls, standing: Standing) -> Judged:
        """What is to be said of a study."""
        from deepcolor.config.aims import figures_needed

        several, best = standing.study.aims.several, standing.best
        breaks = any(trial.breaks for trial in standing.trials)
        columns = (*(("front",) if several else ()), *(("breaks",) if breaks else ()))
        front = frozenset(trial.number for trial in standing.front)
        chosen = best.number if best and several else None
        return cls(front, chosen, columns, figures_needed(standing.study.sweep.search))

    def cells(self, trial: StoredTrial) -> list[str]:
        """What is said of a trial."""
        place = "chosen" if trial.number == self.chosen else "front" if trial.number in self.front else ""
        said = {"front": place, "breaks": ", ".join(trial.breaks)}
        return [said[column] for column in self.columns]


def _figures(trial: StoredTrial, standing: Standing, *, judged: Sequence[str], final: Sequence[str]) -> list[str]:
    """A trial's state and what it came to, as the leaderboard shows it."""
    measured = [_metric(trial, name) for name in final]
    watched, figures = (trial.outcome.watched, trial.outcome.figures) if trial.outcome else ({}, {})
    values = [value_text(trial.latest), *(figure_text(figures.get(name)) for name in judged)]
    others = [name for name in standing.study.sweep.search.watch if name not in judged]
    values += [value_text(watched.get(name)) for name in others]
    return [standing.state(trial), *values, *measured, _epochs(trial)]


def _write_sweep(workspace: Workspace, study: str | None, file: Path) -> None:
    """Write the sweep that a study holds now into a new file, or print it where the file is `-`."""
    from deepcolor.app.studies import held_sweep, write_sweep

    if study is None:
        raise StudyError("--write-sweep: needs the name of a study. Name one, or list them with: deepcolor studies")
    if file == _PRINTED:
        text = held_sweep(workspace, study)
        console.result(text.rstrip(), {"study": study, "sweep": text})
        return
    write_sweep(workspace, study, file=file)
    said = f"the sweep of {study} is in {file}; continue with: deepcolor sweep {quote(str(file))}"
    console.result(said, {"study": study, "file": str(file)})


def _conflicting(service: str | None, write_sweep: Path | None, *, json: bool) -> str | None:
    """Which option cannot go with --csv, if one of them was given."""
    given = {"--json": json, "--write-sweep": write_sweep is not None, "--service": service is not None}
    return next((option for option, is_given in given.items() if is_given), None)


def _print_csv(workspace: Workspace, study: str | None, *, conflicting: str | None) -> None:
    """Print all trials of a study as comma-separated values."""
    from deepcolor.app.studies import trials_csv_of

    if conflicting is not None:
        raise StudyError(f"--csv: must be the only form that is asked for; got {conflicting}, too. Leave one out.")
    if study is None:
        raise StudyError("--csv: needs the name of a study. Name one, or list them with: deepcolor studies")
    console.plain(trials_csv_of(workspace, study))


def _elsewhere(url: str, name: str | None, token_file: Path | None, place: Workspace) -> None:
    from deepcolor.cli.service import submission_elsewhere, submissions_elsewhere

    if name is None:
        submissions_elsewhere(url, token_file, place)
    else:
        submission_elsewhere(url, name, token_file, place)


def _list(studies: list[ListedStudy], submitted: Submitted) -> None:
    """Print a row for each study, and for each that waits in the queue to begin; columns of states that no trial is in
    are left out.
    """
    from deepcolor.app.studies import STATES

    if console.settings.json:
        console.result("", [*_as_dicts(studies, submitted)])
        return
    queued = submitted.without([study.name for study in studies])
    if not studies and not queued:
        console.result("No studies yet. Start one with: deepcolor sweep FILE", {})
        return
    states = [state for state in STATES if state == STATES[0] or any(study.trials[state] for study in studies)]
    rows = [
        [
            study.name,
            study.sweep.label,
            study.sweep.data.title or "-",
            study.sweep.search.sampler,
            *(str(study.trials[state]) for state in states),
            value_text(study.best.value) if study.best else "-",
            params_line(study.best.params) if study.best else "-",
        ]
        for study in studies
    ]
    rows += [[name, *["-"] * (len(states) + 5)] for name in queued]
    columns = ["study", "stage", "data", "sampler", *states, "best", "setting"]
    service = ("service", "by") if submitted else ()
    for row in rows if submitted else ():
        one = submitted.by_study.get(row[0])
        row[1:1] = [one.state, one.user] if one is not None else ["-", "-"]
    console.table(
        "",
        [columns[0], *service, *columns[1:]],
        rows,
        numeric=(*states, "best"),
        whole=("study", *service, "stage", "data", "sampler"),
        spare=("sampler", "data", "stage", "setting"),
    )


def _as_dicts(studies: list[ListedStudy], submitted: Submitted) -> Iterator[dict[str, Any]]:
    """The studies as JSON objects, with what the service knows of each, where there is one."""
    for study in studies:
        extra = {"submission": submitted.as_dict(study.name)} if submitted else {}
        yield {**study.as_dict(), **extra}
    for name in submitted.without([study.name for study in studies]):
        yield {"study": name, "submission": submitted.as_dict(name)}


def _show(standing: Standing, limit: int) -> None:
    """Print the leaderboard of a study, what other seeds said of its best settings, and why trials failed."""
    study, confirmation = standing.study, standing.confirmation
    if console.settings.json:
        console.result("", standing.as_dict(limit=limit))
        return
    leaderboard(standing, limit=limit)
    if confirmation is not None:
        show_confirmation(confirmation, objective=study.sweep.search.objectives[0])
        console.result("\n".join(confirmation_lines(confirmation)), {})
    for line in standing.judged():
        console.result(line, {})
    for trial in standing.trials:
        if trial.error:
            console.note(f"trial {trial.number} {trial.state}: {trial.error}")


def _epochs(trial: StoredTrial) -> str:
    """Whose weights were taken, of how many epochs; of a trial that waits, how many it has."""
    if trial.outcome is not None:
        return f"{trial.outcome.view.chosen_epoch}/{trial.outcome.view.end_epoch}"
    return f"-/{max(trial.reached)}" if trial.reached else "-"


def _metric(trial: StoredTrial, name: str) -> str:
    value = trial.outcome.metrics.get(name) if trial.outcome else None
    return "-" if value is None else f"{value:.3g}" if name != "psnr_db" else f"{value:.2f}"
