from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl.errors import ConfigError
from avatarl.reference import MISSING, history_windows, window_logprobs
from avatarl.reference.add_alpha import AddAlpha, Config, build_dense
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import count_grams
from avatarl.reference.levels import ngram_levels
from avatarl.reference.schedule import Constant
from avatarl.reference.table import RowTable


def table(ids, vocab_size, order, alpha=1.0):
    config = Config(
        "add_alpha", "add_alpha", None, None, Constant("constant"), "window", order, alpha
    )
    return config.build(np.asarray(ids), vocab_size, torch.device("cpu"))


def by_dictionary(ids, vocab_size, history, alpha):
    """P(next | history) from plain substring counts."""
    length = len(history)
    counts = Counter(
        ids[p] for p in range(length, len(ids)) if list(ids[p - length : p]) == list(history)
    )
    total = sum(counts.values())
    return [(counts[c] + alpha) / (total + alpha * vocab_size) for c in range(vocab_size)]


@pytest.mark.tinyshakespeare
def test_known_figures_on_the_real_text(shakespeare, measure):
    known = [(3.347, 0.149), (2.482, 0.270), (2.068, 0.381), (1.953, 0.469)]
    levels = ngram_levels(shakespeare.train, shakespeare.heldout, shakespeare.vocab_size)
    assert list(levels) == ["unigram", "bigram", "trigram", "ngram4"]
    for order, (level, (nats, accuracy)) in enumerate(zip(levels.values(), known, strict=True), 1):
        reference = table(shakespeare.train, shakespeare.vocab_size, order)
        measured = measure(reference, shakespeare.heldout)
        assert measured == pytest.approx((nats, accuracy), abs=5e-4 * 1.001)
        assert (level.nats, level.accuracy) == pytest.approx(measured, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_context_scores_as_counted_by_hand(data):
    vocab_size = data.draw(st.integers(1, 4))
    order = data.draw(st.integers(1, 4))
    ids = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=order, max_size=40))
    alpha = data.draw(st.sampled_from([0.1, 1.0, 2.5]))
    history = data.draw(st.lists(st.integers(0, vocab_size - 1), max_size=6))
    padding = data.draw(st.integers(0, 3))
    reference = table(ids, vocab_size, order, alpha)
    context = torch.tensor([MISSING] * padding + history, dtype=torch.int64)
    used = history[-(order - 1) :] if order > 1 else []
    scored = reference.logprobs(context).exp()
    assert scored.tolist() == pytest.approx(by_dictionary(ids, vocab_size, used, alpha), rel=1e-5)
    assert scored.sum().item() == pytest.approx(1.0, abs=1e-6)


def test_the_context_ends_with_the_latest_character():
    # "ab" is always followed by "c", "ba" by "d": only the right last two characters tell.
    ids = [0, 1, 2, 1, 0, 3] * 50
    reference = table(ids, 4, 3, alpha=1e-6)
    window = torch.tensor([[3, 0, 1]])
    assert window_logprobs(reference, window)[0, -1].argmax().item() == 2
    assert window_logprobs(reference, window.flip(1)).shape == (1, 1, 4)
    everywhere = window_logprobs(reference, window, positions="all")
    assert everywhere.shape == (1, 3, 4)
    assert everywhere[0, 2].argmax().item() == 2
    # Position 1 has seen 3, 0 and must not know that 1 comes next in the window.
    hand = by_dictionary(ids, 4, [3, 0], 1e-6)
    assert everywhere[0, 1].exp().tolist() == pytest.approx(hand, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_window_sees_neither_its_future_nor_what_came_before_it(order):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 2000)
    reference = table(ids, 5, order)
    window = torch.from_numpy(rng.integers(0, 5, (3, 7)))
    scored = window_logprobs(reference, window, positions="all")
    for position in range(7):
        used = window[:, max(0, position - order + 2) : position + 1]
        for row in range(3):
            hand = by_dictionary(ids, 5, used[row].tolist() if order > 1 else [], 1.0)
            assert scored[row, position].exp().tolist() == pytest.approx(hand, rel=1e-5)
        changed = window.clone()
        changed[:, position + 1 :] = 0
        again = window_logprobs(reference, changed, positions="all")
        assert torch.equal(again[:, : position + 1], scored[:, : position + 1])


def test_only_the_last_characters_count():
    ids = np.random.default_rng(1).integers(0, 6, 3000)
    reference = table(ids, 6, 3)
    first = torch.tensor([[0, 1, 2, 3], [5, 4, 2, 3]])
    scored = reference.logprobs(first)
    assert torch.equal(scored[0], scored[1])
    assert not torch.equal(*reference.logprobs(torch.tensor([[2, 2, 3], [2, 3, 2]])))


