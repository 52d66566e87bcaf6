"""What comes before the window: for the reference where it asks, never for the network."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from avatarl.config import RunConfig, run_id
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.reference import MISSING, history_windows
from avatarl.training import execute
from avatarl.training.evaluation import HeldOut, evaluate
from avatarl.training.learner import Learner
from avatarl.training.sampling import generate

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")
LONG = ["reference=kneser_ney", "reference.order=6", "reference.history=text"]
SHORT = ["model.context_length=4", "model.n_layer=1"]


def learner(config: RunConfig) -> Learner:
    torch.set_num_threads(1)
    return Learner(config, load(config.data), CPU)


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_a_character_is_predicted_from_what_stands_before_it_and_nothing_else(stride: int) -> None:
    ids = np.arange(20, dtype=np.uint8)
    contexts, targets = HeldOut(ids, 4, stride, before=5).cut(None)
    for context, own in zip(contexts, targets, strict=True):
        read = history_windows(torch.from_numpy(context.astype(np.int64))[None], 5)[0, -stride:]
        for row, target in zip(read.tolist(), own.tolist(), strict=True):
            assert row == [place if place >= 0 else MISSING for place in range(target - 5, target)]


@pytest.mark.parametrize("words", [["model.prior=true"], []], ids=["prior", "reference"])
@pytest.mark.parametrize("length", [4, 24])
def test_evaluation_reads_on_from_the_earlier_text(
    tiny: Tiny, words: list[str], length: int
) -> None:
    subject = learner(tiny(*SHORT, *LONG, *words, f"model.context_length={length}"))
    reference = subject.reference_schedule.reference
    assert reference is not None
    assert subject.reads == length + 5
    # Windows repeat, with other text before them.
    rng = np.random.default_rng(0)
    text = np.concatenate([np.tile([3, 1, 4, 1, 5], 2), rng.integers(0, 9, 2)] * 6)
    text = text[: length + 40].astype(np.uint8)
    for stride in range(1, length + 1):
        held_out = HeldOut(text, length, stride, before=5)
        scored = evaluate(
            subject.score, held_out, device=CPU, reference=subject.score_reference
        ).metrics
        nats, apart = [], []
        for start in range(0, len(text) - length, stride):
            for place in range(length - stride + 1, length + 1):
                target = start + place
                history = text[max(0, target - 5) : target].astype(np.int64)
                ref = reference.logprobs(torch.from_numpy(history))
                window = torch.from_numpy(text[start:target].astype(np.int64))[None]
                prior = ref.view(1, 1, -1) if words else None
                with torch.no_grad():
                    logits = subject.model(window, last=True, prior_logprobs=prior)
                logprobs = logits[0, 0].log_softmax(-1)
                nats.append(-logprobs[int(text[target])].item())
                apart.append((logprobs.exp() * (logprobs - ref)).sum().item())
        assert scored["val/nats"] == pytest.approx(np.mean(nats), abs=1e-5), stride
        assert scored["val/kl_ref"] == pytest.approx(np.mean(apart), abs=1e-5), stride


@pytest.mark.parametrize("positions", ["last", "all"])
def test_training_reads_the_whole_history_by_the_counts_of_other_folds(
    tiny: Tiny, positions: str
) -> None:
    words = [*SHORT, "reference=kneser_ney", "reference.order=6", f"explorer.positions={positions}"]
    whole, cut = learner(tiny(*words, LONG[-1])), learner(tiny(*words))
    batch, shorter = whole.batches.at(2), cut.batches.at(2)
    reference = whole.reference_schedule.reference
    assert reference is not None
    assert batch.reference is not None
    assert shorter.reference is not None
    assert torch.equal(batch.reference, reference.train_logprobs(batch.positions))
    assert not torch.equal(batch.reference, shorter.reference)
    gains = [
        -(one.reference.gather(-1, one.target.unsqueeze(-1))).mean().item()
        for one in (shorter, batch)
        if one.reference is not None
    ]
    assert gains[1] < gains[0]


def test_a_rung_still_limits_what_is_read(tiny: Tiny) -> None:
    ladder = ["reference/schedule=ladder", "reference.schedule.rungs=[2,4]"]
    subject = learner(tiny(*SHORT, "reference=ngram4", *ladder, "reference.history=text"))
    reference, batch = subject.reference_schedule.reference, subject.batches.at(0)
    assert reference is not None
    assert batch.reference is not None
    assert torch.equal(batch.reference, reference.train_logprobs(batch.positions, 1))


def test_a_gate_weighs_by_the_history_that_is_read(tiny: Tiny) -> None:
    subject = learner(tiny(*SHORT, *LONG, "reference/schedule=gated"))
    reference, batch = subject.reference_schedule.reference, subject.batches.at(0)
    assert reference is not None
    assert batch.gate is not None
    count = reference.train_reliability(batch.positions).count
    half = subject.config.raw["reference"]["schedule"]["half"]
    torch.testing.assert_close(batch.gate, count / (count + half))


def test_what_is_written_is_read_back_as_far(tiny: Tiny) -> None:
    subject = learner(tiny(*SHORT, *LONG, "model.prior=true"))
    widths = []

    def score(context: torch.Tensor, positions: int) -> torch.Tensor:
        widths.append(context.shape[1])
        return subject.score(context, positions)

    written = generate(
        score, [1, 2], reads=subject.reads, temperatures=[1.0], characters=10, seed=0, device=CPU
    )
    assert len(list(written)) == 10
    assert widths == [2, 3, 4, 5, 6, 7, 8, 9, 9, 9]


def test_a_run_with_the_text_before_it_ends_better_for_it(tiny: Tiny) -> None:
    words = [*SHORT, "model.prior=true", "reference=kneser_ney", "reference.order=6"]
    window, text = (execute(tiny(*words, f"reference.history={h}")) for h in ("window", "text"))
    assert text["val/nats"] < window["val/nats"] - 0.02


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["reference.cross_fit=loo"], "reference.cross_fit"),
        (["reference.cross_fit=null"], "reference.cross_fit"),
        (["reference.history=all"], "reference.history"),
        (["explorer=temperature", "explorer.positions=last", "explorer.horizon=2"],
         "reference.history"),
    ],
)  # fmt: skip
def test_what_would_leak_or_lacks_the_text_is_refused(
    tiny: Tiny, words: list[str], key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny(*LONG, *words)
    assert caught.value.key == key


def test_the_window_is_what_ids_of_before_meant(tiny: Tiny) -> None:
    raw = tiny("reference=ensemble").raw
    before = copy.deepcopy(raw)
    del before["reference"]["history"]
    for member in before["reference"]["members"].values():
        del member["history"]
    assert run_id(before, "0" * 64) == run_id(raw, "0" * 64)
    other = tiny("reference=ensemble", "reference.history=text").raw
    assert run_id(other, "0" * 64) != run_id(raw, "0" * 64)
