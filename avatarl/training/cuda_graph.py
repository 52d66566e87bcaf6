"""A step recorded once as a CUDA graph, and replayed: one launch instead of hundreds.

A small network's step is mostly the host telling the GPU what to do next. Recording it asks two
things of the step: everything it reads and writes stays at one address, and nothing in it waits for
the device or follows from numbers on the host. Numbers that change from step to step (windows,
random draws, schedules, learning rates) are therefore written to their places before the replay.

Source: *CUDA Graphs*, PyTorch documentation, "Whole-network capture".
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor

log = logging.getLogger("avatarl")

Facts = dict[str, Tensor]
_EAGER_STEPS = 3  # compiling, kernels' first launches and the optimisers' memory come first
_ATTEMPTS = 3


class GraphRecorder:
    """Takes a step as it is at first, then records it, then replays what it recorded.

    A step that can't be recorded goes on as it is, with one logged line.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._key: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._names: list[str] = []
        self._values: Tensor | None = None  # all facts, (F,…)
        self._failures = 0

    @property
    def recording(self) -> bool:
        """Whether steps are replayed."""
        return self._graph is not None

    def forget(self) -> None:
        """Record anew at the next chance: what the step reads or writes has moved."""
        self._graph, self._values, self._taken = None, None, 0

    def __call__(self, act: Callable[[], Facts], key: Hashable) -> Facts:
        """Take a step.

        Args:
            act: The step, the same one at every call.
            key: What the host decides of it; when that changes, the step is recorded anew.

        Returns:
            What ``act`` returns, as tensors of the caller's own.
        """
        if key != self._key:
            self.forget()
            self._key = key
        self._taken += 1
        if self._failures >= _ATTEMPTS or self._taken <= _EAGER_STEPS:
            return act()
        if self._graph is None:
            self._record(act)
        if self._graph is None or self._values is None:
            return act()
        self._graph.replay()
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))

    def _record(self, act: Callable[[], Facts]) -> None:
        # Nothing runs while it is recorded, so a failure leaves the run where it was.
        graph = torch.cuda.CUDAGraph()
        try:
            with _without_garbage(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                facts = act()
                values = torch.stack([value.float() for value in facts.values()])
        except RuntimeError as error:
            self._failures += 1
            torch.cuda.synchronize()
            if self._failures == _ATTEMPTS:
                reason = (str(error).splitlines() or [""])[0]
                log.warning("steps aren't recorded as a CUDA graph: %s", reason)
            return
        self._graph, self._names, self._values = graph, list(facts), values


@contextlib.contextmanager
def _without_garbage() -> Iterator[None]:
    """Let no forgotten graph or kernel be destroyed meanwhile: that breaks a recording.

    Since PyTorch 2.9 :class:`torch.cuda.graph` no longer collects garbage first (PyTorch pull
    request 161037 describes the error).
    """
    gc.collect()
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
