"""Draw pictures, prepare folders of them, look at them, and find those that a sweep is about, decoded as it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deepcolor.app.reporter import SILENT, Reporter, Steps
from deepcolor.config.schema import DataConfig, Sweep
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.stages.sections import DataSection
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.data.drawn import DrawnKind
    from deepcolor.data.manifest import Manifest
    from deepcolor.data.show import Channels


@dataclass(frozen=True)
class Prepared:
    """A data set that has been prepared."""

    manifest: Manifest
    digest: str
    """Of its content in the default size and augmentation."""
    file: Path
    """The manifest's."""


@dataclass(frozen=True)
class FoundData:
    """What a sweep trains on."""

    folder: Path
    """`Job.folder`: of the decoded data set, or where the paths of a stage's own data begin."""
    digest: str
    source: str
    """Where it comes from, for people."""
    manifest: Manifest | None = None
    """Of a set of pictures."""
    forms: Mapping[str, tuple[str, Path]] = field(default_factory=dict)
    """Digest and folder of each other form that trials ask for, by `DataSection.form`."""

    def of(self, data: DataSection) -> tuple[str, Path]:
        """Return digest and folder of the data in a form that a setting asks for."""
        return self.forms.get(data.form, (self.digest, self.folder))


def draw(
    kind: DrawnKind, folder: Path, *, count: int, size_px: int, seed: int, reporter: Reporter = SILENT
) -> tuple[Path, ...]:
    """Draw pictures into a folder, for a first try without photos.

    Args:
        kind: `faces` or `fruit`.
        folder: Made if need be; may hold nothing but pictures of an earlier, same-sized or smaller call.
        count: How many.
        size_px: Side of the pictures.
        seed: Another seed, other pictures.
        reporter: Is told how far it has come, and which pictures could not be written.
    Returns:
        The files that were written, in order.
    Raises:
        DataError: A number is out of range, there is no such kind, or the folder holds other files.
        WorkspaceError: The folder cannot be written to.
    """
    from deepcolor.data.drawn import KINDS, draw_set

    if kind not in KINDS:
        raise DataError(f"kind: must be {' or '.join(KINDS)}; got {kind!r}. Choose one of these.")
    with reporter.progress(f"drawing {kind}") as on_progress:
        return draw_set(
            kind,
            folder,
            count=count,
            size_px=size_px,
            seed=seed,
            on_progress=on_progress,
            on_fault=reporter.left_out,
        )


def open_data(
    workspace: Workspace,
    sweep: Sweep,
    *,
    reporter: Reporter,
    child_imports: Sequence[str] = (),
    before_decoding: Callable[[], None] = lambda: None,
    between_steps: Callable[[], None] = lambda: None,
    steps: Steps | None = None,
) -> FoundData:
    """Find the sweep's data set, and make sure that it is unchanged and decoded in the form the sweep asks for.

    Data of another kind than pictures is its stage's own affair: it is asked what names it.

    Args:
        workspace: Where the data set is.
        sweep: Names it, its size and its augmentation.
        reporter: Is told how far decoding has come, and what is not as it was.
        child_imports: What the processes that train later import beside; all are forked from one server.
        before_decoding: Called if it is not decoded yet, while the processes that decode start: then nothing is
            trained yet either.
        steps: Gives way to the bar of decoding, where there is any to be done.
        between_steps: Called now and then; what it raises ends the work, and nothing is left half done.
    """
    if sweep.stage_class.pictures:
        return _open_pictures(
            workspace,
            sweep,
            reporter=reporter,
            child_imports=child_imports,
            before_decoding=before_decoding,
            between_steps=between_steps,
            steps=steps,
        )
    between_steps()
    return data_of(workspace, sweep)


