"""What rewards are compared with before they weigh gradients.

Where an action's surrogate counts by the acting policy's probability, whatever doesn't depend on
the action changes no expected gradient, and may lower its variance. Of K samples:

- ``group_mean``: the mean of all K, the sample itself among them, which shrinks the gradient's
  expectation by (K − 1)/K. Exact, and without that, where all actions are tried.
- ``leave_one_out``: the mean of the other K − 1, K/(K − 1) of the above: no shrinking. Needs
  samples that don't weigh each other.
- ``constant``: the same for every action.

Source: Kool et al. 2019, *Buy 4 REINFORCE samples, get a baseline for free!*, §2; Ahmadian et al.
2024, arXiv 2402.14740, §3 (leave-one-out).
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, Schedule
from avatarl.objective import regularised, terms
from avatarl.options import Later


@dataclass(frozen=True)
class Config(regularised.Config):
    """Settings of objectives that may compare rewards."""

    baseline: Literal["group_mean", "leave_one_out", "constant", "none"]
    baseline_value: Annotated[float | Schedule, Later(1.0)]  # of constant

    @property
    @override
    def uses_baseline(self) -> bool:
        return self.baseline != "none"

    @property
    @override
    def compares_samples(self) -> bool:
        return self.baseline in ("group_mean", "leave_one_out")

    @property
    @override
    def leaves_one_out(self) -> bool:
        return self.baseline == "leave_one_out"


class Compared(regularised.Regularised, ABC):
    """Objectives whose returns are compared with a baseline."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config: Config = config

    def compared(self, returns: Tensor, group: Tensor, hparams: Hyperparameters) -> Tensor:
        """Subtract the baseline: (B,T,K) to (B,T,K)."""
        match self.config.baseline:
            case "group_mean":
                return returns - terms.group_mean(returns, group)
            case "leave_one_out":
                others = returns.sum(dim=-1, keepdim=True) - returns
                return returns - others / (returns.shape[-1] - 1)
            case "constant":
                return returns - self.now("baseline_value", hparams)
            case "none":
                return returns
