"""The page of a search: rungs, the best so far, and each decision with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarl.report.aggregate import compare
from avatarl.report.load import load_runs
from avatarl.report.webpage import write_page

from .conftest import Outputs, demo

pytest.importorskip("websocket", reason="needs websocket-client")

from .browser import Browser, find_chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium"),
]


def written(sweep: Path, page: Path) -> str:
    runs = load_runs(sweep)
    write_page(runs, compare(runs.runs, swept=runs.swept_keys), page)
    return page.as_uri()


@pytest.mark.parametrize("width", [400, 1280])
def test_a_search_shows_its_rungs_and_a_decision_opens_its_run(
    searched: Path, tmp_path: Path, width: int
) -> None:
    with Browser(width=width) as chromium:
        chromium.open(written(searched, tmp_path / "page.html"))
        rows = "[...document.querySelectorAll('#rungs-view tbody tr')].map((row) => row.innerText)"
        first, end = (row.split("\t") for row in chromium.js(rows))
        assert first == ["0", "100", "3", "1", "2.1000", "–"]
        assert end == ["end", "400", "1", "", "2.0000", ""]
        assert chromium.js("avatarl.searchPlot().label()").endswith("1 runs")
        chromium.js("document.querySelector('#decisions-told').click()")
        chromium.wait("document.querySelectorAll('#decisions-view tbody tr').length === 10")
        chromium.click("#decisions-view tr:nth-child(7) button")
        chosen = chromium.js("avatarl.data().runs.find((run) => run.id === avatarl.state.a).told")
        assert chosen.startswith("paused")
        assert chromium.js("document.documentElement.scrollWidth") <= max(width, 500)
        assert chromium.errors == []


def test_a_grid_has_no_search_to_show(outputs: Outputs, tmp_path: Path) -> None:
    with Browser() as chromium:
        chromium.open(written(demo(outputs), tmp_path / "page.html"))
        assert chromium.js("['search', 'to-search'].every((id) => $(id).hidden)")
        assert chromium.errors == []
