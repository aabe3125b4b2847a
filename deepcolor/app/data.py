"""Find the pictures a sweep is about, as it was begun with them, decoded in the form it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter, Steps
from deepcolor.config.schema import Sweep
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.data.manifest import Manifest


def open_data(
    workspace: Workspace,
    sweep: Sweep,
    *,
    reporter: Reporter,
    child_imports: Sequence[str] = (),
    before_decoding: Callable[[], None] = lambda: None,
    between_steps: Callable[[], None] = lambda: None,
    steps: Steps | None = None,
) -> tuple[Path, Manifest]:
    """Find the sweep's data set, and make sure that it is unchanged and decoded in the form the sweep asks for.

    Args:
        workspace: Where the data set lies.
        sweep: Names it, its size and its augmentation.
        reporter: Is told how far decoding has come, and what is not as it was.
        child_imports: What the processes that train later import beside; all are forked from one server.
        before_decoding: Called if it is not decoded yet, while the processes that decode start: then nothing is
            trained yet either.
        steps: Gives way to the bar of decoding, where there is any to be done.
        between_steps: Called now and then; what it raises ends the work, and nothing is left half done.
    """
    from deepcolor.data.cache.stored import ensure_cache, is_decoded
    from deepcolor.data.manifest import UndecodableError, leave_out, verify
    from deepcolor.processes import DECODING, start_server
    from deepcolor.search.study.pictures import is_begun, is_former, manifest_of

    manifest = manifest_of(workspace, sweep)
    former = is_former(workspace, manifest)
    if former:
        reporter.note(
            f"{sweep.study} goes on with the pictures it was begun with; {sweep.data.name} has been prepared anew. "
            "To train on the new ones, give the sweep another study name."
        )
    if not is_decoded(workspace, manifest, sweep.data):
        # They are looked at before they are decoded.
        if steps is not None:
            steps.step("starting the processes that decode pictures")
        start_server(*DECODING, *child_imports)
        before_decoding()
    elif not former and manifest.source.is_dir():  # The pictures of a former data set may be gone.
        verify(manifest)
    elif not former:  # The workspace or the photos have moved; what was decoded of them is all that is needed.
        reporter.note(f"{sweep.data.name}: {manifest.source} is not there; going on with what was decoded of it")
    between_steps()
    with reporter.progress(f"decoding {sweep.data.name} at {sweep.data.size_px} px") as show:

        def on_progress(done: int, total: int) -> None:
            if steps is not None:
                steps.hide()
            show(done, total)
            between_steps()

        try:
            return ensure_cache(workspace, manifest, sweep.data, on_progress=on_progress), manifest
        except UndecodableError as error:
            if is_begun(workspace, sweep):
                raise  # Without them it would be another study.
            manifest = leave_out(workspace, manifest, error.files)
            reporter.left_out(f"{error.said} They are left out of {sweep.data.name} from now on.")
        return ensure_cache(workspace, manifest, sweep.data, on_progress=on_progress), manifest
