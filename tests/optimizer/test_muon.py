from __future__ import annotations

import pytest
import torch

from avatarl.composition.run import compose
from avatarl.optimizer import muon
from avatarl.optimizer.batched_muon import BatchedMuon


@pytest.mark.parametrize(
    ("slowdown", "products_in"), [(0.3, None), (1.5, None), (53.0, torch.float32)]
)
def test_without_bf16_of_its_own_a_processor_orthogonalises_in_fp32(
    slowdown: float, products_in: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon, "slowdown", lambda device: slowdown)
    weights = {"blocks.0.hidden": torch.nn.Parameter(torch.eye(4)), "norm": torch.ones(4)}
    hidden, _ = compose(["optimizer=muon"]).optimizer.build(weights)
    assert isinstance(hidden, torch.optim.Muon)
    assert isinstance(hidden, BatchedMuon) == (products_in is not None)
    assert getattr(hidden, "products_in", None) == products_in
