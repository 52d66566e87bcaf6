"""Priors of several members, with a gate per context, beside a KL term, and fading ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig, structure_key
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.reference.ensemble import members_of
from avatarl.training import execute
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]
ENSEMBLE = [
    "reference=ensemble",
    "reference.members.short.order=2",
    "reference.members.long.order=4",
    "reference.weights=[1,2]",
]
GATED = ["model.prior=true", "model.prior_gate=context", *ENSEMBLE]
FADE = "{shape: linear, start: 1, end: 0, begin: 0, until: 1}"
FADING = ["model.prior=true", f"model.prior_weight={FADE}"]
ROLLOUTS = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]


def learner(config: RunConfig) -> Learner:
    torch.set_num_threads(1)
    return Learner(config, load(config.data), torch.device("cpu"))


def silence(subject: Learner) -> None:
    """Leave nothing of the network but what it adds of the prior."""
    with torch.no_grad():
        subject.parameters["token.weight"].zero_()


def probe(count: int = 7) -> torch.Tensor:
    return torch.randint(60, (count, 8), generator=torch.Generator().manual_seed(0))


def test_the_first_policy_of_gated_members_is_their_geometric_mean(tiny: Tiny) -> None:
    subject = learner(tiny(*GATED))
    silence(subject)
    reference = subject.reference_schedule.reference
    assert reference is not None
    members = [one.logprobs(probe()) for one in members_of(reference)]
    wanted = (sum(members) / len(members)).log_softmax(-1)
    torch.testing.assert_close(subject.score(probe(), 1)[:, 0], wanted, rtol=1e-5, atol=1e-5)


def test_each_member_counts_by_its_gate_at_each_position(tiny: Tiny) -> None:
    subject = learner(tiny(*GATED))
    with torch.no_grad():
        for weight in subject.parameters.values():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) / 5)
    members = torch.randn(7, 8, 2, len(load(subject.config.data).characters))
    found = subject.model(probe(), prior_logprobs=members)
    read: list[torch.Tensor] = []
    head = subject.model.prior_head
    hook = head.register_forward_hook(lambda module, inputs, output: read.append(inputs[0]))
    alone = subject.model(probe(), prior_logprobs=torch.zeros_like(members))
    hook.remove()
    for window in range(7):
        for place in range(8):
            gates = head.weight @ read[0][window, place] + head.bias
            added = gates[0] * members[window, place, 0] + gates[1] * members[window, place, 1]
            wanted = alone[window, place] + added
            torch.testing.assert_close(found[window, place], wanted, rtol=1e-4, atol=1e-4)


def test_training_reads_the_members_that_evaluation_reads(tiny: Tiny) -> None:
    subject = learner(tiny(*GATED, "reference.cross_fit=null"))
    batch = subject.batches.at(0)
    by_context = subject.reference_schedule.score_members
    assert batch.members is not None
    assert by_context is not None
    torch.testing.assert_close(batch.members, by_context(batch.context, 8), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("more", [[], ROLLOUTS], ids=["batch", "rollouts"])
def test_gates_differ_from_context_to_context_once_learned(tiny: Tiny, more: list[str]) -> None:
    subject = learner(tiny(*GATED, *more, "objective.sync_every=2", "optimizer.lr=0.01"))
    for _ in range(6):
        facts = subject.train_step(with_facts=True)
    assert all(bool(value.isfinite()) for value in facts.values())
    assert subject.parameters["prior_head.weight"].abs().sum() > 0


def test_a_gate_per_context_needs_no_ensemble(tiny: Tiny) -> None:
    words = ["model.prior=true", "model.prior_gate=context"]
    assert learner(tiny(*words)).parameters["prior_head.weight"].shape == (1, 32)
    short = [*words, *ENSEMBLE[:3], "reference.weights=[1,1]", "~reference.members.short"]
    with pytest.raises(ConfigError, match="weights"):
        tiny(*short)
    assert structure_key(tiny(*words)) != structure_key(tiny(*GATED))


def test_prior_and_kl_term_hold_the_policy_together(tiny: Tiny) -> None:
    words = ["objective=expected", "reward=match", "objective.ent_coef=0", "model.prior=true"]
    subject = learner(tiny(*words, "objective.kl_coef=0.7"))
    facts = subject.train_step(with_facts=True)
    # The network is all but silent at first: the policy is its prior, and diverges from nothing.
    assert 0 <= facts["train/kl"].item() < 0.02
    for _ in range(5):
        facts = subject.train_step(with_facts=True)
    assert 0 < facts["train/kl_coef"].item() <= 0.7  # it is warmed up
    wanted = facts["train/policy"] + facts["train/kl_coef"] * facts["train/kl"]
    torch.testing.assert_close(facts["train/loss"], wanted)


@pytest.mark.parametrize("more", [[], ROLLOUTS], ids=["batch", "rollouts"])
def test_a_fading_prior_counts_less_from_step_to_step(tiny: Tiny, more: list[str]) -> None:
    subject = learner(tiny(*FADING, "reference=trigram", *more))
    score = subject.score_reference
    assert score is not None
    for step in (0, 6, 18, 24):
        prior = subject.prior_at(step)
        assert prior is not None
        wanted = score(probe(), 8) * (1 - step / 24)
        torch.testing.assert_close(prior(probe(), 8), wanted)
    for _ in range(24):
        facts = subject.train_step(with_facts=True)
    assert all(bool(value.isfinite()) for value in facts.values())
    # At the end the network is on its own.
    with torch.no_grad():
        nothing = torch.zeros_like(score(probe(), 8))
        alone = subject.model(probe(), prior_logprobs=nothing).log_softmax(-1)
    torch.testing.assert_close(subject.score(probe(), 8), alone)


def test_training_steps_weigh_the_prior_by_their_progress(tiny: Tiny) -> None:
    subject = learner(tiny(*FADING, "objective.sync_every=2"))
    for step in range(5):
        subject.prepare_step()
        batch = subject.batches.cut()
        experience, _ = subject.step_function.collect(subject.inputs(batch))
        assert experience.priors is not None
        assert batch.reference is not None
        torch.testing.assert_close(experience.priors, batch.reference * (1 - step / 24))
        subject.train_step(with_facts=False)


def test_the_best_weights_are_scored_with_the_prior_of_their_step(tiny: Tiny) -> None:
    words = [*FADING, "reference=trigram", "trainer.keep_best=true", "trainer.eval_every=4"]
    result = execute(tiny(*words, "data.dev_fraction=0.1"))
    # The prior fades faster than so small a network learns.
    assert result["headline/step"] == 4
    assert result["val/nats"] < result["last/nats"] - 0.1


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("model.prior_gate=position", "model.prior_gate"),
        ("model.prior_weight=-1", "model.prior_weight"),
        ("model.prior_weight={shape: step, start: 1, end: -1, begin: 0, until: 1}",
         "model.prior_weight.end"),
    ],
)  # fmt: skip
def test_a_senseless_prior_is_refused(tiny: Tiny, word: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny("model.prior=true", word)
    assert caught.value.key == key
