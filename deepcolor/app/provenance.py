"""Where the numbers of a study come from: pictures, code, and the versions of what computed them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deepcolor import __version__
from deepcolor.app.data import FoundData
from deepcolor.search.study.stored import StoredStudy
from deepcolor.tracking.records import Provenance

_PACKAGES = ("torch", "torchvision", "optuna", "mlflow", "numpy", "opencv-python-headless")


def provenance(study: StoredStudy, data: FoundData, *, root: Path) -> Provenance:
    """Where the numbers of a start come from, whose user works in the folder `root`."""
    commit, dirty = git_state(root)
    versions = {"deepcolor": __version__, "python": sys.version.split()[0]}
    for package in dict.fromkeys((*_PACKAGES, *study.sweep.stage_class.requirements)):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Provenance(
        data_digest=data.digest,
        data_folder=data.source,
        config_digest=study.digest,
        git_commit=commit,
        git_dirty=dirty,
        versions=versions,
    )


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """The commit checked out in a folder and whether anything differs from it; (None, None) outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # whichever git the user has
                # A repository may name a program as its monitor of files, which `status` would run.
                ["git", "-c", "core.fsmonitor=false", *arguments],  # noqa: S607  # whichever git the user has
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit, bool(git("status", "--porcelain", "--untracked-files=no"))
