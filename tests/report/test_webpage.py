from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from avatarl.report import webpage
from avatarl.report.aggregate import compare
from avatarl.report.load import load_runs
from avatarl.report.metrics import AXES

from .conftest import Outputs, config

PAGE = Path(webpage.__file__).parent / "page"


def render(outputs: Outputs, selection: str = "", **options: Any) -> str:
    runs = load_runs(selection or outputs.root, output_dir=outputs.root)
    return webpage.render(runs, compare(runs.runs, swept=runs.swept_keys, **options))


def data(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="data"[^>]*>([^<]*)</script>', page)
    assert match is not None
    told: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(match[1])))
    return told


def xs(run: dict[str, Any], metric: str, axis: str) -> list[float]:
    """A curve's places on an axis, as the page reads them."""
    pace = run["places"][axis]
    own = pace if isinstance(pace, list) else [pace * step for step in run["places"]["steps"]]
    return [own[at] for at in run["curves"][metric][0]]


def test_one_file_that_asks_for_nothing(demo_sweep: Path, outputs: Outputs) -> None:
    page = render(outputs)
    markup = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.S)
    assert re.findall(r'(?:src|href)="(?!#|data:)', markup) == []
    assert "default-src 'none'" in page and "connect-src 'none'" in page
    for file in PAGE.glob("*.css"):
        assert "url(" not in file.read_text() and "@import" not in file.read_text()


def test_scales_that_are_not_linear_are_those_of_the_plots(outputs: Outputs) -> None:
    for lr in (0.001, 0.003, 0.01):
        for weight in (0.0, 0.25, 0.5):
            outputs.run(config(weight=weight, optimizer__lr=lr))
    (section,) = data(render(outputs))["sections"]
    assert section["scales"] == {"optimizer.lr": "log"}


def test_curves_and_alarms_of_the_page_share_the_axis_asked_for(outputs: Outputs) -> None:
    outputs.run(config(), alarms=("calibration",))
    runs = load_runs(outputs.root)
    told = data(webpage.render(runs, compare(runs.runs), AXES["seconds"]))
    (run,) = told["runs"]
    assert told["axis"] == "seconds"
    assert xs(run, "val/nats", "seconds")[-1] == pytest.approx(40)
    assert run["events"][0]["places"]["seconds"] == 20


def test_a_curve_can_be_read_over_every_axis(outputs: Outputs) -> None:
    outputs.run(config())
    (run,) = data(render(outputs))["runs"]
    # Characters and epochs go evenly with the steps: their pace says it all.
    assert run["places"]["characters"] == 2048
    ends = {"steps": 400, "characters": 400 * 2048, "epochs": 400 * 2048 / 900_000, "seconds": 40}
    for axis, end in ends.items():
        assert xs(run, "val/nats", axis)[-1] == pytest.approx(end)
        assert len(xs(run, "val/nats", axis)) == len(run["curves"]["val/nats"][1]) == 21


def test_seconds_of_a_run_that_waited_are_kept_one_by_one(outputs: Outputs) -> None:
    directory = outputs.run(config())
    journal = directory / "metrics.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line.get("step", 0) > 200:
            line["time/elapsed_s"] += 1000
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run,) = data(render(outputs))["runs"]
    at = xs(run, "val/nats", "steps").index(220)
    assert xs(run, "val/nats", "seconds")[at] == pytest.approx(1022)


def test_the_script_never_makes_markup_of_text() -> None:
    for file in PAGE.glob("*.js"):
        text = file.read_text()
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in text, f"{file.name} uses {way}"


def test_data_hold_what_the_runs_say(demo_sweep: Path, outputs: Outputs) -> None:
    told = data(render(outputs, "demo", against="control"))
    assert len(told["runs"]) == 21
    assert len(told["groups"]) == 7
    best = next(group for group in told["groups"] if group["best"])
    assert best["est"]["val/nats"][1] == pytest.approx(1.854)
    run = told["runs"][best["runs"][0]]
    assert {**told["base"], **run["config"]}["reference.name"] == "ngram4"
    _, ys, thinned = run["curves"]["health/clip_fraction"]
    assert max(ys) == 0.97 and thinned is False
    assert xs(run, "health/clip_fraction", "characters")[-1] == 400 * 2048
    assert run["samples"][0]["text"].startswith("ROMEO")
    # The command as typed may be a whole sweep's; this one repeats the run alone.
    assert run["command"] == f"avatarl reproduce {run['dir']}"
    assert run["prov"]["command"] == "python run.py reference=ngram4"
    assert run["events"][0]["alarm"] == "calibration"
    assert [r["state"] for r in told["runs"]].count("done") == 18
    failed = next(r for r in told["runs"] if r["state"] == "failed")
    assert failed["trace"] == "Traceback …"
    assert "ngram/bigram/nats" not in run["result"]


def test_text_of_runs_is_never_markup(outputs: Outputs) -> None:
    evil = "</script><script>alert(1)</script>"
    outputs.run({**config(), "name": evil}, sample=evil)
    outputs.run(config(reward__note=evil), state="failed", error=evil)
    runs = load_runs(outputs.root)
    page = webpage.render(runs, compare(runs.runs, title=evil + "@@DATA@@"))
    assert evil not in page
    assert "alert(1)</script>" not in page.replace("alert(1)&lt;/script&gt;", "")
    assert evil in {run["name"] for run in data(page)["runs"]}


def test_the_same_runs_give_the_same_data(demo_sweep: Path, outputs: Outputs) -> None:
    first, second = data(render(outputs)), data(render(outputs))
    first.pop("generated"), second.pop("generated")
    assert first == second


def test_a_page_too_large_is_thinned_and_keeps_its_spikes(
    demo_sweep: Path, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(render(outputs))
    monkeypatch.setattr(webpage, "MOST_BYTES", 40_000)
    page = render(outputs)
    assert len(page) < whole
    told = data(page)
    assert len(re.search(r'<script id="data"[^>]*>([^<]*)<', page)[1]) <= 40_000
    done = [run for run in told["runs"] if run["state"] == "done"]
    assert all(max(run["curves"]["health/clip_fraction"][1]) == 0.97 for run in done)
    assert all(run["curves"]["health/clip_fraction"][2] for run in done)


def test_runs_without_any_result_make_a_page(outputs: Outputs) -> None:
    outputs.run(config(), state="running")
    outputs.run(config(seed=1), state="failed")
    told = data(render(outputs))
    assert {run["state"] for run in told["runs"]} <= {"running", "failed"}
    running = next(run for run in told["runs"] if run["state"] == "running")
    assert running["result"]["val/nats"] > 0


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_the_pages_files_keep_to_a_hundred_columns(file: Path) -> None:
    assert [line for line in file.read_text().splitlines() if len(line) > 100] == []
