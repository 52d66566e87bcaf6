"""Sampled gradients against their expectation, by going through everything that can be drawn."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatarl import composition
from avatarl.errors import ConfigError
from avatarl.explorer.bandit import least_second_moment
from avatarl.explorer.sampling import Sampling
from avatarl.interfaces import Batch
from avatarl.training.tabular import Tabular

V = 3
TRUTH = torch.tensor([0.5, 0.3, 0.2])
COUNTS = (10 * TRUTH).round().long().unsqueeze(0)
REFERENCE = torch.tensor([[0.2, 0.5, 0.3]])
LOGITS = torch.tensor([[0.4, -0.7, 0.1]])
PLAIN = ["objective.kl_coef=0", "objective.ent_coef=0", "reward=propensity", "reward.alpha=0.5"]


def game(*overrides: str) -> Tabular:
    return Tabular(
        composition.compose(["data=folio", "tracking=files", *PLAIN, *overrides]), COUNTS, REFERENCE
    )


def drawn(sampled: Tabular) -> tuple[Tensor, Tensor]:
    """Each outcome of K draws for each character of the text: probabilities (N,), gradients (N,V).

    All outcomes are one batch; each has a row of the table of its own.
    """
    explorer = sampled.step.explorer
    assert isinstance(explorer, Sampling)
    k = explorer.config.samples
    old, guide = (one.view(1, 1, V) for one in (LOGITS.log_softmax(-1), REFERENCE.log()))
    proposals = explorer.proposals(old, guide, sampled.hparams["explorer"]).expand(1, k, V)[0]
    middles = proposals.cumsum(-1) - proposals / 2  # (K,V)
    outcomes = torch.tensor(list(itertools.product(range(V), repeat=1 + k)))  # (N,1+K)
    target, actions = outcomes[:, :1], outcomes[:, 1:]
    rows, place = len(outcomes), torch.arange(k)
    sampled._uniforms = ()  # they are chosen here
    sampled.batch = Batch(
        context=torch.arange(rows).unsqueeze(-1),
        target=target,
        positions=torch.arange(rows).unsqueeze(-1),
        reference=REFERENCE.log().expand(rows, 1, V),
        uniforms=middles[place, actions].unsqueeze(1),  # (N,1,K)
    )
    table = LOGITS.repeat(rows, 1).requires_grad_()
    output, exploration, _ = sampled.loss(table)
    assert exploration.actions is not None
    assert torch.equal(exploration.actions[:, 0], actions)
    (gradient,) = torch.autograd.grad(output.loss, table)
    chances = TRUTH[target[:, 0]] * proposals[place, actions].prod(-1)
    return chances, gradient * rows


def expected(sampled: Tabular) -> Tensor:
    chances, gradients = drawn(sampled)
    assert chances.sum().item() == pytest.approx(1.0, abs=1e-5)
    return chances @ gradients


def closed_form() -> Tensor:
    """−∂/∂z E_π[r] for r = 1[a = y]·π(y)^−½: Σ_y p(y)·π(y)^½·(π − e_y)."""
    probs = LOGITS[0].softmax(-1)
    return sum(
        (TRUTH[y] * probs[y].sqrt() * (probs - torch.eye(V)[y]) for y in range(V)), torch.zeros(V)
    )


BANDIT = ["explorer=bandit", "explorer.samples=2"]
EXPLORERS = {
    "policy": [*BANDIT, "explorer.proposal=policy", "explorer.reference_share=0.5"],
    "tempered": [*BANDIT, "explorer.proposal=tempered", "explorer.reference_share=0"],
    "optimal": [*BANDIT, "explorer.proposal=optimal"],
    "optimal of the reference": [*BANDIT, "explorer.proposal=optimal",
                                 "explorer.stand_in=reference", "explorer.reference_share=0"],
    "temperature": ["explorer=temperature", "explorer.samples=2", "explorer.guidance=0.3"],
}  # fmt: skip
BASELINES = {
    "none": [],
    "constant": ["objective.baseline_value=0.7"],
    "leave_one_out": [],
}


@pytest.mark.parametrize("objective", ["expected", "dr_grpo"])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("explorer", EXPLORERS)
def test_the_expected_gradient_is_the_closed_form(
    explorer: str, baseline: str, objective: str
) -> None:
    words = [*EXPLORERS[explorer], f"objective.baseline={baseline}", *BASELINES[baseline]]
    found = expected(game(f"objective={objective}", *words))
    torch.testing.assert_close(found, closed_form(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("baseline", ["none", "constant"])
def test_a_swarm_is_unbiased_with_what_is_the_same_for_all(baseline: str) -> None:
    words = ["explorer=swarm", "explorer.samples=2", f"objective.baseline={baseline}"]
    found = expected(game("objective=expected", *words))
    torch.testing.assert_close(found, closed_form(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [2, 3])
def test_a_group_mean_shrinks_the_gradient_by_one_sample(samples: int) -> None:
    words = ["objective.baseline=group_mean", "explorer=bandit", f"explorer.samples={samples}"]
    found = expected(game("objective=expected", *words))
    shrunk = closed_form() * (samples - 1) / samples
    torch.testing.assert_close(found, shrunk, rtol=1e-5, atol=1e-6)


def test_leaving_one_out_is_refused_where_it_would_be_biased_or_means_nothing() -> None:
    for words, why in (
        (["explorer=swarm"], "biased"),
        (["explorer=exhaustive"], "no samples"),
        (["explorer=bandit", "explorer.samples=1"], "single sample"),
    ):
        with pytest.raises(ConfigError, match=why):
            game("objective=expected", "objective.baseline=leave_one_out", *words)
    with pytest.raises(ConfigError, match="without an optimum"):
        game("objective=dr_grpo", "objective.baseline=constant",
             "explorer.action_weighting=uniform")  # fmt: skip


def test_a_swarm_that_left_one_out_would_be_biased_indeed(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarl.explorer import swarm

    monkeypatch.setattr(swarm.Config, "weighs_samples_together", False)
    words = ["explorer=swarm", "explorer.samples=2", "objective.baseline=leave_one_out"]
    words += ["explorer.temperature_min=0.1", "explorer.temperature_max=10"]
    found = expected(game("objective=expected", *words))
    assert (found - closed_form()).norm() > 0.01 * closed_form().norm()


def moment(truth: Tensor, probs: Tensor, proposal: Tensor) -> Tensor:
    """Σ p(a)·‖e_a − π‖²/μ(a), of the gradient in the logits from one sample's 1[a = y]/μ(a)."""
    apart = (torch.eye(len(probs)) - probs).square().sum(-1)
    return (truth * apart / proposal).sum()


