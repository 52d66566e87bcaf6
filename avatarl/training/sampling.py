"""Text written by a policy, character after character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.training.evaluation import Scorer

TEMPERATURES = (0.5, 0.8, 1.0)


def sample_texts(
    score: Scorer, config: RunConfig, corpus: Corpus, device: torch.device, reads: int
) -> list[dict[str, Any]]:
    """Let a policy go on from the first held-out window.

    Args:
        score: The policy.
        config: Of the run; the seed decides what is drawn.
        corpus: Its text.
        device: Where to compute.
        reads: Characters that the scorer looks at.

    Returns:
        ``temperature`` and ``text`` of each sample.
    """
    texts: list[list[int]] = [[] for _ in TEMPERATURES]
    for chosen, _ in generate(
        score,
        corpus.heldout[: config.model.context_length].tolist(),
        reads=reads,
        temperatures=TEMPERATURES,
        characters=config.trainer.sample_characters,
        seed=config.seed,
        device=device,
    ):
        for text, character in zip(texts, chosen.tolist(), strict=True):
            text.append(character)
    return [
        {"temperature": temperature, "text": corpus.decode(text)}
        for temperature, text in zip(TEMPERATURES, texts, strict=True)
    ]


@torch.no_grad()
def generate(
    score: Scorer,
    prompt: Sequence[int],
    *,
    reads: int,
    temperatures: Sequence[float],
    characters: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Write one text for each temperature, side by side.

    Args:
        score: The policy.
        prompt: Ids to begin with, at least one.
        reads: Characters that the scorer looks at.
        temperatures: S of them; 0 always takes the most probable character.
        characters: How many to write.
        seed: Of the draws.
        device: Where the policy computes.

    Yields:
        Next characters (S,) int64 and their probabilities (S,) at temperature 1, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    heat = torch.tensor(temperatures).unsqueeze(-1)  # (S,1)
    context = torch.tensor(list(prompt)[-reads:], dtype=torch.int64)
    context = context.repeat(len(temperatures), 1)  # (S,L)
    for _ in range(characters):
        logprobs = score(context.to(device), 1)[:, 0].float().cpu()  # (S,V)
        probs = (logprobs / heat.clamp_min(1e-6)).softmax(-1)
        drawn = torch.multinomial(probs, 1, generator=generator)
        choice = torch.where(heat > 0, drawn, logprobs.argmax(-1, keepdim=True))  # (S,1)
        yield choice.squeeze(-1), logprobs.gather(-1, choice).exp().squeeze(-1)
        context = torch.cat([context, choice], dim=1)[:, -reads:]
