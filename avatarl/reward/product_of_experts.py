"""Product of experts: reality^a · reference^b.

Reality is the text's character, softened by ε so that others aren't worth nothing:
real(a) = (1 − ε)·1[a = y] + ε/V. A character has to please both experts; where the text speaks, the
reference decides how much it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """Exponents of the two experts."""

    reality: Annotated[float, Ge(0)] | Schedule  # a
    reference: Annotated[float, Ge(0)] | Schedule  # b
    softening: Annotated[float, Gt(0), Lt(1)] | Schedule  # ε

    @property
    @override
    def needs_reference(self) -> bool:
        return True

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.ref_logprobs is not None
        size = inputs.exploration.old_logprobs.shape[-1]  # V
        soft = current(self.softening, hparams, "softening")
        real = (1 - soft) * inputs.matches + soft / size
        real = real.clamp_min(torch.finfo(real.dtype).tiny)
        log_real = current(self.reality, hparams, "reality") * real.log()
        log_ref = current(self.reference, hparams, "reference") * inputs.ref_logprobs
        return (log_real + log_ref).exp()
