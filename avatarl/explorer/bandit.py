"""Bandit feedback: the learner sees the rewards of K characters it drew itself, and nothing else.

The behaviour policy μ = (1 − r − u) · π_old + r · ref + u / V never starves a character, which
bounds the importance weights π_old/μ by 1 / (1 − r − u). With ``reward=propensity`` at α = 1 the
estimate is 1[a = y]/μ(a): unbiased for the gradient of the log-likelihood.

Source: Dudík et al. 2011, arXiv 1103.4601, §2 (inverse propensity scores).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.explorer import sampling
from avatarl.interfaces import Hyperparameters, Schedule, is_on, over_a_run


@dataclass(frozen=True)
class Config(sampling.Config):
    """What the behaviour policy is mixed of."""

    reference_share: Annotated[float, Ge(0), Le(1)] | Schedule  # r
    uniform_share: Annotated[float, Ge(0), Le(1)] | Schedule  # u

    def __post_init__(self) -> None:
        """Refuse shares of more than everything."""
        shares = zip(over_a_run(self.reference_share), over_a_run(self.uniform_share), strict=True)
        for reference, uniform in shares:
            if reference + uniform > 1 + 1e-9:
                why = f"uniform_share={uniform} takes the rest"
                raise ConfigError("reference_share", reference, f"at most {1 - uniform:g}", why)

    @property
    @override
    def needs_reference(self) -> bool:
        return is_on(self.reference_share)

    @override
    def build(self) -> Bandit:
        return Bandit(self)


class Bandit(sampling.Sampling):
    """Draws from the mixture above."""

    @override
    def proposals(
        self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters
    ) -> Tensor:
        reference, uniform = (
            self.now(name, hparams) for name in ("reference_share", "uniform_share")
        )
        own = 1 - reference - uniform
        mixture = own * old_logprobs.exp() + uniform / old_logprobs.shape[-1]
        return mixture if guide is None else mixture + reference * guide.exp()
