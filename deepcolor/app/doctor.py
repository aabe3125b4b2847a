"""Look at everything that a sweep will need, before one is started; nothing is changed, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.counting import counted
from deepcolor.errors import DeepcolorError
from deepcolor.limits import check_room
from deepcolor.mounts import mount_of
from deepcolor.printable import shown_uri, tracking_option, without_secrets
from deepcolor.words import duration
from deepcolor.workspace import STATE_FOLDERS, Workspace

if TYPE_CHECKING:
    from deepcolor.execution.profile import SlurmProfile
    from deepcolor.execution.reach import Cluster

State = Literal["well", "note", "wrong"]

_ENOUGH_BYTES, _LITTLE_BYTES = 500 * 2**20, 5 * 2**30
"""Below the first a sweep would soon fail; below the second it is worth knowing."""
_ENOUGH_FILES = 10_000
_ANSWER_WITHIN_S = 60
_OURS = ("torch", "torchvision", "optuna", "mlflow", "opencv-python-headless", "numpy")
"""Packages whose versions are shown."""
_OLDEST_SERVER = 3
"""MLflow's major version from which on a server knows all that is projected."""
_EXPERIMENT = "deepcolor-doctor"
"""Holds the one run that a server is tried with; that is deleted at once."""
_TAKE_LOCK = """
import sys
from filelock import FileLock, Timeout
try:
    FileLock(sys.argv[1]).acquire(timeout=0)
except Timeout:
    print("held")
else:
    print("free")
"""


@dataclass(frozen=True)
class Finding:
    """What one look has shown."""

    name: str
    """What was looked at, in a word or two."""
    state: State
    said: str
    """What is there."""
    remedy: str = ""
    """What to do about it, where something is wrong."""

    def as_dict(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return asdict(self)


Check = Callable[[], Iterator[Finding]]


def examine(
    workspace: Workspace,
    *,
    tracking_uri: str,
    device: str = "auto",
    cluster: Cluster | SlurmProfile | None = None,
    reporter: Reporter = SILENT,
) -> list[Finding]:
    """Look at folders, databases, the tracking store, devices, versions and data, and say what each needs.

    Args:
        workspace: Whose.
        tracking_uri: The MLflow store that a sweep would use.
        device: That a sweep would be given.
        cluster: The same.
        reporter: Is told what is being looked at, where that takes a while.
    Returns:
        Findings in the order in which they should be seen to. What could not be looked at is one of them.
    """
    checks: tuple[tuple[str, Check], ...] = (
        ("versions", _versions),
        ("folders", partial(_folders, workspace)),
        ("files", partial(_file_system, workspace)),
        ("disk", partial(_space, workspace)),
        ("locks", partial(_locks, workspace)),
        ("limits", _limits),
        ("studies", partial(_studies, workspace)),
        ("tracking", partial(_tracking, workspace, tracking_uri)),
        ("devices", partial(_devices, device))
        if cluster is None
        else ("cluster", partial(_cluster, cluster, workspace)),
        ("data", partial(_data, workspace, reporter)),
    )
    found: list[Finding] = []
    with reporter.starting("doctor") as steps:
        for name, check in checks:
            steps.step(f"looking at {name}")
            try:
                found += check()
            except DeepcolorError as error:
                found.append(_wrong(name, str(error)))
            except Exception as error:  # noqa: BLE001  # one look that goes wrong must not hide what the others show
                said = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
                found.append(Finding(name, "wrong", f"could not be looked at; {said}"))
    return found


def _wrong(name: str, message: str) -> Finding:
    """What an error's one line says: what is wrong, and after its first sentence the remedy."""
    said, _, remedy = message.partition(". ")
    return Finding(name, "wrong", said, remedy)


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    known = {name: _version_of(name) for name in ("deepcolor", *_OURS)}
    said = ", ".join([f"Python {python}", *(f"{name} {found}" for name, found in known.items() if found)])
    wrong = list(_unmet())
    if wrong:
        remedy = f"Install them: {Path(sys.executable).name} -m pip install --upgrade deepcolor"
        yield Finding("versions", "wrong", f"{said}; needed: {', '.join(wrong)}", remedy)
    else:
        yield Finding("versions", "well", said)


def _unmet() -> Iterator[str]:
    """The requirements of this installation that are not met."""
    from packaging.requirements import Requirement

    for text in requires("deepcolor") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        found = _version_of(needed.name)
        if found is None or not needed.specifier.contains(found, prereleases=True):
            yield f"{needed.name}{needed.specifier} (got {found or 'none'})"


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _folders(workspace: Workspace) -> Iterator[Finding]:
    for name in STATE_FOLDERS:
        folder = workspace.root / name
        place = _nearest(folder)
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"deepcolor")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            said = f"cannot be written to: {error.strerror or error} ({place})"
            yield Finding(f"{name}/", "wrong", said, "Fix its permissions, or choose another --workspace.")
            continue
        said = "can be written to" if folder.is_dir() else f"will be made in {place}"
        yield Finding(f"{name}/", "well", said)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))


