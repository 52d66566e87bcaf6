"""What was known when across the runs of a sweep: from its decisions, or the ends of its runs."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl.files import read_object
from avatarl.report.metrics import describe
from avatarl.runs.outputs import Outputs, SweepFolder
from avatarl.runs.run import Run
from avatarl.search.summary import spearman


@dataclass(frozen=True)
class Rung:
    """What became of the runs that came to a rung; the last is the end.

    Attributes:
        steps: At which it is; more than one where runs are of different lengths.
        reached: How many came to it.
        went_on: How many of them were sent on.
        best: Of the metric; None: none had a number there.
        foretold: Rank correlation with the end, over the runs that came to it.
    """

    steps: tuple[int, ...]
    reached: int
    went_on: int
    best: float | None
    foretold: float | None


@dataclass(frozen=True)
class Searched:
    """A sweep as it went on.

    Attributes:
        metric: What its runs were ranked by.
        spent: Steps that had been computed whenever a run came to its end, ascending.
        begun: Runs that had been begun by then.
        values: Of the metric, of each run that came to its end.
        first: What each run had at the first rung, by id; of a sweep without rungs, at its end.
        rung: The step of that rung, where all runs have the same; None: the end.
        rungs: Of a search; empty for a grid.
        decisions: As in ``decisions.jsonl``.
    """

    metric: str
    spent: tuple[int, ...] = ()
    begun: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    first: Mapping[str, float] = field(default_factory=dict)
    rung: int | None = None
    rungs: tuple[Rung, ...] = ()
    decisions: tuple[Mapping[str, Any], ...] = ()

    @property
    def best(self) -> list[float]:
        """The best value so far, at each end."""
        return list(itertools.accumulate(self.values, _best_of(self.metric)))


def read_searched(runs: Sequence[Run], metric: str) -> Searched:
    """Read how the sweep of some runs went on; of a grid, in the order in which they ended.

    Args:
        runs: Those that compete.
        metric: What they are ranked by, unless a search says so itself.
    """
    names = {run.sweep for run in runs}
    if len(names) == 1 and (name := names.pop()):
        sweep = SweepFolder(Outputs(runs[0].folder.path.parent.parent).sweeps / name)
        rules = read_object(sweep.plan).get("search")
        if isinstance(rules, Mapping) and sweep.decisions.is_file():
            with contextlib.suppress(KeyError, TypeError, ValueError, OSError):
                return _decided(sweep.decisions, rules, {run.run_id: run for run in runs})
    ends = [run for run in runs if run.done and run.number(metric) is not None]
    ends.sort(key=lambda run: str(run.result.get("finished", "")))
    values = [run.number(metric) or 0.0 for run in ends]
    return Searched(
        metric,
        tuple(itertools.accumulate(int(run.result.get("steps") or 0) for run in ends)),
        tuple(range(1, len(ends) + 1)),
        tuple(values),
        {run.run_id: value for run, value in zip(ends, values, strict=True)},
    )


def _decided(path: Path, rules: Mapping[str, Any], runs: Mapping[str, Run]) -> Searched:
    metric = str(rules["metric"])
    spent, begun, at = 0, 0, dict.fromkeys(runs, 0)
    ends: list[tuple[int, int, float]] = []
    values: list[dict[str, float | None]] = [{} for _ in range(rules["rungs"] + 1)]
    steps: list[set[int]] = [set() for _ in values]
    sent_on: list[set[str]] = [set() for _ in values]
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for event in events:
        run, what = event["run"], event["event"]
        if run not in runs:
            continue
        begun += what == "start"
        if what == "drop":
            at[run] = 0
        if what == "promote":
            sent_on[event["rung"] - 1].add(run)
        if what != "report":
            continue
        spent, at[run] = spent + event["step"] - at[run], event["step"]
        values[event["rung"]][run] = event["value"]
        steps[event["rung"]].add(event["step"])
        if event["rung"] == rules["rungs"] and event["value"] is not None:
            ends.append((spent, begun, event["value"]))
    first = {run: value for run, value in values[0].items() if value is not None}
    return Searched(
        metric,
        tuple(spent for spent, _, _ in ends),
        tuple(begun for _, begun, _ in ends),
        tuple(value for _, _, value in ends),
        first,
        min(steps[0]) if len(steps[0]) == 1 and first and rules["rungs"] else None,
        tuple(
            _rung(metric, rung, values, steps[rung], len(sent_on[rung]))
            for rung in range(len(values))
        ),
        tuple(events),
    )


def _best_of(metric: str) -> Callable[..., float]:
    return max if describe(metric).better > 0 else min


def _rung(
    metric: str,
    rung: int,
    values: Sequence[Mapping[str, float | None]],
    steps: Collection[int],
    went_on: int,
) -> Rung:
    here, ends = values[rung], values[-1]
    finite = [value for value in here.values() if value is not None]
    is_end = rung == len(values) - 1
    return Rung(
        tuple(sorted(steps)),
        len(here),
        went_on,
        _best_of(metric)(finite) if finite else None,
        None if is_end else spearman([(value, ends.get(run)) for run, value in here.items()]),
    )
