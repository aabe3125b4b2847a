"""The tutorial as its reader has it, in a real kernel; then what else a notebook's user does, in the same one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import deepcolor
from tests.api.kernels import forked_kernel
from tests.processes import WAIT_S
from tests.tracking.building import new_store, template_database

ROOT = Path(deepcolor.__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
QUICKER = {
    "count=150": "count=30",
    '"batch_size": [8, 32]': '"batch_size": [16, 32]',
    '"batch_size": 8}': '"batch_size": 32}',
}
"""Pictures, and the steps taken with them: what is learnt does not matter here."""
COMPLETE = """
import json
trials = deepcolor.open_study("tutorial-regressor", workspace=here).trials().query("state == 'complete'")
print(json.dumps(dict(zip(trials["trial"].astype(str), trials["value"], strict=True))))
"""


@dataclass
class Said:
    """What the kernel said of one cell."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for name, content in self.messages if name == kind]

    @property
    def text(self) -> str:
        return "".join(content["text"] for content in self.of("stream"))


@dataclass
class Kernel:
    """A kernel in which the tutorial has been run, and its reader has pressed the stop button once."""

    notebook: nbformat.NotebookNode
    manager: AsyncKernelManager
    client: BlockingKernelClient = field(default_factory=BlockingKernelClient)
    stopped: Said = field(default_factory=Said)
    """The first sweep, stopped after its first trials."""
    kept: dict[str, float] = field(default_factory=dict)
    """The values of the trials that were complete then."""

    def run(self, code: str, *, interrupt_at: str = "") -> Said:
        """Run a cell to its end; interrupt the kernel once what the cell shows matches."""
        asked = self.client.execute(code)
        said = Said()
        while True:
            message = self.client.get_iopub_msg(timeout=WAIT_S)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            said.messages.append((kind, content))
            if interrupt_at and re.search(interrupt_at, shown(content)):
                interrupt_at = ""
                asyncio.run(self._interrupt())
            if kind == "status" and content["execution_state"] == "idle":
                return said

    async def _interrupt(self) -> None:
        await self.manager.interrupt_kernel()


def shown(content: dict[str, Any]) -> str:
    return str(content.get("data", {}).get("text/plain", ""))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """The tutorial, executed in a folder of its own, and its kernel."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "tutorial").mkdir()
    new_store(template_database(tmp_path_factory), folder / "tutorial")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    for slow, quick in QUICKER.items():
        (cell,) = (cell for cell in notebook.cells if slow in cell["source"])
        cell["source"] = cell["source"].replace(slow, quick)
    run = Kernel(notebook, forked_kernel())
    where = {"metadata": {"path": str(folder)}}
    runner = NotebookClient(notebook, km=run.manager, timeout=WAIT_S, resources=where, shutdown_kernel="immediate")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / ".ipython")}
    with runner.setup_kernel(env=environment, cleanup_kc=True):
        run.client.load_connection_info(run.manager.get_connection_info())
        run.client.start_channels()
        run.client.wait_for_ready(timeout=WAIT_S)
        try:
            for index, cell in enumerate(notebook.cells):
                if "deepcolor.sweep(regressor" in cell["source"]:
                    run.stopped = run.run(cell["source"], interrupt_at=r"\b[1-9]\d*/20 trials")
                    run.kept = json.loads(run.run(COMPLETE).text)
                runner.execute_cell(cell, index)
            yield run
        finally:
            run.client.stop_channels()
            shutil.rmtree(folder / "tutorial")


def test_the_tutorial_runs(kernel: Kernel) -> None:
    """Every cell runs, each figure is there to be seen, no error is told of, and the model is registered."""
    outputs = [output for cell in kernel.notebook.cells for output in cell.get("outputs", [])]
    errors = [output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stderr"]
    assert [line for text in errors for line in text.splitlines() if "error" in line.lower()] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6
    said = "\n".join(map(shown, outputs))
    assert "<data set faces: 30 pictures (24 train, 3 val, 3 test), 0 rejected>" in said
    assert "<cost of tutorial-regressor: 60 trials" in said
    assert "<promotion: colorizer@1 is " in said


def test_a_sweep_shows_itself_in_one_place(kernel: Kernel) -> None:
    """In the end a sweep has left one view, which says what it came to, and the study; no cell holds an escape code."""
    cells = [cell for cell in kernel.notebook.cells if "deepcolor.sweep(" in cell["source"]]
    for cell, total in zip(cells, (20, 5), strict=True):
        (view,) = [output["data"] for output in cell["outputs"] if output["output_type"] == "display_data"]
        for kind in ("text/html", "text/plain"):
            assert f"{total}/{total} trials" in view[kind]
            assert "best val/mse" in view[kind]
            assert "running" not in view[kind]
        (study,) = [output["data"] for output in cell["outputs"] if output["output_type"] == "execute_result"]
        assert study["text/html"].count("<tr") == 1 + total
    assert "\\u001b" not in nbformat.writes(kernel.notebook)


def test_the_stop_button_stops_a_sweep(kernel: Kernel) -> None:
    """Interrupted, a sweep finishes the epochs under way and saves them, and says in one line how it goes on; the same
    cell goes on, with every trial that was complete.
    """
    (error,) = kernel.stopped.of("error")
    assert error["ename"] == "Interrupted"
    stopped = r"Interrupted: stopped; \d+ trials? complete\. Resume with: the same call"
    (line,) = error["traceback"]
    assert re.fullmatch(stopped, line)
    assert "stopping: running segments finish their epoch and are saved" in kernel.stopped.text
    assert len(kernel.stopped.of("display_data")) == 1
    texts = list(map(shown, kernel.stopped.of("update_display_data")))
    assert any(re.search(r"trial \d+  epoch \d/2", text) for text in texts)
    assert not any("\x1b" in text for text in texts)
    assert kernel.kept
    complete = json.loads(kernel.run(COMPLETE).text)
    assert len(complete) == 20
    assert complete.items() >= kernel.kept.items()


def test_an_error_is_its_message(kernel: Kernel) -> None:
    """A slip in a sweep is shown as the command line shows it, without the way through deepcolor's own code."""
    said = kernel.run("deepcolor.sweep({**regressor, 'stage': 'regresor'}, workspace=here)")
    (error,) = said.of("error")
    (line,) = error["traceback"]
    assert line.startswith("ConfigError: stage: ")
    assert "regresor" in line


def test_a_bar_is_not_drawn_at_every_step(kernel: Kernel) -> None:
    """However many steps there are, a browser gets a message now and then; at the end nothing is left of the bar."""
    said = kernel.run(
        """
import deepcolor.notebook as notebook
often, notebook.REDRAW_EVERY_S = notebook.REDRAW_EVERY_S, 3600
with notebook.NotebookReporter().progress("looking") as tell:
    for done in range(1000):
        tell(done, 1000)
notebook.REDRAW_EVERY_S = often
"""
    )
    assert list(map(shown, said.of("display_data"))) == ["looking: 0 of 1000 pictures"]
    assert list(map(shown, said.of("update_display_data"))) == [""]


def test_the_tutorial_is_stored_without_outputs() -> None:
    """What it printed on the machine of whoever changed it last is not part of it."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
