"""The study of a plan: what decides which of its runs go on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from avatarl.search.rules import Rules
from avatarl.search.study import Study
from avatarl.sweep.plan.planned import Plan, PlannedRun


def study_of(
    plan: Plan,
    sweep: Path,
    say: Callable[[str], object] = lambda line: None,
    takes: Collection[str] | None = None,
) -> Study | None:
    """Open the study of a sweep; None where each run goes to its end.

    Args:
        plan: The sweep's plan.
        sweep: Its folder.
        say: Told what becomes of paused runs' checkpoints.
        takes: Ids of the runs that who asks may work on; None: all.
    """
    if plan.search is None:
        return None
    runs = [run for run in plan.runs if run.rungs]
    return Study(sweep, runs, Rules.from_json(plan.search), say, PlannedRun.from_json, takes)
