"""Rounds of random faults against real sweeps with the default executor, checked from outside (`checker.py`).

    python -m tests.faults.rounds --rounds 100 --seed 0

A round takes a sweep of one kind, starts it, hurts it at a random moment in a random way, starts it again, up to four
times; then lets it come to its end, looks at everything it left, and starts it once more, which must train nothing.
A sweep that can grow then grows by `--extend`, through faults again. A round is the same sweep and the same faults for
its seed; the moments are a machine's own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.checker import violations
from tests.faults.hurting import FAULTS, Run, Start, settled, start
from tests.faults.sweeps import KINDS, REFERENCES, Kind
from tests.running import run_commands
from tests.tracking.building import new_store

_UNWANTED = re.compile(r"Traceback|This is a fault in deepcolor|resource_tracker|KeyError|leaked")
"""No fault is a reason to show a person any of this."""
_UNHEARD = {-signal.SIGTERM, -signal.SIGHUP}
"""What ends a command that has not said anything, as Python itself had not yet started."""
_MOST_FAULTS = 4
_LATEST_S = 8.0
"""Longest time from a start, or from its first checkpoint, to the fault."""


@dataclass(frozen=True)
class World:
    """What all rounds share: a workspace with decoded pictures, and undisturbed trainings of every setting."""

    template: Path
    reference: Path


@dataclass(frozen=True)
class Outcome:
    """What came of a round."""

    seed: int
    kind: str
    faults: tuple[str, ...]
    violations: tuple[str, ...]
    folder: Path


def build_world(root: Path, kinds: Sequence[Kind] = KINDS, *, database: Path | None = None) -> World:
    """Draw and prepare pictures, and train every setting of `kinds` undisturbed. Takes about a minute, once.

    Args:
        root: Where it is made.
        kinds: What will be hurt.
        database: An empty one of MLflow's to copy; None: one is set up.
    """
    from deepcolor.data.drawn import draw_set
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.tracking import store
    from deepcolor.workspace import Workspace

    workspaces = {name: root / name for name in ("reference", "template")}
    world = World(workspaces["template"], workspaces["reference"] / "studies" / "trajectories")
    whole = root / "whole"
    if whole.exists():
        return world
    draw_set("faces", root / "pictures", count=24, size_px=64, seed=3)
    at = ("--workspace", str(workspaces["reference"]))
    if database is not None:
        new_store(database, workspaces["reference"])
    commands = [["data", "prepare", "pictures", "--name", "faces", *at]]
    for name in sorted({kind.reference for kind in kinds}):
        file = root / f"{name}-reference.yaml"
        file.write_text(REFERENCES[name], encoding="utf-8")
        commands.append(["sweep", file.name, "--executor", "serial", *at])
    for said in run_commands(commands, folder=root, environment={}):
        if said.code != 0:
            raise SystemExit(f"undisturbed, it fails:\n{said.out}{said.err}")
    datasets = Path("studies") / "datasets"
    shutil.copytree(workspaces["reference"] / datasets, workspaces["template"] / datasets, dirs_exist_ok=True)
    if database is not None:
        new_store(database, workspaces["template"])
    else:
        store.open_client(Workspace.at(workspaces["template"]).mlflow_uri)
    Workspace.at(workspaces["template"]).optuna_db.touch()
    StudyStorage(Workspace.at(workspaces["template"])).names()
    whole.touch()
    return world


def run_round(
    world: World, seed: int, root: Path, *, kinds: Sequence[Kind] = KINDS, starting: Start = start
) -> Outcome:
    """Hurt one sweep and look at what is left.

    Args:
        world: From `build_world`.
        seed: Decides the sweep, the faults and their moments.
        root: Where the round's folder is made; it stays for who wants to look.
        kinds: What the sweep is chosen from.
        starting: Starts a command.
    """
    chance = random.Random(seed)
    kind = chance.choice(kinds)
    folder = root / f"round-{seed}"
    workspace = folder / "workspace"
    shutil.copytree(world.template, workspace)
    if chance.random() < 0.15:
        shutil.rmtree(workspace / "mlruns")
        (workspace / "studies" / "optuna.db").unlink()
    round_ = _Round(folder, kind, chance, seed, starting=starting)
    found = list(round_.play(kind.text, grown=False))
    check = partial(violations, workspace, study=kind.name, reference=world.reference, budgeted=kind.budgeted)
    found += check(grid=kind.points)
    if kind.grown and not found:
        found += round_.play(kind.grown, grown=True)
        found += check(grid=kind.grown_points)
    return Outcome(seed, kind.name, tuple(round_.faults), tuple(found), folder)


class _Round:
    def __init__(self, folder: Path, kind: Kind, chance: random.Random, seed: int, *, starting: Start) -> None:
        self._folder = folder
        self._workspace = folder / "workspace"
        self._kind = kind
        self._chance = chance
        self._mark = f"{seed}-{folder.parent.name}"
        self._starting = starting
        self._starts = itertools.count()
        self.faults: list[str] = []

    def play(self, text: str, *, grown: bool) -> Iterator[str]:
        (self._folder / "sweep.yaml").write_text(text, encoding="utf-8")
        extend = ["--extend"] if grown else []
        for name in self._chance.choices(list(FAULTS), k=self._chance.randint(1, _MOST_FAULTS)):
            trains, after_s = self._chance.random() < 0.6, self._chance.uniform(0.2, _LATEST_S)
            self.faults.append(f"{name} {after_s:.1f} s after {'it trains' if trains else 'its start'}")
            yield from self._hurt(name, after_s, *extend, trains=trains)
        for again in (False, True):
            run = self._start("--json", *extend)
            code = run.wait()
            yield from self._read(run, code, {0})
            if code == 0:
                yield from self._summary(run, again=again)
        yield from (f"left in TMPDIR: {path.name}" for path in (self._folder / "tmp").iterdir())

    def _start(self, *words: str) -> Run:
        output = self._folder / f"output-{next(self._starts)}.txt"
        words = ("sweep", "sweep.yaml", "--workspace", str(self._workspace), *words)
        return self._starting(self._folder, *words, mark=self._mark, output=output)

    def _hurt(self, name: str, after_s: float, *extend: str, trains: bool) -> Iterator[str]:
        hurt, codes = FAULTS[name]
        before = self._checkpoints()
        run = self._start(*extend)
        while trains and run.process.poll() is None and self._checkpoints() == before:
            time.sleep(0.05)
        until = time.monotonic() + after_s
        while time.monotonic() < until and run.process.poll() is None:
            time.sleep(0.02)
        hurt(run, self._chance)
        # One that only goes on ends by itself.
        yield from self._read(run, run.wait(), codes)

    def _checkpoints(self) -> set[Path]:
        return set((self._workspace / "studies" / "trajectories").glob("*/checkpoints/*"))

    def _read(self, run: Run, code: int | None, allowed: set[int]) -> Iterator[str]:
        if code is None:
            yield f"hangs: {run.output.name}"
        elif code not in allowed and not (code in _UNHEARD and not run.text):
            yield f"exit code {code}, not one of {sorted(allowed)} ({run.output.name}: {_last_line(run.text)})"
        for line in run.text.splitlines():
            if _UNWANTED.search(line):
                yield f"on the screen: {line.strip()[:200]} ({run.output.name})"
                break
        yield from settled(run)

    def _summary(self, run: Run, *, again: bool) -> Iterator[str]:
        summary = json.loads(run.text.splitlines()[-1])
        if summary["state"] != "complete":
            yield f"the summary says {summary['state']}"
        if again and summary["trained_now"]:
            yield f"a finished sweep has trained {summary['trained_now']} epochs"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "no output"


def play(seeds: Sequence[int], root: Path, *, jobs: int) -> Iterator[Outcome]:
    """Run the rounds of `seeds`, `jobs` at a time, each as soon as it is over."""
    world = build_world(root)
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(lambda seed: run_round(world, seed, root), seeds):
            yield outcome
            if not outcome.violations:
                shutil.rmtree(outcome.folder)


def main() -> None:
    """Run rounds and print each, then what they came to; exit code 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--jobs", type=int, default=1, help="rounds at the same time")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where rounds with violations stay, and what a later call need not train again; default: a temporary one",
    )
    options = parser.parse_args()
    root = options.folder or Path(tempfile.mkdtemp(prefix="deepcolor-rounds-"))
    root.mkdir(parents=True, exist_ok=True)
    shared_memory = set(Path("/dev/shm").iterdir())
    bad, faults, kinds = [], Counter[str](), Counter[str]()
    for outcome in play(range(options.seed, options.seed + options.rounds), root, jobs=options.jobs):
        kinds[outcome.kind] += 1
        faults.update(re.split(r" \d", fault)[0] for fault in outcome.faults)
        print(f"{outcome.seed:5d} {outcome.kind:17s} {'; '.join(outcome.faults)}", flush=True)
        for violation in outcome.violations:
            print(f"      VIOLATION {violation}", flush=True)
        if outcome.violations:
            bad.append(outcome.seed)
    print(f"\n{sum(kinds.values())} rounds: {dict(kinds)}\n{sum(faults.values())} faults: {dict(faults)}")
    if left := {path for path in Path("/dev/shm").iterdir() if path not in shared_memory}:
        print(f"left in /dev/shm: {sorted(path.name for path in left)}")
    print(f"{len(bad)} rounds with violations{f', seeds {bad}; see {root}' if bad else ''}")
    sys.exit(bool(bad or left))


if __name__ == "__main__":
    main()
