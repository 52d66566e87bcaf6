"""Single steps taken by hand, for tests that look inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from avatarl.explorer import Decoder
from avatarl.interfaces import Batch, Exploration
from avatarl.objective import LossOutput
from avatarl.training.learner import Learner
from avatarl.training.scoring import Network
from avatarl.training.step import Step, StepInputs


def loss_of(learner: Learner, batch: Batch) -> tuple[LossOutput, Exploration, torch.Tensor]:
    """The loss of a learner's next step on a batch, what was explored, its rewards (B,T,K)."""
    return taken(learner.step_function, learner.inputs(batch))


def taken(step: Step, inputs: StepInputs) -> tuple[LossOutput, Exploration, torch.Tensor]:
    experience, logprobs = step.collect(inputs)
    output = step.compute_loss(inputs, experience, logprobs, with_facts=True)
    return output, experience.exploration, experience.rewards


def rereading(
    network: Network, reference: Callable[[torch.Tensor, int], torch.Tensor] | None = None
) -> Callable[[torch.Tensor, int], Decoder]:
    """Rollouts without a cache: the whole context is read again for each character."""

    def decode(prompt: torch.Tensor, rollouts: int) -> Decoder:
        context = prompt.repeat_interleave(rollouts, dim=0)  # (B·K,P)

        @torch.no_grad()
        def decoder(char: torch.Tensor | None) -> torch.Tensor:
            nonlocal context
            if char is not None:
                context = torch.cat([context, char], dim=1)
            prior: Any = None if reference is None else reference(context, context.shape[1])
            return network(context, prior)[:, -1:]  # (B·K,1,V)

        return decoder

    return decode


def leeway(name: str, atol: float) -> float:
    """What a fact may differ by where rounding does: counts jump by whole positions at a tie."""
    return 0.05 if name in ("train/rank", "train/accuracy") else atol
