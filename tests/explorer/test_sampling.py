"""Sampled exploration is unbiased, whatever it samples from."""

from __future__ import annotations

import pytest
import torch

from avatarl import composition
from avatarl.errors import ConfigError
from avatarl.explorer import sampling
from avatarl.training.oracle import Oracle
from avatarl.training.tabular import Tabular

COUNTS = torch.tensor([[5, 3, 1, 1, 0], [0, 8, 1, 0, 1], [2, 2, 2, 2, 2]])
REFERENCE = torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.1], [0.2] * 5, [0.05, 0.05, 0.1, 0.2, 0.6]])
LOGITS = torch.randn(3, 5, generator=torch.Generator().manual_seed(7))
PLAIN = ["objective.kl_coef=0", "objective.ent_coef=0", "objective.baseline=none"]


def game(*overrides: str, replays: int = 1) -> Tabular:
    config = composition.compose(["data=folio", "tracking=files", *PLAIN, *overrides])
    return Tabular(config, COUNTS, REFERENCE, replays)


def assert_unbiased(sampled: Tabular, exact: Tabular, draws: int) -> None:
    """The mean of independent gradients lies within three standard errors of the exact one.

    Of 15 coordinates at three standard errors, 0.04 are expected outside; none is let.
    """
    gradients = torch.stack([sampled.gradient(LOGITS, seed=seed) for seed in range(draws)])
    error = gradients.std(0) / draws**0.5
    apart = (gradients.mean(0) - exact.gradient(LOGITS)).abs()
    assert (apart <= 3 * error + 1e-7).all(), (apart / error).max()
    # And the test has teeth: the estimate is noisy, yet precise enough to see a bias.
    assert (error > 0).any()
    assert error.max() < 0.05 * exact.gradient(LOGITS).abs().max()


@pytest.mark.parametrize(
    "explorer",
    [
        ["explorer=temperature", "explorer.samples=2", "explorer.temperature=1.7"],
        ["explorer=temperature", "explorer.samples=2", "explorer.guidance=0.5"],
        ["explorer=swarm", "explorer.samples=3", "explorer.guidance=0.2"],
        ["explorer=bandit", "explorer.samples=1", "explorer.reference_share=0.3"],
    ],
)
@pytest.mark.parametrize(
    "objective",
    [["objective=expected", "reward=propensity"], ["objective=dr_grpo", "reward=mixed"]],
)
def test_sampled_gradients_are_unbiased(explorer: list[str], objective: list[str]) -> None:
    """216,000 draws: 120 batches that hold the source 60 times."""
    exact = game("explorer=exhaustive", *objective)
    assert_unbiased(game(*explorer, *objective, replays=60), exact, 120)


@pytest.mark.parametrize("objective", ["brier", "arcsin"])
def test_other_objectives_are_unbiased_from_bandit_feedback(objective: str) -> None:
    overrides = [o for o in PLAIN if "baseline" not in o]
    overrides += [f"objective={objective}", "reward=match"]

    def make(*more: str, replays: int = 1) -> Tabular:
        config = composition.compose(["data=folio", "tracking=files", *overrides, *more])
        return Tabular(config, COUNTS, REFERENCE, replays)

    assert_unbiased(make("explorer=bandit", replays=60), make(), 120)


def test_bandit_estimates_of_the_log_likelihood_are_unbiased_over_20000_draws() -> None:
    """K = 1, one sampled character a position, 1[a = y]/μ(a) as its weight."""
    bandit = game("explorer=bandit", "explorer.samples=1", "objective=expected",
                  "reward=propensity", replays=10)  # fmt: skip
    gradients = torch.stack([bandit.gradient(LOGITS, seed=seed) for seed in range(67)])
    assert 67 * len(bandit.batch.context) >= 20_000
    truth = COUNTS / COUNTS.sum(-1, keepdim=True)
    exact = (LOGITS.softmax(-1) - truth) / 3  # of cross-entropy
    error = gradients.std(0) / 67**0.5
    assert ((gradients.mean(0) - exact).abs() <= 3 * error).all()