def _open_pictures(
    workspace: Workspace,
    sweep: Sweep,
    *,
    reporter: Reporter,
    child_imports: Sequence[str],
    before_decoding: Callable[[], None],
    between_steps: Callable[[], None],
    steps: Steps | None,
) -> FoundData:
    from deepcolor.data.cache.stored import is_decoded
    from deepcolor.data.manifest import UndecodableError, leave_out, verify
    from deepcolor.processes import DECODING, start_server
    from deepcolor.search.study.pictures import is_begun, is_former, manifest_of

    manifest, forms = manifest_of(workspace, sweep), cast(tuple[DataConfig, ...], sweep.data_forms)
    config = forms[0]
    former = is_former(workspace, manifest)
    if former:
        reporter.note(
            f"{sweep.study} continues with the pictures it was begun with; {config.name} has been prepared anew. "
            "To train on the new ones, give the sweep another study name."
        )
    if not all(is_decoded(workspace, manifest, each) for each in forms):
        # They are looked at before they are decoded.
        if steps is not None:
            steps.step("starting the processes that decode pictures")
        start_server(*DECODING, *child_imports)
        before_decoding()
    elif not former and manifest.source.is_dir():  # The pictures of a former data set may be gone.
        verify(manifest)
    elif not former:  # The workspace or the photos have moved; what was decoded of them is all that is needed.
        reporter.note(f"{config.name}: {manifest.source} is not there; continuing with what was decoded of it")
    between_steps()

    def decode(manifest: Manifest) -> FoundData:
        found = {
            each.form: _decode(
                workspace,
                manifest,
                each,
                reporter=reporter,
                between_steps=between_steps,
                steps=steps,
                which=f", form {number} of {len(forms)}" if len(forms) > 1 else "",
            )
            for number, each in enumerate(forms, start=1)
        }
        return _found(found, manifest)

    try:
        return decode(manifest)
    except UndecodableError as error:
        if is_begun(workspace, sweep):
            raise  # Without them it would be another study.
        left = leave_out(workspace, manifest, error.files)
        reporter.left_out(f"{error.said} They are left out of {config.name} from now on.")
    return decode(left)


def _decode(
    workspace: Workspace,
    manifest: Manifest,
    config: DataConfig,
    *,
    reporter: Reporter,
    between_steps: Callable[[], None],
    steps: Steps | None,
    which: str,
) -> Path:
    """Return the folder of the data in one form, decoding it if need be."""
    from deepcolor.data.cache.stored import ensure_cache

    with reporter.progress(f"decoding {config.name} at {config.size_px} px{which}") as show:

        def on_progress(done: int, total: int) -> None:
            if steps is not None:
                steps.hide()
            show(done, total)
            between_steps()

        return ensure_cache(workspace, manifest, config, on_progress=on_progress)


def data_of(workspace: Workspace, sweep: Sweep) -> FoundData:
    """Find the data of a study that has been trained on it.

    Raises:
        DataError: It is gone, or has changed.
    """
    if not sweep.stage_class.pictures:
        return FoundData(workspace.root, _digest_of_own(workspace, sweep), source=sweep.data.title)
    from deepcolor.data.cache.stored import cache_folder, ensure_cache
    from deepcolor.data.identity import data_digest
    from deepcolor.search.study.pictures import manifest_of

    manifest, forms = manifest_of(workspace, sweep), cast(tuple[DataConfig, ...], sweep.data_forms)
    folders = {each.form: cache_folder(workspace, manifest.name, data_digest(manifest, each)) for each in forms}
    ensure_cache(workspace, manifest, forms[0])
    return _found(folders, manifest)


def _found(folders: Mapping[str, Path], manifest: Manifest) -> FoundData:
    """What is there, by form, the main one first."""
    main, *_ = folders.values()
    found = FoundData(main, main.name, str(manifest.source), manifest)
    return replace(found, forms={form: (folder.name, folder) for form, folder in folders.items()})


