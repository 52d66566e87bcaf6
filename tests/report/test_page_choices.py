"""What a reader chooses on the page: axes, metrics, files, a link, keys, touch, paper."""

from __future__ import annotations

import base64
import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from avatarl.report.aggregate import compare
from avatarl.report.load import load_runs
from avatarl.report.webpage import write_page

from .conftest import Outputs, config, demo

pytest.importorskip("websocket", reason="needs websocket-client")

from .browser import Browser, find_chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium"),
]
LINES = "Number(document.querySelector('#curve-plot canvas').dataset.lines)"
FOCUSED = "(document.activeElement.id || JSON.stringify({...document.activeElement.dataset}))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = Outputs(tmp_path_factory.mktemp("choices") / "outputs")
    sweep = demo(outputs)
    path = outputs.root / "page.html"
    runs = load_runs(sweep)
    write_page(runs, compare(runs.runs, swept=runs.swept_keys), path)
    return path


@pytest.fixture(scope="module")
def chromium(page: Path) -> Iterator[Browser]:
    with Browser() as started:
        folder = str(page.parent / "saved")
        started.send("Page.setDownloadBehavior", behavior="allow", downloadPath=folder)
        yield started


@pytest.fixture
def shown(chromium: Browser, page: Path) -> Iterator[Browser]:
    chromium.errors.clear()
    # A page of its own: what differs in the address alone would stay open.
    chromium.open("about:blank", "true")
    chromium.open(page.as_uri())
    yield chromium
    assert chromium.errors == []


def key(browser: Browser, name: str, modifiers: int = 0) -> None:
    text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        browser.send(
            "Input.dispatchKeyEvent", type=kind, key=name, modifiers=modifiers,
            **(text if kind == "keyDown" else {}),
        )  # fmt: skip


def focus(browser: Browser, selector: str) -> None:
    browser.js(f"document.querySelector({json.dumps(selector)}).focus()")


def saved(browser: Browser, page: Path, ending: str) -> Path:
    """Wait for a file that the page saved."""
    folder = page.parent / "saved"
    for _ in range(300):
        if found := [path for path in folder.glob(f"*{ending}") if path.stat().st_size]:
            return found[0]
        browser.js("new Promise((done) => setTimeout(done, 30))")
    raise TimeoutError(f"no {ending} in {folder}")


def test_curves_are_drawn_over_the_axis_chosen(shown: Browser) -> None:
    last = "avatarl.drawn()[0].parts[0].xs.at(-1)"
    ends = {"characters": 400 * 2048, "steps": 400, "epochs": 400 * 2048 / 9e5, "seconds": 40}
    for axis, end in ends.items():
        shown.choose("#x", axis)
        assert shown.js(last) == pytest.approx(end)
        assert axis in shown.js(
            "document.querySelector('#curve-plot canvas').getAttribute('aria-label')"
        )
        low, high = shown.js("avatarl.curvePlot().xs")
        assert low == 0 and end <= high < 1.1 * end


def test_metrics_stand_side_by_side_and_zoom_together(shown: Browser) -> None:
    shown.choose("#add-metric", "train/loss")
    shown.choose("#add-metric", "val/accuracy")
    shown.choose("#add-metric", "val/accuracy")
    assert shown.js("avatarl.panels().map((panel) => panel.metric)") == [
        "val/nats", "train/loss", "val/accuracy",
    ]  # fmt: skip
    shown.click("#legend label input")
    drawn = "[...document.querySelectorAll('#curve-plots canvas[role=img]')]"
    assert len(set(shown.js(f"{drawn}.map((canvas) => canvas.dataset.lines)"))) == 1
    shown.js("zoomTo([1e5, 2e5], [2, 3], 'val/nats')")
    assert shown.js("avatarl.panels().map(({ plot }) => plot.xs)") == [[1e5, 2e5]] * 3
    assert shown.js("avatarl.panels()[0].plot.ys") == [2, 3]
    low, high = shown.js("avatarl.panels()[1].plot.ys")
    assert 1.5 < low < high < 4.2
    shown.click("#curve-plots figure:nth-child(2) button")
    assert shown.js("avatarl.panels().map((panel) => panel.metric)") == ["val/nats", "val/accuracy"]


