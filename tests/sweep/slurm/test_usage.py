"""What jobs asked for and what they used, from what their workers noted."""

from __future__ import annotations

import dataclasses
import json

import pytest

from avatarl.cli import main
from avatarl.process import consumed
from avatarl.runs import ownership, slurm_jobs
from avatarl.runs.folder import RunFolder
from avatarl.runs.liveness import SlurmJob
from avatarl.sweep.slurm.queueing import Queue
from avatarl.sweep.slurm.resources import Resources
from avatarl.sweep.slurm.usage import GIB, usage_of
from tests.sweep.shipped import slurm as settings
from tests.test_automation import check, tables

WANTED = {"runs_per_job": 2, "cpus_per_task": 8, "mem_gb": 16.0}


@pytest.fixture
def plan(plan_of, tmp_path):
    plan = plan_of([{}] * 4, name="s")
    plan.write(tmp_path / "outputs" / "sweeps" / "s")
    return plan


@pytest.fixture
def queued(plan, slurm, tmp_path):
    """Queues the plan; returns the sweep's folder."""

    def queue(**changes):
        sweep = tmp_path / "outputs" / "sweeps" / "s"
        wanted = settings(**{**WANTED, **changes})
        Queue(sweep, tmp_path, wanted, print, resources=Resources(plan.runs, wanted)).add(plan.runs)
        return sweep

    return queue


def note(run, job, began, ended, cpu_s, peak, pid=1, restarts=0):
    """What a worker leaves of one attempt at a run."""
    run.path.mkdir(parents=True, exist_ok=True)
    claim = ownership.claim(run.folder)
    slurm_job = SlurmJob(job, restarts, number=job)
    owner = dataclasses.replace(claim.owner, pid=pid, time=began, submission="s/1", slurm=slurm_job)
    owner = dataclasses.replace(owner, released=ended, cpu_s=cpu_s, peak_bytes=peak, outcome="done")
    run.folder.claim_file(claim.number).write_text(json.dumps(dataclasses.asdict(owner)))


def test_jobs_are_measured_by_their_workers(plan, queued):
    sweep = queued()
    one, two, three, four = plan.runs
    # Two workers side by side in the first job, one after another run in the second.
    note(one, "11", 1000.0, 1600.0, 500.0, 1 * GIB, pid=1)
    note(two, "11", 1000.0, 1900.0, 800.0, 2 * GIB, pid=2)
    note(three, "12", 1000.0, 1100.0, 90.0, 1 * GIB, pid=3)
    note(four, "12", 1100.0, 1300.0, 290.0, 1 * GIB, pid=3)  # of its whole life, as by then
    [usage] = usage_of(plan, sweep)
    assert [(job.time_s, job.cpu_s, job.memory) for job in usage.jobs] == [
        (900.0, 1300.0, 3 * GIB),
        (300.0, 290.0, 1 * GIB),
    ]
    assert usage.cores == pytest.approx(1590 / 1200)
    # 1.5 x 15 min in steps of 5, 1.1 x 1.3 cores, 1.25 x 3 GiB.
    assert usage.suggested() == {"timeout_min": 25, "cpus_per_task": 2, "mem_gb": 4}


def test_what_fits_is_left(plan, queued):
    sweep = queued(timeout_min=30, cpus_per_task=2, mem_gb=5)
    note(plan.runs[0], "11", 0.0, 1000.0, 1600.0, 4 * GIB)
    [usage] = usage_of(plan, sweep)
    assert usage.suggested() == {}
    assert [line.rsplit("  ", 1)[-1] for line in usage.lines()[1:]] == ["fits"] * 3


@pytest.mark.parametrize(
    ("changes", "asked", "suggested"),
    [
        ({"mem_gb": None}, None, 5),
        ({"mem_gb": 4.2}, 4.2, 5),  # as good as full
        ({"mem_gb": None, "mem_per_cpu": "2G"}, 16, 5),
        ({"mem_gb": None, "mem_per_cpu": "700"}, 8 * 700 / 1024, None),
    ],
)
def test_memory_is_compared_however_it_was_asked_for(plan, queued, changes, asked, suggested):
    sweep = queued(**changes)
    note(plan.runs[0], "11", 0.0, 1000.0, 1600.0, 4 * GIB)
    [usage] = usage_of(plan, sweep)
    assert usage.asked_memory == (None if asked is None else pytest.approx(asked * GIB))
    assert usage.suggested().get("mem_gb") == suggested


def test_each_start_and_each_kind_counts_by_itself(plan, queued):
    large = {"seed == 3": {"mem_gb": 64.0}}
    sweep = queued(resources=large)
    note(plan.runs[0], "11", 0.0, 60.0, 30.0, GIB)
    note(plan.runs[0], "11", 500.0, 540.0, 30.0, GIB, restarts=1)  # requeued meanwhile
    note(plan.runs[3], "12", 0.0, 60.0, 30.0, 20 * GIB)
    usual, other = usage_of(plan, sweep)
    assert [job.time_s for job in usual.jobs] == [60.0, 40.0]
    assert (other.conditions, other.asked_memory) == (("seed == 3",), 64 * GIB)
    assert other.lines()[0] == "asked and used by 1 job of seed == 3"


def test_accounting_counts_where_it_knows_more(plan, queued, slurm):
    sweep = queued()
    note(plan.runs[0], "11", 0.0, 60.0, 30.0, GIB)
    told = "11|00:02:00|01:30.500|\\n11.batch|00:02:00|00:00.1|9000K\\n11.0|00:01:58|01:30.400|3.5G"
    program = slurm.here / "bin" / "sacct"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n".replace("\\\\", "\\"))
    program.chmod(0o755)
    assert slurm_jobs.used(["11"]) == {"11": (120.0, 90.5, round(3.5 * GIB))}
    [usage] = usage_of(plan, sweep)
    assert dataclasses.astuple(usage.jobs[0]) == (120.0, 90.5, round(3.5 * GIB))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:03:04", 93784.0), ("02:03.5", 123.5), ("00:00:01", 1.0), ("", 0.0), ("Unknown", 0.0)],
)
def test_times_of_accounting_are_read(text, seconds):
    assert slurm_jobs._seconds(text) == seconds


def test_status_tells_it_for_people_and_for_programs(plan, queued, capsys):
    sweep = queued()
    words = ["status", str(sweep), "--usage"]
    assert main(words) == 0
    assert "no job has measured itself yet" in capsys.readouterr().out
    note(plan.runs[0], "11", 0.0, 90.0, 100.0, GIB)
    assert main(words) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "asked and used by 1 job"
    assert rows[0].split() == [
        "time", "240", "min", "1.5", "min", "at", "most,", "1.5", "min", "in", "the", "median",
        "next:", "hydra.launcher.timeout_min=15",
    ]  # fmt: skip
    assert main([*words, "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    check(json.loads(line), *tables("Usage"))


def test_a_worker_notes_what_it_has_used_as_it_gives_a_run_back(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    before, _ = consumed()
    ownership.claim(folder).release("done")
    [owner] = ownership.history(folder)
    after, peak = consumed()
    assert before <= owner.cpu_s <= after
    assert 0 < owner.peak_bytes <= peak
