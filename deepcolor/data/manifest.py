"""A prepared data set: which pictures can be used, which of them show the same photo, and which split each is in."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deepcolor import __version__
from deepcolor.counting import counted
from deepcolor.data.duplicates import group_duplicates
from deepcolor.data.files import save, writing
from deepcolor.data.folder import OWN, Progress, RejectedFile, find_pictures, nothing_usable, passed_over, thread_pool
from deepcolor.data.journal import Journal, Seen
from deepcolor.data.looking import Look, look_at_all
from deepcolor.data.splits import SPLIT_NAMES, SplitName, checked_fractions, split_groups
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.fields.refusal import nearest
from deepcolor.plainfile import read_plain
from deepcolor.workspace import Workspace

MANIFEST_FORMAT = 1
JOURNAL_FOLDER = ".looking"
FORMER_FOLDER = "former"
"""Beside the manifest: what has been seen of the pictures so far, and the manifests that it replaced."""
_MOST_BYTES = 2**30
"""Of a manifest; a million pictures have a third of it."""
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
    """The folder of the pictures, absolute; in the file it is relative to the workspace where it is inside it."""
    fractions: tuple[float, float, float]
    """Asked for train, val and test."""
    seed: int
    files: tuple[PictureFile, ...]
    """Sorted by path."""
    rejected: tuple[RejectedFile, ...]
    """Sorted by path."""
    ignored: int
    """Files that are no pictures by their suffix, and hidden files."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{number} {split}" for split, number in self.split_sizes.items())
        used = counted(len(self.files), "picture")
        return f"<data set {self.name}: {used} ({shares}), {len(self.rejected)} rejected>"

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


class DataSetChangedError(DataError):
    """A data set of this name is there already, with other pictures or another split."""


class UndecodableError(DataError):
    """Pictures of a prepared data set can no longer be decoded."""

    def __init__(self, manifest: Manifest, files: Sequence[RejectedFile]) -> None:
        shown = ", ".join(f"{file.path} ({file.reason})" for file in files[:3]) + (", ..." if len(files) > 3 else "")
        self.files = tuple(files)
        self.said = (
            f"data set {manifest.name}: every picture must still be one that can be decoded; got {len(files)} of "
            f"{len(manifest.files)} that cannot: {shown} ({manifest.source})."
        )
        super().__init__(
            f"{self.said} Put them right, or leave them out with `deepcolor data prepare {manifest.source} "
            f"--name {manifest.name} --replace`, and give sweeps that were begun with them another study name."
        )


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
    on_comparing: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Manifest:
    """Look at every picture below a folder, group copies of one photo, share the groups out, write the manifest.

    Stopped at any moment, it has written no manifest, and a later call continues where this one was.

    Args:
        folder: Pictures, in nested folders if need be; nothing is written there.
        name: What sweeps will call the data set.
        workspace: Where the manifest goes: studies/datasets/<name>/manifest.json.
        split: Shares of train, val and test; each above 0, together 1.
        seed: Of the split, and of the copies drawn by fixed augmentation.
        strict: Fail when any picture cannot be used, instead of leaving it out.
        replace: Put the new manifest in the place of one of this name that says something else; that one is kept.
        min_side_px: Pictures with a shorter side are left out.
        on_progress: Called with (pictures looked at, all pictures).
        on_comparing: Called with (done, total) while copies of one photo are searched for.
        on_note: Called with what was passed over, for whoever expects it to be used.
    Raises:
        DataSetChangedError: The name is taken by a manifest that says something else.
        DataError: The folder is missing or holds too few usable pictures; one is unusable under `strict`; the split is
            no split; another process prepares the same data set.
        WorkspaceError: The name cannot be a file's, or the workspace cannot be written to.
    """
    target = manifest_path(workspace, name)
    checked_fractions(split)
    source = Path(folder).expanduser().resolve()
    found = find_pictures(source)
    look = Look(source, min_side_px)
    about = {"format": MANIFEST_FORMAT, "deepcolor": __version__, "rules": asdict(look) | {"source": str(source)}}
    with writing(target), Journal.at(target.parent / JOURNAL_FOLDER, about=about) as journal:
        seen = look_at_all(look, found.pictures, journal=journal, on_progress=on_progress)
        usable = [each for each in seen if not each.reason]
        rejected = [RejectedFile(path=each.path, reason=each.reason) for each in seen if each.reason]
        rejected += found.unreadable
        if not usable:
            raise DataError(nothing_usable(source, found, rejected))
        if strict and rejected:
            raise _not_strict(source, rejected, count=len(seen))
        small = journal.thumbnails([each.row for each in usable])
        groups = group_duplicates(small, sha256s=[each.sha256 for each in usable], on_progress=on_comparing)
        rejected += [RejectedFile(path=path, reason=OWN) for path in found.own]
        manifest = Manifest(
            name=name,
            source=source,
            fractions=split,
            seed=seed,
            files=_shared_out(usable, groups, fractions=split, seed=seed),
            rejected=tuple(sorted(rejected, key=lambda file: file.path)),
            ignored=sum(found.others.values()),
        )
        _put(target, manifest, replace=replace)
        journal.remove()
    if on_note is not None and passed_over(found):
        on_note(f"passed over: {passed_over(found)}")
    return manifest


def same_pictures(first: Manifest, second: Manifest) -> bool:
    """Whether two manifests stand for the same pictures in the same splits; files of no use may come and go."""
    ours, theirs = ((m.source, m.fractions, m.seed, m.files) for m in (first, second))
    return ours == theirs


