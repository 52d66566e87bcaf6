"""Cross-entropy as a reward, reshaped: a hit by the policy's doubt, a miss by its rank.

r(a) = (1 − π_old(a))^β / π_old(a) for the text's character; any other pays ``top`` where it is
among the ``top_k`` most probable, else ``rest``. β = 0 without pay for misses is the likelihood.
Above 0 it leaves the sure alone and flattens the policy; below 0 it sharpens it, as ``rest`` below
0 does by taking from the tail.

Source: Wu et al. 2025, arXiv 2512.22955 (positive scaling, rank-aware negatives).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import LARGEST, Hyperparameters, RewardInputs, Schedule, current, ends
from avatarl.reward import base

# What pays stay finite with.
_LEAST_DOUBT, _LEAST_HELD = 1e-6, 1e-30


@dataclass(frozen=True)
class Config(base.Config):
    """Scale of hits, and what misses are paid."""

    scale: float | Schedule  # β
    cap: Annotated[float, Gt(0)] | Schedule | None  # largest pay of a hit; null: none
    top_k: Annotated[int, Ge(1)]  # K
    top: float | Schedule  # pay of a wrong character among the K most probable
    rest: float | Schedule  # of any other wrong one

    @property
    @override
    def costs(self) -> bool:
        return min(ends(self.top)[0], ends(self.rest)[0]) < 0

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        held, exploration = inputs.old_probs, inputs.exploration
        doubt = (1 - held).clamp_min(_LEAST_DOUBT).pow(current(self.scale, hparams, "scale"))
        hit = (doubt / held.clamp_min(_LEAST_HELD)).clamp_max(LARGEST)
        if self.cap is not None:
            hit = hit.minimum(current(self.cap, hparams, "cap"))
        everything = exploration.old_probs  # (B,T,V)
        least = everything.topk(min(self.top_k, everything.shape[-1])).values[..., -1:]
        leading = exploration.select((everything >= least).to(held.dtype))  # (B,T,K)
        top, rest = current(self.top, hparams, "top"), current(self.rest, hparams, "rest")
        return torch.lerp(rest + (top - rest) * leading, hit, inputs.matches)
