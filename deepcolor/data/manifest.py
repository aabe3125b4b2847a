"""A prepared data set: which pictures can be used, which of them show the same photo, and which split each is in."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from deepcolor.config.refusal import nearest
from deepcolor.data.duplicates import group_duplicates
from deepcolor.data.files import save
from deepcolor.data.folder import Progress, RejectedFile, UsableFile, look_at_all, nothing_usable, thread_pool, walk
from deepcolor.data.splits import SPLIT_NAMES, SplitName, checked_fractions, split_groups
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.workspace import Workspace

MANIFEST_FORMAT = 1
MIN_SIDE_PX = 32
"""A picture with a shorter side holds nothing a network could learn from."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.


class PictureFile(_Frozen):
    """A picture that is used."""

    path: str
    """Relative to the source folder, with '/' between the parts."""
    sha256: str
    """Of the file's bytes, in hex."""
    bytes: int
    width_px: int
    """As seen, after the EXIF orientation."""
    height_px: int
    group: int
    """Pictures with the same number show the same photo."""
    split: SplitName


class Manifest(_Frozen):
    """What `deepcolor data prepare` found, and how it shared it out. Everything trained on it is told by this file."""

    format: int = MANIFEST_FORMAT
    name: str
    source: Path
    """The folder of the pictures, absolute."""
    fractions: tuple[float, float, float]
    """Asked for train, val and test."""
    seed: int
    files: tuple[PictureFile, ...]
    """Sorted by path."""
    rejected: tuple[RejectedFile, ...]
    """Sorted by path."""
    ignored: int
    """Files that are no pictures by their suffix, hidden files, and links that leave the folder."""

    @property
    def split_sizes(self) -> dict[SplitName, int]:
        """Pictures in each split."""
        counts = Counter(file.split for file in self.files)
        return {name: counts[name] for name in SPLIT_NAMES}

    @property
    def duplicate_groups(self) -> tuple[tuple[PictureFile, ...], ...]:
        """The groups of more than one picture."""
        groups: defaultdict[int, list[PictureFile]] = defaultdict(list)
        for file in self.files:
            groups[file.group].append(file)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def prepare(
    folder: Path | str,
    *,
    name: str,
    workspace: Workspace,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    strict: bool = False,
    replace: bool = False,
    min_side_px: int = MIN_SIDE_PX,
    on_progress: Progress | None = None,
) -> Manifest:
    """Look at every picture below a folder, group copies of one photo, share the groups out, write the manifest.

    Args:
        folder: Pictures, in nested folders if need be; nothing is written there.
        name: What sweeps will call the data set.
        workspace: Where the manifest goes: studies/datasets/<name>/manifest.json.
        split: Shares of train, val and test; each above 0, together 1.
        seed: Of the split, and of the copies drawn by fixed augmentation.
        strict: Fail when any picture cannot be used, instead of leaving it out.
        replace: Write over a manifest of this name that says something else.
        min_side_px: Pictures with a shorter side are left out.
        on_progress: Called with (pictures looked at, all pictures).
    Raises:
        DataError: The folder is missing or holds too few usable pictures; one is unusable under `strict`; the name is
            taken by a manifest that says something else; the split is no split.
        WorkspaceError: The name cannot be a file's, or the workspace cannot be written to.
    """
    target = manifest_path(workspace, name)
    checked_fractions(split)
    source = Path(folder).expanduser().resolve()
    paths, others = walk(source)
    seen, rejected = look_at_all(source, paths, min_side_px=min_side_px, on_progress=on_progress)
    if not seen:
        raise DataError(nothing_usable(source, rejected, others))
    if strict and rejected:
        raise DataError(
            f"data set: every picture must be usable with --strict; got {len(rejected)} of {len(paths)} unusable, "
            f"first {rejected[0].path} ({rejected[0].reason}) ({source}). "
            "Remove or replace them, or leave --strict out."
        )
    manifest = Manifest(
        name=name,
        source=source,
        fractions=split,
        seed=seed,
        files=_shared_out(seen, fractions=split, seed=seed),
        rejected=tuple(rejected),
        ignored=sum(others.values()),
    )
    if not replace:
        _refuse_change(target, manifest)
    save(target, (manifest.model_dump_json(indent=1) + "\n").encode())
    return manifest


