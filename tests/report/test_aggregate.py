from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from avatarl.errors import UserError
from avatarl.report.aggregate import compare
from avatarl.report.comparison import Comparison
from avatarl.report.load import load_runs

from .conftest import OTHER_CORPUS, Outputs, config


def comparison(outputs: Outputs, **options: Any) -> Comparison:
    runs = load_runs(outputs.root)
    return compare(runs.runs, **options)


@pytest.fixture
def demo_comparison(demo_sweep: Path) -> Comparison:
    runs = load_runs(demo_sweep)
    return compare(runs.runs, swept=runs.swept_keys)


def test_seeds_become_one_row_sorted_with_the_best_marked(demo_comparison: Comparison) -> None:
    (section,) = demo_comparison.sections
    rows = section.configurations
    assert [len(row.done) for row in rows] == [3, 3, 3, 1, 3, 2, 3]
    means = [row.estimates["val/nats"].mean for row in rows]
    assert means == sorted(means)
    assert means[1] == pytest.approx(1.854)
    # The control is better and yet not the best: it doesn't learn by reward.
    assert [row.best for row in rows] == [False, True, False, False, False, False, False]
    assert rows[0].is_control
    assert demo_comparison.keys == ("reference.name", "reward.confidence_weight")
    level = section.levels["ngram4"]
    assert (level["val/nats"], level["val/accuracy"]) == (1.953, 0.469)
    assert level["val/bits"] == pytest.approx(1.953 * math.log2(math.e))
    assert level["val/perplexity"] == pytest.approx(math.exp(1.953))


def test_unfinished_and_failed_seeds_are_named_and_never_averaged(
    demo_comparison: Comparison,
) -> None:
    rows = demo_comparison.sections[0].configurations
    (row,) = [row for row in rows if len(row.done) == 1]
    assert row.estimates["val/nats"].n == 1
    assert row.estimates["val/nats"].mean == pytest.approx(1.95)
    assert row.notes() == [
        "seed 1 failed at 45 %: RuntimeError: loss is nan",
        "seed 2 running at 45 %",
    ]
    (queued,) = [row for row in rows if len(row.done) == 2]
    assert queued.notes() == ["seed 2 new"]


def test_strides_are_never_mixed_and_the_usual_one_of_each_context_is_one(
    outputs: Outputs,
) -> None:
    for length, stride in ((8, None), (8, 1), (64, None), (64, 32), (64, 64), (8, 4)):
        outputs.run(config(model__context_length=length, trainer__eval_stride=stride))
    found = comparison(outputs)
    sections = {section.stride: section for section in found.sections}
    rows = {stride: len(section.configurations) for stride, section in sections.items()}
    assert rows == {None: 4, 64: 1, 4: 1}
    assert sections[64].title.endswith("label-revealing feedback · evaluated at stride 64")
    assert "trainer.eval_stride" in " ".join(found.warnings)


def test_corpora_and_tracks_are_never_mixed(outputs: Outputs) -> None:
    outputs.run(config(seed=0), final=1.9)
    outputs.run(config(seed=1), final=1.8, corpus=OTHER_CORPUS)
    outputs.run(config(seed=2), final=1.7, track="bandit")
    told = comparison(outputs)
    assert len(told.sections) == 3
    assert all(row.estimates["val/nats"].n == 1 for s in told.sections for row in s.configurations)
    assert sum(row.best for s in told.sections for row in s.configurations) == 3
    words = " ".join(told.warnings)
    assert "2 different corpora" in words
    assert "separate tracks" in words
    assert "no network" in words


def test_code_versions_get_rows_of_their_own_and_a_warning(outputs: Outputs) -> None:
    outputs.run(config(seed=0), code="a" * 64)
    outputs.run(config(seed=0), code="b" * 64)
    told = comparison(outputs)
    assert [len(row.done) for row in told.sections[0].configurations] == [1, 1]
    assert "2 versions of the code (aaaaaaaa, bbbbbbbb)" in told.warnings[0]


def test_group_by_averages_over_the_rest_and_says_so(demo_sweep: Path) -> None:
    runs = load_runs(demo_sweep)
    told = compare(runs.runs, group_by=["reference"])
    rows = {row.values["reference.name"]: row for row in told.sections[0].configurations}
    assert rows["ngram4"].estimates["val/nats"].n == 6
    assert rows["ngram4"].estimates["val/nats"].mean == pytest.approx((1.854 + 1.904) / 2)
    assert "over 2 configurations" in rows["ngram4"].notes()
    assert any("grouped by reference" in warning for warning in told.warnings)


