"""Several runs at once in one process: those that share a program are trained as one.

Each run keeps its own folder, journal, checkpoints, alarms and end, and computes what it computes
alone. Whether stacking pays depends on the device and the size of the network, so ``auto`` measures
before it chooses, on throw-away learners of the very runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig, parse, structure_key
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.reference.free_memory import free_memory
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training.attempt import Attempt
from avatarl.training.functional import unsupported_reason
from avatarl.training.learner import Learner
from avatarl.training.loop import begin, drive, pick_device
from avatarl.training.run_log import informed
from avatarl.training.stack import Stack

log = logging.getLogger("avatarl")

# A stack has to be so much faster than its runs one after another to be chosen.
_WORTH = 0.95
_WARM_STEPS, _TIMED_STEPS = 1, 4
# Measuring may cost this share of the runs' own steps; shorter runs aren't stacked by ``auto``.
_MEASURING_SHARE = 0.03
# Bytes a weight takes at most: itself, its gradient, the optimiser's memory, past selves apart.
_BYTES_A_WEIGHT = 24

_chosen: dict[tuple[str, int, int, str], int] = {}


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
        stop: Asked between two steps; True puts all runs down that aren't done.
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


def check_stack(stack: int | str) -> int:
    """Return the size asked for, 0 for ``auto``.

    Raises:
        ConfigError: It is neither ``auto`` nor a number above 0.
    """
    if stack == "auto":
        return 0
    if not str(stack).isdigit() or int(stack) < 1:
        raise ConfigError("hydra.launcher.stack", stack, "auto, or a number >= 1")
    return int(stack)


def _execute_together(
    configs: Sequence[RunConfig],
    places: Sequence[int],
    stop: Callable[[], bool],
    on_progress: Callable[[int, Progress], None] | None,
    prepared_corpus: Path | None,
) -> list[dict[str, Any] | Exception]:
    outcomes: list[dict[str, Any] | Exception | None] = [None] * len(configs)
    attempts: dict[int, Attempt] = {}

    def teller(place: int) -> Callable[[Progress], None] | None:
        if on_progress is None:
            return None
        return lambda progress: on_progress(place, progress)

    for index, (config, place) in enumerate(zip(configs, places, strict=True)):
        try:
            begun = begin(config, load_corpus(config.data, prepared_corpus), teller(place))
        except Exception as error:
            outcomes[index] = error
            continue
        if isinstance(begun, Result):
            outcomes[index] = dict(begun)
        else:
            attempts[index] = begun
    if len(attempts) > 1:
        log.info("%d runs are trained as one program", len(attempts))
    driven = drive(list(attempts.values()), Together(), stop)
    for index, outcome in zip(attempts, driven, strict=True):
        outcomes[index] = outcome if isinstance(outcome, Exception) else dict(outcome)
    return [outcome for outcome in outcomes if outcome is not None]


def choose_stack(configs: Sequence[RunConfig], prepared_corpus: Path | None = None) -> int:
    """Measure how many of these runs to train as one program; 1 where stacking brings nothing.

    The verdict is kept for as long as the process lives.

    Args:
        configs: Runs of one :func:`structure_key`.
        prepared_corpus: The text, if it has been prepared already.
    """
    if len(configs) < 2:
        return 1
    first = configs[0]
    device = pick_device(first.trainer.device)
    corpus = load_corpus(first.data, prepared_corpus)
    if first.trainer.threads is not None:
        torch.set_num_threads(first.trainer.threads)
    learner = Learner(first, corpus, device)
    largest = min(len(configs), _fitting(learner))
    # Stacks of all, of half and of a quarter of them, each beside a step alone.
    cost = 2 * (_WARM_STEPS + _TIMED_STEPS) * (largest + 2)
    if largest < 2 or cost > _MEASURING_SHARE * learner.steps * len(configs):
        log.info(
            "%d runs: too short, or too large, to find out whether stacking pays", len(configs)
        )
        return 1
    key = structure_key(first), len(configs), torch.get_num_threads(), str(device)
    if key not in _chosen:
        _chosen[key] = _measure(learner, configs[:largest], corpus)
    return _chosen[key]


def _fitting(learner: Learner) -> int:
    """How many such learners a quarter of the free memory holds."""
    if learner.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(learner.device)
    else:
        free = free_memory()
    weights = sum(weight.numel() for weight in learner.parameters.values())
    return int(free // (4 * _BYTES_A_WEIGHT * weights))


def _measure(first: Learner, configs: Sequence[RunConfig], corpus: Corpus) -> int:
    learners = [first, *(Learner(config, corpus, first.device) for config in configs[1:])]
    best, least = 1, _WORTH
    size = len(learners)
    while size > 1:
        stack = Stack(learners[:size])
        try:
            solo, together = _time_in_turns(first, stack)
        except torch.cuda.OutOfMemoryError:
            log.warning("%d runs as one don't fit into the GPU's memory", size)
        else:
            share = together / (size * solo)
            log.info("%d runs as one: %.2f of the time one by one", size, share)
            if share < least:
                best, least = size, 0.98 * share
        stack.release()
        size = size // 2 if 4 * size > len(learners) * 2 else 1
    log.info("runs are trained %s", "one by one" if best == 1 else f"in stacks of {best}")
    return best


def _time_in_turns(learner: Learner, stack: Stack) -> tuple[float, float]:
    """Seconds of a step alone and of a stacked one, in turns, the least of a few each."""
    # With one thread processor time is what a step costs, whatever else the machine is doing.
    alone = learner.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter

    def timed(step: Callable[[], object]) -> float:
        _wait(learner.device)
        before = clock()
        step()
        _wait(learner.device)
        return clock() - before

    solo, together = [], []
    for turn in range(_WARM_STEPS + _TIMED_STEPS):
        one = timed(lambda: learner.train_step(with_facts=False))
        many = timed(lambda: stack.train_step(with_facts=False))
        if turn >= _WARM_STEPS:
            solo.append(one)
            together.append(many)
    return min(solo), min(together)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
