"""Staying with a sweep whose jobs end without their runs; SLURM's answers are made up."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from rich.console import Console

from avatarl.cli import main
from avatarl.errors import UserError
from avatarl.files import read_json, write_json
from avatarl.runs import liveness, ownership, slurm_jobs
from avatarl.runs.liveness import SlurmJob
from avatarl.runs.state import RunState
from avatarl.sweep.failure import Fail, FailurePolicy, Retry, load
from avatarl.sweep.slurm import watch
from avatarl.sweep.survey import look_at


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


@dataclass
class Queue:
    """SLURM that has room for all at once."""

    add: Callable[..., object]
    left: int = 0

    def again(self):
        pass


def stay(plan, directory, policy, resubmit, patience_s=0.0):
    lines = io.StringIO()
    console = Console(file=lines, width=300)
    queue = Queue(resubmit)
    outcome = watch.stay(plan, directory, policy, 0.01, console, queue, patience_s)
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


@pytest.fixture
def twice(sweep):
    """The same two runs in a second array as well, 8_0 and 8_1."""
    plan, directory, states = sweep
    submit(directory, "8", plan.runs)
    return plan, directory, states


WORKS, WAITS = "RUNNING", "PENDING"


@pytest.mark.parametrize(
    ("first", "second", "job"),
    [
        (WORKS, "CANCELLED", "7_0"),
        ("CANCELLED", WORKS, "8_0"),
        (WAITS, "CANCELLED", "7_0"),
        ("NODE_FAIL", WAITS, "8_0"),
        (WAITS, WORKS, "8_0"),
        (WORKS, WAITS, "7_0"),
        ("A_STATE_OF_NEXT_YEAR", "CANCELLED", "7_0"),
    ],
)
def test_a_run_is_lost_only_when_all_its_jobs_are(twice, first, second, job):
    plan, directory, states = twice
    states.update({"7_0": first, "7_1": first, "8_0": second, "8_1": second})
    looks = []

    def done_later(watcher):
        looks.append(look_at(plan, directory))
        if len(looks) == 4:
            for run in plan.runs:
                write_json(run.path / "result.json", {"val/nats": 1.5})
        return looked(watcher)

    def resubmit(runs):
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        looked = watch._Watcher.look
        patch.setattr(watch._Watcher, "look", done_later)
        outcome, told = stay(plan, directory, TWICE, resubmit)
    assert {outcome.outcomes[run.id].state for run in plan.runs} == {"done"}
    assert "FAILED" not in told
    assert {(row.state, row.job_id) for row in looks[0].rows[:1]} == {(RunState.QUEUED, job)}


def test_when_all_its_jobs_are_over_the_one_that_had_the_run_is_named(twice):
    plan, directory, states = twice
    states.update({"7_0": "NODE_FAIL", "7_1": "NODE_FAIL", "8_0": "CANCELLED", "8_1": "CANCELLED"})
    me = liveness.this_process()
    worked = dataclasses.replace(me, host="elsewhere", slurm=SlurmJob("7_0", 0, "", "70"))
    ownership.claim(plan.runs[0].folder, worked)
    policy = load("keep_going", None, 0, 60)
    outcome, _ = stay(plan, directory, policy, lambda runs: None)
    reasons = [outcome.outcomes[run.id].reason for run in plan.runs]
    assert reasons == [
        "JobLost: job 7_0 ended as NODE_FAIL before the run did",
        "JobLost: job 8_1 was cancelled",
    ]


def test_a_run_is_shown_with_the_job_that_works_on_it(twice):
    plan, directory, states = twice
    states.update({"7_0": WORKS, "7_1": WAITS, "8_0": WORKS, "8_1": WORKS})
    me = liveness.this_process()
    for run, job in zip(plan.runs, ["7_0", "8_1"], strict=True):
        works = dataclasses.replace(me, host="elsewhere", slurm=SlurmJob(job, 0))
        ownership.claim(run.folder, works)
    rows = look_at(plan, directory).rows
    assert [(row.state, row.job_id) for row in rows] == [
        (RunState.RUNNING, "7_0"),
        (RunState.RUNNING, "8_1"),
    ]


@pytest.mark.parametrize("ended", ["CANCELLED", "NODE_FAIL"])
def test_watching_runs_that_were_left_does_not_end_well(sweep, capsys, ended):
    plan, directory, states = sweep
    states.update({"7_0": ended, "7_1": ended})
    write_json(plan.runs[0].path / "result.json", {"val/nats": 1.5})
    assert main(["watch", str(directory)]) == 1
    assert "1 interrupted" in capsys.readouterr().out
    write_json(plan.runs[1].path / "result.json", {"val/nats": 1.5})
    assert main(["watch", str(directory)]) == 0


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (
            "Traceback (most recent call last):\nRuntimeError: Waited for 60 seconds but could not "
            "find submitted jobs in path:\n/home/me/7_0_submitted.pkl\n",
            "RuntimeError: Waited for 60 seconds but could not find submitted jobs in path:",
        ),
        ("slurmstepd: error: oom-kill\nsrun: error: exit code 1\n", "slurmstepd: error: oom-kill"),
        ("bash: /no/python: No such file or directory\n", "bash: /no/python: No such file or "),
        ("", ""),
    ],
)
def test_of_a_lost_jobs_output_the_line_is_quoted_that_names_the_error(sweep, said, quoted):
    _, directory, _ = sweep
    log = directory / "slurm" / "7" / "submitit" / "7_0_0_log.err"
    log.parent.mkdir()
    log.write_text(said)
    told = watch._last_words(directory, "7_0")
    assert told.startswith(quoted)
    assert bool(told) == bool(quoted)


def test_what_slurm_had_no_room_for_is_tried_again_at_each_look_and_said_once(sweep):
    plan, directory, states = sweep
    states.update({"7_0": WAITS, "7_1": WAITS})

    class Full(Queue):
        tries = 0

        def again(self):
            self.tries += 1
            if self.tries == 5:
                for run in plan.runs:
                    write_json(run.path / "result.json", {"val/nats": 1.5})
            raise UserError("SLURM refused the jobs: for now")

    lines = io.StringIO()
    console = Console(file=lines, width=300)
    queue = Full(lambda runs: None)
    outcome = watch.stay(plan, directory, TWICE, 0.01, console, queue)
    assert outcome.exit_code == 0
    assert queue.tries >= 5
    assert lines.getvalue().count("SLURM refused the jobs: for now") == 1


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
