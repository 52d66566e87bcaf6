"""Kneser–Ney, Witten–Bell and add-α rows, whole and cross-fitted, against slow obvious ones."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl.errors import ConfigError
from avatarl.reference import MISSING
from avatarl.reference.add_alpha import AddAlpha
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import count_grams
from avatarl.reference.free_memory import require_memory
from avatarl.reference.kneser_ney import (
    FALLBACK_DISCOUNTS,
    Discounts,
    KneserNey,
    modified_discounts,
)
from avatarl.reference.table import RowTable
from avatarl.reference.witten_bell import WittenBell

# The slow, obvious way: dictionaries, recursion, nothing shared. Histories and next characters
# are given as events, so that leaving some out checks cross-fitting.


def events(ids, begin=0, end=0):
    """All positions as events, except begin … end - 1."""
    ids = [int(i) for i in ids]
    return [(tuple(ids[:p]), ids[p]) for p in range(len(ids)) if not begin <= p < end]


class SlowKneserNey:
    """Chen & Goodman's interpolated modified Kneser–Ney."""

    def __init__(self, seen, vocab_size, order, discounts=None):
        self.vocab_size, self.order = vocab_size, order
        self.raw = [defaultdict(Counter) for _ in range(order)]
        before = [defaultdict(lambda: defaultdict(set)) for _ in range(order)]
        for history, character in seen:
            for length in range(min(order - 1, len(history)) + 1):
                context = history[len(history) - length :]
                self.raw[length][context][character] += 1
                left = history[-length - 1] if len(history) > length else "start"
                before[length][context][character].add(left)
        self.continuation = [
            {c: Counter({w: len(s) for w, s in ws.items()}) for c, ws in level.items()}
            for level in before
        ]
        self.discounts = discounts or {
            (kind, length): estimate(level)
            for kind, levels in (("raw", self.raw), ("continuation", self.continuation))
            for length, level in enumerate(levels)
        }

    def distribution(self, history):
        return self._mix(tuple(history[max(0, len(history) - self.order + 1) :]), "raw")

    def _mix(self, context, kind):
        level = (self.raw if kind == "raw" else self.continuation)[len(context)]
        uniform = [1 / self.vocab_size] * self.vocab_size
        lower = self._mix(context[1:], "continuation") if context else uniform
        counts = level.get(context, {})
        total = sum(counts.values())
        if not total:
            return lower
        off = self.discounts[kind, len(context)]
        discount = lambda c: 0 if c == 0 else off[min(c, 3) - 1]  # noqa: E731
        escape = sum(discount(c) for c in counts.values()) / total
        return [
            (counts.get(w, 0) - discount(counts.get(w, 0))) / total + escape * lower[w]
            for w in range(self.vocab_size)
        ]


def estimate(level):
    times = Counter(c for counts in level.values() for c in counts.values())
    n1, n2, n3, n4 = (times[k] for k in (1, 2, 3, 4))
    if 0 in (n1, n2, n3, n4):
        return (0.5, 1.0, 1.5)
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    inside = all(0 <= d <= k for k, d in enumerate(found, 1))
    return found if inside else (0.5, 1.0, 1.5)


def slow_witten_bell(seen, vocab_size, order, history):
    """P(next | history), counting again for every call."""
    distribution = [1 / vocab_size] * vocab_size
    for length in range(min(order - 1, len(history)) + 1):
        context = tuple(history[len(history) - length :])
        counts = Counter(w for h, w in seen if h[len(h) - length :] == context and len(h) >= length)
        total, kinds = sum(counts.values()), len(counts)
        if not total:
            break
        distribution = [
            (counts[w] + kinds * p) / (total + kinds) for w, p in enumerate(distribution)
        ]
    return distribution


def slow_add_alpha(seen, vocab_size, order, history, alpha):
    """P(next | the last order - 1 characters)."""
    length = min(order - 1, len(history))
    context = tuple(history[len(history) - length :])
    counts = Counter(w for h, w in seen if h[len(h) - length :] == context and len(h) >= length)
    total = sum(counts.values()) + alpha * vocab_size
    return [(counts[w] + alpha) / total for w in range(vocab_size)]


SMOOTHINGS = {"kneser_ney": KneserNey(), "witten_bell": WittenBell(), "add_alpha": AddAlpha}


def built(ids, vocab_size, order, smoothing, setting=None):
    if smoothing is AddAlpha:
        smoothing = AddAlpha(0.3, vocab_size)
    counts = count_grams(np.asarray(ids), vocab_size, order)
    return RowTable(tabulate(counts, smoothing, setting))


