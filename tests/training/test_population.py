"""Several policies in one run: what each computes, what the run says of them, what is kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avatarl.config import RunConfig, run_id
from avatarl.data import Corpus, load
from avatarl.runs.folder import RunFolder
from avatarl.training import Interrupted, execute
from avatarl.training.evaluation import HeldOut
from avatarl.training.inspection import choices, passage
from avatarl.training.learner import Learner, first_policy
from avatarl.training.stacked import execute_stacked
from avatarl.training.stored import load_policy

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")
SHORT = ["trainer.steps=8", "trainer.log_every=2", "trainer.eval_every=4", "data.characters=6000"]
SEVERAL = ["opponent=population", "opponent.strength=0.9"]
KINDS = [
    [],
    ["explorer=bandit", "objective=expected", "reward=propensity", "model.dropout=0.2"],
    ["objective=grpo", "objective.sync_every=3", "objective.inner_epochs=2", "optimizer=adamw"],
    ["model.prior=true", "trainer.average=ema", "objective.kl_target=0.1", "objective.ent_min=1"],
    ["explorer=swarm", "explorer.select=drop_lowest", "trainer.micro_batch_size=5"],
    ["objective=cross_entropy"],
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), CPU)


def computed(result: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Everything that a run wrote down, but for times."""
    folder = RunFolder(result.directory)
    tensors = load_file(folder.checkpoint(folder.checkpoint_steps()[-1])[0])
    lines = [json.loads(line) for line in folder.journal.read_text().splitlines()[1:]]
    timeless = [
        {key: value for key, value in line.items() if not key.startswith("time/")}
        for line in lines
        if line.get("event") != "resumed"
    ]
    return tensors, timeless


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_population_of_one_is_the_plain_run(tiny: Tiny, kind: list[str]) -> None:
    plain = computed(execute(tiny(*kind, *SHORT)))
    alone = computed(execute(tiny(*kind, *SHORT, *SEVERAL, "opponent.size=1")))
    assert same(plain[0], alone[0])
    assert plain[1] == alone[1]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_without_strength_the_first_is_the_plain_run_in_company(
    tiny: Tiny, kind: list[str]
) -> None:
    plain = learner(tiny(*kind))
    first = learner(tiny(*kind, "opponent=population", "opponent.strength=0"))
    for _ in range(5):
        wanted, facts = plain.train_step(with_facts=True), first.train_step(with_facts=True)
        for name in wanted.keys() - {"grad_norm"}:
            assert torch.equal(wanted[name], facts[name]), name
    assert same(plain.parameters, first.parameters)


def test_members_begin_and_draw_each_for_itself_on_the_same_windows(tiny: Tiny) -> None:
    subject = learner(tiny(*SEVERAL, "explorer=bandit", "model.dropout=0.2", "opponent.size=3"))
    batch = subject.batches.at(0)
    own = [subject.batches.of(member, batch) for member in range(3)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        weights = [
            subject.state.members[member].parameters["token.weight"] for member in (one, other)
        ]
        assert not torch.equal(*weights)
        assert torch.equal(own[one].context, own[other].context)
        for draws in ("uniforms", "masks"):
            pair = [getattr(own[member], draws) for member in (one, other)]
            assert not torch.equal(*pair), draws
    again = learner(tiny(*SEVERAL, "model.dropout=0.2", "opponent.size=3"))
    for member in range(3):
        fresh = first_policy(again.config, len(again.score(batch.context[:1], 1)[0, 0]), member)
        wanted = dict(fresh.named_parameters())["token.weight"]
        assert torch.equal(again.state.members[member].parameters["token.weight"], wanted)


def test_gradients_are_those_of_an_obvious_loop(tiny: Tiny) -> None:
    """Each climbs the mean of π(y)·(1 + s·lead), the others' π(y) as it was before the step."""
    words = ["reward=match", "objective=expected", "objective.kl_coef=0", "objective.ent_coef=0"]
    subject = learner(tiny(*words, *SEVERAL, "opponent.measure=over_best", "reference=none"))
    for _ in range(3):
        subject.prepare_step()
        batch = subject.batches.cut()
        models = [one.model for one in subject.state.members]
        held = [
            model(batch.context).softmax(-1).gather(-1, batch.target.unsqueeze(-1))
            for model in models
        ]
        for member, output in subject._losses(batch, False):
            rest = [one.detach() for place, one in enumerate(held) if place != member]
            lead = held[member].detach() - torch.maximum(*rest)
            wanted = -(held[member] * (1 + 0.9 * lead)).mean()
            weights = list(models[member].parameters())
            for found, slow in zip(
                torch.autograd.grad(output.loss, weights),
                torch.autograd.grad(wanted, weights),
                strict=True,
            ):
                torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-7)
        subject.train_step(with_facts=False)


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_population_is_resumed_bit_for_bit(tiny: Tiny, kind: list[str]) -> None:
    whole = execute(tiny(*kind, *SHORT, *SEVERAL))
    cut = tiny(*kind, *SHORT, *SEVERAL, folder="cut")
    polls = iter(range(5))
    with pytest.raises(Interrupted):
        execute(cut, stop=lambda: next(polls, None) is None)
    assert same(computed(execute(cut))[0], computed(whole)[0])
    assert computed(execute(cut))[1] == computed(whole)[1]
    assert any(name.startswith("member.2.") for name in computed(whole)[0])


