"""A league on its own: who is kept, who plays."""

from __future__ import annotations

import pytest
import torch

from avatarl import composition
from avatarl.opponent import League


def league(*overrides: str) -> League:
    config = composition.compose(["data=folio", *overrides]).opponent
    return League(config, {"weight": torch.zeros(2)})


def played(league: League) -> list[float]:
    return [player["weight"][0].item() for player in league.players()]


def after(league: League, steps: int) -> list[float]:
    for step in range(steps + 1):
        league.refresh(step, {"weight": torch.full((2,), float(step))})
    return played(league)


def test_without_an_opponent_nobody_plays_and_nothing_is_kept() -> None:
    assert after(league("opponent=none"), 10) == []


@pytest.mark.parametrize(("every", "expected"), [(1, 7.0), (3, 6.0), (10, 0.0)])
def test_a_past_self_is_as_old_as_its_last_refresh(every: int, expected: float) -> None:
    assert after(league("opponent=past", f"opponent.every={every}"), 7) == [expected]


def test_a_league_fills_up_and_then_prunes_the_oldest() -> None:
    settings = ["opponent=league", "opponent.every=2", "opponent.size=3"]
    assert after(league(*settings), 2) == [2.0, 0.0, 0.0]
    assert after(league(*settings), 9) == [8.0, 6.0, 4.0]
    assert after(league(*settings, "opponent.averaged=true"), 9) == [6.0]


def test_members_own_their_weights() -> None:
    weights = {"weight": torch.zeros(2)}
    kept = League(composition.compose(["data=folio", "opponent=past"]).opponent, weights)
    weights["weight"].fill_(5.0)
    assert played(kept) == [0.0]
