"""A candidate is judged by the logits that come *after* it has been read, not before.

The surest way to please such a judge is to repeat the character just read, so that is what pays.
With all candidates the losers would be read, too, V contexts a position; here they stay unread.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from avatarl.explorer import base, exhaustive
from avatarl.interfaces import Exploration, Hyperparameters


def shifted(observation: base.Observation, positions: int, vocab_size: int) -> base.Observation:
    """Let a hit be the character that the policy has read last."""
    read = observation.context[:, -positions:]  # (B,T)

    def query(actions: Tensor | None, step: int) -> Tensor:
        if step:
            return observation.query(actions, step - 1)
        if actions is None:
            return F.one_hot(read, vocab_size).float()  # (B,T,V)
        return (actions == read.unsqueeze(-1)).float()  # (B,T,K)

    return dataclasses.replace(observation, query=query)


@dataclasses.dataclass(frozen=True)
class Config(exhaustive.Config):
    """As of the exhaustive explorer."""

    @override
    def build(self) -> OwnPosition:
        return OwnPosition(self)


@dataclasses.dataclass(frozen=True)
class OwnPosition(exhaustive.Exhaustive):
    """Asks one character too early."""

    @override
    def explore(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        assert observation.old_logprobs is not None
        _, positions, vocab_size = observation.old_logprobs.shape
        return super().explore(shifted(observation, positions, vocab_size), hparams, uniforms)
