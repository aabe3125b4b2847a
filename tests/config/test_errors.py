"""Every way a sweep or pipeline can be wrong, and the one line that says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deepcolor.config.load import kind_of, load_pipeline, load_sweep
from deepcolor.errors import ConfigError
from tests.config.conftest import SWEEP, Write

FILE = "experiments/colorizer-tpe.yaml"
RANGE = "search.space.lr={low: %s, high: %s%s}"
TRAINING_KEYS = (
    "epochs, early_stopping, patience, seed, lr, weight_decay, batch_size, optimizer, momentum, loss, "
    "metrics, final_metrics, lr_schedule, mixed_precision, warmup_epochs, encoder_lr, clip_norm, dropout, ema, "
    "half_size_share, saturation_weight, rebalance"
)


def message(load: Callable[..., object], *arguments: object) -> str:
    """The one line that a refused file or override is answered with."""
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_low_above_high_names_the_file_the_key_and_the_remedy(write: Write) -> None:
    """A range the wrong way round is refused in the house's form."""
    write(FILE, SWEEP.replace("weight_decay: [0, 1e-5, 1e-6]", "lr: {low: 0.1, high: 0.01, step: 0.01}"))
    assert message(load_sweep, FILE) == (
        f"lr: low must be below high; got low=0.1, high=0.01 ({FILE}, search.space.lr). Swap the bounds."
    )


