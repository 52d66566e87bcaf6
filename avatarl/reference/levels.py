"""The lines a policy is measured against: add-1 n-grams on the held-out text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NAMES = ("unigram", "bigram", "trigram", "ngram4")


class NgramLevel(NamedTuple):
    """Held-out quality of one n-gram.

    Attributes:
        nats: Mean −log p of the true character.
        accuracy: Share of positions whose most probable character is the true one.
    """

    nats: float
    accuracy: float


def ngram_levels(
    train_ids: np.ndarray, heldout_ids: np.ndarray, vocab_size: int, alpha: float = 1.0
) -> dict[str, NgramLevel]:
    """Measure unigram to 4-gram, add-α smoothed, at every held-out position.

    Positions at the start of the held-out text, which have less history, are scored with the
    shorter context. Only contexts that the held-out text holds are counted, so memory follows
    the text, whatever the vocabulary.

    Args:
        train_ids: (N,) integers in [0, V).
        heldout_ids: (M,) integers in [0, V).
        vocab_size: V.
        alpha: Added to each count.

    Returns:
        ``unigram``, ``bigram``, ``trigram`` and ``ngram4``, in that order.
    """
    heldout = heldout_ids.astype(np.int64)
    loss = np.zeros(len(heldout))
    hit = np.zeros(len(heldout), dtype=bool)
    # Context number of each position, dense over the contexts met so far, in either text.
    train_context = np.zeros(len(train_ids), dtype=np.int64)
    heldout_context = np.zeros(len(heldout), dtype=np.int64)
    levels: dict[str, NgramLevel] = {}
    contexts = 1
    train = train_ids.astype(np.int64)
    for length, name in enumerate(NAMES):
        if length:
            if len(heldout) <= length:
                levels[name] = NgramLevel(float(loss.mean()), float(hit.mean()))
                continue
            train_context = train_context[1:] * vocab_size + train[: len(train) - length]
            heldout_context = heldout_context[1:] * vocab_size + heldout[: len(heldout) - length]
            train_context, heldout_context = _renumber(
                train_context, heldout_context, (contexts + 1) * vocab_size
            )
        contexts = int(heldout_context.max()) + 1
        inside = train_context < contexts
        pairs = train_context[inside] * vocab_size + train[length:][inside]
        counts = np.bincount(pairs, minlength=contexts * vocab_size).reshape(contexts, vocab_size)
        totals = counts.sum(axis=1)
        target = heldout[length:]
        probability = (counts[heldout_context, target] + alpha) / (
            totals[heldout_context] + alpha * vocab_size
        )
        loss[length:] = -np.log(probability)
        hit[length:] = counts.argmax(axis=1)[heldout_context] == target
        levels[name] = NgramLevel(float(loss.mean()), float(hit.mean()))
    return levels


def _renumber(
    train_context: np.ndarray, heldout_context: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Number the held-out contexts 0 … n-1; contexts that only training has all become n."""
    known = np.unique(heldout_context)
    if limit <= 2**24:
        number = np.full(limit, len(known), dtype=np.int64)
        number[known] = np.arange(len(known))
        return number[train_context], number[heldout_context]
    place = np.searchsorted(known, train_context).clip(max=len(known) - 1)
    train_number = np.where(known[place] == train_context, place, len(known))
    return train_number, np.searchsorted(known, heldout_context)
