"""Members that compete, on a source whose truth is known: three characters, closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from avatarl import composition
from avatarl.errors import ConfigError
from avatarl.interfaces import Batch
from avatarl.opponent import population
from avatarl.training.tabular import Tabular

COUNTS = torch.tensor([[5, 3, 2], [1, 1, 8]])
TRUTH = COUNTS / 10
PLAIN = ["objective=expected", "objective.kl_coef=0", "objective.ent_coef=0", "reference=none"]
MEASURES = ["over_mean", "over_best", "win_share"]
TABLES = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(3))  # (P,C,V)


def game(*overrides: str, counts: Tensor = COUNTS) -> Tabular:
    words = ["data=folio", "tracking=files", "opponent=population", *PLAIN, *overrides]
    return Tabular(composition.compose(words), counts)


def gradient(played: Tabular, tables: Tensor, member: int) -> Tensor:
    table = tables[member].clone().requires_grad_()
    others = [one for place, one in enumerate(tables) if place != member]
    (found,) = torch.autograd.grad(played.loss(table, rival_logits=others)[0].loss, table)
    return found


def lead(measure: str, probs: list[float], member: int) -> float:
    """Written out for one action of one context."""
    own, rest = probs[member], [one for place, one in enumerate(probs) if place != member]
    if measure == "over_best":
        return own - max(rest)
    if measure == "over_mean":
        return own - sum(rest) / len(rest)
    won = sum(1.0 if own > other else 0.5 if own == other else 0.0 for other in rest)
    return 2 * won / len(rest) - 1


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("member", range(3))
def test_each_climbs_what_its_lead_makes_of_the_reward(measure: str, member: int) -> None:
    tables = TABLES.clone()
    tables[2, 1] = tables[0, 1]  # two that draw
    played = game("reward=match", f"opponent.measure={measure}", "opponent.strength=0.7")
    probs = tables.softmax(-1)
    wanted = torch.zeros(2, 3)
    for context, action in itertools.product(range(2), range(3)):
        each = probs[:, context, action].tolist()
        paid = TRUTH[context, action] * (1 + 0.7 * lead(measure, each, member))
        own = probs[member, context]
        wanted[context] -= paid * own[action] * (torch.eye(3)[action] - own) / 2
    torch.testing.assert_close(gradient(played, tables, member), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_members_are_paid_as_if_alone(measure: str) -> None:
    tables = TABLES[:1].expand(3, -1, -1)
    played = game("reward=propensity", f"opponent.measure={measure}")
    alone = played.gradient(tables[0])
    assert all(torch.equal(gradient(played, tables, member), alone) for member in range(3))


@pytest.mark.parametrize("measure", MEASURES)
def test_without_strength_they_learn_side_by_side(measure: str) -> None:
    played = game("reward=match", f"opponent.measure={measure}", "opponent.strength=0")
    for member in range(3):
        assert torch.equal(gradient(played, TABLES, member), played.gradient(TABLES[member]))


@pytest.mark.parametrize("measure", ["over_mean", "over_best"])
@pytest.mark.parametrize("size", [2, 3])
def test_a_lead_in_probability_leaves_the_truth_an_equilibrium(measure: str, size: int) -> None:
    words = ["reward=propensity", f"opponent.measure={measure}", "opponent.strength=0.9"]
    ended = game(*words, f"opponent.size={size}").ascend_together(TABLES[:size], 400, 0.05)
    for member in ended.softmax(-1):
        torch.testing.assert_close(member, TRUTH, rtol=0, atol=2e-3)


def test_leads_over_the_mean_die_out_as_linearised() -> None:
    """A small lead δ of one of two, −δ of the other: ∂loss/∂z = (1 − 2·s·(diag p − pp'))·δ."""
    counts, truth = COUNTS[:1], TRUTH[0]
    strength, small = 0.8, 1e-3
    lead = small * torch.tensor([1.0, -0.6, -0.4])
    tables = torch.stack([truth + lead, truth - lead]).log().unsqueeze(1)
    words = ["reward=propensity", "opponent.size=2", f"opponent.strength={strength}"]
    found = gradient(game(*words, counts=counts), tables, 0)[0]
    covariance = truth.diag() - torch.outer(truth, truth)
    wanted = lead - 2 * strength * covariance @ lead
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=2e-6)


def test_duels_won_split_the_truth_among_members() -> None:
    """Where nobody draws, propensity ends on π ∝ p·(1 + s·lead)."""
    words = ["reward=propensity", "opponent.measure=win_share", "opponent.strength=0.5"]
    ended = game(*words).ascend_together(TABLES, 500, 0.05).softmax(-1)
    for member, context in itertools.product(range(3), range(2)):
        leads = [lead("win_share", ended[:, context, a].tolist(), member) for a in range(3)]
        wanted = TRUTH[context] * (1 + 0.5 * torch.tensor(leads))
        torch.testing.assert_close(ended[member, context], wanted / wanted.sum(), rtol=0, atol=2e-3)
    assert not torch.allclose(ended[0], ended[1], atol=0.05)


def test_sampled_feedback_estimates_the_same_gradient() -> None:
    """Through all that two draws and the text can be, at one context."""
    words = ["reward=match", "explorer=bandit", "explorer.samples=2", "objective.baseline=none",
             "explorer.proposal=policy", "explorer.reference_share=0"]  # fmt: skip
    sampled, exact = game(*words, counts=COUNTS[:1]), game("reward=match", counts=COUNTS[:1])
    tables = TABLES[:, :1]
    own = tables[0, 0].softmax(-1)
    mixed = sampled.hparams["explorer"]["uniform_share"]
    proposal = (1 - mixed) * own + mixed / 3
    middles = proposal.cumsum(-1) - proposal / 2
    total = torch.zeros(3)
    for target, one, other in itertools.product(range(3), repeat=3):
        sampled._uniforms = ()  # they are chosen here
        sampled.batch = Batch(
            context=torch.zeros(1, 1, dtype=torch.int64),
            target=torch.tensor([[target]]),
            positions=torch.zeros(1, 1, dtype=torch.int64),
            uniforms=middles[[one, other]].view(1, 1, 2),
        )
        chance = TRUTH[0, target] * proposal[one] * proposal[other]
        total += chance * gradient(sampled, tables, 0)[0]
    wanted = gradient(exact, tables, 0)[0]
    torch.testing.assert_close(total, wanted, rtol=1e-4, atol=1e-6)


def test_the_share_of_duels_won_counts_draws_half() -> None:
    tables = TABLES.clone()
    tables[1] = tables[0]
    table = tables[0]
    played = game("reward=match")
    facts = played.loss(table, rival_logits=[tables[1], tables[2]])[0].facts
    ahead = (tables[0].softmax(-1) > tables[2].softmax(-1)).float()
    wanted = (TRUTH * (0.5 + ahead) / 2).sum(-1).mean().item()
    assert facts["opponent/win_share"].item() == pytest.approx(wanted, abs=1e-6)


def test_a_schedule_may_stand_for_the_strength() -> None:
    ramp = "{shape: linear, start: 0, end: 1, begin: 0, until: 1}"
    moving = game("reward=match", f"opponent.strength={ramp}")
    for progress in (0.0, 0.5, 1.0):
        moving.dynamic["progress"].fill_(progress)
        fixed = game("reward=match", f"opponent.strength={progress}")
        torch.testing.assert_close(
            gradient(moving, TABLES, 1), gradient(fixed, TABLES, 1), rtol=0, atol=0
        )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["opponent.size=0"], r"opponent\.size=0"),
        (["opponent.strength=1.5"], r"opponent\.strength=1\.5"),
        (["opponent.measure=best"], r"opponent\.measure='best'"),
        (["reward=opponent"], r"opponent='population' .* past or league"),
        (["objective.past_kl_coef=0.1"], r"opponent='population' .* past or league"),
        (["trainer.keep_best=true"], r"trainer\.keep_best=true .* opponent\.size=1"),
        (["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"],
         r"explorer\.horizon=3 .* opponent\.size=1"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_in_a_line(words: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        game("reward=match", *words)
    assert "\n" not in str(refused.value)


def test_a_lead_is_at_most_one_either_way() -> None:
    own, others = torch.rand(1, 1, 5), torch.rand(2, 1, 1, 5)
    one = {"strength": torch.tensor(1.0)}
    for measure in MEASURES:
        config = composition.compose(
            ["data=folio", "opponent=population", f"opponent.measure={measure}"]
        ).opponent
        assert isinstance(config, population.Config)
        paid = config.standing(own, others, one)
        assert 0 <= paid.min() <= paid.max() <= 2
        assert math.isfinite(paid.sum())
