"""Where values stand on an axis; logarithmic where the numbers themselves go by factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Literal

Scale = Literal["linear", "log", "symlog"]
#: Least factor between the ends of chosen values, and of measured ones, on a logarithmic axis.
_CHOSEN, _MEASURED = 8, 50


def scale_of(values: Sequence[float], *, chosen: bool = False) -> Scale:
    """Return the scale that shows the values apart.

    Args:
        values: Finite numbers.
        chosen: Whether somebody chose them (a swept key): where they then go by factors, a
            smaller span will do, and a 0 besides makes the scale linear about it (``symlog``).
    """
    positive = sorted({value for value in values if value > 0})
    if len(positive) < 2 or min(values) < 0:
        return "linear"
    factor, has_zero = positive[-1] / positive[0], min(values) == 0
    if chosen and factor >= _CHOSEN and _goes_by_factors(positive):
        return "symlog" if has_zero else "log"
    return "log" if factor >= _MEASURED and not has_zero else "linear"


def places(values: Sequence[str]) -> tuple[dict[str, float], bool]:
    """Return where each value stands on an axis, and whether the axis is one of numbers."""
    try:
        numbers = {value: float(value) for value in values}
        if all(map(math.isfinite, numbers.values())):
            return numbers, True
    except ValueError:
        pass
    return {value: float(at) for at, value in enumerate(values)}, False


def _goes_by_factors(ascending: Sequence[float]) -> bool:
    """Whether steps between logarithms are more alike than those between the values."""
    if len(ascending) < 3:
        return ascending[-1] / ascending[0] >= _MEASURED
    plain = [b - a for a, b in pairwise(ascending)]
    factors = [math.log(b / a) for a, b in pairwise(ascending)]
    return pstdev(factors) / fmean(factors) < pstdev(plain) / fmean(plain)
