"""Bandit feedback: the learner sees the rewards of K characters it drew itself, and nothing else.

The behaviour policy μ = (1 − r − u) · own + r · ref + u / V never starves a character. What is the
policy's own is, by ``proposal``:

- ``policy``: π_old itself; weights π_old/μ are then at most 1/(1 − r − u).
- ``tempered``: softmax(log π_old / τ).
- ``optimal``: ∝ √p · ‖e_a − π_old‖, which has the least second moment of all. A hit's gradient in
  the logits is (e_a − π)/μ(a), so the moment is Σ p(a) · ‖e_a − π‖²/μ(a). The truth p is unknown:
  the old policy or the reference stands in for it.

With ``reward=propensity`` at α = 1 the estimate is 1[a = y]/μ(a): unbiased for the gradient of the
log-likelihood, whatever μ is.

Source: Dudík et al. 2011, arXiv 1103.4601, §2 (inverse propensity scores); Owen 2013, *Monte Carlo
theory, methods and examples*, §9.1 (the proposal of least variance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.explorer import sampling
from avatarl.interfaces import Hyperparameters, Schedule, is_on, over_a_run
from avatarl.options import Later


@dataclass(frozen=True)
class Config(sampling.Config):
    """What the behaviour policy is mixed of."""

    proposal: Annotated[Literal["policy", "tempered", "optimal"], Later("policy")]
    policy_temperature: Annotated[Annotated[float, Gt(0)] | Schedule, Later(2.0)]  # τ
    # Whose probabilities are taken for the truth's.
    stand_in: Annotated[Literal["policy", "reference"], Later("policy")]
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
        return is_on(self.reference_share) or self._asks_the_reference

    @property
    def _asks_the_reference(self) -> bool:
        return self.proposal == "optimal" and self.stand_in == "reference"

    @override
    def build(self) -> Bandit:
        return Bandit(self)


class Bandit(sampling.Sampling):
    """Draws from the mixture above."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config: Config = config

    @override
    def proposals(
        self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters
    ) -> Tensor:
        reference, uniform = (
            self.now(name, hparams) for name in ("reference_share", "uniform_share")
        )
        own = (1 - reference - uniform) * self._own(old_logprobs, guide, hparams)
        mixture = own + uniform / old_logprobs.shape[-1]
        return mixture if guide is None else mixture + reference * guide.exp()

    def _own(self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters) -> Tensor:
        match self.config.proposal:
            case "policy":
                return old_logprobs.exp()
            case "tempered":
                return (old_logprobs / self.now("policy_temperature", hparams)).softmax(dim=-1)
            case "optimal":
                truth = guide if self.config.stand_in == "reference" else old_logprobs
                assert truth is not None
                return least_second_moment(truth, old_logprobs)


def least_second_moment(truth: Tensor, logprobs: Tensor) -> Tensor:
    """Return the proposal ∝ √p(a) · ‖e_a − π‖, from log p and log π (…,V): (…,V) probabilities."""
    probs = logprobs.exp()
    apart = 1 - 2 * probs + probs.square().sum(dim=-1, keepdim=True)  # ‖e_a − π‖²
    return ((truth + apart.clamp_min(1e-12).log()) / 2).softmax(dim=-1)
