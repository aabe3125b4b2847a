"""Registered models: make one of a study's winner, list, take out, export and serve them, go back to the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter
from deepcolor.notebook import told
from deepcolor.study import Study, Where, named
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from deepcolor.app.serve import Server
    from deepcolor.inference.exporting import Exported
    from deepcolor.registry.promotion import Promotion
    from deepcolor.registry.versions import Rollback


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

    study_name, place, uri = named(study, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    return promote_trial(
        place,
        study_name,
        uri,
        number=trial,
        own_name=name,
        force=force,
        device=device,
        retrain=retrain,
        reporter=told(reporter),
    )


def list_models(of: str | None = None, *, workspace: Where = ".", tracking_uri: str | None = None) -> pd.DataFrame:
    """List the registered models, as `deepcolor models` does: a row for each version, the newest of a stage first.

    Args:
        of: A stage, such as `colorizer`; or one with a champion of its own, such as `colorizer-fruits`; None: all.
        workspace: Where the registry is, when no other store is named.
        tracking_uri: As for `sweep`.
    Returns:
        The reference (`colorizer@3`), its aliases, data set, study, trial and parent; and its figures on the test
        split, as `test/NAME`.
    Raises:
        ModelError: There is no such stage.
        TrackingError: The store cannot be read.
    """
    import pandas as pd

    from deepcolor.app.models import list_models as listed

    rows = [
        {
            "model": version.ref,
            "aliases": version.aliases,
            "data": version.data,
            "study": version.study,
            "trial": version.trial,
            "parent": version.parent,
            **{f"test/{name}": value for name, value in version.test.items()},
        }
        for version in listed(Workspace.at(Path(workspace)).store_uri(tracking_uri), of=of)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["model", "aliases", "data", "study", "trial", "parent"])


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


def rollback(
    stage: str, *, workspace: Where = ".", tracking_uri: str | None = None, reporter: Reporter | None = None
) -> Rollback:
    """Make the previous champion the champion again, as `deepcolor rollback` does; a second one undoes the first.

    Args:
        stage: Such as `colorizer`; or one with a champion of its own, such as `colorizer-fruits`.
        workspace: Where the registry is, when no other store is named.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Returns:
        The champion now, and the one that it replaced.
    Raises:
        ModelError: There is no such stage, or it has no champion, or none before it.
        TrackingError: The store cannot be written to.
    """
    from deepcolor.app.models import roll_back

    uri = Workspace.at(Path(workspace)).store_uri(tracking_uri)
    return roll_back(stage, tracking_uri=uri, reporter=told(reporter))


def export(
    model: str | PathLike[str],
    file: Where,
    *,
    int8: bool = False,
    data: str | None = None,
    workspace: Where = ".",
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Exported:
    """Write a model as an ONNX file, compared with the model itself on pictures, as `deepcolor export --onnx` does.

    Args:
        model: `colorizer@champion`, `transfer@2`, or a model folder.
        file: Where to; it is replaced.
        int8: Compute in 8 bits, which is smaller, and not the same.
        data: The prepared data set whose training pictures give the ranges of 8 bits, and whose validation pictures are
            compared on; None: faces and fruit that are drawn.
        workspace: Where the registry and the data sets are.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Returns:
        What was written, and how far its colours are from the model's (`compared`).
    Raises:
        ModelError: There is no such model, it cannot be written as ONNX, or the file's colours are not the model's.
        DataError: There is no such data set.
        UserError: The extra `onnx` is not installed.
        ConfigError: The file cannot be written.
    """
    from deepcolor.app.export import export_model

    place = Workspace.at(Path(workspace))
    uri = place.store_uri(tracking_uri)
    return export_model(
        fspath(model), to=Path(file), workspace=place, tracking_uri=uri, int8=int8, data=data, reporter=told(reporter)
    )


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
