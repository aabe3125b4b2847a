from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from deepcolor.config.load import load_pipeline, load_sweep
from deepcolor.config.reference import reference
from deepcolor.config.schema import Sweep

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    """docs/sweep-files.md is what the models say today; `make docs` writes it."""
    assert (ROOT / "docs" / "sweep-files.md").read_text(encoding="utf-8") == reference()


def test_the_reference_names_every_key() -> None:
    """Every field of every section has a row, and every row a meaning."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    text = "\n".join(rows)
    assert all(f"| `{name}` |" in text for name in Sweep.model_fields)
    assert "| `data.augment.random_crop` | whole number from 1 to 64, or null | `8` |" in text
    assert all(re.search(r"\| [^|]+ \|$", row) for row in rows)


def test_the_examples_of_the_reference_are_valid(tmp_path: Path) -> None:
    """What the reference shows can be copied into a file and run."""
    sweep, space, pipeline = re.findall(r"```yaml\n(.*?)```", reference(), re.DOTALL)
    (tmp_path / "sweep.yaml").write_text(sweep)
    assert load_sweep(tmp_path / "sweep.yaml").grid_points() == 8
    (tmp_path / "space.yaml").write_text(f"study: s\nstage: colorizer\ndata: {{name: faces}}\n{space}")
    assert len(load_sweep(tmp_path / "space.yaml").search_names) == 5
    path = ROOT / "experiments" / "example-of-the-reference.yaml"
    (tmp_path / path.name).write_text(pipeline.replace("report1/", f"{path.parent}/report1/"))
    assert len(load_pipeline(tmp_path / path.name).sweeps) == 2


def test_reading_files_needs_no_heavy_library(tmp_path: Path) -> None:
    """Loading a sweep imports neither torch nor Optuna nor MLflow, so the command line stays quick."""
    (tmp_path / "s.yaml").write_text("{study: s, stage: regressor, data: {name: d}, search: {}}")
    code = (
        "import sys; from deepcolor.config.load import load_sweep; load_sweep(sys.argv[1]);"
        "print(sorted({'torch', 'optuna', 'mlflow', 'numpy', 'cv2', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s.yaml")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"
