"""Which run goes on, which begins and which stays paused: pure functions of what is known.

Source: Li et al. 2020 (arXiv 1810.05934), §3 (ASHA, algorithm 2); Jamieson & Talwalkar 2016
(successive halving); Li et al. 2018 (Hyperband's brackets).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Rules:
    """How a study decides.

    Attributes:
        metric: What runs are ranked by.
        minimise: Whether less of it is better.
        eta: Of as many runs that reach a rung, one goes on.
        rungs: How many there are, without the end of a run.
        brackets: Bracket b isn't looked at before rung b.
        synchronous: Whether a rung waits for all of its runs.
        paused_checkpoints: Most that are kept; None: all.
        trials: How many runs there are to be, where they are proposed one by one; 0: as planned.
    """

    metric: str
    minimise: bool
    eta: float
    rungs: int
    brackets: int
    synchronous: bool
    paused_checkpoints: int | None
    trials: int = 0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Rules:
        """Read what a plan holds."""
        return cls(**{name: raw[name] for name in cls.__dataclass_fields__ if name in raw})


@dataclass
class Trial:
    """What is known of a run.

    Attributes:
        bracket: None before it is begun.
        target: The rung it was sent to last; one above the rungs is its end.
        values: Of the metric, by rung; None where there was no finite number.
        failed: It has come to nothing, and ranks last.
        kept: Whether its checkpoint is there, if it is paused.
        at: The step it would go on from.
        spent: Steps that were computed for it.
    """

    id: str
    bracket: int | None = None
    target: int = -1
    values: dict[int, float | None] = field(default_factory=dict)
    failed: bool = False
    kept: bool = True
    at: int = 0
    spent: int = 0

    @property
    def begun(self) -> bool:
        """Whether it was ever sent out."""
        return self.bracket is not None

    @property
    def out(self) -> bool:
        """Whether it is on its way to a rung."""
        return self.begun and self.target not in self.values


@dataclass(frozen=True)
class Decision:
    """One run goes to one rung, and why.

    Attributes:
        rank: Of its value at the rung below, from 1; None where that isn't the reason.
        of: Among how many.
        value: That value.
    """

    event: Literal["start", "promote", "continue"]
    run: str
    rung: int
    bracket: int
    why: str
    rank: int | None = None
    of: int | None = None
    value: float | None = None


def decide(
    rules: Rules,
    trials: Sequence[Trial],
    abandoned: Collection[str] = (),
    *,
    more: bool = False,
    takes: Collection[str] | None = None,
) -> Decision | None:
    """Say what comes next; None: nothing, until another run has come to its rung.

    A run that was left on its way goes on first, then the best of the highest rung is promoted that
    may be, and else the next run of the plan begins. Once nothing else is left, and no run was sent
    to its end, the best of the highest rung is.

    Args:
        rules: Of the study.
        trials: In the plan's order.
        abandoned: Ids of runs on their way, of which nobody takes care.
        more: Whether further runs will be proposed.
        takes: Ids of the runs that who asks may work on; None: all. All are ranked.
    """

    def taken(trial: Trial) -> bool:
        return takes is None or trial.id in takes

    for trial in trials:
        if trial.out and trial.id in abandoned and taken(trial):
            assert trial.bracket is not None
            why = "it was left on its way"
            return Decision("continue", trial.id, trial.target, trial.bracket, why)
    for rung in reversed(range(rules.rungs)):
        for bracket in range(rules.brackets):
            if more and rules.synchronous:
                continue  # no rung is complete
            if decision := _promotion(rules, trials, rung, bracket, taken):
                return decision
    waiting = next((trial for trial in trials if not trial.begun and taken(trial)), None)
    if waiting is not None:
        bracket = _bracket(rules, trials)
        why = "next of the plan" + (f", in bracket {bracket}" if rules.brackets > 1 else "")
        return Decision("start", waiting.id, bracket, bracket, why)
    if takes is not None:  # others may have something to take before the last resort
        decision = decide(rules, trials, more=more)
        return decision if decision and decision.run in takes else None
    if more or any(
        trial.out or not trial.begun or trial.values.get(rules.rungs) is not None
        for trial in trials
    ):
        return None
    for rung in reversed(range(rules.rungs)):
        ranked = ranking(rules, [trial for trial in trials if rung in trial.values], rung)
        for place, trial in enumerate(ranked):
            if _may_go_on(trial, rung):
                why = "the best there is, and no run would come to its end otherwise"
                return _promote(trial, rung, place, len(ranked), why)
    return None


def _promotion(
    rules: Rules,
    trials: Sequence[Trial],
    rung: int,
    bracket: int,
    taken: Callable[[Trial], bool],
) -> Decision | None:
    members = [trial for trial in trials if trial.bracket == bracket]
    there = [trial for trial in members if rung in trial.values]
    if rules.synchronous and not _is_complete(rules, trials, members, rung):
        return None
    ranked = ranking(rules, there, rung)
    places = math.floor(len(ranked) / rules.eta)
    if rules.synchronous:
        places = max(places, 1)
    for place, trial in enumerate(ranked[:places]):
        if _may_go_on(trial, rung) and taken(trial):
            value = trial.values[rung]
            why = f"{rules.metric} {value:.5g} is among the best {places} of {len(ranked)}"
            return _promote(trial, rung, place, len(ranked), why)
    return None


def _promote(trial: Trial, rung: int, place: int, of: int, why: str) -> Decision:
    assert trial.bracket is not None
    value = trial.values[rung]
    return Decision("promote", trial.id, rung + 1, trial.bracket, why, place + 1, of, value)


def _may_go_on(trial: Trial, rung: int) -> bool:
    return trial.target == rung and trial.values.get(rung) is not None


def _is_complete(
    rules: Rules, trials: Sequence[Trial], members: Sequence[Trial], rung: int
) -> bool:
    """Whether all have come to a rung that ever will: all begun, and nobody below who may come."""
    if any(not trial.begun for trial in trials):
        return False
    if any(trial.out and trial.target <= rung for trial in members):
        return False
    for below in range(rung):
        there = ranking(rules, [trial for trial in members if below in trial.values], below)
        places = max(1, math.floor(len(there) / rules.eta))
        if any(_may_go_on(trial, below) for trial in there[:places]):
            return False
    return True


def ranking(rules: Rules, there: Sequence[Trial], rung: int) -> list[Trial]:
    """Runs at a rung, the best first; those without a number last; ties as in the plan."""

    def key(trial: Trial) -> tuple[bool, float]:
        value = trial.values[rung]
        return value is None, 0.0 if value is None else value if rules.minimise else -value

    return sorted(there, key=key)


def _bracket(rules: Rules, trials: Sequence[Trial]) -> int:
    """The bracket that is furthest behind its share of the runs.

    Shares are Hyperband's: brackets that look later have fewer runs, each of which costs more.
    """
    highest = rules.brackets - 1
    shares = [rules.eta ** (highest - b) / (highest - b + 1) for b in range(rules.brackets)]
    have = [sum(trial.bracket == b for trial in trials) for b in range(rules.brackets)]
    owed = [
        share / sum(shares) * (sum(have) + 1) - count
        for share, count in zip(shares, have, strict=True)
    ]
    return max(range(rules.brackets), key=lambda b: (round(owed[b], 9), -b))


def paused(rules: Rules, trials: Sequence[Trial]) -> list[Trial]:
    """Runs that are put down, the worst first: of the lowest rung, there the last in rank."""

    def rest(trial: Trial) -> bool:
        return trial.begun and not (trial.out or trial.failed or trial.target == rules.rungs)

    at = {rung: [t for t in trials if rest(t) and t.target == rung] for rung in range(rules.rungs)}
    return [trial for rung, there in at.items() for trial in reversed(ranking(rules, there, rung))]


def to_drop(rules: Rules, trials: Sequence[Trial]) -> Iterator[Trial]:
    """Paused runs whose checkpoints are one too many."""
    if rules.paused_checkpoints is None:
        return
    kept = [trial for trial in paused(rules, trials) if trial.kept]
    yield from kept[: max(0, len(kept) - rules.paused_checkpoints)]