def test_a_slip_in_a_section_that_may_be_left_out_names_the_keys_of_that_section(write: Write) -> None:
    """Within search.confirm the keys of search.confirm are offered, and not those of search."""
    write(FILE, SWEEP)
    assert message(load_sweep, FILE, ["search.confirm={sedes: 3}"]) == (
        "sedes: unknown key (-o search.confirm={sedes: 3}). Did you mean seeds? Allowed: top, seeds."
    )


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        (
            "  lr: 1e-3",
            "  learning_rate: 1e-3",
            f"learning_rate: unknown key ({FILE}, training.learning_rate). Did you mean lr? Allowed: {TRAINING_KEYS}.",
        ),
        (
            "  epochs: 20",
            "  feature_maps: 20",
            (
                f"feature_maps: unknown key ({FILE}, training.feature_maps). feature_maps belongs under model. "
                f"Allowed: {TRAINING_KEYS}."
            ),
        ),
        (
            "data: {name: faces}",
            "data: {name: faces, augment: {random_crp: 4}}",
            (
                f"random_crp: unknown key ({FILE}, data.augment.random_crp). Did you mean random_crop? "
                "Allowed: random_crop, random_horizontal_flip, random_vertical_flip, random_rotation, "
                "random_adjust_sharpness, mode, geometric, flip, rotation, scale_low, scale_high, shift, gamma."
            ),
        ),
        ("study: colorizer-tpe\n", "", f"study: is required ({FILE}, study). Add it."),
        (
            "search:\n",
            "search:\n  objective: val/mes\n",
            (
                "objective: must be what a colorizer measures after every epoch; got 'val/mes' "
                f"({FILE}, search.objective). Did you mean val/mse? "
                "Allowed: train/mse, val/mse, val/mse_a, val/mse_b, epoch_s."
            ),
        ),
        (
            "data: {name: faces}",
            "data: {name: ../faces}",
            (
                "name: must be 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit; "
                f"got '../faces' ({FILE}, data.name). Choose another name."
            ),
        ),
        (
            "  epochs: 20",
            "  epochs: twenty",
            (
                f"epochs: must be a whole number; got 'twenty' ({FILE}, training.epochs). "
                "Write it without quotes and without a fraction."
            ),
        ),
        (
            "stage: colorizer",
            "stage: colouriser",
            (
                "stage: must be one of regressor, colorizer, transfer, or FILE.py:NAME or package.module:NAME of your "
                f"own; got 'colouriser' ({FILE}, stage). Did you mean colorizer?"
            ),
        ),
        (
            "training:\n  epochs: 20\n  lr: 1e-3",
            "training: 5",
            (f"training: must be a mapping of keys and values; got 5 ({FILE}, training). Indent its keys below it."),
        ),
        ("study: colorizer-tpe", "study: 7", f"study: must be text; got 7 ({FILE}, study). Put it in quotes."),
        (
            "  lr: 1e-3",
            "  lr: -1\n  seed: -1",
            (
                f"seed: must be at least 0; got -1 ({FILE}, training.seed). Choose a larger value. "
                "Also wrong: training.lr."
            ),
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(write: Write, line: str, replacement: str, expected: str) -> None:
    """Unknown keys at any depth, missing ones, wrong types and values are named with file, key and remedy."""
    assert line in SWEEP
    write(FILE, SWEEP.replace(line, replacement))
    assert message(load_sweep, FILE) == expected


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("training.epochs=true", "epochs: must be a number; got true"),
        ("training.epochs=1.5", "epochs: must be a whole number; got 1.5"),
        ("training.lr=.nan", "lr: must be a finite number; got nan"),
        ("data.size_px=100", "size_px: must be a multiple of 64; got 100"),
        ("search.trials=true", "trials: must be a number; got true"),
        ("search.sampler=tpe", "trials: the sampler tpe needs a number of trials"),
        ("search.trials=5", "trials: a grid has as many trials as its space has points; got trials=5"),
        ("search.space=[lr]", "space: must be a mapping of searched fields; got ['lr']"),
        ("search.space.lr=1e-3", "lr: must be a list of choices, or low/high with log or step; got 0.001"),
        ("search.space.lr=[]", "lr: must have at least one entry; got []"),
        ("search.space.lr=[0.1, 0.1]", "lr: choices must differ from each other; got 0.1 twice"),
        ("search.space.lr=[0]", "lr: must be above 0; got 0"),
        ("search.space.epochs=[1.5]", "epochs: must be a whole number; got 1.5"),
        ("search.space.growth=[triple]", "growth: must be one of constant, double; got 'triple'"),
        (RANGE % ("1", "1", ""), "lr: low must be below high; got low=1, high=1"),
        (RANGE % ("0.1", "1", ""), "lr: a grid needs a list of values, or a range with a step"),
        (RANGE % ("0.1", "1", ", step: -1"), "step: must be above 0; got -1"),
        (RANGE % ("0.1", "1", ", step: 2"), "lr: step must fit between low and high; got step=2, low=0.1, high=1"),
        (RANGE % ("0.1", "1", ", log: true, step: 0.1"), "lr: step cannot be combined with log; got log=true, step=0"),
        (RANGE % ("0.1", "1", ", step: 0.1, digits: 4"), "lr: digits cannot be combined with step; got digits=4, step"),
        (
            RANGE % ("0.12345", "1", ", digits: 4"),
            "lr: low must have no more than the digits that are asked for",
        ),
        (RANGE % ("0.1", "1", ", digits: 0"), "digits: must be at least 1; got 0"),
        (
            "search.space.batch_size={low: 8, high: 64, digits: 2}",
            "batch_size: digits are for fractions, and this",
        ),
        (RANGE % ("0.1", "x", ""), "high: must be a finite number; got 'x'"),
        ("search.space.weight_decay={low: 0, high: 1, log: true}", "weight_decay: low must be above 0 on a log scale"),
        ("search.space.epochs={low: 1, high: 9, step: 0.5}", "step: must be a whole number; got 0.5"),
        ("search.space.freeze={low: 0, high: 1, step: 1}", "low: freeze takes no numbers, so it cannot be searched"),
        ("search.space.seed={low: 0, high: 20000, step: 1}", "space: a grid may have 10000 points at most; got 60003"),
        ("stage=transfer", "init_from: a transfer starts from a model; got null"),
        ("init.init_from=champion", "init_from: must be STAGE@ALIAS, STAGE@VERSION or study:NAME; got 'champion'"),
        ("init.init_from=colorizer@3", "init_from: a colorizer starts from a regressor; got colorizer@3"),
        ("init.freeze=encoder", "freeze: freezing needs weights to start from; got init_from: null"),
        ("search.space.freeze=[none, encoder]", "freeze: freezing needs weights to start from; got init_from: null"),
        ("training.lr=[1", "YAML: must be readable; got an error: expected ',' or ']', but got '<stream end>'"),
        ("training.lr", "-o: must be KEY=VALUE; got 'training.lr'"),
        ("training..lr=1", "-o: must be KEY=VALUE; got 'training..lr=1'"),
    ],
)
def test_a_wrong_override_is_refused_and_cited(sweep_file: Path, override: str, rule: str) -> None:
    """What is wrong with a value is said first, and the place named is the command line, where it was written."""
    text = message(load_sweep, sweep_file, [override])
    assert text.startswith(rule)
    assert "KEY=VALUE" in text or f"(-o {override}"[:80] in text or "init.init_from" in text


