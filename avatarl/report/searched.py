"""What was known when across the runs of a sweep, for pictures: from its decisions, or its ends."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl.files import read_object
from avatarl.report.metrics import describe
from avatarl.runs.outputs import Outputs, SweepFolder
from avatarl.runs.run import Run


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
    """

    metric: str
    spent: tuple[int, ...] = ()
    begun: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    first: Mapping[str, float] = field(default_factory=dict)
    rung: int | None = None

    @property
    def best(self) -> list[float]:
        """The best value so far, at each end."""
        better = max if describe(self.metric).better > 0 else min
        return list(itertools.accumulate(self.values, better))


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
    spent, begun, at = 0, 0, dict.fromkeys(runs, 0)
    ends: list[tuple[int, int, float]] = []
    first: dict[str, float] = {}
    rungs: set[int] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        run, what = event["run"], event["event"]
        if run not in runs:
            continue
        begun += what == "start"
        if what == "drop":
            at[run] = 0
        if what != "report":
            continue
        spent, at[run] = spent + event["step"] - at[run], event["step"]
        if event["rung"] == 0 and event["value"] is not None:
            first[run] = event["value"]
            rungs.add(event["step"])
        if event["rung"] == rules["rungs"] and event["value"] is not None:
            ends.append((spent, begun, event["value"]))
    return Searched(
        str(rules["metric"]),
        tuple(spent for spent, _, _ in ends),
        tuple(begun for _, begun, _ in ends),
        tuple(value for _, _, value in ends),
        first,
        rungs.pop() if len(rungs) == 1 and rules["rungs"] else None,
    )