def load_manifest(workspace: Workspace, name: str) -> Manifest:
    """Read a prepared data set's manifest.

    Raises:
        DataError: No data set of this name has been prepared.
        CorruptFileError: The manifest is there but cannot be understood.
    """
    path = manifest_path(workspace, name)
    if not path.is_file():
        raise DataError(_not_prepared(workspace, name))
    return _read(path)


def prepared_names(workspace: Workspace) -> tuple[str, ...]:
    """Names of the prepared data sets, sorted."""
    return tuple(sorted(path.parent.name for path in workspace.datasets.glob("*/manifest.json")))


def manifest_path(workspace: Workspace, name: str) -> Path:
    """Where the manifest of a data set lies."""
    return workspace.dataset(name) / "manifest.json"


def verify(manifest: Manifest) -> None:
    """Make sure that the pictures are still those that were prepared: by size first, then by content.

    Raises:
        DataError: Some were changed or removed since.
    """
    changed = [file.path for file in manifest.files if _size(manifest.source / file.path) != file.bytes]
    if not changed:
        with thread_pool() as pool:
            same = pool.map(partial(_has_content, manifest.source), manifest.files)
            changed = [file.path for file, is_same in zip(manifest.files, same, strict=True) if not is_same]
    if changed:
        raise DataError(changed_since(manifest, changed))


def changed_since(manifest: Manifest, paths: Sequence[str]) -> str:
    """Say which pictures are no longer those that were prepared, and what to do about it."""
    shown = ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
    return (
        f"data set {manifest.name}: pictures must stay as they were prepared; got {len(paths)} of "
        f"{len(manifest.files)} changed or removed since ({shown}; {manifest.source}). "
        f"Put them back, or run `deepcolor data prepare {manifest.source} --name {manifest.name} --replace`."
    )


def _shared_out(
    seen: Sequence[UsableFile], *, fractions: tuple[float, float, float], seed: int
) -> tuple[PictureFile, ...]:
    groups = group_duplicates(np.stack([item.thumbnails for item in seen]), sha256s=[item.sha256 for item in seen])
    members: defaultdict[int, list[str]] = defaultdict(list)
    for group, item in zip(groups, seen, strict=True):
        members[group].append(item.sha256)
    given = split_groups(members, fractions=fractions, seed=seed)
    return tuple(
        PictureFile(
            path=item.path,
            sha256=item.sha256,
            bytes=item.bytes,
            width_px=item.width_px,
            height_px=item.height_px,
            group=group,
            split=given[group],
        )
        for group, item in zip(groups, seen, strict=True)
    )


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise CorruptFileError(
            f"manifest: must be as `deepcolor data prepare` wrote it; got a file that cannot be understood ({path}). "
            "Prepare the data set again with --replace."
        ) from error


def _refuse_change(path: Path, manifest: Manifest) -> None:
    if not path.is_file():
        return
    before = _read(path)
    if before == manifest:
        return
    raise DataError(
        f"data set {manifest.name}: exists and says something else; got {_difference(before, manifest)} ({path}). "
        "Write over it with --replace, or choose another --name."
    )


def _difference(before: Manifest, after: Manifest) -> str:
    old, new = ({file.path: file for file in manifest.files} for manifest in (before, after))
    counts = {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[path].sha256 != new[path].sha256 for path in old.keys() & new.keys()),
        "in another split": sum(old[path].split != new[path].split for path in old.keys() & new.keys()),
    }
    parts = [f"{count} {'picture' if count == 1 else 'pictures'} {what}" for what, count in counts.items() if count]
    parts += [
        f"{field} {getattr(before, field)} -> {getattr(after, field)}"
        for field in ("source", "fractions", "seed")
        if getattr(before, field) != getattr(after, field)
    ]
    return ", ".join(parts) or "other rejected or ignored files"


def _not_prepared(workspace: Workspace, name: str) -> str:
    names = prepared_names(workspace)
    near = nearest(name, names)
    known = f"prepared are {', '.join(names)}" if names else "none has been prepared here"
    hint = f"Did you mean {near}? If not, run" if near else "Run"
    return (
        f"data set: must have been prepared; got {name!r}, {known} ({workspace.datasets}). "
        f"{hint} `deepcolor data prepare DIR --name {name}`."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _has_content(source: Path, file: PictureFile) -> bool:
    try:
        return hashlib.sha256((source / file.path).read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False
