from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import image as mpl_image
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avatarl.cli import compare as compare_command
from avatarl.errors import UserError
from avatarl.report import plots
from avatarl.report.aggregate import compare
from avatarl.report.curves import Journals, read_journals
from avatarl.report.load import load_runs
from avatarl.report.plots import accuracy_calibration, axes, curves, find_plots, write_plots
from avatarl.report.plots.canvas import STYLES, _apart
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.scales import set_scale
from avatarl.report.scale import scale_of
from avatarl.report.style import looks
from avatarl.report.words import row_name

from .conftest import OTHER_CORPUS, Outputs, config

PLOT = """
from avatarl.report.plots.canvas import new_figure

EACH = {each!r}
CURVES = ("health/grad_cv",)

def draw(data):
    figure = new_figure(2, 2)
    run = data.section.configurations[0].runs[0]
    curve = data.journals.curve(run.run_id, "health/grad_cv")
    figure.subplots().plot(curve.x, curve.y, label=data.metric)
    return figure
"""


def test_learning_curves_show_bands_levels_and_one_panel_a_corpus(outputs: Outputs) -> None:
    for seed in range(4):
        outputs.run(config(seed=seed))
        outputs.run(config(seed=seed), corpus=OTHER_CORPUS)
    runs = load_runs(outputs.root)
    told = compare(runs.runs)
    journals = read_journals(runs, ["val/nats"])
    figure = curves.draw(PlotData(told, journals, "val/nats"))
    assert figure is not None
    assert len(figure.axes) == 2
    for axis in figure.axes:
        words = {text.get_text() for text in axis.texts}
        assert {"bigram", "trigram", "4-gram"} <= words
        assert axis.get_xlabel().startswith("characters seen")
        assert axis.get_ylabel() == "held-out nats per character"
        assert len(axis.collections) == 1
    journals = read_journals(runs, ["none/such"])
    assert curves.draw(PlotData(told, journals, "none/such")) is None


def draw_curves(outputs: Outputs, metric: str = "val/nats") -> Figure:
    runs = load_runs(outputs.root)
    figure = curves.draw(PlotData(compare(runs.runs), read_journals(runs, [metric]), metric))
    assert figure is not None
    return figure


def test_fewer_than_four_seeds_are_thin_lines_and_no_band(outputs: Outputs) -> None:
    for seed in range(3):
        outputs.run(config(seed=seed))
    (axis,) = draw_curves(outputs).axes
    thin = [line for line in axis.get_lines() if line.get_linewidth() < 0.6]
    assert (len(thin), len(axis.collections)) == (3, 0)


def test_labels_of_levels_that_lie_close_are_moved_apart(outputs: Outputs) -> None:
    outputs.run(config(), final=1.9)
    (axis,) = draw_curves(outputs).axes
    levels = [(2.05, "trigram"), (2.04, "4-gram"), (2.03, "bigram"), (3.3, "unigram")]
    axis.set_ylim(1.9, 4)
    moved = _apart(axis, [value for value, _ in levels])
    at = [
        axis.transData.transform((0, value))[1] * 72 / axis.figure.dpi + shift
        for (value, _), shift in zip(levels, moved, strict=True)
    ]
    assert at[0] - at[1] > 8 and at[1] - at[2] > 8
    assert moved[3] == 0 and sum(moved) == pytest.approx(0, abs=1e-6)


def test_a_legend_says_key_and_value_and_no_result(outputs: Outputs) -> None:
    for reference in ("bigram", "ngram4"):
        for seed in range(2):
            outputs.run(config(reference, seed=seed))
    outputs.run(config("none", objective="cross_entropy"))
    legend = draw_curves(outputs).axes[0].get_legend()
    assert legend is not None
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {"reference=bigram (n=2)", "reference=ngram4 (n=2)", "control"}
    outputs.run(config("none", seed=1, objective="cross_entropy"))
    legend = draw_curves(outputs).axes[0].get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {
        "reference=bigram", "reference=ngram4", "control",
    }  # fmt: skip
    assert legend.get_title().get_text() == "n = 2 seeds"