@pytest.mark.parametrize(
    "field", ["model.skip_connections=true", "model.decoder=bilinear", "init.init_from=regressor@1"]
)
def test_a_regressor_refuses_what_it_has_not(sweep_file: Path, field: str) -> None:
    """Options of a decoder, or of a start, are refused where there is none, instead of being ignored."""
    assert "means nothing to it" in message(load_sweep, sweep_file, ["stage=regressor", field])


def test_an_unknown_searched_field_lists_what_can_be_searched(sweep_file: Path) -> None:
    """A misspelt parameter in the space is answered with the nearest one and the whole list."""
    text = message(load_sweep, sweep_file, ["search.space.weight_dcay=[0]"])
    assert "weight_dcay: unknown key" in text
    assert "Did you mean weight_decay? Allowed: feature_maps, growth," in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "got an empty file"),
        ("[1, 2]", "got a list"),
        ("just words", "got a single value"),
        (SWEEP + "study: again\n", "the key 'study' stands twice (experiments/colorizer-tpe.yaml, line 11, column 1)"),
        (SWEEP.replace("  epochs", "\tepochs"), "found character '\\t' that cannot start any token"),
        ("study: !!python/object/apply:os.system [ls]", "python/object/apply:os.system is not plain data"),
        ("study: !!binary aGk=", "is not plain data"),
        ("a: &a [*a]", "more than 100000 values or 32 levels"),
        ("a: &a\n  <<: *a\n", "more than 100000 values or 32 levels"),
        ("a: " + "[" * 40 + "]" * 40, "more than 100000 values or 32 levels"),
        ("[" * 10_000, "must not be nested so deeply"),
        ("a: " + "9" * 5_000, "cannot be read as int"),
        ("[a]: b", "a key must be a plain word"),
        ("a: \x01", "special characters are not allowed"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(write: Write, text: str, problem: str) -> None:
    """Broken, hostile or merely odd YAML ends in one line, never in a traceback, an object or a hang."""
    assert problem in message(load_sweep, write(FILE, text))


def test_aliases_cannot_blow_up(write: Write) -> None:
    """Ten lines of aliases that stand for ten billion values are refused at once."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than 100000 values" in message(load_sweep, write(FILE, "\n".join(lines)))


def test_a_missing_file_suggests_one_that_is_there(sweep_file: Path) -> None:
    """A misspelt path is answered with the nearest file, a misspelt folder with that."""
    assert message(load_sweep, "experiments/colorizer-tp.yaml") == (
        "sweep file: must exist; got experiments/colorizer-tp.yaml. Did you mean experiments/colorizer-tpe.yaml?"
    )
    assert "The folder holds: colorizer-tpe.yaml." in message(load_sweep, "experiments/zzz")
    assert "There is no folder experiment either" in message(load_sweep, "experiment/colorizer-tpe.yaml")


def test_unreadable_files_are_refused(write: Write) -> None:
    """A folder, a pipe, a file that is no text, and a file beyond any sweep's size are refused by name."""
    path = write(FILE, "")
    assert "(a folder)" in message(load_sweep, path.parent)
    os.mkfifo(path.with_name("pipe.yaml"))
    assert "(a named pipe)" in message(load_sweep, path.with_name("pipe.yaml"))
    path.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    assert "must be UTF-8 text; got byte 0xff at position 0" in message(load_sweep, path)
    path.write_bytes(b"#" * (2 << 20))
    assert "may have 1048576 bytes at most" in message(load_sweep, path)


PIPELINE = """\
pipeline: both
sweeps:
  - file: colorizer-tpe.yaml
    study: first
    stage: regressor
    search: {space: {epochs: [10, 20]}}
  - colorizer-tpe.yaml
"""


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        (
            "[10, 20]",
            "{low: 3, high: 1}",
            (
                "epochs: low must be below high; got low=3, high=1 (experiments/p.yaml, sweeps.0.search.space.epochs). "
                "Swap the bounds."
            ),
        ),
        (
            "study: first",
            "studdy: first",
            (
                "studdy: unknown key (experiments/p.yaml, sweeps.0.studdy). Did you mean study? "
                "Allowed: study, stage, description, code, data, model, training, init, search."
            ),
        ),
        (
            "study: first",
            "study: colorizer-tpe",
            (
                "sweeps: each sweep needs a study name of its own; got colorizer-tpe, colorizer-tpe "
                "(experiments/p.yaml, sweeps). Rename one of them."
            ),
        ),
        (
            "file: colorizer-tpe.yaml",
            "file: colorizr-tpe.yaml",
            "sweep file: must exist; got experiments/colorizr-tpe.yaml. Did you mean experiments/colorizer-tpe.yaml?",
        ),
        (
            "  - colorizer-tpe.yaml",
            "  - 3",
            (
                "sweeps.1: must be a sweep or the path of a sweep file; got 3 (experiments/p.yaml, sweeps.1). "
                "Write - file: regressor.yaml"
            ),
        ),
        ("pipeline: both\n", "", "pipeline: is required (experiments/p.yaml, pipeline). Add it."),
    ],
)
def test_a_wrong_pipeline_is_refused_at_its_entry(
    sweep_file: Path, write: Write, line: str, replacement: str, expected: str
) -> None:
    """What an entry lays over its file is cited in the pipeline, by the entry's number."""
    assert line in PIPELINE
    assert message(load_pipeline, write("experiments/p.yaml", PIPELINE.replace(line, replacement))) == expected


