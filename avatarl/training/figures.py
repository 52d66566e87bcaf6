"""What shows learning, whatever the reward is: figures of every step, averaged between records.

Every run has these in common, so that runs of unlike rewards share an axis. They are of the acting
policy on text that it is about to learn from, and are read by the log alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avatarl.training.device import widest

#: Figures (by the start of their names) whose record is the mean of all steps since the last one;
#: any other describes the latest batch.
AVERAGED = ("train/", "opponent/", "reward/expected", "reward/hit_probability")


@torch.no_grad()
def learning_facts(logprobs: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Describe how a policy takes the text's characters, all 0-d.

    ``reward/hit_probability`` is E_π[1[a = y]], the reward that all runs have in common;
    ``train/rank`` counts from 1, the most probable; ``train/margin`` is in nats, ahead of the best
    other character.

    Args:
        logprobs: (B,T,V) of the policy.
        target: (B,T) int64, the text's characters.
    """
    wanted = target.unsqueeze(-1)
    own = logprobs.gather(-1, wanted)  # (B,T,1)
    margin = own - logprobs.scatter(-1, wanted, -torch.inf).amax(-1, keepdim=True)
    return {
        "train/nats": -own.mean(),
        "train/accuracy": (margin > 0).to(own.dtype).mean(),
        "train/rank": 1 + (logprobs > own).to(own.dtype).sum(-1).mean(),
        "train/margin": margin.mean(),
        "reward/hit_probability": own.exp().mean(),
    }


@dataclass
class Means:
    """Averages figures over steps, on the device, without waiting for it.

    Attributes:
        names: Of the figures.
        total: (F,) sums since the last record, float64 where the device has it; None where there
            was no step.
        steps: How many.
    """

    names: list[str] = field(default_factory=list)
    total: Tensor | None = None
    steps: int = 0

    def add(self, facts: Mapping[str, Tensor]) -> None:
        """Take in a step's averaged figures."""
        self.names = [name for name in facts if name.startswith(AVERAGED)]
        values = torch.stack([facts[name] for name in self.names])
        values = values.to(widest(values.device))
        self.total = values if self.total is None else self.total + values
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, as JSON values."""
        total = [] if self.total is None else self.total.tolist()
        return {"names": self.names, "total": total, "steps": self.steps}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], device: torch.device) -> Means:
        """Continue from what :meth:`state_dict` returned; a checkpoint may lack it."""
        if not state.get("steps"):
            return cls()
        total = torch.tensor(state["total"], dtype=widest(device), device=device)
        return cls(state["names"], total, state["steps"])

    def take(self) -> dict[str, Tensor]:
        """Return the means, 0-d each, and begin anew."""
        means = {} if self.total is None else dict(
            zip(self.names, (self.total / self.steps).unbind(), strict=True)
        )  # fmt: skip
        self.total, self.steps = None, 0
        return means
