"""Data sets and pictures without a command line: what is done comes back, what goes on is told, nothing is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.app.data import data_of, draw_figure, list_data, open_data, prepare, write_channels
from deepcolor.config.load import sweep_of
from deepcolor.data.cache.arrays import CachedData
from deepcolor.errors import DataError
from deepcolor.search.plan.workload import workload
from deepcolor.workspace import Workspace
from tests.data.conftest import pictures, workspace  # noqa: F401  # fixtures
from tests.data.photos import fruit, save
from tests.reporting import Heard


def test_data_sets_are_prepared_and_listed(
    pictures: Path,  # noqa: F811
    workspace: Workspace,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A data set comes back with its digest and its file, and those of a workspace are listed by name."""
    assert list_data(workspace) == []
    made = [
        prepare(pictures / folder, name=name, workspace=workspace, split=(0.6, 0.2, 0.2), seed=0)
        for name, folder in (("second", "two"), ("first", "one"))
    ]
    assert [manifest.name for manifest in list_data(workspace)] == ["first", "second"]
    assert list_data(workspace) == [one.manifest for one in reversed(made)]
    assert all(one.file.is_file() and len(one.digest) == 32 for one in made)
    assert made[0].digest != made[1].digest
    assert capsys.readouterr() == ("", "")


def test_each_form_that_a_search_needs_is_decoded_once(pictures: Path, workspace: Workspace) -> None:  # noqa: F811
    """Where augmentation is searched, a setting finds the pictures as it asks for them, and a plan counts them so."""
    prepare(pictures, name="one", workspace=workspace, split=(0.6, 0.2, 0.2), seed=0)
    space = {"random_rotation": [15, None], "epochs": [1, 2]}
    content = {"study": "s", "stage": "regressor", "data": {"name": "one", "size_px": 64}, "search": {"space": space}}
    sweep = sweep_of(content)
    data = open_data(workspace, sweep, reporter=Heard())
    found = [data.of(form) for form in sweep.data_forms]
    rows = [len(CachedData.open(folder).train) for _, folder in found]
    assert rows[0] * 5 == rows[1] * 6  # Five copies of each picture, and four.
    assert found[0] == (data.digest, data.folder)
    assert data_of(workspace, sweep) == data
    digests = {form: digest for form, (digest, _) in data.forms.items()}
    work = workload(
        sweep, [], data_digest=data.digest, forms=digests, store=workspace.trajectories, parent_of=lambda _: None
    )
    assert (work.trials, work.trajectories, len(work.forms())) == (4, 2, 2)


def test_a_figure_never_takes_the_place_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default it is named after its picture and lies here; drawn again it replaces itself, and no other file. Where
    its file is named, that is written; what is no figure's suffix is refused.
    """
    picture = save(tmp_path / "photos" / "lemon.jpg", fruit(0))
    monkeypatch.chdir(tmp_path)
    assert draw_figure(picture) == draw_figure(picture) == Path("lemon.jpg-lab.png")
    save(Path("lemon.jpg-lab.png"), fruit(1))
    with pytest.raises(DataError, match="must not replace a file of another origin"):
        draw_figure(picture)
    assert draw_figure(picture, file=Path("deep/lab.svg")).read_text().startswith("<?xml")
    with pytest.raises(DataError, match=r"must be PNG, PDF or SVG; got lab\.xyz"):
        draw_figure(picture, file=Path("lab.xyz"))


def test_channels_are_written_beside_their_folder(
    pictures: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By default they go to a folder named after the pictures'; what cannot be read comes back, what is passed over is
    told.
    """
    monkeypatch.chdir(tmp_path)
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8")
    draw_figure(pictures / "one" / "01.png", file=pictures / "lab.png")
    heard = Heard()
    done = write_channels(pictures, reporter=heard)
    assert done.folder == Path("pictures-channels")
    assert [len(list(folder.rglob("*.png"))) for folder in done.folders] == [12, 12, 12]
    assert (done.written, [file.path for file in done.skipped]) == (12, ["cut.jpg"])
    assert [note.startswith("passed over: ") for note in heard.notes] == [True]
