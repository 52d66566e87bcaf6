"""Each trap that silently changed what the first experiments measured, kept shut.

Trap 8 (attention paths that differ) is also covered beside the model, traps 2 and 13 beside the
references; here they are seen from the policy's side.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from avatarl import composition
from avatarl.data import Corpus
from avatarl.data.base import RawText
from avatarl.errors import ConfigError
from avatarl.training import precision
from avatarl.training.health import Health
from avatarl.training.learner import Learner
from avatarl.training.step import reward_facts
from tests.steps import loss_of

TINY = [
    "data=folio",
    "model=gpt2_tiny",
    "reference=bigram",
    "tracking=files",
    "trainer.batch_size=32",
    "trainer.steps=60",
]


def corpus_of(text: str) -> Corpus:
    return Corpus.from_text(RawText(name="toy", text=text), train_fraction=0.9, unseen="keep")


def learner_of(corpus: Corpus, *overrides: str) -> Learner:
    return Learner(composition.compose([*TINY, *overrides]), corpus, torch.device("cpu"))


@pytest.fixture(scope="module")
def cycle() -> Corpus:
    """Every character is followed by the next of the cycle, never by itself."""
    return corpus_of("abcde" * 800)


@pytest.fixture(scope="module")
def words() -> Corpus:
    return corpus_of("the cat sat on the mat; a bat ate the hat. " * 120)


@pytest.mark.parametrize("explorer", ["exhaustive", "temperature"])
@pytest.mark.parametrize("positions", ["last", "all"])
def test_trap_1_candidates_are_scored_by_the_position_before_them(
    cycle: Corpus, explorer: str, positions: str
) -> None:
    """Scored by its own position, the policy would learn to repeat what it just read."""
    learner = learner_of(
        cycle, "reward=match", f"explorer={explorer}", f"explorer.positions={positions}",
        "reference=none", "objective.kl_coef=0", "optimizer.lr=0.01", "trainer.steps=80",
    )  # fmt: skip
    while learner.step < learner.steps:
        learner.train_step(with_facts=False)
    read = torch.tensor(np.tile(cycle.encode("abcde").astype(np.int64), 3)[:8]).unsqueeze(0)
    guess = learner.score(read, 8).argmax(-1)  # (1,8)
    assert guess[0, 1:].tolist() == ((read[0, 1:] + 1) % 5).tolist()


@pytest.mark.parametrize("positions", ["last", "all"])
def test_trap_2_the_reference_conditions_on_the_character_just_read(
    words: Corpus, positions: str
) -> None:
    learner = learner_of(words, f"explorer.positions={positions}")
    batch = learner.batches.at(0)
    given = batch.reference  # (B,T,V)
    assert given is not None
    size = words.vocab_size
    counts = np.ones((size, size))
    np.add.at(counts, (words.train[:-1].astype(int), words.train[1:].astype(int)), 1)
    table = torch.tensor(counts / counts.sum(1, keepdims=True)).float()
    read = batch.context if positions == "all" else batch.context[:, -1:]
    torch.testing.assert_close(given.exp(), table[read], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reward", ["match", "mixed", "confidence_scaled"])
def test_trap_3_the_true_character_is_the_best_paid_one(words: Corpus, reward: str) -> None:
    learner = learner_of(words, f"reward={reward}")
    exploration, rewards = collect(learner)
    truth = exploration.matches.argmax(-1)
    assert (rewards.argmax(-1) == truth).all()


def test_trap_4_the_logged_reward_is_the_one_the_policy_earns(words: Corpus) -> None:
    learner = learner_of(words, "reward=match", "optimizer.lr=0.01")
    logged = [learner.train_step(with_facts=True)["reward/expected"].item() for _ in range(40)]
    assert logged[-1] > 3 * logged[0]
    exploration, rewards = collect(learner)
    facts = reward_facts(exploration, rewards)
    by_hand = (exploration.old_logprobs.exp() * rewards).sum(-1).mean()
    assert facts["reward/expected"].item() == pytest.approx(by_hand.item(), rel=1e-6)
    # What used to be logged can't move, whatever the policy does.
    assert facts["reward/uniform_mean"].item() == pytest.approx(1 / words.vocab_size)


def test_trap_5_training_never_touches_held_out_text(words: Corpus) -> None:
    class Sealed:
        """Stands where the held-out text was."""

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("training read the held-out text")

    sealed = dataclasses.replace(words, heldout=Sealed())  # type: ignore[arg-type]
    open_, closed = learner_of(words), learner_of(sealed)
    for _ in range(5):
        open_.train_step(with_facts=True)
        closed.train_step(with_facts=True)
    for name, value in open_.parameters.items():
        assert torch.equal(value, closed.parameters[name]), name


def test_trap_5_no_window_reaches_past_the_training_text(words: Corpus) -> None:
    for explorer in (["explorer.positions=last"], ["explorer=temperature", "explorer.horizon=3",
                     "explorer.positions=last"]):  # fmt: skip
        learner = learner_of(words, *explorer)
        steps = learner.batches.windows.steps_per_epoch
        furthest = max(int(learner.batches.at(step).positions.max()) for step in range(steps))
        assert furthest + learner.config.explorer.steps_ahead - 1 < len(words.train)


def test_trap_6_uniform_weights_with_a_baseline_are_refused() -> None:
    with pytest.raises(ConfigError, match="without an optimum"):
        composition.compose([*TINY, "explorer.action_weighting=uniform"])


def test_trap_6_why_it_is_refused(words: Corpus) -> None:
    """With uniform weights a centred advantage makes the objective linear in the logits."""
    from avatarl.objective import terms

    matches = torch.eye(5)[[0, 3]].unsqueeze(1)  # (2,1,5)
    advantage = matches - matches.mean(-1, keepdim=True)

    def gradient(logits: torch.Tensor) -> torch.Tensor:
        table = logits.clone().requires_grad_()
        ratio = (table.log_softmax(-1) - table.log_softmax(-1).detach()).exp()
        wide = torch.tensor(10.0)
        value, _ = terms.clipped_surrogate(ratio, advantage, wide, wide)
        return torch.autograd.grad(value.sum(), table)[0]

    generator = torch.Generator().manual_seed(0)
    near, far = (scale * torch.randn(2, 1, 5, generator=generator) for scale in (1.0, 30.0))
    torch.testing.assert_close(gradient(near), gradient(far), rtol=0, atol=1e-5)
    assert gradient(far).abs().max() > 0.5


def test_trap_7_dr_grpo_keeps_confidence_scaling_that_grpo_cancels(words: Corpus) -> None:
    """The std of a one-hot group divides out whatever the hit was scaled by."""

    def first_gradient(objective: str, weight: float) -> torch.Tensor:
        learner = learner_of(
            words, f"objective={objective}", f"reward.confidence_weight={weight}",
            "reward.soft_weight=0", "objective.kl_coef=0", "objective.ent_coef=0",
            *(["objective.std_floor=1e-6"] if objective == "grpo" else []),
        )  # fmt: skip
        terms, _, _ = loss_of(learner, learner.batches.at(0))
        return torch.autograd.grad(terms.loss, [learner.parameters["token.weight"]])[0]

    same = first_gradient("grpo", 0.0), first_gradient("grpo", 2.0)
    torch.testing.assert_close(*same, rtol=1e-3, atol=1e-6)
    kept = first_gradient("dr_grpo", 0.0), first_gradient("dr_grpo", 2.0)
    assert (kept[0] - kept[1]).norm() > 1e-3 * kept[0].norm()


def test_trap_8_scoring_one_position_or_all_is_the_same_network(words: Corpus) -> None:
    model = learner_of(words).model
    context = torch.randint(0, words.vocab_size, (4, 8), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        model(context, last=True)[:, 0], model(context)[:, -1], rtol=1e-5, atol=1e-5
    )
    turned = context.roll(1, dims=1)
    turned[:, -1] = context[:, -1]
    assert not torch.allclose(model(context, last=True), model(turned, last=True), atol=1e-4)


def test_trap_9_the_adapted_kl_coefficient_survives_from_step_to_step(words: Corpus) -> None:
    learner = learner_of(
        words, "objective.kl_target=0.001", "objective.kl_coef=0.001",
        "objective.kl_warmup_characters=0", "objective.kl_window=1",
    )  # fmt: skip
    coefficients = [learner.train_step(with_facts=True)["train/kl_coef"].item() for _ in range(12)]
    growth = np.array(coefficients[1:]) / np.array(coefficients[:-1])
    np.testing.assert_allclose(growth, 1.02, rtol=1e-4)


@pytest.mark.parametrize("overrides", [[], ["explorer.positions=last"], ["explorer=temperature"]])
def test_trap_10_one_forward_pass_serves_all_candidates(
    words: Corpus, overrides: list[str]
) -> None:
    learner = learner_of(words, *overrides)
    passes: list[int] = []

    def count(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        passes.append(inputs[0].shape[0])

    learner.model.register_forward_pre_hook(count)
    learner.train_step(with_facts=True)
    assert passes == [32]


def test_trap_10_one_pass_equals_one_pass_a_candidate(words: Corpus) -> None:
    """The exhaustive loss against V forward passes, each scoring its candidate alone."""
    learner = learner_of(
        words, "explorer.positions=last", "objective=dr_grpo", "objective.kl_coef=0",
        "objective.ent_coef=0",
    )  # fmt: skip
    batch = learner.batches.at(0)
    terms, exploration, rewards = loss_of(learner, batch)
    quick = torch.autograd.grad(terms.loss, list(learner.parameters.values()))
    loss = torch.zeros(())
    for candidate in range(words.vocab_size):
        # Score the candidate as a sequence: the pass reads it, the position before it judges it.
        sequence = torch.cat([batch.context, batch.context.new_full((32, 1), candidate)], 1)
        logprob = learner.model(sequence[:, :-1])[:, -1].log_softmax(-1)[:, candidate]  # (B,)
        old = logprob.detach()
        mean = (exploration.old_logprobs.exp() * rewards).sum(-1)[:, 0]
        advantage = rewards[:, 0, candidate] - mean
        loss = loss - (old.exp() * (logprob - old).exp() * advantage).mean()
    naive = torch.autograd.grad(loss, list(learner.parameters.values()))
    for one, other in zip(quick, naive, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-6)


def test_trap_11_after_a_wrong_character_nothing_is_a_hit(words: Corpus) -> None:
    learner = learner_of(
        words, "explorer=temperature", "explorer.positions=last", "explorer.horizon=4",
        "explorer.samples=8", "explorer.guidance=0.9",
    )  # fmt: skip
    batch = learner.batches.at(0)
    _, exploration, _ = loss_of(learner, batch)
    assert exploration.actions is not None
    right = exploration.actions == batch.target.unsqueeze(-1)  # (B,H,K) by position alone
    expected = right.float().cumprod(dim=1)
    assert torch.equal(exploration.matches, expected)
    assert (right.float() > expected).any()  # the case the trap is about did occur


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in bf16, however slowly."""
    monkeypatch.setattr(precision, "slowdown", lambda device: 1.0)


