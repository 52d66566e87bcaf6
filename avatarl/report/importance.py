"""How much each swept key matters for how good a run is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from avatarl.errors import ConfigError
from avatarl.report.comparison import Section
from avatarl.report.metrics import describe
from avatarl.report.scale import places, scale_of
from avatarl.report.searched import Searched
from avatarl.report.words import show
from avatarl.search.proposals import load_optuna

#: Fewer runs than this say nothing; and how many are the best ones, where a tenth is fewer.
_FEWEST, _BEST = 8, 10


@dataclass(frozen=True)
class Importance:
    """How much the keys of a sweep matter.

    Attributes:
        shares: Of each key, most important first.
        told: Of which metric, where, by what measure and of how many runs.
    """

    shares: Mapping[str, float]
    told: str


def importance_of(section: Section, searched: Searched) -> Importance | None:
    """Tell what mattered; of a search, by what runs had at its first rung, where all of them are.

    None for too few runs, or fewer than two keys.
    """
    rows = [row for row in section.configurations if not row.is_control]
    runs = [(row, run) for row in rows for run in row.runs if run.run_id in searched.first]
    columns = {
        key: words
        for key in section.keys
        if all(key in row.values for row, _ in runs)
        and len(set(words := [show(row.values[key]) for row, _ in runs])) > 1
    }
    if len(columns) < 2 or len(runs) < _FEWEST:
        return None
    values = [searched.first[run.run_id] for _, run in runs]
    found, how = importances(columns, values, minimise=describe(searched.metric).better < 0)
    where = f" at step {searched.rung}" if searched.rung else ""
    return Importance(
        {key: found[key] for key in sorted(found, key=lambda key: -found[key])},
        f"importance for {searched.metric}{where} ({how}, n = {len(runs)})",
    )


def importances(
    columns: Mapping[str, Sequence[str]], values: Sequence[float], *, minimise: bool
) -> tuple[dict[str, float], str]:
    """Tell how much keys matter, and by what measure.

    PED-ANOVA where Optuna is installed (Watanabe et al. 2023, arXiv 2304.10255): how much of what
    sets the best runs apart is each key's; those are a tenth, or ten, or half of them. Else the
    rank correlation of numbers, and of words the share of the ranks' variance between them, as a
    root.

    Args:
        columns: The words of each key, a run each.
        values: Of the runs.
        minimise: Whether less is better.
    """
    try:
        return _ped_anova(columns, values, minimise, load_optuna()), "PED-ANOVA"
    except ConfigError:
        pass
    ranks = pl.Series(list(values)).rank().to_numpy()
    return {key: _correlation(words, ranks) for key, words in columns.items()}, "rank correlation"


def _correlation(words: Sequence[str], ranks: Any) -> float:
    where, numeric = places(words)
    if numeric:
        numbers = pl.Series([where[word] for word in words]).rank().to_numpy()
        return abs(float(np.corrcoef(numbers, ranks)[0, 1])) if np.std(ranks) else 0.0
    groups = [ranks[[other == word for other in words]] for word in set(words)]
    between = sum(len(group) * (group.mean() - ranks.mean()) ** 2 for group in groups)
    return float(np.sqrt(between / (len(ranks) * ranks.var()))) if ranks.var() else 0.0


def _ped_anova(
    columns: Mapping[str, Sequence[str]], values: Sequence[float], minimise: bool, optuna: Any
) -> dict[str, float]:
    kinds: dict[str, Any] = {}
    numbers: dict[str, list[Any]] = {}
    for key, words in columns.items():
        where, numeric = places(words)
        if numeric:
            found = [where[word] for word in words]
            log = scale_of(found, chosen=True) == "log"
            kinds[key] = optuna.distributions.FloatDistribution(min(found), max(found), log=log)
            numbers[key] = found
        else:
            kinds[key] = optuna.distributions.CategoricalDistribution(sorted(set(words)))
            numbers[key] = list(words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that what is used here is experimental
        study = optuna.create_study(direction="minimize" if minimise else "maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={key: numbers[key][at] for key in columns}, distributions=kinds,
                    value=value,
                )
                for at, value in enumerate(values)
            ]
        )  # fmt: skip
        best = max(0.1, min(0.5, _BEST / len(values)))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
