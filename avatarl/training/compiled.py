"""How a run's steps are compiled, and what compiled programs runs share.

What is compiled is the step up to its loss with the backward pass. Weights, batches and numbers are
inputs of the program, so every run of one structure in this process uses the same one. Rollouts and
repeated batches, which aren't one function, have their network compiled alone.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avatarl.config import RunConfig
from avatarl.training.functional import (
    FunctionalStep,
    TensorInputs,
    TensorOutputs,
    evaluate_all,
    evaluate_one,
    unsupported_reason,
)

log = logging.getLogger("avatarl")

Forward = Callable[..., Tensor]
Evaluate = Callable[[FunctionalStep, TensorInputs, bool], TensorOutputs]
Remarks = list[tuple[int, str]]  # logging level, what a run does otherwise than it was asked to


@dataclass(frozen=True)
class Mode:
    """What is compiled, and whether steps are recorded as a CUDA graph."""

    network: bool = False
    step: bool = False
    recorded: bool = False


def compile_mode(config: RunConfig, device: torch.device, remarks: Remarks) -> Mode:
    """Decide how a run's steps are compiled, by ``trainer.compile``.

    ``auto`` compiles on GPUs, where it fuses what would be hundreds of kernels, and records steps
    as CUDA graphs; on CPUs, where matrix products dominate, it was measured not to pay. What can't
    be had is added to ``remarks``.
    """
    setting = config.trainer.compile
    if setting == "auto":
        setting = "graphs" if device.type == "cuda" else "off"
    if setting == "off":
        return Mode()
    level = logging.INFO if config.trainer.compile == "auto" else logging.WARNING
    apart = unsupported_reason(config)
    if apart:
        remarks.append(
            (level, f"trainer.compile={setting}: the network alone is compiled: {apart}")
        )
        return Mode(network=True)
    reason = None
    if device.type != "cuda":
        reason = "it needs a GPU"
    elif config.opponent.members:
        reason = f"opponent={config.opponent.name} replaces weights"
    elif config.reference.gates:
        reason = "reference/schedule=gated decides as it goes"
    if setting == "graphs" and reason:
        remarks.append((level, f"trainer.compile=graphs: compiled without CUDA graphs: {reason}"))
    return Mode(step=True, recorded=setting == "graphs" and not reason)


class Compiled:
    """A function that is compiled at its first call; as it is, from then on, where that fails.

    Args:
        plain: The function.
    """

    def __init__(self, plain: Callable[..., Any]) -> None:
        self.plain = plain
        self._works: bool | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the compiled function, or the plain one."""
        if self._works is False:
            return self.plain(*args, **options)
        if self._works:
            return _program(self.plain)(*args, **options)
        try:
            result = _program(self.plain)(*args, **options)
        except torch._dynamo.exc.TorchDynamoException as error:
            self._works = False
            reason = (str(error).splitlines() or [""])[0]
            log.warning("not compiled: %s: %s", type(error).__name__, reason)
            return self.plain(*args, **options)
        self._works = True
        return result


def forward_of(model: nn.Module, mode: Mode) -> Forward:
    """Return the network as a function, compiled on its own where the mode says so."""
    return functools.partial(Compiled(_forward), model) if mode.network else model


def evaluate_of(mode: Mode, *, replicas: bool = False) -> Evaluate:
    """Return what takes a :class:`FunctionalStep`: of one run, or of replicas."""
    plain = evaluate_all if replicas else evaluate_one
    return Compiled(plain) if mode.step else plain


def _forward(model: nn.Module, context: Tensor, **options: Any) -> Tensor:
    logits: Tensor = model(context, **options)
    return logits


@functools.cache
def _program(function: Callable[..., Any]) -> Callable[..., Any]:
    # Each structure is a compilation of its own; a sweep may have more than torch's eight.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(function, fullgraph=True, dynamic=False)
