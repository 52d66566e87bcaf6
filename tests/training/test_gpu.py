"""What a GPU adds: compiled and recorded steps, and no waiting for the device."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.training.cuda_graph import GraphRecorder
from avatarl.training.learner import Learner
from avatarl.training.stack import Stack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

Tiny = Callable[..., RunConfig]

KINDS = [
    ["optimizer=adamw"],
    ["optimizer=muon"],
    ["optimizer=adamw", "explorer.positions=last"],
    ["optimizer=adamw", "objective.sync_every=5", "objective=grpo"],
    ["optimizer=adamw", "explorer=bandit", "reference=trigram"],
    ["optimizer=adamw", "trainer.precision=bf16", "model.n_embd=64"],
    [
        "optimizer=adamw",
        "model.dropout=0.2",
        "model.position=rotary",
        "trainer.average=ema",
        "model.prior=true",
        "model.prior_gate=context",
        "model.prior_weight={shape: linear, start: 1, end: 0, begin: 0, until: 1}",
    ],
]


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), torch.device("cuda"))


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@pytest.mark.parametrize("mode", ["on", "graphs"])
def test_compiled_and_recorded_steps_are_the_steps(tiny: Tiny, kind: list[str], mode: str) -> None:
    """From equal states, step by step: so that nothing amplifies what rounding changes."""
    quick = learner(tiny(*kind, f"trainer.compile={mode}"))
    plain = learner(tiny(*kind, "trainer.compile=off"))
    if mode == "graphs":
        assert quick.recorder is not None
    for step in range(12):
        for own, other in zip(quick.parameters.values(), plain.parameters.values(), strict=True):
            with torch.no_grad():
                other.copy_(own)
        facts = quick.train_step(with_facts=step % 3 == 0)
        wanted = plain.train_step(with_facts=True)
        rough = "bf16" in " ".join(kind)
        for name in ("grad_norm", "train/loss", "reward/expected"):
            if name in facts:
                torch.testing.assert_close(
                    facts[name], wanted[name], rtol=3e-2 if rough else 1e-3, atol=1e-3
                )
    if mode == "graphs":
        assert quick.recorder is not None and quick.recorder.recording


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@pytest.mark.parametrize("mode", ["off", "on", "graphs"])
def test_no_step_waits_for_the_device(tiny: Tiny, kind: list[str], mode: str) -> None:
    subject = learner(tiny(*kind, f"trainer.compile={mode}"))
    for _ in range(6):
        subject.train_step(with_facts=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(8):
            subject.train_step(with_facts=step % 2 == 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_what_was_returned_stays_when_the_next_step_is_taken(tiny: Tiny) -> None:
    subject = learner(tiny("trainer.compile=graphs"))
    norms = [subject.train_step(with_facts=False)["grad_norm"] for _ in range(12)]
    assert len({norm.item() for norm in norms}) == 12


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(tiny: Tiny) -> None:
    settings = ["optimizer=adamw", "trainer.compile=graphs"]
    whole, first = (learner(tiny(*settings)) for _ in range(2))
    start = {name: value.detach().clone() for name, value in whole.parameters.items()}
    for _ in range(16):
        whole.train_step(with_facts=False)
    for _ in range(8):
        first.train_step(with_facts=False)
    state = copy.deepcopy(first.state.state_dict())
    second = learner(tiny(*settings))
    for _ in range(5):
        second.train_step(with_facts=False)  # it has recorded another state's addresses
    second.load(state)
    for _ in range(8):
        second.train_step(with_facts=False)
    for name, value in whole.parameters.items():
        # Sums by atomics differ in last bits from one run to the next.
        moved = (value - start[name]).norm()
        assert (second.parameters[name] - value).norm() < 0.02 * moved, name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stack_is_its_runs(tiny: Tiny, optimizer: str) -> None:
    configs = [
        tiny(f"optimizer={optimizer}", f"seed={seed}", f"reward.confidence_weight={seed}.0")
        for seed in range(3)
    ]
    alone = [learner(config) for config in configs]
    stack = Stack([learner(config) for config in configs])
    assert stack.recorder is not None
    for _ in range(10):
        together = stack.train_step(with_facts=True)
        singles = [one.train_step(with_facts=True) for one in alone]
    for facts, wanted in zip(together, singles, strict=True):
        assert set(facts) == set(wanted)
        torch.testing.assert_close(facts["train/loss"], wanted["train/loss"], rtol=1e-3, atol=1e-4)
    stack.release()
    assert all(torch.isfinite(one.train_step(with_facts=True)["train/loss"]) for one in alone)


def test_a_numeric_sweep_compiles_once(tiny: Tiny) -> None:
    import avatarl.training.functional as functional

    torch._dynamo.reset()
    functional._shared.clear()
    torch._dynamo.utils.counters.clear()
    for rate, weight, seed in itertools.product((1e-3, 2e-3, 3e-3), (0.0, 0.5), (1, 2)):
        numbers = [f"optimizer.lr={rate}", f"reward.confidence_weight={weight}", f"seed={seed}"]
        subject = learner(tiny("optimizer=adamw", *numbers))
        for _ in range(2):
            subject.train_step(with_facts=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_what_cannot_be_recorded_goes_on_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    recorder, value = GraphRecorder(), torch.zeros((), device="cuda")

    def waits() -> dict[str, torch.Tensor]:
        value.add_(1)
        return {"grad_norm": value * value.item()}

    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            recorder(waits, None)
    assert caplog.text.count("steps aren't recorded as a CUDA graph") == 1
    assert value.item() == 8
