from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.reference.ensemble import Config, tune

CPU = torch.device("cpu")
CONSTANT = {"kind": "constant"}
COMMON = {"cross_fit": "auto", "cache_dir": None, "schedule": CONSTANT}
BIGRAM = {"name": "b", "kind": "add_alpha", "order": 2, "alpha": 1.0, **COMMON}
KNESER_NEY = {"name": "k", "kind": "kneser_ney", "order": 4, **COMMON}
UNIGRAM = {**BIGRAM, "order": 1}
IDS = np.cumsum(np.random.default_rng(0).integers(0, 3, 4000) ** 2) % 9


def config(members, weights=None, cross_fit=None):
    raw = {"name": "e", "kind": "ensemble", **COMMON, "cross_fit": cross_fit, "dev_fraction": 0.1}
    return read(Config, {**raw, "members": members, "weights": weights}, "reference")


def test_probabilities_are_averaged_with_the_given_weights():
    whole = config({"a": BIGRAM, "b": KNESER_NEY}, (3.0, 1.0)).build(IDS, 9, CPU)
    first, second = whole.members
    contexts = torch.randint(0, 9, (20, 6))
    expected = 0.75 * first.logprobs(contexts).exp() + 0.25 * second.logprobs(contexts).exp()
    assert torch.allclose(whole.logprobs(contexts).exp(), expected, atol=1e-6)
    positions = torch.arange(100)
    expected = 0.75 * first.train_logprobs(positions, 2).exp()
    expected += 0.25 * second.train_logprobs(positions, 2).exp()
    assert torch.allclose(whole.train_logprobs(positions, 2).exp(), expected, atol=1e-6)
    assert whole.order == 4


def test_tuned_weights_are_the_most_likely_ones_on_the_slice():
    members = config({"a": UNIGRAM, "b": BIGRAM}).shared_members()
    # The order of this text is 2, so that the unigram can only hurt.
    assert tune(members, IDS, 9, 3600)[1] > 0.95
    mixed = np.concatenate([IDS[:3800], np.random.default_rng(1).choice(IDS, 200)])
    found = tune(members, mixed, 9, 3600)
    first, second = (member.build(mixed[:3600], 9, CPU) for member in members)
    text = torch.from_numpy(mixed)
    contexts = text.unfold(0, 2, 1)[3598:-1]

    def loss(share):
        p = (1 - share) * first.logprobs(contexts).exp() + share * second.logprobs(contexts).exp()
        return -p.gather(1, text[3600:, None]).log().mean().item()

    grid = np.linspace(0.01, 0.99, 99)
    assert found[1].item() == pytest.approx(grid[np.argmin([loss(s) for s in grid])], abs=0.02)


def test_the_slice_is_scored_by_members_that_never_saw_it():
    # Memorising the whole text would make the high order look perfect; on fresh noise it isn't.
    noise = np.random.default_rng(2).integers(0, 9, 4000)
    members = config({"u": UNIGRAM, "k": {**KNESER_NEY, "order": 8}}).shared_members()
    assert tune(members, noise, 9, 3000)[0] > 0.8


def test_weights_are_tuned_once_and_nothing_else_is_left_behind(tmp_path):
    tuned = dataclasses.replace(config({"a": UNIGRAM, "k": KNESER_NEY}), cache_dir=str(tmp_path))
    first = tuned.build(IDS, 9, CPU)
    # The weights, and the table of the one member that isn't dense.
    kept = sorted(p for p in tmp_path.iterdir() if p.is_dir())
    assert sorted(len(list(p.glob("*.npy"))) for p in kept) == [1, 5]
    before = [p.stat().st_mtime_ns for p in kept]
    assert torch.equal(tuned.build(IDS, 9, CPU).weights, first.weights)
    assert [p.stat().st_mtime_ns for p in kept] == before


def test_reliability_is_that_of_the_longest_match():
    whole = config({"a": BIGRAM, "b": KNESER_NEY}, (1.0, 1.0)).build(IDS, 9, CPU)
    contexts = torch.from_numpy(IDS[None, 100:110])
    alone = whole.members[1].reliability(contexts)
    found = whole.reliability(contexts)
    assert found.order.item() == alone.order.item() == 4
    assert found.count.item() == alone.count.item()


def test_members_share_the_cross_fitting():
    fitted = config({"k": KNESER_NEY}, cross_fit=4).build(IDS, 9, CPU)
    plain = config({"k": KNESER_NEY}, cross_fit=None).build(IDS, 9, CPU)
    positions = torch.arange(4000)
    text = torch.from_numpy(IDS)[:, None]
    losses = [-r.train_logprobs(positions).gather(1, text).mean() for r in (fitted, plain)]
    assert losses[0] > losses[1]


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [
        ({}, None, r"members=\{\} .* one member or more"),
        ({"a": BIGRAM}, (1.0, 2.0), r"weights=\[1.0, 2.0\] .* 1 numbers, one for each of a"),
        ({"a": {"kind": "none", "name": "none"}}, None, r"members\.a\.kind='none' .* kneser_ney"),
        ({"a": {"kind": "os", "name": "x"}}, None, r"members\.a\.kind='os'"),
        ({"a": {**BIGRAM, "ordr": 3}}, None, r"members\.a\.ordr=3 .* order"),
        ({"a": {**BIGRAM, "order": 0}}, None, r"members\.a\.order=0"),
    ],
)
def test_impossible_ensembles_are_refused(members, weights, message):
    with pytest.raises(ConfigError, match=message):
        config(members, weights)
