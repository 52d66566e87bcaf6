from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from avatarl.files import read_json, write_json
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.failure.faults import exit_reason
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.process import CannotStart, parse_exitcode
from avatarl.sweep.workers.slot import Slot
from tests.waiting import wait_until

KEEP_GOING = FailurePolicy(max_failures=None, max_retries=2, hang_after_s=60)


def pool(slots=1, policy=KEEP_GOING, execute="sweep_executors:run", **more):
    return Pool([Slot(None, 1)] * slots, policy, execute=execute, **more)


def test_every_run_ends_once_and_workers_stay_warm(plan_of, trace_of):
    plan = plan_of([{}] * 6)
    outcomes = pool(slots=2).run(plan.runs)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    computed = [entry for entry in trace_of() if entry[1] == "computed"]
    assert sorted(entry[0] for entry in computed) == list(range(6))
    assert len({entry[2] for entry in computed}) <= 2
    again = pool(slots=2).run(plan.runs)
    assert all(outcome.cached for outcome in again.values())
    assert len(trace_of()) == 12


@pytest.mark.parametrize(
    ("fault", "state", "reason", "starts"),
    [
        ("raise", "failed", "ValueError: this run is no good", 1),
        ("sys.exit", "failed", "SystemExit: 9", 1),
        ("exit 9", "failed", "exited with code 9", 3),
        ("kill", "failed", "killed by SIGKILL", 3),
        ("kill once", "done", None, 2),
        ("kill when done", "done", None, 1),
        ("disk", "failed", "No space left", 2),
        ("disk once", "done", None, 2),
        ("memory", "failed", "MemoryError: no room", 3),
    ],
)
def test_a_fault_is_contained_retried_within_bounds_and_named(
    plan_of, trace_of, fault, state, reason, starts
):
    plan = plan_of([{"fault": fault}, {}, {}])
    told = []
    outcomes = pool(slots=2, on_event=told.append).run(plan.runs)
    broken, *others = (outcomes[run.id] for run in plan.runs)
    assert (broken.state, [other.state for other in others]) == (state, ["done", "done"])
    assert len([e for e in trace_of() if e[:2] == (0, "started")]) == starts == broken.attempts
    assert all(other.attempts == 1 for other in others)
    if reason is not None:
        assert reason in broken.reason
        assert reason in read_json(plan.runs[0].path / "failure.json")["error"]
        assert any(e.what == "finished" and e.reason and reason in e.reason for e in told)
    owner = ownership.current_owner(plan.runs[0].folder)
    assert owner.released is not None
    assert owner.outcome == state


def test_a_hung_worker_is_killed_and_its_run_resumed(plan_of, trace_of):
    plan = plan_of([{"fault": "hang once"}, {}])
    policy = FailurePolicy(max_failures=None, max_retries=2, hang_after_s=3.0)
    events = []
    outcomes = pool(policy=policy, on_event=events.append).run(plan.runs)
    assert [outcomes[run.id].state for run in plan.runs] == ["done", "done"]
    assert [e.reason for e in events if e.what == "retried"] == ["no sign of life for 3 s, killed"]


def test_stop_checkpoints_running_runs_and_the_next_launch_continues(plan_of, trace_of):
    plan = plan_of([{"steps": 200}, {"steps": 1}])
    stop = threading.Event()

    def watch():
        progress = plan.runs[0].path / "progress.json"
        while not progress.exists():
            time.sleep(0.02)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = pool().run(plan.runs, stop=stop.is_set)
    watcher.join()
    assert {outcome.state for outcome in outcomes.values()} == {"interrupted"}
    reached = int((plan.runs[0].path / "checkpoint-step").read_text())
    assert 0 < reached < 200
    assert all(o.state == "done" for o in pool().run(plan.runs).values())


@pytest.mark.parametrize(("bound", "started"), [(1, 1), (2, 2), (None, 4)])
def test_failure_policy_bounds_the_failures(plan_of, trace_of, bound, started):
    plan = plan_of([{"fault": "raise"}] * 4)
    outcomes = pool(policy=FailurePolicy(bound, 0, 60)).run(plan.runs)
    assert len([entry for entry in trace_of() if entry[1] == "started"]) == started
    states = [outcomes[run.id].state for run in plan.runs]
    assert states == ["failed"] * started + ["interrupted"] * (4 - started)


