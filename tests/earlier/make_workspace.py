"""Make the workspace that later releases must go on with. Run it by the release that is to be held to, once:

    python -m tests.earlier.make_workspace tests/earlier/before-rooms.tar.xz

It holds an unfinished study pruned by ASHA, a confirmed winner that is a champion, and a promoted colorizer, with what
the command line said of them (`said.json`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from deepcolor.data.drawn import draw_set

SWEEPS = {
    "asha": """
study: asha
stage: regressor
data: {name: faces, size_px: 64}
training: {batch_size: 4, epochs: 9}
search:
  sampler: tpe
  trials: 12
  space: {lr: {low: 1e-4, high: 1e-1, log: true}, weight_decay: [0.0, 1e-4]}
  pruner: {name: asha, min_epochs: 3}
""",
    "winner": """
study: winner
stage: regressor
data: {name: faces, size_px: 64}
training: {batch_size: 8}
search:
  space: {lr: [1e-2, 1e-3, 1e-4], epochs: [3, 6]}
  confirm: {top: 2, seeds: 2}
""",
    "colours": """
study: colours
stage: colorizer
data: {name: faces, size_px: 64}
model: {feature_maps: 1}
training: {epochs: 2, batch_size: 8}
search:
  space: {lr: [1e-2, 1e-3]}
""",
}
STUDIES = tuple(SWEEPS)


def run(workspace: Path, *words: str) -> Any:
    """Run a command there, and return what it gives as JSON."""
    command = [sys.executable, "-m", "deepcolor", *words, "--json"]
    done = subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_in_part(workspace: Path, *words: str, begun: int) -> None:
    """Run a sweep, and ask it to end when it has begun so many trainings."""
    process = subprocess.Popen([sys.executable, "-m", "deepcolor", *words], cwd=workspace, start_new_session=True)
    while process.poll() is None and len(list((workspace / "studies" / "trajectories").glob("*/checkpoints"))) < begun:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 130, "it was stopped too late; try again"


def _without_copies(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out pictures that are drawn again, or lie in the store as well."""
    copied = entry.name.endswith(".png") and ("/mlruns/" in entry.name or "/report/" in entry.name)
    return None if copied else entry


def main() -> None:
    """Make it, and pack it."""
    out = Path(sys.argv[1])
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        draw_set("faces", Path(folder) / "pictures", count=12, size_px=64, seed=5)
        run(workspace, "data", "prepare", "../pictures", "--name", "faces")
        for name, text in SWEEPS.items():
            (workspace / f"{name}.yaml").write_text(text)
        run_in_part(workspace, "sweep", "asha.yaml", "--executor", "serial", begun=7)
        for name in ("winner", "colours"):
            run(workspace, "sweep", f"{name}.yaml", "--executor", "serial")
            run(workspace, "promote", name, "--force", "--device", "cpu")
        said = {name: run(workspace, "studies", name) for name in STUDIES}
        (workspace / "said.json").write_text(json.dumps({**said, "models": run(workspace, "models")}, indent=1))
        with tarfile.open(out, "w:xz") as archive:
            archive.add(workspace, arcname="workspace", filter=_without_copies)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