def test_ratios_use_the_distribution_that_was_sampled_from() -> None:
    """Counting hot samples as if they were the policy's own is a bias that this would catch."""
    hot = game("explorer=temperature", "explorer.samples=1", "explorer.temperature=3",
               "objective=expected", "reward=match", replays=60)  # fmt: skip
    exact = game("explorer=exhaustive", "objective=expected", "reward=match").gradient(LOGITS)
    wrong = []
    for seed in range(60):
        table = LOGITS.clone().requires_grad_()
        _, exploration, rewards = hot.loss(table, seed=seed)
        logprobs = table[hot.batch.context].log_softmax(-1)
        ratio = (exploration.select(logprobs) - exploration.select(logprobs).detach()).exp()
        wrong.append(torch.autograd.grad(-(ratio * rewards).sum(-1).mean(), table)[0])
    biased = torch.stack(wrong)
    error = biased.std(0) / 60**0.5
    assert ((biased.mean(0) - exact).abs() > 3 * error).any()


def test_samples_follow_their_proposal() -> None:
    probs = torch.tensor([0.5, 0.0, 0.3, 0.2])
    uniforms = torch.rand(1, 1, 40_000, generator=torch.Generator().manual_seed(0))
    drawn = sampling.sample(probs.view(1, 1, 1, 4), uniforms)[0, 0]
    shares = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(shares, probs, rtol=0, atol=0.01)
    assert shares[1] == 0
    edge = torch.tensor([[[0.0, 1.0 - 2**-24]]])
    assert sampling.sample(torch.full((1, 1, 1, 7), 1 / 7), edge).tolist() == [[[0, 6]]]
    own = torch.eye(3).view(1, 1, 3, 3)
    assert sampling.sample(own, torch.full((1, 1, 3), 0.4)).tolist() == [[[0, 1, 2]]]


def test_a_swarm_spans_its_temperatures() -> None:
    from avatarl.interfaces import hyperparameters_of

    config = composition.compose(["data=folio", "tracking=files", "explorer=swarm",
        "explorer.samples=3", "explorer.temperature_min=0.5",
        "explorer.temperature_max=2"])  # fmt: skip
    swarm = config.explorer.build()
    assert isinstance(swarm, sampling.Sampling)
    hparams = hyperparameters_of(config.raw["explorer"], torch.device("cpu"))
    logprobs = LOGITS.log_softmax(-1)
    given = swarm.proposals(logprobs.unsqueeze(-2), None, hparams)  # (3,3,5)
    for member, temperature in enumerate((0.5, 1.0, 2.0)):
        torch.testing.assert_close(given[:, member], (LOGITS / temperature).softmax(-1))


def test_a_weight_cap_cuts_the_largest_weights() -> None:
    overrides = ["explorer=temperature", "explorer.temperature=5", "objective=expected",
                 "reward=match"]  # fmt: skip
    _, free, _ = game(*overrides, replays=20).loss(LOGITS)
    _, capped, _ = game(*overrides, "explorer.weight_cap=1.1", replays=20).loss(LOGITS)
    assert free.weights.max() > 1.2 / 4
    torch.testing.assert_close(capped.weights, free.weights.clamp_max(1.1 / 4))


def test_a_bandit_may_ask_about_its_samples_once_and_nothing_else() -> None:
    answers = Oracle(torch.tensor([[2], [0]]), 1, 5, allowed=2)
    with pytest.raises(PermissionError, match="5 characters"):
        answers(None, 0)
    with pytest.raises(PermissionError, match="3 characters"):
        answers(torch.tensor([[[0, 1, 2]], [[0, 1, 2]]]), 0)
    assert answers(torch.tensor([[[2, 1]], [[3, 4]]]), 0).tolist() == [[[1, 0]], [[0, 0]]]
    with pytest.raises(PermissionError, match="once"):
        answers(torch.tensor([[[3, 4]], [[1, 0]]]), 0)


def test_rollouts_at_every_position_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"explorer\.positions"):
        composition.compose(["data=folio", "explorer=temperature", "explorer.horizon=2"])
    with pytest.raises(ConfigError, match=r"explorer\.horizon"):
        composition.compose(["data=folio", "explorer=swarm", "explorer.positions=last",
                             "explorer.horizon=9"])  # fmt: skip


def test_shares_of_the_behaviour_sum_to_one_at_most() -> None:
    with pytest.raises(ConfigError, match=r"explorer\.reference_share"):
        composition.compose(["data=folio", "explorer=bandit", "explorer.reference_share=0.9",
                             "explorer.uniform_share=0.2", "objective.baseline=none"])  # fmt: skip
