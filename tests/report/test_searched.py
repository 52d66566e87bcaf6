"""How a sweep went on, and the pictures of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarl.errors import ConfigError
from avatarl.report.aggregate import compare
from avatarl.report.curves import read_journals
from avatarl.report.load import load_runs
from avatarl.report.plots import best_so_far, importance, parallel, rungs
from avatarl.report.plots.data import PlotData
from avatarl.report.searched import read_searched
from avatarl.runs.folder import RunFolder
from avatarl.search import proposals

from .conftest import Outputs, config

FINALS = [2.4, 2.0, 2.2]


def plot_data(sweep: Path) -> PlotData:
    runs = load_runs(sweep)
    told = compare(runs.runs, swept=runs.swept_keys)
    return PlotData(told, read_journals(runs, ["val/nats"]), "val/nats")


@pytest.fixture
def searched(outputs: Outputs) -> Path:
    """A search of three runs by held-out nats: two of them paused at step 100, one at its end."""
    for seed, nats in enumerate(FINALS):
        raw = config(weight=float(seed))
        state = "done" if seed == 1 else "interrupted"
        path = outputs.run(raw, final=nats, state=state, share=0.25)
        if seed != 1:
            RunFolder(path).write_paused(100)
    ids = [run["id"] for run in outputs.planned]
    sweep = outputs.sweep()
    plan = json.loads((sweep / "plan.json").read_text())
    plan["search"] = {"metric": "val/nats", "rungs": 1}
    (sweep / "plan.json").write_text(json.dumps(plan))
    events: list[dict[str, Any]] = [
        {"event": "start", "run": ids[0], "rung": 0},
        {"event": "report", "run": ids[0], "rung": 0, "step": 100, "value": 2.4},
        {"event": "start", "run": ids[1], "rung": 0},
        {"event": "report", "run": ids[1], "rung": 0, "step": 100, "value": 2.1},
        {"event": "drop", "run": ids[1], "rung": 0},
        {"event": "promote", "run": ids[1], "rung": 1},
        {"event": "start", "run": ids[2], "rung": 0},
        {"event": "report", "run": ids[2], "rung": 0, "step": 100, "value": 2.2},
        {"event": "report", "run": ids[1], "rung": 1, "step": 400, "value": 2.0},
        {"event": "close", "run": ""},
    ]
    (sweep / "decisions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    return sweep


def test_steps_and_runs_of_a_search_are_counted_from_its_decisions(searched: Path) -> None:
    found = read_searched(load_runs(searched).runs, "val/accuracy")
    assert (found.metric, found.spent, found.begun) == ("val/nats", (100 + 100 + 100 + 400,), (3,))
    assert (found.values, found.rung) == ((2.0,), 100)
    assert sorted(found.first.values()) == [2.1, 2.2, 2.4]


def test_a_grid_is_told_in_the_order_in_which_its_runs_ended(outputs: Outputs) -> None:
    for seed, nats in enumerate(FINALS):
        folder = outputs.run(config(seed=seed), final=nats)
        result = json.loads((folder / "result.json").read_text())
        result |= {"finished": f"2026-01-0{3 - seed}", "steps": 10 * (seed + 1)}
        (folder / "result.json").write_text(json.dumps(result))
    found = read_searched(load_runs(outputs.sweep()).runs, "val/nats")
    assert (found.values, found.spent, found.begun) == ((2.2, 2.0, 2.4), (30, 50, 60), (1, 2, 3))
    assert found.best == [2.2, 2.0, 2.0]
    figure = best_so_far.draw(plot_data(outputs.root / "sweeps" / "demo"))
    assert figure is not None
    assert [axis.get_xlabel() for axis in figure.axes] == ["steps spent", "runs begun"]
    (_, line) = figure.axes[0].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [30, 50, 60]


def test_curves_are_cut_where_runs_were_paused_and_drawn_apart(searched: Path) -> None:
    data = plot_data(searched)
    figure = rungs.draw(data)
    assert figure is not None
    (axis,) = figure.axes
    legend = axis.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"paused", "done"}
    colours = {
        line.get_color() for line in axis.get_lines() if line.get_label() in ("paused", "done")
    }
    assert len(colours) == 2


def test_on_parallel_axes_paused_runs_are_drawn_apart_and_end_at_their_rung(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parallel.draw(plot_data(searched)) is None  # three lines are a table
    monkeypatch.setattr(parallel, "_FEWEST", 3)
    figure = parallel.draw(plot_data(searched))
    assert figure is not None
    (panel,) = figure.axes
    titles = [text.get_text() for text in panel.texts if "nats" in text.get_text()]
    assert titles == ["val/nats\nat step 100", "val/nats\nat the end"]
    lines = [line for line in panel.get_lines() if len(np.asarray(line.get_xdata())) == 3]
    ends: dict[str, list[list[float]]] = {str(line.get_color()): [] for line in lines}
    for line in lines:
        ends[str(line.get_color())].append(np.asarray(line.get_ydata()).tolist())
    paused, whole = ends["#D55E00"], ends["#0072B2"]
    assert [[*map(math.isnan, line)] for line in paused] == [[False, False, True]] * 2
    assert whole == [[0.5, 1.0, 0.5]] * 2  # once more as the best
    assert np.allclose(np.sort([line[:2] for line in paused], axis=0), [[0.0, 0.0], [1.0, 2 / 3]])


def test_a_grid_has_no_rungs_to_draw(outputs: Outputs) -> None:
    outputs.run(config())
    assert rungs.draw(plot_data(outputs.sweep())) is None


@pytest.mark.parametrize("has_optuna", [True, False])
def test_the_key_that_matters_is_the_most_important(
    has_optuna: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise ConfigError("hydra/sweeper", "search", "none")

    if not has_optuna:
        monkeypatch.setattr(importance, "load_optuna", missing)
    assert proposals.load_optuna()
    random = np.random.default_rng(0)
    rates = 10 ** random.uniform(-4, -1, 60)
    words, noise = random.choice(["a", "b", "c"], 60), random.uniform(0, 1, 60)
    shift = {"a": 0.0, "b": 0.3, "c": 0.6}
    values = [math.log10(rate) + shift[word] for rate, word in zip(rates, words, strict=True)]
    columns = {"lr": list(map(repr, rates.tolist())), "kind": words.tolist(),
               "noise": list(map(repr, noise.tolist()))}  # fmt: skip
    found, how = importance.importances(columns, values, minimise=True)
    assert how == ("PED-ANOVA" if has_optuna else "rank correlation")
    assert max(found, key=lambda key: found[key]) == "lr"
    assert found["noise"] < 0.3 * found["lr"]


def test_importance_is_drawn_a_bar_a_key(outputs: Outputs) -> None:
    for reference, nats in {"bigram": 2.2, "trigram": 2.0}.items():
        for weight in range(5):
            outputs.run(config(reference, float(weight)), final=nats + weight / 100)
    figure = importance.draw(plot_data(outputs.sweep()))
    assert figure is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert set(names) == {"reference", "confidence_weight"}
    assert "n = 10" in figure.axes[0].get_xlabel()
