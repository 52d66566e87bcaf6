from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from avatarl.report.aggregate import compare
from avatarl.report.comparison import Comparison
from avatarl.report.exports import RENDERERS, as_csv, as_json, as_latex, as_markdown
from avatarl.report.load import load_runs
from avatarl.report.table import grid
from avatarl.report.terminal import as_text

from .conftest import Outputs, config


@pytest.fixture
def told(demo_sweep: Path) -> Comparison:
    runs = load_runs(demo_sweep)
    return compare(runs.runs, swept=runs.swept_keys, against="control")


def test_levels_stand_where_they_rank(told: Comparison) -> None:
    lines = grid(told, told.sections[0]).lines
    kinds = [line.kind for line in lines]
    assert kinds == [
        "control", "run", "run", "run", "ngram", "run", "ngram", "run", "run", "ngram", "ngram",
    ]  # fmt: skip
    at = grid(told, told.sections[0]).headings.index("nats")
    shown = [float(line.cells[at].split()[0]) for line in lines]
    assert shown == sorted(shown)


@pytest.mark.parametrize("sort", ["-val/nats", "val/accuracy"])
def test_levels_rank_also_when_turned_round(demo_sweep: Path, sort: str) -> None:
    told = compare(load_runs(demo_sweep).runs, sort=sort)
    named = sort.removeprefix("-")
    section = told.sections[0]
    at = grid(told, section).headings.index(named.removeprefix("val/"))
    shown = [float(line.cells[at].split()[0]) for line in grid(told, section).lines]
    assert shown == sorted(shown, reverse=True)


def test_terminal_table_fits_its_width_and_names_what_it_hides(told: Comparison) -> None:
    wide, narrow = as_text(told, 200), as_text(told, 100)
    assert max(map(len, narrow.splitlines()[:20])) <= 100
    assert "not shown at this width" in narrow
    assert "not shown at this width" not in wide
    # Too narrow for even one metric: wider than asked for, but nothing is cut.
    for text in (wide, narrow, as_text(told, 40)):
        assert "★" in text and "1.8540 ±0.0099" in text and "4-gram level" in text
        assert "seed 1 failed at 45 %: RuntimeError: loss is nan" in " ".join(text.split())
        assert "1 of 3" in text


def test_csv_is_one_record_a_row_in_full(told: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(told))))
    assert [row["kind"] for row in rows].count("ngram") == 4
    best = next(row for row in rows if row["best"] == "true")
    assert best["reference.name"] == "ngram4"
    assert float(best["val/nats"]) == pytest.approx(1.854)
    assert float(best["val/nats/low"]) < 1.854 < float(best["val/nats/high"])
    assert best["seeds"] == "0; 1; 2"
    assert float(best["against/difference"]) == pytest.approx(0.152)


def test_json_is_strict_and_complete(told: Comparison) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    read = json.loads(as_json(told), parse_constant=refuse)
    assert len(read["rows"]) == 11
    assert read["rows"][0]["kind"] == "control"
    assert len(read["rows"][1]["run_ids"]) == 3


def test_markdown_and_latex_escape_what_runs_bring(outputs: Outputs) -> None:
    outputs.run({**config(), "name": "a|b <script>"})
    outputs.run({**config("bigram"), "name": r"100%_\& ~ ^ {x} $y$ #"}, final=2.0)
    told = compare(load_runs(outputs.root).runs)
    markdown, latex = as_markdown(told), as_latex(told)
    assert r"a\|b &lt;script&gt;" in markdown
    assert "<script>" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in rows}) == 1
    assert r"100\%\_\textbackslash{}\& \textasciitilde{} \textasciicircum{} \{x\} \$y\$ \#" in latex
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
    counts = {line.replace(r"\&", "").count("&") for line in body.splitlines() if "&" in line}
    assert len(counts) == 1


def test_terminal_markup_in_names_stays_text(outputs: Outputs) -> None:
    outputs.run({**config(), "name": "[bold red]x[/bold red]"}, plan=False)
    assert "[bold red]x[/bold red]" in as_text(compare(load_runs(outputs.root).runs), 160)


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_only_unfinished_runs_still_make_a_table(outputs: Outputs, name: str) -> None:
    outputs.run(config(seed=0), state="running")
    outputs.run(config(seed=1), state="failed")
    told = compare(load_runs(outputs.root).runs)
    assert "running at 45 %" in as_text(told)
    assert "so far" in as_text(told)
    assert RENDERERS[name](told)


