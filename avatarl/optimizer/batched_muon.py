"""Muon as torch has it, with all matrices of one shape together and in the precision that is given.

torch's own reads the learning rate on the host, so that a CUDA graph can't record it, and takes the
matrices one by one, hundreds of small kernels a step, in bf16, at which some processors are slow.
This one computes the same; its learning rate may be a tensor on the device.

Source: Jordan et al. 2024, *Muon: an optimizer for hidden layers*; the quintic Newton–Schulz
iteration and its coefficients as in ``torch.optim.Muon``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    """``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``.

    Args:
        groups: As torch's optimisers take them.
        products_in: What the matrices are multiplied in to be orthogonalised.
        options: Muon's; ``lr`` is a number or a 0-d tensor.
    """

    def __init__(
        self, groups: Iterable[Any], products_in: torch.dtype = torch.bfloat16, **options: Any
    ) -> None:
        super().__init__(groups, **options)
        self.products_in = products_in

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            weights: list[Tensor] = []
            gradients: list[Tensor] = []
            buffers: list[Tensor] = []
            self._init_group(group, weights, gradients, buffers)
            if not weights:
                continue
            momentum, rate = group["momentum"], group["lr"]
            torch._foreach_lerp_(buffers, gradients, 1 - momentum)
            updates = torch._foreach_lerp(gradients, buffers, momentum)  # Nesterov's
            torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
            for shape in dict.fromkeys(weight.shape for weight in weights):
                places = [place for place, weight in enumerate(weights) if weight.shape == shape]
                turned = orthogonal(
                    torch.stack([updates[place] for place in places]).to(self.products_in),
                    group["ns_coefficients"],
                    group["ns_steps"],
                    group["eps"],
                ).float()  # (n,rows,columns)
                # AdamW's typical root mean square of an update.
                moved = turned * (-rate * 0.2 * max(shape) ** 0.5)
                torch._foreach_add_([weights[place] for place in places], list(moved.unbind()))


def orthogonal(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Push the singular values of matrices (n,rows,columns) to about 1, in their own precision."""
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
