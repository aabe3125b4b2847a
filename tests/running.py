"""Several commands in one process of their own, each as if it were alone: the libraries are imported once for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import deepcolor

_COMMANDS = """
import io, json, os, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from deepcolor.cli import console
from deepcolor.cli.app import main
environment = dict(os.environ)
for words in json.loads(sys.stdin.read()):
    os.environ.clear()  # MLflow keeps the store it was last told of there.
    os.environ.update(environment)
    sys.argv, console.settings = ["deepcolor", *words], console.Settings()
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        except Exception:  # With --debug, as Python would print it.
            traceback.print_exc()
            code = 1
    print(json.dumps([code or 0, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str


def run_commands(
    commands: Sequence[Sequence[str]],
    *,
    folder: Path,
    environment: Mapping[str, str],
    prepare: Callable[[], None] | None = None,
) -> list[Said]:
    """Run commands one after the other.

    Args:
        commands: The words of each, without the program.
        folder: Where they are started.
        environment: What is added to this process's.
        prepare: Called in their process before it begins.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _COMMANDS],
        input=json.dumps(list(commands)),
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": str(Path(deepcolor.__file__).parent.parent),
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=prepare,
    )
    assert done.returncode == 0, done.stderr
    said = [Said(*json.loads(line)) for line in done.stdout.splitlines()]
    # What the processes behind a command wrote is nobody's in particular.
    return [*said[:-1], Said(said[-1].code, said[-1].out, said[-1].err + done.stderr)]
