from __future__ import annotations

import numpy as np
import pytest

from avatarl.report.aggregate import compare
from avatarl.report.alarms import HEALTH
from avatarl.report.curves import Curve, Journals, band, read_journals
from avatarl.report.load import load_runs
from avatarl.report.metrics import AXES
from avatarl.report.plots import curves as curves_plot
from avatarl.report.plots import health as health_plot
from avatarl.report.plots.data import PlotData

from .conftest import Outputs, config


def test_curves_are_thinned_without_losing_the_spike(outputs: Outputs) -> None:
    outputs.run(config())
    journals = read_journals(load_runs(outputs.root), ["health/clip_fraction"], points=12)
    (curves,) = journals.curves.values()
    assert curves["health/clip_fraction"].y.size <= 12
    assert curves["health/clip_fraction"].y.max() == 0.97
    assert curves["health/clip_fraction"].thinned


@pytest.mark.parametrize(
    ("word", "last"),
    [("characters", 819_200), ("steps", 400), ("epochs", 819_200 / 900_000), ("seconds", 40.0)],
)
def test_curves_are_drawn_against_the_axis_asked_for(
    outputs: Outputs, word: str, last: float
) -> None:
    outputs.run(config(), alarms=("calibration",))
    runs = load_runs(outputs.root)
    told = compare(runs.runs)
    journals = read_journals(runs, ["val/nats", *HEALTH], axis=AXES[word])
    curve = journals.curve(runs.runs[0].run_id, "val/nats")
    assert curve is not None
    assert curve.x[-1] == pytest.approx(last)
    (row,) = told.sections[0].configurations
    mean = band(row, journals, "val/nats")
    assert mean is not None and mean.x[-1] == curve.x[-1]
    for plot, metric in ((curves_plot, "val/nats"), (health_plot, "health/grad_norm")):
        figure = plot.draw(PlotData(told, journals, metric))
        assert figure is not None
        assert figure.axes[-1].get_xlabel().startswith(AXES[word].title)
        low, high = figure.axes[-1].get_xlim()
        assert low <= 0 and last <= high < 1.2 * last


def test_a_journal_that_lacks_the_axis_is_named(outputs: Outputs) -> None:
    directory = outputs.run(config())
    journal = directory / "metrics.jsonl"
    journal.write_text(journal.read_text().replace('"epoch"', '"other"'))
    journals = read_journals(load_runs(outputs.root), ["val/nats"], axis=AXES["epochs"])
    assert not any(journals.curves.values())
    assert "doesn't say epochs" in journals.problems[0]


def test_a_band_averages_finished_seeds_where_all_have_values(outputs: Outputs) -> None:
    for seed, state in enumerate(("done", "done", "running")):
        outputs.run(config(seed=seed), state=state)
    (row,) = compare(load_runs(outputs.root).runs).sections[0].configurations
    ids = [run.run_id for run in row.done]
    x = np.array([0.0, 10.0, 20.0])
    curves = {
        ids[0]: {"m": Curve(x, np.array([1.0, 2.0, 3.0]))},
        ids[1]: {"m": Curve(np.array([5.0, 20.0]), np.array([3.0, 6.0]))},
        row.unfinished[0].run_id: {"m": Curve(x, np.array([100.0, 100.0, 100.0]))},
    }
    mean = band(row, Journals(curves, {}, ()), "m")
    assert mean is not None
    assert mean.n == 2
    assert mean.x.tolist() == [5.0, 10.0, 20.0]
    assert mean.mean == pytest.approx([2.25, 3.0, 4.5])
    # t(1) at 97.5 % is 12.706; two values' standard error is half their distance.
    assert mean.high[-1] - mean.mean[-1] == pytest.approx(12.7062 * 1.5, rel=1e-4)