def _file_system(workspace: Workspace) -> Iterator[Finding]:
    from deepcolor.search.study.ownership import unkept_locks

    mount = mount_of(_nearest(workspace.studies))
    if mount is None:
        return
    said = f"on {mount.kind} ({mount.point})"
    if (unkept := unkept_locks(workspace)) is not None:
        yield _wrong("files", unkept)
    elif mount.is_network and not workspace.on_server:
        advice = "For several hosts keep the studies in PostgreSQL (docs/team.md)."
        yield Finding("files", "note", f"{said}, a network file system: SQLite is slow there", advice)
    else:
        yield Finding("files", "well", said)


def _space(workspace: Workspace) -> Iterator[Finding]:
    place = _nearest(workspace.studies)
    free_bytes = shutil.disk_usage(place).free
    said = f"{free_bytes / 2**30:.1f} GiB free ({place})"
    if free_bytes < _LITTLE_BYTES:
        advice = "Free some space: deepcolor gc shows what nothing needs any more."
        yield Finding("disk", "wrong" if free_bytes < _ENOUGH_BYTES else "note", said, advice)
    else:
        yield Finding("disk", "well", said)
    with suppress(OSError):
        system = os.statvfs(place)
        if system.f_files > 0 and system.f_favail < _ENOUGH_FILES:  # Some file systems do not count them.
            said = f"{counted(system.f_favail, 'file')} can still be made ({place})"
            yield Finding("disk", "wrong", said, "Delete files, or choose another --workspace.")


def _locks(workspace: Workspace) -> Iterator[Finding]:
    """A study has one driver because of a lock; some network file systems grant it to everybody."""
    from filelock import FileLock

    with tempfile.TemporaryDirectory(dir=_nearest(workspace.studies), prefix=".deepcolor-doctor-") as folder:
        file = Path(folder) / "lock"
        with FileLock(file):
            other = subprocess.run(
                [sys.executable, "-P", "-c", _TAKE_LOCK, str(file)],
                capture_output=True,
                encoding="utf-8",
                timeout=_ANSWER_WITHIN_S,
                check=False,
            )
    if other.stdout.strip() == "held":
        yield Finding("locks", "well", "a second process is kept out")
    else:
        said = "a lock does not keep a second process out here: two drivers could own one study"
        yield Finding("locks", "wrong", said, "Choose a --workspace on another file system.")


def _limits() -> Iterator[Finding]:
    check_room(workers=1)
    yield Finding("limits", "well", "open files, processes and memory are enough for a worker")


def _studies(workspace: Workspace) -> Iterator[Finding]:
    from deepcolor.app.studies import list_studies

    found = list_studies(workspace)
    running = sum(each.trials["running"] > 0 for each in found)
    said = counted(len(found), "study") + (f", {running} of them running" if running else "") if found else "none yet"
    yield Finding("studies", "well", f"{said} ({workspace.shown_storage})")


def _tracking(workspace: Workspace, tracking_uri: str) -> Iterator[Finding]:
    from deepcolor.sqlite import sqlite_file
    from deepcolor.tracking.probing import count_experiments

    shown = shown_uri(tracking_uri)
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        yield Finding("tracking", "well", f"{shown} will be made by the first sweep")
        return
    yield Finding("tracking", "well", f"{shown} answers, with {counted(count_experiments(tracking_uri), 'experiment')}")
    if tracking_uri.startswith(("http://", "https://")):
        yield from _server(tracking_uri)
    elif database is not None:
        yield from _artifacts(workspace)


def _artifacts(workspace: Workspace) -> Iterator[Finding]:
    place = _nearest(workspace.artifacts)
    if os.access(place, os.W_OK | os.X_OK):
        yield Finding("artifacts", "well", f"can be written to ({place})")
    else:
        yield Finding("artifacts", "wrong", f"cannot be written to ({place})", "Fix the folder's permissions.")


