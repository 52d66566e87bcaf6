"""Handing packs to SLURM, which has room for some of them; SLURM's replies are recorded ones."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import pytest

from avatarl.cli import main
from avatarl.runs import liveness, slurm_jobs
from avatarl.runs.state import RunState
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm import queueing
from avatarl.sweep.slurm.queueing import Queue
from avatarl.sweep.slurm.sbatch import Refused
from avatarl.sweep.slurm.submission import Submission, submissions
from avatarl.sweep.survey import look_at
from tests.sweep.shipped import slurm as settings
from tests.waiting import wait_until

FULL = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"


@pytest.fixture
def plan(plan_of, tmp_path):
    plan = plan_of([{}] * 10, name="ten")
    plan.write(tmp_path / "outputs" / "sweeps" / "ten")
    return plan


@pytest.fixture
def queue(plan, slurm, told, tmp_path, monkeypatch):
    monkeypatch.setattr(queueing, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(queueing, "_LONGEST_PAUSE_S", 0.0)
    return Queue(
        tmp_path / "outputs" / "sweeps" / "ten", tmp_path, settings(runs_per_job=1), told.append
    )


@pytest.fixture
def told() -> list[str]:
    """What the queue has said."""
    return []


def ended():
    """A client that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return dataclasses.replace(liveness.this_process(), pid=process.pid)


def test_what_slurm_takes_at_once_is_noted(queue, plan, told):
    submission = queue.add(plan.runs)
    assert submission.jobs == tuple(f"1_{n}" for n in range(10))
    assert submission.packs == tuple((run.id,) for run in plan.runs)
    assert (queue.left, told) == (0, [])
    assert queue.add(plan.runs[:1]).jobs == ("2",)


@pytest.mark.parametrize(
    "complaint", [FULL, "sbatch: error: QOSMaxSubmitJobPerUserLimit", "sbatch: job submit limit"]
)
def test_what_slurm_has_no_room_for_is_told_and_queued_in_parts(
    queue, plan, slurm, told, complaint
):
    slurm.room(4)
    slurm.says(complaint)
    submission = queue.add(plan.runs)
    assert slurm.arrays() == [3, 0]  # of 10, 5, 3, then of 3, 2, 1
    assert submission.jobs == ("1_0", "1_1", "1_2", "2")
    assert queue.left == 6
    assert told[0].startswith("SLURM has no room for 10 jobs (")
    queue.again()
    assert queue.left == 6
    slurm.room(100)
    queue.again()
    assert queue.left == 0
    assert told[-1] == "SLURM has taken all jobs"
    assert slurm.arrays() == [3, 0, 6]
    [submission] = submissions(queue.sweep)
    assert submission.jobs[4:] == tuple(f"3_{n}" for n in range(6))
    # Each job works on the pack that it is noted with.
    scripts = {path.name for path in submission.directory.glob("submitit/*_submission.sh")}
    assert scripts == {"0_submission.sh", "3_submission.sh", "4_submission.sh"}
    last = (submission.directory / "submitit" / "4_submission.sh").read_text()
    assert "$((4 + SLURM_ARRAY_TASK_ID))" in last


def test_what_is_not_queued_yet_waits_and_is_nobodys_loss(queue, plan, slurm):
    slurm.room(0)
    slurm.says(FULL)
    queue.add(plan.runs)
    rows = look_at(plan, queue.sweep, fresh=True).rows
    assert {row.state for row in rows} == {RunState.QUEUED}
    assert {row.reason for row in rows} == {"its job isn't queued yet"}
    note = Submission.read(queue.sweep / "slurm" / "1")
    dataclasses.replace(note, client=ended()).write({})
    assert {row.state for row in look_at(plan, queue.sweep).rows} == {RunState.NEW}