def test_a_link_shows_what_its_sender_saw(shown: Browser, page: Path) -> None:
    assert shown.js("location.hash") == ""
    shown.type("#filter", "seed<2 and reference != 'bigram'")
    shown.choose("#add-metric", "train/loss")
    shown.choose("#x", "epochs")
    shown.choose("#colour", "reference.name")
    shown.click("#mode-runs")
    shown.click('#table button[data-sort="seconds"]')
    shown.click("#log")
    shown.click("#legend label input")
    shown.click("#only-different")
    shown.js("avatarl.state.brushes = { 'val/nats': [0.5, 1] }; refreshRuns(); 0")
    shown.js("zoomTo([0.1, 0.9], [2, 3], 'val/nats')")
    shown.choose("#run-b", "")
    shown.wait("location.hash.includes('beside=') && location.hash.includes('zoom=')")
    seen = "[asParts(), document.getElementById('table').textContent, avatarl.drawn().length]"
    before, link = shown.js(seen), shown.js("location.href")
    assert "filter=seed%3C2" in link and "metrics=val/nats,train/loss" in link
    shown.open("about:blank", "true")
    shown.open(link)
    assert shown.js(seen) == before
    assert shown.js("document.getElementById('filter').value") == "seed<2 and reference != 'bigram'"
    # What isn't there is passed over; the links to parts of the page leave the address alone.
    shown.open("about:blank", "true")
    shown.open(f"{page.as_uri()}#metrics=no/such&x=moons&run=gone&sort=-nowhere&zoom=a,b&q=%")
    assert shown.js("avatarl.state.metrics") == ["val/nats"]
    assert shown.js("avatarl.state.x") == "characters"
    shown.click("nav a[href='#axes']")
    assert "#axes" not in shown.js("location.href")


def test_the_table_is_saved_as_csv_with_numbers_in_full(shown: Browser, page: Path) -> None:
    shown.type("#filter", "reference == 'ngram4'")
    shown.wait("avatarl.visibleRuns().length === 6")
    shown.click("#csv")
    rows = list(csv.DictReader(saved(shown, page, ".csv").open()))
    runs = load_runs(page.parent / "sweeps" / "demo", where="reference == 'ngram4'")
    whole = load_runs(page.parent / "sweeps" / "demo")
    section = compare(runs.runs, swept=whole.swept_keys).sections[0]
    for row in section.configurations:
        (mine,) = [
            one for one in rows
            if one["reward.confidence_weight"] == f"{row.values['reward.confidence_weight']:g}"
        ]  # fmt: skip
        average = row.estimates["val/nats"]
        for name, value in (("", average.mean), ("/low", average.low), ("/high", average.high)):
            assert float(mine[f"val/nats{name}"]) == pytest.approx(value, rel=1e-9)


