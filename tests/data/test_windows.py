from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from avatarl.data import Windows, heldout_windows
from avatarl.errors import ConfigError, DataError

Positions = Literal["last", "all"]


def epoch_of(windows: Windows, epoch: int) -> np.ndarray:
    steps = range(epoch * windows.steps_per_epoch, (epoch + 1) * windows.steps_per_epoch)
    return np.concatenate([windows.starts(step) for step in steps])


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    context = draw(st.integers(1, 12))
    length = draw(st.integers(context + 1, 200))
    return length, context, draw(st.integers(1, 9)), draw(st.integers(0, 2**40))


@given(shapes(), st.integers(0, 3))
def test_last_visits_each_target_with_a_full_context_once(
    shape: tuple[int, int, int, int], epoch: int
) -> None:
    length, context, batch, seed = shape
    assume(batch <= length - context)
    windows = Windows(length, context, batch, "last", seed)
    targets = epoch_of(windows, epoch) + context
    assert len(targets) == len(set(targets.tolist())) == (length - context) // batch * batch
    assert targets.min() >= context
    assert targets.max() < length
    if batch == 1:
        assert set(targets.tolist()) == set(range(context, length))


@given(shapes(), st.integers(0, 3))
def test_all_tiles_the_text_with_no_target_twice(
    shape: tuple[int, int, int, int], epoch: int
) -> None:
    length, context, batch, seed = shape
    assume(batch <= max(1, (length - context) // context))
    windows = Windows(length, context, batch, "all", seed)
    starts = epoch_of(windows, epoch)
    targets = (starts[:, None] + 1 + np.arange(context)).reshape(-1)
    assert len(set(targets.tolist())) == len(targets)
    assert len(targets) == windows.steps_per_epoch * windows.targets_per_step
    assert starts.min() >= 0
    assert starts.max() + windows.window_span <= length
    assert len({int(start) % context for start in starts}) == 1


@pytest.mark.parametrize("positions", ["last", "all"])
def test_windows_line_up_with_the_text(positions: Positions) -> None:
    text = np.arange(1000)  # a text whose every character is its own position
    windows = Windows(len(text), 8, 5, positions, 0)
    starts = windows.starts(7)
    assert starts.shape == (5,)
    assert starts.dtype == np.int64
    cut = text[starts[:, None] + np.arange(windows.window_span)]  # (B, T + 1)
    np.testing.assert_array_equal(cut[:, 1:], cut[:, :-1] + 1)
    assert windows.targets_per_step == (5 if positions == "last" else 40)


@given(shapes(), st.sampled_from(["last", "all"]), st.lists(st.integers(0, 10**6), max_size=5))
def test_order_needs_nothing_but_the_step(
    shape: tuple[int, int, int, int], positions: Positions, steps: list[int]
) -> None:
    length, context, batch, seed = shape
    assume(batch <= max(1, (length - context) // context))
    used = Windows(length, context, batch, positions, seed)
    for step in steps:
        fresh = Windows(length, context, batch, positions, seed)
        np.testing.assert_array_equal(used.starts(step), fresh.starts(step))


@pytest.mark.parametrize("positions", ["last", "all"])
def test_epochs_and_seeds_have_their_own_order(positions: Positions) -> None:
    windows = Windows(5000, 8, 16, positions, 0)
    orders = [epoch_of(windows, 0), epoch_of(windows, 1)]
    orders.append(epoch_of(Windows(5000, 8, 16, positions, 1), 0))
    for index, order in enumerate(orders):
        assert not np.array_equal(order, np.sort(order))
        assert not np.array_equal(order, orders[index - 1])


def test_phase_moves_so_that_every_character_is_a_target_sometime() -> None:
    windows = Windows(100, 9, 10, "all", 0)
    targets = {
        int(start) + 1 + offset
        for epoch in range(60)
        for start in epoch_of(windows, epoch)
        for offset in range(9)
    }
    assert targets == set(range(1, 100))


def test_order_of_a_small_text_is_pinned() -> None:
    # A resumed run must meet the order it left, whatever numpy is installed by then.
    assert Windows(14, 4, 5, "last", 7).starts(2).tolist() == [0, 2, 1, 9, 6]


@pytest.mark.parametrize(("positions", "largest"), [("last", 92), ("all", 11)])
def test_too_large_a_batch_names_the_largest(positions: Positions, largest: int) -> None:
    for batch in (largest + 1, 0):
        with pytest.raises(ConfigError, match=f"1 to {largest}") as caught:
            Windows(100, 8, batch, positions, 0)
        assert caught.value.key == "trainer.batch_size"
    assert Windows(100, 8, largest, positions, 0).steps_per_epoch == 1


@pytest.mark.parametrize("positions", ["last", "all"])
def test_text_no_longer_than_the_context(positions: Positions) -> None:
    with pytest.raises(DataError, match="at most 7") as caught:
        Windows(8, 8, 1, positions, 0)
    assert caught.value.key == "model.context_length"
    assert Windows(9, 8, 1, positions, 0).starts(3).tolist() == [0]


@given(st.integers(1, 20), st.integers(1, 50))
def test_heldout_targets_are_all_that_have_a_full_context(context: int, extra: int) -> None:
    starts = heldout_windows(context + extra, context)
    assert (starts + context).tolist() == list(range(context, context + extra))
    with pytest.raises(DataError, match="held-out"):
        heldout_windows(context, context)
