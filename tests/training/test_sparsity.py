from __future__ import annotations

import pytest
import torch

from avatarl.training.sparsity import effective_rank, update_facts


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_effective_rank_of_known_matrices(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.outer(
        torch.randn(shape[0], generator=generator), torch.randn(shape[1], generator=generator)
    )
    assert effective_rank(one).item() == pytest.approx(1.0, abs=0.02)
    assert effective_rank(1e-6 * torch.eye(*shape)).item() == pytest.approx(6.0, rel=1e-3)
    assert effective_rank(torch.zeros(shape)).item() == 0
    some = torch.randn(shape, generator=generator)
    values = torch.linalg.svdvals(some)
    shares = values / values.sum()
    expected = torch.special.entr(shares).sum().exp().item()
    assert effective_rank(some).item() == pytest.approx(expected, rel=1e-3)


def test_sparsity_counts_the_weights_that_stayed() -> None:
    first = {"matrix": torch.zeros(4, 5), "vector": torch.zeros(5)}
    now = {"matrix": torch.zeros(4, 5), "vector": torch.zeros(5)}
    now["matrix"][0] = 1.0
    now["matrix"][1] = 0.9e-5  # within the tolerance
    before = {"matrix": now["matrix"].clone(), "vector": torch.ones(5)}
    facts = update_facts(now, first, before)
    assert facts["health/update_sparsity"].item() == pytest.approx(20 / 25)
    assert facts["health/update_sparsity_window"].item() == pytest.approx(20 / 25)
    assert facts["sparsity/matrix"].item() == pytest.approx(15 / 20)
    assert facts["rank/matrix"].item() == pytest.approx(1.0, abs=0.01)
    assert facts["health/update_rank"].item() == pytest.approx(0.25, abs=0.01)
