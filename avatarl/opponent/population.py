"""Several policies that learn from the same batches, each paid by how it stands to the rest.

They begin with different weights and draw for themselves. A member's reward for an action is
multiplied with 1 + strength · s, where s in [-1, 1] compares its probability of the action with the
others': its lead over the best of them, over their mean, or its share of the duels won, draws
counting half, from -1 (none) to 1 (all). What a member holds higher than the rest pays it more,
what they hold higher pays it less; equal members are paid as if alone.

So each grows surer where it leads. Under ``propensity`` at α = 1 the truth, held by all, stays an
equilibrium, since nobody leads there: by linearisation, leads over the mean die out below strength
(1 - 1/P) / λ, with λ ≤ 1/2 the largest eigenvalue of diag(p) - pp', hence always below 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, Schedule, current
from avatarl.opponent import base


@dataclass(frozen=True)
class Config(base.Config):
    """How many they are, and what is made of their differences."""

    size: Annotated[int, Ge(1)]  # P, members; 1: the plain run
    measure: Literal["over_best", "over_mean", "win_share"]
    strength: Annotated[float, Ge(0), Le(1)] | Schedule  # 0: they only learn side by side

    @property
    @override
    def rivals(self) -> int:
        return self.size - 1

    @override
    def standing(self, own: Tensor, others: Tensor, hparams: Hyperparameters) -> Tensor:
        if self.measure == "win_share":
            lead = (own - others).sign().mean(0)
        else:
            rest = others.amax(0) if self.measure == "over_best" else others.mean(0)
            lead = own - rest
        return 1 + current(self.strength, hparams, "strength") * lead
