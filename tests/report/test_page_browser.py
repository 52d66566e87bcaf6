"""The page in a real browser: it loads quietly, and what a reader does to it works."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarl.report.aggregate import compare
from avatarl.report.curves import Curve, Journals, band, read_journals
from avatarl.report.load import Runs, apply_filter, load_runs
from avatarl.report.metrics import format_number
from avatarl.report.serve import Server
from avatarl.report.table import grid
from avatarl.report.webpage import write_page
from avatarl.report.words import row_name
from avatarl.runs.where import Filter, spoken_names
from tests.runs.test_where import CASES, HEADINGS, REFUSED, ROW, some_filter

from .conftest import OTHER_CORPUS, Outputs, config, demo

browser_module = pytest.importorskip("websocket", reason="needs websocket-client")

from .browser import Browser, find_chromium  # noqa: E402

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium"),
]
#: One of the demo's configurations, as lines are named.
CHOSEN = "reference=ngram4, confidence_weight=0.5"
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = Outputs(tmp_path_factory.mktemp("page") / "outputs")
    sweep = demo(outputs)
    outputs.run({**config("ngram4", 0.9, 0), "name": EVIL}, final=1.95, sample=EVIL, plan=False)
    outputs.run(config("bigram", 0.9, 0, reward__note=EVIL), state="failed", error=EVIL, plan=False)
    outputs.run(config("bigram", 0.1, 0), final=1.5, corpus=OTHER_CORPUS, plan=False)
    path = outputs.root / "page.html"
    runs = load_runs([sweep, outputs.root / "runs"])
    write_page(runs, compare(runs.runs, swept=runs.swept_keys, against="control"), path)
    return path


def reload(page: Path) -> Runs:
    return load_runs([page.parent / "sweeps" / "demo", page.parent / "runs"])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture
def shown(chromium: Browser, page: Path) -> Iterator[Browser]:
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open(page.as_uri())
    yield chromium
    assert chromium.errors == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "data:"))] == []


def column(browser: Browser, name: str) -> list[str]:
    """What stands in a column of the table, top to bottom."""
    cells: list[str] = browser.js(
        "(() => { const heads = [...document.querySelectorAll('#table th')];"
        f"const at = heads.findIndex((th) => th.textContent === {json.dumps(name)});"
        "return [...document.querySelectorAll('#table tbody tr:not(.notes)')]"
        ".map((tr) => tr.cells[at].textContent); })()"
    )
    return cells


def numbers(cells: list[str]) -> list[float]:
    """The finished means among cells."""
    found = [re.match(r"[\d.,]+(?!.* so far)", cell) for cell in cells]
    return [float(match[0].replace(",", "")) for match in found if match]


def test_it_opens_quietly_with_every_part_drawn(shown: Browser) -> None:
    assert shown.js("document.querySelectorAll('#table tbody tr[data-key]').length") == 9
    assert shown.js("Number(document.querySelector('#curve-plot canvas').dataset.lines)") >= 7
    assert shown.js("Number(document.querySelector('#par-plot canvas').dataset.kept)") == 23
    for plot in ("curve-plot", "par-plot", "scatter-plot", "axis-plot"):
        painted = (
            f"(() => {{ const c = document.querySelector('#{plot} canvas');"
            "const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return all.some((value) => value); })()"
        )
        assert shown.js(painted), plot
    assert "23 runs" in shown.js("document.getElementById('table-told').textContent")


def test_sorting(shown: Browser) -> None:
    nats = numbers(column(shown, "nats"))
    assert nats == sorted(nats)
    # What isn't finished has no mean to stand by.
    assert [cell.endswith(" so far") for cell in column(shown, "nats")][-1:] == [True]
    shown.click('#table button[data-sort="val/nats"]')
    nats = numbers(column(shown, "nats"))
    assert nats == sorted(nats, reverse=True)
    assert (
        shown.js("document.querySelector('th[aria-sort]').getAttribute('aria-sort')")
        == "descending"
    )
    shown.click('#table button[data-sort="reward.confidence_weight"]')
    weights = [float(w) for w in column(shown, "confidence_weight") if w]
    assert weights == sorted(weights)
    shown.click('#table button[data-sort="reference.name"]')
    order = [w for w in column(shown, "reference") if w]
    assert order == sorted(order, key=["none", "bigram", "trigram", "ngram4"].index)


def test_filtering_by_expression_and_by_words(shown: Browser) -> None:
    shown.type("#filter", 'reward.confidence_weight>0 and reference=="ngram4"')
    shown.wait("document.querySelectorAll('#table tbody tr[data-key]').length === 2")
    assert shown.js("avatarl.visibleRuns().length") == 4
    shown.wait("document.querySelector('#curve-plot canvas').dataset.lines === '2'")
    shown.type("#filter", "trigram failed")
    shown.wait("document.querySelectorAll('#table tbody tr[data-key]').length === 1")
    shown.type("#filter", "val/nats < 1.71 and seed in (0, 1)")
    shown.wait("avatarl.visibleRuns().length === 2")
    # Only two of the control's three seeds are left, and the mean is theirs.
    assert column(shown, "n")[0] == "2 of 3"
    assert numbers(column(shown, "nats"))[0] == pytest.approx(1.701)
    shown.type("#filter", "seed = 1")
    shown.wait("document.getElementById('filter-told').textContent.includes('equality is ==')")
    shown.type("#filter", "nokey > 1")
    shown.wait("document.getElementById('filter-told').textContent.includes('no run has the key')")
    assert shown.js("avatarl.visibleRuns().length") == 2
    shown.type("#filter", "")
    shown.wait("avatarl.visibleRuns().length === 23")
    assert shown.js("document.getElementById('filter-told').textContent") == ""


@pytest.mark.parametrize(
    "text",
    [
        'reference == "ngram4" or seed != 0', "not (reference == 'bigram') and seed < 2",
        "0 < confidence_weight <= 0.5", "reference in ('bigram', \"trigram\")",
        "reference not in ['bigram'] and is_control == False", "state == 'done' and val/nats < 1.9",
            "val/nats is None", "nats < 1.9 and characters > 0", "seed in (1,)",
        "(seed == 0 or seed == 1) and (val/nats > 1.8)", "data.path is None and not is_control",
        "seed > -1", "'gram' in reference", "data.path is not None",
        "seed == (0)", "(seed) in (0, 2)", "optimizer.betas == [0.9, 0.95]",
    ],
)  # fmt: skip
def test_the_pages_filter_means_what_the_command_lines_does(
    shown: Browser, page: Path, text: str
) -> None:
    expected = {run.run_id for run in load_runs(page.parent / "runs", where=text)}
    expected |= {
        run.run_id
        for run in load_runs(page.parent / "sweeps" / "demo", where=text)
        if run.state == "new"
    }
    got: list[str] = shown.js(
        f"(() => {{ const keeps = compileFilter({json.dumps(text)});"
        "return avatarl.data().runs.filter((run) => keeps(facts(run))).map((run) => run.id); })()"
    )
    assert set(got) == expected


def test_the_pages_filter_gives_every_answer_of_the_language(shown: Browser) -> None:
    rng, rows = random.Random(0), [dict(ROW, seed=seed) for seed in (0, 2)]
    texts = [text for text, _ in CASES] + [some_filter(rng) for _ in range(500)]
    names = spoken_names(ROW, HEADINGS)
    asked = json.dumps({"texts": texts, "rows": rows, "names": names})
    answers = shown.js(
        f"(() => {{ const asked = {asked}, kept = D; D = {{ ...D, names: asked.names }};"
        "const row = (row) => ({ get: (key) => row[key] });"
        "try { return asked.texts.map((text) => { const tree = resolve(parse(text));"
        "return asked.rows.map((one) => truth(evaluate(tree, row(one)))); }); }"
        "finally { D = kept; } })()"
    )
    expected = [[Filter(text, ROW, HEADINGS)(row) for row in rows] for text in texts]
    assert {True, False} <= {answer for pair in expected for answer in pair}
    assert dict(zip(texts, answers, strict=True)) == dict(zip(texts, expected, strict=True))


def test_the_pages_filter_refuses_what_the_language_does(shown: Browser) -> None:
    texts, names = [text for text, _ in REFUSED], spoken_names(ROW, HEADINGS)
    refused = shown.js(
        f"(() => {{ const kept = D; D = {{ ...D, names: {json.dumps(names)} }};"
        f"const refused = {json.dumps(texts)}.map((text) => {{"
        "try { resolve(parse(text)); return ''; }"
        "catch (error) { return error instanceof FilterError; } }); D = kept; return refused; })()"
    )
    assert refused == [True] * len(texts)


def table(browser: Browser) -> list[list[str]]:
    """Every cell of the table, without the marks beside a run's name."""
    rows: list[list[str]] = browser.js(
        "[...document.querySelectorAll('#table tbody tr:not(.notes)')]"
        ".map((tr) => [...tr.cells].map((td) => td.textContent))"
    )
    return [[row[0].removeprefix("★ ").removesuffix(" control"), *row[1:]] for row in rows]


