"""Dropout: masks of seed and step, on in the policy that learns and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.training.learner import Learner
from tests.steps import taken

Tiny = Callable[..., RunConfig]
DROPOUT = "model.dropout=0.3"
ROLLOUTS = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]


def learner(config: RunConfig) -> Learner:
    torch.set_num_threads(1)
    return Learner(config, load(config.data), torch.device("cpu"))


def test_masks_follow_from_seed_and_step_alone(tiny: Tiny) -> None:
    one, other = (learner(tiny(DROPOUT, more)) for more in ("reward=match", "reward=propensity"))
    masks = one.batches.at(3).masks
    assert masks is not None
    masks = masks.clone()
    assert masks.shape == (16, 1, 5, 8, 32)
    assert masks.float().mean().item() == pytest.approx(0.7, abs=0.01)
    elsewhere = other.batches.at(3).masks
    assert elsewhere is not None
    assert torch.equal(elsewhere, masks)
    for batch in (one.batches.at(4), learner(tiny(DROPOUT, "seed=1")).batches.at(3)):
        assert batch.masks is not None
        share = (batch.masks == masks).float().mean().item()
        assert share == pytest.approx(0.7**2 + 0.3**2, abs=0.01)
    assert learner(tiny()).batches.at(0).masks is None


@pytest.mark.parametrize(
    "explorer",
    [[], ["explorer.positions=last"], ["explorer=bandit", "objective=expected"], ROLLOUTS],
    ids=["all", "last", "bandit", "rollouts"],
)
@pytest.mark.parametrize("age", [1, 4])
def test_the_policy_acts_whole_and_its_ratio_is_one(
    tiny: Tiny, explorer: list[str], age: int
) -> None:
    subject = learner(tiny(DROPOUT, *explorer, f"objective.sync_every={age}"))
    for step in range(5):
        subject.prepare_step()
        batch = subject.batches.cut()
        inputs = subject.inputs(batch)
        experience, logprobs = subject.step_function.collect(inputs)
        exploration = experience.exploration
        assert logprobs is not None
        compared = exploration.compared_logprobs
        fresh = step % age == 0
        assert torch.equal(compared, logprobs.detach()) == fresh
        assert not torch.allclose(compared, exploration.old_logprobs, atol=1e-3)
        actor = subject.old_model or subject.model
        with torch.no_grad():
            whole = actor(exploration.contexts).log_softmax(-1)[:, -compared.shape[1] :]
        torch.testing.assert_close(whole, exploration.old_logprobs, rtol=1e-4, atol=1e-5)
        output, _, _ = taken(subject.step_function, inputs)
        assert (output.facts["health/kl_old"].item() == 0) == fresh
        subject.train_step(with_facts=False)


def test_evaluation_drops_nothing(tiny: Tiny) -> None:
    dropping, whole = learner(tiny(DROPOUT)), learner(tiny())
    probe = dropping.batches.at(0).context
    assert torch.equal(dropping.score(probe, 8), whole.score(probe, 8))


def test_propensity_and_cross_entropy_still_have_one_gradient(tiny: Tiny) -> None:
    gradients = []
    for objective in ("cross_entropy", "expected"):
        words = [f"objective={objective}", "reward=propensity", "reward.alpha=1"]
        if objective == "expected":
            words += ["objective.kl_coef=0", "objective.ent_coef=0"]
        subject = learner(tiny(DROPOUT, *words))
        output, _, _ = taken(subject.step_function, subject.inputs(subject.batches.at(2)))
        gradients.append(torch.autograd.grad(output.loss, list(subject.parameters.values())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
