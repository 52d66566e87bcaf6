"""A search whose jobs ask what is next, on a real cluster."""

from __future__ import annotations

import json
import os
import signal

from conftest import metrics_of, slurm

from avatarl.runs import ownership
from avatarl.runs.state import RunState, status_of
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
        assert not ownership.lives(ownership.current_owner(run.folder))
    done = {seed: run for seed, run in sweep.runs().items() if run.folder.read_result()}

    alone = type(sweep)(tmp_path / "alone", sweep.steps, sweep.seeds)
    code, out = alone.finish(alone.start(*SEARCH[1:], launcher="local"))
    assert code == 0, out
    undisturbed = alone.metrics()
    assert done
    for seed, run in done.items():
        assert metrics_of(run.path) == undisturbed[seed]
