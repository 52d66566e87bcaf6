from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avatarl import cli, composition
from avatarl.training import Result, execute
from tests.cli.conftest import QUICK


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run with several checkpoints."""
    folder = tmp_path_factory.mktemp("kept")
    often = ["trainer.checkpoint_every_s=0", "trainer.keep_checkpoints=5"]
    return execute(composition.compose([*QUICK, *often, f"output_dir={folder}"]))


def test_all_characters_are_ranked_and_the_text_s_is_marked(
    kept: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(kept.directory), "--text", "the ", "--next", "k"]
    assert cli.main(words) == 0
    first, headings, *rows = capsys.readouterr().out.splitlines()
    assert first == "step 8, after 'the ':"
    assert headings.split() == ["prob", "log", "p", "ref", "reward", "adv", "push"]
    assert all(len(row) <= 80 for row in rows)
    assert [row.split()[1] for row in rows if "◀" in row] == ["k"]
    assert [int(row.split()[0]) for row in rows] == list(range(1, len(rows) + 1))


def test_each_kept_checkpoint_can_be_asked_for(
    kept: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(kept.directory), "--json", "--step", "4", "--step", "8"]
    assert cli.main([*words, "--text", "the ", "--next", "k"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [view["step"] for view in told["views"]] == [4, 8]
    early, late = (view["choices"] for view in told["views"])
    assert {one["character"] for one in early} == {one["character"] for one in late}
    assert early != late


def test_without_a_text_a_held_out_passage_is_read(
    kept: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", str(kept.directory), "--characters", "60"]) == 0
    first, *passage = capsys.readouterr().out.split("\n")
    assert first.startswith("step 8, held-out passage: nats ")
    assert len("\n".join(passage)) == 61


def test_the_page_has_both_views_of_every_kept_checkpoint(
    kept: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "look.html"
    words = ["inspect", str(kept.directory), "--html", str(page), "--text", "<the>", "--next", "k"]
    assert cli.main(words) == 2  # no such character in the text
    assert not page.exists()
    words[words.index("<the>")] = "the"
    assert cli.main([*words, "--characters", "50"]) == 0
    written = page.read_text(encoding="utf-8")
    assert written.count("<section>") == 2
    assert written.count('<tr class="text">') == 2
    assert written.count("<span") == 2 * 50
    assert "http" not in written


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--text", ""], "--text"),
        (["--text", "the ", "--next", "ab"], "--next='ab'"),
        (["--next", "a"], "--next"),
        (["--characters", "0"], "--characters"),
        (["--step", "5"], "--step=5"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    kept: Result, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert cli.main(["inspect", str(kept.directory), *words]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.count("\n") == 1


def test_a_run_that_is_older_than_some_settings_can_still_be_looked_at(
    kept: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "runs" / kept.directory.name
    shutil.copytree(kept.directory, old)
    for key in ("explorer.select_below", "trainer.micro_batch_size"):
        raw = json.loads((old / "config.json").read_text())
        group, _, name = key.partition(".")
        del raw[group][name]
        (old / "config.json").write_text(json.dumps(raw))
    words = ["--characters", "30", "--json"]
    assert cli.main(["inspect", str(kept.directory), *words]) == 0
    expected = capsys.readouterr().out
    assert cli.main(["inspect", str(old), *words]) == 0
    assert capsys.readouterr().out == expected
    del raw["optimizer"]["lr"]  # which every run has had
    (old / "config.json").write_text(json.dumps(raw))
    assert cli.main(["inspect", str(old), *words]) == 2
    assert "optimizer.lr" in capsys.readouterr().err


def test_a_member_of_a_population_can_be_looked_at_and_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = ["opponent=population", "opponent.size=2", f"output_dir={tmp_path}"]
    run = str(execute(composition.compose([*QUICK, *several])).directory)
    looked = ["inspect", run, "--json", "--text", "the ", "--next", "k"]
    views = []
    for member in ([], ["--member", "0"], ["--member", "1"]):
        assert cli.main([*looked, *member]) == 0
        views.append(json.loads(capsys.readouterr().out)["views"][0]["choices"])
    assert views[0] == views[1] != views[2]
    written = []
    for words in ([], ["--member", "1"], ["--ensemble"]):
        assert cli.main(["sample", run, "--temperature", "1.5", "--characters", "300", *words]) == 0
        written.append(capsys.readouterr().out)
    assert len(set(written)) == 3
    for command in ("inspect", "sample"):
        assert cli.main([command, run, "--member", "2"]) == 2
        assert capsys.readouterr().err.strip().endswith("--member=2 can't be used; valid: 0 to 1")
