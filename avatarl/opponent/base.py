"""Who else plays: past selves, from none to many, or others that learn at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarl.interfaces import Hyperparameters
from avatarl.options import Option


@dataclass(frozen=True)
class Config(Option):
    """Settings that every opponent has, and what the rest of a run must know of it."""

    @property
    def members(self) -> int:
        """How many past selves are kept."""
        return 0

    @property
    def refresh_every(self) -> int:
        """Steps between two of them."""
        return 1

    @property
    def plays_averaged(self) -> bool:
        """Whether the mean of their weights plays, instead of each."""
        return False

    @property
    def ema_decay(self) -> float:
        """What a refresh keeps of the newest self; 0 replaces it."""
        return 0.0

    @property
    def rivals(self) -> int:
        """How many other policies learn beside the run's own, and compete with it."""
        return 0

    def standing(self, own: Tensor, others: Tensor, hparams: Hyperparameters) -> Tensor:
        """Return what a member's rewards are multiplied with, (B,T,K); asked where it has rivals.

        Args:
            own: (B,T,K) the member's probability of each action.
            others: (P-1,B,T,K) the other members'.
            hparams: The group's numbers, as 0-d tensors.
        """
        raise NotImplementedError(f"{type(self).__module__} has rivals and no standing")

    def build(self, parameters: Mapping[str, Tensor]) -> League:
        """Make the league, its first past self the network with ``parameters``, by name."""
        return League(self, parameters)


class League:
    """The weights of past selves, the newest first.

    A league of several shares each batch: every member meets its own part of the windows, so that
    all of them together cost one forward pass.

    Args:
        config: How many, how often, and whether averaged.
        parameters: The network's weights, by name; the first past self.
    """

    def __init__(self, config: Config, parameters: Mapping[str, Tensor]) -> None:
        self.config = config
        self.weights = {
            name: value.detach().expand(config.members, *value.shape).clone()
            for name, value in parameters.items()
        }  # (M,…) each

    @torch.no_grad()
    def refresh(self, step: int, parameters: Mapping[str, Tensor]) -> None:
        """Take the current self in, every so many steps; the oldest leaves."""
        config = self.config
        if not config.members or step == 0 or step % config.refresh_every:
            return
        for name, value in parameters.items():
            kept = self.weights[name]
            newest = torch.lerp(value.detach(), kept[0], config.ema_decay)
            self.weights[name] = torch.cat([newest.unsqueeze(0), kept[:-1]])

    def players(self) -> list[dict[str, Tensor]]:
        """Return the weights of each player: of every member, or their mean."""
        if self.config.plays_averaged:
            return [{name: value.mean(0) for name, value in self.weights.items()}]
        return [
            {name: value[member] for name, value in self.weights.items()}
            for member in range(self.config.members)
        ]
