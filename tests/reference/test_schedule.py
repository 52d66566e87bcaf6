from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avatarl.errors import ConfigError
from avatarl.reference import Reliability
from avatarl.reference.schedule import (
    Annealed,
    Constant,
    Gated,
    HandOver,
    Ladder,
    Promotion,
    ScheduleState,
    shorten,
)


def gated(by, hand_over=False):
    return Gated("gated", by, half=4.0, hand_over=hand_over, margin=0.0, decay=0.0)


def test_constant_never_changes():
    schedule = ScheduleState(Constant("constant"), 7)
    assert schedule.report_losses(0.1, 9.0) is None
    assert schedule.report_development(9.0) is None
    assert [schedule.coefficient(n) for n in (0, 10**9)] == [1.0, 1.0]
    assert schedule.history() is None
    assert schedule.gate(Reliability(torch.ones(1), torch.ones(1)), torch.zeros(1, 1)) is None


@pytest.mark.parametrize(("shape", "quarter"), [("linear", 0.8), ("cosine", 0.8828427)])
def test_annealing_goes_from_one_to_the_final_weight(shape, quarter):
    schedule = ScheduleState(Annealed("annealed", shape, start=100, characters=400, final=0.2), 3)
    found = [schedule.coefficient(n) for n in (0, 100, 200, 300, 500, 10**9)]
    assert found == pytest.approx([1, 1, quarter, 0.6, 0.2, 0.2])


def test_gates_open_with_what_the_reference_knows():
    uniform, sure = torch.full((4,), -math.log(4)), torch.tensor([0.0, -99, -99, -99])
    logprobs = torch.stack([uniform, sure])
    reliability = Reliability(torch.tensor([1, 3]), torch.tensor([0, 12]))
    by_count = ScheduleState(gated("count"), 3).gate(reliability, logprobs)
    by_entropy = ScheduleState(gated("entropy"), 3).gate(reliability, logprobs)
    assert by_count.tolist() == pytest.approx([0, 0.75])
    assert by_entropy.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_the_text_takes_over_once_the_policy_is_better_and_for_good():
    schedule = ScheduleState(HandOver("hand_over", margin=0.1, decay=0.5), 5)
    assert schedule.report_losses(3.0, 2.0) is None
    assert schedule.report_losses(1.5, 2.0) is None  # smoothed: 2.0 against 2.0
    assert schedule.coefficient(0) == 1.0
    assert schedule.report_losses(1.5, 2.0) == Promotion("order 5", "text")  # 1.71
    assert schedule.report_losses(9.0, 2.0) is None
    assert schedule.coefficient(0) == 0.0


def test_the_hand_over_comes_at_the_reported_margin():
    schedule = ScheduleState(HandOver("hand_over", margin=0.1, decay=0.0), 5)
    assert schedule.report_losses(1.95, 2.0) is None
    assert schedule.coefficient(0) == 1.0
    assert schedule.report_losses(math.nan, 2.0) is None
    assert schedule.report_losses(1.85, 2.0) == Promotion("order 5", "text")
    assert schedule.coefficient(0) == 0.0


def test_averages_start_from_the_first_loss_not_from_zero():
    slow = ScheduleState(HandOver("hand_over", margin=0.1, decay=0.99), 5)
    assert slow.report_losses(1.5, 2.0) == Promotion("order 5", "text")
    assert ScheduleState(gated("count", hand_over=True), 4).report_losses(1.0, 2.0) is not None
    assert ScheduleState(gated("count"), 4).report_losses(1.0, 2.0) is None


def test_the_ladder_climbs_when_the_loss_stalls():
    schedule = ScheduleState(Ladder("ladder", (1, 3, None), patience=2, least=0.01), 7)
    assert schedule.history() == 0
    losses = [3.4, 3.395, 3.3, 3.299]  # improves only at the first and third
    assert [schedule.report_development(loss) for loss in losses] == [None] * 4
    assert schedule.report_development(3.31) == Promotion("order 1", "order 3")
    assert schedule.history() == 2
    # The new rung starts afresh, even if it begins with a worse loss.
    assert [schedule.report_development(loss) for loss in (3.5, 3.5)] == [None, None]
    assert schedule.report_development(3.5) == Promotion("order 3", "order 7")
    assert schedule.history() is None
    assert [schedule.report_development(4.0) for _ in range(9)] == [None] * 9


@given(st.lists(st.floats(0, 5), max_size=30), st.integers(0, 29))
def test_a_saved_state_continues_alike(losses, cut):
    for config in (
        Ladder("ladder", (1, 2, 4), patience=1, least=0.1),
        HandOver("hand_over", margin=0.5, decay=0.8),
    ):

        def feed(schedule, part):
            for loss in part:
                schedule.report_development(loss)
                schedule.report_losses(loss, 2.5)

        whole, first, second = (ScheduleState(config, 4) for _ in range(3))
        feed(whole, losses)
        feed(first, losses[:cut])
        second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
        feed(second, losses[cut:])
        assert second.state_dict() == whole.state_dict()


def test_impossible_rungs_are_refused():
    with pytest.raises(ConfigError, match="rising orders"):
        Ladder("ladder", (1, 3, 2), patience=1, least=0.0)
    with pytest.raises(ConfigError, match="rising orders"):
        Ladder("ladder", (None, 2), patience=1, least=0.0)
    with pytest.raises(ConfigError, match="orders up to 3, the reference's own"):
        ScheduleState(Ladder("ladder", (1, 5), patience=1, least=0.0), 3)


def test_shortening_keeps_the_latest_characters():
    contexts = torch.arange(6).reshape(2, 3)
    assert shorten(contexts, 2).tolist() == [[1, 2], [4, 5]]
    assert shorten(contexts, 0).shape == (2, 0)
    assert torch.equal(shorten(contexts, 9), contexts)
    assert shorten(contexts, None) is contexts