@pytest.mark.parametrize(
    ("values", "chosen", "scale"),
    [
        ([1e-3, 3e-3, 1e-2], True, "log"),
        ([8, 16, 24, 64], True, "log"),
        ([1, 4, 16, 64], True, "log"),
        ([0, 0.01, 0.1, 1], True, "symlog"),
        ([0, 0.5, 1], True, "linear"),
        ([1, 2, 3, 4, 5, 6, 7, 8], True, "linear"),
        ([-0.5, 0, 0.5, 2], True, "linear"),
        ([1e-4, 1e-1], True, "log"),
        ([3], True, "linear"),
        ([0.1, 3, 4], False, "linear"),
        ([0.1, 3, 7], False, "log"),
        ([0, 3, 700], False, "linear"),
    ],
)
def test_an_axis_is_logarithmic_where_its_values_are(
    values: list[float], chosen: bool, scale: str
) -> None:
    assert scale_of(values, chosen=chosen) == scale
    axis = Figure().subplots()
    set_scale(axis, "x", values, chosen=chosen)
    assert axis.get_xscale() == scale


def draw_axes(outputs: Outputs) -> Axes:
    figure = axes.draw(
        PlotData(compare(load_runs(outputs.root).runs), Journals({}, {}, ()), "val/nats")
    )
    assert figure is not None
    return figure.axes[0]


def test_words_are_not_joined_by_lines_and_numbers_are(outputs: Outputs) -> None:
    for reference in ("bigram", "trigram", "ngram4"):
        outputs.run(config(reference))
    means = [line for line in draw_axes(outputs).get_lines() if line.get_marker() == "o"]
    assert [line.get_linestyle() for line in means] == ["None"]


def test_controls_stand_where_their_key_puts_them(outputs: Outputs) -> None:
    for layers in (1, 2, 4):
        outputs.run(config(model__n_layer=layers))
        outputs.run(
            config("none", objective="cross_entropy", model__n_layer=layers), final=1.7 + layers
        )
    axis = draw_axes(outputs)
    (control,) = [line for line in axis.get_lines() if line.get_linestyle() == "-."]
    assert np.asarray(control.get_xdata()).tolist() == [1, 2, 4]
    assert np.asarray(control.get_ydata()).tolist() == pytest.approx([2.7, 3.7, 5.7])
    legend = axis.get_legend()
    assert legend is None or "control" in {text.get_text() for text in legend.get_texts()}


def test_many_configurations_each_look_their_own(outputs: Outputs) -> None:
    for at in range(20):
        extra: dict[str, Any] = {"reward__note": f"w{at}", "model__n_layer": at}
        outputs.run(config(weight=0.5, **extra))
    (section,) = compare(load_runs(outputs.root).runs).sections
    rows = section.configurations
    by_number = looks(rows, ["model.n_layer"])
    assert len({look.colour for look in by_number.values()}) == 20
    by_words = looks(rows, ["reward.note"])
    assert len({(look.colour, look.dash) for look in by_words.values()}) == 20
    assert not any(look.muted for look in by_words.values())


def test_a_style_makes_pictures_as_wide_as_a_column(demo_sweep: Path, tmp_path: Path) -> None:
    runs = load_runs(demo_sweep)
    told = compare(runs.runs, swept=runs.swept_keys, metrics=["val/nats"])
    chosen = find_plots(["axes", "curves", "heatmap"])
    written = write_plots(runs, told, tmp_path, chosen, style="column")
    assert {path.suffix for path in written} == {".png", ".svg", ".pdf"}
    for path in written:
        if path.suffix == ".png":
            height, width, _ = mpl_image.imread(path).shape
            assert width <= 3.3 * 200 + 1 < height + width


def test_the_command_line_knows_every_style() -> None:
    # Named twice, since the command line starts without the plotting library.
    assert tuple(STYLES) == compare_command._STYLES


