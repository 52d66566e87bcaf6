"""Discounted rollouts against their closed form, by going through all that can be written."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarl import composition
from avatarl.explorer import Rollouts
from avatarl.interfaces import Batch, dynamic_values
from avatarl.reward import Text
from avatarl.training.scoring import Network
from avatarl.training.step import Players, Step, StepInputs, step_hyperparameters
from tests.steps import rereading, taken

V, GAMMA, CPU = 3, 0.6, torch.device("cpu")
TABLE = torch.randn(V, V, generator=torch.Generator().manual_seed(3))  # of the last character
TEXT = torch.rand(V, V, generator=torch.Generator().manual_seed(4))  # p(y₀, y₁)
TEXT /= TEXT.sum()
START = 2


def sampled(discounting: str) -> Tensor:
    """The expected gradient of the step's loss, over the text and over what can be written."""
    config = composition.compose([
        "data=folio", "tracking=files", "explorer=temperature", "explorer.temperature=1",
        "explorer.samples=1", "explorer.horizon=2", "explorer.positions=last",
        f"explorer.discount={GAMMA}", f"explorer.discounting={discounting}", "reward=match",
        "objective=expected", "reference=none", "model.context_length=2",
    ])  # fmt: skip
    step = Step.build(config, Text(("a", "b", "c"), np.arange(V), CPU))
    hparams = step_hyperparameters(config, CPU, dynamic_values(CPU))
    probs = TABLE.softmax(-1)
    middles = probs.cumsum(-1) - probs / 2
    total = torch.zeros(V, V)
    for one, two, first, second in itertools.product(range(V), repeat=4):
        table = TABLE.clone().requires_grad_()

        def network(context: Tensor, prior: Tensor | None, table: Tensor = table) -> Tensor:
            return table[context].log_softmax(-1)

        score: Network = network
        batch = Batch(
            context=torch.tensor([[0, START]]),
            target=torch.tensor([[one, two]]),
            positions=torch.tensor([[0]]),
            uniforms=torch.stack([middles[START, first], middles[first, second]]).view(1, 2, 1),
        )
        players = Players(score, rollouts=Rollouts(rereading(score), None))
        output, exploration, _ = taken(step, StepInputs(players, batch, hparams, {}))
        assert exploration.actions is not None
        assert exploration.actions.flatten().tolist() == [first, second]
        torch.testing.assert_close(exploration.policy_weights, torch.ones(1, 2, 1))
        chance = TEXT[one, two] * probs[START, first] * probs[first, second]
        total += chance * torch.autograd.grad(output.loss, table)[0]
    return 2 * total  # the loss is the mean of two steps


def test_from_the_start_it_is_the_gradient_of_the_discounted_return() -> None:
    table = TABLE.clone().requires_grad_()
    probs = table.softmax(-1)
    first = (TEXT.sum(1) * probs[START]).sum()
    both = (TEXT * probs[START].unsqueeze(1) * probs).sum()
    (exact,) = torch.autograd.grad(-(first + GAMMA * both), table)
    torch.testing.assert_close(sampled("start"), exact, rtol=1e-5, atol=1e-6)


def test_from_each_step_on_late_steps_count_as_early_ones() -> None:
    table = TABLE.clone().requires_grad_()
    logprobs = table.log_softmax(-1)
    probs = logprobs.exp().detach()
    hit = TEXT.sum(1) * probs[START]
    both = TEXT * probs[START].unsqueeze(1) * probs
    early = (logprobs[START] * (hit + GAMMA * both.sum(1))).sum()
    # A second step that follows a wrong character earns nothing.
    surrogate = early + (logprobs * both).sum()
    (exact,) = torch.autograd.grad(-surrogate, table)
    torch.testing.assert_close(sampled("step"), exact, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(sampled("start"), exact, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("discounting", ["step", "start"])
def test_without_a_discount_they_are_the_same(
    discounting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "GAMMA", 1.0)
    table = TABLE.clone().requires_grad_()
    probs = table.softmax(-1)
    earned = (TEXT.sum(1) * probs[START]).sum() + (TEXT * probs[START].unsqueeze(1) * probs).sum()
    (exact,) = torch.autograd.grad(-earned, table)
    torch.testing.assert_close(sampled(discounting), exact, rtol=1e-5, atol=1e-6)