@torch.no_grad()
def slow_nats(logprobs: Callable[[torch.Tensor], torch.Tensor], corpus: Corpus) -> float:
    windows, wanted = HeldOut.of(corpus.heldout, 8).cut(None)
    total = 0.0
    for window, target in zip(windows.astype(np.int64), wanted.astype(np.int64), strict=True):
        total -= logprobs(torch.from_numpy(window).unsqueeze(0))[0, 0, target[0]].item()
    return total / len(windows)


def test_the_result_is_of_every_member_and_of_all_together(tiny: Tiny) -> None:
    result = execute(tiny(*SEVERAL, *SHORT))
    subject, corpus = load_policy(RunFolder(result.directory))
    each = [subject.scorer_of(member) for member in range(3)]

    def mean(context: torch.Tensor) -> torch.Tensor:
        return torch.stack([score(context, 1).exp() for score in each]).mean(0).log()

    for member, score in enumerate(each):
        nats = slow_nats(lambda context, score=score: score(context, 1), corpus)  # type: ignore[misc]
        assert result[f"population/{member}/nats"] == pytest.approx(nats, rel=1e-5)
    assert result["ensemble/nats"] == pytest.approx(slow_nats(mean, corpus), rel=1e-5)
    assert result["population/0/nats"] == result["val/nats"]
    assert (
        result["ensemble/nats"]
        < sum(result[f"population/{member}/nats"] for member in range(3)) / 3
    )
    assert result["members"] == 3
    lines = computed(result)[1]
    evaluated = [line for line in lines if "val/nats" in line]
    assert all("ensemble/accuracy" in line for line in evaluated)
    shares = ["opponent/win_share", "opponent/win_share_1", "opponent/win_share_2"]
    for line in lines:
        if "train/loss" in line:
            # What one wins another loses.
            assert sum(line[share] for share in shares) == pytest.approx(1.5, abs=1e-5)


def test_a_gradient_that_breaks_in_any_member_is_noticed(tiny: Tiny) -> None:
    subject = learner(tiny(*SEVERAL, "objective.sync_every=2"))
    with torch.no_grad():
        subject.state.others[1].parameters["token.weight"].fill_(torch.nan)
    assert subject.train_step(with_facts=False)["grad_norm"].isnan()


def test_it_runs_alone_and_compiles_the_network_alone(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    configs = [tiny(*SEVERAL, f"seed={seed}", "trainer.steps=2") for seed in (0, 1)]
    with caplog.at_level(logging.WARNING):
        results = execute_stacked([config.raw for config in configs], stack=2)
    assert not any(isinstance(result, Exception) for result in results)
    assert "runs alone: opponent=population has 3 policies compete" in caplog.text
    subject = learner(tiny(*SEVERAL, "trainer.compile=graphs"))
    assert any("opponent=population has 3" in line for _, line in subject.remarks)


def test_what_a_member_is_paid_can_be_looked_at(tiny: Tiny) -> None:
    words = ["reward=match", "objective=expected", "objective.kl_coef=0", "objective.ent_coef=0"]
    config = tiny(*words, *SEVERAL, "reference=none")
    subject, corpus = learner(config), load(config.data)
    for _ in range(3):
        subject.train_step(with_facts=False)
    text, follows = corpus.text[:20], corpus.text[20]
    seen = [choices(subject, corpus, text, follows, member) for member in range(3)]
    held = [next(one.probability for one in each if one.matches) for each in seen]
    for member, each in enumerate(seen):
        rest = [one for place, one in enumerate(held) if place != member]
        wanted = 1 + 0.9 * (held[member] - sum(rest) / 2)
        for one in each:
            assert one.reward == pytest.approx(wanted if one.matches else 0, rel=1e-5)
    assert len({tuple(passage(subject, corpus, 30, member)) for member in range(3)}) == 3


def test_settings_of_a_population_of_one_are_no_part_of_its_id(tiny: Tiny) -> None:
    def key(*words: str) -> str:
        return run_id(tiny("opponent=population", *words).raw, "0" * 64)

    one = "opponent.size=1"
    assert key(one) == key(one, "opponent.measure=win_share", "opponent.strength=0.1")
    assert key() != key("opponent.measure=win_share")
    still = "opponent.strength=0"
    assert key(still) == key(still, "opponent.measure=win_share")
