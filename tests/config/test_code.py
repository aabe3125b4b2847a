"""Code of a user's own in a sweep: read when the sweep is, and named by its content from then on."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from deepcolor.config.load import load_pipeline, load_sweep, sweep_of, to_yaml
from deepcolor.config.schema import Sweep
from deepcolor.config.stored import read_stored
from deepcolor.errors import CodeError, ConfigError
from deepcolor.plugins import Code, keep, load_here
from deepcolor.training.trajectory import Trajectory
from tests.config.conftest import SWEEP, Write

FILE = "experiments/s.yaml"
LION = "raise RuntimeError('run')\nclass Lion: ...\n"
OWN = SWEEP.replace("  lr: 1e-3", "  optimizer: own/lion.py:Lion")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def own(write: Write) -> Path:
    """A sweep with an optimizer of the user's own, which cannot be run."""
    write("experiments/own/lion.py", LION)
    return write(FILE, OWN)


def test_a_file_is_found_beside_the_sweep_and_read_without_being_run(own: Path) -> None:
    """Its SHA-256 becomes part of the sweep and of its settings; written out, the file is not needed any more."""
    sweep = load_sweep(own)
    assert sweep.code == sweep.setting({"weight_decay": 0.0}).code == {"own/lion.py": sha256(LION)}
    (own.parent / "own/lion.py").unlink()
    own.write_text(to_yaml(sweep))
    assert load_sweep(own) == sweep_of(sweep) == sweep
    assert read_stored(Sweep, sweep.identity()).value == sweep


def test_what_other_code_trains_is_another_training(own: Path) -> None:
    """The content is part of a training's identity where it is used, and only there."""
    own.write_text(SWEEP)
    search = ["search.space.optimizer=[adam, experiments/own/lion.py:Lion]", "search.space.weight_decay=null"]

    def digests() -> list[str]:
        sweep = load_sweep(own, search)
        names = ("adam", "experiments/own/lion.py:Lion")
        return [Trajectory(sweep.setting({"optimizer": name}), "d").digest for name in names]

    before = digests()
    (own.parent / "own/lion.py").write_text(LION + "# changed\n")
    after = digests()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_paths_begin_where_they_are_written(write: Write) -> None:
    """In a pipeline's keys they begin at its file, in a sweep file at that, in an override at the current folder."""
    for folder in (".", "pipes", "pipes/sweeps"):
        write(f"{folder}/lion.py", f"class Lion: '{folder}'\n")
    sweep = OWN.replace("own/lion.py", "lion.py")
    write("pipes/sweeps/s.yaml", sweep)
    entry = "  - file: sweeps/s.yaml\n"
    over = "  - {file: sweeps/s.yaml, study: t, training: {optimizer: 'lion.py:Lion'}}\n"
    path = write("pipes/p.yaml", f"pipeline: p\nsweeps:\n{entry}{over}")
    first, second = load_pipeline(path).sweeps
    assert first.code["lion.py"] == sha256("class Lion: 'pipes/sweeps'\n")
    assert second.code["lion.py"] == sha256("class Lion: 'pipes'\n")
    given = load_sweep("pipes/sweeps/s.yaml", ["training.optimizer=lion.py:Lion"])
    assert given.code["lion.py"] == sha256("class Lion: '.'\n")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("own/lino.py:Lion", "must be a file that can be read; got no such file or directory: experiments/own/lino.py"),
        ("own/lion.py:Lino", "own/lion.py must define Lino; got Lion"),
        ("own/broken.py:Lion", "own/broken.py must be Python; got"),
        ("no.such.module:Lion", "the module no.such.module must be installed"),
        ("adan", "must be one of adam, adamw, sgd, rmsprop, or FILE.py:NAME or package.module:NAME of your own"),
        ("'own/lion.py: Lion'", "must be one of adam"),
        ("[adam]", "must be text"),
    ],
)
def test_code_that_cannot_be_is_refused_when_the_sweep_is_read(
    own: Path, write: Write, value: str, problem: str
) -> None:
    """In one line, with the key and the file it is written in."""
    write("experiments/own/broken.py", "class Lion(:\n")
    own.write_text(OWN.replace("own/lion.py:Lion", value))
    with pytest.raises(ConfigError) as caught:
        load_sweep(own)
    text = str(caught.value)
    assert text.startswith(f"optimizer: {problem}" if "file" not in problem else "optimizer: own/lino.py must")
    assert problem in text
    assert f"({FILE}, training.optimizer)" in text
    assert "\n" not in text


