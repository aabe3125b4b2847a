from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deepcolor.data.drawn import draw_set
from tests.reliability.conftest import Place
from tests.reliability.processes import Faults

SERIAL = ("--executor", "serial")
REAL = Faults(formula=False)
SWEEP = """
study: {study}
stage: regressor
data: {{name: faces, size_px: 64, augment: {{random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}}}
search: {{space: {{epochs: {epochs}}}}}
"""


def own_pictures(place: Place, template: Path) -> Path:
    """Give a place the pictures of its data set in a folder of its own."""
    pictures = place.root / "pictures"
    shutil.copytree(template.parent / "pictures", pictures)
    path = place.root / "studies" / "datasets" / "faces" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "source": str(pictures)}))
    return pictures


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("e000004.safetensors", _flip), ("e000004.safetensors", _truncate), ("e000004.json", _flip)],
    ids=["weights altered", "weights truncated", "record altered"],
)
def test_a_damaged_checkpoint_costs_epochs_and_no_figure(
    place: Place, name: str, damage: Callable[[Path], None]
) -> None:
    """What does not match its checksum is trained again from the checkpoint before it, to the same figures."""
    place.write("grid.yaml", SWEEP.format(study="grid", epochs=[2, 4]))
    place.sweep(*SERIAL, faults=REAL)
    (checkpoints,) = (place.root / "studies" / "trajectories").glob("*/checkpoints")
    recorded = json.loads((checkpoints / "e000004.json").read_bytes())["record"]["history"]
    damage(checkpoints / name)
    place.write("longer.yaml", SWEEP.format(study="longer", epochs=[6]))
    longer = place.sweep(*SERIAL, study="longer", faults=REAL)
    assert longer["trained_now"] == 4  # Epochs 3 and 4 again, and the two new ones.
    history = json.loads((checkpoints / "e000006.json").read_bytes())["record"]["history"]
    figures = [[row["metrics"] for row in rows[:4]] for rows in (history, recorded)]
    assert figures[0] == figures[1]


def test_pictures_changed_or_removed_stop_a_sweep_before_it_trains(place: Place, template: Path) -> None:
    """A picture with other content, or none: one line names it and says what to do; put back, the sweep goes on."""
    pictures = own_pictures(place, template)
    picture = sorted(pictures.rglob("*.png"))[3]
    content = picture.read_bytes()
    for change in (lambda: picture.write_bytes(content[:-1] + b"x"), picture.unlink):
        change()
        text = place.start("sweep", "grid.yaml", *SERIAL).ends(2)
        (line,) = text.strip().splitlines()
        assert "1 of 24 changed or removed" in line
        assert picture.name in line
        assert "deepcolor data prepare" in line
        assert not (place.root / "studies" / "trajectories").exists()
    picture.write_bytes(content)
    place.sweep(*SERIAL)
    place.assert_whole()


def test_a_study_keeps_its_pictures_when_their_data_set_is_prepared_anew(place: Place, tmp_path: Path) -> None:
    """Another folder under the same name is refused, with the studies that it would concern. Put in its place all the
    same, the study continues with the pictures it was begun with, and a new one trains on the new ones.
    """
    place.sweep(*SERIAL)
    draw_set("faces", tmp_path / "others", count=12, size_px=64, seed=8)
    prepare = ("data", "prepare", str(tmp_path / "others"), "--name", "faces")
    refused = place.start(*prepare).ends(2)
    assert "source" in refused
    assert "Trained on the former one: grid" in refused
    assert "continue with it" in place.start(*prepare, "--replace").ends(0)
    assert "prepared before" in place.start(*prepare).ends(0)
    text = place.start("sweep", "grid.yaml", *SERIAL).ends(0)
    assert "continues with the pictures it was begun with" in text
    assert "0 trained now" in text
    place.assert_whole()
    place.write_grid("new")
    assert place.sweep(*SERIAL, study="new")["trained_now"] > 0
    digests = {
        json.loads((place.root / "studies" / study / "start.json").read_bytes())["provenance"]["data_digest"]
        for study in ("grid", "new")
    }
    assert len(digests) == 2


def test_a_picture_that_can_no_longer_be_decoded_is_left_out_of_a_new_study(place: Place, template: Path) -> None:
    """As after an upgrade to stricter decoders: the picture is named, the rest is trained on, the exit code says so."""
    pictures = own_pictures(place, template)
    path = place.root / "studies" / "datasets" / "faces" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    file = next(file for file in manifest["files"] if file["split"] == "train")
    content = (pictures / file["path"]).read_bytes()[:900]
    (pictures / file["path"]).write_bytes(content)
    file.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    path.write_text(json.dumps(manifest))
    shutil.rmtree(path.parent / "cache")
    text = place.start("sweep", "grid.yaml", *SERIAL).ends(1)
    assert f"1 of 24 that cannot: {file['path']} (a truncated file)" in text
    after = json.loads(path.read_bytes())
    assert [(each["path"], each["reason"]) for each in after["rejected"]] == [(file["path"], "a truncated file")]
    splits = {each["path"]: each["split"] for each in after["files"]}
    assert splits == {each["path"]: each["split"] for each in manifest["files"] if each != file}
    place.sweep(*SERIAL)
    place.assert_whole()
