"""How a sweep went on, and the pictures of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarl.errors import ConfigError
from avatarl.report import importance
from avatarl.report.aggregate import compare
from avatarl.report.curves import read_journals
from avatarl.report.load import load_runs
from avatarl.report.metrics import CHARACTERS
from avatarl.report.page_data import page_data
from avatarl.report.plots import best_so_far, parallel, rungs
from avatarl.report.plots import importance as importance_plot
from avatarl.report.plots.data import PlotData
from avatarl.report.searched import read_searched
from avatarl.search import proposals

from .conftest import FINALS, Outputs, config


def plot_data(sweep: Path) -> PlotData:
    runs = load_runs(sweep)
    told = compare(runs.runs, swept=runs.swept_keys)
    return PlotData(told, read_journals(runs, ["val/nats"]), "val/nats")


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
    figure = importance_plot.draw(plot_data(outputs.sweep()))
    assert figure is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert set(names) == {"reference", "confidence_weight"}
    assert "n = 10" in figure.axes[0].get_xlabel()


def test_rungs_tell_who_came_who_went_on_and_what_they_foretold(searched: Path) -> None:
    first, end = read_searched(load_runs(searched).runs, "val/nats").rungs
    assert (first.steps, first.reached, first.went_on, first.best) == ((100,), 3, 1, 2.1)
    assert (end.steps, end.reached, end.went_on, end.best) == ((400,), 1, 0, 2.0)
    assert first.foretold is None  # of one run
    assert end.foretold is None


def test_a_rung_foretells_the_end_by_the_ranks_of_the_runs_that_came_to_it(searched: Path) -> None:
    ids = [run.run_id for run in load_runs(searched).runs]
    told = [json.loads(line) for line in (searched / "decisions.jsonl").open()]
    for identity, value in zip(ids, (1.9, 1.5, 1.7), strict=True):
        told.append({"event": "report", "run": identity, "rung": 1, "step": 400, "value": value})
    told.append({"event": "report", "run": ids[0], "rung": 1, "step": 400, "value": None})
    (searched / "decisions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    first, end = read_searched(load_runs(searched).runs, "val/nats").rungs
    assert first.foretold is None  # one of three has diverged
    told.pop()
    (searched / "decisions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    first, end = read_searched(load_runs(searched).runs, "val/nats").rungs
    assert first.foretold == 1.0
    assert end.best == 1.5


def test_the_page_has_a_search_with_its_decisions_and_a_grid_has_none(
    searched: Path, outputs: Outputs
) -> None:
    runs = load_runs(searched)
    told = compare(runs.runs, swept=runs.swept_keys)
    journals = read_journals(runs, ["val/nats"])
    data = page_data(runs, told, journals, ["val/nats"], CHARACTERS)
    found = data["sections"][0]["search"]
    assert found["best"] == [2.0]
    assert [rung["reached"] for rung in found["rungs"]] == [3, 1]
    assert found["importance"] is None
    assert [event for _, event, *_ in found["decisions"]][-1] == "close"
    (searched / "decisions.jsonl").unlink()
    grid = page_data(load_runs(searched), told, journals, ["val/nats"], CHARACTERS)
    assert grid["sections"][0]["search"] is None
