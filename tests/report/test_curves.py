from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatarl.report.aggregate import compare
from avatarl.report.curves import Curve, Journals, band, read_journals
from avatarl.report.figures import swept_axes, write_plots
from avatarl.report.load import load_runs
from avatarl.report.plot import learning_curves, row_name

from .conftest import OTHER_CORPUS, Outputs, config


def test_curves_are_thinned_without_losing_the_spike(outputs: Outputs) -> None:
    outputs.run(config())
    journals = read_journals(load_runs(outputs.root), ["health/clip_fraction"], points=12)
    (curves,) = journals.curves.values()
    assert curves["health/clip_fraction"].y.size <= 12
    assert curves["health/clip_fraction"].y.max() == 0.97
    assert curves["health/clip_fraction"].thinned


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


def test_learning_curves_show_bands_levels_and_one_panel_a_corpus(outputs: Outputs) -> None:
    for seed in range(2):
        outputs.run(config(seed=seed))
        outputs.run(config(seed=seed), corpus=OTHER_CORPUS)
    runs = load_runs(outputs.root)
    told = compare(runs.runs)
    figure = learning_curves(told, read_journals(runs, ["val/nats"]))
    assert figure is not None
    assert len(figure.axes) == 2
    for axis in figure.axes:
        words = {text.get_text() for text in axis.texts}
        assert {"bigram", "trigram", "4-gram"} <= words
        assert axis.get_xlabel().startswith("characters seen")
        assert axis.get_ylabel() == "held-out nats per character"
        assert len(axis.collections) == 1
    assert learning_curves(told, read_journals(runs, ["none/such"]), "none/such") is None


def test_every_plot_is_written_twice(demo_sweep: Path, tmp_path: Path) -> None:
    runs = load_runs(demo_sweep)
    told = compare(runs.runs, swept=runs.swept_keys, metrics=["val/nats"])
    written = {path.name for path in write_plots(runs, told, tmp_path / "plots")}
    for name in (
        "curves-val-nats", "curves-val-accuracy", "axes", "heatmap", "accuracy-calibration",
        "reliability", "health",
    ):  # fmt: skip
        for kind in ("png", "svg"):
            assert f"{name}.{kind}" in written
    assert (tmp_path / "plots" / "axes.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "plots" / "axes.svg").read_bytes()


def test_names_with_mathematics_in_them_are_drawn_as_text(outputs: Outputs, tmp_path: Path) -> None:
    outputs.run({**config(), "name": "$x_{"}, alarms=("calibration",))
    outputs.run({**config(reward__note="$\\frac{"), "name": "<b>"}, state="running")
    runs = load_runs(outputs.root)
    assert write_plots(runs, compare(runs.runs), tmp_path / "plots")


def test_pictures_hold_their_legend_whatever_differs(
    outputs: Outputs, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for number in range(9):
        extra = {f"reward__a_rather_long_name_{at}": number + at for at in range(12)}
        outputs.run(config(weight=number / 8, **extra), final=1.8 + number / 50)
    runs = load_runs(outputs.root)
    assert write_plots(runs, compare(runs.runs), tmp_path / "plots")
    # The layout gives up, with a warning, where a legend leaves the axes no room.
    # What earlier tests left open is told whenever it is collected, here too.
    told = [warning for warning in recwarn if warning.category is not ResourceWarning]
    assert [str(warning.message) for warning in told] == []


def test_legends_name_the_code_where_nothing_else_differs(outputs: Outputs) -> None:
    outputs.run(config(), code="a" * 64)
    outputs.run(config(), code="b" * 64)
    (section,) = compare(load_runs(outputs.root).runs).sections
    names = {row_name(section, row) for row in section.configurations}
    assert names == {"avatarl, code aaaaaaaa", "avatarl, code bbbbbbbb"}


def test_axes_say_when_they_average_over_other_keys(outputs: Outputs) -> None:
    def titles() -> set[str]:
        told = compare(load_runs(outputs.root).runs)
        figure = swept_axes(told, told.sections[0], "val/nats")
        assert figure is not None
        return {axis.get_title(loc="left") for axis in figure.axes}

    for reference in ("bigram", "ngram4"):
        for rate in (0.1, 0.2):
            outputs.run(config(reference, optimizer__lr=rate), final=1.8 + rate)
    assert titles() == {""}
    outputs.run(config("bigram", optimizer__lr=0.1, model__n_layer=9))
    assert "mean over the other keys" in titles()
