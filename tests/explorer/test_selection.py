"""Which positions are trained on."""

from __future__ import annotations

import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.explorer.selection import position_weights
from avatarl.interfaces import hyperparameters_of, mean_over_positions

LOGPROBS = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(1)).log_softmax(-1)


def config(select: str, share: float, *overrides: str) -> RunConfig:
    words = [f"explorer.select={select}", f"explorer.select_share={share}", *overrides]
    return composition.compose(["data=folio", *words])


def weights(
    select: str, share: float, noise: torch.Tensor | None = None, *overrides: str, at: float = 0
) -> torch.Tensor:
    found = config(select, share, *overrides)
    dynamic = {"progress": torch.tensor(at)}
    hparams = hyperparameters_of(found.raw["explorer"], torch.device("cpu"), dynamic)
    weighed = position_weights(found.explorer, LOGPROBS, hparams, noise)
    assert weighed is not None
    return weighed


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


BELOW = "explorer.select_below=1.6"


@pytest.mark.parametrize("select", ["drop_lowest", "highest_entropy"])
def test_a_threshold_in_nats_drops_what_is_surer_and_nothing_else(select: str) -> None:
    entropy = -(LOGPROBS.exp() * LOGPROBS).sum(-1)
    kept = weights(select, 0.2, None, BELOW)
    assert 0 < (entropy < 1.6).sum() < 20
    assert torch.equal(kept > 0, entropy >= 1.6)
    renormalised = kept.mean() if select == "highest_entropy" else kept.max()
    assert renormalised.item() == pytest.approx(1.0)


def test_the_control_of_a_threshold_drops_as_many_at_random() -> None:
    noise = torch.rand(4, 5, generator=torch.Generator().manual_seed(2))
    kept, chosen = (
        weights("drop_random", 0.2, noise, BELOW),
        weights("drop_lowest", 0.2, None, BELOW),
    )
    assert kept.sum() == chosen.sum()
    assert noise[kept == 0].max() < noise[kept > 0].min()
    assert not torch.equal(kept, chosen)


def test_a_threshold_may_rise_until_nothing_is_left() -> None:
    ramp = "explorer.select_below={shape: linear, start: 0, end: 3, begin: 0, until: 1}"
    counts = [weights("drop_lowest", 0.2, None, ramp, at=at).sum() for at in (0, 0.5, 0.55, 1)]
    assert counts[0] == 20
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert weights("highest_entropy", 0.2, None, ramp, at=1).sum() == 0


def test_shares_may_be_scheduled_too() -> None:
    ramp = "explorer.select_share={shape: linear, start: 0, end: 0.5, begin: 0, until: 1}"
    counts = [weights("drop_lowest", 0.2, None, ramp, at=at).sum() for at in (0, 0.5, 1)]
    assert counts == [20, 15, 10]


def test_everything_counts_alike_by_default() -> None:
    found = position_weights(
        config("all", 0.2).explorer, LOGPROBS, {"select_share": torch.tensor(0.2)}, None
    )
    assert found is None