def former_manifests(workspace: Workspace, name: str) -> tuple[Manifest, ...]:
    """What was prepared under a name before it was replaced, the latest first; what is damaged is left out."""
    folder = workspace.dataset(name) / FORMER_FOLDER
    former = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(CorruptFileError):
            former.append(_read(path))
    return tuple(former)


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
    """Where the manifest of a data set is."""
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


def leave_out(workspace: Workspace, manifest: Manifest, files: Sequence[RejectedFile]) -> Manifest:
    """Put a data set without some of its pictures in its place; all others stay in their splits.

    Raises:
        DataError: It is not what they hold that is wrong: they were changed or removed since.
        UndecodableError: A split would be empty.
        WorkspaceError: The manifest cannot be written.
    """
    paths = {file.path for file in files}
    held = [file for file in manifest.files if file.path in paths]
    if changed := [file.path for file in held if not _has_content(manifest.source, file)]:
        raise DataError(changed_since(manifest, changed))
    left = manifest.model_copy(
        update={
            "files": tuple(file for file in manifest.files if file.path not in paths),
            "rejected": tuple(sorted((*manifest.rejected, *files), key=lambda file: file.path)),
        }
    )
    if 0 in left.split_sizes.values():
        raise UndecodableError(manifest, files)
    _put(manifest_path(workspace, manifest.name), left, replace=True)
    return left


def changed_since(manifest: Manifest, paths: Sequence[str]) -> str:
    """Say which pictures are no longer those that were prepared, and what to do about it."""
    shown = ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
    return (
        f"data set {manifest.name}: pictures must stay as they were prepared; got {len(paths)} of "
        f"{len(manifest.files)} changed or removed since ({shown}; {manifest.source}). "
        f"Put them back, or run `deepcolor data prepare {manifest.source} --name {manifest.name} --replace`, and give "
        "sweeps whose studies were begun with the former pictures another study name."
    )


def _not_strict(source: Path, rejected: Sequence[RejectedFile], *, count: int) -> DataError:
    return DataError(
        f"data set: every picture must be usable with --strict; got {len(rejected)} of {count} unusable, "
        f"first {rejected[0].path} ({rejected[0].reason}) ({source}). "
        "Remove or replace them, or leave --strict out."
    )


def _shared_out(
    usable: Sequence[Seen], groups: Sequence[int], *, fractions: tuple[float, float, float], seed: int
) -> tuple[PictureFile, ...]:
    members: defaultdict[int, list[str]] = defaultdict(list)
    for group, item in zip(groups, usable, strict=True):
        members[group].append(item.sha256)
    given = split_groups(members, fractions=fractions, seed=seed)
    return tuple(
        PictureFile(
            path=item.path,
            sha256=item.sha256,
            bytes=item.stamp.size,
            width_px=item.width_px,
            height_px=item.height_px,
            group=group,
            split=given[group],
        )
        for group, item in zip(groups, usable, strict=True)
    )


def _put(path: Path, manifest: Manifest, *, replace: bool) -> None:
    """Write a manifest; one that it replaces, and that says something else, is kept among the former ones."""
    before = _before(path, replace=replace)
    if before is not None and not same_pictures(before, manifest):
        if not replace:
            raise DataSetChangedError(
                f"data set {manifest.name}: exists and says something else; got {_difference(before, manifest)} "
                f"({path}). Put the new one in its place with --replace, or choose another --name."
            )
        kept = path.read_bytes()
        save(path.parent / FORMER_FOLDER / f"{hashlib.sha256(kept).hexdigest()[:16]}.json", kept)
    if before != manifest:
        written = manifest.model_copy(update={"source": _as_written(manifest.source, path)})
        save(path, (written.model_dump_json(indent=1) + "\n").encode())


def _before(path: Path, *, replace: bool) -> Manifest | None:
    try:
        return _read(path) if path.is_file() else None
    except CorruptFileError:
        if not replace:
            raise
        return None


def _as_written(source: Path, path: Path) -> Path:
    """The folder as the file names it: relative where it is in the workspace, so that both may move together."""
    root = _workspace_of(path)
    return source.relative_to(root) if source.is_relative_to(root) else source


def _as_found(source: Path, path: Path, name: str) -> Path:
    """The folder where it is now, of a manifest of any release."""
    root = _workspace_of(path)
    if not source.is_absolute():
        return root / source
    # The demo's pictures are in the workspace, and their manifests were once written with whole paths.
    below = ("studies", "datasets", name)
    for start in range(len(source.parts) - len(below)):
        if source.parts[start : start + len(below)] == below:
            ours = root.joinpath(*source.parts[start:])
            return ours if ours.is_dir() else source
    return source


def _workspace_of(path: Path) -> Path:
    """The workspace that a manifest is in, the present one or a former."""
    folders = path.absolute().parents
    return next(each for each in folders if path.absolute().is_relative_to(each / "studies" / "datasets")).resolve()


def _read(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(read_plain(path, most_bytes=_MOST_BYTES))
        return manifest.model_copy(update={"source": _as_found(manifest.source, path, manifest.name)})
    except (ValidationError, OSError) as error:
        raise CorruptFileError(
            f"manifest: must be as `deepcolor data prepare` wrote it; got a file that cannot be understood ({path}). "
            "Prepare the data set again with --replace."
        ) from error


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
    return ", ".join(parts) or "other groups of copies"


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