def test_what_a_named_file_holds_is_cited_there(sweep_file: Path, write: Write) -> None:
    """A mistake inside a sweep file is cited in that file, not in the pipeline that names it."""
    sweep_file.write_text(SWEEP.replace("epochs: 20", "epochs: 0"))
    assert message(load_pipeline, write("experiments/p.yaml", PIPELINE)).startswith(
        "epochs: must be at least 1; got 0 (experiments/colorizer-tpe.yaml, training.epochs)."
    )


@pytest.mark.parametrize(
    "override", ["transfer.training.epochs=3", "sweeps.2.training.lr=1", "trainings.lr=1", "training=1", "sweeps=[]"]
)
def test_an_override_that_reaches_no_sweep_lists_those_there_are(sweep_file: Path, write: Write, override: str) -> None:
    """An override for a stage or number that the pipeline has not is refused, with what can be addressed."""
    text = message(load_pipeline, write("experiments/p.yaml", PIPELINE), [override])
    allowed = "sweeps.0.KEY, sweeps.1.KEY, regressor.KEY, colorizer.KEY, data.KEY, model.KEY, training.KEY"
    assert f"Allowed: {allowed}, init.KEY, search.KEY, pipeline, description." in text


def test_sweep_and_pipeline_are_not_taken_for_each_other(sweep_file: Path, write: Write) -> None:
    """The wrong kind of file is answered with the command that runs it; neither kind, with where to read on."""
    pipeline = write("experiments/p.yaml", PIPELINE)
    assert "Run it with: deepcolor pipeline experiments/p.yaml" in message(load_sweep, pipeline)
    assert f"Run it with: deepcolor sweep {FILE}" in message(load_pipeline, sweep_file)
    assert "must be a sweep or a pipeline; got 'images'" in message(kind_of, write("experiments/o.yaml", "images: 3"))


