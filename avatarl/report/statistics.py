"""Means with intervals over seeds, and paired tests against a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Interval = Literal["t", "bootstrap"]
CONFIDENCE = 0.95
_RESAMPLES = 10_000
_SEED = 20_260_101


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds with its 95 % interval; no interval from a single seed."""

    n: int
    mean: float
    low: float | None
    high: float | None
    std: float | None

    @property
    def half_width(self) -> float | None:
        """Half the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Paired:
    """A paired comparison over the ``n`` seeds that both have.

    Attributes:
        difference: Mean of (this − baseline), with its 95 % interval.
        p: Two-sided p of the paired t-test, None below two pairs.
        adjusted_p: The same after Holm's correction for the number of rows tested.
    """

    n: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted_p: float | None = None


def estimate(values: Sequence[float], interval: Interval = "t") -> Estimate | None:
    """Return the mean of finite ``values`` with a 95 % interval, None of no values.

    ``t`` assumes normal seeds: mean ± t(n−1)·s/√n. ``bootstrap`` takes percentiles of the means of
    10,000 resamples (always the same ones); with fewer than about five seeds it is too narrow.

    Source: Efron & Tibshirani 1993, §13.3 (percentile interval).
    """
    sample = np.asarray([value for value in values if math.isfinite(value)], dtype=np.float64)
    if sample.size == 0:
        return None
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(1, mean, None, None, None)
    std = float(sample.std(ddof=1))
    if interval == "bootstrap":
        draws = np.random.default_rng(_SEED).integers(0, sample.size, (_RESAMPLES, sample.size))
        low, high = np.quantile(sample[draws].mean(axis=1), [0.025, 0.975])
        return Estimate(sample.size, mean, float(low), float(high), std)
    half = t_quantile(sample.size - 1) * std / math.sqrt(sample.size)
    return Estimate(sample.size, mean, mean - half, mean + half, std)


def paired(differences: Sequence[float]) -> Paired | None:
    """Return the paired t-test of ``differences`` (one a shared seed) against zero."""
    mean = estimate(differences)
    if mean is None:
        return None
    return Paired(mean.n, mean.mean, mean.low, mean.high, _t_test(mean))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's step-down adjustment; None stays None and counts for nothing.

    Source: Holm 1979, §2.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = largest
    return adjusted


def t_quantile(degrees: int) -> float:
    """Return the quantile of Student's t that holds the central 95 %."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))


def _t_test(difference: Estimate) -> float | None:
    from scipy.special import stdtr

    if not difference.std:
        # Every seed differs by the same amount: there is no spread to hold it against.
        return 1.0 if difference.std == difference.mean == 0 else None
    statistic = difference.mean / (difference.std / math.sqrt(difference.n))
    return float(2 * stdtr(difference.n - 1, -abs(statistic)))
