"""What has come of a study: the best, where runs are, steps saved, and what the rungs told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avatarl.runs.flatten import flatten
from avatarl.search.rules import Trial, paused
from avatarl.search.study import Study

#: Fewer runs than this have no rank correlation worth telling.
_FEWEST = 3
#: What runs are told apart by: high ones look bad before they are annealed.
_LR = "optimizer.lr"


def line(study: Study) -> str:
    """Tell where a study is, on one line."""
    trials = list(study.trials.values())
    last = study.rules.rungs
    best = study.best()
    parts = []
    if best is not None:
        parts.append(f"best {study.rules.metric} {best[1]:.4f} ({best[0].label})")
    reached = [sum(rung in trial.values for trial in trials) for rung in range(last)]
    ended = sum(trial.values.get(last) is not None for trial in trials)
    counts = [f"rung {rung}: {count}" for rung, count in enumerate(reached)]
    parts.append(", ".join([*counts, f"end: {ended} of {len(trials)} runs"]))
    promoted = sum(trial.target - (trial.bracket or 0) for trial in trials if trial.begun)
    parts.append(f"{len(paused(study.rules, trials))} paused, {promoted} promotions")
    whole = sum(run.rungs[-1] for run in study.runs.values())
    spent = steps_spent(study)
    parts.append(f"{spent:,} of {whole:,} steps ({1 - spent / whole:.0%} saved)".replace("%", " %"))
    return "search: " + "; ".join(parts)


def steps_spent(study: Study) -> int:
    """Steps that were computed for runs that have come to their rungs, with what came twice."""
    return sum(trial.spent for trial in study.trials.values())


def correlations(study: Study) -> list[str]:
    """Tell how well each rung foretold the end, in all and by learning rate: Spearman's rho."""
    groups: dict[str, list[Trial]] = {"all": []}
    rates: dict[str, list[Trial]] = {}
    for trial in study.trials.values():
        if trial.values.get(study.rules.rungs) is not None:
            groups["all"].append(trial)
            rate = flatten(study.runs[trial.id].config).get(_LR)
            rates.setdefault(f"lr {rate:g}" if isinstance(rate, float) else "", []).append(trial)
    if len(rates) > 1:
        groups |= {name: rates[name] for name in sorted(rates)}
    lines = []
    for name, trials in groups.items():
        found = {rung: _rho(trials, rung, study.rules.rungs) for rung in range(study.rules.rungs)}
        told = [f"rung {rung} {rho:.2f}" for rung, rho in found.items() if rho is not None]
        if told:
            lines.append(
                f"rank correlation with the end, {name} (n={len(trials)}): {', '.join(told)}"
            )
    return lines


def _rho(trials: Sequence[Trial], rung: int, last: int) -> float | None:
    return spearman([(trial.values.get(rung), trial.values[last]) for trial in trials])


def spearman(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Correlate the ranks of pairs, ties sharing theirs; None for too few, or all alike.

    Pairs that lack one of the two are left out. Source: Spearman 1904.
    """
    whole = [pair for pair in pairs if None not in pair]
    if len(whole) < _FEWEST:
        return None
    import polars as pl  # here, since status is told without it

    first, second = (pl.Series([pair[side] for pair in whole], dtype=pl.Float64) for side in (0, 1))
    rho = float(pl.select(pl.corr(first, second, method="spearman")).item())
    return None if math.isnan(rho) else rho