def test_every_plot_is_written_twice(demo_sweep: Path, tmp_path: Path) -> None:
    runs = load_runs(demo_sweep)
    told = compare(runs.runs, swept=runs.swept_keys, metrics=["val/nats"])
    written = {path.name for path in write_plots(runs, told, tmp_path / "plots")}
    for name in (
        "curves-val-nats", "curves-val-accuracy", "axes", "heatmap", "accuracy-calibration",
        "reliability", "health", "best-so-far",
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
        extra: dict[str, Any] = {
            f"reward__a_rather_long_name_{at}": number + at for at in range(12)
        }
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
        figure = axes.draw(PlotData(told, Journals({}, {}, ()), "val/nats"))
        assert figure is not None
        return {axis.get_title(loc="left") for axis in figure.axes}

    for reference in ("bigram", "ngram4"):
        for rate in (0.1, 0.2):
            outputs.run(config(reference, optimizer__lr=rate), final=1.8 + rate)
    assert titles() == {""}
    outputs.run(config("bigram", optimizer__lr=0.1, model__n_layer=9))
    assert "mean over the other keys" in titles()


def test_an_axis_over_many_powers_has_plain_numbers(outputs: Outputs) -> None:
    for rate in (1e-4, 1e-3, 1e-1):
        outputs.run(config(optimizer__lr=rate))
    comparison = compare(load_runs(outputs.root).runs)
    with mpl.rc_context({"text.parse_math": False}):
        figure = axes.draw(PlotData(comparison, Journals({}, {}, ()), "val/nats"))
        assert figure is not None
        figure.draw_without_rendering()
        labels = {text.get_text() for text in figure.axes[0].get_xticklabels()}
    assert {"0.0001", "0.001", "0.01", "0.1"} <= labels
    assert not any("$" in label for label in labels)


def test_the_alarms_threshold_is_the_runs_own(outputs: Outputs) -> None:
    def alarms() -> list[float]:
        comparison = compare(load_runs(outputs.root).runs)
        figure = accuracy_calibration.draw(PlotData(comparison, Journals({}, {}, ()), "val/nats"))
        assert figure is not None
        (axis,) = figure.axes
        return [
            np.asarray(line.get_xdata())[0]
            for line in axis.get_lines()
            if line.get_linestyle() == ":"
        ]

    outputs.run(config(seed=0, health__calibration_error=0.2))
    assert alarms() == [0.2]
    outputs.run(config(seed=1, health__calibration_error=0.3))
    assert alarms() == []


def test_a_new_plot_is_one_module(
    demo_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "grad_variation.py").write_text(PLOT.format(each="section"))
    (folder / "by_metric.py").write_text(PLOT.format(each="metric"))
    monkeypatch.setattr(plots, "__path__", [*plots.__path__, str(folder)])
    runs = load_runs(demo_sweep)
    shown = compare(runs.runs, swept=runs.swept_keys, metrics=["val/nats"])
    written = {path.name for path in write_plots(runs, shown, tmp_path / "plots")}
    assert {"grad-variation.png", "grad-variation.svg"} <= written
    assert {"by-metric-val-nats.png", "by-metric-val-accuracy.svg"} <= written
    assert "curves-val-nats.png" in written
    for name in ("grad_variation", "by_metric"):
        del sys.modules[f"avatarl.report.plots.{name}"]


def test_plots_are_chosen_by_name_also_from_elsewhere(
    demo_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plotlab"
    folder.mkdir()
    (folder / "variation.py").write_text(PLOT.format(each="section"))
    monkeypatch.syspath_prepend(tmp_path)
    runs = load_runs(demo_sweep)
    shown = compare(runs.runs, swept=runs.swept_keys)
    chosen = find_plots(["plotlab.variation", "accuracy-calibration"])
    written = {path.stem for path in write_plots(runs, shown, tmp_path / "plots", chosen)}
    assert written == {"variation", "accuracy-calibration"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("curve", "did you mean"),
        ("canvas", "no plot has this name"),
        ("nowhere.such", "No module named"),
        (".curves", "--plots .curves"),
        ("os.path", "no draw"),
    ],
)
def test_a_name_that_is_no_plot_is_refused_with_the_valid_ones(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refusal:
        find_plots([name])
    assert "accuracy_calibration, axes, best_so_far, curves, health, heatmap, importance" in str(
        refusal.value
    )