def _digest_of_own(workspace: Workspace, sweep: Sweep) -> str:
    """What names the data that a stage reads itself."""
    try:
        return sweep.stage_class.data_digest(sweep.data, root=workspace.root)
    except (DataError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        fields = type(sweep.data).model_fields
        named = (name for name in fields if _leads_to(cause.filename, getattr(sweep.data, name), root=workspace.root))
        key = f"data.{next(named, '')}".rstrip(".")
        file = f": {cause.filename}" if cause.filename else ""
        raise DataError(
            f"{key}: must be a file that can be read; got {(cause.strerror or str(cause)).lower()}{file} "
            f"(study {sweep.study}, stage {sweep.label}). Paths begin at the workspace, {workspace.root}."
        ) from error


def _leads_to(file: object, value: object, *, root: Path) -> bool:
    return isinstance(value, str | Path) and file is not None and root / value == root / str(file)


def prepare(
    folder: Path,
    *,
    name: str,
    workspace: Workspace,
    split: tuple[float, float, float],
    seed: int,
    strict: bool = False,
    replace: bool = False,
    reporter: Reporter = SILENT,
) -> Prepared:
    """Look at every picture of a folder, and put it into a data set; called again, it continues where it was stopped.

    Args:
        folder: Of the pictures; it is only read.
        name: Of the data set.
        workspace: Where its manifest goes.
        split: Shares of train, val and test.
        seed: Of the split.
        strict: Refuse a folder that holds any file that cannot be used.
        replace: Put it in the place of another folder of this name; studies continue with the former one.
        reporter: Is told how far it has come, and what becomes of a former data set.
    Raises:
        DataError: Another folder, or other pictures, have been prepared under this name; or the folder cannot be used.
    """
    from deepcolor.config.schema import DataConfig
    from deepcolor.data import manifest as manifests
    from deepcolor.data.identity import data_digest

    workspace.create()
    before = _before(workspace, name)
    with (
        reporter.progress("looking at pictures") as looking,
        reporter.progress("searching for copies", of=None) as comparing,
    ):
        try:
            manifest = manifests.prepare(
                folder,
                name=name,
                workspace=workspace,
                split=split,
                seed=seed,
                strict=strict,
                replace=replace,
                on_progress=looking,
                on_comparing=comparing,
                on_note=reporter.note,
            )
        except manifests.DataSetChangedError as error:
            raise DataError(f"{error}{_what_of_studies(workspace, name)}") from error
    if before is not None and manifests.same_pictures(before, manifest):
        reporter.note(f"{name} was prepared before; its folder has not changed since")
    elif before is not None:
        reporter.note(f"the former {name} is kept.{_what_of_studies(workspace, name)}")
    digest = data_digest(manifest, DataConfig(name=name))
    return Prepared(manifest, digest, manifests.manifest_path(workspace, name))


def list_data(workspace: Workspace) -> list[Manifest]:
    """Return the manifests of the prepared data sets, by name.

    Raises:
        CorruptFileError: One of them is there but cannot be understood.
    """
    from deepcolor.data.manifest import load_manifest, prepared_names

    return [load_manifest(workspace, name) for name in prepared_names(workspace)]


def draw_figure(picture: Path, *, file: Path | None = None) -> Path:
    """Draw a picture beside its L*a*b* channels.

    Args:
        picture: A picture file.
        file: PNG, PDF or SVG; takes the place of one that is there. None: `lemon.jpg-lab.png` for lemon.jpg, in the
            present folder, where nothing of another origin is replaced.
    Returns:
        The file of the figure.
    Raises:
        DataError: The picture cannot be read, or the file is of another kind or must not be replaced.
        WorkspaceError: The file cannot be written.
    """
    from deepcolor.data.files import writing
    from deepcolor.data.marks import FIGURE_METADATA
    from deepcolor.data.show import lab_figure

    target = file or _free_file(picture)
    figure = lab_figure(picture)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(target, metadata=FIGURE_METADATA if target.suffix.lower() == ".png" else None)
        except ValueError as error:
            raise DataError(f"figure: must be PNG, PDF or SVG; got {target}. Choose another suffix.") from error
    return target


def write_channels(folder: Path, *, out: Path | None = None, reporter: Reporter = SILENT) -> Channels:
    """Write L*, a* and b* of every picture below a folder as grey pictures.

    Args:
        folder: Of the pictures; searched with all below it.
        out: Where to, not among the pictures; None: `fruits-channels` for fruits, in the present folder.
        reporter: Is told how far it has come, and what is passed over.
    Raises:
        DataError: The folder is missing or holds no readable picture, or `out` is in it.
        WorkspaceError: `out` cannot be written to.
    """
    from deepcolor.data import show

    with reporter.progress("writing channels") as on_progress:
        done = show.write_channels(folder, out or Path(f"{folder.resolve().name}-channels"), on_progress=on_progress)
    if done.passed_over:
        reporter.note(f"passed over: {done.passed_over}")
    return done


def _free_file(picture: Path) -> Path:
    """Where a picture's figure goes by default; never in the place of a file that deepcolor did not make."""
    from deepcolor.data.marks import is_made_by_deepcolor

    file = Path(f"{picture.name}-lab.png")
    if file.exists() and not is_made_by_deepcolor(file):
        raise DataError(f"figure: must not replace a file of another origin; got {file}. Choose a file with -o.")
    return file


def _before(workspace: Workspace, name: str) -> Manifest | None:
    """What has been prepared under this name; None if there is nothing, or nothing that can be understood."""
    from deepcolor.data.manifest import load_manifest

    try:
        return load_manifest(workspace, name)
    except (DataError, CorruptFileError):
        return None


def _what_of_studies(workspace: Workspace, name: str) -> str:
    """What becomes of the studies of a data set that is replaced; empty if there are none."""
    if not (workspace.on_server or workspace.optuna_db.is_file()):
        return ""
    from deepcolor.search.study.storage import StudyStorage

    storage = StudyStorage(workspace)
    studies = [study for study in storage.names() if storage.load(study).sweep.data.title == name]
    if not studies:
        return ""
    shown = ", ".join(studies[:3]) + (f" and {len(studies) - 3} more" if len(studies) > 3 else "")
    return (
        f" Trained on the former one: {shown}; they continue with it as long as its pictures are there or decoded. "
        "To train on the new one, give the sweep another study name."
    )
