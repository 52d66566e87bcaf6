from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl.errors import ConfigError
from avatarl.reference.counts import check_order, count_grams, longest_key

texts = st.integers(1, 5).flatmap(
    lambda v: st.tuples(st.just(v), st.lists(st.integers(0, v - 1), min_size=1, max_size=60))
)


def strings(counts, length):
    """Spell every real gram of one length out, oldest character first."""
    spelled = [()]
    for level in counts.levels[1 : length + 1]:
        spelled = [
            (int(oldest), *spelled[parent]) if real else None
            for oldest, parent, real in zip(level.oldest, level.parent, level.real, strict=True)
        ]
    return spelled


def by_hand(ids, length, positions):
    """Occurrences and distinct left neighbours of every substring that ends at ``positions``."""
    count, left = Counter(), {}
    for p in positions:
        if p >= length - 1:
            gram = tuple(ids[p - length + 1 : p + 1])
            count[gram] += 1
            left.setdefault(gram, set()).add(ids[p - length] if p >= length else None)
    return count, {gram: len(neighbours) for gram, neighbours in left.items()}


@settings(max_examples=150, deadline=None)
@given(texts, st.integers(1, 13), st.data())
def test_counts_are_those_of_the_substrings(text, order, data):
    vocab_size, ids = text
    order = min(order, len(ids))
    counts = count_grams(np.array(ids), vocab_size, order)
    begin = data.draw(st.integers(0, len(ids)))
    end = data.draw(st.integers(begin, len(ids)))
    for counted, positions in (
        (counts, range(len(ids))),
        (counts.without(begin, end), [*range(begin), *range(end, len(ids))]),
    ):
        for length in range(1, order + 1):
            level, spelled = counted.levels[length], strings(counted, length)
            count, left = by_hand(ids, length, positions)
            found = {g: int(c) for g, c in zip(spelled, level.count, strict=True) if g and c}
            assert found == count
            if length < order:
                continuation = zip(spelled, level.continuation, strict=True)
                assert {g: int(c) for g, c in continuation if g and c} == left


@settings(max_examples=80, deadline=None)
@given(texts, st.integers(2, 13))
def test_links_between_grams_say_what_they_mean(text, order):
    vocab_size, ids = text
    order = min(order, len(ids))
    counts = count_grams(np.array(ids), vocab_size, order)
    for length in range(1, order + 1):
        spelled, shorter = strings(counts, length), strings(counts, length - 1)
        level = counts.levels[length]
        for gram, context, latest in zip(spelled, level.context, level.latest, strict=True):
            if gram is not None:
                assert shorter[context] == gram[:-1]
                assert latest == gram[-1]
        at_position = counts.grams(length)
        for p in range(length - 1, len(ids)):
            assert spelled[at_position[p]] == tuple(ids[p - length + 1 : p + 1])


def test_orders_beyond_one_sort_key_count_alike():
    # 66^10 fits into 63 bits, 66^11 doesn't: the longer grams are sorted by rank.
    rng = np.random.default_rng(0)
    ids = np.concatenate([rng.integers(0, 65, 300)] * 3)
    counts = count_grams(ids, 65, 12)
    assert longest_key(65) == 10
    for length in (9, 10, 11, 12):
        count, _ = by_hand(ids.tolist(), length, range(len(ids)))
        spelled = strings(counts, length)
        level = counts.levels[length]
        assert {g: int(c) for g, c in zip(spelled, level.count, strict=True) if g} == count


@pytest.mark.parametrize("order", [0, 11])
def test_orders_outside_the_text_are_refused(order):
    with pytest.raises(ConfigError, match=rf"reference\.order={order} .* valid: 1 to 10"):
        check_order(order, 10, 65)


def test_a_context_code_that_would_overflow_is_refused():
    check_order(12, 1_000_000, 65)
    with pytest.raises(ConfigError, match=r"overflow a 64-bit code.*valid: 1 to 6"):
        check_order(12, 1_000_000, 40_000)
