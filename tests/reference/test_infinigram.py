from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl.reference import MISSING
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import count_grams, longest_key
from avatarl.reference.infinigram import COUNTS, LENGTHS, Config, InfiniGram, tune
from avatarl.reference.kneser_ney import KneserNey
from avatarl.reference.schedule import Constant
from avatarl.reference.suffixes import SuffixIndex, pack_histories, sort_histories
from avatarl.reference.table import RowTable

texts = st.integers(1, 4).flatmap(
    lambda v: st.tuples(st.just(v), st.lists(st.integers(0, v - 1), min_size=2, max_size=60))
)


def settings_of(cross_fit=None, max_context=9, min_count=1, base_order=2):
    return Config(
        "infinigram",
        "infinigram",
        cross_fit,
        None,
        Constant("constant"),
        "window",
        max_context,
        min_count,
        base_order,
        0.2,
    )


def index_of(ids, vocab_size):
    words = pack_histories(ids, vocab_size, longest_key(vocab_size))
    ranks = sort_histories(ids, vocab_size)
    tensors = (torch.from_numpy(ids), torch.from_numpy(words), torch.from_numpy(ranks))
    return SuffixIndex(*tensors, vocab_size)


def longest(events, history, least):
    """Length and followers of the longest ending of ``history``, by looking everywhere."""
    for length in range(len(history), -1, -1):
        ending = tuple(history[len(history) - length :])
        followers = Counter(
            w for h, w in events if len(h) >= length and h[len(h) - length :] == ending
        )
        if sum(followers.values()) >= least:
            return length, followers
    return 0, Counter(w for _, w in events)


def events_of(ids, begin=0, end=0):
    return [(tuple(ids[:p]), ids[p]) for p in range(len(ids)) if not begin <= p < end]


@settings(max_examples=100, deadline=None)
@given(texts)
def test_histories_sort_like_reversed_strings(text):
    vocab_size, ids = text
    order = sort_histories(np.array(ids), vocab_size).tolist()
    assert order == sorted(range(len(ids)), key=lambda p: ids[:p][::-1])


def test_long_repeats_sort_too():
    ids = np.tile(np.arange(3), 400)
    expected = sorted(range(1200), key=lambda p: ids[:p][::-1].tolist())
    assert sort_histories(ids, 3).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(texts, st.lists(st.integers(0, 3), max_size=14), st.integers(1, 3), st.integers(0, 2))
def test_the_longest_match_is_found_and_counted(text, history, least, padding):
    vocab_size, ids = text
    least = min(least, len(ids))
    history = [c % vocab_size for c in history]
    index = index_of(np.array(ids), vocab_size)
    context = torch.tensor([[MISSING] * padding + history], dtype=torch.int64)
    match = index.match(context, least)
    length, followers = longest(events_of(ids), history, least)
    assert match.length.item() == length
    assert index.count(match)[0].tolist() == [followers[w] for w in range(vocab_size)]


def test_matches_longer_than_a_sort_key_are_found():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 65, 3000)
    ids[2000:2100] = ids[500:600]
    index = index_of(ids, 65)
    match = index.match(torch.from_numpy(ids[2020:2090])[None], 2)
    assert match.length.item() == 70
    assert sorted(index.ranks[match.low : match.high].tolist()) == [590, 2090]


@settings(max_examples=40, deadline=None)
@given(texts, st.sampled_from([None, 2, 3, "loo"]), st.data())
def test_training_positions_never_count_themselves(text, setting, data):
    vocab_size, ids = text
    if isinstance(setting, int):
        setting = min(setting, len(ids))
    config = settings_of(max_context=5)
    arrays = tabulate(count_grams(np.array(ids), vocab_size, 2), KneserNey(), setting)
    torch.manual_seed(0)
    weights = torch.rand(LENGTHS * COUNTS)
    index = index_of(np.array(ids), vocab_size)
    base = RowTable(arrays)
    reference = InfiniGram(
        config, torch.tensor(ids), index.words, index.ranks, weights, base, setting
    )
    position = data.draw(st.integers(0, len(ids) - 1))
    history = data.draw(st.integers(0, 6))
    begin, end = 0, 0
    if setting == "loo":
        begin, end = position, position + 1
    elif setting is not None:
        edges = [len(ids) * f // setting for f in range(setting + 1)]
        begin, end = next((b, e) for b, e in itertools.pairwise(edges) if b <= position < e)
    used = ids[max(0, position - min(history, 5)) : position]
    length, followers = longest(events_of(ids, begin, end), used, 1)
    total = sum(followers.values())
    below = base.train_logprobs(torch.tensor(position), history).exp()
    weight = weights[length * COUNTS + min(7, total.bit_length() - 1)] if total else 0.0
    expected = [
        (weight * followers[w] / max(total, 1) + (1 - weight) * below[w]).item()
        for w in range(vocab_size)
    ]
    for depth in (history, torch.tensor([history])):
        scored = reference.train_logprobs(torch.tensor([position]), depth)
        assert scored[0].exp().tolist() == pytest.approx(expected, rel=1e-5)
        evidence = reference.train_reliability(torch.tensor([position]), depth)
        assert (evidence.order.item(), evidence.count.item()) == (length + 1, total)


@pytest.mark.parametrize("cross_fit", [None, 3, "loo"])
def test_precomputed_positions_answer_as_a_search_does(cross_fit):
    ids = np.cumsum(np.random.default_rng(0).integers(0, 3, 900)) % 7
    reference = settings_of(cross_fit).build(ids, 7, torch.device("cpu"))
    positions = torch.arange(900)
    # A tensor of histories always searches.
    searched = reference.train_logprobs(positions, torch.full((900,), 99))
    assert torch.allclose(reference.train_logprobs(positions), searched, atol=1e-6)
    assert torch.isfinite(searched).all()


def test_weights_trust_what_proved_right():
    # Fully determined by two characters: long matches never err.
    ids = np.tile(np.array([0, 1, 2, 1, 0, 3, 1, 3]), 200)
    config = settings_of(base_order=1)
    weights = tune(config, ids, 4).view(LENGTHS, COUNTS)
    assert weights[9, COUNTS - 1] > 0.95
    scored = config.build(ids, 4, torch.device("cpu")).logprobs(torch.from_numpy(ids[-13:-4]))
    assert scored.exp()[ids[-4]] > 0.95


@pytest.mark.tinyshakespeare
@pytest.mark.slow
def test_better_than_kneser_ney_alone(shakespeare, measure):
    config = settings_of(None, max_context=32, base_order=7)
    reference = config.build(shakespeare.train, shakespeare.vocab_size, torch.device("cpu"))
    nats, _ = measure(reference, shakespeare.heldout)
    assert nats < 1.5165
