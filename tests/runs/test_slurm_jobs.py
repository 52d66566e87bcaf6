from __future__ import annotations

import dataclasses

import pytest

from avatarl.runs import liveness, slurm_jobs
from avatarl.runs.liveness import SlurmJob
from avatarl.runs.slurm_jobs import Job


def test_squeue_columns_are_read():
    widths = [width for _, width in slurm_jobs._FIELDS]
    rows = [
        ("12_0", "RUNNING", "2", "node[1-3]", "None", "13"),
        ("12_1", "PENDING", "0", "", "ReqNodeNotAvail, UnavailableNodes:node2", "12"),
    ]
    text = "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    found = slurm_jobs.parse_squeue(text)
    assert found["12_0"] == slurm_jobs.Job("12_0", "RUNNING", 2, "node[1-3]", "None", "13")
    assert found["12_1"].reason == "ReqNodeNotAvail, UnavailableNodes:node2"
    assert [job.active for job in found.values()] == [True, False]
    assert not any(job.over for job in found.values())


def test_where_there_is_no_slurm_nothing_is_claimed_about_jobs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert slurm_jobs.jobs(["1"], fresh=True) is None
    assert slurm_jobs.lives("1", 0) is None
    assert slurm_jobs.accounted(["1"]) == {}
    assert slurm_jobs.max_array_size() == 1000


@pytest.mark.parametrize(
    ("state", "active", "over"),
    [
        ("RUNNING", True, False), ("COMPLETING", True, False), ("SUSPENDED", True, False),
        ("STAGE_OUT", True, False), ("SIGNALING", True, False), ("PENDING", False, False),
        ("CONFIGURING", False, False), ("REQUEUED", False, False), ("REQUEUE_HOLD", False, False),
        ("SPECIAL_EXIT", False, False), ("POWER_UP_NODE", False, False),
        ("COMPLETED", False, True), ("PREEMPTED", False, True), ("DEADLINE", False, True),
        ("CANCELLED", False, True), ("LAUNCH_FAILED", False, True), ("NODE_FAIL", False, True),
        ("A_STATE_OF_NEXT_YEAR", True, False),
    ],
)  # fmt: skip
def test_what_a_state_says_of_a_jobs_processes(state, active, over):
    """In a state that nobody here knows they may exist: waiting is better than computing twice."""
    job = Job("1", state, 0, "", "")
    assert (job.active, job.over) == (active, over)


RUNNING = {
    "7_0": Job("7_0", "RUNNING", 0, "node1", "", "8"),
    "7_1": Job("7_1", "RUNNING", 2, "node2", "", "9"),
    "7_2": Job("7_2", "PENDING", 0, "", "JobArrayTaskLimit", "7"),
    "7_3": Job("7_3", "PENDING", 0, "", "JobArrayTaskLimit", "7"),
    "12": Job("12", "RUNNING", 0, "node1", "", "12"),
}


@pytest.mark.parametrize(
    ("job", "lives"),
    [
        (SlurmJob("7_0", 0, "", "8"), True),
        (SlurmJob("7_0", 0), True),  # noted by an earlier version
        (SlurmJob("7_1", 0, "", "9"), False),  # requeued since
        (SlurmJob("7_1", 2, "", "9"), True),
        (SlurmJob("7_2", 0, "", "10"), False),  # its number is gone: it waits again
        (SlurmJob("7_3", 0), False),
        (SlurmJob("99", 0, "", "99"), False),
        # In a job queued from within an array, which has left it its variables.
        (SlurmJob("3_4", 0, "", "12"), True),
        (SlurmJob("3_4", 5, "", "12"), True),
        (SlurmJob("12", 5, "", "12"), True),
    ],
)
def test_an_owners_job_is_known_by_its_own_number(job, lives, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "jobs", lambda ids, fresh=False: RUNNING)
    owner = dataclasses.replace(liveness.this_process(), host="elsewhere", slurm=job)
    assert liveness.lives(owner) is lives


def test_a_job_within_an_array_task_is_not_taken_for_that_task(monkeypatch):
    outer = {"SLURM_ARRAY_JOB_ID": "3", "SLURM_ARRAY_TASK_ID": "4", "SLURM_RESTART_COUNT": "1"}
    for name, value in {**outer, "SLURM_JOB_ID": "12"}.items():
        monkeypatch.setenv(name, value)
    mine = liveness.this_process().slurm
    assert mine == SlurmJob("3_4", 1, "", "12")
    assert not mine.follows(SlurmJob("3_4", 0, "", "5"))  # the outer job itself
    assert mine.follows(SlurmJob("12", 0, "", "12"))


def test_where_accounting_is_off_nothing_is_known_of_jobs_that_have_ended(monkeypatch):
    refused = (1, "", "Slurm accounting storage is disabled")
    monkeypatch.setattr(slurm_jobs, "_run", lambda command: refused)
    assert slurm_jobs.accounted(["7_0"]) == {}
    assert slurm_jobs.jobs(["7"], fresh=True) is None


def test_accounting_words_are_read(monkeypatch):
    told = "7_0|CANCELLED by 1000|node1|0:15\n7_1|OUT_OF_MEMORY|node2|0:125\n"
    monkeypatch.setattr(slurm_jobs, "_run", lambda command: (0, told, ""))
    found = slurm_jobs.accounted(["7_0", "7_1"])
    assert [job.state for job in found.values()] == ["CANCELLED", "OUT_OF_MEMORY"]
