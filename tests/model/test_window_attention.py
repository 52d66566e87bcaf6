from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize(
    ("windows", "length", "n_head", "size"),
    [(5, 8, 2, 16), (64, 8, 8, 64), (7, 33, 2, 32), (3, 64, 2, 128), (1, 1, 1, 16), (9, 12, 4, 32)],
)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 5e-3)])
def test_it_is_causal_attention(
    windows: int, length: int, n_head: int, size: int, dtype: torch.dtype, error: float
) -> None:
    """Values and gradients against double precision on general kernels."""
    from avatarl.model.window_attention import attend

    generator = torch.Generator("cuda").manual_seed(0)
    shape = (windows, length, n_head * size)
    qkv = torch.randn(*shape[:2], 3 * shape[2], device="cuda", dtype=dtype, generator=generator)
    qkv.requires_grad_(True)
    upstream = torch.randn(shape, device="cuda", dtype=dtype, generator=generator)
    exact = qkv.detach().double().requires_grad_(True)
    q, k, v = (
        part.view(windows, length, n_head, size).transpose(1, 2) for part in exact.chunk(3, dim=2)
    )
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    (slope,) = torch.autograd.grad(wanted, exact, upstream.double())
    found = attend(qkv, n_head)
    (own,) = torch.autograd.grad(found, qkv, upstream)
    assert (found - wanted).norm() < error * wanted.norm()
    assert (own - slope).norm() < error * slope.norm()


def test_replicas_are_more_windows() -> None:
    from avatarl.model.window_attention import attend

    qkv = torch.randn(3, 4, 8, 96, device="cuda")
    mapped = torch.func.vmap(lambda one: attend(one, 2), in_dims=1, out_dims=1)(qkv)
    assert torch.equal(mapped, attend(qkv, 2))
