"""What a page says in words: what was asked, what the answer is, what it cost, and where its figures are from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from deepcolor.config.schema import Dimension, Range, Sweep
from deepcolor.counting import counted
from deepcolor.report.page.tables import Cell, Table
from deepcolor.search.rules.judging import judged_lines
from deepcolor.search.rules.schedule import trained_epochs
from deepcolor.search.rules.summary import Summary, shares
from deepcolor.search.study.starts import Start
from deepcolor.search.study.stored import StoredStudy
from deepcolor.search.study.trials import Spent, StoredTrial, searched
from deepcolor.words import duration, param_text, params_line, percent, plus_minus, value_text

Rows = tuple[tuple[str, str], ...]
"""What is said about what; a row each."""


def asked_rows(sweep: Sweep) -> Rows:
    """What the sweep asked for."""
    search, objectives = sweep.search, sweep.objectives
    wanted = " and ".join(f"{one.metric} ({'highest' if one.maximized else 'lowest'})" for one in objectives)
    bounds = ", ".join(f"{name} {bound}" for name, bound in search.constraints.items())
    limit = sweep.limit()
    drawn = f"{search.sampler}, {counted(limit, 'trial')}" if limit is not None else f"{search.sampler}, by its budget"
    pruner = search.pruner.name
    rows = [
        ("Stage", sweep.label if sweep.label == sweep.stage else f"{sweep.label} ({sweep.stage})"),
        ("Data", sweep.data.title or "-"),
        ("Looked for", wanted),
        *([("Kept to", bounds)] if bounds else []),
        ("Search", drawn),
        ("Pruner", pruner if pruner != "none" else "none: every trial was trained to its end"),
        ("Epochs", f"up to {sweep.most_epochs}"),
    ]
    budget = [f"{name} {value:g}" for name, value in search.budget.model_dump().items() if value is not None]
    if budget:
        rows.append(("Budget", ", ".join(budget)))
    if search.confirm is not None:
        seeds = counted(search.confirm.seeds, "other seed")
        rows.append(("Confirmation", f"the best {counted(search.confirm.top, 'setting')} under {seeds} each"))
    return tuple(rows)


def space_table(sweep: Sweep) -> Table | None:
    """What was searched; None where nothing was."""
    rows = tuple(
        (Cell(dimension.name), Cell(_values(dimension)), Cell(_condition(dimension)))
        for dimension in sweep.search.space
    )
    if not rows:
        return None
    conditional = any(row[2].text for row in rows)
    columns = ("parameter", "values", "only where") if conditional else ("parameter", "values")
    return Table("What was searched", columns, rows if conditional else tuple(row[:2] for row in rows))


def _values(dimension: Dimension) -> str:
    if isinstance(dimension, Range):
        step = f" in steps of {param_text(dimension.step)}" if dimension.step is not None else ""
        log = ", by decades" if dimension.log else ""
        digits = f", to {counted(dimension.digits, 'digit')}" if dimension.digits is not None else ""
        return f"{param_text(dimension.low)} to {param_text(dimension.high)}{step}{log}{digits}"
    return ", ".join(param_text(value) for value in dimension.values)


def _condition(dimension: Dimension) -> str:
    return "; ".join(f"{name} is {' or '.join(map(param_text, values))}" for name, values in dimension.when.items())


def answer(study: StoredStudy, trials: Sequence[StoredTrial], summary: Summary) -> str:
    """The outcome of a study in one sentence."""
    objective, best, confirmation = study.sweep.search.objectives[0], summary.best, summary.confirmation
    winner = confirmation.winner if confirmation else None
    if confirmation is not None and winner is not None:
        setting = params_line(winner.params) or "the one setting"
        mean = plus_minus(winner.mean, winner.std)
        sure = f"; {confirmation.difference.verdict}" if confirmation.difference else ""
        seeds = counted(len(winner.values), "other seed")
        which = "The setting chosen of the front" if study.aims.several else "The best setting"
        others = _others(best) if best is not None and best.number == winner.trial else ""
        return f"{which} is {setting} (trial {winner.trial}), with {objective} {mean} over {seeds}{others}{sure}."
    if best is None:
        said = judged_lines(trials)
        return said[-1] if said else _no_answer(trials)
    setting = params_line(best.params) or "the one setting"
    complete = counted(summary.complete, "complete trial")
    epoch = f" at epoch {best.outcome.view.chosen_epoch}" if best.outcome else ""
    which = "The one chosen of the front, of" if study.aims.several else "The best of"
    values = ", ".join(f"{name} {value_text(v)}" for name, v in zip(study.aims.names, best.values, strict=False))
    so_far = "" if summary.state == "complete" else " so far"
    luck = "one training says nothing of how much of that is luck"
    sure = f"the winner is not confirmed: {confirmation.missing}" if confirmation else luck
    told = f"{which} {complete}{so_far}{',' if study.aims.several else ''} is trial {best.number}: {setting}"
    return f"{told}, with {values or f'{objective} {value_text(best.value)}'}{epoch}; {sure}."


def _others(chosen: StoredTrial) -> str:
    """What else than the first objective a search was after, and what the chosen trial is worth in it."""
    pairs = list(zip(chosen.aims.names, chosen.values, strict=False))[1:]
    return f", and in the search {', '.join(f'{name} {value_text(value)}' for name, value in pairs)}" if pairs else ""


def _no_answer(trials: Sequence[StoredTrial]) -> str:
    own = searched(trials)
    if not own:
        return "No trial has been started yet."
    failed = sum(trial.state == "failed" for trial in own)
    diverged = sum(trial.diverged for trial in own)
    why = [f"{count} {what}" for count, what in ((failed, "failed"), (diverged, "diverged")) if count]
    because = f" ({', '.join(why)})" if why else ""
    return f"There is no answer yet: none of {counted(len(own), 'trial')} has given a value{because}."


def cost_rows(trials: Sequence[StoredTrial], summary: Summary, spent: Spent) -> Rows:
    """What the study cost, and what it did not have to."""
    asked = shares(trials)
    paid = trained_epochs(asked)
    pruned = sum(one.requested_epochs - one.seen for one in asked)
    shared = summary.requested_epochs - pruned - sum(paid.values())
    own = searched(trials)
    confirming = len(trials) - len(own)
    counts = [
        f"{count} {name}"
        for count, name in (
            (summary.complete, "complete"),
            (summary.pruned, "pruned"),
            (summary.waiting, "waiting"),
            (summary.failed, "failed"),
            (summary.diverged, "diverged"),
        )
        if count
    ]
    extra = f"; {counted(confirming, 'training')} more to confirm the best" if confirming else ""
    split = f": {', '.join(counts)}" if counts else ""
    rows = [
        ("Trials", f"{len(own):,}{split}{extra}"),
        ("Time", f"{duration(spent.wall_s)} of the sweep, over all of its starts"),
        *([("GPU time", duration(spent.gpu_s))] if spent.gpu_s else []),
        ("Epochs trained", f"{summary.trained_epochs:,} of the {summary.requested_epochs:,} that the trials asked for"),
        ("Saved by sharing", f"{shared:,} epochs that trials share, or that the workspace had already"),
        ("Saved by pruning", f"{pruned:,} epochs of trials that were ended early"),
    ]
    if summary.requested_epochs:
        saved = f", about {duration(summary.saved_s)} of training" if summary.saved_s else ""
        rows.append(("Saved together", f"{percent(summary.saved)} of the epochs{saved}"))
    if summary.stopped_why or summary.stopped_by:
        rows.append(("Ended by", summary.stopped_why or f"search.budget.{summary.stopped_by}"))
    if summary.left_out:
        rows.append(("Left out", summary.left_out))
    return tuple(rows)


def provenance_rows(study: StoredStudy, trials: Sequence[StoredTrial], start: Start | None) -> Rows:
    """Where the numbers of a study come from."""
    rows = [("Began", moment(study.started_ms))]
    ended = [trial.ended_ms for trial in trials if trial.ended_ms]
    if ended:
        rows.append(("Last trial ended", moment(max(ended))))
    parents = sorted({trial.place.parent for trial in trials if trial.place and trial.place.parent})
    if parents:
        rows.append(("Started from", ", ".join(parents)))
    hosts = sorted({trial.outcome.host for trial in trials if trial.outcome and trial.outcome.host})
    devices = sorted({trial.outcome.device for trial in trials if trial.outcome and trial.outcome.device})
    if hosts:
        rows.append(("Trained on", f"{', '.join(devices)} ({', '.join(hosts)})"))
    if start is None:
        return (*rows, ("Code and data", "not recorded"))
    origin = start.provenance
    rows += [("Data", f"{origin.data_folder} (content {origin.data_digest})".lstrip())]
    if origin.git_commit:
        rows.append(("Git commit", f"{origin.git_commit}{', with changes' if origin.git_dirty else ''}"))
    rows.append(("Sweep", f"content {origin.config_digest}"))
    rows.append(("Seeds", f"search {study.sweep.search.seed}, training {_seed(study.sweep)}"))
    rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in origin.versions.items())))
    return tuple(rows)


def _seed(sweep: Sweep) -> str:
    values = sweep.values_of("seed")
    return ", ".join(map(param_text, values)) or "-"


def moment(unix_ms: int) -> str:
    """A moment as it is written: 2026-11-27 03:00 UTC."""
    return f"{datetime.fromtimestamp(unix_ms / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"


def promotion_rows(stage: Mapping[str, object]) -> Rows:
    """What became of the best trial of a pipeline's stage, from the pipeline's own summary."""
    promotion = stage.get("promotion")
    if not isinstance(promotion, dict):
        return ()
    became = "champion" if promotion.get("promoted") else "candidate only"
    rows = [("Version", f"{promotion.get('version', '-')}, {became} ({promotion.get('verdict', '-')})")]
    warnings = promotion.get("warnings")
    rows += [("Beware", str(said)) for said in warnings] if isinstance(warnings, list) else []
    return tuple(rows)
