"""What every policy network offers, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from avatarl.interfaces import Hyperparameters, Schedule, current
from avatarl.options import Later, Option

# What a network keeps of what it has read, for instance keys and values of each block. All tensors
# have the windows as their first dimension, so that rollouts of one window can share it.
Cache = list[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Config(Option, ABC):
    """Settings that every network has."""

    context_length: Annotated[int, Ge(1)]  # characters the policy sees
    prior: bool  # logits = weight · gate · log reference + network, with a learned gate
    prior_weight: Annotated[float | Schedule, Ge(0), Later(1.0)]

    @property
    def gates_members(self) -> bool:
        """Whether the network has a gate for each member of the reference, and reads them apart."""
        return False

    @property
    def weighs_prior(self) -> bool:
        """Whether the prior's weight is anything but 1."""
        return self.prior and self.prior_weight != 1

    def weigh(self, prior: Tensor, hparams: Hyperparameters) -> Tensor:
        """Multiply the reference's log-probabilities by their weight at this moment of the run.

        Args:
            prior: Of any shape.
            hparams: The group's numbers; read where :attr:`weighs_prior`.
        """
        if not self.weighs_prior:
            return prior
        return prior * current(self.prior_weight, hparams, "prior_weight")

    @abstractmethod
    def build(self, vocab_size: int, seed: int, members: int = 1) -> Policy:
        """Make a network with random weights that depend on ``seed`` alone (fp32, on the CPU).

        Args:
            vocab_size: V.
            seed: Of the weights.
            members: M, of the reference; given where :attr:`gates_members`.
        """


class Policy(nn.Module, ABC):
    """Scores the next character at each position of a window.

    ``optimizer=muon`` moves matrices of parameters named ``blocks.…`` by Muon, the rest by AdamW.
    """

    #: Share of activations that are dropped where masks are given.
    dropout = 0.0

    def mask_shape(self, windows: int) -> tuple[int, ...]:
        """Shape (B,…) of the masks that :meth:`forward` drops activations by; empty for none."""
        return ()

    @abstractmethod
    def forward(
        self,
        context: Tensor,
        *,
        last: bool = False,
        prior_logprobs: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> Tensor:
        """Score the character after each position.

        Args:
            context: (B,T) int64 character ids, T ≤ ``context_length``; the window may be shorter.
            last: Score the last position alone.
            prior_logprobs: (B,T,V), or (B,1,V) with ``last``; required with ``model.prior``. A
                network that gates members gets (B,T,M,V).
            masks: True where an activation is kept, in the shape of :meth:`mask_shape`; None keeps
                all. Never given but to a policy that has such a shape.

        Returns:
            Logits (B,T,V), or (B,1,V) with ``last``. Position t has seen ``context[:, :t+1]``.
        """

    def extend(
        self, characters: Tensor, cache: Cache, prior_logprobs: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Read on from what was read before, and score the next character.

        Equal to :meth:`forward` on the whole window with ``last``. This one reads it all again; a
        network that keeps more of it needs the new characters alone.

        Args:
            characters: (B,T) int64: the window so far if nothing was read, else one more each.
            cache: What the network keeps; empty at the start.
            prior_logprobs: (B,1,V); required with ``model.prior``.

        Returns:
            Logits (B,1,V), and what the network keeps now.
        """
        read = torch.cat([cache[0][0], characters], dim=1) if cache else characters
        return self(read, last=True, prior_logprobs=prior_logprobs), [(read,)]