def test_the_second_moment_is_what_the_shipped_step_has() -> None:
    for explorer in ("policy", "tempered", "optimal"):
        words = [*EXPLORERS[explorer], "explorer.samples=1", "objective.baseline=none"]
        sampled = game("objective=expected", "reward.alpha=1", *words)
        assert isinstance(sampled.step.explorer, Sampling)
        old, guide = LOGITS.log_softmax(-1), REFERENCE.log()
        proposal = sampled.step.explorer.proposals(old, guide, sampled.hparams["explorer"])[0]
        chances, gradients = drawn(sampled)
        found = chances @ gradients.square().sum(-1)
        exact = moment(TRUTH, old[0].exp(), proposal)
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)


DISTRIBUTIONS = st.lists(st.floats(-6, 6), min_size=5, max_size=5).map(
    lambda logits: torch.tensor(logits).log_softmax(-1)
)


@settings(deadline=None)
@given(DISTRIBUTIONS, DISTRIBUTIONS, DISTRIBUTIONS)
def test_no_proposal_has_a_smaller_second_moment(truth: Tensor, own: Tensor, other: Tensor) -> None:
    best = least_second_moment(truth, own)
    assert best.sum().item() == pytest.approx(1.0, abs=1e-5)
    apart = (torch.eye(5) - own.exp()).norm(dim=-1)
    least = (truth.exp().sqrt() * apart).sum().square()
    torch.testing.assert_close(moment(truth.exp(), own.exp(), best), least, rtol=1e-3, atol=1e-6)
    for proposal in (other.exp(), own.exp(), truth.exp()):
        assert moment(truth.exp(), own.exp(), proposal) >= least * (1 - 1e-3)


def test_a_proposal_is_one_even_where_policy_and_truth_are_certain() -> None:
    certain = torch.tensor([[0.0, -100.0, -100.0]])
    found = least_second_moment(certain, certain)
    assert bool(found.isfinite().all())
    assert found.sum().item() == pytest.approx(1.0)
