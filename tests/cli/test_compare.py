from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl.cli.compare import add_arguments, main
from avatarl.errors import UserError
from tests.report.conftest import Outputs


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return main(parser.parse_args(list(words)))


def test_json_on_standard_output_is_nothing_but_json(
    demo_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(demo_sweep), "--format", "json", "--metrics", "val/nats,val/ece") == 0
    told = json.loads(capsys.readouterr().out)
    assert {"val/nats", "val/ece"} <= set(told["rows"][0])


def test_what_is_wrong_is_told_and_the_rest_is_shown(
    demo_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(demo_sweep), "no-such-run", "--where", "seed ="]
    assert run(*words, "--format", "csv") == 2
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 12
    assert "no sweep or run is called 'no-such-run'" in told.err
    assert "equality is ==" in told.err


def test_a_truncated_journal_is_a_warning_and_no_error(
    demo_sweep: Path, outputs: Outputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = next(outputs.root.glob("runs/*/result.json")).with_name("metrics.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run(str(demo_sweep), "--html", str(tmp_path / "page.html")) == 0
    assert f"warning: {journal}: the last line is cut off" in capsys.readouterr().err
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_an_empty_selection_is_one_clear_line(demo_sweep: Path, outputs: Outputs) -> None:
    with pytest.raises(UserError, match="no run is left of 21"):
        run(str(demo_sweep), "--where", "seed == 99")
    with pytest.raises(UserError, match="valid:"):
        run("nothing-like-it", "--output-dir", str(outputs.root))


def test_nothing_is_served_of_what_is_not_there(outputs: Outputs) -> None:
    with pytest.raises(UserError, match="no sweep or run is called"):
        run("nothing-like-it", "--serve", "--port", "0", "--output-dir", str(outputs.root))


def test_an_output_directory_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no output directory"):
        run("--output-dir", str(tmp_path / "none"))


def test_places_that_cannot_be_written_are_told(demo_sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for option in ("--html", "--plot"):
        with pytest.raises(UserError, match="can't be written"):
            run(str(demo_sweep), option, str(tmp_path / "file" / "x"), "--metrics", "val/nats")


def test_the_command_never_loads_torch_and_starts_lightly(demo_sweep: Path) -> None:
    code = (
        "import sys, argparse; from avatarl.cli.compare import add_arguments, main;"
        "heavy = {'polars', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules);"
        "p = argparse.ArgumentParser(); add_arguments(p);"
        f"main(p.parse_args([{str(demo_sweep)!r}, '--format', 'csv']));"
        "sys.exit(bool(heavy) or 'torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
