"""Search: a sweep or a pipeline, what it would cost, and its submission to a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.how import Cluster, How, SlurmProfile, cluster_at
from deepcolor.app.reporter import Reporter
from deepcolor.config.load import load_pipeline, sweep_of
from deepcolor.config.schema import Sweep
from deepcolor.notebook import told
from deepcolor.study import Study, Where, open_study
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.pipeline import StageResult
    from deepcolor.search.plan.price import Cost
    from deepcolor.service.delivery import Receipt

_AGAIN = "the same call"
"""What goes on after Ctrl-C."""


def sweep(
    sweep: Sweep | Mapping[str, Any] | Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    slots_per_gpu: int | None = None,
    cluster: str | Cluster | SlurmProfile | None = None,
    extend: bool = False,
    storage: str | None = None,
    tracking_uri: str | None = None,
    system_metrics: bool | None = None,
    reporter: Reporter | None = None,
) -> Study:
    """Search hyperparameters as `deepcolor sweep` does: create the sweep's study, or continue it.

    Args:
        sweep: A sweep file, the same as a mapping, or a `Sweep`.
        overrides: `key=value` each, as for `-o`.
        workspace: Where everything is kept.
        executor: `local`: worker processes; `serial`: this process.
        workers: Worker processes; None: as many as this machine has room for.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        slots_per_gpu: Trainings that share each GPU; None: one.
        cluster: A Dask cluster to train on: `tcp://HOST:PORT`, `tls://HOST:PORT` or its scheduler file; a `Cluster`
            where certificates must be named. Or jobs of SLURM's: `slurm`, `slurm:NAME`, or a `SlurmProfile`.
        extend: Let a study grow to a sweep that has changed.
        storage: Where studies are kept, such as `postgresql+psycopg://USER@HOST/DATABASE`; None: as DEEPCOLOR_STORAGE
            says, or the workspace's settings, else in a file of its own.
        tracking_uri: The MLflow store; None: MLFLOW_TRACKING_URI, else the workspace's own.
        system_metrics: Whether trainings record how busy CPU, memory and GPU are; None: as `deepcolor.yaml` says.
        reporter: Is told what goes on; None: a notebook's cell, elsewhere standard error.
    Returns:
        The study, finished.
    Raises:
        ConfigError: The sweep is refused; the message names the key.
        Interrupted: Ctrl-C: running segments have finished their epoch and are saved, and the same call goes on.
        StudyError: A study of this name was made from another sweep, or another process is at work on it.
    """
    from deepcolor.app.sweep import run_sweep

    place, reporter = Workspace.at(Path(workspace), storage=storage), told(reporter)
    parsed = sweep_of(sweep, overrides, code=place.code)
    called = f"deepcolor sweep {fspath(sweep)}" if isinstance(sweep, str | PathLike) else "deepcolor.sweep(...)"
    uri = place.store_uri(tracking_uri)
    how = How(
        place,
        uri,
        executor,
        workers,
        device,
        called,
        extend=extend,
        resume=_AGAIN,
        reporter=reporter,
        slots_per_gpu=slots_per_gpu,
        cluster=_cluster(cluster),
        system_metrics=system_metrics,
    )
    run_sweep(parsed, how)
    return open_study(parsed.study, workspace=workspace, storage=storage, tracking_uri=uri)


def pipeline(
    file: Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    slots_per_gpu: int | None = None,
    cluster: str | Cluster | SlurmProfile | None = None,
    name: str | None = None,
    force: bool = False,
    storage: str | None = None,
    tracking_uri: str | None = None,
    system_metrics: bool | None = None,
    reporter: Reporter | None = None,
) -> list[StageResult]:
    """Run the sweeps of a pipeline in order as `deepcolor pipeline` does, and promote the best trial of each.

    Args:
        file: The pipeline file.
        overrides: As for `sweep`; keys start with a stage.
        workspace: As for `sweep`.
        executor: As for `sweep`.
        workers: As for `sweep`.
        device: As for `sweep`.
        slots_per_gpu: As for `sweep`.
        cluster: As for `sweep`.
        name: Let every stage compete for a champion of its own: `fruits`, for `colorizer-fruits`.
        force: Make each best trial champion whatever the gate says.
        storage: As for `sweep`.
        tracking_uri: As for `sweep`.
        system_metrics: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        ConfigError: The pipeline is refused; the message names the key.
        Interrupted: As for `sweep`.
        ModelError: A sweep starts from a champion that the stage before it did not become.
    """
    from deepcolor.app.pipeline import run_pipeline

    place, reporter = Workspace.at(Path(workspace), storage=storage), told(reporter)
    parsed = load_pipeline(Path(file), overrides, code=place.code)
    called = f"deepcolor pipeline {fspath(file)}"
    how = How(
        place,
        place.store_uri(tracking_uri),
        executor,
        workers,
        device,
        called,
        resume=_AGAIN,
        reporter=reporter,
        slots_per_gpu=slots_per_gpu,
        cluster=_cluster(cluster),
        system_metrics=system_metrics,
    )
    return run_pipeline(parsed, how, own_name=name, force=force)


def submit(
    what: Sweep | Mapping[str, Any] | Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    priority: int = 0,
    extend: bool = False,
    name: str | None = None,
    force: bool = False,
    service: str | None = None,
    token_file: Where | None = None,
    reporter: Reporter | None = None,
) -> Receipt:
    """Hand a sweep or a pipeline to `deepcolor service`, as `deepcolor submit` does, and return at once.

    In a shared workspace `deepcolor.open_study` shows how its studies get on.

    Args:
        what: A sweep or a pipeline file; a sweep also as a mapping or a `Sweep`.
        overrides: As for `sweep`, and of a pipeline as for `pipeline`.
        workspace: Whose service it is; with `service`, where its token is looked for if no file is named.
        priority: Among your own submissions, -100 to 100; higher ones start first.
        extend: As for `sweep`.
        name: Of a pipeline, as for `pipeline`.
        force: Of a pipeline, as for `pipeline`.
        service: `http://HOST:PORT` or `https://HOST:PORT` of a service elsewhere.
        token_file: Holds the access token for it.
        reporter: As for `sweep`.
    Returns:
        Its `name`, `studies`, `state`, and the `service` that has it.
    Raises:
        ConfigError: It is refused; the message names the key.
        StudyError: One that has not ended drives the same study.
        UserError: The service does not answer, or does not know the token.
    """
    from deepcolor.service.client import Service
    from deepcolor.service.delivery import deliver
    from deepcolor.service.submitting import read_draft

    place = Workspace.at(Path(workspace))
    draft, parsed = read_draft(
        Path(what) if isinstance(what, str | PathLike) else what,
        overrides,
        priority=priority,
        extend=extend,
        command=f"deepcolor submit {fspath(what)}" if isinstance(what, str | PathLike) else "deepcolor.submit(...)",
        own_name=name,
        force=force,
        code=place.code,
    )
    there = None
    if service is not None:
        there = Service.at(service, token_file=Path(token_file) if token_file else None, workspace=place)
        if there.warning:
            told(reporter).warn(there.warning)
    return deliver(draft, parsed, workspace=place, service=there)


def plan(
    sweep: Sweep | Mapping[str, Any] | Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    slots_per_gpu: int | None = None,
    cluster: str | Cluster | SlurmProfile | None = None,
    extend: bool = False,
    storage: str | None = None,
    reporter: Reporter | None = None,
) -> Cost:
    """Say what a sweep would cost before it is run, as `deepcolor plan` does.

    Args:
        sweep: As for `deepcolor.sweep`, and so are the others.
        overrides: As there.
        workspace: As there.
        executor: As there.
        workers: As there.
        device: As there.
        slots_per_gpu: As there.
        cluster: As there.
        extend: As there.
        storage: As there.
        reporter: As there.
    Raises:
        ConfigError: The sweep is refused; the message names the key.
        DataError: Its data set is not prepared, or its pictures have changed.
    """
    from deepcolor.app.plan import estimate

    place, reporter = Workspace.at(Path(workspace), storage=storage), told(reporter)
    how = How(
        place,
        place.store_uri(None),
        executor,
        workers,
        device,
        reporter=reporter,
        slots_per_gpu=slots_per_gpu,
        cluster=_cluster(cluster),
    )
    (cost,) = estimate((sweep_of(sweep, overrides, code=place.code),), how, extend=extend)
    return cost


def _cluster(named: str | Cluster | SlurmProfile | None) -> Cluster | SlurmProfile | None:
    return cluster_at(named) if isinstance(named, str) else named
