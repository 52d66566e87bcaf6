"""A batch read in parts gives what the whole batch gives: loss, gradient, facts, controllers."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from avatarl.config import RunConfig, run_id
from avatarl.data import load
from avatarl.runs.folder import RunFolder
from avatarl.training import execute
from avatarl.training.learner import Learner
from avatarl.training.micro_batches import in_parts
from avatarl.training.scoring import Network
from avatarl.training.stacked import execute_stacked
from avatarl.training.step import Players, StepInputs
from tests.steps import loss_of, taken

Tiny = Callable[..., RunConfig]

OLD = ["objective=grpo", "objective.sync_every=3"]
ROLLOUTS = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]
KINDS = [
    ["explorer.positions=last"],
    [*OLD, "objective.dual_clip=3", "objective.covariance=clip", "objective.covariance_share=0.1"],
    # A second epoch, not yet moved by what Adam makes of gradients that are rounding alone.
    ["objective.inner_epochs=2", "objective.covariance=kl", "optimizer.lr=1e-9"],
    ["explorer.select=highest_entropy"],
    ["explorer.select=drop_lowest", "model.prior=true"],
    ["explorer.select=drop_random", "reference/schedule=gated"],
    ["objective.ent_min=1", "objective.ent_max=2", "objective.kl_target=0.1"],
    ["opponent=league", "opponent.every=1", "reward=opponent", "objective.past_kl_coef=0.1"],
    ["explorer=swarm", "explorer.guidance=0.3"],
    ["explorer=bandit", "objective=expected", "reward=propensity"],
    [*ROLLOUTS, *OLD, "opponent=past", "opponent.every=1", "model.prior=true"],
    ["objective=cross_entropy"],
    ["model.dropout=0.2", *OLD],
    ["model.dropout=0.2", *ROLLOUTS],
    ["model.prior=true", "model.prior_gate=context", "model.prior_weight=0.5"],
]
PART = "trainer.micro_batch_size=5"  # of 16 windows: the last part is a smaller one


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), torch.device("cpu"))


def gradient(loss: Tensor, weights: dict[str, Tensor]) -> Tensor:
    grads = torch.autograd.grad(loss, list(weights.values()))
    return torch.cat([grad.flatten() for grad in grads])


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_every_step_is_the_whole_batchs(tiny: Tiny, kind: list[str]) -> None:
    whole = learner(tiny(*kind, "optimizer=adamw"))
    parted = learner(tiny(*kind, "optimizer=adamw", PART))
    for _ in range(5):
        losses = []
        for one in (whole, parted):
            one.prepare_step()
            output, _, _ = loss_of(one, one.batches.cut())
            losses.append((output, gradient(output.loss, one.parameters)))
        (expected, exact), (output, grad) = losses
        assert (grad - exact).norm() <= 1e-5 * exact.norm()
        torch.testing.assert_close(output.loss, expected.loss, rtol=1e-5, atol=1e-6)
        for name, value in expected.controller_state.items():
            torch.testing.assert_close(output.controller_state[name], value, rtol=1e-5, atol=1e-6)
        facts, found = (one.train_step(with_facts=True) for one in (whole, parted))
        assert facts.keys() == found.keys()
        for name, value in facts.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
        parted.load(whole.state.state_dict())


@pytest.mark.parametrize("size", [1, 7, 16])
def test_in_double_precision_only_rounding_is_left(tiny: Tiny, size: int) -> None:
    one = learner(tiny("objective=grpo", "explorer.select=highest_entropy", "reward=mixed"))
    one.prepare_step()
    model = one.model.double()

    def network(context: Tensor, prior: Tensor | None) -> Tensor:
        logprobs: Tensor = model(context, prior_logprobs=prior).log_softmax(-1)
        return logprobs

    found = []
    for part in (None, size):
        player = in_parts(network, list(model.parameters()), part)
        batch, control = one.batches.cut(), one.state.controller_state
        inputs = StepInputs(Players(player), batch, one.hparams, control)
        output, _, _ = taken(one.step_function, inputs)
        found.append((output.loss, gradient(output.loss, dict(model.named_parameters()))))
    (loss, exact), (parted, grad) = found
    assert (parted - loss).abs() <= 1e-12 * loss.abs()
    assert (grad - exact).norm() <= 1e-12 * exact.norm()


@pytest.mark.parametrize("kind", [OLD, ROLLOUTS], ids=" ".join)
def test_no_more_is_read_at_once_than_a_part(
    tiny: Tiny, kind: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = learner(tiny(*kind, "opponent=league", "opponent.every=1", PART))
    rows: list[tuple[int, bool]] = []
    plain = type(one.scoring).network

    def network(self: object, forward: Callable[..., Tensor]) -> Network:
        score = plain(one.scoring, forward)

        def counted(context: Tensor, prior: Tensor | None) -> Tensor:
            rows.append((len(context), torch.is_grad_enabled()))
            return score(context, prior)

        return counted

    monkeypatch.setattr(type(one.scoring), "network", network)
    for _ in range(3):
        one.train_step(with_facts=False)
    rollouts = 4 if kind is ROLLOUTS else 1
    assert max(size for size, _ in rows) == 5 * rollouts
    # Each step keeps what a backward pass needs of each part once.
    assert sum(size for size, kept in rows if kept) == 3 * 16 * rollouts


def test_a_run_in_parts_goes_on_bit_for_bit(tiny: Tiny) -> None:
    whole = execute(tiny(PART, folder="whole"))
    looks = iter(range(100))
    with pytest.raises(Exception, match="interrupted"):
        execute(tiny(PART, folder="cut"), stop=lambda: next(looks) == 10)
    resumed = execute(tiny(PART, folder="cut"))
    states = [RunFolder(one.directory).checkpoint(24)[0].read_bytes() for one in (whole, resumed)]
    assert states[0] == states[1]


def test_a_part_is_a_matter_of_memory_and_not_of_the_id(tiny: Tiny) -> None:
    assert run_id(tiny().raw, "0" * 64) == run_id(tiny(PART).raw, "0" * 64)
    larger = tiny("trainer.micro_batch_size=64")
    assert larger.trainer.windows_at_once is None


def test_what_takes_a_step_as_one_program_names_the_setting(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    reason = f"{PART} reads a batch in parts"
    remark = f"trainer.compile=graphs: the network alone is compiled: {reason}"
    assert learner(tiny(PART, "trainer.compile=graphs")).remarks == [(logging.WARNING, remark)]
    configs = [tiny(PART, "trainer.steps=2", f"seed={seed}") for seed in (1, 2)]
    with caplog.at_level(logging.WARNING, logger="avatarl"):
        results = execute_stacked([config.raw for config in configs], stack=2)
    assert all(isinstance(result, dict) for result in results)
    assert caplog.text.count(f"runs alone: {reason}") == 2