@pytest.mark.parametrize(
    "options",
    [
        {"against": "control"},
        {"sort": "-val/nats"},
        {"sort": "val/accuracy", "interval": "bootstrap"},
        {"sort": "reward.confidence_weight", "against": "best"},
        {"sort": "val/bits", "metrics": ["val/accuracy", "seconds"]},
        {"group_by": ["reference.name"], "against": "control"},
    ],
    ids=str,
)
def test_the_pages_tables_are_the_terminals(
    chromium: Browser, page: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    runs = reload(page)
    comparison = compare(runs.runs, swept=runs.swept_keys, **options)
    write_page(runs, comparison, tmp_path / "page.html")
    chromium.open((tmp_path / "page.html").as_uri())
    for place, section in enumerate(comparison.sections):
        chromium.choose("#section", str(place))
        grid_of = grid(comparison, section)
        heads = chromium.js("[...document.querySelectorAll('#table th')].map((e) => e.textContent)")
        assert heads == list(grid_of.headings)
        assert table(chromium) == [list(line.cells) for line in grid_of.lines]
        # The same again where the page sorts by itself, by what it was sorted by.
        chromium.js(
            "avatarl.state.sort = { key: avatarl.data().sort, "
            "down: avatarl.data().descending }; drawTable()"
        )
        assert sorted(table(chromium)) == sorted(list(line.cells) for line in grid_of.lines)
        if "/" in comparison.sort:
            assert table(chromium) == [list(line.cells) for line in grid_of.lines]


def test_what_a_filter_leaves_is_averaged_as_by_the_command_line(
    shown: Browser, page: Path
) -> None:
    text = "seed < 2 and track == 'label_revealing' and corpus == 'tinyshakespeare'"
    shown.type("#filter", text)
    shown.wait("avatarl.visibleRuns().length < 23")
    whole = reload(page)
    metrics = compare(whole.runs, swept=whole.swept_keys).metrics
    left = apply_filter(text, whole.runs, whole.runs)
    comparison = compare(left, swept=whole.swept_keys, metrics=metrics)
    (section,) = comparison.sections
    lines = grid(comparison, section)
    at = lines.headings.index("nats")
    means = [line.cells[at] for line in lines.lines if not line.cells[at].endswith(" so far")]
    assert [cell for cell in column(shown, "nats") if not cell.endswith(" so far")] == means


def test_bands_and_numbers_are_the_command_lines(shown: Browser, page: Path) -> None:
    runs = reload(page)
    section = compare(runs.runs, swept=runs.swept_keys).sections[0]
    read = read_journals(runs, ["val/nats"])
    # The page holds five digits of each value.
    rounded = {
        run: {
            name: Curve(c.x, np.array([float(f"{y:.5g}") for y in c.y])) for name, c in own.items()
        }
        for run, own in read.curves.items()
    }
    journals = Journals(rounded, {}, ())
    for row in section.configurations:
        mean = band(row, journals, "val/nats")
        line = shown.js(
            "(() => { const line = avatarl.drawn().find((l) => l.title === "
            f"{json.dumps(row_name(section, row, keyed=True))}); return line.band ?? null; }})()"
        )
        if mean is None:
            assert line is None
            continue
        assert line["xs"] == mean.x.tolist()
        for name in ("mean", "low", "high"):
            if name in line:
                assert line[name] == pytest.approx(getattr(mean, name).tolist(), rel=1e-12)
    values = [0, 1.5, 0.03125, 2.5, 12345.678, 0.00001234, 3.2e-12, 1e6, 0.99995, 0.00009999]
    for digits in (0, 1, 3, 4):
        shown_as = shown.js(f"{json.dumps(values)}.map((value) => number(value, {digits}))")
        assert shown_as == [format_number(value, digits) for value in values]


def test_single_runs_and_the_state_of_each(shown: Browser) -> None:
    shown.click("#mode-runs")
    assert shown.js("document.querySelectorAll('#table tbody tr[data-key]').length") == 23
    states = column(shown, "state")
    assert {"done", "running at 45 %", "failed at 45 %", "new"} <= set(states)


def test_legend_and_table_tell_dotted_from_dashed(shown: Browser) -> None:
    drawn = "swatch('red', DASHES[dash]).style.borderTopStyle"
    styles = shown.js(f"['-', '--', ':', '-.'].map((dash) => {drawn})")
    assert styles == ["solid", "dashed", "dotted", "dashed"]
    found = "[...document.querySelectorAll('{} .swatch')].map((one) => one.style.borderTop)"
    legend, table = (shown.js(found.format(place)) for place in ("#legend", "#table"))
    assert sorted(legend) == sorted(table)


def test_toggling_lines(shown: Browser) -> None:
    lines = "Number(document.querySelector('#curve-plot canvas').dataset.lines)"
    before = shown.js(lines)
    shown.click("#legend label input")
    assert shown.js(lines) == before - 1
    shown.click("#show-none")
    assert shown.js(lines) == 0
    shown.click("#show-all")
    assert shown.js(lines) == before
    shown.choose("#lines", "runs")
    assert shown.js(lines) == 22


def test_hover_names_the_nearest_run_and_click_opens_it(shown: Browser) -> None:
    x, y = shown.js(
        "(() => { const plot = avatarl.curvePlot();"
        "document.getElementById('curves').scrollIntoView({behavior: 'instant'});"
        f"const line = avatarl.drawn().find((l) => l.title === '{CHOSEN}'), part = line.parts[0];"
        "const box = plot.over.getBoundingClientRect(), i = part.xs.length - 1;"
        "return [box.x + plot.x(part.xs[i]), box.y + plot.y(part.ys[i])]; })()"
    )
    shown.mouse("mouseMoved", x, y)
    tip = shown.js("document.querySelector('#curve-plot .tip').textContent")
    assert CHOSEN in tip and "1.8540" in tip and "mean of 3" in tip
    shown.drag(x, y, x, y)
    chosen = shown.js("document.getElementById('run-a').selectedOptions[0].textContent")
    assert chosen == f"avatarl · {CHOSEN} · seed 0"


def test_zooming_and_smoothing(shown: Browser) -> None:
    box = shown.js(
        "(() => { document.getElementById('curves').scrollIntoView({behavior: 'instant'});"
        "const b = document.querySelector('#curve-plot canvas.over').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]; })()"
    )
    x, y, wide, tall = box
    shown.drag(x + wide * 0.4, y + tall * 0.3, x + wide * 0.6, y + tall * 0.6)
    low, high = shown.js("avatarl.state.zoom.xs")
    assert 0 < low < high < 400 * 2048
    shown.click("#reset-zoom")
    assert shown.js("avatarl.state.zoom") is None
    shown.choose("#metric", "health/clip_fraction")
    peak = "Math.max(...avatarl.drawn()[0].parts[0].ys)"
    assert shown.js(peak) == pytest.approx(0.97)
    shown.js(
        "(() => { const s = document.getElementById('smooth'); s.value = 0.9;"
        "s.dispatchEvent(new Event('input')); })()"
    )
    assert 0.02 < shown.js(peak) < 0.3


def test_brushing_an_axis_keeps_its_runs(shown: Browser) -> None:
    x, low, high = shown.js(
        "(() => { document.getElementById('par-plot').scrollIntoView({behavior: 'instant'});"
        "const axes = avatarl.parAxes(), i = axes.findIndex((a) => a.key === 'reference.name');"
        "const b = document.querySelector('#par-plot canvas.over').getBoundingClientRect();"
        "const y = axes[i].place('ngram4');"
        "const at = b.y + avatarl.placeY(y);"
        "return [b.x + avatarl.axisX(i), at + 8, at - 8]; })()"
    )
    shown.drag(x, low, x, high)
    assert shown.js("avatarl.visibleRuns().length") == 7
    assert set(column(shown, "reference")) == {"ngram4", ""}
    shown.click("#clear-brush")
    assert shown.js("avatarl.visibleRuns().length") == 23


def test_one_run_beside_another(shown: Browser) -> None:
    ids: dict[str, str] = shown.js(
        "Object.fromEntries([...document.querySelectorAll('#run-a option')]"
        ".map((o) => [o.textContent, o.value]))"
    )
    shown.choose("#run-a", ids["avatarl · reference=bigram, confidence_weight=0 · seed 0"])
    shown.choose("#run-b", ids[f"avatarl · {CHOSEN} · seed 1"])
    keys = "[...document.querySelectorAll('#diff tr')].map((tr) => tr.dataset.config)"
    assert shown.js(keys) == [
        "reference.name", "reference.order", "reward.confidence_weight", "seed",
    ]  # fmt: skip
    row = "[...document.querySelector('#diff tr').cells].map((td) => td.textContent)"
    assert shown.js(row) == ["reference.name", "bigram", "ngram4"]
    shown.click("#only-different")
    assert shown.js(f"{keys}.length") > 25
    assert shown.js("document.querySelectorAll('#diff tr.differs').length") == 4
    assert shown.js("document.querySelectorAll('#run-view .sample').length") == 6
    commands = shown.js("[...document.querySelectorAll('.reproduce')].map((p) => p.textContent)")
    assert len(commands) == 2
    assert all(command.startswith("avatarl reproduce ") for command in commands)
    assert "python run.py reference=bigram" in shown.js(
        "document.getElementById('provenance').textContent"
    )
    assert "calibration raised" in shown.js("document.getElementById('events').textContent")
    assert "0123456789abcdef" in shown.js("document.getElementById('provenance').textContent")
    assert shown.js("document.querySelectorAll('#run-view svg polyline').length") == 2


def test_text_of_runs_stays_text(shown: Browser) -> None:
    shown.click("#mode-runs")
    assert EVIL in "".join(column(shown, "run"))
    for place in range(shown.js("document.querySelectorAll('#run-a option').length")):
        shown.js(
            f"(() => {{ const s = document.getElementById('run-a'); s.selectedIndex = {place};"
            "s.dispatchEvent(new Event('change')); })()"
        )
    assert shown.js("window.hacked") is None
    assert shown.js("document.querySelectorAll('main img, main script').length") == 0


def test_another_corpus_is_another_table(shown: Browser) -> None:
    assert shown.js("document.getElementById('section-choice').hidden") is False
    assert "2 different corpora" in shown.js("document.getElementById('warnings').textContent")
    shown.choose("#section", "1")
    assert shown.js("document.querySelectorAll('#table tbody tr[data-key]').length") == 1
    assert shown.js("avatarl.visibleRuns().length") == 1


def test_a_served_page_follows_its_runs(chromium: Browser, outputs: Outputs) -> None:
    import threading

    directory = outputs.run(config(seed=0), state="running")
    outputs.run(config(seed=1))

    def load() -> tuple[Any, Any]:
        runs = load_runs(outputs.root)
        return runs, compare(runs.runs)

    with Server(load, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            chromium.errors.clear()
            chromium.open(server.url)
            assert "1 running" in chromium.js("document.getElementById('summary').textContent")
            chromium.js("avatarl.state.lines = 'runs'")
            for file in directory.iterdir():
                file.unlink()
            directory.rmdir()
            time.sleep(0.1)
            outputs.run(config(seed=0))
            chromium.wait("document.getElementById('summary').textContent.includes('2 done')", 15)
            # What the reader chose is kept.
            assert chromium.js("avatarl.state.lines") == "runs"
            assert chromium.errors == []
        finally:
            chromium.send("Page.navigate", url="about:blank")
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_thousand_runs_open_within_three_seconds(chromium: Browser, outputs: Outputs) -> None:
    for reference in ("bigram", "trigram", "ngram4", "none"):
        for weight in range(50):
            for seed in range(5):
                outputs.run(config(reference, weight / 50, seed), final=1.7 + weight / 100)
    runs = load_runs(outputs.root)
    path = outputs.root / "page.html"
    write_page(runs, compare(runs.runs), path)
    assert path.stat().st_size <= 15_000_000
    chromium.errors.clear()
    assert chromium.open(path.as_uri()) < 3
    assert chromium.js("avatarl.visibleRuns().length") == 1000
    assert chromium.errors == []
