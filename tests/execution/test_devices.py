from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepcolor.app.how import How
from deepcolor.errors import UserError
from deepcolor.execution import devices
from deepcolor.execution.devices import Gpus, cores, cut, gpus_for, make_executor, on_gpu, slots, usable_by_torch
from deepcolor.execution.post import posts
from deepcolor.workspace import Workspace
from tests.reliability.processes import start_call
from tests.reporting import Heard

NONE, TWO, BROKEN = Gpus(listed=False, usable=0), Gpus(listed=True, usable=2), Gpus(listed=True, usable=0)


@pytest.mark.parametrize(
    ("device", "workers", "gpus", "expected"),
    [
        ("auto", None, NONE, (8, 1, ())),
        ("auto", None, TWO, (2, 4, ("cuda:0", "cuda:1"))),
        ("auto", None, BROKEN, (8, 1, ())),
        ("auto", 3, TWO, (3, 2, ("cuda:0", "cuda:1", "cuda:0"))),
        ("cpu", None, TWO, (8, 1, ())),
        ("cpu", 3, TWO, (3, 2, ())),
        ("cuda", None, TWO, (2, 4, ("cuda:0", "cuda:1"))),
        ("cuda:1", None, TWO, (1, 8, ("cuda:1",))),
        ("cuda:1", 2, TWO, (2, 4, ("cuda:1", "cuda:1"))),
        ("cuda:0", None, TWO, (1, 8, ("cuda:0",))),
    ],
)
def test_a_machine_is_cut_as_asked(
    device: str, workers: int | None, gpus: Gpus, expected: tuple[int, int, tuple[str, ...]]
) -> None:
    """One worker per GPU that torch can use, or one per core; a named GPU is one slot unless more are asked for."""
    made = cut(device, workers=workers, cores=8, gpus=gpus)
    assert (made.workers, made.threads, made.devices) == expected


def test_several_trainings_share_a_gpu_where_asked() -> None:
    """`--slots-per-gpu 2` puts two on each, or on the one that is named; on the CPU there is nothing to share. Together
    with `--workers` it would be said twice.
    """
    both = cut("auto", workers=None, cores=8, gpus=TWO, slots_per_gpu=2)
    assert (both.workers, both.threads, both.devices) == (4, 2, ("cuda:0", "cuda:1", "cuda:0", "cuda:1"))
    assert cut("cuda:1", workers=None, cores=8, gpus=TWO, slots_per_gpu=2).devices == ("cuda:1", "cuda:1")
    assert cut("auto", workers=None, cores=8, gpus=NONE, slots_per_gpu=2).workers == 8
    for workers, share in ((3, 2), (None, 0)):
        with pytest.raises(UserError, match="--slots-per-gpu: must be"):
            cut("auto", workers=workers, cores=8, gpus=TWO, slots_per_gpu=share)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, {"CUDA_VISIBLE_DEVICES": "3"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f1c, GPU-77aa"}, {"CUDA_VISIBLE_DEVICES": "GPU-77aa"}),
        ({"HIP_VISIBLE_DEVICES": "4,6"}, {"HIP_VISIBLE_DEVICES": "6"}),
    ],
)
def test_a_worker_is_shown_its_gpu_alone(environment: dict[str, str], expected: dict[str, str]) -> None:
    """What this process may see stays the limit, by index or by UUID: the second GPU is the second of those."""
    first, second = posts(workers=2, threads=1, devices=("cuda:0", "cuda:1"), environment=environment)
    assert (second.environment, second.device, second.label) == (expected, "cuda:0", "cuda:1")
    assert first.environment != second.environment
    (alone,) = posts(workers=1, threads=1, devices=("cuda:1",), environment=environment)
    assert alone.environment == expected
    (on_cpu,) = posts(workers=1, threads=1, devices=(), environment=environment)
    assert (on_cpu.environment, on_cpu.device) == ({}, None)


@pytest.mark.parametrize(("device", "gpus"), [("cuda:2", TWO), ("cuda", BROKEN), ("cuda:0", NONE)])
def test_a_gpu_that_torch_cannot_use_is_refused_before_anything_starts(device: str, gpus: Gpus) -> None:
    """If it is asked for by name, that is the user's mistake, not every trial's."""
    with pytest.raises(UserError, match=rf"got {device}, and torch sees {gpus.usable} GPUs"):
        cut(device, workers=None, cores=8, gpus=gpus)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cuda:1234"])
@pytest.mark.parametrize("kind", ["serial", "local"])
def test_unknown_devices_are_refused_by_every_executor(device: str, kind: str) -> None:
    """The message names the allowed ones."""
    with pytest.raises(UserError, match="auto, cpu, cuda or cuda:N"):
        make_executor(kind, workers=None, device=device)


def ask_torch() -> None:
    print(torch.cuda.is_available(), flush=True)


def test_a_gpu_without_a_torch_that_can_use_it_leaves_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system lists one, but torch (the real one, asked in a process of its own) sees none: one line says so."""
    if start_call(ask_torch, folder=tmp_path).ends(0) == "True\n":
        pytest.skip("torch can use a GPU here")
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(devices, "_SIGNS_OF_A_GPU", (tmp_path / "gpus",))
    usable_by_torch.cache_clear()
    assert gpus_for("auto") == BROKEN
    assert slots(workers=None, device="auto").devices == ()
    assert not on_gpu("auto")
    reporter = Heard()
    How(Workspace.at(tmp_path), "", reporter=reporter).make_executor().close()
    (line,) = reporter.warnings
    assert "torch cannot use" in line
    with pytest.raises(UserError, match="torch sees 0 GPUs"):
        How(Workspace.at(tmp_path), "", executor="serial", device="cuda:0").make_executor()


def test_a_job_uses_no_more_cores_than_it_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM says how many, and does not always bind a job to them; it never adds any to what the process may use."""
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    all_of_them = cores()
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4096")
    assert cores() == all_of_them
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cores() == 1


def test_without_a_sign_of_a_gpu_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch takes seconds: what the system lists shows that a machine has no GPU."""
    monkeypatch.setattr(devices, "_SIGNS_OF_A_GPU", ())
    monkeypatch.setattr(devices, "usable_by_torch", lambda: pytest.fail("torch was asked"))
    assert gpus_for("auto") == NONE
    assert slots(workers=None, device="auto").note == ""
