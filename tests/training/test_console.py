from __future__ import annotations

import io
from collections.abc import Callable

import rich.console

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.reference.levels import Level
from avatarl.training.console import Console, sparkline, standing, watched

LEVELS = {"unigram": Level(3.3, 0.1), "bigram": Level(2.5, 0.2), "trigram": Level(2.0, 0.3)}


def test_a_sparkline_spans_its_own_range() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([]) == ""


def test_where_a_loss_stands_on_the_ladder() -> None:
    assert standing(None, LEVELS) == ""
    assert standing(4.0, LEVELS) == "0.70 to unigram"
    assert standing(2.25, LEVELS) == "better than bigram, 0.25 to trigram"
    assert standing(1.5, LEVELS) == "better than trigram"


def test_on_a_terminal_the_run_shows_its_reward_and_standing(
    tiny: Callable[..., RunConfig],
) -> None:
    config = tiny()
    screen = io.StringIO()
    terminal = rich.console.Console(file=screen, force_terminal=True, width=200)
    corpus = load(config.data)
    result = watched(config, corpus, "id", lambda: False, Console(terminal))
    assert "steps/s" in screen.getvalue()
    assert "to unigram" in screen.getvalue()
    assert result["state"] == "done"
