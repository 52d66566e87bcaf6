from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.report.downsample import min_max_indices


@given(st.integers(0, 500), st.integers(4, 120), st.integers(0, 2**32 - 1))
def test_extremes_ends_and_order_stay(count: int, limit: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    kept = min_max_indices(values, limit)
    assert len(kept) <= max(limit, 0) or len(kept) == count <= limit
    assert np.all(np.diff(kept) > 0)
    if count:
        assert kept[0] == 0 and kept[-1] == count - 1
        assert values[kept].max() == values.max()
        assert values[kept].min() == values.min()


@given(st.integers(100, 3000), st.integers(0, 2**32 - 1))
def test_every_bucket_keeps_its_own_extremes(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    kept = set(min_max_indices(values, 42).tolist())
    edges = np.linspace(0, count, 21).astype(int)
    for begin, end in itertools.pairwise(edges):
        assert begin + int(values[begin:end].argmax()) in kept
        assert begin + int(values[begin:end].argmin()) in kept


@pytest.mark.parametrize("place", [0, 1, 777, 1998, 1999])
def test_a_single_spike_is_never_lost(place: int) -> None:
    values = np.zeros(2000)
    values[place] = 1.0
    assert place in min_max_indices(values, 60)
