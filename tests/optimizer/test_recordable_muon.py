from __future__ import annotations

from typing import Any

import torch

from avatarl.optimizer.recordable_muon import RecordableMuon


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
    recordable = RecordableMuon(own, **{**options, "lr": torch.tensor(0.02)})
    known = torch.optim.Muon(torchs, lr=0.02, **options)
    for _ in range(5):
        for mine, theirs in zip(own, torchs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            theirs.grad = mine.grad.clone()
        recordable.step()
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
    RecordableMuon([weight], **options).step()
    torch.testing.assert_close(weight.detach(), torch.eye(4))
