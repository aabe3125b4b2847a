"""Segments in jobs of SLURM's: real ones, on a cluster of the tests' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepcolor import scratch
from deepcolor.app.how import How, cluster_at
from deepcolor.errors import UserError
from deepcolor.execution import site as slurm_site
from deepcolor.execution.executor import Failed, Finished, Progress
from deepcolor.execution.profile import SlurmProfile, find_profile, read_profile
from deepcolor.execution.slurm import SlurmExecutor
from deepcolor.execution.squeue import Seen, standing
from deepcolor.fields.refusal import Refusal
from deepcolor.workspace import Workspace
from tests.execution.runs import run
from tests.execution.test_executors import outcomes, segment
from tests.reliability.processes import wait_until
from tests.slurm import Slurm

ROOT = Path(__file__).parents[2]


@pytest.fixture
def slurm(slurm_cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The cluster, found by this process; nothing is left on it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # The jobs' workers import what they run.
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    slurm_cluster.rest()


@pytest.fixture
def heard() -> list[str]:
    """What executors have told."""
    return []


@pytest.fixture
def start(slurm: Slurm, tmp_path: Path, heard: list[str]) -> Iterator[Callable[..., SlurmExecutor]]:
    """Makes executors, which are closed in the end."""
    made: list[SlurmExecutor] = []

    def make(**profile: Any) -> SlurmExecutor:
        described = SlurmProfile.model_validate({"time": "10", "look_s": 1, "idle_s": 1, **profile})
        made.append(SlurmExecutor(run, profile=described, workspace=Workspace.at(tmp_path), say=heard.append))
        return made[-1]

    yield make
    for each in made:
        each.close()


def living(slurm: Slurm) -> dict[str, str]:
    return slurm.jobs("PENDING", "RUNNING", "CONFIGURING", name="deepcolor")


def test_what_is_ended_from_outside_is_not_held_against_a_segment(
    slurm: Slurm, start: Callable[..., SlurmExecutor], heard: list[str], tmp_path: Path
) -> None:
    """A job is killed while it runs a segment that has lost workers before, all in that job: the segment goes on in
    another one. A job without work is given back; closing leaves none, and no certificate or log.
    """
    executor = start(max_jobs=1, processes=1)
    executor.submit(segment(tmp_path, epochs=77, lr=0.5))
    trains = tmp_path / "trains-0.5"
    wait_until(trains.exists, f"a job trains: {slurm.jobs()} {executor.standing}")
    (first,) = living(slurm)
    (mark,) = (file for file in (tmp_path / "studies" / ".segments").glob("*/marks-*/*/*-e0"))
    assert mark.read_text() == first
    for number in (1, 2, 3):  # As if it had lost them before: one too many.
        (mark.parent / f"{number}-00000000-e0").write_text(first)
    slurm.ask("scancel", "--signal=KILL", "--full", first)
    wait_until(lambda: first not in slurm.jobs("RUNNING", "COMPLETING"), "the job is gone")
    trains.unlink()
    wait_until(trains.exists, f"another job trains: {slurm.jobs()} {executor.standing}")
    (second,) = living(slurm)
    assert second != first
    assert executor.standing == "slurm: 1 job running"

    told = f"slurm: job {first} was ended (cancelled); what it was training goes on in another one."
    wait_until(lambda: not executor.events(0.1) and told in heard, f"it is told: {heard}")

    (tmp_path / "stop-0.5").touch()
    (event,) = (event for event in outcomes(executor, 1) if not isinstance(event, Progress))
    assert isinstance(event, Finished), event
    wait_until(lambda: not living(slurm), "the job is given back")
    executor.submit(segment(tmp_path, epochs=77, lr=0.25))
    wait_until(lambda: bool(living(slurm)), "another one is submitted")
    executor.close()
    assert not living(slurm)
    assert not list((tmp_path / "studies" / ".segments").glob("*/marks-*"))


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            {"prologue": ["echo module: command not found", "exit 3"]},
            "3 jobs in a row ended before a worker came; job ",
        ),
        ({"partition": "short"}, "sbatch must take the jobs of the cluster's profile; got: invalid partition"),
    ],
)
def test_jobs_that_never_work_end_the_sweep(
    profile: dict[str, Any], said: str, start: Callable[..., SlurmExecutor], tmp_path: Path
) -> None:
    """Where no job brings a worker, or none is taken, the segment fails in one line, which says what to correct and
    does not blame the setting.
    """
    executor = start(**profile)
    executor.submit(segment(tmp_path, epochs=1, lr=0.5))
    failed = outcomes(executor, 1)[-1]
    assert isinstance(failed, Failed)
    assert failed.store_failed
    assert said in failed.reason
    assert "\n" not in failed.reason
    if "prologue" in profile:
        assert "module: command not found (" in failed.reason


def test_secrets_and_the_driver_s_own_job_are_not_passed_on(
    slurm: Slurm, start: Callable[..., SlurmExecutor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job gets neither the passwords of its driver's environment nor what that says of the driver's own job, nor the
    driver's own folder for temporary files; and all that a profile asks for stands in its script.
    """
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    monkeypatch.setitem(scratch._before, "TMPDIR", "/before")
    monkeypatch.setenv("SLURM_NTASKS", "17")
    wrote = tmp_path / "environment"
    executor = start(
        max_jobs=1, cpus=2, processes=1, memory="100M", directives=["--comment=here"], scratch="$TMPDIR",
        prologue=[f"env > {wrote}.part; mv {wrote}.part {wrote}; sleep 600"],
    )  # fmt: skip
    executor.submit(segment(tmp_path, epochs=1, lr=0.5))
    wait_until(wrote.exists, f"the job has begun: {slurm.jobs()} {executor.standing}")
    environment = dict(line.partition("=")[::2] for line in wrote.read_text().splitlines())
    assert "PGPASSWORD" not in environment
    assert environment["SLURM_NTASKS"] == "1"
    assert environment["TMPDIR"] == "/before"
    (job,) = living(slurm)
    script = slurm.script(job)
    for line in ("#SBATCH --mem=100M", "#SBATCH --cpus-per-task=2", "#SBATCH --comment=here", "#SBATCH --no-requeue"):
        assert line in script
    assert "--signal=B:TERM@120" in script
    assert "--slots 1 --threads 2" in script
    assert "--scratch '$TMPDIR'" in script
    assert "BEGIN" not in script