def test_a_paired_test_over_shared_seeds(demo_sweep: Path) -> None:
    runs = load_runs(demo_sweep)
    told = compare(runs.runs, against='reference=="ngram4" and confidence_weight==0.0')
    rows = told.sections[0].configurations
    base = next(row for row in rows if row.baseline)
    assert base.against is None
    other = next(row for row in rows if row.is_control)
    mine = [run.number("val/nats") for run in other.done]
    theirs = [run.number("val/nats") for run in base.done]
    assert other.against is not None
    assert other.against.p == pytest.approx(stats.ttest_rel(mine, theirs).pvalue, rel=1e-6)
    assert other.against.difference == pytest.approx(1.702 - 1.904)
    assert other.against.adjusted_p is not None and other.against.adjusted_p >= other.against.p
    pairs = {len(row.done): row.against.n for row in rows if row.against}
    assert pairs[2] == 2 and pairs[1] == 1


def test_pairs_are_by_seed_not_by_order(outputs: Outputs) -> None:
    for seed, final in ((0, 1.0), (1, 2.0), (2, 3.0)):
        outputs.run(config("ngram4", seed=seed), final=final)
    for seed, final in ((1, 2.5), (2, 3.6), (3, 9.0)):
        outputs.run(config("bigram", seed=seed), final=final)
    told = comparison(outputs, against='reference=="ngram4"')
    (row,) = [row for row in told.sections[0].configurations if not row.baseline]
    assert row.against is not None
    assert row.against.n == 2
    assert row.against.difference == pytest.approx(0.55)


@pytest.mark.parametrize("against", ["control", "best"])
def test_baselines_by_word(demo_sweep: Path, against: str) -> None:
    runs = load_runs(demo_sweep)
    rows = compare(runs.runs, against=against).sections[0].configurations
    base = next(row for row in rows if row.baseline)
    assert base.is_control if against == "control" else base.best


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": ["val/natz"]}, "did you mean 'val/nats'?"),
        ({"sort": "val/natz"}, "did you mean 'val/nats'?"),
        ({"group_by": ["referense"]}, "did you mean 'reference.name'?"),
        ({"against": "nobody"}, "fits no configuration"),
        ({"against": 'reference=="ngram4"'}, "fits 2 configurations"),
        ({"against": "seed ="}, "--against"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    demo_sweep: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        compare(load_runs(demo_sweep).runs, **options)
    assert told in str(caught.value)
    assert "valid:" in str(caught.value)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("val/accuracy", "none"), ("-val/accuracy", "bigram"), ("reference", "bigram"),
        ("-reference.name", "trigram"), ("seconds", "none"),
    ],
)  # fmt: skip
def test_sorting(demo_sweep: Path, sort: str, first: str) -> None:
    told = compare(load_runs(demo_sweep).runs, sort=sort)
    if sort != "seconds":
        assert told.sections[0].configurations[0].values["reference.name"] == first
    else:
        means = [row.estimates["seconds"].mean for row in told.sections[0].configurations]
        assert means == sorted(means)


def test_seeds_that_wait_alike_are_named_together(outputs: Outputs) -> None:
    for seed in range(4):
        outputs.run(config(seed=seed), state="new" if seed else "done")
    (row,) = compare(load_runs(outputs.sweep()).runs).sections[0].configurations
    assert row.notes() == ["seeds 1, 2, 3 new"]


def test_a_section_has_the_keys_that_differ_in_it(outputs: Outputs) -> None:
    outputs.run(config("bigram", seed=0))
    outputs.run(config("ngram4", seed=0), final=1.8)
    outputs.run(config("ngram4", seed=0, optimizer__lr=0.1), track="bandit")
    told = comparison(outputs)
    assert told.keys == ("reference.name", "optimizer.lr")
    assert [section.keys for section in told.sections] == [("reference.name",), ()]


def test_a_seed_without_the_metric_is_named(outputs: Outputs) -> None:
    outputs.run(config(seed=0), final=1.9)
    result = outputs.run(config(seed=1)) / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"val/nats": None}))
    (row,) = comparison(outputs).sections[0].configurations
    assert row.estimates["val/nats"].n == 1
    assert "val/nats is of 1 of the 2 finished seeds, the rest has no finite value" in row.notes()


def test_grouped_by_seed_there_is_a_row_a_seed(demo_sweep: Path) -> None:
    rows = compare(load_runs(demo_sweep).runs, group_by=["seed"]).sections[0].configurations
    assert {(row.values["seed"], row.is_control) for row in rows} == {
        (seed, control) for seed in range(3) for control in (True, False)
    }


def test_a_heading_chooses_its_metric(demo_sweep: Path) -> None:
    told = compare(load_runs(demo_sweep).runs, metrics=["nats", "characters"], sort="ece")
    assert told.metrics == ("val/nats", "characters_seen")
    assert told.sort == "val/ece"
