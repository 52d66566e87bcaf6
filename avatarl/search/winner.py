"""What a search has found, and what it cost."""

from __future__ import annotations

from avatarl.search.study import Study


def told(study: Study) -> str | None:
    """Say which run is best, with its held-out figure: the only one that a search needs.

    It is of the best of several, so how many they were stands beside it.
    """
    best = study.best()
    if best is None:
        return None
    run, value = best
    trials = sum(trial.begun for trial in study.trials.values())
    held_out = dict(run.folder.read_result() or {}).get("val/nats")
    figure = "" if held_out is None else f"; held out, as the best of {trials}: {held_out:.4f} nats"
    return f"Best of {trials} trials: {run.label}, {study.rules.metric} {value:.5g}{figure}"
