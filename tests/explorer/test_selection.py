"""Which positions are trained on."""

from __future__ import annotations

import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.explorer.selection import position_weights
from avatarl.interfaces import mean_over_positions

LOGPROBS = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(1)).log_softmax(-1)


def config(select: str, share: float) -> RunConfig:
    return composition.compose(
        ["data=folio", f"explorer.select={select}", f"explorer.select_share={share}"]
    )


def weights(select: str, share: float, noise: torch.Tensor | None = None) -> torch.Tensor:
    found = position_weights(
        config(select, share).explorer, LOGPROBS, {"select_share": torch.tensor(share)}, noise
    )
    assert found is not None
    return found


def test_the_highest_entropies_are_kept_and_renormalised() -> None:
    entropy = -(LOGPROBS.exp() * LOGPROBS).sum(-1)
    kept = weights("highest_entropy", 0.2)
    assert (kept > 0).sum() == 4
    assert entropy[kept > 0].min() > entropy[kept == 0].max()
    assert mean_over_positions(torch.ones(4, 5), kept).item() == pytest.approx(1.0)


def test_the_lowest_entropies_are_dropped_without_making_the_rest_louder() -> None:
    entropy = -(LOGPROBS.exp() * LOGPROBS).sum(-1)
    kept = weights("drop_lowest", 0.2)
    assert kept.unique().tolist() == [0.0, 1.0]
    assert (kept == 0).sum() == 4
    assert entropy[kept == 0].max() < entropy[kept > 0].min()


def test_the_control_drops_as_many_at_random() -> None:
    noise = torch.rand(4, 5, generator=torch.Generator().manual_seed(2))
    kept = weights("drop_random", 0.2, noise)
    assert (kept == 0).sum() == 4
    assert noise[kept == 0].max() < noise[kept > 0].min()
    assert not torch.equal(kept, weights("drop_lowest", 0.2))


def test_everything_counts_alike_by_default() -> None:
    found = position_weights(
        config("all", 0.2).explorer, LOGPROBS, {"select_share": torch.tensor(0.2)}, None
    )
    assert found is None
