"""Everything that changes as a run goes on. A checkpoint is this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avatarl.model import Policy
from avatarl.opponent import League
from avatarl.training.checkpoint import Checkpoint
from avatarl.training.figures import Means
from avatarl.training.health import Health
from avatarl.training.kept import Kept
from avatarl.training.reference_schedule import ReferenceSchedule


@dataclass
class TrainState:
    """A run's state; windows and random draws follow from its seed and ``step``.

    Attributes:
        model: The policy being trained.
        old_model: The policy that acts, where it isn't the trained one.
        optimizers: With their memory.
        controller_state: What the objective's controllers remember.
        league: Past selves.
        reference_schedule: How far the reference's schedule has come.
        health: The monitors' memory, and what they have changed.
        average: The average of the weights so far; empty where none is made.
        kept: The best weights so far.
        measured: Weights at the last measurement of sparsity; empty where it isn't measured.
        step: Optimiser steps done.
        best: ``best/nats`` and ``best/step`` of the best evaluation so far.
        norms: Gradient norms since the last training record, still on the device.
        means: Of the figures since then, likewise.
        elapsed_s: Seconds of all attempts so far.
        started: When the first attempt began, in ISO 8601; empty before that.
    """

    model: Policy
    old_model: Policy | None
    optimizers: list[torch.optim.Optimizer]
    controller_state: dict[str, Tensor]
    league: League
    reference_schedule: ReferenceSchedule
    health: Health
    average: dict[str, Tensor] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    measured: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    norms: list[Tensor] = field(default_factory=list)
    means: Means = field(default_factory=Means)
    elapsed_s: float = 0.0
    started: str = ""

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The trained weights by name."""
        return dict(self.model.named_parameters())

    @property
    def evaluated(self) -> dict[str, Tensor]:
        """The weights that evaluation looks at, by name: their average where one is made."""
        return self.average or self.parameters

    @property
    def headline(self) -> dict[str, Tensor]:
        """The weights that the result is of, by name: the best ones where they are kept."""
        return self.kept.weights or self.evaluated

    def describe_headline(self) -> dict[str, Any]:
        """Say which weights those are; nothing where they are the trained ones as they are."""
        if not (self.average or self.kept.weights):
            return {}
        told: dict[str, Any] = {"headline": "ema" if self.average else "trained"}
        told["headline/step"] = self.kept.step if self.kept.weights else self.step
        if self.kept.weights:
            told["headline/dev_nats"] = self.kept.nats
        return told

    def copied_weights(self) -> dict[str, Tensor]:
        """Return a copy of the trained weights, by name."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def state_dict(self) -> Checkpoint:
        """Return the state; its tensors are those in use, not copies."""
        tensors = {f"model.{name}": value for name, value in self.parameters.items()}
        if self.old_model is not None:
            old = self.old_model.named_parameters()
            tensors |= {f"old.{name}": value for name, value in old}
        tensors |= {f"control.{name}": value for name, value in self.controller_state.items()}
        tensors |= {f"opponent.{name}": value for name, value in self.league.weights.items()}
        tensors |= _pack(self.optimizers)
        tensors |= {f"measured.{name}": value for name, value in self.measured.items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        tensors |= {f"kept.{name}": value for name, value in self.kept.weights.items()}
        kept = self.kept.state_dict()
        numbers = {
            **({"kept": kept} if kept else {}),
            "health": self.health.state_dict(),
            "best": self.best,
            "guidance": self.reference_schedule.state_dict(),
            "norms": [norm.item() for norm in self.norms],
            "means": self.means.state_dict(),
            "elapsed_s": self.elapsed_s,
            "started": self.started,
        }
        return Checkpoint(self.step, tensors, numbers)

    @torch.no_grad()
    def load_state_dict(self, state: Checkpoint) -> None:
        """Continue from what :meth:`state_dict` returned; weights stay where they are in memory."""
        tensors, numbers = state.tensors, state.numbers
        for name, value in self.parameters.items():
            value.copy_(tensors[f"model.{name}"])
        if self.old_model is not None:
            for name, value in self.old_model.named_parameters():
                value.copy_(tensors[f"old.{name}"])
        for name, value in self.average.items():
            value.copy_(tensors[f"average.{name}"])
        for name, value in self.controller_state.items():
            value.copy_(tensors[f"control.{name}"])
        device = next(iter(self.parameters.values())).device
        self.league.weights = {
            name: tensors[f"opponent.{name}"].to(device) for name in self.league.weights
        }
        _unpack(self.optimizers, tensors)
        # A checkpoint may be older than the wish to measure.
        for name, value in _under("measured.", tensors).items():
            if name in self.measured:
                self.measured[name] = value.to(device)
        kept = _under("kept.", tensors)
        self.kept = Kept.from_state_dict(numbers.get("kept", {}), kept, device)
        self.step = state.step
        self.health = Health.from_state_dict(self.health.limits, numbers["health"])
        self.best = numbers["best"]
        self.reference_schedule.load_state_dict(numbers["guidance"])
        self.norms = list(torch.tensor(numbers["norms"], device=device))
        self.means = Means.from_state_dict(numbers.get("means", {}), device)
        self.elapsed_s, self.started = numbers["elapsed_s"], numbers["started"]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


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
