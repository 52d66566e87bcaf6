"""A search whose workers and clients are killed again and again decides by its rules.

``AVATARL_KILLS`` sets how often, and ``AVATARL_FUZZ_SEED`` when and whom.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl.runs import liveness, ownership
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.plan.study import study_of
from tests.search.conftest import study_plan
from tests.search.replay import check_sweep
from tests.waiting import PATIENCE_S, wait_until

__all__ = ["study_plan"]

CLIENT = Path(__file__).parents[1] / "search" / "search_client.py"
KILLS = int(os.environ.get("AVATARL_KILLS", "20"))
SEED = int(os.environ.get("AVATARL_FUZZ_SEED", str(random.randrange(10**6))))
RUNS = 27


def kill(pid):
    with contextlib.suppress(ProcessLookupError):  # it ended this instant
        os.kill(pid, signal.SIGKILL)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "rules",
    [{}, {"synchronous": True}, {"synchronous": True, "brackets": 3}],
    ids=["asha", "halving", "hyperband"],
)
def test_a_search_with_two_clients_that_are_killed_decides_by_its_rules(study_plan, rules):
    print(f"AVATARL_KILLS={KILLS} AVATARL_FUZZ_SEED={SEED}")
    draw = random.Random(SEED)
    values = [[draw.random() for _ in range(3)] for _ in range(RUNS)]
    plan, sweep = study_plan(values, {seed: {"pause_s": 0.05} for seed in range(RUNS)}, **rules)

    def start():
        # Started by its path, its folder is on the path of its workers, too.
        environment = {**os.environ, "PYTHONPATH": str(CLIENT.parents[2])}
        return subprocess.Popen([sys.executable, str(CLIENT), str(sweep)], env=environment)

    def entries():
        return len(list((sweep / ".decisions").glob("*.json")))

    def come_to(moment):
        return entries() >= moment or study_of(plan, sweep).over

    def busy():
        owners = [ownership.current_owner(run.folder) for run in plan.runs]
        return [owner.pid for owner in owners if owner is not None and liveness.lives(owner)]

    clients, killed = [start(), start()], []
    # A search of 27 runs has some 75 entries; a kill adds one or two.
    moments = sorted(draw.randrange(1, 60) for _ in range(KILLS))
    try:
        for moment in moments:
            wait_until(functools.partial(come_to, moment), "a decision")
            if study_of(plan, sweep).over:
                break
            whom = draw.choice(["worker", "worker", "client", "all"])
            killed.append(whom)
            if whom == "worker" and (working := busy()):
                kill(draw.choice(working))
            elif whom != "worker":
                gone = draw.randrange(2)
                workers = busy() if whom == "all" else []
                clients[gone].kill()
                clients[gone].wait()
                for pid in workers:
                    kill(pid)
                clients[gone] = start()
        assert [client.wait(2 * PATIENCE_S) for client in clients] == [0, 0]
    finally:
        for client in clients:
            client.kill()
            client.wait()
    print(f"killed: {killed}")
    assert len(killed) >= KILLS / 2, "the search was over before it was killed"
    assert study_of(plan, sweep).over
    assert check_sweep(sweep) >= RUNS
    states = [status_of(run.folder).state for run in plan.runs]
    assert set(states) == {RunState.DONE, RunState.PAUSED}
    for run in plan.runs:
        outcomes = [owner.outcome for owner in ownership.history(run.folder)]
        assert outcomes.count("done") == (status_of(run.folder).state is RunState.DONE)