def test_what_slurm_needs_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, or on a machine without SLURM's commands, one line says what to install or where to go."""
    how = How(Workspace.at(tmp_path), "", cluster=SlurmProfile.model_validate({"time": 60}))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm_site, "find_spec", lambda _: True)
    with pytest.raises(UserError, match="got no sbatch, squeue, scancel on the PATH"):
        how.make_executor()
    monkeypatch.setattr(slurm_site, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=re.escape("pip install 'deepcolor[slurm]'")):
        how.make_executor()
    with pytest.raises(UserError, match="--executor: slurm needs the profile of a site"):
        How(Workspace.at(tmp_path), "", executor="slurm").make_executor()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partition: gpu", "time: is required"),
        ("time: 4h", "time: must be a time limit of SLURM's; got '4h'"),
        ("time: 0:30", "time: must be at least a minute"),
        ("{time: 60, max_job: 3}", "max_job: unknown key"),
        ("{time: 60, min_jobs: 3}", "min_jobs: must be at most max_jobs, which is 1; got 3"),
        ("{time: 60, memory: 16 GB}", "memory: must be a word that sbatch can take; got '16 GB'"),
        ("{time: 60, partition: 'gpu; rm -rf /'}", "partition: must be a word"),
        ("{time: 60, directives: [qos=long]}", "directives: must be an option of sbatch; got 'qos=long'"),
        ("{time: 60, driver: {tme: 60}}", "driver.tme: unknown key (PATH). Did you mean time?"),
        ("{time: 2, leave_s: 115}", "time: must leave time to train in"),
        ("[1]", "must be a mapping of keys and values"),
    ],
)
def test_a_wrong_profile_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    """The line names the key, what it must be and the file; unknown keys get the nearest name."""
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(said.replace("PATH", str(path)))) as refused:
        read_profile(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_profile_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`slurm` and `slurm:NAME` are files in the folder of the user's settings; an address has no profile."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "deepcolor").mkdir()
    (tmp_path / "deepcolor" / "slurm.yaml").write_text("{time: 60, gpus: a100:2, cpus: 16, max_jobs: 3}")
    (tmp_path / "deepcolor" / "cpu.yaml").write_text("{time: 1-0, cpus: 4}")
    found = find_profile("slurm", file=None)
    assert (found.slots_a_job, found.threads, found.gpus_a_job, found.lifetime_s) == (2, 8, 2, 3600 - 120)
    how = How(Workspace.at(tmp_path), "", cluster=cluster_at("slurm"))
    assert (how.kind, how.slots().workers, len(how.slots().devices)) == ("slurm", 6, 6)
    named = cluster_at("slurm:cpu")
    assert isinstance(named, SlurmProfile)
    assert (named.slots_a_job, named.threads, named.lifetime_s) == (4, 1, 86400 - 120)
    for wrong, said in (("slurm:a b", "a profile's name must be"), ("slurm:none", "got none at")):
        with pytest.raises(UserError, match=said):
            cluster_at(wrong)
    with pytest.raises(UserError, match="must be given with --cluster slurm"):
        cluster_at("tcp://login1:8786", profile=tmp_path / "site.yaml")
    with pytest.raises(UserError, match="--workers: must be said where the workers are started; got 2 with --cluster"):
        _ = How(Workspace.at(tmp_path), "", workers=2, cluster=named).kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("1:30", 90), ("2:00:00", 7200), ("1-12", 129600), ("1-0:30", 88200), ("2-1:00:05", 176405)],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    """Minutes, minutes and seconds, hours, and days in all of SLURM's forms."""
    from deepcolor.execution.profile import time_s

    assert time_s(text) == seconds
    with pytest.raises(Refusal):
        time_s(f"{text}:")


def test_what_jobs_wait_for_is_said_in_words() -> None:
    """How many run, how many wait, why and for how long; SLURM's own reason is kept."""
    jobs = [Seen("RUNNING"), Seen("PENDING", "Priority"), Seen("PENDING", "QOSMaxJobsPerUserLimit"), Seen("PENDING")]
    said = standing(jobs, waited_s=4320, refused="")
    assert said.startswith("1 job running, 3 waiting (")
    assert "others come first: Priority; at a limit of the site's: QOSMaxJobsPerUserLimit" in said
    assert said.endswith("1 h 12 min so far")
    drained = "ReqNodeNotAvail, UnavailableNodes:n1"
    reserved = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    for reason in (drained, reserved):
        assert "(nodes are drained or down: " in standing([Seen("PENDING", reason)], waited_s=1)
    assert standing([], waited_s=0) == ""
    assert "no more taken: job submit limit" in standing([Seen("RUNNING")], waited_s=0, refused="job submit limit")
    assert [Seen(state).phase for state in ("CONFIGURING", "SUSPENDED", "COMPLETING")] == ["waits", "runs", "ends"]
