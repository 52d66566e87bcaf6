"""Dynamic evaluation: each character is scored before anything learns from it, in one pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarl import cli
from avatarl.config import RunConfig, run_id
from avatarl.runs.folder import RunFolder
from avatarl.training import execute
from avatarl.training.adaptive import evaluate_while_learning
from avatarl.training.evaluation import HeldOut, Scorer
from avatarl.training.stored import load_policy

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")
SHORT = ["trainer.steps=6", "data.characters=3000"]
DYNAMIC = ["trainer.evaluation=dynamic", "trainer.adapt_lr=0.3", *SHORT]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("words", "windows"),
    [
        (["trainer.adapt_every=16"], 16),  # stride 1
        (["trainer.eval_stride=4", "trainer.adapt_every=18"], 4),
        (["trainer.eval_stride=4", "trainer.adapt_every=1", "trainer.average=ema"], 1),
    ],
)
def test_it_is_what_an_obvious_loop_makes_of_it(tiny: Tiny, words: list[str], windows: int) -> None:
    config = tiny(*DYNAMIC, *words)
    result = execute(config)
    subject, corpus = load_policy(RunFolder(result.directory))
    model = copy.deepcopy(subject.model)
    with torch.no_grad():
        for weight, kept in zip(model.parameters(), subject.state.headline.values(), strict=True):
            weight.copy_(kept)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    text = torch.from_numpy(corpus.heldout.astype(np.int64))
    stride, begin, spent = config.trainer.eval_stride or 1, 0, []
    while begin + 8 < len(text):
        scored = []
        for start in range(begin, begin + windows * stride, stride):
            if start + 8 < len(text):
                rows = model(text[None, start : start + 8]).log_softmax(-1)[0]
                after = text[start + 9 - stride : start + 9]
                scored.append(-rows[-stride:].gather(-1, after[:, None])[:, 0])
        spent.append(torch.cat(scored).detach())
        optimizer.zero_grad()
        torch.cat(scored).mean().backward()
        optimizer.step()
        begin += windows * stride
    assert result["adaptive/nats"] == pytest.approx(torch.cat(spent).mean().item(), rel=1e-4)
    assert result["adaptive/nats"] < result["val/nats"]


class Noting:
    """Passes scores on and remembers them."""

    def __init__(self, score: Scorer) -> None:
        self.score, self.seen = score, list[Tensor]()

    def __call__(self, context: Tensor, positions: int) -> Tensor:
        self.seen.append(self.score(context, positions))
        return self.seen[-1]


@pytest.mark.parametrize("words", [[], ["model.prior=true", "reference.history=text"]])
def test_no_score_depends_on_itself_or_on_what_follows(tiny: Tiny, words: list[str]) -> None:
    subject, corpus = load_policy(RunFolder(execute(tiny(*SHORT, *words)).directory))
    before = subject.reference_schedule.before

    def scores(ids: np.ndarray) -> Tensor:
        made: list[Noting] = []

        def scorer_by(weights: object) -> Scorer:
            made.append(Noting(subject.scorer(weights, subject.step)))  # type: ignore[arg-type]
            return made[-1]

        held_out = HeldOut.of(ids, 8, 4, before)
        evaluate_while_learning(
            scorer_by, subject.parameters, held_out, every=8, lr=0.5, device=CPU
        )
        return torch.cat(made[0].seen).flatten(0, 1).detach()  # (N,V)

    text = corpus.heldout[:200]
    plain = scores(text)
    torch.testing.assert_close(plain.exp().sum(-1), torch.ones(len(plain)))
    for place in (60, 63, 64, 120):
        other = text.copy()
        other[place] = (other[place] + 1) % corpus.vocab_size
        changed = scores(other)
        first = place - 4 - 1  # row of the character itself: the first scored one is text[5]
        assert torch.equal(changed[: first + 1], plain[: first + 1])
        assert not torch.equal(changed[first + 1 :], plain[first + 1 :])


def test_what_was_trained_and_what_is_known_of_it_stay(tiny: Tiny) -> None:
    fixed, dynamic = execute(tiny(*SHORT)), execute(tiny(*DYNAMIC))
    assert fixed.directory != dynamic.directory
    adaptive = {key for key in dynamic if key.startswith("adaptive/")}
    assert adaptive == {
        f"adaptive/{name}" for name in ("nats", "bits", "accuracy", "ece", "entropy")
    }
    for key in fixed:
        if key.startswith(("val/", "train/", "best/", "reliability", "health/")):
            assert fixed[key] == dynamic[key], key
    assert dynamic["track"] == "label_revealing_adaptive"
    header = json.loads((dynamic.directory / "metrics.jsonl").open().readline())
    assert header["track"] == dynamic["track"]
    still = execute(tiny(*DYNAMIC, "trainer.adapt_lr=0"))
    assert still["adaptive/nats"] == pytest.approx(fixed["val/nats"], rel=1e-6)
    plain = tiny().raw
    assert run_id(tiny("trainer.adapt_every=7").raw, "0" * 64) == run_id(plain, "0" * 64)


def test_tables_keep_it_apart(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (SHORT, DYNAMIC):
        execute(tiny(*words))
    assert cli.main(["compare", "--output-dir", str(tmp_path / "out"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    for row in rows:
        if row["kind"] == "run":
            assert (row.get("adaptive/nats") is not None) == row["track"].endswith("_adaptive")
    assert {row["track"] for row in rows} == {"label_revealing", "label_revealing_adaptive"}