def test_given_digests_are_checked_in_form(own: Path) -> None:
    """They become the name of a folder, so nothing but a SHA-256 is taken."""
    with pytest.raises(ConfigError, match=r"must be a SHA-256, 64 hex digits; got '\.\./\.\./x'"):
        sweep_of({**load_sweep(own).model_dump(mode="json"), "code": {"own/lion.py": "../../x"}})


def test_what_is_kept_is_what_is_run(tmp_path: Path, write: Write) -> None:
    """Once kept, the file may go or change; what lies in the workspace is checked each time before it is run."""
    text = "class Lion:\n    value = 7\n"
    path = write("lion.py", text)
    sweep = sweep_of({**SMALL, "training": {"optimizer": "lion.py:Lion"}})
    code = Code(sweep.code, tmp_path / "code")
    path.unlink()
    keep(code)
    assert code.load("lion.py:Lion", group="deepcolor.optimizers").value == 7
    (kept,) = (tmp_path / "code").rglob("*.py")
    assert [file.name for file in kept.parent.iterdir()] == ["lion.py"]
    kept.write_text(text + "# and more")
    with pytest.raises(CodeError, match=r"lion.py must be what it was when the study began, SHA-256 .*; got "):
        code.load("lion.py:Lion", group="deepcolor.optimizers")
    keep(code)
    assert kept.read_text() == text


def test_a_module_is_read_without_being_imported_and_must_stay_what_it_is(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it nor the package it is in is run when a sweep is read; another version of it is refused."""
    monkeypatch.syspath_prepend(str(tmp_path))
    write("brought_pack/__init__.py", "import sys\nsys.brought_pack_was_run = True\n")
    module = write("brought_pack/lion.py", "class Lion: ...\n")
    sweep = sweep_of({**SMALL, "training": {"optimizer": "brought_pack.lion:Lion"}})
    assert sweep.code == {"brought_pack.lion": sha256("class Lion: ...\n")}
    assert not hasattr(sys, "brought_pack_was_run")
    code = Code(sweep.code, tmp_path / "code")
    keep(code)
    assert code.load("brought_pack.lion:Lion", group="deepcolor.optimizers").__name__ == "Lion"
    module.write_text("class Lion: '''another version'''\n")
    with pytest.raises(CodeError, match=r"brought_pack.lion must be what it was when the study began"):
        code.load("brought_pack.lion:Lion", group="deepcolor.optimizers")


def test_an_entry_point_is_a_name(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installed package offers goes by the name that it offers it by; a stored sweep needs no package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    write("entrywise.py", "class Lion: ...\n")
    write("entrywise-1.dist-info/METADATA", "Name: entrywise\nVersion: 1\n")
    write("entrywise-1.dist-info/entry_points.txt", "[deepcolor.optimizers]\nlion = entrywise:Lion\n")
    from deepcolor import plugins

    plugins._entry_points.cache_clear()
    monkeypatch.setattr(plugins, "_entry_points", plugins._entry_points.__wrapped__)
    tree = {**SMALL, "training": {"optimizer": "lion"}}
    sweep = sweep_of(tree)
    assert sweep.code == sweep.setting({}).code == {"entrywise": sha256("class Lion: ...\n")}
    assert Code(sweep.code, tmp_path).load("lion", group="deepcolor.optimizers").__name__ == "Lion"
    Path("entrywise-1.dist-info/entry_points.txt").unlink()
    with pytest.raises(ConfigError, match=r"optimizer: must be one of .*; got 'lion' \(the sweep given, training"):
        sweep_of(tree)
    assert read_stored(Sweep, sweep.identity()).value == sweep


@pytest.mark.parametrize("text", ["raise RuntimeError('no\\nway')", "import sys; sys.exit(3)", "import no_such_thing"])
def test_code_that_fails_as_it_is_imported_is_one_line(write: Write, text: str) -> None:
    """Whatever it raises, the end of the process included."""
    write("x.py", f"{text}\nclass X: ...\n")
    with pytest.raises(CodeError, match=r"code: x.py must be importable; got \w+: ") as caught:
        load_here("x.py:X", group="deepcolor.executors", folder=Path())
    assert "\n" not in str(caught.value)


SMALL: dict[str, Any] = {"study": "s", "stage": "regressor", "data": {"name": "faces"}, "search": {}}