def test_a_run_owned_by_a_living_process_is_waited_for(plan_of, trace_of, tmp_path):
    plan = plan_of([{}])
    directory = plan.runs[0].path
    directory.mkdir(parents=True)
    code = (
        "import sys, time; from pathlib import Path; from avatarl.runs import ownership;"
        "from avatarl.runs.folder import RunFolder;"
        f"c = ownership.claim(RunFolder(Path({str(directory)!r}))); print('mine', flush=True);"
        "sys.stdin.readline();"
        "(c.folder.path / 'result.json').write_text('{\"val/nats\": 7.0}'); c.release('done')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "mine\n"
        left = pool(wait_for_owners=False).run(plan.runs)
        assert left[plan.runs[0].id].state == "elsewhere"
        assert "being computed by process" in left[plan.runs[0].id].reason

        def let_go(event):
            if event.what == "waiting":
                other.stdin.write("go\n")
                other.stdin.flush()

        outcomes = pool(on_event=let_go).run(plan.runs)
    assert outcomes[plan.runs[0].id].result == {"val/nats": 7.0}
    assert trace_of() == []


def test_a_run_whose_owner_was_killed_is_taken_over(plan_of, trace_of):
    plan = plan_of([{}])
    directory = plan.runs[0].path
    directory.mkdir(parents=True)
    code = (
        "import os; from pathlib import Path; from avatarl.runs import ownership;"
        "from avatarl.runs.folder import RunFolder;"
        f"ownership.claim(RunFolder(Path({str(directory)!r}))); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert pool().run(plan.runs)[plan.runs[0].id].state == "done"
    assert [owner.outcome for owner in ownership.history(RunFolder(directory))] == [None, "done"]


def test_workers_stop_when_their_parent_is_killed(plan_of, trace_of, tmp_path):
    plan = plan_of([{"steps": 100_000}])
    plan.write(tmp_path)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot
plan = Plan.read(Path({str(tmp_path)!r}))
Pool([Slot(None, 1)], FailurePolicy(None, 2, 60), execute="sweep_executors:run").run(plan.runs)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as client:
        progress = plan.runs[0].path / "progress.json"
        wait_until(progress.exists, "progress")
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
    worker = ownership.current_owner(plan.runs[0].folder).pid
    wait_until(lambda: not liveness.process_exists(worker), "the worker's end")
    assert read_json(progress)["state"] == "interrupted"


def test_workers_get_their_gpu_and_threads(plan_of):
    plan = plan_of([{}, {}])
    slots = [Slot("3", 2), Slot("GPU-abc", 2)]
    outcomes = Pool(slots, KEEP_GOING, execute="sweep_executors:threads").run(plan.runs)
    seen = [outcome.result["environment"] for outcome in outcomes.values()]
    assert sorted(e["CUDA_VISIBLE_DEVICES"] for e in seen) == ["3", "GPU-abc"]
    assert [e["OMP_NUM_THREADS"] for e in seen] == ["2", "2"]


def test_code_that_cannot_be_imported_ends_the_sweep(plan_of):
    with pytest.raises(CannotStart, match="no_such_module"):
        pool(execute="no_such_module:run").run(plan_of([{}]).runs)


def test_workers_import_the_frozen_code(plan_of, tmp_path):
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "frozen_executor.py").write_text(
        "def run(raw, **_):\n    return {'val/nats': 0.0, 'where': __file__}\n"
    )
    before = list(sys.path)
    outcomes = pool(execute="frozen_executor:run", code=frozen).run(plan_of([{}]).runs)
    assert [o.result["where"] for o in outcomes.values()] == [str(frozen / "frozen_executor.py")]
    assert sys.path == before


def test_output_of_a_run_goes_to_its_log(plan_of, tmp_path, capfd):
    (tmp_path / "chatty.py").write_text(
        "import os\n"
        "def run(raw, **_):\n    print('hello'); os.system('echo below')\n    return {}\n"
    )
    plan = plan_of([{}])
    pool(execute="chatty:run", code=tmp_path).run(plan.runs)
    assert (plan.runs[0].path / "run.log").read_text().split() in (
        ["hello", "below"],
        ["below", "hello"],
    )
    assert "hello" not in capfd.readouterr().out


def test_reasons_of_dead_workers():
    message = "…\nThe exit codes of the workers are {SIGKILL(-9)}\n…"
    assert parse_exitcode(message) == -9
    assert parse_exitcode("The exit codes of the workers are {EXIT(9)}") == 9
    assert parse_exitcode("nothing known") is None
    assert "SIGSEGV" in exit_reason(-11)
    assert "code 9" in exit_reason(9)
    assert exit_reason(None) == "worker process died"


def test_done_runs_need_no_worker_claim(plan_of):
    plan = plan_of([{}])
    write_json(plan.runs[0].path / "result.json", {"val/nats": 3.0})
    outcomes = pool().run(plan.runs)
    assert outcomes[plan.runs[0].id].result == {"val/nats": 3.0}
    assert ownership.current_owner(plan.runs[0].folder) is None


def test_runs_go_on_when_the_output_directory_comes_back(plan_of, trace_of, tmp_path):
    plan = plan_of([{"steps": 40}, {"steps": 40}])
    outputs, away = tmp_path / "outputs", tmp_path / "away"

    def take_away():
        while not (plan.runs[0].path / "progress.json").exists():
            time.sleep(0.02)
        outputs.rename(away)
        time.sleep(2.0)
        assert not outputs.exists()  # nobody has made it anew
        away.rename(outputs)

    taker = threading.Thread(target=take_away)
    taker.start()
    outcomes = pool(policy=FailurePolicy(None, 0, 60), patience_s=50).run(plan.runs)
    taker.join()
    assert [outcomes[run.id].state for run in plan.runs] == ["done", "done"]
    assert len([entry for entry in trace_of() if entry[1] == "computed"]) == 2


def test_an_output_directory_that_stays_away_fails_the_runs_and_is_not_made_anew(plan_of, tmp_path):
    plan = plan_of([{}])
    (tmp_path / "outputs").rename(tmp_path / "away")
    told = []
    policy = FailurePolicy(None, 0, 60)
    outcomes = pool(policy=policy, patience_s=1.0, on_event=told.append).run(plan.runs)
    assert "is gone" in outcomes[plan.runs[0].id].reason
    assert [event.what for event in told].count("waiting") == 1
    assert not (tmp_path / "outputs").exists()