def obvious(name, seen, vocab_size, order, history, discounts=None):
    """The slow distribution after a history."""
    history = tuple(int(c) for c in history)
    if name == "witten_bell":
        return slow_witten_bell(seen, vocab_size, order, history)
    if name == "add_alpha":
        return slow_add_alpha(seen, vocab_size, order, history, 0.3)
    # A short history is all there is: the model of that order answers.
    order = min(order, len(history) + 1)
    return SlowKneserNey(seen, vocab_size, order, discounts).distribution(history)


texts = st.integers(1, 4).flatmap(
    lambda v: st.tuples(st.just(v), st.lists(st.integers(0, v - 1), min_size=2, max_size=70))
)


@pytest.mark.parametrize("name", SMOOTHINGS)
@settings(max_examples=40, deadline=None)
@given(text=texts, order=st.integers(1, 6), data=st.data())
def test_any_context_scores_as_the_obvious_implementation(name, text, order, data):
    vocab_size, ids = text
    order = min(order, len(ids))
    reference = built(ids, vocab_size, order, SMOOTHINGS[name])
    history = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=0, max_size=8))
    padding = data.draw(st.integers(0, 3))
    scored = reference.logprobs(torch.tensor([[MISSING] * padding + history], dtype=torch.int64))
    expected = obvious(name, events(ids), vocab_size, order, history)
    assert scored[0].exp().tolist() == pytest.approx(expected, rel=2e-6)
    assert scored.double().exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", SMOOTHINGS)
