"""Processes that start before it is known what they will execute."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import avatarl
from avatarl.runs import liveness
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan import snapshot
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import WarmUp, end
from tests.waiting import PATIENCE_S, wait_until

ONE = Slot(None, 1)
WHERE = """
import os, sys
import avatarl
def run(raw, **_):
    worker = sys.modules["avatarl.sweep.workers.worker"]
    return {"where": avatarl.__file__, "worker": worker.__file__,
            "pid": os.getpid(), "torch": "torch" in sys.modules}
"""


@pytest.fixture
def frozen(tmp_path):
    """The source as it is, in another place, with something to execute."""
    code = snapshot.freeze(tmp_path)
    (code / "where_am_i.py").write_text(WHERE)
    return code


def pid_of(process):
    return process.submit(os.getpid).result()


def gone(pid, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while liveness.process_exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_process_started_early_executes_the_frozen_source_and_nothing_else(frozen, plan_of):
    plan = plan_of([{}, {}])
    taken = []
    with WarmUp([ONE], at_once=1) as warm:

        def take(number, slot):
            process = warm.take(number, slot)
            if process is not None:
                taken.append(pid_of(process))
            return process

        pool = Pool(
            [ONE], FailurePolicy(None, 0, 60), execute="where_am_i:run", code=frozen, warm=take
        )
        results = [outcome.result for outcome in pool.run(plan.runs).values()]
    assert [result["pid"] for result in results] == taken * 2
    assert not Path(avatarl.__file__).is_relative_to(frozen)
    for result in results:
        assert Path(result["where"]).is_relative_to(frozen)
        assert Path(result["worker"]).is_relative_to(frozen)
        assert result["torch"]


def test_a_process_that_died_while_it_waited_is_replaced(plan_of, trace_of):
    plan = plan_of([{}, {}])
    with WarmUp([ONE], at_once=1) as warm:

        def take(number, slot):
            process = warm.take(number, slot)
            if process is not None:
                waiting = process.submit(time.sleep, 60)
                os.kill(pid_in(process), signal.SIGKILL)
                assert waiting.exception() is not None
            return process

        pool = Pool([ONE], FailurePolicy(None, 0, 60), execute="sweep_executors:run", warm=take)
        outcomes = pool.run(plan.runs)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}


def test_a_process_that_dies_between_two_runs_is_replaced_and_no_run_is_blamed(plan_of, trace_of):
    plan = plan_of([{}, {}, {}])
    taken = []
    with WarmUp([ONE], at_once=1) as warm:

        def take(number, slot):
            taken.append(warm.take(number, slot))
            return taken[-1]

        def kill_after_the_first(event):
            if event.what == "finished" and event.run is plan.runs[0]:
                os.kill(pid_in(taken[0]), signal.SIGKILL)
                wait_until(lambda: taken[0]._flags.broken is not None, "loky's notice")

        pool = Pool(
            [ONE],
            FailurePolicy(None, 0, 60),
            execute="sweep_executors:run",
            warm=take,
            on_event=kill_after_the_first,
        )
        outcomes = pool.run(plan.runs)
    assert len(taken) == 2
    assert [(o.state, o.attempts) for o in outcomes.values()] == [("done", 1)] * 3
    assert len({pid for _, word, pid, _ in trace_of() if word == "computed"}) == 2


def pid_in(process):
    (pid,) = process._processes
    return pid


def test_another_slot_or_one_not_begun_gets_no_process():
    with WarmUp([ONE, ONE, ONE], at_once=1) as warm:
        assert warm.take(0, Slot(None, 2)) is None  # fewer threads than it was started with
        assert warm.take(3, ONE) is None
        assert warm.take(2, ONE) is None  # its turn hasn't come
        process = warm.take(0, ONE)
        assert process is not None
        assert warm.take(0, ONE) is None  # given away
        pid = pid_of(process)
        process.shutdown(kill_workers=True)
    assert gone(pid)


def test_what_nobody_takes_ends_with_the_launch():
    def workers():
        found = []
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # other tests' children end meanwhile
                if "loky" in " ".join(child.cmdline()[:3]):
                    found.append(child.pid)
        return found

    before = set(workers())
    started = set()

    def refused():
        with WarmUp([ONE, ONE], at_once=2):
            while len(started) < 2:
                started.update(set(workers()) - before)
                time.sleep(0.02)
            raise ValueError

    with pytest.raises(ValueError):
        refused()
    assert all(gone(pid) for pid in started)


def test_a_waiting_process_leaves_when_its_parent_is_killed():
    code = (
        "import os, time; from avatarl.sweep.workers.slot import Slot;"
        "from avatarl.sweep.workers.warmup import WarmUp;"
        "warm = WarmUp([Slot(None, 1)], 1).__enter__();"
        "print(warm.take(0, Slot(None, 1)).submit(os.getpid).result(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGINT)  # Ctrl-C is the parent's business
        os.kill(parent.pid, signal.SIGKILL)
        assert gone(pid)


def test_an_executor_that_was_ended_leaves_no_thread_behind():
    before = set(threading.enumerate())
    with WarmUp([ONE], at_once=1) as warm:
        process = warm.take(0, ONE)
        assert process is not None
        pid_of(process)
        end(process)
    # loky's own shutdown leaves the thread that feeds its queue for whenever Python exits.
    assert set(threading.enumerate()) <= before
