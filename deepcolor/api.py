"""deepcolor from Python: what its commands do as functions, and a study to look at.

    import deepcolor

    study = deepcolor.sweep("experiments/quick-regressor.yaml")
    study.trials()
    study.promote()

A script that uses worker processes, as it does by default, must be guarded by `if __name__ == "__main__":`, for every
one of them imports it; `executor="serial"` trains in the script's own process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.how import Cluster, How, SlurmProfile, cluster_at
from deepcolor.app.reporter import Reporter
from deepcolor.config.load import load_pipeline, sweep_of
from deepcolor.config.schema import Sweep
from deepcolor.notebook import in_kernel, told, without_widgets
from deepcolor.study import Study, Where, open_study
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.pipeline import StageResult
    from deepcolor.app.serve import Server
    from deepcolor.data.drawn import DrawnKind
    from deepcolor.data.manifest import Manifest
    from deepcolor.registry.promotion import Promotion
    from deepcolor.search.plan.price import Cost
    from deepcolor.service.delivery import Receipt

__all__ = [
    "Cluster",
    "SlurmProfile",
    "Study",
    "draw",
    "open_study",
    "pipeline",
    "plan",
    "prepare",
    "promote",
    "pull",
    "serve",
    "submit",
    "sweep",
]

if in_kernel():
    without_widgets()

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


def draw(
    kind: DrawnKind,
    folder: Where,
    *,
    count: int = 300,
    seed: int = 0,
    size_px: int = 128,
    reporter: Reporter | None = None,
) -> tuple[Path, ...]:
    """Draw pictures for a first try without photos, as `deepcolor data draw` does.

    Args:
        kind: `faces` or `fruit`.
        folder: New, empty, or one that an earlier call drew into.
        count: How many pictures.
        seed: Another seed, other pictures.
        size_px: Side of the pictures, 32 to 1024.
        reporter: As for `sweep`.
    Returns:
        Their files, in order.
    Raises:
        DataError: A number is out of range, there is no such kind, or the folder holds other files.
        WorkspaceError: The folder cannot be written to.
    """
    from deepcolor.app.data import draw as draw_pictures

    return draw_pictures(kind, Path(folder), count=count, size_px=size_px, seed=seed, reporter=told(reporter))


def prepare(
    folder: Where,
    *,
    name: str,
    workspace: Where = ".",
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    strict: bool = False,
    replace: bool = False,
    reporter: Reporter | None = None,
) -> Manifest:
    """Make a data set of a folder of pictures, as `deepcolor data prepare` does.

    Args:
        folder: Of the pictures; it is only read.
        name: Of the data set.
        workspace: As for `sweep`.
        split: Shares of train, val and test.
        seed: Of the split.
        strict: Refuse a folder that holds a picture that cannot be used.
        replace: Put it in the place of other pictures of this name.
        reporter: As for `sweep`.
    Raises:
        DataError: The folder cannot be used, or other pictures have been prepared under this name.
    """
    from deepcolor.app.data import prepare as prepare_pictures

    prepared = prepare_pictures(
        Path(folder),
        name=name,
        workspace=Workspace.at(Path(workspace)),
        split=split,
        seed=seed,
        strict=strict,
        replace=replace,
        reporter=told(reporter),
    )
    return prepared.manifest


def promote(
    study: str | Study,
    *,
    trial: int | None = None,
    name: str | None = None,
    force: bool = False,
    retrain: bool = False,
    device: str = "auto",
    workspace: Where = ".",
    storage: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Promotion:
    """Register a study's winner, and make it champion if it is better than the present one; `deepcolor promote`.

    Args:
        study: The study, or its name.
        trial: Number of the trial; None: the winner.
        name: Compete for a champion of its own: `fruits`, for `colorizer-fruits`.
        force: Make it champion whatever the gate says.
        retrain: Train it again first if its weights were collected.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workspace: Where the study is, where it is given by its name.
        storage: As for `sweep`, where it is given by its name.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        StudyError: There is no such study or trial, or it has no model to promote.
        TrackingError: The store cannot be reached.
    """
    from deepcolor.app.promote import promote_trial

    place = study.workspace if isinstance(study, Study) else Workspace.at(Path(workspace), storage=storage)
    uri = tracking_uri or (study.tracking_uri if isinstance(study, Study) else place.store_uri(None))
    return promote_trial(
        place,
        study.name if isinstance(study, Study) else study,
        uri,
        number=trial,
        own_name=name,
        force=force,
        device=device,
        retrain=retrain,
        reporter=told(reporter),
    )


def pull(ref: str, folder: Where, *, workspace: Where = ".", tracking_uri: str | None = None) -> Path:
    """Write a registered model to a folder, as `deepcolor pull` does: weights, description, and a model card.

    Args:
        ref: Such as `colorizer@champion`.
        folder: New, empty, or one that an earlier pull wrote.
        workspace: Where the registry is, when no other store is named.
        tracking_uri: As for `sweep`.
    Raises:
        ModelError: There is no such version; the message lists what there is.
        WorkspaceError: The folder holds something else, or cannot be written to.
    """
    from deepcolor.registry.pull import pull as pull_version

    return pull_version(ref, Path(folder), tracking_uri=Workspace.at(Path(workspace)).store_uri(tracking_uri))


@contextmanager
def serve(
    model: str | PathLike[str] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    workers: int | None = None,
    device: str = "auto",
    bfloat16: bool = False,
    token: str | None = None,
    workspace: Where = ".",
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Iterator[Server]:
    """Serve a model over HTTP for the time of a `with` block, as `deepcolor serve` does: with its page, in a thread.

        with deepcolor.serve("colorizer@champion") as server:
            requests.post(f"{server.url}/colorize", data=photo)

    Args:
        model: `colorizer@champion`, which is followed when the alias moves; `transfer@2`, or a model folder; None: the
            one champion that colours pictures.
        host: Address to serve on; others than this machine's own are warned of.
        port: Port to serve on; 0: any that is free.
        workers: Processes that colour; None: one a core, or four a GPU.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        bfloat16: Let the network compute in bfloat16, as `ColorModel.colorize` says.
        token: What clients must show, 16 characters or more; None: nothing.
        workspace: Where votes are kept.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Yields:
        Where it is (`url`), what it serves first (`model`), and how many `processes` colour.
    Raises:
        ModelError: There is no such model, or it does not colour pictures.
        TrackingError: The store cannot be read.
        UserError: The extra `serve` is not installed, host and port are in use, or the token is too short.
    """
    from deepcolor.app.serve import serving

    place = Workspace.at(Path(workspace))
    with (
        serving(
            None if model is None else fspath(model),
            workspace=place,
            tracking_uri=place.store_uri(tracking_uri),
            host=host,
            port=port,
            workers=workers,
            device=device,
            bfloat16=bfloat16,
            token=token,
            reporter=told(reporter),
        ) as server,
        server.running.in_background(),
    ):
        yield server


def _cluster(named: str | Cluster | SlurmProfile | None) -> Cluster | SlurmProfile | None:
    return cluster_at(named) if isinstance(named, str) else named
