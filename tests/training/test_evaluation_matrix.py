"""Evaluation, by every option that meets it, against one that is slow and obvious."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.reference.ensemble import members_of
from avatarl.training import execute
from avatarl.training.evaluation import HeldOut, evaluate
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")

OPTIONS = {
    "alone": ["reference=none", "objective.kl_coef=0"],
    "reference": ["reference=trigram"],
    "prior": ["model.prior=true", "reference=trigram"],
    "long prior": ["model.prior=true", "reference=kneser_ney", "reference.order=6"],
    "ensemble": [
        "model.prior=true",
        "reference=ensemble",
        "reference.members.short.order=2",
        "reference.members.long.order=4",
        "reference.weights=[1,2]",
    ],
    "gates and fading": [
        "model.prior=true",
        "model.prior_gate=context",
        "model.prior_weight=0.6",
        "reference=ensemble",
        "reference.members.short.order=2",
        "reference.members.long.order=4",
        "reference.weights=[1,2]",
    ],
    "ladder": [
        "model.prior=true",
        "reference=ngram4",
        "reference/schedule=ladder",
        "reference.schedule.rungs=[2,4]",
    ],
}


def slowly(learner: Learner, ids: np.ndarray) -> torch.Tensor:
    """Log-probs (W,L,V) of every window and position, each from what was read up to there."""
    length, reference = learner.config.model.context_length, learner.reference_schedule.reference
    schedule = learner.reference_schedule.schedule
    reach = None if schedule is None else schedule.history()
    starts = range(len(ids) - length)
    columns = []
    for read in range(1, length + 1):
        contexts = torch.tensor(np.array([ids[start : start + read] for start in starts])).long()
        prior = None
        if learner.config.model.prior:
            assert reference is not None
            known = contexts if reach is None else contexts[:, read - min(read, reach) :]
            if learner.config.model.gates_members:
                each = [[one.logprobs(c) for one in members_of(reference)] for c in known]
                prior = 0.6 * torch.stack([torch.stack(one) for one in each]).unsqueeze(1)
            else:
                prior = torch.stack([reference.logprobs(one) for one in known]).unsqueeze(1)
        with torch.no_grad():
            logits = learner.model(contexts, prior_logprobs=prior, last=True)
        columns.append(logits.log_softmax(-1))
    return torch.cat(columns, dim=1)


@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("length", [8, 24, 64])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_stride_scores_what_a_loop_over_positions_scores(
    tiny: Tiny, options: list[str], length: int, positions: str
) -> None:
    torch.set_num_threads(1)
    sizes = [f"model.context_length={length}", "model.n_layer=1", f"explorer.positions={positions}"]
    config = tiny(*sizes, "reward=match", *options)
    corpus = load(config.data)
    learner = Learner(config, corpus, CPU)
    with torch.no_grad():  # as if it had learned something
        for weight in learner.parameters.values():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) / 9)
    text = corpus.heldout[: length + 70]
    wanted = slowly(learner, text)
    for stride in range(1, length + 1):
        starts = np.arange(0, len(text) - length, stride)
        targets = torch.tensor(
            np.array([text[s + length - stride + 1 : s + length + 1] for s in starts])
        )
        rows = wanted[starts, length - stride :]  # (W,stride,V)
        found = evaluate(learner.score, HeldOut(text, length, stride), device=CPU).metrics
        nats = -rows.gather(-1, targets.long().unsqueeze(-1)).mean().item()
        assert found["val/nats"] == pytest.approx(nats, abs=1e-5), stride
        entropy = -(rows.exp() * rows).sum(-1).mean().item()
        assert found["val/entropy"] == pytest.approx(entropy, abs=1e-5), stride


@pytest.mark.parametrize("stride", ["null", "1", "7", "24"])
def test_a_run_with_a_prior_and_a_long_context_reaches_its_end(tiny: Tiny, stride: str) -> None:
    words = ["model.context_length=24", "model.prior=true", "trainer.steps=2"]
    result = execute(tiny(*words, "trainer.batch_size=8", f"trainer.eval_stride={stride}"))
    assert result["val/nats"] < 4
