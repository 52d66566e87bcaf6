"""Proposing runs to the jobs of a search, which compose none themselves, ahead of their asking."""

from __future__ import annotations

from avatarl.search.study import Study
from avatarl.sweep.launch import Proposes


def feed(search: Proposes, study: Study, workers: int) -> None:
    """Keep a proposal for each worker that has nothing to do, and one for who is free next.

    Args:
        search: Proposes.
        study: To which.
        workers: How many there are by now.

    Raises:
        UserError: Nothing of the space can be run.
    """
    study.look()
    idle = max(0, workers - study.under_way)
    # A proposal that another sweep has computed already is nothing to do.
    waiting = sum(
        not trial.begun and study.runs[trial.id].folder.read_result() is None
        for trial in study.trials.values()
    )
    for _ in range(idle + 1 - waiting):
        if study.open:
            search.grow(study)
