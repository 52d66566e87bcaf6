"""Several runs at once in one process: those that share a program are trained as one.

Each run keeps its own folder, journal, checkpoints, alarms and end, and computes what it computes
alone. Whether stacking pays depends on the device and the size of the network, so ``auto`` measures
before it chooses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig, parse, structure_key
from avatarl.data import load as load_corpus
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training.entry import open_run
from avatarl.training.functional import unsupported_reason
from avatarl.training.learner import Learner
from avatarl.training.run_log import informed
from avatarl.training.stack import Stack
from avatarl.training.stack_size import check_stack, choose_stack
from avatarl.training.trainer import Trainer, train

log = logging.getLogger("avatarl")


class Together:
    """Steps the learners that are still going as one stack, made anew whenever one leaves."""

    def __init__(self) -> None:
        self._stack: Stack | None = None

    def __call__(self, learners: list[Learner], with_facts: bool) -> list[dict[str, torch.Tensor]]:
        """Take one step of every learner."""
        if self._stack is not None and self._stack.learners != learners:
            self._stack.release()
            self._stack = None
        if len(learners) == 1:
            return [learners[0].train_step(with_facts=with_facts)]
        if self._stack is None:
            self._stack = Stack(learners)
        return self._stack.train_step(with_facts=with_facts)


def execute_stacked(
    raws: Sequence[Mapping[str, Any]],
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, Progress], None] | None = None,
    prepared_corpus: Path | None = None,
    stack: int | str = "auto",
) -> list[dict[str, Any] | Exception]:
    """Execute runs given as plain data, stacked where that is possible and pays.

    Args:
        raws: Resolved configurations.
        stop: Asked between two steps; True suspends all runs that aren't done.
        on_progress: Told about each logged step, with the run's place in ``raws``.
        prepared_corpus: The text, if it has been prepared already.
        stack: Most runs in a stack; ``auto`` measures.

    Returns:
        For each run its result as plain data, or what ended it: ``Interrupted``, or what went
        wrong with this run alone.

    Raises:
        ConfigError: ``stack`` is neither ``auto`` nor a number above 0.
    """
    wanted = check_stack(stack)
    with informed():
        return _execute_stacked(raws, stop, on_progress, prepared_corpus, wanted)


def _execute_stacked(
    raws: Sequence[Mapping[str, Any]],
    stop: Callable[[], bool],
    on_progress: Callable[[int, Progress], None] | None,
    prepared_corpus: Path | None,
    wanted: int,
) -> list[dict[str, Any] | Exception]:
    outcomes: dict[int, dict[str, Any] | Exception] = {}
    families: dict[str, list[int]] = {}
    configs: dict[int, RunConfig] = {}
    for place, raw in enumerate(raws):
        try:
            configs[place] = config = parse(raw)
        except Exception as error:
            outcomes[place] = error
            continue
        reason = unsupported_reason(config)
        if reason is not None:
            if wanted != 1:
                log.warning("%s runs alone: %s", config.name, reason)
            families[f"{place} alone"] = [place]
        else:
            families.setdefault(structure_key(config), []).append(place)

    for places in families.values():
        size = wanted or choose_stack([configs[place] for place in places], prepared_corpus)
        for first in range(0, len(places), size):
            chunk = places[first : first + size]
            results = _execute_together(
                [configs[place] for place in chunk], chunk, stop, on_progress, prepared_corpus
            )
            outcomes |= dict(zip(chunk, results, strict=True))
    return [outcomes[place] for place in range(len(raws))]


def _execute_together(
    configs: Sequence[RunConfig],
    places: Sequence[int],
    stop: Callable[[], bool],
    on_progress: Callable[[int, Progress], None] | None,
    prepared_corpus: Path | None,
) -> list[dict[str, Any] | Exception]:
    outcomes: list[dict[str, Any] | Exception | None] = [None] * len(configs)
    trainers: dict[int, Trainer] = {}

    def teller(place: int) -> Callable[[Progress], None] | None:
        if on_progress is None:
            return None
        return lambda progress: on_progress(place, progress)

    for index, (config, place) in enumerate(zip(configs, places, strict=True)):
        try:
            corpus = load_corpus(config.data, prepared_corpus)
            opened = open_run(config, corpus, on_progress=teller(place))
        except Exception as error:
            outcomes[index] = error
            continue
        if isinstance(opened, Result):
            outcomes[index] = dict(opened)
        else:
            trainers[index] = opened
    if len(trainers) > 1:
        log.info("%d runs are trained as one program", len(trainers))
    ended = train(list(trainers.values()), Together(), stop)
    for index, outcome in zip(trainers, ended, strict=True):
        outcomes[index] = outcome if isinstance(outcome, Exception) else dict(outcome)
    return [outcome for outcome in outcomes if outcome is not None]
