"""Decisions, against the rules as an independent replay has them."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatarl.search.rules import Rules, Trial, decide, paused, to_drop
from tests.search.replay import check

SIZES = st.tuples(
    st.integers(1, 40),  # runs
    st.sampled_from([1.5, 2.0, 3.0, 4.0]),  # eta
    st.integers(1, 4),  # rungs
    st.integers(1, 5),  # brackets
    st.booleans(),  # synchronous
    st.booleans(),  # minimise
)


def rules_of(eta=3.0, rungs=2, brackets=1, synchronous=False, minimise=True, kept=None):
    return Rules("val/nats", minimise, eta, rungs, brackets, synchronous, kept)


def simulate(rules, values, workers, draw, kinds=1):
    """Let workers that finish in any order ask; returns the events, and the runs at the end.

    Each worker takes runs of one kind, those whose numbers leave the same rest.
    """
    trials = {str(n): Trial(str(n)) for n in range(len(values))}
    events, busy = [], []
    takes = [{run for run in trials if int(run) % kinds == kind} for kind in range(kinds)]
    while True:
        for own in takes * workers:
            if sum(run in own for run in busy) == workers:
                continue
            decision = decide(rules, list(trials.values()), takes=own)
            if decision is None:
                continue
            assert decision.run in own
            trial = trials[decision.run]
            trial.bracket, trial.target = decision.bracket, decision.rung
            assert trial.out
            busy.append(decision.run)
            events.append(asdict(decision))
        if not busy:
            return events, trials
        run = busy.pop(draw.randrange(len(busy)))
        rung = trials[run].target
        value = values[int(run)][rung]
        trials[run].values[rung] = value
        trials[run].failed = value is None
        state = "failed" if value is None else "paused"
        report = {"event": "report", "run": run, "rung": rung, "value": value, "state": state}
        events.append(report)


@settings(max_examples=300, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 3))
@example((9, 2.0, 3, 2, True, False), 10745, 1, 2)  # one kind has no more, the other has
def test_every_decision_is_what_an_independent_replay_expects(sizes, seed, workers, kinds):
    count, eta, rungs, brackets, synchronous, minimise = sizes
    rules = rules_of(eta, rungs, min(brackets, rungs + 1), synchronous, minimise)
    draw = random.Random(seed)
    # Few distinct values, so that there are ties, and some that fail or have no number.
    values = [
        [draw.choice([None, *map(float, range(9))]) for _ in range(rungs + 1)] for _ in range(count)
    ]
    events, trials = simulate(rules, values, workers, draw, kinds)
    decisions = check(
        list(trials), asdict(rules), events,
        lambda run, rung: values[int(run)][rung], lambda run: int(run) % kinds,
    )  # fmt: skip
    assert decisions == sum(event["event"] != "report" for event in events)
    assert all(trial.begun and not trial.out for trial in trials.values())
    sent = [(event["run"], event["rung"]) for event in events if event["event"] != "report"]
    assert len(sent) == len(set(sent))
    ended = [trial for trial in trials.values() if trial.values.get(rungs) is not None]
    hopeful = any(values[int(t.id)][t.target] is not None for t in trials.values())
    assert ended or not hopeful, "somebody could have come to the end"


@settings(max_examples=100, deadline=None)
@given(SIZES, st.integers(0, 2**32))
def test_halving_decides_the_same_whatever_the_timing(sizes, seed):
    count, eta, rungs, brackets, _, minimise = sizes
    rules = rules_of(eta, rungs, min(brackets, rungs + 1), True, minimise)
    draw = random.Random(seed)
    values = [[draw.choice([None, draw.random()]) for _ in range(rungs + 1)] for _ in range(count)]
    ends = []
    for workers in (1, 3, count):
        events, _ = simulate(rules, values, workers, draw)
        ends.append({(e["event"], e["run"], e["rung"], e.get("rank"), e.get("of")) for e in events})
    assert ends[0] == ends[1] == ends[2]


def test_27_runs_are_halved_to_9_3_and_none_twice():
    rules = rules_of(synchronous=True)
    values = [[float(n)] * 3 for n in range(27)]
    _, trials = simulate(rules, values, 1, random.Random(0))
    reached = [sum(t.target == rung for t in trials.values()) for rung in range(3)]
    assert reached == [18, 6, 3]
    assert {t.id for t in trials.values() if t.target == 2} == {"0", "1", "2"}
    # Steps of the whole: 1/9 for each, to 1/3 for nine, to the end for three.
    spent = sum([1, 3, 9][t.target] for t in trials.values()) / 9
    assert spent / 27 == pytest.approx(7 / 27)


def test_brackets_have_hyperbands_shares():
    rules = rules_of(brackets=3, synchronous=True)
    _, trials = simulate(rules, [[float(n)] * 3 for n in range(170)], 1, random.Random(0))
    dealt = [sum(t.bracket == b for t in trials.values()) for b in range(3)]
    weights = [3**2 / 3, 3 / 2, 1]
    assert dealt == pytest.approx([170 * w / sum(weights) for w in weights], abs=1)
    assert all(t.target == 2 for t in trials.values() if t.bracket == 2)


def test_what_was_left_on_its_way_goes_on_first():
    trials = [Trial("a", 0, 0, {0: 1.0}), Trial("b", 0, 0), Trial("c")]
    decision = decide(rules_of(eta=1.5), trials, {"b"})
    assert decision is not None
    assert (decision.event, decision.run, decision.rung) == ("continue", "b", 0)


def test_the_worst_of_the_lowest_rung_loses_its_checkpoint_first():
    values: dict[str, dict[int, float | None]] = {
        "a": {0: 3.0}, "b": {0: None}, "c": {0: 1.0, 1: 9.0}, "d": {0: 2.0},
    }  # fmt: skip
    trials = [Trial(name, 0, max(have), have) for name, have in values.items()]
    trials.append(Trial("out", 0, 1, {0: 0.0}))
    trials.append(Trial("failed", 0, 0, {0: None}, failed=True))
    rules = rules_of(kept=2)
    assert [trial.id for trial in paused(rules, trials)] == ["b", "a", "d", "c"]
    assert [trial.id for trial in to_drop(rules, trials)] == ["b", "a"]
    trials[1].kept = False
    assert [trial.id for trial in to_drop(rules, trials)] == ["a"]
    assert not list(to_drop(rules_of(), trials))