def test_a_pipeline_needs_its_order(sweep_file: Path, write: Write) -> None:
    """A colorizer before the regressor is refused: later sweeps start from what earlier ones promote."""
    path = write("experiments/p.yaml", PIPELINE)
    text = message(load_pipeline, path, ["sweeps.0.stage=colorizer", "sweeps.1.stage=regressor"])
    assert "a regressor must come before the colorizer that may start from it; got colorizer, regressor" in text


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("lr: {min: 1e-4, max: 1e-2}", "min: unknown key.*Did you mean low.*Also wrong: search.space.lr.max.$"),
        ("lr: {low: 1e-4, high: 1e-2, scale: log}", "scale: unknown key.*Did you mean log?"),
        (
            "training: {lr: [1e-3, 1e-4]}",
            "training: the keys of a space are flat; got the section training.*Write lr",
        ),
        ("training.lr: [1e-3, 1e-4]", "training: the keys of a space are flat.*Write lr directly below space"),
        ("wd: [0, 1e-4]", "wd: unknown key.*Did you mean weight_decay?"),
    ],
)
def test_a_slip_in_the_space_is_understood(tmp_path: Path, space: str, says: str) -> None:
    """What other tools call a bound, a section in the space, and initials: each is answered with the right key."""
    file = tmp_path / "sweep.yaml"
    file.write_text(f"study: s\nstage: regressor\ndata: {{name: faces}}\nsearch:\n  space:\n    {space}\n")
    with pytest.raises(ConfigError, match=says):
        load_sweep(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("search:\n\tspace: {}", r"\(.*sweep.yaml, line 6, column 1\). That is a tab: indent with spaces"),
        ("description: now: this", "put a text that holds ': ' in quotes"),
        ("search: {space: {lr: [1e-3}}", "Close its brackets"),
        ("search: {space: {lr: [1e-3]}", "Close its brackets and quotes"),
        ("search: {confirm: true}", r"Write it like confirm: \{top: 3, seeds: 3\}"),
        ("search: {sampler: TPE, trials: 3}", "Did you mean tpe?"),
        ("space: {lr: [1e-3]}", "space belongs under search"),
        ("random_crop: 4", "random_crop belongs under data.augment"),
    ],
)
def test_a_slip_in_a_file_is_answered_in_plain_words(tmp_path: Path, text: str, says: str) -> None:
    """What to do is said so that nobody has to know parsers."""
    file = tmp_path / "sweep.yaml"
    search = "" if text.startswith("search") else "\nsearch: {}"
    file.write_text(f"# A sweep\nstudy: s\nstage: regressor\ndata: {{name: faces}}\n{text}{search}\n")
    with pytest.raises(ConfigError, match=says):
        load_sweep(file)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("-o training.epochs=3", "must be KEY=VALUE; got '-o training.epochs=3'"),
        ("search.space.lr=[1e-3,", r"\(-o search.space.lr=\[1e-3,\). Close its brackets and quotes."),
        ("study=my study", "such as my-study"),
    ],
)
def test_a_slip_in_an_override_is_answered_without_lines(tmp_path: Path, override: str, says: str) -> None:
    """An override has no lines and columns; what is wrong with it is said of the whole."""
    file = tmp_path / "sweep.yaml"
    file.write_text("study: s\nstage: regressor\ndata: {name: faces}\nsearch: {}\n")
    with pytest.raises(ConfigError, match=says) as refused:
        load_sweep(file, [override])
    assert "line 1" not in str(refused.value)
