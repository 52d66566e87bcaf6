from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import avatarl
from avatarl import cli

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    for name, (_, summary) in cli.COMMANDS.items():
        assert name in out
        assert summary.split()[0] in out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"avatarl {avatarl.__version__}\n"


@pytest.mark.parametrize("words", [["run", "--cfg", "job"], ["--cfg", "job"], ["seed=3"], ["~x"]])
def test_words_of_a_run_are_a_runs(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``run`` may be left out where the first word can only be Hydra's."""
    from avatarl import app

    asked: list[list[str]] = []
    monkeypatch.setattr(app, "main", asked.append)
    assert cli.main(words) == 0
    assert asked == [words[words[0] == "run" :]]


@pytest.mark.parametrize("name", sorted({*cli.COMMANDS} - {"run"}))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"avatarl {name}" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["stauts"])
    assert caught.value.code == 2
    assert "status" in capsys.readouterr().err


def test_an_unknown_flag_is_refused_with_those_that_the_command_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["sample", "some-run", "--length", "9"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "avatarl sample: error: unrecognized arguments: --length 9" in told
    assert "--characters" in told


def test_a_command_is_one_module_and_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own_count.py").write_text(
        "from pathlib import Path\n"
        "from avatarl.cli.options import add_output_dir\n"
        "def add_arguments(parser): add_output_dir(parser)\n"
        "def main(args): print(len(list(Path(args.output_dir).glob('runs/*'))))\n"
    )
    (tmp_path / "runs" / "one").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "count", ("own_count", "how many runs there are"))
    assert cli.main(["count", "--output-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1\n"
    assert cli.main([]) == 0
    assert "how many runs there are" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["status", "compare"])
def test_looking_does_not_load_torch(name: str, tmp_path: Path) -> None:
    code = (
        "import sys; from avatarl import cli; "
        f"cli.main([{name!r}, 'nothing', '--output-dir', {str(tmp_path)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
