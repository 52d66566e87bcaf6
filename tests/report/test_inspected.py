"""What kept checkpoints think, on the comparison's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarl import composition
from avatarl.errors import DataError
from avatarl.report import inspected as module
from avatarl.report.aggregate import compare
from avatarl.report.comparison import Comparison
from avatarl.report.inspected import inspected
from avatarl.report.load import Runs, load_runs
from avatarl.report.webpage import write_page
from avatarl.training import execute
from avatarl.training.inspection import look
from avatarl.training.stored import load_policy
from tests.cli.conftest import QUICK

from .conftest import Outputs, config

TEXT = "the "


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Two configurations, the first with two seeds; every step is kept."""
    folder = tmp_path_factory.mktemp("inspected")
    often = ["trainer.checkpoint_every_s=0", "trainer.keep_checkpoints=20", "trainer.log_every=1"]
    for words in (["seed=0"], ["seed=1"], ["optimizer.lr=0.01"]):
        execute(composition.compose([*QUICK, *often, *words, f"output_dir={folder}"]))
    return load_runs(folder)


@pytest.fixture
def comparison(runs: Runs) -> Comparison:
    return compare(runs.runs)


def test_a_run_of_each_configuration_is_asked_at_checkpoints_from_first_to_last(
    runs: Runs, comparison: Comparison
) -> None:
    told, problems = inspected(comparison, TEXT)
    rows = comparison.sections[0].configurations
    assert list(told["runs"]) == [row.runs[0].run_id for row in rows]
    assert problems == []
    for run in runs:
        if (views := told["runs"].get(run.run_id)) is None:
            continue
        kept = run.folder.checkpoint_steps()
        steps = [view["step"] for view in views]
        assert len(kept) > len(steps) == module.MOST_CHECKPOINTS
        assert (steps[0], steps[-1]) == (kept[0], kept[-1])
        # One after another in one learner, each is what it is alone.
        alone = look(*load_policy(run.folder, steps[2]), text=TEXT, characters=300)
        numbers = [
            (one.probability, one.logprob, one.reference, one.reward, one.advantage, one.push)
            for one in alone["choices"]
        ]
        for row, expected in zip(views[2]["choices"], numbers, strict=True):
            assert row[2:] == pytest.approx(list(expected), rel=1e-4)
        assert [row[1] for row in views[2]["passage"]] == pytest.approx(
            [one.probability for one in alone["passage"]], rel=1e-4
        )


def test_what_is_asked_is_bounded_and_what_is_left_out_told(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 1)
    monkeypatch.setattr(module, "MOST_CHECKPOINTS", 2)
    told, problems = inspected(comparison, TEXT)
    ((_, views),) = told["runs"].items()
    assert len(views) == 2
    assert problems == ["inspected are the best 1 of 2 configurations"]


def test_a_run_that_cannot_be_asked_is_named(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, problems = inspected(comparison, "Ω")
    assert told["runs"] == {} and len(problems) == 2
    assert all("isn't inspected" in problem for problem in problems)
    with pytest.raises(DataError):
        look(*load_policy(comparison.sections[0].configurations[0].runs[0].folder), text="Ω")


def test_runs_without_checkpoints_have_nothing_to_inspect(outputs: Outputs) -> None:
    outputs.run(config())
    told, problems = inspected(compare(load_runs(outputs.root).runs), TEXT)
    assert told["runs"] == {} and problems == ["nothing to inspect: no run has a checkpoint"]


@pytest.fixture
def shown(runs: Runs, comparison: Comparison, tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("websocket", reason="needs websocket-client")
    from .browser import Browser, find_chromium

    if find_chromium() is None:
        pytest.skip("needs chromium")
    page = tmp_path / "page.html"
    write_page(runs, comparison, page, inspect=TEXT)
    with Browser() as browser:
        browser.open(page.as_uri())
        yield browser
        assert browser.errors == []


@pytest.mark.browser
def test_the_page_shows_checkpoints_side_by_side(shown: Any, comparison: Comparison) -> None:
    told, _ = inspected(comparison, TEXT)
    assert shown.js("[$('game').hidden, $('to-game').hidden]") == [False, False]
    options = "[...document.querySelectorAll('#game-run option')].map((option) => option.value)"
    assert set(shown.js(options)) == set(told["runs"])
    for run_id, views in told["runs"].items():
        shown.choose("#game-run", run_id)
        assert shown.js("document.querySelectorAll('#game-view > section').length") == len(views)
        last = "document.querySelector('#game-view > section:last-child')"
        assert shown.js(f"{last}.querySelectorAll('tbody tr').length") == len(views[-1]["choices"])
        first = shown.js(f"[...{last}.querySelector('tbody tr').cells].map((td) => td.textContent)")
        mark, _, probability, *_ = views[-1]["choices"][0]
        assert first[0] == mark and float(first[2]) == pytest.approx(probability, abs=1e-4)
        wrong = sum(not right for *_, right in views[-1]["passage"])
        assert shown.js(f"{last}.querySelectorAll('.passage .off').length") == wrong
        assert shown.js(f"{last}.querySelector('.passage').textContent") == "".join(
            character for character, *_ in views[-1]["passage"]
        )
    shown.choose("#game-run", other := shown.js(options)[-1])
    shown.wait(f"location.hash.includes('game={other}')")
