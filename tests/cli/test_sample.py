from __future__ import annotations

from pathlib import Path

import pytest

from avatarl import cli
from avatarl.training import Result


def test_it_begins_with_the_prompt_and_writes_as_much_as_asked(
    trained: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(trained.directory), "--prompt", "ROMEO:", "--characters", "50"]
    assert cli.main(words) == 0
    first = capsys.readouterr().out
    assert first.startswith("ROMEO:")
    assert len(first) == len("ROMEO:") + 50 + 1
    assert cli.main(words) == 0
    assert capsys.readouterr().out == first
    assert cli.main([*words, "--seed", "1"]) == 0
    assert capsys.readouterr().out != first


def test_a_run_is_found_by_name_and_by_id(
    trained: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = str(trained.directory.parents[1])
    for word in (trained["run_id"], trained["name"]):
        assert cli.main(["sample", word, "--output-dir", outputs, "--characters", "5"]) == 0
    assert capsys.readouterr().err == ""


def test_the_reference_writes_beside_it(
    trained: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(trained.directory), "--against", "reference", "--characters", "30"]
    assert cli.main([*words, "--n", "2"]) == 0
    out = capsys.readouterr().out
    assert "policy" in out
    assert "reference" in out


def test_side_by_side_each_writes_what_it_writes_alone(
    trained: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(trained.directory), "--prompt", "The ", "--characters", "20"]
    assert cli.main(words) == 0
    alone = capsys.readouterr().out.split()
    assert cli.main([*words, "--against", "reference"]) == 0
    beside = capsys.readouterr().out.split()
    assert [word for word in alone if word in beside] == alone


def test_many_runs_of_a_name_are_not_all_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        directory = tmp_path / "runs" / f"x-{number:016x}"
        directory.mkdir(parents=True)
        (directory / "config.json").write_text("{}")
    assert cli.main(["sample", "x", "--output-dir", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "names 7 runs" in told
    assert told.rstrip().endswith("…")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--prompt", "Ω"], "'Ω'"),
        (["--prompt", ""], "--prompt"),
        (["--temperature", "-1"], "--temperature"),
        (["--characters", "0"], "--characters"),
        (["--n", "0"], "--n"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    trained: Result, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert cli.main(["sample", str(trained.directory), *words]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.count("\n") == 1


def test_no_such_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "nothing", "--output-dir", str(tmp_path)]) == 2
    assert "nothing" in capsys.readouterr().err