def test_a_refusal_for_good_leaves_nothing_queued_or_written(queue, plan, slurm, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "max_array_size", lambda: 4)
    slurm.room(5)
    slurm.says("sbatch: error: Invalid account")
    with pytest.raises(Refused, match="SLURM refused the jobs: Invalid account"):
        queue.add(plan.runs)
    assert sorted(slurm.cancelled()) == [f"1_{n}" for n in range(4)]
    assert (queue.left, submissions(queue.sweep)) == (0, [])
    assert not (queue.sweep / "slurm").exists()


def test_a_launch_that_is_given_up_takes_its_jobs_back(queue, plan, slurm):
    with pytest.raises(KeyboardInterrupt), Rollback() as rollback:
        queue.add(plan.runs, rollback)
        raise KeyboardInterrupt
    assert len(slurm.cancelled()) == 10
    assert not (queue.sweep / "slurm").exists()


@pytest.mark.parametrize("noted", [[], ["1_0", "1_1", "1_2"]])
def test_jobs_of_a_client_that_ended_before_it_noted_them_are_found(
    queue, plan, slurm, noted, capsys, tmp_path
):
    queue.add(plan.runs)
    place = queue.sweep / "slurm" / "1"
    slurm.arrays()
    if noted:  # the array was taken in two parts
        (slurm.here / "jobs" / "1").write_text(json.dumps([3, str(place / "submitit" / "x")]))
        (slurm.here / "jobs" / "2").write_text(json.dumps([7, str(place / "submitit" / "x")]))
    (slurm.here / "jobs" / "8").write_text(json.dumps([2, "/another/sweep/of/that/name"]))
    before = Submission.read(place)
    dataclasses.replace(before, jobs=tuple(noted), client=ended()).write({})
    [found] = submissions(queue.sweep)
    expected = [f"2_{n}" for n in range(7)] if noted else [f"1_{n}" for n in range(10)]
    assert found.jobs == (*noted, *expected)


def test_a_job_that_was_heard_though_its_sbatch_was_ended_is_not_queued_twice(queue, plan, slurm):
    slurm.room(0)
    slurm.says(FULL)
    queue.add(plan.runs)
    output = str(queue.sweep / "slurm" / "1" / "submitit" / "%A_%a_0_log.out")
    (slurm.here / "jobs" / "1").write_text(json.dumps([10, output]))
    queue.again()
    assert queue.left == 0
    assert submissions(queue.sweep)[0].jobs == tuple(f"1_{n}" for n in range(10))
    assert slurm.arrays() == [10]


CLIENT = """
import sys
from avatarl.runs import slurm_jobs
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep import launch
from avatarl.sweep.slurm.backend import SlurmBackend
from avatarl.terminal import console
from pathlib import Path
from tests.sweep.shipped import shipped
sweep = Path(sys.argv[1])
plan = Plan.read(sweep)
launch.launch(SlurmBackend(shipped("slurm")), plan, sweep, console())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_client_that_is_ended_while_it_waits_for_room_leaves_nothing(queue, slurm, number):
    slurm.room(0)
    slurm.says(FULL)
    (queue.sweep / ".launches" / "1").mkdir(parents=True)  # an earlier launch's
    (queue.sweep / ".launches" / "1" / "plan.json").hardlink_to(queue.sweep / "plan.json")
    before = set(queue.sweep.parent.parent.rglob("*"))
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(queue.sweep)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert "SLURM has no room for 2 jobs" in client.stdout.readline()
        client.send_signal(number)
        assert client.wait() in (128 + number, -number)
    assert set(queue.sweep.parent.parent.rglob("*")) == before


def test_a_cancellation_ends_the_client_that_waits_for_room(queue, slurm, capsys, tmp_path):
    slurm.room(1)
    slurm.says(FULL)
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(queue.sweep)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        wait_until(lambda: slurm.arrays() == [0], "the first job")
        wait_until(lambda: submissions(queue.sweep)[0].jobs == ("1",), "its note")
        main(["cancel", "ten", "--output-dir", str(tmp_path / "outputs")])
        client.wait()
    assert f"asked process {client.pid} to stop" in capsys.readouterr().out
    assert (queue.sweep / "plan.json").exists()
