"""A study, asked by pools of workers that do nothing but log."""

from __future__ import annotations

import json
import threading

import pytest

from avatarl.errors import ConfigError
from avatarl.runs import liveness
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot
from tests.search.replay import check_sweep
from tests.test_automation import check, tables

KEEP_GOING = FailurePolicy(max_failures=None, max_retries=2, hang_after_s=60)
VALUES = [5.0, 4.0, 7.0, 1.0, 9.0, 3.0, 8.0, 2.0, 6.0]


def search(plan, sweep, slots=1, takes=None, **more):
    """Let a pool work through a search; returns its study and outcomes."""
    study = study_of(plan, sweep, takes=takes)
    pool = Pool([Slot(None, 1)] * slots, KEEP_GOING, "search_executors:run", study=study, **more)
    outcomes = pool.run(plan.runs)
    return study, {int(run, 16): outcome for run, outcome in outcomes.items()}


def starts_of(tmp_path, seed):
    """From which step a run went on, and to which."""
    lines = (tmp_path / "outputs" / "trace.jsonl").read_text().splitlines()
    return [(step, pause_at) for one, step, pause_at, *_ in map(json.loads, lines) if one == seed]


def events_of(sweep):
    return [json.loads(line) for line in (sweep / "decisions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("rules", "slots"),
    [
        ({}, 1),
        ({}, 2),
        ({"synchronous": True}, 1),
        ({"synchronous": True}, 2),
        ({"synchronous": True, "brackets": 3}, 2),
        ({"brackets": 2, "minimise": False}, 2),
    ],
)
def test_decisions_are_by_the_rules_and_the_rest_is_paused(study_plan, rules, slots):
    plan, sweep = study_plan(VALUES, **rules)
    study, outcomes = search(plan, sweep, slots)
    assert study.over
    assert check_sweep(sweep) >= len(plan.runs)
    assert {outcome.state for outcome in outcomes.values()} == {"done", "paused"}
    states = {int(run.id, 16): status_of(run.folder).state for run in plan.runs}
    assert states == {seed: RunState(outcome.state) for seed, outcome in outcomes.items()}
    run, value = study.best()
    if rules.get("brackets", 1) == 1:
        assert (int(run.id, 16), value) == (3, 1.0)


def test_a_run_that_is_promoted_goes_on_from_where_it_was_put_down(study_plan, tmp_path):
    plan, sweep = study_plan(VALUES, synchronous=True)
    search(plan, sweep)
    assert starts_of(tmp_path, 3) == [(0, 10), (10, 20), (20, None)]
    assert starts_of(tmp_path, 5) == [(0, 10), (10, 20)]
    assert starts_of(tmp_path, 4) == [(0, 10)]


def test_who_may_take_some_runs_only_leaves_the_others_and_does_not_wait_for_nobody(study_plan):
    plan, sweep = study_plan(VALUES)
    kinds = [{run.id for run in plan.runs if int(run.id, 16) % 2 == kind} for kind in (0, 1)]
    study, _ = search(plan, sweep, takes=kinds[0])
    assert not study.over
    assert {trial.id for trial in study.trials.values() if trial.begun} == kinds[0]
    for turn in range(1, 9):
        if study.over:
            break
        study, _ = search(plan, sweep, takes=kinds[turn % 2])
    assert study.over
    assert check_sweep(sweep, lambda config: config["seed"] % 2) >= len(plan.runs)
    assert int(study.best()[0].id, 16) == 3


def test_failed_runs_rank_last_and_are_tried_again_when_asked(study_plan):
    plan, sweep = study_plan(VALUES, {3: {"raise_at": 0}, 7: {"raise_at": 10}}, synchronous=True)
    study, outcomes = search(plan, sweep)
    assert outcomes[3].state == outcomes[7].state == "failed"
    assert "this run is no good" in outcomes[7].reason
    assert int(study.best()[0].id, 16) == 5
    check_sweep(sweep)
    study.again()
    assert not study.over
    _, outcomes = search(plan, sweep)
    assert outcomes[3].state == "failed"
    check_sweep(sweep)
    again = [event["run"] for event in events_of(sweep) if event["event"] == "again"]
    assert {int(run, 16) for run in again} == {3, 7}


def test_decisions_are_written_down_as_the_docs_say(study_plan):
    each, some = tables("Decisions")
    plan, sweep = study_plan(VALUES, {3: {"raise_at": 10}}, paused_checkpoints=1)
    study, _ = search(plan, sweep)
    study.again()
    search(plan, sweep)
    events = events_of(sweep)
    assert {"start", "promote", "report", "again", "drop"} <= {event["event"] for event in events}
    for event in events:
        check(event, {key: some[key] for key in event if key not in each} | each)


def test_a_run_without_a_finite_number_is_paused_and_ranks_last(study_plan):
    plan, sweep = study_plan([None, None, 2.0], synchronous=True)
    study, outcomes = search(plan, sweep)
    assert [outcomes[seed].state for seed in range(3)] == ["paused", "paused", "done"]
    check_sweep(sweep)
    assert int(study.best()[0].id, 16) == 2


def test_a_worker_that_is_killed_goes_on_from_its_checkpoint(study_plan):
    plan, sweep = study_plan(VALUES, {seed: {"kill_at": 10} for seed in range(9)})
    study, outcomes = search(plan, sweep, 2)
    assert study.over
    check_sweep(sweep)
    assert "failed" not in {outcome.state for outcome in outcomes.values()}


def test_two_clients_share_a_search_and_never_a_run(study_plan, tmp_path):
    plan, sweep = study_plan(VALUES * 2, {seed: {"pause_s": 0.02} for seed in range(18)})
    found, both = [], threading.Barrier(2)
    began = threading.local()

    def on_event(event):
        if not hasattr(began, "at"):  # or one might be done with all before the other has begun
            began.at = both.wait(60)

    def client():
        found.append(search(plan, sweep, on_event=on_event))

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (one, first), (_, second) = found
    assert one.over
    assert {seed: o.state for seed, o in first.items()} == {s: o.state for s, o in second.items()}
    check_sweep(sweep)
    lines = (tmp_path / "outputs" / "trace.jsonl").read_text().splitlines()
    pieces = [(seed, step) for seed, step, *_ in map(json.loads, lines)]
    assert len(pieces) == len(set(pieces)), "a step was computed twice"
    assert len({json.loads(line)[3] for line in lines}) == 2, "one client did all"


def test_a_failure_is_told_even_if_another_writes_at_that_moment(study_plan, monkeypatch):
    plan, sweep = study_plan(VALUES)
    one, other = study_of(plan, sweep), study_of(plan, sweep)
    failed = one.ask().run
    one.failed(failed)
    reports = one._reports

    def reports_then_loses():
        found = reports()
        if found and not other.trials[plan.runs[1].id].begun:
            other.ask()
        return found

    monkeypatch.setattr(one, "_reports", reports_then_loses)
    one.ask()
    assert one.trials[failed].failed
    assert check_copy(one, sweep) == 3


def test_what_a_worker_left_that_others_told_to_stop_is_finished_by_its_next(study_plan):
    plan, sweep = study_plan(VALUES, {seed: {"term_at": 10} for seed in (3, 4)})
    study, outcomes = search(plan, sweep)
    assert study.over
    assert {outcome.state for outcome in outcomes.values()} == {"done", "paused"}
    assert check_sweep(sweep)


def test_at_its_end_a_run_counts_by_its_result_and_not_by_the_sample_that_rungs_see(study_plan):
    values = [1.0, 2.0, 3.0, 4.0]
    plan, sweep = study_plan(values, {0: {"result": {"dev/nats": 2.5}}}, eta=1.1)
    study, outcomes = search(plan, sweep)
    assert [outcomes[seed].state for seed in range(4)] == ["done", "done", "paused", "paused"]
    run, value = study.best()
    assert (int(run.id, 16), value) == (1, 2.0)
    assert study.trials[plan.runs[0].id].values == {0: 1.0, 1: 1.0, 2: 2.5}


def test_what_a_client_left_on_its_way_is_taken_up_by_the_next(study_plan):
    plan, sweep = study_plan(VALUES)
    gone = study_of(plan, sweep)
    errand = gone.ask()
    study = study_of(plan, sweep)
    assert study.ask().run != errand.run  # who holds it lives
    gone.leave()
    taken = study_of(plan, sweep).ask()
    assert taken == errand
    assert events_of(sweep)[-1] == {**events_of(sweep)[-1], "event": "leave", "run": errand.run}
    study.leave()


def test_what_a_dead_client_held_is_taken_up(study_plan, monkeypatch):
    plan, sweep = study_plan(VALUES)
    errand = study_of(plan, sweep).ask()
    monkeypatch.setattr(liveness, "alive", lambda *_: False)
    assert study_of(plan, sweep).ask() == errand


def test_of_two_who_decide_at_once_one_thinks_again(study_plan, monkeypatch):
    plan, sweep = study_plan(VALUES)
    slow, fast = study_of(plan, sweep), study_of(plan, sweep)
    look, first = slow.look, []

    def look_then_lose():
        look()
        if not first:
            first.append(fast.ask())

    monkeypatch.setattr(slow, "look", look_then_lose)
    second = slow.ask()
    assert second.run != first[0].run
    assert check_copy(slow, sweep) == 2


def test_what_was_read_meanwhile_is_thought_about_before_anything_is_written(study_plan):
    plan, sweep = study_plan(VALUES)
    slow, fast = study_of(plan, sweep), study_of(plan, sweep)
    fast.ask()
    slow._ledger.read_on()  # as a copy for people does
    assert not slow._append([{"event": "again", "run": plan.runs[0].id, "rung": 0}])
    assert slow.ask().run == plan.runs[1].id


def check_copy(study, sweep):
    study._ledger.copy(now=True)
    return check_sweep(sweep)


def test_beyond_the_quota_the_worst_checkpoints_go_and_are_made_anew_if_wanted(
    study_plan, tmp_path
):
    values = [[5.0] * 3, [4.0] * 3, [3.0, 9.0, 9.0], *[[9.0] * 3] * 6]
    plan, sweep = study_plan(values, paused_checkpoints=1, synchronous=True)
    said = []
    study = study_of(plan, sweep, said.append)
    pool = Pool([Slot(None, 1)], KEEP_GOING, "search_executors:run", study=study)
    outcomes = pool.run(plan.runs)
    states = [status_of(run.folder).state for run in plan.runs]
    assert (states.count(RunState.PAUSED), states.count(RunState.DONE)) == (8, 1)
    # Of nine at the first rung one was kept; two more were promoted, and the best of all at last.
    assert starts_of(tmp_path, 2) == [(0, 10), (10, 20)]
    assert starts_of(tmp_path, 0) == [(0, 10), (0, 20)]
    assert starts_of(tmp_path, 1) == [(0, 10), (0, 20), (20, None)]
    kept = [run for run in plan.runs if run.folder.checkpoint_steps()]
    assert [int(run.id, 16) for run in kept] == [1]
    assert "its checkpoint is deleted, as search.paused_checkpoints is 1" in said[0]
    assert check_sweep(sweep)
    assert {outcome.state for outcome in outcomes.values()} == {"done", "paused"}


def test_a_metric_that_no_run_logs_is_named_with_those_there_are(study_plan):
    plan, sweep = study_plan(VALUES, metric="dev/nat")
    with pytest.raises(ConfigError, match=r"search.metric=.*'dev/nat'.*valid: dev/nats"):
        search(plan, sweep)