def test_plots_are_saved_as_pictures_with_their_legend(shown: Browser, page: Path) -> None:
    for plot in ("curve-plot", "par-plot"):
        for place in (1, 2):
            shown.click(f"#{plot} .tools button:nth-child({place})")
    picture = ET.parse(saved(shown, page, "val-nats.svg")).getroot()
    words = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    line = "reference=ngram4, confidence_weight=0.5"
    assert {"characters seen", "held-out nats per character", line, "4-gram"} <= set(words)
    strokes = picture.findall(".//{http://www.w3.org/2000/svg}path[@stroke]")
    colours = {path.get("stroke") for path in strokes}
    assert {line["colour"] for line in shown.js("avatarl.drawn()")} <= colours
    assert ET.parse(saved(shown, page, "sweep-axes.svg")).getroot().tag.endswith("svg")
    for name in ("val-nats", "sweep-axes"):
        assert saved(shown, page, f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_better_is_up_on_every_parallel_axis(shown: Browser) -> None:
    axes = "avatarl.parAxes().filter(({ key }) => info(key).better)"
    placed: list[list[Any]] = shown.js(
        f"{axes}.map((axis) => [info(axis.key).better, ...[0, 1].map((end) => "
        "axis.place(extent(sectionRuns().map(axis.read).filter(finite), 0)[end]))])"
    )
    assert len(placed) >= 3
    for better, least, most in placed:
        assert (least, most) == ((1, 0) if better < 0 else (0, 1))


@pytest.mark.parametrize(
    ("key", "values", "steps"),
    [
        ("optimizer__lr", (0.0003, 0.003, 0.03, 0.3), (1, 1, 1)),
        # From 0 to the least above it is half a power of ten.
        ("reward__confidence_weight", (0.0, 0.01, 0.1, 1.0), (0.5, 1, 1)),
        ("reward__confidence_weight", (0.0, 0.2, 0.4, 0.6), (1, 1, 1)),
    ],
)
def test_an_axis_is_logarithmic_where_its_values_are(
    key: str, values: tuple[float, ...], steps: tuple[float, ...], chromium: Browser,
    outputs: Outputs,
) -> None:  # fmt: skip
    for value in values:
        swept: dict[str, Any] = {key: value}
        outputs.run(config(**swept), final=2 + value / 10)
    runs, path = load_runs(outputs.root), outputs.root / "page.html"
    write_page(runs, compare(runs.runs), path)
    chromium.errors.clear()
    chromium.open(path.as_uri())
    for places in (
        "axisPlot.points.map(({ x }) => x)",
        "parLines.map(({ points }) => -points[0][1])",
    ):
        at: list[float] = sorted(chromium.js(places))
        gaps = [(b - a) / (at[-1] - at[0]) for a, b in pairwise(at)]
        assert gaps == pytest.approx([step / sum(steps) for step in steps])
    assert chromium.errors == []


def test_a_run_alone_is_shown_whole_and_held_against_nothing(
    chromium: Browser, outputs: Outputs
) -> None:
    run = outputs.run(config())
    runs, path = load_runs(run), outputs.root / "page.html"
    write_page(runs, compare(runs.runs), path)
    chromium.errors.clear()
    chromium.open(path.as_uri())
    seen = "[...document.querySelectorAll('#axes, #to-axes, #run-b, #only-different')]"
    assert chromium.js(f"{seen}.map((part) => part.getClientRects().length)") == [0] * 4
    keys = chromium.js("document.querySelectorAll('#diff [data-config]').length")
    assert keys == chromium.js("Object.keys(D.base).length")
    assert chromium.errors == []


def test_every_plot_has_a_role_a_label_and_a_table(shown: Browser) -> None:
    labels = shown.js(
        "[...document.querySelectorAll('canvas:not(.over)')]"
        ".map((canvas) => [canvas.getAttribute('role'), canvas.getAttribute('aria-label')])"
    )
    assert len(labels) > 8
    assert all(role == "img" and label for role, label in labels)
    for plot, rows in (("curve", 9), ("par", 21), ("scatter", 18), ("axis", 18)):
        shown.click(f"#{plot}-plot summary")
        shown.wait(f"document.querySelectorAll('#{plot}-plot tbody tr').length === {rows}")
    # It follows what is shown.
    shown.type("#filter", "seed == 0")
    shown.wait("document.querySelectorAll('#par-plot tbody tr').length === 7")
    assert shown.js("document.querySelectorAll('#run-view .behind tbody tr').length") > 10


def test_keys_do_what_the_mouse_does(shown: Browser) -> None:
    focus(shown, "#curve-plot canvas.over")
    key(shown, "ArrowDown")
    told = "document.querySelector('#curve-plot .tip').textContent"
    assert shown.js(f"{told}.startsWith(avatarl.drawn()[0].title)")
    first = shown.js(told)
    key(shown, "ArrowLeft")
    assert shown.js(told) != first
    key(shown, "ArrowDown")
    assert shown.js(f"{told}.startsWith(avatarl.drawn()[1].title)")
    key(shown, "+")
    assert shown.js("avatarl.state.zoom.xs[0]") > 0
    key(shown, "Enter")
    assert shown.js("avatarl.state.a === avatarl.drawn()[1].parts[0].run.id")
    key(shown, "Escape")
    assert shown.js("avatarl.state.zoom") is None
    focus(shown, "#par-plot canvas.over")
    for name in ("ArrowRight", "ArrowRight", "ArrowDown"):
        key(shown, name)
    ((brushed, ends),) = shown.js("Object.entries(avatarl.state.brushes)")
    assert brushed == shown.js("avatarl.parAxes()[2].key") and ends == pytest.approx([0, 0.95])
    assert shown.js("avatarl.visibleRuns().length") < 21
    key(shown, "Escape")
    assert shown.js("avatarl.visibleRuns().length") == 21
    focus(shown, "#scatter-plot canvas.over")
    key(shown, "ArrowRight")
    assert "calibration error" in shown.js(
        "document.querySelector('#scatter-plot .tip').textContent"
    )
    key(shown, "Enter")
    assert shown.js("avatarl.state.a") in shown.js("avatarl.visibleRuns().map((run) => run.id)")


def test_focus_stays_where_it_was_when_parts_are_drawn_anew(shown: Browser) -> None:
    focus(shown, '#table button[data-sort="val/accuracy"]')
    key(shown, "Enter")
    assert json.loads(shown.js(FOCUSED)) == {"sort": "val/accuracy"}
    focus(shown, "#table tr[data-key]")
    key(shown, "ArrowDown")
    row = shown.js(FOCUSED)
    key(shown, "Enter")
    assert shown.js(FOCUSED) == row
    assert shown.js("document.activeElement.classList.contains('picked')")
    focus(shown, "#legend label:nth-child(2) input")
    before = shown.js(LINES)
    key(shown, " ")
    assert shown.js(LINES) == before - 1
    assert shown.js("document.activeElement.closest('label') === $('legend').children[1]")


def test_a_finger_is_told_of_a_run_before_it_opens(shown: Browser) -> None:
    shown.send("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        x, y = shown.js(
            "(() => { document.getElementById('curves').scrollIntoView({behavior: 'instant'});"
            "const plot = avatarl.curvePlot(), part = avatarl.drawn()[2].parts[0];"
            "const box = plot.over.getBoundingClientRect(), i = part.xs.length - 1;"
            "return [box.x + plot.x(part.xs[i]), box.y + plot.y(part.ys[i])]; })()"
        )
        before = shown.js("avatarl.state.a")
        for opened in (False, True):
            for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
                shown.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)
            assert shown.js("document.querySelector('#curve-plot .tip').hidden") is False
            assert (shown.js("avatarl.state.a") != before) is opened
    finally:
        shown.send("Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_both_widths_in_both_schemes(shown: Browser, scheme: str, width: int) -> None:
    shown.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    shown.send(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
        mobile=False,
    )  # fmt: skip
    try:
        shown.choose("#add-metric", "train/loss")
        shown.wait(f"document.documentElement.clientWidth === {width}")
        shown.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert shown.js("document.documentElement.scrollWidth") <= width
        for plot in ("curve-plot", "curve-plot-2", "par-plot", "scatter-plot", "axis-plot"):
            wide, own = shown.js(
                f"[$('{plot}').clientWidth, document.querySelector('#{plot} canvas').width]"
            )
            assert 0 < wide == own
            # The sweep's axes scroll in a box of their own.
            assert own <= width or plot == "par-plot"
        # Paper is light whatever the screen is.
        shown.js("dispatchEvent(new Event('beforeprint')); 0")
        assert shown.js("css('--card')") == "#ffffff"
        drawings = "document.querySelectorAll('.plot > svg.paper').length"
        assert shown.js(drawings) == shown.js("document.querySelectorAll('.plot').length")
        shown.js("dispatchEvent(new Event('afterprint')); 0")
        assert shown.js(drawings) == 0
        assert (shown.js("css('--card')") == "#ffffff") is (scheme == "light")
    finally:
        shown.send("Emulation.clearDeviceMetricsOverride")
        shown.send("Emulation.setEmulatedMedia", features=[])


def test_it_prints_with_every_plot(shown: Browser) -> None:
    told = shown.send("Page.printToPDF", printBackground=True)
    assert base64.b64decode(told["data"]).startswith(b"%PDF")
    assert shown.js("document.querySelectorAll('svg.paper').length") == 0
