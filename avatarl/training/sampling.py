"""Text written by a policy, character after character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from avatarl.training.evaluation import Scorer


@torch.no_grad()
def generate(
    score: Scorer,
    prompt: Sequence[int],
    *,
    context_length: int,
    temperatures: Sequence[float],
    characters: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Write one text for each temperature, side by side.

    Args:
        score: The policy.
        prompt: Ids to begin with, at least one.
        context_length: Characters the policy sees.
        temperatures: S of them; 0 always takes the most probable character.
        characters: How many to write.
        seed: Of the draws.
        device: Where the policy computes.

    Yields:
        Next characters (S,) int64 and their probabilities (S,) at temperature 1, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    heat = torch.tensor(temperatures).unsqueeze(-1)  # (S,1)
    context = torch.tensor(list(prompt)[-context_length:], dtype=torch.int64)
    context = context.repeat(len(temperatures), 1)  # (S,L)
    for _ in range(characters):
        logprobs = score(context.to(device), 1)[:, 0].float().cpu()  # (S,V)
        probs = (logprobs / heat.clamp_min(1e-6)).softmax(-1)
        drawn = torch.multinomial(probs, 1, generator=generator)
        choice = torch.where(heat > 0, drawn, logprobs.argmax(-1, keepdim=True))  # (S,1)
        yield choice.squeeze(-1), logprobs.gather(-1, choice).exp().squeeze(-1)
        context = torch.cat([context, choice], dim=1)[:, -context_length:]