def test_training_positions_are_scored_by_what_precedes_them():
    ids = np.random.default_rng(2).integers(0, 4, 500)
    reference = table(ids, 4, 4)
    positions = torch.tensor([[0, 1], [2, 499]])
    scored = reference.train_logprobs(positions)
    assert scored.shape == (2, 2, 4)
    for place, position in zip([(0, 0), (0, 1), (1, 0), (1, 1)], [0, 1, 2, 499], strict=True):
        used = torch.from_numpy(ids[max(0, position - 3) : position])
        assert torch.equal(scored[place], reference.logprobs(used))
    shorter = reference.train_logprobs(torch.tensor(499), history=1)
    assert torch.equal(shorter, reference.logprobs(torch.from_numpy(ids[498:499])))


def test_reliability_says_how_often_the_context_was_seen():
    reference = table([0, 1, 2, 0, 1, 2, 0, 1], 4, 3)
    contexts = torch.tensor([[0, 1], [3, 1], [MISSING, 1], [MISSING, MISSING]])
    reliability = reference.reliability(contexts)
    # The last "01" and "1" of the text are followed by nothing; "31" never occurs.
    assert reliability.order.tolist() == [3, 1, 2, 1]
    assert reliability.count.tolist() == [2, 0, 2, 8]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_rows_of_occurring_contexts_agree_with_the_dense_table(vocab_size, order, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, vocab_size, 60)
    dense = build_dense(order, 0.5, ids, vocab_size, torch.device("cpu"))
    sparse = RowTable(
        tabulate(count_grams(ids, vocab_size, order), AddAlpha(0.5, vocab_size), None)
    )
    contexts = torch.from_numpy(rng.integers(0, vocab_size, (50, 6)))
    contexts[:, :3] = torch.where(torch.rand(50, 1) < 0.5, MISSING, contexts[:, :3])
    assert torch.allclose(sparse.logprobs(contexts), dense.logprobs(contexts), atol=2e-6)
    ours, theirs = sparse.reliability(contexts), dense.reliability(contexts)
    assert torch.equal(ours.order, theirs.order)
    assert torch.equal(ours.count, theirs.count)
    positions = torch.arange(60)
    for history in (None, 2, torch.randint(0, 6, (60,))):
        found = sparse.train_logprobs(positions, history)
        assert torch.allclose(found, dense.train_logprobs(positions, history), atol=2e-6)


def test_look_up_compiles_to_one_graph_and_maps():
    reference = table(np.random.default_rng(3).integers(0, 4, 500), 4, 3)
    contexts = torch.randint(0, 4, (5, 6, 8))
    exported = torch.export.export(_Lookup(reference), (contexts,))
    assert torch.equal(exported.module()(contexts), reference.logprobs(contexts))
    assert torch.equal(torch.vmap(reference.logprobs)(contexts), reference.logprobs(contexts))


class _Lookup(torch.nn.Module):
    def __init__(self, reference):
        super().__init__()
        self.reference = reference

    def forward(self, contexts):
        return self.reference.logprobs(contexts)


def test_a_vocabulary_too_large_for_memory_is_refused():
    ids = np.random.default_rng(0).permutation(200_000)
    with pytest.raises(ConfigError, match=r"reference\.order=2 .* GiB and .* GiB are free"):
        table(ids, 200_000, 2)


def test_a_vocabulary_too_large_for_a_dense_table_keeps_the_contexts_that_occur():
    reference = table(np.arange(900), 900, 4)
    assert isinstance(reference, RowTable)
    assert reference.logprobs(torch.tensor([6, 7, 8])).argmax().item() == 9


def test_an_order_longer_than_the_text_is_refused():
    with pytest.raises(ConfigError, match="the length of the text"):
        table([0, 1], 2, 3)


def test_history_windows_are_the_slices_they_stand_for():
    context = torch.arange(12).reshape(2, 6)
    windows = history_windows(context, 3)
    assert windows[1].tolist() == [
        [MISSING, MISSING, 6],
        [MISSING, 6, 7],
        [6, 7, 8],
        [7, 8, 9],
        [8, 9, 10],
        [9, 10, 11],
    ]
    assert history_windows(context, 0).shape == (2, 6, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 60), st.integers(1, 40), st.integers(0, 99))
def test_levels_agree_with_the_tables(vocab_size, n_train, n_heldout, seed):
    rng = np.random.default_rng(seed)
    train, heldout = (rng.integers(0, vocab_size, n) for n in (max(4, n_train), n_heldout))
    text = torch.from_numpy(heldout)
    for order, level in enumerate(ngram_levels(train, heldout, vocab_size).values(), 1):
        reference = table(train, vocab_size, order)
        history = torch.cat([torch.full((1, 1), MISSING), text[None, :-1]], dim=1)
        scored = reference.logprobs(history_windows(history, order - 1)[0])
        loss = -scored.gather(1, text[:, None]).mean().item()
        assert level.nats == pytest.approx(loss, rel=1e-5)
        assert level.accuracy == (scored.argmax(dim=1) == text).double().mean().item()
