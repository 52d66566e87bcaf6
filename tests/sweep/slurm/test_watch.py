"""Staying with a sweep whose jobs end without their runs; SLURM's answers are made up."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from avatarl.errors import UserError
from avatarl.files import read_json, write_json
from avatarl.runs import slurm_jobs
from avatarl.sweep.failure import Fail, FailurePolicy, Retry, load
from avatarl.sweep.slurm import watch


@dataclass(frozen=True)
class Twice(FailurePolicy):
    """Tries again at once, one time."""

    def decide(self, faults):
        return Retry(0.0) if len(faults) < 2 else Fail(f"enough of {faults[-1].reason}")


TWICE = Twice(None, 2, 60)


@pytest.fixture
def sweep(plan_of, tmp_path, monkeypatch):
    """Two runs queued as jobs 7_0 and 7_1, which have ended without a trace in their folders."""
    plan = plan_of([{}, {}], name="lost")
    directory = tmp_path / "outputs" / "sweeps" / "lost"
    plan.write(directory)
    submit(directory, "7", plan.runs)
    states = {}

    def jobs(ids, fresh=False):
        return {
            job: slurm_jobs.Job(job, states[job], 0, "node1", "")
            for job in states
            if job.split("_")[0] in {wanted.split("_")[0] for wanted in ids}
        }

    monkeypatch.setattr(slurm_jobs, "jobs", jobs)
    monkeypatch.setattr(slurm_jobs, "accounted", lambda ids: jobs(ids))
    states |= {"7_0": "NODE_FAIL", "7_1": "NODE_FAIL"}
    return plan, directory, states


def submit(directory, job, runs):
    place = directory / "slurm" / job
    content = {"jobs": [f"{job}_{n}" for n in range(len(runs))], "code": "", "created": 0.0}
    write_json(place / "submission.json", {**content, "packs": [[run.id] for run in runs]})


def stay(plan, directory, policy, resubmit, patience_s=0.0):
    lines = io.StringIO()
    console = Console(file=lines, width=300)
    outcome = watch.stay(plan, directory, policy, 0.01, console, resubmit, patience_s)
    return outcome, lines.getvalue()


def test_the_policy_decides_on_runs_that_lost_their_job(sweep):
    plan, directory, states = sweep
    asked = []

    def resubmit(runs):
        asked.append([run.id for run in runs])
        write_json(plan.runs[0].path / "result.json", {"val/nats": 1.5})
        submit(directory, "8", plan.runs)
        states.update({"8_0": "COMPLETED", "8_1": "OUT_OF_MEMORY"})

    outcome, told = stay(plan, directory, TWICE, resubmit)
    assert asked == [[run.id for run in plan.runs]]
    assert [outcome.outcomes[run.id].state for run in plan.runs] == ["done", "failed"]
    reason = "enough of JobLost: job 8_1 ended as OUT_OF_MEMORY before the run did"
    assert read_json(plan.runs[1].path / "failure.json")["error"] == reason
    assert "again  seed=0: job 7_0 ended as NODE_FAIL" in told
    assert f"[2/2] FAILED seed=1: {reason}" in told
    assert (outcome.exit_code, outcome.complete) == (1, True)


@pytest.mark.parametrize("name", ["keep_going", "fail_fast"])
def test_a_cancelled_job_is_not_replaced(sweep, name):
    plan, directory, states = sweep
    states.update({"7_0": "CANCELLED", "7_1": "CANCELLED"})

    def resubmit(runs):
        raise AssertionError

    outcome, _ = stay(plan, directory, load(name, None, 2, 60), resubmit)
    for number, run in enumerate(plan.runs):
        assert outcome.outcomes[run.id].state == "failed"
        assert outcome.outcomes[run.id].reason == f"JobLost: job 7_{number} was cancelled"


def test_runs_that_slurm_refuses_are_lost_again_until_the_policy_has_enough(sweep):
    plan, directory, _ = sweep

    def resubmit(runs):
        raise UserError("SLURM refused the jobs: no room")

    outcome, told = stay(plan, directory, TWICE, resubmit)
    assert told.count("wait   SLURM refused the jobs: no room") == 1
    assert [outcome.outcomes[run.id].state for run in plan.runs] == ["failed", "failed"]


def test_a_sweep_that_stops_leaves_its_other_runs(sweep):
    plan, directory, states = sweep
    run = plan.runs[0]

    def resubmit(runs):
        raise AssertionError

    states["7_1"] = "PENDING"

    @dataclass(frozen=True)
    class First(FailurePolicy):
        def decide(self, faults):
            states["7_1"] = "COMPLETED"  # the job stops by itself
            return Fail("first")

        def stops_sweep(self, failures):
            return failures > 0

    outcome, _ = stay(plan, directory, First(None, 0, 60), resubmit)
    assert outcome.outcomes[run.id].reason == "first"
    assert outcome.outcomes[plan.runs[1].id].state == "interrupted"


@pytest.mark.parametrize("what", ["outputs", "sweep", "slurm", "run"])
def test_nothing_is_decided_or_queued_again_while_files_cannot_be_seen(
    sweep, tmp_path, monkeypatch, what
):
    plan, directory, states = sweep
    states.update({"7_0": "RUNNING", "7_1": "RUNNING"})
    for run in plan.runs:
        write_json(run.path / "progress.json", {"state": "running", "step": 1, "steps": 2})
    places = {
        "outputs": tmp_path / "outputs",
        "sweep": directory,
        "slurm": directory / "slurm",
        "run": plan.runs[0].path,
    }
    place, looks = places[what], []
    watched = watch._Watcher.look

    def look(watcher):
        looks.append(1)
        if len(looks) == 2:
            place.rename(tmp_path / "away")
            states.update({"7_0": "NODE_FAIL", "7_1": "NODE_FAIL"})
        if len(looks) == 5:
            assert not place.exists()
            (tmp_path / "away").rename(place)
            for run in plan.runs:
                write_json(run.path / "result.json", {"val/nats": 1.5})
        return watched(watcher)

    def resubmit(runs):
        raise AssertionError

    monkeypatch.setattr(watch._Watcher, "look", look)
    outcome, told = stay(plan, directory, TWICE, resubmit, patience_s=60)
    assert {outcome.outcomes[run.id].state for run in plan.runs} == {"done"}
    assert told.count("is gone: waiting up to 60 s") == 1
    assert told.count("storage is back") == 1


def test_a_client_that_cannot_see_files_for_too_long_leaves_the_jobs_alone(sweep, monkeypatch):
    plan, directory, _ = sweep
    calls = []

    def look_at(*arguments, **options):
        calls.append(1)
        raise OSError(5, "Input/output error")

    def resubmit(runs):
        raise AssertionError

    monkeypatch.setattr(watch, "look_at", look_at)
    outcome, told = stay(plan, directory, TWICE, resubmit, patience_s=0.6)
    assert len(calls) > 1
    assert (outcome.exit_code, outcome.complete) == (1, False)
    assert "The jobs go on" in told
