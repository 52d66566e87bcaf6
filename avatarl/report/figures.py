"""The plots of ``avatarl compare --plot``: each a PNG for the screen and an SVG for print."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from avatarl.report.aggregate import Comparison, Configuration, Section, show
from avatarl.report.curves import Journals, band, read_journals
from avatarl.report.load import Runs
from avatarl.report.metrics import describe, format_number
from avatarl.report.plot import (
    RC,
    WIDTH_IN,
    draw_levels,
    learning_curves,
    legend_beside,
    legend_label,
    millions,
    new_figure,
    row_name,
    save,
)
from avatarl.report.statistics import estimate
from avatarl.report.style import CONTROL, MARKERS, PALETTE, Look, looks, natural

#: The order in which the names of references are laid along an axis.
_LADDER = ("none", "uniform", "unigram", "bigram", "trigram", "ngram4")
#: Which metric's panel shows an alarm.
_ALARM_PANEL = {
    "calibration": "val/ece",
    "confidence_collapse": "health/collapse_gap",
    "gradient_stability": "health/grad_norm",
}
_THRESHOLDS = {"val/ece": 0.05, "health/collapse_gap": 0.05, "health/clip_fraction": 0.3}
_HEALTH = (
    "val/entropy", "reward/expected", "val/ece", "health/collapse_gap", "health/grad_norm",
    "health/clip_fraction", "train/kl",
)  # fmt: skip
_POOLED = "mean over the other keys"
_MOST_PANELS = 12
_MOST_PAIRS = 3


def write_plots(runs: Runs, comparison: Comparison, directory: Path) -> list[Path]:
    """Write every plot the runs have data for, as PNG and SVG.

    Returns:
        The files written.
    """
    logged = set(runs.metric_names())
    wanted = list(dict.fromkeys(["val/nats", "val/accuracy", *comparison.metrics]))
    timelines = [metric for metric in wanted if metric in logged]
    health = [metric for metric in _HEALTH if metric in logged]
    journals = read_journals(runs, list(dict.fromkeys([*timelines, *health])))
    metric = comparison.metrics[0]
    figures: dict[str, Callable[[], Figure | None]] = {}
    for name in timelines:
        figures[f"curves-{_file_name(name)}"] = _bind(learning_curves, comparison, journals, name)
    for index, section in enumerate(comparison.sections):
        tail = "" if len(comparison.sections) == 1 else f"-{_file_name(section.corpus)}-{index + 1}"
        figures[f"axes{tail}"] = _bind(swept_axes, comparison, section, metric)
        figures[f"heatmap{tail}"] = _bind(heat_maps, comparison, section, metric)
        figures[f"accuracy-calibration{tail}"] = _bind(accuracy_calibration, comparison, section)
        figures[f"reliability{tail}"] = _bind(reliability, comparison, section)
        figures[f"health{tail}"] = _bind(health_timelines, comparison, section, journals, health)
    written = []
    for name, draw in figures.items():
        with mpl.rc_context(RC):
            figure = draw()
            if figure is None:
                continue
            for kind in ("png", "svg"):
                path = directory / f"{name}.{kind}"
                save(figure, path)
                written.append(path)
    return written


def _bind(draw: Callable[..., Figure | None], *arguments: Any) -> Callable[[], Figure | None]:
    return lambda: draw(*arguments)


def _file_name(metric: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in metric) or "unnamed"


def _finished(section: Section, metric: str) -> list[Configuration]:
    return [row for row in section.configurations if metric in row.estimates]


def swept_axes(comparison: Comparison, section: Section, metric: str) -> Figure | None:
    """Draw the final metric against each swept key, one line for each value of another key."""
    rows = [row for row in _finished(section, metric) if not row.is_control]
    keys = [key for key in section.keys if len(_values(rows, key)) > 1]
    if not keys:
        return None
    across = min(2, len(keys))
    down = math.ceil(len(keys) / across)
    figure = new_figure(WIDTH_IN * (1 if across == 2 else 0.75), 3.2 * down)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axis, key in zip(panels, keys, strict=False):
        _swept_axis(axis, comparison, section, rows, key, metric)
    for axis in panels[len(keys) :]:
        axis.set_visible(False)
    return figure


def _swept_axis(
    axis: Axes,
    comparison: Comparison,
    section: Section,
    rows: Sequence[Configuration],
    key: str,
    metric: str,
) -> None:
    words = _values(rows, key)
    places, numeric = _places(words)
    others = [k for k in section.keys if k != key and 1 < len(_values(rows, k)) <= len(PALETTE)]
    series = others[0] if others else ""
    groups = _values(rows, series) if series else [""]
    for index, group in enumerate(groups):
        members = [row for row in rows if not series or _word(row, series) == group]
        count = len(groups)
        _series(axis, members, key, metric, places, numeric, index, group, count)
        if len(_values(members, key)) < len(members):
            axis.set_title(_POOLED, loc="left", fontsize=8)
    _control_line(axis, section, metric)
    axis.margins(x=0.08)
    draw_levels(axis, section, metric)
    axis.set_xlabel(comparison.headings[key])
    axis.set_ylabel(describe(metric).title)
    if not numeric:
        axis.set_xticks([places[word] for word in words], words)
        if sum(map(len, words)) > 40:
            axis.tick_params(axis="x", rotation=30)
    elif min(places.values()) > 0 and max(places.values()) / min(places.values()) >= 50:
        axis.set_xscale("log")
    if series:
        axis.legend(
            title=comparison.headings[series], loc="upper center", bbox_to_anchor=(0.5, -0.2),
            ncols=4, title_fontsize=7.5,
        )  # fmt: skip


def _series(
    axis: Axes,
    rows: Sequence[Configuration],
    key: str,
    metric: str,
    places: Mapping[str, float],
    numeric: bool,
    index: int,
    label: str,
    count: int,
) -> None:
    # Side by side rather than on top of each other, a little, where the axis is of words.
    spread = sorted(places.values())
    gap = min((b - a for a, b in pairwise(spread)), default=1.0)
    shift = 0.0 if numeric else (index - (count - 1) / 2) * 0.06 * gap
    x, y, below, above = [], [], [], []
    for word, place in places.items():
        values = [
            value
            for row in rows
            if _word(row, key) == word
            for run in row.done
            if (value := run.number(metric)) is not None
        ]
        told = estimate(values)
        if told is None:
            continue
        axis.plot(
            [place + shift] * len(values), values, ".", color=PALETTE[index], alpha=0.35,
            markersize=4, zorder=2,
        )  # fmt: skip
        x.append(place + shift)
        y.append(told.mean)
        below.append(0.0 if told.low is None else told.mean - told.low)
        above.append(0.0 if told.high is None else told.high - told.mean)
    axis.errorbar(
        x, y, yerr=[below, above], color=PALETTE[index], marker=MARKERS[index], markersize=5,
        linewidth=1.1, elinewidth=0.9, capsize=2, label=label, zorder=3,
    )  # fmt: skip


def _control_line(axis: Axes, section: Section, metric: str) -> None:
    for row in section.configurations:
        if row.is_control and metric in row.estimates:
            mean = row.estimates[metric].mean
            axis.axhline(mean, color=CONTROL, linewidth=1, linestyle="-.", zorder=1)
            axis.annotate(
                "control", xy=(0, mean), xycoords=("axes fraction", "data"), xytext=(3, 2),
                textcoords="offset points", fontsize=7, color=CONTROL,
            )  # fmt: skip


def _word(row: Configuration, key: str) -> str:
    return show(row.values[key]) if key in row.values else "–"


def _values(rows: Sequence[Configuration], key: str) -> list[str]:
    def place(word: str) -> tuple[int, float, str]:
        if word in _LADDER:
            return (0, float(_LADDER.index(word)), "")
        return natural(word)

    return sorted({_word(row, key) for row in rows}, key=place)


def _places(words: Sequence[str]) -> tuple[dict[str, float], bool]:
    try:
        numbers = {word: float(word) for word in words}
    except ValueError:
        return {word: float(index) for index, word in enumerate(words)}, False
    finite = all(math.isfinite(number) for number in numbers.values())
    return (numbers, True) if finite else ({w: float(i) for i, w in enumerate(words)}, False)


def heat_maps(comparison: Comparison, section: Section, metric: str) -> Figure | None:
    """Draw the final metric over each pair of swept keys, averaged over what is left."""
    rows = [row for row in _finished(section, metric) if not row.is_control]
    keys = [key for key in section.keys if len(_values(rows, key)) > 1]
    pairs = list(combinations(keys, 2))[:_MOST_PAIRS]
    if not pairs:
        return None
    figure = new_figure(min(WIDTH_IN * 1.4, 4.4 * len(pairs)), 3.4)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axis, (down, across) in zip(panels, pairs, strict=True):
        _heat_map(axis, figure, comparison, rows, down, across, metric)
    return figure


def _heat_map(
    axis: Axes,
    figure: Figure,
    comparison: Comparison,
    rows: Sequence[Configuration],
    down: str,
    across: str,
    metric: str,
) -> None:
    vertical, horizontal = _values(rows, down), _values(rows, across)
    cells = np.full((len(vertical), len(horizontal)), np.nan)
    most = 0
    for i, tall in enumerate(vertical):
        for j, wide in enumerate(horizontal):
            fit = [r for r in rows if _word(r, down) == tall and _word(r, across) == wide]
            most = max(most, len(fit))
            if fit:
                cells[i, j] = np.mean([row.estimates[metric].mean for row in fit])
    # Dark is good whichever way the metric runs; cividis reads alike for every kind of vision.
    colours = "cividis" if describe(metric).better <= 0 else "cividis_r"
    image = axis.imshow(cells, cmap=colours, aspect="auto")
    axis.grid(visible=False)
    axis.set_xticks(range(len(horizontal)), horizontal)
    axis.set_yticks(range(len(vertical)), vertical)
    axis.set_xlabel(comparison.headings[across])
    axis.set_ylabel(comparison.headings[down])
    if cells.size <= 80:
        low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                shade = (float(value) - low) / (high - low or 1.0)
                light = shade < 0.5 if colours == "cividis" else shade > 0.5
                axis.text(
                    j, i, format_number(float(value), min(3, describe(metric).digits)),
                    ha="center", va="center", fontsize=7, color="white" if light else "black",
                )  # fmt: skip
    bar = figure.colorbar(image, ax=axis, shrink=0.9)
    bar.set_label(describe(metric).title)
    if most > 1:
        axis.set_title(_POOLED, loc="left", fontsize=8)


def accuracy_calibration(comparison: Comparison, section: Section) -> Figure | None:
    """Draw accuracy against calibration error: top left is accurate and honest."""
    rows = [row for row in _finished(section, "val/accuracy") if row.done]
    points = [(row, *_pair_of(row)) for row in rows]
    points = [point for point in points if point[1] is not None and point[2] is not None]
    if not points:
        return None
    styles = looks(section.configurations, section.keys)
    figure = new_figure(WIDTH_IN, 3.6)
    axis = figure.subplots()
    handles, labels = [], []
    for row, x, y in points:
        look = styles[row.key]
        marker, _, _ = axis.errorbar(
            [x.mean], [y.mean], xerr=_bars(x), yerr=_bars(y), color=look.colour,
            marker=look.marker, markersize=6, linestyle="none", elinewidth=0.8, capsize=2,
        )  # fmt: skip
        if not look.muted:
            # Without the whiskers, which would only crowd the legend.
            handles.append(marker)
            labels.append(legend_label(section, row, "val/accuracy"))
    axis.axvline(_THRESHOLDS["val/ece"], color="#555555", linewidth=0.8, linestyle=":")
    axis.annotate(
        "alarm", xy=(_THRESHOLDS["val/ece"], 1), xycoords=("data", "axes fraction"),
        xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7, color="#444444",
    )  # fmt: skip
    axis.set_xlim(left=0)
    axis.margins(y=0.12)
    draw_levels(axis, section, "val/accuracy")
    axis.set_xlabel(describe("val/ece").title)
    axis.set_ylabel(describe("val/accuracy").title)
    legend_beside(axis, comparison, section, handles, labels)
    return figure


def _pair_of(row: Configuration) -> tuple[Any, Any]:
    ece = estimate([v for run in row.done if (v := run.number("val/ece")) is not None])
    accuracy = estimate([v for run in row.done if (v := run.number("val/accuracy")) is not None])
    return ece, accuracy


def _bars(told: Any) -> list[list[float]] | None:
    if told.low is None:
        return None
    return [[told.mean - told.low], [told.high - told.mean]]


def reliability(comparison: Comparison, section: Section) -> Figure | None:
    """Draw accuracy against confidence, a panel a configuration; the diagonal is honest."""
    rows = [row for row in section.configurations if any(_bins(run.result) for run in row.done)]
    if not rows:
        return None
    shown = rows[:_MOST_PANELS]
    across = min(4, len(shown))
    down = math.ceil(len(shown) / across)
    # Wide enough for the words below, also for a single panel.
    figure = new_figure(max(3.6, WIDTH_IN * across / 4 + 0.4), 2.1 * down + 0.4)
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axis, row in zip(panels.flatten(), shown, strict=False):
        axis.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle=":")
        for run in row.done:
            told = _bins(run.result)
            if told is None:
                continue
            confidence, accuracy, weight = told
            full = weight > 0
            axis.plot(confidence[full], accuracy[full], color=PALETTE[0], linewidth=0.9, alpha=0.6)
            axis.scatter(
                confidence[full], accuracy[full], s=4 + 120 * weight[full], color=PALETTE[0],
                alpha=0.6, linewidths=0,
            )  # fmt: skip
        axis.set_title("\n".join(_wrapped(row_name(section, row), 26)), fontsize=8)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for place, axis in enumerate(panels.flatten()):
        axis.set_visible(place < len(shown))
        # The lowest panel of a column may be in the last row but one.
        axis.tick_params(labelbottom=place + across >= len(shown))
    figure.supxlabel("confidence (probability of the likeliest character)", fontsize=9)
    figure.supylabel("held-out accuracy", fontsize=9)
    if len(rows) > len(shown):
        figure.suptitle(f"the best {len(shown)} of {len(rows)} configurations", fontsize=8)
    return figure


def _bins(result: Mapping[str, Any]) -> tuple[Any, Any, Any] | None:
    told = result.get("reliability")
    if not isinstance(told, Mapping):
        return None
    try:
        arrays = [
            np.asarray([np.nan if v is None else v for v in told[name]], dtype=np.float64)
            for name in ("confidence", "accuracy", "weight")
        ]
    except (KeyError, TypeError, ValueError):
        return None
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        return None
    return arrays[0], arrays[1], np.nan_to_num(arrays[2])


def health_timelines(
    comparison: Comparison, section: Section, journals: Journals, metrics: Sequence[str]
) -> Figure | None:
    """Draw entropy and health over the run, with alarms (▲ raised, ▽ cleared) and promotions."""
    rows = section.configurations
    drawn = [
        metric
        for metric in metrics
        if any(journals.curve(run.run_id, metric) for row in rows for run in row.runs)
    ]
    if not drawn:
        return None
    styles = looks(rows, section.keys)
    figure = new_figure(WIDTH_IN * 1.25, 1.5 * len(drawn) + 0.4)
    panels = figure.subplots(len(drawn), 1, squeeze=False, sharex=True)[:, 0]
    for axis, metric in zip(panels, drawn, strict=True):
        for row in sorted(rows, key=lambda row: not styles[row.key].muted):
            _timeline(axis, row, styles[row.key], journals, metric)
        if metric in _THRESHOLDS:
            axis.axhline(_THRESHOLDS[metric], color="#555555", linewidth=0.8, linestyle=":")
        axis.set_ylabel("\n".join(_wrapped(describe(metric).title)), fontsize=7.5)
        axis.margins(x=0.01)
    for row in rows:
        for run in row.runs:
            for event in journals.events.get(run.run_id, ()):
                _mark(panels, drawn, event, styles[row.key], journals, run.run_id)
    panels[-1].set_xlabel("characters seen   (▲ alarm raised, ▽ cleared, | promotion)")
    panels[-1].xaxis.set_major_formatter(FuncFormatter(millions))
    by_key = {str(line.get_label()): line for line in panels[0].get_lines()}
    shown = [row for row in rows if row.key in by_key][:24]
    if shown:
        figure.legend(
            [by_key[row.key] for row in shown],
            [legend_label(section, row, "val/nats") for row in shown],
            loc="outside right center",
        )
    return figure


def _wrapped(title: str, width: int = 18) -> list[str]:
    import textwrap

    return textwrap.wrap(title, width) or [title]


def _timeline(axis: Axes, row: Configuration, look: Look, journals: Journals, metric: str) -> None:
    mean = band(row, journals, metric)
    if mean is not None:
        axis.plot(
            mean.x, mean.mean, color=look.colour, linestyle=look.dash, linewidth=1,
            label=None if look.muted else row.key,
        )  # fmt: skip
    for run in row.unfinished:
        curve = journals.curve(run.run_id, metric)
        if curve is not None:
            axis.plot(curve.x, curve.y, color=look.colour, linestyle=(0, (1, 2)), linewidth=0.8)


def _mark(
    panels: Any,
    drawn: Sequence[str],
    event: Mapping[str, Any],
    look: Look,
    journals: Journals,
    run_id: str,
) -> None:
    x = event.get("characters_seen")
    if not isinstance(x, int | float):
        return
    if event.get("event") == "promotion":
        for axis in panels:
            axis.axvline(x, color=look.colour, linewidth=0.7, alpha=0.6)
        panels[0].annotate(
            str(event.get("to", "")), xy=(x, 1), xycoords=("data", "axes fraction"),
            fontsize=6.5, rotation=90, va="top", ha="right", color=look.colour,
        )  # fmt: skip
    elif event.get("event") == "alarm":
        told = (event.get("fact"), _ALARM_PANEL.get(str(event.get("alarm"))))
        metric = next((str(name) for name in told if name in drawn), drawn[0])
        curve = journals.curve(run_id, metric)
        if curve is None:
            return
        raised = event.get("state") == "raised"
        panels[drawn.index(metric)].plot(
            [x], [np.interp(x, curve.x, curve.y)], marker="^" if raised else "v",
            color=look.colour, markerfacecolor=look.colour if raised else "white", markersize=5,
            zorder=4,
        )  # fmt: skip
