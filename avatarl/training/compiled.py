"""The network's forward and backward pass as one compiled program, shared by runs of one shape.

Only the network is compiled: it is nearly all of a step's arithmetic, and what surrounds it
(looking up, rewarding, weighing) stays readable as it runs. Weights are inputs of the program, so
every run with a network of this shape in this process uses the same one, whatever its numbers.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger("avatarl")

Forward = Callable[..., Tensor]


def forward_of(model: nn.Module, setting: str, device: torch.device) -> Forward:
    """Return the network as a function, compiled where the setting says so.

    Args:
        model: The network.
        setting: ``trainer.compile``: ``auto`` compiles on GPUs, where it fuses what would be
            dozens of kernels; on CPUs, where matrix products dominate, it was measured not to pay.
        device: Where it runs.
    """
    if setting == "auto":
        setting = "on" if device.type == "cuda" else "off"
    if setting == "off":
        return model
    graphs = setting == "graphs"
    if graphs and device.type != "cuda":
        log.warning("trainer.compile=graphs needs a GPU: compiled without CUDA graphs")
        graphs = False
    return _Compiled(model, graphs)


class _Compiled:
    """A network that is compiled at its first call; as it is, from then on, where that fails."""

    def __init__(self, model: nn.Module, graphs: bool) -> None:
        self.model, self.graphs = model, graphs
        self._works: bool | None = None

    def __call__(self, context: Tensor, **options: Any) -> Tensor:
        if self._works is False:
            return _plainly(self.model, context, **options)
        if self._works:
            return _program(self.graphs)(self.model, context, **options)
        try:
            logits = _program(self.graphs)(self.model, context, **options)
        except torch._dynamo.exc.TorchDynamoException as error:
            self._works = False
            reason = (str(error).splitlines() or [""])[0]
            log.warning("not compiled: %s: %s", type(error).__name__, reason)
            return _plainly(self.model, context, **options)
        self._works = True
        return logits


def _plainly(model: nn.Module, context: Tensor, **options: Any) -> Tensor:
    logits: Tensor = model(context, **options)
    return logits


@functools.cache
def _program(graphs: bool) -> Forward:
    compiled: Forward = torch.compile(
        _plainly, fullgraph=True, dynamic=False, mode="reduce-overhead" if graphs else None
    )
    return compiled
