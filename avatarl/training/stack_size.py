"""How many runs to train as one program, measured on throw-away learners of the very runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from avatarl.config import RunConfig, structure_key
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.reference.free_memory import free_memory
from avatarl.training.device import pick_device, wait_for
from avatarl.training.learner import Learner
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
    free = free_memory(learner.device)
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
        except torch.OutOfMemoryError:
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
        wait_for(learner.device)
        before = clock()
        step()
        wait_for(learner.device)
        return clock() - before

    solo, together = [], []
    for turn in range(_WARM_STEPS + _TIMED_STEPS):
        one = timed(lambda: learner.train_step(with_facts=False))
        many = timed(lambda: stack.train_step(with_facts=False))
        if turn >= _WARM_STEPS:
            solo.append(one)
            together.append(many)
    return min(solo), min(together)
