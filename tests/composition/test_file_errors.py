"""Files of the user's that can't be used, each told by the program as it would be typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
#: What lies in the folder, what is typed, and what is told.
CASES = {
    "no config": ("a.yaml", "seed: 1", "-cn a", "-cn has config among its defaults"),
    "empty": ("a.yaml", "", "-cn a", "-cn has config among its defaults"),
    "no config, a group typed": (
        "a.yaml",
        "seed: 1",
        "-cn a tracking=files",
        "tracking='files' can't be used (there is no such group here)",
    ),
    "cut short": ("a.yaml", "defaults: [config\n", "-cn a", "a.yaml can't be used (line 2: "),
    "twice the same key": ("a.yaml", "seed: 1\nseed: 2\n", "-cn a", "a.yaml can't be used (line 2"),
    "a list": ("a.yaml", "- seed", "-cn a", "it holds a list"),
    "no such option": (
        "a.yaml",
        "defaults: [config, override reward: mtch, _self_]",
        "-cn a seed=1",
        "reward='mtch' can't be used (named by the defaults of a file)",
    ),
    "no such launcher": (
        "a.yaml",
        "defaults: [config, override hydra/launcher: slrum]",
        "-cn a",
        "did you mean 'slurm'?",
    ),
    "no such file": ("a.yaml", "defaults: [confg]", "-cn a", "did you mean 'config'?"),
    "a path for a name": ("a.yaml", "", "-cn FOLDER/a", "valid: -cd FOLDER -cn a"),
    "a file for an override": ("a.yaml", "", "FOLDER/a.yaml", "KEY=VALUE, or -cd FOLDER -cn a"),
    "a sweep for an override": ("a.yaml", "", "demo", "KEY=VALUE, or -cn demo"),
    "nothing shipped": (
        "a.yaml",
        "defaults: [config]",
        "-cp $PWD/FOLDER -cn a",
        "--config-path can't be used (config isn't there); valid: --config-dir=FOLDER",
    ),
    "a path beside the package": ("a.yaml", "", "-cp FOLDER", "--config-path can't be used"),
    "a word for a group": (
        "a.yaml",
        "defaults: [config, _self_]\nreward: match",
        "-cn a",
        "valid: 'override reward: OPTION' among the defaults",
    ),
    "a key that isn't there": (
        "a.yaml",
        "defaults: [config, _self_]\nname: ${nothing.here}",
        "-cn a",
        "name can't be used (Interpolation key 'nothing.here' not found); valid: ${KEY}",
    ),
    "recipe without its first line": (
        "experiment/own.yaml",
        "defaults: [override /reward: match]",
        "+experiment=own",
        "experiment/own can't be used (there is no reward for its defaults to override)",
    ),
    "recipe without a slash": (
        "experiment/own.yaml",
        "# @package _global_\ndefaults: [override reward: match]",
        "+experiment=own",
        "'override /GROUP: OPTION'",
    ),
    "recipe of no option": (
        "experiment/own.yaml",
        "# @package _global_\ndefaults: [override /reward: mtch]",
        "+experiment=own",
        "reward='mtch' can't be used (named by the defaults of a file)",
    ),
    "option without a name": ("reward/own.yaml", "weight: 1", "reward=own", "it has no name"),
    "option cut short": ("reward/own.yaml", "a: {", "reward=own", "own.yaml can't be used (line 1"),
}
#: One process for all, since starting one takes seconds.
PROGRAM = """
import contextlib, io, json, os, sys
from pathlib import Path
from avatarl import app

told = {}
for case, (name, text, typed, _) in json.load(sys.stdin).items():
    folder = Path(f"files{len(told)}")
    typed = typed.replace("FOLDER", str(folder)).replace("$PWD", str(Path.cwd()))
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(text)
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            app.main(["-cd", str(folder), *typed.split()])
        except SystemExit as leaving:
            print(f"exit code {leaving.code}", file=stderr)
    told[case] = stderr.getvalue().replace(str(folder), "FOLDER")
    del os.environ["HYDRA_FULL_ERROR"]  # which asks for tracebacks, and is set for Hydra's sake
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    # A file without config has none of our settings: Hydra then keeps notes as it does by default.
    assert not [*folder.glob("outputs/runs"), *folder.glob("outputs/sweeps")]
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_used_is_told_in_one_line(told: dict[str, str], case: str) -> None:
    line, code = told[case].splitlines()
    assert line.startswith("avatarl: ")
    assert CASES[case][-1] in line
    assert code == "exit code 2"
