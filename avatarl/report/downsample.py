"""Fewer points for the eye without losing a spike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def min_max_indices(values: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Return the places of at most ``limit`` points that keep every bucket's extremes.

    The row is cut into equal buckets; of each the lowest and the highest point stay, and of the
    whole the first and the last, so the drawn outline is the same at that resolution.

    Args:
        values: (N,) finite floats in drawing order.
        limit: Most points to keep, at least 4.

    Returns:
        (M,) increasing places, M ≤ ``limit``; all of them if N ≤ ``limit``.
    """
    count = values.shape[0]
    if count <= limit:
        return np.arange(count)
    buckets = max(1, (limit - 2) // 2)
    edges = np.linspace(0, count, buckets + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    # Buckets differ by one in width; short ones repeat their last point, which changes no extreme.
    places = np.minimum(edges[:-1, None] + np.arange(width)[None, :], edges[1:, None] - 1)
    bucketed = values[places]  # (buckets, width)
    rows = np.arange(buckets)
    lowest = places[rows, bucketed.argmin(axis=1)]
    highest = places[rows, bucketed.argmax(axis=1)]
    kept = np.zeros(count, dtype=np.bool_)
    kept[[0, -1]] = kept[lowest] = kept[highest] = True
    return np.flatnonzero(kept)
