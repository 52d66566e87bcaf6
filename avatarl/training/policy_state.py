"""What changes of one policy as it learns: its weights, and the memory of what moves them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatarl.model import Policy


@dataclass
class PolicyState:
    """One policy's part of a run's state.

    Attributes:
        model: The policy being trained.
        old_model: The policy that acts, where it isn't the trained one.
        optimizers: With their memory.
        controller_state: What the objective's controllers remember.
        average: The average of the weights so far; empty where none is made.
    """

    model: Policy
    old_model: Policy | None
    optimizers: list[torch.optim.Optimizer]
    controller_state: dict[str, Tensor]
    average: dict[str, Tensor]

    @functools.cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The trained weights by name."""
        return dict(self.model.named_parameters())

    @property
    def evaluated(self) -> dict[str, Tensor]:
        """The weights that evaluation looks at, by name: their average where one is made."""
        return self.average or self.parameters

    def copied_weights(self) -> dict[str, Tensor]:
        """Return a copy of the trained weights, by name."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def refresh_old_model(self) -> None:
        """Let the acting policy be the trained one as it is now."""
        if self.old_model is not None:
            for old, new in zip(self.old_model.parameters(), self.model.parameters(), strict=True):
                old.copy_(new)

    def update(
        self,
        gradients: Sequence[Tensor],
        controller_state: Mapping[str, Tensor],
        grad_clip: float,
        average_rate: Tensor,
    ) -> Tensor:
        """Move the weights along their gradients, and remember what controllers want to.

        Args:
            gradients: Of each weight, in order.
            controller_state: The controllers' next memory.
            grad_clip: Largest norm of the whole gradient.
            average_rate: Share of the new weights in their average, 0-d.

        Returns:
            Norm of the whole gradient before clipping, 0-d.
        """
        weights = list(self.parameters.values())
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.contiguous()  # fused optimisers read memory in order
        norm = torch.nn.utils.clip_grad_norm_(weights, grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, average in self.average.items():
                average.lerp_(self.parameters[name], average_rate)
        for name, value in controller_state.items():
            self.controller_state[name].copy_(value.detach())
        return norm.detach()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name, as it is in use."""
        tensors = {f"model.{name}": value for name, value in self.parameters.items()}
        if self.old_model is not None:
            old = self.old_model.named_parameters()
            tensors |= {f"old.{name}": value for name, value in old}
        tensors |= {f"control.{name}": value for name, value in self.controller_state.items()}
        tensors |= _pack(self.optimizers)
        return tensors | {f"average.{name}": value for name, value in self.average.items()}

    @torch.no_grad()
    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`tensors` returned; weights stay where they are in memory."""
        for name, value in self.parameters.items():
            value.copy_(tensors[f"model.{name}"])
        if self.old_model is not None:
            for name, value in self.old_model.named_parameters():
                value.copy_(tensors[f"old.{name}"])
        for name, value in self.average.items():
            value.copy_(tensors[f"average.{name}"])
        for name, value in self.controller_state.items():
            value.copy_(tensors[f"control.{name}"])
        _unpack(self.optimizers, tensors)


def _pack(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Flatten the optimisers' memory to named tensors."""
    packed = {}
    for index, optimizer in enumerate(optimizers):
        for place, memory in optimizer.state_dict()["state"].items():
            for key, value in memory.items():
                packed[f"optimizer.{index}.{place}.{key}"] = torch.as_tensor(value)
    return packed


def _unpack(optimizers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Give the optimisers back what :func:`_pack` took."""
    for index, optimizer in enumerate(optimizers):
        content: dict[str, Any] = optimizer.state_dict()
        memory: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            head, _, rest = name.partition(f"optimizer.{index}.")
            if head or not rest:
                continue
            place, key = rest.split(".", 1)
            memory.setdefault(int(place), {})[key] = value
        content["state"] = memory
        optimizer.load_state_dict(content)