def _server(tracking_uri: str) -> Iterator[Finding]:
    """Its version, and whether it takes and gives artifacts: with a run of its own, which is deleted."""
    from deepcolor.tracking.probing import probe_artifacts, server_version

    theirs, ours = server_version(tracking_uri), version("mlflow")
    if theirs is None:
        yield Finding("server", "note", "does not say its version")
    elif int(theirs.partition(".")[0]) < _OLDEST_SERVER:
        remedy = f"Update the server to MLflow {_OLDEST_SERVER} or later."
        yield Finding("server", "wrong", f"MLflow {theirs}; here {ours}", remedy)
    else:
        yield Finding("server", "well", f"MLflow {theirs}; here {ours}")
    problem = probe_artifacts(tracking_uri, experiment=_EXPERIMENT)
    if problem:
        remedy = f"Let the server keep artifacts (mlflow server --serve-artifacts), or check {tracking_option()}."
        yield Finding("artifacts", "wrong", f"a file written to the server must come back; {problem}", remedy)
    else:
        yield Finding("artifacts", "well", "a file written to the server came back")


def _devices(device: str) -> Iterator[Finding]:
    from deepcolor.execution.devices import cores, slots

    found = slots(workers=None, device=device)
    where = ", ".join(dict.fromkeys(found.devices)) or f"the CPU, {counted(cores(), 'core')}"
    said = f"{counted(found.workers, 'worker')} on {where}; {counted(found.threads, 'thread')} each"
    yield Finding("devices", "note" if found.note else "well", said, found.note)


def _cluster(cluster: Cluster | SlurmProfile, workspace: Workspace) -> Iterator[Finding]:
    from deepcolor.execution.reach import Cluster

    yield from _workers(cluster, workspace) if isinstance(cluster, Cluster) else _jobs(cluster, workspace)


def _jobs(profile: SlurmProfile, workspace: Workspace) -> Iterator[Finding]:
    """Whether SLURM answers, and would take the jobs of a profile; none is submitted."""
    from deepcolor.execution.profile import time_s
    from deepcolor.execution.site import check_installed, try_jobs
    from deepcolor.execution.squeue import ask

    check_installed()
    yield Finding("slurm", "well", f"{ask('sinfo', '--version').strip()} answers")
    gpus = f", {counted(profile.gpus_a_job, 'GPU')}" if profile.gpus_a_job else ""
    each = f"{counted(profile.cpus, 'CPU')}{gpus} for {duration(time_s(profile.time))}"
    at_once = f"{counted(profile.slots_a_job, 'training')} at a time"
    said = f"up to {counted(profile.max_jobs, 'job')}, each of {each}, {at_once}"
    refused = try_jobs(profile, workspace)
    if refused:
        yield Finding("profile", "wrong", f"{said}; sbatch refuses them: {refused}", "Correct the profile.")
    else:
        yield Finding("profile", "well", said)
    mount = mount_of(_nearest(workspace.studies))
    if mount is not None and not mount.is_network:
        said = f"the workspace is on {mount.kind} ({mount.point})"
        yield Finding("nodes", "note", said, "Make sure that the nodes see it, too.")


def _workers(cluster: Cluster, workspace: Workspace) -> Iterator[Finding]:
    from deepcolor.execution.remote import look_at_workers

    cluster.check()
    workers = look_at_workers(cluster, workspace=workspace)
    usable = [one for one in workers if not one.refused]
    hosts = ", ".join(sorted({one.host for one in usable}))
    said = f"{counted(len(usable), 'worker')} that can be used at {cluster.address}" + (
        f", on {hosts}" if hosts else ""
    )
    if usable:
        yield Finding("cluster", "well", said)
    else:
        advice = f"Start some: deepcolor worker --cluster {cluster.address}"
        yield Finding("cluster", "wrong" if workers else "note", said, advice)
    for refused in dict.fromkeys((one.host, one.refused) for one in workers if one.refused):
        yield Finding("cluster", "note", f"a worker on {refused[0]} would not be used: {refused[1].rstrip('.')}")


def _data(workspace: Workspace, reporter: Reporter) -> Iterator[Finding]:
    from deepcolor.data.cache.stored import damaged_caches
    from deepcolor.data.manifest import load_manifest, prepared_names, verify
    from deepcolor.errors import DataError

    names = prepared_names(workspace)
    if not names:
        yield Finding("data", "well", "no data set is prepared yet")
    for name in names:
        reporter.note(f"looking at the pictures of {name}")
        manifest = load_manifest(workspace, name)
        try:
            verify(manifest)
            yield Finding("data", "well", f"{name}: {counted(len(manifest.files), 'picture')}, as prepared")
        except DataError as error:
            yield _wrong("data", str(error))
        for folder in damaged_caches(workspace, name):
            said = f"{name}: decoded pictures have lost a part ({folder})"
            yield Finding("data", "note", said, "The next sweep builds them again.")
