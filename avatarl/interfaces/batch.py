"""What a step reads of the text, complete before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Windows of the training text, with all that was looked up and drawn for them.

    Attributes:
        context: (B,L) int64.
        target: (B,T+H-1) int64, the characters after each scored position and, for rollouts of
            horizon H, the ones that follow. The oracle reads it, and what is logged beside the
            loss; learning doesn't.
        positions: (B,T) int64 index of each target in the training text.
        reference: (B,T,V) fp32 log-probabilities of the reference, or None without one; in
            rollouts too, whose contexts aren't known yet.
        gate: (B,T) in [0, 1], how much the reference counts at each position, or None for 1.
        masks: (B,R,…) bool, what dropout keeps of each of the R contexts that come of a window (1,
            or its rollouts), in the network's own shape; None without dropout.
        members: (B,T,M,V) fp32 log-probabilities of the reference's members, where the network has
            a gate for each; else None.
        uniforms: Random numbers in [0, 1), in the shape that the explorer asked for, or None.
    """

    context: Tensor
    target: Tensor
    positions: Tensor
    reference: Tensor | None = None
    gate: Tensor | None = None
    uniforms: Tensor | None = None
    masks: Tensor | None = None
    members: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are there, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}
