from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deepcolor.training.advance import advance
from deepcolor.training.checkpoint import read_history
from deepcolor.training.system_metrics import SystemMetrics
from deepcolor.training.trajectory import TrajectoryPaths
from tests.processes import WAIT_S
from tests.training.conftest import Prepared

OF_A_CPU = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "worker_cpu_utilization_percentage",
    "worker_memory_usage_megabytes",
}
NVML = """
#include <string.h>
typedef struct { unsigned int gpu, memory; } Rates;
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = (void *)1;
    return strcmp(uuid, "GPU-aaaa") ? 6 : 0;
}
int nvmlDeviceGetUtilizationRates(void *device, Rates *rates) { rates->gpu = 87; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    memory->total = 80000000000ULL; memory->used = 20000000000ULL; return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) { *milliwatts = 350000; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned int *milliwatts) { return 3; }
"""
"""A driver of NVIDIA's as far as it is asked: it knows one GPU, which does not tell the limit of its power."""
SAMPLE = """
import json, sys
from deepcolor.training.system_metrics import SystemMetrics
both = [SystemMetrics(gpu_uuid=uuid, gpu=2, every_s=0).sample() for uuid in ("aaaa", "bbbb")]
print(json.dumps([{name: value for name, value in each.items() if name.startswith("gpu_")} for each in both]))
"""


def test_a_training_records_what_its_machine_has_to_do(prepared: Prepared, tmp_path: Path) -> None:
    """Where it is asked for, each epoch's record says how busy CPU and memory are; what is learned stays the same to
    the last bit, and a training that goes on keeps what was recorded.
    """
    plain = prepared.segment(tmp_path / "plain", to_epoch=2)
    sampled = replace(plain, store=tmp_path / "sampled", system_metrics_every_s=0.0)
    without, outcome = advance(plain), advance(sampled)
    assert [row.system for row in without.history] == [{}, {}]
    for row in outcome.history:
        assert row.system.keys() == OF_A_CPU
        assert all(
            0 <= value <= 100 for name, value in row.system.items() if name.startswith(("cpu", "system_memory_p"))
        )
        assert 0 < row.system["worker_memory_usage_megabytes"] < row.system["system_memory_usage_megabytes"] * 10
    paths = TrajectoryPaths(sampled.store, outcome.digest)
    assert outcome.digest == without.digest
    assert read_history(paths) == outcome.history
    assert paths.checkpoint(2).read_bytes() == TrajectoryPaths(plain.store, without.digest).checkpoint(2).read_bytes()
    assert [row.metrics for row in outcome.history] == [row.metrics for row in without.history]
    further = advance(replace(sampled, to_epoch=3, system_metrics_every_s=None))
    assert [bool(row.system) for row in further.history] == [True, True, False]


def test_samples_are_apart() -> None:
    """However fast epochs follow each other, the machine is looked at no more often than was asked for."""
    seldom = SystemMetrics(every_s=3600)
    assert [seldom.sample() for _ in range(3)] == [{}, {}, {}]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_gpu_is_known_by_its_uuid(tmp_path: Path) -> None:
    """The figures of a GPU are those of the one that the training was given, under the number that it knows it by. What
    it does not tell (the limit of its power) is left out, and a GPU that the driver does not know has none.
    """
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True, timeout=WAIT_S)
    done = subprocess.run(
        [sys.executable, "-c", SAMPLE],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    known, unknown = json.loads(done.stdout)
    assert known == {
        "gpu_2_utilization_percentage": 87.0,
        "gpu_2_memory_usage_megabytes": 20_000.0,
        "gpu_2_memory_usage_percentage": 25.0,
        "gpu_2_power_usage_watts": 350.0,
    }
    assert unknown == {}
