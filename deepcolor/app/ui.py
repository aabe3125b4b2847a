"""MLflow's own pages on the studies of a workspace: where they are, and what must run so that they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.printable import shown_uri
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.ui_server import PagesServer
    from deepcolor.tracking.store import TrackedStudy


@dataclass(frozen=True)
class Pages:
    """Where the pages are."""

    url: str
    studies: Mapping[str, str]
    """For each study a link that opens its trials as one sorted table."""
    about: Mapping[str, str]
    """For each study a link to its own page, with the pictures of its report."""
    charts: Mapping[str, str]
    """For each study with such a view a link to the charts of its best trials."""
    confirmations: Mapping[str, str]
    """For each study that was confirmed a link to its trainings under other seeds."""
    server: PagesServer | None
    """They are there while it runs; None where the store is a server itself."""


def find_pages(
    workspace: Workspace,
    tracking_uri: str,
    *,
    study: str | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    reporter: Reporter = SILENT,
) -> Pages:
    """Find the pages of a store: those that an MLflow server shows, or those that one started here would.

    Args:
        workspace: Where a server that is started here keeps its log, and new artifacts.
        tracking_uri: The store; where it is a server, `host` and `port` are not asked for.
        study: The only one to link to; None: all of them.
        host: Address to serve on.
        port: Port to serve on.
        reporter: Is warned when others than this machine's users would reach the pages.
    Raises:
        StudyError: The store holds no such study; the message names the nearest.
        TrackingError: The store cannot be read.
        UserError: Host and port are in use, or not of this machine.
        WorkspaceError: There is no database yet.
    """
    if tracking_uri.startswith(("http://", "https://")):
        url = shown_uri(tracking_uri)
        return Pages(url, *_links(workspace, tracking_uri, url=url, study=study), server=None)
    from deepcolor.app.ui_server import PagesServer

    _check_database(tracking_uri)
    server = PagesServer(workspace, tracking_uri, host=host, port=port)
    server.check_address()
    links = _links(workspace, tracking_uri, url=server.url, study=study)
    if exposed := server.exposed:
        reporter.warn(exposed)
    return Pages(server.url, *links, server)


class _Links(NamedTuple):
    studies: dict[str, str]
    about: dict[str, str]
    charts: dict[str, str]
    confirmations: dict[str, str]


def _links(workspace: Workspace, tracking_uri: str, *, url: str, study: str | None) -> _Links:
    """Return the links for each study, or for the one asked for; of several with one name, the newest."""
    from deepcolor.tracking.store import tracked_studies

    tracked = tracked_studies(tracking_uri)
    found: dict[str, TrackedStudy] = {each.name: each for each in tracked}
    if study is not None and study not in found:
        identity, name = _identified(workspace, study)
        if mine := [each for each in tracked if each.study_id == identity]:
            found[name], study = mine[-1], name
    if study is not None and study not in found:
        near = get_close_matches(study, found, n=1, cutoff=0.5)
        known = ", ".join(found) or "none"
        raise StudyError(
            f"study: must be one that MLflow holds; got {study!r}, known: {known}. "
            + (f"Did you mean {near[0]}?" if near else "Run its sweep first.")
        )
    chosen = found if study is None else {study: found[study]}
    return _Links(
        {name: each.link(url) for name, each in chosen.items()},
        {name: each.about(url) for name, each in chosen.items()},
        {name: link for name, each in chosen.items() if (link := each.charts(url))},
        {name: link for name, each in chosen.items() if (link := each.confirmation(url))},
    )


def _identified(workspace: Workspace, study: str) -> tuple[str, str]:
    """What the study of a name is called for good, and now; MLflow may know it by another of its names."""
    from deepcolor.search.study.storage import StudyStorage

    storage = StudyStorage(workspace)
    if storage.called_now(study) is None:
        return "", study
    stored = storage.load(study)
    return stored.study_id, stored.name


def _check_database(tracking_uri: str) -> None:
    from deepcolor.sqlite import sqlite_file

    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        raise WorkspaceError(
            f"ui: the workspace must hold tracked runs; got no {database}. "
            "Run a sweep first, or name another --workspace."
        )
