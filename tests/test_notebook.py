"""What a notebook shows, and the tutorial, cell by cell."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

import avatarl
from avatarl import notebook
from avatarl.errors import UserError
from avatarl.report.load import load_runs
from avatarl.runs.result import Result
from tests import tiny
from tests.report.conftest import Outputs, config, outputs

__all__ = ["outputs"]

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
QUICK = [
    *tiny.TINY, "tracking=files", "trainer.steps=4", "trainer.eval_positions=64",
    "trainer.sample_characters=5",
]  # fmt: skip


def test_text_is_text_in_tables_and_drawings() -> None:
    told = notebook.table(("<b>",), [("a & <i>\x1b[31m",)], title="<t>", notes=["<n>"])
    assert "<b>&lt;t&gt;</b>" in told
    assert "<th>&lt;b&gt;</th>" in told
    assert "<td>a &amp; &lt;i&gt;\\x1b[31m</td>" in told
    assert "<small>&lt;n&gt;</small>" in told
    drawn = notebook.as_html(Text("[bold] <i>", "bold"))
    assert "[bold] &lt;i&gt;" in drawn
    assert "font-weight: bold" in drawn


def test_results_are_short_and_stand_among_the_n_grams(tmp_path: Path) -> None:
    values = {"name": "x", "run_id": "0", "val/nats": 2.0, "val/accuracy": 0.5, "alarms": ["a"]}
    result = Result(tmp_path, {**values, "ngram/bigram/nats": 2.5})
    assert repr(result) == f"Result(x-0: 2.0000 nats, accuracy 0.5000, {tmp_path})"
    told = result._repr_html_()
    assert re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td>", told) == [
        ("x-0", "2.0000"), ("unigram", ""), ("bigram", "2.5000"), ("trigram", ""), ("ngram4", ""),
    ]  # fmt: skip
    assert "alarms raised: a" in told
    assert Result(tmp_path, {})._repr_html_()  # of an older version


def test_loaded_runs_are_short_and_have_tables_and_curves(outputs: Outputs, tmp_path: Path) -> None:
    for weight in (0.0, 0.5):
        outputs.run(config(weight=weight), final=2.0 + weight)
    outputs.run(config(weight=1.0), state="failed")
    runs = load_runs(output_dir=outputs.root)
    assert repr(runs).startswith("Runs(all runs: 3 runs: ")
    told = runs._repr_html_()
    assert "<th>confidence_weight</th><th>seed</th><th>state</th><th>nats</th>" in told
    assert told.count("<tr>") == 4
    assert "<td>2.5000</td>" in told
    compared = runs.compare(metrics=["val/nats"])
    assert repr(compared).startswith("Comparison(all runs: 3 runs: ")
    assert str(compared).splitlines()[0] in repr(compared)
    assert "<td>★</td>" in compared._repr_html_()
    picture = runs.plot("val/nats", x="steps")
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.save(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(UserError, match="'val/nts'; did you mean 'val/nats'"):
        runs.plot("val/nts")
    with pytest.raises(UserError, match="x='hours' is no axis; valid: characters"):
        runs.plot("val/nats", x="hours")


def test_a_sweep_from_python_is_one_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.argv)
    asked = [*QUICK, "reference=bigram,unigram", "sweep_name=s", "hydra.launcher.workers=1"]
    runs = avatarl.sweep([*asked, "hydra.launcher.control=false"])
    assert [run.state for run in runs] == ["done", "done"]
    assert (runs.title, runs.swept_keys) == ("s", ("reference.name",))
    assert repr(avatarl.load_runs("s")) == repr(runs) == "Runs(s: 2 runs: 2 done)"
    assert sys.argv == before
    alone = avatarl.run([*QUICK, "reference=bigram"])  # found, not computed again
    assert alone["run_id"] in {run.run_id for run in runs}


def test_what_a_sweep_cannot_be_asked_for_is_refused_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["reward=nonsense,match"], ["sed=1,2"], ["trainer.steps=-1,2"]):
        with pytest.raises(UserError, match=words[0].partition("=")[0]):
            avatarl.sweep(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    told: Any = nbformat.read(TUTORIAL, as_version=4)
    client = NotebookClient(told, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"})
    data = [out.data for cell in told.cells for out in cell.get("outputs", ()) if "data" in out]
    html = "".join(one.get("text/html", "") for one in data)
    assert "tutorial: 4 runs + 2 controls: 6 done" in html
    assert any("image/png" in one for one in data)
    assert "reference" in (tmp_path / "outputs/sweeps/tutorial/comparison.txt").read_text()
    assert len(list((tmp_path / "outputs/runs").iterdir())) == 6
