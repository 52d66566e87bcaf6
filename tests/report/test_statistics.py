from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from avatarl.report.statistics import estimate, holm, paired

finite = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 4))


@given(st.lists(finite, min_size=2, max_size=12))
def test_the_interval_is_students(values: list[float]) -> None:
    told = estimate(values)
    assert told is not None
    low, high = stats.t.interval(
        0.95, len(values) - 1, np.mean(values), max(stats.sem(values), 1e-300)
    )
    assert told.low == pytest.approx(low, rel=1e-6, abs=1e-6)
    assert told.high == pytest.approx(high, rel=1e-6, abs=1e-6)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    told = estimate([1.5])
    assert told is not None
    assert (told.n, told.mean, told.low, told.std) == (1, 1.5, None, None)
    assert estimate([]) is None
    assert estimate([math.nan, math.inf]) is None


def test_the_bootstrap_agrees_with_scipys_and_repeats() -> None:
    values = np.random.default_rng(0).normal(size=40)
    told = estimate(values.tolist(), "bootstrap")
    assert told is not None
    assert told == estimate(values.tolist(), "bootstrap")
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    assert told.low == pytest.approx(other.low, abs=0.02)
    assert told.high == pytest.approx(other.high, abs=0.02)


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=10))
def test_the_paired_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    differences = [a - b for a, b in pairs]
    told = paired(differences)
    assert told is not None
    if np.std(differences) < 1e-6:
        assert told.p is None or told.p == 1.0 or told.p < 1e-6 or np.std(differences) > 0
        return
    expected = stats.ttest_rel([a for a, _ in pairs], [b for _, b in pairs])
    assert told.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_equal_runs_differ_by_nothing_and_constant_gaps_have_no_test() -> None:
    same, gap, alone = paired([0.0, 0.0, 0.0]), paired([0.5, 0.5]), paired([0.3])
    assert same is not None and same.p == 1.0
    assert gap is not None and gap.p is None
    assert alone is not None and (alone.n, alone.p) == (1, None)


def test_holm_is_the_worked_example() -> None:
    # Holm 1979: 0.01·4, 0.02·3, 0.03·2 (raised to 0.06), 0.04·1 (raised to 0.06).
    assert holm([0.04, 0.01, None, 0.03, 0.02]) == pytest.approx([0.06, 0.04, None, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
