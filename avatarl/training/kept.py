"""The weights that predicted the development slice best, kept for the end of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Kept:
    """The best weights so far.

    Attributes:
        weights: By name; empty before the first evaluation, and where none are kept.
        step: The step they are of.
        nats: What they gave the slice's characters, per character.
        waited: Evaluations since then, none of them better.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    nats: float = math.inf
    waited: int = 0

    def consider(self, weights: Mapping[str, Tensor], step: int, nats: float) -> None:
        """Keep a copy of weights that did better than the best so far."""
        if not nats < self.nats:
            self.waited += 1
            return
        self.weights = {name: value.detach().clone() for name, value in weights.items()}
        self.step, self.nats, self.waited = step, nats, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what isn't a tensor, as JSON values; empty where nothing is kept."""
        if not self.weights:
            return {}
        return {"step": self.step, "nats": self.nats, "waited": self.waited}

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device
    ) -> Kept:
        """Continue from what :meth:`state_dict` returned, and the weights beside it."""
        return cls({name: value.to(device) for name, value in weights.items()}, **state)
