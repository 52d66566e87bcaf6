"""Muon as torch has it, for GPUs: without numbers on the host, and matrices of one shape together.

torch's own reads the learning rate on the host, so that a CUDA graph can't record it, and takes the
matrices one by one, hundreds of small kernels a step. This one computes the same, its learning rate
a tensor on the device, all matrices of one shape in one batched product.

Source: Jordan et al. 2024, *Muon: an optimizer for hidden layers*; the quintic Newton–Schulz
iteration and its coefficients as in ``torch.optim.Muon``.
"""

from __future__ import annotations

import torch
from torch import Tensor


class RecordableMuon(torch.optim.Muon):
    """``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, its ``lr`` a 0-d tensor."""

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
                    torch.stack([updates[place] for place in places]),
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
    """Push the singular values of matrices (n,rows,columns) to about 1; bf16."""
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
