"""Which weights a result is of: the best ones kept, their average, and both figures beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.runs.folder import RunFolder
from avatarl.training import execute
from avatarl.training.checkpoint import read_latest
from avatarl.training.evaluation import HeldOut, evaluate
from avatarl.training.learner import Learner
from avatarl.training.stacked import execute_stacked

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")
EMA = ["trainer.average=ema", "trainer.average_decay=0.8", "trainer.average_start=0.25"]
# So large a step that the loss on unseen text rises again.
BEST = ["trainer.keep_best=true", "trainer.eval_every=3", "data.dev_fraction=0.1"]
WILD = ["optimizer=adamw", "optimizer.lr=0.05", "optimizer.schedule=constant"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), CPU)


def test_a_slice_that_is_only_looked_at_changes_no_step_and_is_of_the_result(tiny: Tiny) -> None:
    looked = execute(tiny(*BEST, "trainer.keep_best=false", "trainer.eval_dev=true"))
    kept = execute(tiny(*BEST))
    by_step = development(looked)
    assert by_step == development(kept)  # the same text was trained on
    [final] = [
        json.loads(line)
        for line in (looked.directory / "metrics.jsonl").open()
        if '"final"' in line
    ]
    # Of the whole slice, by the weights that the result is of.
    assert looked["dev/nats"] == final["dev/nats"] == pytest.approx(by_step[24], abs=0.2)
    assert {"dev/accuracy", "dev/ece", "dev/bits"} <= set(final)
    subject = learner(tiny(*BEST, "trainer.keep_best=false", "trainer.eval_dev=true"))
    assert len(subject.batches.ids) < len(load(subject.config.data).train)


def development(result: Any) -> dict[int, float]:
    """The slice's nats by step, as the journal has them."""
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").open()]
    return {
        line["step"]: line["dev/nats"]
        for line in lines
        if "dev/nats" in line and "event" not in line
    }


def held_out_nats(subject: Learner) -> float:
    config, corpus = subject.config, load(subject.config.data)
    text = HeldOut.of(corpus.heldout, config.model.context_length, config.trainer.eval_stride)
    return evaluate(subject.score, text, device=CPU).metrics["val/nats"]


@pytest.mark.parametrize("start", [0.0, 0.25])
def test_the_average_is_a_plain_mean_that_becomes_a_moving_one(tiny: Tiny, start: float) -> None:
    subject = learner(tiny(*EMA, f"trainer.average_start={start}"))
    wanted: torch.Tensor | None = None
    for step in range(24):
        subject.train_step(with_facts=False)
        weight = subject.parameters["token.weight"].detach().double()
        averaged = step - round(start * 24)  # updates in the average already
        if wanted is None or averaged <= 0:
            wanted = weight.clone()
        elif averaged < 5:  # 1 / (1 - .8)
            wanted = (wanted * averaged + weight) / (averaged + 1)
        else:
            wanted = 0.8 * wanted + 0.2 * weight
        found = subject.state.average["token.weight"].double()
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, weight, atol=1e-4)


def test_evaluation_looks_at_the_average_and_the_result_has_both(tiny: Tiny) -> None:
    result = execute(tiny(*EMA))
    trained, averaged = learner(tiny()), learner(tiny(*EMA))
    for _ in range(24):
        trained.train_step(with_facts=False)
        averaged.train_step(with_facts=False)
    assert (result["headline"], result["headline/step"]) == ("ema", 24)
    assert result["last/nats"] == pytest.approx(held_out_nats(trained), rel=1e-7)
    assert result["val/nats"] == pytest.approx(held_out_nats(averaged), rel=1e-7)
    assert result["val/nats"] != result["last/nats"]
    assert "headline" not in execute(tiny())


@pytest.mark.parametrize("more", [[], EMA, ["objective=cross_entropy"]], ids=["", "ema", "control"])
def test_the_result_is_of_the_step_that_did_best_on_the_slice(tiny: Tiny, more: list[str]) -> None:
    config = tiny(*BEST, *WILD, *more)
    result = execute(config)
    by_step = development(result)
    assert list(by_step) == list(range(3, 25, 3))
    best = min(by_step, key=lambda step: by_step[step])
    assert best < 24
    assert result["headline/step"] == best
    assert result["headline/dev_nats"] == by_step[best]
    again = learner(config)
    for step in range(1, 25):
        again.train_step(with_facts=False)
        if step == best:
            # Kernels may differ in the last bit for weights that have no gradient.
            assert result["val/nats"] == pytest.approx(held_out_nats(again), rel=1e-7)
    last = again.scorer(again.parameters, 24)
    corpus = load(config.data)
    figures = evaluate(last, HeldOut.of(corpus.heldout, 8), device=CPU).metrics
    assert result["last/nats"] == pytest.approx(figures["val/nats"], rel=1e-7)
    # The slice trains nobody, and what is read back is what the result is of.
    assert len(again.batches.ids) == round(0.9 * len(corpus.train))
    stored = read_latest(RunFolder(result.directory))
    assert stored is not None
    again.load(stored)
    assert held_out_nats(again) != pytest.approx(result["val/nats"], rel=1e-4)
    found = evaluate(again.headline, HeldOut.of(corpus.heldout, 8), device=CPU).metrics
    assert found["val/nats"] == pytest.approx(result["val/nats"], rel=1e-7)


def test_patience_ends_a_run_that_no_longer_gains(tiny: Tiny) -> None:
    result = execute(tiny(*BEST, *WILD, "trainer.patience=2", "trainer.steps=200"))
    by_step = development(result)
    assert result["state"] == "done"
    assert result["steps"] == max(by_step) < 200
    assert result["steps"] == result["headline/step"] + 2 * 3
    assert by_step[result["headline/step"]] == min(by_step.values())
    assert result["characters_seen"] == result["steps"] * 16 * 8


def test_stacked_runs_keep_and_average_each_for_itself(tiny: Tiny) -> None:
    words = ["optimizer=adamw", *BEST, *EMA, "trainer.patience=3"]
    wild = ["optimizer.lr=0.05", "optimizer.schedule=constant"]
    own = [["seed=1"], ["seed=2", *wild]]
    configs = [tiny(*words, *each, folder="stacked") for each in own]
    for each, stacked in zip(
        own, execute_stacked([one.raw for one in configs], stack=2), strict=True
    ):
        single = execute(tiny(*words, *each, folder="single"))
        assert not isinstance(stacked, Exception)
        assert stacked["headline/step"] == single["headline/step"]
        for figure in ("val/nats", "headline/dev_nats"):
            assert stacked[figure] == pytest.approx(single[figure], rel=1e-3), figure


def test_what_cannot_be_had_is_refused_by_name(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.patience"):
        tiny("trainer.patience=3")
    with pytest.raises(ConfigError, match=r"trainer\.average"):
        tiny("trainer.average=swa")
    with pytest.raises(ConfigError, match=r"trainer\.keep_best"):
        tiny(*BEST, "model.prior=true", "reference=ngram4", "reference/schedule=ladder")
    with pytest.raises(ConfigError, match=r"data\.dev_fraction"):
        execute(tiny("trainer.keep_best=true", "data.dev_fraction=0.0001"))
