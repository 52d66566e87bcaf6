"""Everything that changes as a run goes on. A checkpoint is this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avatarl.opponent import League
from avatarl.training.checkpoint import Checkpoint
from avatarl.training.figures import Means
from avatarl.training.health import Health
from avatarl.training.kept import Kept
from avatarl.training.policy_state import PolicyState
from avatarl.training.reference_schedule import ReferenceSchedule


@dataclass
class TrainState(PolicyState):
    """A run's state; windows and random draws follow from its seed and ``step``.

    Its own policy is the one that the run is known by: a population's first member.

    Attributes:
        league: Past selves.
        reference_schedule: How far the reference's schedule has come.
        health: The monitors' memory, and what they have changed.
        others: The other members of a population.
        kept: The best weights so far.
        measured: Weights at the last measurement of sparsity; empty where it isn't measured.
        step: Optimiser steps done.
        best: ``best/nats`` and ``best/step`` of the best evaluation so far.
        norms: Gradient norms since the last training record, still on the device.
        means: Of the figures since then, likewise.
        elapsed_s: Seconds of all attempts so far.
        started: When the first attempt began, in ISO 8601; empty before that.
    """

    league: League
    reference_schedule: ReferenceSchedule
    health: Health
    others: list[PolicyState] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)
    measured: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    norms: list[Tensor] = field(default_factory=list)
    means: Means = field(default_factory=Means)
    elapsed_s: float = 0.0
    started: str = ""

    @property
    def members(self) -> list[PolicyState]:
        """All policies that learn, the run's own first."""
        return [self, *self.others]

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

    def state_dict(self) -> Checkpoint:
        """Return the state; its tensors are those in use, not copies."""
        tensors = self.tensors()
        for member, other in enumerate(self.others, 1):
            own = other.tensors()
            tensors |= {f"member.{member}.{name}": value for name, value in own.items()}
        tensors |= {f"opponent.{name}": value for name, value in self.league.weights.items()}
        tensors |= {f"measured.{name}": value for name, value in self.measured.items()}
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
        self.load_tensors(tensors)
        for member, other in enumerate(self.others, 1):
            other.load_tensors(_under(f"member.{member}.", tensors))
        device = next(iter(self.parameters.values())).device
        self.league.weights = {
            name: tensors[f"opponent.{name}"].to(device) for name in self.league.weights
        }
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
