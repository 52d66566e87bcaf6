from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig, structure_key
from avatarl.data import load
from avatarl.training.learner import Learner
from avatarl.training.stack import Stack
from tests.steps import leeway

Tiny = Callable[..., RunConfig]

KINDS = [
    ["explorer.positions=last"],
    ["objective=grpo", "objective.sync_every=5"],
    ["opponent=past", "reward=opponent"],
    ["explorer=bandit", "reward=sum"],
    ["model.prior=true", "reference/schedule=gated"],
    ["model.dropout=0.2", "model.position=rotary"],
    [
        "model.prior=true",
        "model.prior_gate=context",
        "model.prior_weight={shape: linear, start: 1, end: 0, begin: 0, until: 1}",
    ],
]


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), torch.device("cpu"))


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_the_function_is_the_step_as_it_is_written(tiny: Tiny, kind: list[str]) -> None:
    """One path asks modules, the other a function of tensors: the same loss, facts and gradient."""
    as_written = learner(tiny(*kind, "optimizer=adamw"))
    as_function = learner(tiny(*kind, "optimizer=adamw"))
    assert as_function.functional_step is not None
    for _ in range(7):
        facts = as_written.train_step(with_facts=True)
        as_function.prepare_step()
        tensors = {**as_function.weights(), **as_function.tensors(as_function.batches.cut())}
        loss, described, controller_state = as_function.functional_step(tensors, True)
        gradients = torch.autograd.grad(loss, list(as_function.parameters.values()))
        norm = as_function.update(gradients, controller_state)
        as_function.state.step += 1
        assert set(facts) == {"grad_norm", *described}
        assert torch.equal(facts["grad_norm"], norm)
        for name, value in described.items():
            assert torch.equal(facts[name], value), name


def test_runs_that_differ_in_numbers_share_it(tiny: Tiny) -> None:
    one = learner(tiny("seed=1", "reward.confidence_weight=0.0", "optimizer.lr=0.001"))
    other = learner(tiny("seed=2", "reward.confidence_weight=2.0", "optimizer.lr=0.002"))
    assert one.functional_step is other.functional_step
    penalised = learner(tiny("reward.penalty=0.1"))
    assert penalised.functional_step is not one.functional_step


def test_what_a_zero_leaves_out_is_structure(tiny: Tiny) -> None:
    assert structure_key(tiny("reward.penalty=0.0")) != structure_key(tiny("reward.penalty=0.1"))
    assert structure_key(tiny("reward.penalty=0.2")) == structure_key(tiny("reward.penalty=0.1"))
    weights = [tiny(f"reward.confidence_weight={weight}") for weight in (0.0, 0.5)]
    assert structure_key(weights[0]) == structure_key(weights[1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
@pytest.mark.parametrize("kind", [[], *KINDS[-2:]], ids=" ".join)
def test_a_compiled_stack_is_its_runs(tiny: Tiny, kind: list[str]) -> None:
    words = ["optimizer=adamw", "trainer.compile=on", *kind]
    configs = [tiny(*words, f"seed={seed}") for seed in range(2)]
    alone, stack = [learner(one) for one in configs], Stack([learner(one) for one in configs])
    for _ in range(3):
        together = stack.train_step(with_facts=True)
        singles = [one.train_step(with_facts=True) for one in alone]
    for facts, wanted in zip(together, singles, strict=True):
        for name, value in wanted.items():
            atol = leeway(name, 1e-5)
            torch.testing.assert_close(facts[name], value, rtol=1e-4, atol=atol)
