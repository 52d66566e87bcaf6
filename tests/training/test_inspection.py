"""A look at the game: what is shown of a context is what a step there does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import Corpus, load
from avatarl.training.evaluation import HeldOut, evaluate
from avatarl.training.inspection import choices, continuation, passage, summary
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]


BEFORE = [
    *["model.prior=true", "model.prior_weight=0.5"],
    *["reference=kneser_ney", "reference.order=12", "reference.history=text"],
]


def trained(config: RunConfig, steps: int = 3) -> tuple[Learner, Corpus]:
    corpus = load(config.data)
    learner = Learner(config, corpus, torch.device("cpu"))
    for _ in range(steps):
        learner.train_step(with_facts=False)
    return learner, corpus


def test_the_choices_are_the_policy_s_ranked_by_confidence(tiny: Tiny) -> None:
    learner, corpus = trained(tiny())
    text = corpus.text[100:130]
    found = choices(learner, corpus, text, "e")
    ids = torch.from_numpy(corpus.encode(text[-8:]).astype("int64")).unsqueeze(0)
    with torch.no_grad():
        wanted = learner.score(ids, 1).flatten()
    assert [one.probability for one in found] == sorted(
        (one.probability for one in found), reverse=True
    )
    for one in found:
        logprob = wanted[corpus.characters.index(one.character)].item()
        assert one.logprob == pytest.approx(logprob, abs=1e-6)
    assert sum(one.probability for one in found) == pytest.approx(1, abs=1e-5)
    assert sum(one.reference or 0.0 for one in found) == pytest.approx(1, abs=1e-5)
    assert [one.character for one in found if one.matches] == ["e"]


def test_the_push_of_the_control_is_the_truth_minus_the_policy(tiny: Tiny) -> None:
    learner, corpus = trained(tiny("objective=cross_entropy"))
    for one in choices(learner, corpus, corpus.text[:20], corpus.text[20]):
        assert one.push == pytest.approx(one.matches - one.probability, abs=1e-5)


def test_the_push_of_expected_accuracy_is_its_policy_gradient(tiny: Tiny) -> None:
    plain = ["objective=expected", "reward=match", "reference=none"]
    learner, corpus = trained(tiny(*plain))
    found = choices(learner, corpus, corpus.text[:20], corpus.text[20])
    held = next(one.probability for one in found if one.matches)
    for one in found:
        assert one.reference is None
        assert one.reward == float(one.matches)
        assert one.advantage == pytest.approx(one.matches - held, abs=1e-6)
        assert one.push == pytest.approx(one.probability * (one.matches - held), abs=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [
        ["explorer=bandit", "reward=propensity", "objective=expected"],
        ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"],
        ["objective=grpo", "objective.sync_every=5", "reward=sum", "model.prior=true"],
        ["opponent=league", "opponent.every=2", "reward=opponent", "objective.past_kl_coef=0.1"],
        ["explorer.action_weighting=uniform", "objective.baseline=none", "reward=match"],
        [*BEFORE, "model.prior_gate=context", "model.dropout=0.2", "objective.sync_every=5"],
    ],
)
def test_every_game_can_be_looked_at(tiny: Tiny, overrides: list[str]) -> None:
    learner, corpus = trained(tiny(*overrides))
    found = choices(learner, corpus, corpus.text[:20], corpus.text[20])
    assert sum(one.push or 0.0 for one in found) == pytest.approx(0, abs=1e-5)
    assert next(one.reward or 0.0 for one in found if one.matches) > 0


def test_without_the_text_s_character_nothing_is_rewarded(tiny: Tiny) -> None:
    learner, corpus = trained(tiny(), 1)
    assert all(one.reward is None for one in choices(learner, corpus, "The ", None))


@pytest.mark.parametrize("words", [[], BEFORE], ids=["window", "text"])
def test_a_passage_is_scored_as_an_evaluation_scores_it(tiny: Tiny, words: list[str]) -> None:
    learner, corpus = trained(tiny(*words))
    seen = passage(learner, corpus, 200)
    assert "".join(one.character for one in seen) == corpus.decode(corpus.heldout[8:208])
    part = HeldOut(corpus.heldout[:208], 8, 1, learner.reference_schedule.before)
    wanted = evaluate(learner.score, part, device=learner.device).metrics
    assert summary(seen) == pytest.approx((wanted["val/nats"], wanted["val/accuracy"]), rel=1e-5)


def test_what_follows_is_looked_up_in_the_corpus(tiny: Tiny) -> None:
    corpus = load(tiny().data)
    assert continuation(corpus, corpus.text[50:90]) == corpus.text[90]
    assert continuation(corpus, "no such words zzzz") is None
    # Never read before: what follows the longest end of it that was.
    assert continuation(corpus, "zzzz" + corpus.text[50:90]) == corpus.text[90]
    assert continuation(corpus, corpus.text[-400:]) != ""
