from __future__ import annotations

from pathlib import Path

import pytest

from avatarl.runs.find import select
from tests.report.conftest import Outputs, config


@pytest.fixture
def mixed(outputs: Outputs) -> Outputs:
    for seed in range(2):
        outputs.run(config("ngram4", seed=seed))
    outputs.sweep("demo")
    outputs.planned.clear()
    outputs.run({**config("bigram"), "name": "other"})
    outputs.sweep("second")
    return outputs


def names(words: list[str | Path], outputs: Outputs) -> list[str]:
    return sorted(
        s.folder.path.name.rpartition("-")[0] for s in select(words, outputs.root).sources
    )


def test_a_sweep_by_name_path_and_plan(mixed: Outputs) -> None:
    sweep = mixed.root / "sweeps" / "demo"
    for word in ("demo", sweep, sweep / "plan.json"):
        assert names([word], mixed) == ["avatarl", "avatarl"]


def test_a_run_by_name_id_prefix_and_path(mixed: Outputs) -> None:
    run = next((mixed.root / "runs").glob("other-*"))
    identity = run.name.rpartition("-")[2]
    for word in ("other", run.name, identity, identity[:7], run, run / "result.json"):
        assert names([word], mixed) == ["other"]


def test_globs_are_tried_among_sweeps_and_runs(mixed: Outputs) -> None:
    assert names(["avatarl-*"], mixed) == ["avatarl", "avatarl"]
    assert names(["de*"], mixed) == ["avatarl", "avatarl"]
    assert names([f"{mixed.root}/runs/*"], mixed) == ["avatarl", "avatarl", "other"]


def test_no_word_means_every_run_and_no_run_comes_twice(mixed: Outputs) -> None:
    assert len(names([], mixed)) == 3
    assert len(names(["demo", "second", "avatarl-*", mixed.root / "runs"], mixed)) == 3


def test_an_unknown_word_is_told_and_the_rest_is_found(mixed: Outputs) -> None:
    chosen = select(["demo", "secnd"], mixed.root)
    assert len(chosen.sources) == 2
    assert "'secnd'" in chosen.missing[0]
    assert "did you mean 'second'?" in chosen.missing[0]
    assert "valid:" in chosen.missing[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": 3}', '{"runs": [{"id": "x"}]}'])
def test_a_broken_plan_is_told(mixed: Outputs, text: str) -> None:
    (mixed.root / "sweeps" / "demo" / "plan.json").write_text(text)
    chosen = select(["demo", "second"], mixed.root)
    assert len(chosen.sources) == 1
    assert "plan.json can't be read" in chosen.missing[0]


def test_a_folder_without_runs_is_told(mixed: Outputs, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    assert "holds no run" in select([tmp_path / "bare"], mixed.root).missing[0]


def test_a_folder_that_only_shares_a_sweeps_name_is_not_meant(
    mixed: Outputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert names(["demo"], mixed) == ["avatarl", "avatarl"]
