"""A search whose jobs ask what is next, on a real cluster."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys

import psutil
from conftest import ROOT, metrics_of, slurm

from avatarl.files import read_checked
from avatarl.runs import liveness, ownership
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.slurm.submission import submissions
from tests.search.replay import check_sweep

# The slice that steers a search is cut off the training text: so it is for those compared with it.
SEARCH = [
    "search=asha", "trainer.eval_every=10", "trainer.eval_positions=64", "trainer.eval_dev=true",
]  # fmt: skip


def entries(sweep):
    return len(list((sweep.sweep / ".decisions").glob("*.json")))


def test_jobs_share_a_search_through_a_requeue_and_a_kill(sweep, tmp_path):
    sweep.steps, sweep.seeds = 90, 9
    slowly = {"AVATARL_TEST_PAUSE_S": "0.1"}
    client = sweep.start(*SEARCH, "hydra.launcher.runs_per_job=4", environment=slowly)
    sweep.wait_for(lambda: entries(sweep) > 2, what="a few decisions")
    slurm("scontrol", "requeue", sweep.jobs()[0])
    sweep.wait_for(lambda: entries(sweep) > 12, what="a dozen decisions")
    owners = [ownership.current_owner(run.folder) for run in sweep.runs().values()]
    working = [owner for owner in owners if owner is not None and owner.released is None]
    if working:
        os.kill(working[0].pid, signal.SIGKILL)
    code, out = sweep.finish(client)
    assert code == 0, out + sweep.tail()
    assert check_sweep(sweep.sweep) >= 9
    events = [json.loads(line) for line in (sweep.sweep / "decisions.jsonl").open()]
    assert len({event["entry"] for event in events}) == events[-1]["entry"] == entries(sweep)
    states = [status_of(run.folder).state for run in sweep.runs().values()]
    assert set(states) == {RunState.DONE, RunState.PAUSED}
    for run in sweep.runs().values():
        outcomes = [owner.outcome for owner in ownership.history(run.folder)]
        assert outcomes.count("done") == (status_of(run.folder).state is RunState.DONE)
        assert not liveness.lives(ownership.current_owner(run.folder))
    done = {seed: run for seed, run in sweep.runs().items() if run.folder.read_result()}

    alone = type(sweep)(tmp_path / "alone", sweep.steps, sweep.seeds)
    code, out = alone.finish(alone.start(*SEARCH[1:], launcher="local"))
    assert code == 0, out
    undisturbed = alone.metrics()
    assert done
    for seed, run in done.items():
        assert metrics_of(run.path) == undisturbed[seed]


SPACE = ["hydra/sweeper=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "search.rungs=[0.25]"]


def test_jobs_get_the_next_proposal_while_other_runs_go_on(sweep):
    sweep.steps, sweep.seeds = 40, 1
    words = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=8", "hydra.launcher.runs_per_job=4"]
    code, out = sweep.finish(sweep.start(*words))
    assert code == 0, out + sweep.tail()
    runs = Plan.read(sweep.sweep).runs
    assert len(runs) == 8
    assert check_sweep(sweep.sweep) >= 8
    states = [status_of(run.folder).state for run in runs]
    assert set(states) == {RunState.DONE, RunState.PAUSED}
    assert "Best of 8 trials" in out
    assert "[1/8] done" in out
    assert len(list(sweep.sweep.glob("slurm/*/submission.json"))) == 1
    events = [json.loads(line) for line in (sweep.sweep / "decisions.jsonl").open()]
    going, under_way = 0, []
    for event in events:
        going += {"start": 1, "promote": 1, "report": -1}.get(event["event"], 0)
        if event["event"] == "propose":
            under_way.append(going)
            assert "having seen" in event["why"]
    assert len(under_way) == 7  # the plan's first is planned
    assert max(under_way) == 2, "no proposal was made while both jobs worked"


def test_jobs_of_a_search_end_without_its_client_and_go_on_with_the_next(sweep):
    sweep.steps, sweep.seeds = 40, 1
    words = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=8", "hydra.launcher.runs_per_job=4"]
    client = sweep.start(*words)
    sweep.wait_for(lambda: entries(sweep) > 2, what="a few decisions")
    client.kill()
    client.wait()
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    proposed = len(Plan.read(sweep.sweep).runs)
    assert proposed < 8
    retry = [sys.executable, "-m", "avatarl", "retry", "s", "--output-dir", str(sweep.directory)]
    told = subprocess.run(retry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "yet to be proposed, which the search's own command does" in told
    assert f"of {proposed} runs" in told
    assert len(Plan.read(sweep.sweep).runs) == proposed
    code, out = sweep.finish(sweep.start(*words))
    assert code == 0, out + sweep.tail()
    assert "Best of 8 trials" in out
    assert check_sweep(sweep.sweep) >= 8


def test_in_a_search_jobs_of_each_kind_take_the_runs_that_ask_for_them(sweep):
    sweep.steps, sweep.seeds = 90, 6
    asked = 'hydra.launcher.resources=[{where: "seed >= 3", timeout_min: 33}]'
    code, out = sweep.finish(sweep.start(*SEARCH, asked, "hydra.launcher.runs_per_job=3"))
    assert code == 0, out + sweep.tail()
    assert check_sweep(sweep.sweep, lambda config: config["seed"] >= 3) >= 6
    takes = {}
    for submission in submissions(sweep.sweep):
        for number, job in enumerate(submission.jobs):
            pack = read_checked(submission.directory / f"pack-{number}.json")
            takes[job] = set(pack["takes"])
    assert len({frozenset(runs) for runs in takes.values()}) == 2
    for run in sweep.runs().values():
        for owner in ownership.history(run.folder):
            assert run.id in takes[owner.slurm.id]


def kill_twenty(sweep, words, runs):
    """Start a search and kill clients, workers, supervisors and jobs; see it through at last."""
    dice = random.Random(17)
    words = [*SEARCH, *words, "hydra.launcher.runs_per_job=9", "hydra.launcher.max_retries=1000"]
    slowly = {"AVATARL_TEST_PAUSE_S": "0.1"}
    client = sweep.start(*words, environment=slowly)
    killed = {"client": 0, "worker": 0, "supervisor": 0, "job": 0}

    def working():
        """The processes that compute runs, of whichever job."""
        if not (sweep.sweep / "plan.json").exists():
            return []
        owners = [ownership.current_owner(run.folder) for run in Plan.read(sweep.sweep).runs]
        return [owner for owner in owners if owner and owner.released is None
                and liveness.process_exists(owner.pid)]  # fmt: skip

    def has_gone_on(client, before):
        return entries(sweep) > before or client.poll() is not None

    while sum(killed.values()) < 20:
        assert client.poll() is None, sweep.finish(client)
        owner = dice.choice(sweep.wait_for(working, what="a run at work"))
        before, what = entries(sweep), dice.choice(list(killed))
        if what == "client":
            client.kill()
            client.wait()
            client = sweep.start(*words, environment=slowly)
        elif what == "worker":
            os.kill(owner.pid, signal.SIGKILL)
        elif what == "supervisor":
            os.kill(psutil.Process(owner.pid).ppid(), signal.SIGKILL)
        else:
            slurm("scontrol", "requeue", owner.slurm.id, check=False)
        killed[what] += 1
        sweep.wait_for(functools.partial(has_gone_on, client, before), what="a decision")
    code, out = sweep.finish(client)
    assert code == 0, out + sweep.tail()
    assert min(killed.values()) > 1, killed
    assert check_sweep(sweep.sweep) >= runs
    found = [run for run in Plan.read(sweep.sweep).runs if run.rungs]
    assert len(found) == len({run.id for run in found}) == runs
    states = {run.id: status_of(run.folder).state for run in found}
    assert set(states.values()) == {RunState.DONE, RunState.PAUSED}
    for run in found:
        outcomes = [owner.outcome for owner in ownership.history(run.folder)]
        assert outcomes.count("done") == (states[run.id] is RunState.DONE)
        steps = [json.loads(line) for line in run.folder.journal.open()]
        steps = [one["step"] for one in steps if "train/loss" in one]
        assert steps == sorted(set(steps))
    return [run for run in found if states[run.id] is RunState.DONE], out


def test_after_twenty_kills_no_run_is_lost_or_done_twice(sweep, tmp_path):
    sweep.steps, sweep.seeds = 90, 18
    done, _ = kill_twenty(sweep, [], runs=18)
    alone = type(sweep)(tmp_path / "alone", sweep.steps, sweep.seeds)
    code, out = alone.finish(alone.start(*SEARCH[1:], launcher="local"))
    assert code == 0, out
    undisturbed = alone.metrics()
    for run in done:
        assert metrics_of(run.path) == undisturbed[run.config["seed"]]


def test_after_twenty_kills_no_proposal_is_lost_or_computed_twice(sweep, tmp_path):
    sweep.steps, sweep.seeds = 90, 1
    proposing = [*SPACE, "search.rungs=2", "hydra.sweeper.n_trials=18"]
    done, out = kill_twenty(sweep, proposing, runs=18)
    assert "Best of 18 trials" in out
    events = [json.loads(line) for line in (sweep.sweep / "decisions.jsonl").open()]
    proposed = [event["run"] for event in events if event["event"] == "propose"]
    assert len(proposed) == len(set(proposed)) == 17  # the plan's first is planned
    # One that was killed on its way, or any, as if nothing had happened.
    run = max(done, key=lambda run: len(ownership.history(run.folder)))
    alone = type(sweep)(tmp_path / "alone", sweep.steps, sweep.seeds)
    rate = next(word for word in run.overrides if word.startswith("optimizer.lr="))
    code, out = alone.finish(alone.start(*SEARCH[1:], rate, launcher="local"))
    assert code == 0, out
    assert metrics_of(run.path) == alone.metrics()[0]
