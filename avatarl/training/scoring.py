"""How a network is asked for log-probabilities: of given windows, or of what it writes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avatarl.explorer import Decoder
from avatarl.model import Cache, Policy

# (context (B,L), the reference's log-probs to add to, or None) → log-probs (B,T,V) of the scored
# positions, or (B,L,V) of all of them where the explorer rolls out. What is to be kept of its
# activations may follow as a third argument.
Network = Callable[..., Tensor]

# (context (N,L), n) → log-probs (N,n,V) of the last n positions.
Reference = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Scoring:
    """Calls a network and normalises what it says, in fp32.

    Attributes:
        last: The last position alone is scored.
        device_type: Where.
        precision: What matrices are multiplied in; None for fp32.
    """

    last: bool
    device_type: str
    precision: torch.dtype | None

    def autocast(self) -> torch.autocast:
        """In which precision a network multiplies."""
        return torch.autocast(
            self.device_type, dtype=self.precision, enabled=self.precision is not None
        )

    def __call__(
        self,
        forward: Callable[..., Tensor],
        context: Tensor,
        prior: Tensor | None,
        masks: Tensor | None = None,
    ) -> Tensor:
        """Score contexts (B,L) of a training step by a network's forward pass: (B,T,V) fp32.

        Args:
            forward: The pass.
            context: Windows.
            prior: What the network adds its logits to, or None.
            masks: What dropout keeps; None for everything.
        """
        dropout = {} if masks is None else {"masks": masks}
        with self.autocast():
            logits = forward(context, last=self.last, prior_logprobs=prior, **dropout)
        return _normalised(logits)

    def ends(
        self,
        forward: Callable[..., Tensor],
        context: Tensor,
        reference: Reference | None,
        positions: int,
        length: int,
    ) -> Tensor:
        """Score the last positions of contexts (B,H+L): (B,positions,V) fp32.

        Args:
            forward: The pass.
            context: Windows, with what comes before them where the reference reads it.
            reference: What the network adds its logits to, or None.
            positions: How many; the network itself scores one or all, and so must the reference.
            length: L, characters the network reads.
        """
        last, window = positions == 1, context[:, -length:]
        prior = None if reference is None else reference(context, 1 if last else window.shape[1])
        with self.autocast():
            logits = forward(window, last=last, prior_logprobs=prior)
        return _normalised(logits[:, -positions:])

    def network(self, forward: Callable[..., Tensor]) -> Network:
        """Return what scores by a forward pass."""
        return lambda *inputs: self(forward, *inputs)

    def functional(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Network:
        """Return the network of a model's shape that has these weights."""
        return self.network(forward_by(model, weights))

    @torch.no_grad()
    def decode(
        self,
        model: Policy,
        reference: Reference | None,
        prompt: Tensor,
        rollouts: int,
    ) -> Decoder:
        """Start rollouts; each prompt is read once, and each step costs one character more.

        Args:
            model: The network that writes.
            reference: What it adds its logits to; None for nothing.
            prompt: (B,P) int64.
            rollouts: K, of each prompt.
        """
        cache: Cache = []
        written = prompt

        def read(new: Tensor) -> Tensor:
            nonlocal cache
            prior = None if reference is None else reference(written, 1)
            with self.autocast():
                logits, cache = model.extend(new, cache, prior)
            return logits.float().log_softmax(dim=-1)

        @torch.no_grad()
        def decoder(char: Tensor | None) -> Tensor:
            nonlocal cache, written
            if char is None:
                first = read(prompt)  # (B,1,V)
                cache = [
                    tuple(kept.repeat_interleave(rollouts, 0) for kept in one) for one in cache
                ]
                written = prompt.repeat_interleave(rollouts, 0)  # (B·K,P)
                return first.repeat_interleave(rollouts, 0)
            written = torch.cat([written, char], dim=1)
            return read(char)

        return decoder


def forward_by(model: nn.Module, weights: Mapping[str, Tensor]) -> Callable[..., Tensor]:
    """Return the forward pass of a model's shape that has these weights."""

    def forward(context: Tensor, **options: Any) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, dict(weights), (context,), options)
        return logits

    return forward


def _normalised(logits: Tensor) -> Tensor:
    logprobs: Tensor = logits.float().log_softmax(dim=-1)
    return logprobs
