from __future__ import annotations

from typing import Any

import pytest
import torch

from avatarl.optimizer.batched_muon import BatchedMuon, orthogonal


def test_it_moves_weights_as_torchs_own_does() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 24), (24, 8), (8, 24), (16, 16)]
    first = [torch.randn(shape, generator=generator) for shape in shapes]
    options: dict[str, Any] = {
        "weight_decay": 0.1,
        "momentum": 0.9,
        "adjust_lr_fn": "match_rms_adamw",
    }
    own = [torch.nn.Parameter(value.clone()) for value in first]
    torchs = [torch.nn.Parameter(value.clone()) for value in first]
    batched = BatchedMuon(own, **{**options, "lr": torch.tensor(0.02)})
    known = torch.optim.Muon(torchs, lr=0.02, **options)
    for _ in range(5):
        for mine, theirs in zip(own, torchs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            theirs.grad = mine.grad.clone()
        batched.step()
        known.step()
    for start, mine, theirs in zip(first, own, torchs, strict=True):
        moved = (theirs - start).norm()
        # Both orthogonalise in bfloat16, in another order of summing.
        assert (mine - theirs).norm() < 0.01 * moved
        assert moved > 0.01


def test_learning_rate_zero_leaves_the_weights() -> None:
    weight = torch.nn.Parameter(torch.eye(4))
    weight.grad = torch.ones(4, 4)
    options: dict[str, Any] = {"lr": torch.tensor(0.0), "adjust_lr_fn": "match_rms_adamw"}
    BatchedMuon([weight], **options).step()
    torch.testing.assert_close(weight.detach(), torch.eye(4))


@pytest.mark.parametrize("shape", [(3, 8, 24), (3, 24, 8), (2, 16, 16)])
@pytest.mark.parametrize(
    ("precision", "off"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 0.05)]
)
def test_each_singular_value_is_sent_through_the_polynomial_and_nothing_else_changes(
    shape: tuple[int, ...], precision: torch.dtype, off: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(shape, generator=generator, dtype=torch.float64)
    a, b, c = coefficients = (3.4445, -4.775, 2.0315)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    values = values / values.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        values = a * values + b * values**3 + c * values**5
    known = left @ torch.diag_embed(values) @ right
    found = orthogonal(matrices.to(precision), coefficients, 5, 1e-7)
    assert found.dtype == precision
    assert (found - known).norm() < off * known.norm()