def test_tables_say_what_is_the_same_all_over_them(outputs: Outputs) -> None:
    outputs.run(config("bigram", weight=0.0))
    outputs.run(config("ngram4", weight=0.0), final=1.8)
    outputs.run(config("ngram4", weight=1.0), track="bandit")
    told = compare(load_runs(outputs.root).runs)
    first, second = (grid(told, section).headings for section in told.sections)
    assert first[:3] == ("run", "reference", "n")
    assert second[:2] == ("run", "n")
    text = " ".join(as_text(told, 200).split())
    assert "label-revealing feedback: confidence_weight=0 throughout" in text
    assert "bandit feedback: reference=ngram4 confidence_weight=1 throughout" in text


def test_what_is_hidden_is_a_metric_even_if_a_key_has_its_heading(outputs: Outputs) -> None:
    for weight in (0.0, 1.0):
        outputs.run(config(weight=weight, reward__ece=weight), final=1.8 + weight)
    told = compare(load_runs(outputs.root).runs, metrics=["val/nats", "val/accuracy", "val/ece"])
    text = as_text(told, 60)
    assert "not shown at this width: ece (" in text
    headings = text.split("──")[0].split()
    assert headings[-5:] == ["weight", "reward.ece", "n", "nats", "accuracy"]


def test_the_columns_of_a_csv_are_the_same_whatever_leads(demo_sweep: Path) -> None:
    runs = load_runs(demo_sweep).runs
    first, second = (as_csv(compare(runs, sort=sort)) for sort in ("val/nats", "-val/nats"))
    assert first.splitlines()[0] == second.splitlines()[0]
    assert first.splitlines()[1] != second.splitlines()[1]
    assert first.startswith("corpus,corpus_sha256,track,kind,run,code,best")


def test_controls_are_told_apart_in_the_notes(outputs: Outputs) -> None:
    for rate in (0.1, 0.2):
        raw = config("none", objective="cross_entropy", optimizer__lr=rate)
        outputs.run(raw, state="failed" if rate > 0.1 else "done")
    assert "control lr=0.2: seed 0 failed" in as_text(compare(load_runs(outputs.root).runs), 200)


def test_how_many_runs_there_are_and_which_failed_stands_above_the_table(demo_sweep: Path) -> None:
    lines = as_text(load_runs(demo_sweep).compare(), 80).splitlines()
    assert lines[0] == "demo: 18 runs + 3 controls: 1 failed, 1 running, 1 new, 18 done"
    assert lines[1].startswith("reference=trigram confidence_weight=0.5: seed 1 failed")
    assert sum("failed" in line for line in lines) == 2
    assert lines[2].startswith("tinyshakespeare")


def test_where_it_is_narrow_keys_alone_tell_runs_apart(
    outputs: Outputs,
) -> None:
    outputs.run(config(weight=0.0))
    outputs.run(config(weight=0.5))
    outputs.run(config("none", objective="cross_entropy"))
    told = load_runs(outputs.root).compare()
    assert " run " in as_text(told, 200)
    narrow = as_text(told, 70)
    assert " run " not in narrow
    assert "4-gram level" in narrow
    assert any("○" in line and "control" in line for line in narrow.splitlines())


def test_so_far_is_the_figure_of_the_run_that_has_come_furthest(outputs: Outputs) -> None:
    for seed, share in ((0, 0.2), (1, 0.8)):
        outputs.run(config(seed=seed), state="running", share=share)
    told = compare(load_runs(outputs.root).runs, metrics=["characters_seen"])
    furthest = max(run.latest["characters_seen"] for run in load_runs(outputs.root))
    assert f"{furthest:,} so far" in as_text(told)


def test_control_characters_of_files_reach_no_terminal(outputs: Outputs) -> None:
    for seed, word in enumerate(["\x1b[31mred", "a\rb", "\x9b2J", "\u202eevil"]):
        outputs.run(config(seed=seed) | {"name": word, "note": {"text": word}})
    told = compare(load_runs(outputs.root).runs, swept=["note.text"])
    texts = [render(told) for render in RENDERERS.values()] + [as_text(told, 200)]
    for text in texts:
        assert "x1b[31m" in text or "u001b[31m" in text
        assert all(line.isprintable() for line in text.split("\n"))
