"""All V next characters at once, from one forward pass.

One log-softmax holds the log-probability of every action, so the expectation over actions is
exact: no sampling, no variance within a context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.explorer import base
from avatarl.explorer.selection import position_weights
from avatarl.interfaces import Exploration, Hyperparameters


@dataclass(frozen=True)
class Config(base.Config):
    """Exhaustive exploration, one character ahead."""

    # How an action counts: by the old policy's probability, or each the same (1, so that a raw
    # one-hot reward gives exactly the gradient of cross-entropy).
    action_weighting: Literal["policy", "uniform"]
    horizon: int

    def __post_init__(self) -> None:
        """Refuse a longer horizon: V to the power of it would be explored."""
        if self.horizon != 1:
            raise ConfigError(
                "horizon", self.horizon, "1, or explorer=temperature", "exhaustive looks one ahead"
            )

    @property
    @override
    def weighting(self) -> str:
        return self.action_weighting

    @override
    def build(self) -> Exhaustive:
        return Exhaustive(self)


@dataclass(frozen=True)
class Exhaustive:
    """Tries every character at every scored position."""

    config: Config

    def uniforms(self, windows: int, positions: int) -> tuple[int, ...]:
        """One number a position where positions are dropped at random, else none."""
        return (windows, positions, 1) if self.config.select == "drop_random" else ()

    def explore(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        """Weigh all V actions; see :class:`avatarl.explorer.base.Explorer`."""
        old_logprobs = observation.old_logprobs  # (B,T,V)
        assert old_logprobs is not None
        old_probs = old_logprobs.exp()
        if self.config.action_weighting == "policy":
            weights = group = old_probs
        else:
            weights = torch.ones_like(old_logprobs)
            group = weights / old_logprobs.shape[-1]
        noise = None if uniforms is None else uniforms[..., 0]
        return Exploration(
            actions=None,
            weights=weights,
            group=group,
            matches=observation.query(None, 0),
            contexts=observation.context,
            old_logprobs=old_logprobs,
            old_probs=old_probs,
            position_weights=position_weights(self.config, old_logprobs, hparams, noise),
        )