@pytest.mark.usefixtures("with_bf16")
def test_trap_12_the_ratio_is_one_before_any_update(words: Corpus) -> None:
    learner = learner_of(words, "objective.sync_every=5", "trainer.precision=bf16")
    assert learner.old_model is not None
    old_model = learner.old_model
    context = learner.batches.at(0).context
    new = learner.scoring(learner.model, context, None)
    old = learner.scoring(old_model, context, None)
    assert torch.equal(new, old)
    assert new.dtype == torch.float32
    assert not any(isinstance(part, torch.nn.Dropout) for part in learner.model.modules())
    facts = learner.train_step(with_facts=True)
    assert facts["health/clip_fraction"].item() == 0.0


@pytest.mark.usefixtures("with_bf16")
def test_trap_12_log_probabilities_are_normalised_in_full_precision(words: Corpus) -> None:
    learner = learner_of(words, "trainer.precision=bf16")
    logprobs = learner.scoring(learner.model, learner.batches.at(0).context, None)
    total = logprobs.double().exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)


def test_trap_13_the_reference_reads_nothing_of_what_it_predicts(words: Corpus) -> None:
    """Rows of the training text equal a look-up of the context alone, whatever comes next."""
    learner = learner_of(words, "reference=ngram4")
    batch = learner.batches.at(0)
    assert batch.reference is not None and learner.score_reference is not None
    by_row = batch.reference
    by_context = learner.score_reference(batch.context, 1)
    torch.testing.assert_close(by_row[:, -1:], by_context, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"val/ece": 0.2}, "calibration"),
        ({"health/collapse_gap": 0.2}, "confidence_collapse"),
        ({"health/entropy_gap": 0.2}, "confidence_collapse"),
    ],
)
def test_trap_14_every_alarm_can_fire_and_clear(facts: dict[str, float], name: str) -> None:
    calm = {"val/ece": 0.0, "health/collapse_gap": 0.0, "health/entropy_gap": 0.0}
    health = Health(composition.compose(TINY).health)
    assert health.check_evaluation(calm) == []
    (raised,) = health.check_evaluation(calm | facts)
    assert (raised.name, raised.raised) == (name, True)
    assert health.check_evaluation(calm | facts) == []
    (cleared,) = health.check_evaluation(calm)
    assert (cleared.name, cleared.raised) == (name, False)


def collect(learner: Learner) -> tuple[Any, torch.Tensor]:
    _, exploration, rewards = loss_of(learner, learner.batches.at(learner.step))
    return exploration, rewards