@settings(max_examples=25, deadline=None)
@given(text=texts, order=st.integers(1, 5), folds=st.integers(2, 4), data=st.data())
def test_folds_score_as_if_the_block_had_never_been_predicted(name, text, order, folds, data):
    vocab_size, ids = text
    order, folds = min(order, len(ids)), min(folds, len(ids))
    reference = built(ids, vocab_size, order, SMOOTHINGS[name], folds)
    position = data.draw(st.integers(0, len(ids) - 1))
    history = data.draw(st.integers(0, 6))
    fold = next(f for f in range(folds) if position < len(ids) * (f + 1) // folds)
    seen = events(ids, len(ids) * fold // folds, len(ids) * (fold + 1) // folds)
    used = ids[max(0, position - min(history, order - 1)) : position]
    expected = obvious(name, seen, vocab_size, order, used)
    for depth in (history, torch.tensor(history)):
        scored = reference.train_logprobs(torch.tensor(position), depth)
        assert scored.exp().tolist() == pytest.approx(expected, rel=3e-6)


@pytest.mark.parametrize("name", SMOOTHINGS)
@settings(max_examples=40, deadline=None)
@given(text=texts, order=st.integers(1, 5), data=st.data())
def test_leave_one_out_scores_as_if_the_position_had_never_been_predicted(name, text, order, data):
    vocab_size, ids = text
    order = min(order, len(ids))
    reference = built(ids, vocab_size, order, SMOOTHINGS[name], "loo")
    position = data.draw(st.integers(0, len(ids) - 1))
    history = data.draw(st.integers(0, 6))
    used = ids[max(0, position - min(history, order - 1)) : position]
    seen = events(ids, position, position + 1)
    # The discounts stay those of the whole text.
    discounts = SlowKneserNey(events(ids), vocab_size, len(used) + 1).discounts
    expected = obvious(name, seen, vocab_size, order, used, discounts)
    scored = reference.train_logprobs(torch.tensor([position]), history)
    assert scored[0].exp().tolist() == pytest.approx(expected, rel=3e-6)


@pytest.mark.tinyshakespeare
def test_kneser_ney_agrees_with_the_obvious_one_on_real_text(shakespeare, measure):
    ids, heldout = shakespeare.train[:20_000], shakespeare.heldout[:500].tolist()
    seen = [(tuple(ids[max(0, p - 8) : p].tolist()), int(w)) for p, w in enumerate(ids)]
    models = {n: SlowKneserNey(seen, shakespeare.vocab_size, n) for n in range(1, 9)}
    for order in range(2, 9):
        reference = built(ids, shakespeare.vocab_size, order, KneserNey())
        ours, _ = measure(reference, shakespeare.heldout[:500])
        loss = 0.0
        for p, character in enumerate(heldout):
            model = models[min(order, p + 1)]
            loss -= math.log(model.distribution(heldout[:p])[character]) / len(heldout)
        assert math.exp(ours) == pytest.approx(math.exp(loss), rel=1e-4)


@pytest.mark.tinyshakespeare
@pytest.mark.parametrize(
    ("order", "nats", "accuracy"),
    [
        (4, 1.719, 0.472),
        (5, 1.561, 0.528),
        (6, 1.523, 0.542),
        (7, 1.5165, 0.548),
        (8, 1.519, 0.548),
    ],
)
def test_known_figures_on_the_real_text(shakespeare, measure, order, nats, accuracy):
    reference = built(shakespeare.train, shakespeare.vocab_size, order, KneserNey())
    digits = 5e-5 if order == 7 else 5e-4
    assert measure(reference, shakespeare.heldout) == (
        pytest.approx(nats, abs=digits),
        pytest.approx(accuracy, abs=5e-4),
    )


@pytest.mark.tinyshakespeare
def test_cross_fitting_closes_the_leak(shakespeare, measure):
    text = torch.from_numpy(shakespeare.train.astype(np.int64))

    def on_training(reference):
        loss = 0.0
        for positions in torch.arange(len(text)).split(32768):
            scored = reference.train_logprobs(positions)
            loss -= scored.gather(1, text[positions, None]).double().sum().item()
        return loss / len(text)

    leaking = built(shakespeare.train, shakespeare.vocab_size, 7, KneserNey())
    fitted = built(shakespeare.train, shakespeare.vocab_size, 7, KneserNey(), 10)
    heldout, _ = measure(fitted, shakespeare.heldout)
    assert heldout == measure(leaking, shakespeare.heldout)[0]
    assert on_training(leaking) < heldout - 0.5
    assert on_training(fitted) == pytest.approx(heldout, abs=0.1)


@pytest.mark.parametrize("name", SMOOTHINGS)
@pytest.mark.parametrize("setting", [None, 3, "loo"])
def test_all_rows_are_normalised(name, setting):
    ids = np.random.default_rng(0).integers(0, 30, 3000) ** 2 // 30
    table = built(ids, 30, 5, SMOOTHINGS[name], setting).arrays.table
    assert torch.isfinite(table).all()
    assert (table.double().exp().sum(dim=1) - 1).abs().max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(texts, st.integers(1, 5), st.lists(st.integers(0, 3), max_size=6))
def test_reliability_is_the_longest_seen_context(text, order, history):
    vocab_size, ids = text
    order = min(order, len(ids))
    history = [c % vocab_size for c in history]
    matched, count = 0, len(ids)
    for length in range(1, min(order - 1, len(history)) + 1):
        found = sum(ids[p - length : p] == history[-length:] for p in range(length, len(ids)))
        if found:
            matched, count = length, found
    context = torch.tensor(history, dtype=torch.int64)
    for name in ("kneser_ney", "witten_bell"):
        reliability = built(ids, vocab_size, order, SMOOTHINGS[name]).reliability(context)
        assert (reliability.order.item(), reliability.count.item()) == (matched + 1, count)


def test_train_reliability_excludes_the_position():
    ids = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for setting, order, count in ((None, 3, 3), ("loo", 3, 2), (3, 3, 2)):
        reference = built(ids, 3, 3, SMOOTHINGS["witten_bell"], setting)
        reliability = reference.train_reliability(torch.tensor([8]))
        assert (reliability.order.item(), reliability.count.item()) == (order, count)


def test_discounts_follow_the_paper_and_fall_back():
    # Chen & Goodman's equation 26 by hand: Y = 8 / (8 + 2·4) = 1/2.
    assert modified_discounts([8, 4, 2, 1]) == Discounts(0.5, 1.25, 2.0)
    for degenerate in ([0, 0, 0, 0], [5, 1, 0, 2], [1, 5, 50, 1]):
        assert modified_discounts(degenerate) == Discounts(*FALLBACK_DISCOUNTS)


def test_look_up_exports_to_one_graph_and_maps():
    reference = built(np.random.default_rng(3).integers(0, 4, 500), 4, 5, KneserNey())
    contexts = torch.randint(0, 4, (5, 6, 8))

    class Lookup(torch.nn.Module):
        def forward(self, contexts):
            return reference.logprobs(contexts)

    exported = torch.export.export(Lookup(), (contexts,))
    assert torch.equal(exported.module()(contexts), reference.logprobs(contexts))
    assert torch.equal(torch.vmap(reference.logprobs)(contexts), reference.logprobs(contexts))


def test_more_memory_than_is_free_is_refused_before_work(monkeypatch):
    monkeypatch.setattr("avatarl.reference.free_memory.free_memory", lambda device=None: 1000)
    counts = count_grams(np.arange(500) % 7, 7, 3)
    with pytest.raises(ConfigError, match=r"reference\.order=3 .* GiB are free"):
        tabulate(counts, KneserNey(), None)


def test_more_memory_than_the_gpu_has_free_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2**30, 2**34))
    device = torch.device("cuda", 0)
    require_memory(2**29, "reference.order", 9, "the table", device)
    with pytest.raises(ConfigError, match=r"would take 2.0 GiB and 1.0 GiB are free on cuda:0"):
        require_memory(2**31, "reference.order", 9, "the table", device)
