"""What the documentation says to type can be typed, and its made pages leave nothing out."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from avatarl import cli, composition
from avatarl.composition.multirun import multirun
from avatarl.config import GROUPS
from avatarl.source import CONF, SWEEPS
from avatarl.training import Result
from tests.cli.conftest import trained
from tests.report.conftest import Outputs, demo
from tests.sweep.conftest import plan_of

__all__ = ["plan_of", "trained"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:avatarl [^`\s]+|python run\.py|make) [^`]+)`")
RUN = ["avatarl run", "python -m avatarl run", "python run.py"]
#: A run, for what is to be shown of one.
OF_A_RUN = ("RUN", "propensity-ensemble")


def typed() -> Iterator[tuple[str, str]]:
    """Each command of the documentation, with its page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [block.replace("\\\n", " ") for _, block in FENCED.findall(text)]
        lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
        lines += [" ".join(found.split()) for found in INLINE.findall(FENCED.sub("", text))]
        for line in dict.fromkeys(lines):
            if re.match(r"(avatarl|python run\.py|python -m avatarl|make) ?[\w+'-]*", line):
                yield page.name, line


COMMANDS = [
    (page, line)
    for page, line in dict.fromkeys(typed())
    # An outline of a command isn't one.
    if not re.search(r"…|\.\.\.|\bCOMMAND\b|OVERRIDES|NAME\b|FOLDER", line)
]


def runs_typed() -> list[tuple[str, str]]:
    return [one for one in COMMANDS if is_run(one[1])]


def is_run(line: str) -> bool:
    return any(line == start or line.startswith(f"{start} ") for start in RUN)


def test_there_are_commands_to_try() -> None:
    pages = {page for page, _ in COMMANDS}
    assert {"README.md", "comparing.md", "cluster.md", "game.md", "experiments.md"} <= pages
    assert len(runs_typed()) > 15


@pytest.mark.parametrize(("page", "line"), runs_typed())
def test_every_run_and_sweep_that_is_shown_can_be_composed(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    tinyshakespeare_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    start = next(start for start in RUN if line == start or line.startswith(f"{start} "))
    words = shlex.split(line[len(start) :], comments=True)
    if "--help" in words or "--cfg" in words:
        return  # tests/test_options.py
    given = {flag: words[words.index(flag) + 1] for flag in ("-cn", "-cd") if flag in words}
    if given.get("-cd") == "tests/origin":
        return  # tests/origin/test_origin.py plans them
    asked = [word for word in words if word not in {"-m", *given, *given.values()}]
    named = given.get("-cn", "config")
    texts = [tmp_path / word[10:] for word in words if word.startswith("data.path=kjv")]
    for text in texts:
        text.symlink_to(tinyshakespeare_path)
    if "-m" in words or "-cn" in words:
        multirun([*asked, "hydra.launcher.dry_run=json"], named)
    else:
        composition.compose(asked)
    assert list(tmp_path.iterdir()) == texts


def others_typed() -> list[tuple[str, str]]:
    return [one for one in COMMANDS if one[1].startswith("avatarl ") and not is_run(one[1])]


@pytest.mark.parametrize(("page", "line"), others_typed())
def test_every_other_command_that_is_shown_is_one(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line, comments=True)[1:]
    if not words or words[0].startswith("-"):
        return
    number = {"N": "1", "S": "1"}
    args = cli.parser(words[0]).parse_args([number.get(word, word) for word in words])
    assert args.command == words[0]


def of(*names: str) -> list[str]:
    """The commands of these names, each once."""
    return sorted({line for _, line in others_typed() if line.split()[1] in names})


@pytest.mark.parametrize("line", of("compare", "status"))
def test_what_is_shown_of_comparing_works_on_a_sweep(
    line: str, plan_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "status" in line:
        plan_of([{}] * 2).write(tmp_path / "outputs/sweeps/demo")
    else:
        demo(Outputs(tmp_path / "outputs"))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    names = {
        "SWEEP",
        "RUNS",
        "RUN",
        "seed_b",
        "tutorial",
        "shakespeare",
        "outputs/runs/match-*",
        "1f3c",
        "77ab0",
    }
    if not {"--serve", "--inspect"} & set(words):  # they have tests of their own
        assert cli.main(["demo" if word in names else word for word in words]) == 0


@pytest.mark.parametrize("line", of("sample", "inspect", "logs"))
def test_what_is_shown_of_a_run_works_on_one(
    line: str, trained: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    if not {*OF_A_RUN} & {*words} or "--member" in words:
        return
    words = [str(trained.directory) if word in OF_A_RUN else word for word in words]
    assert cli.main([word for word in words if word not in ("-f", "--follow")]) == 0


def test_pages_on_use_are_for_those_who_have_no_clone() -> None:
    of_clones = {"README.md", "CONTRIBUTING.md"}
    in_clones = [line for page, line in COMMANDS if page not in of_clones and "run.py" in line]
    assert all("-cd tests/origin" in line for line in in_clones)
    kept = {path.stem for path in SWEEPS.glob("*.yaml")}
    named = {found for _, line in COMMANDS for found in re.findall(r"-cn (\S+)", line)}
    assert {name for name in named if not name.startswith("traps_")} <= kept


def test_every_target_of_make_that_is_shown_is_there() -> None:
    shown = {line.split()[1] for _, line in COMMANDS if line.startswith("make ")}
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert shown <= there


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("site_pages")


def test_the_reference_holds_every_option_and_key_with_its_type(pages: Any) -> None:
    told = pages.reference()
    for group in GROUPS:
        for path in (CONF / group).glob("*.yaml"):
            assert f"### {group}={path.stem}\n" in told
            for key in yaml.safe_load(path.read_text()):
                if key not in ("name", "kind", "defaults"):
                    assert f"| `{group}.{key}` |" in told
    assert "| `trainer.batch_size` | `128` | whole number ≥ 1 | windows a step |" in told
    assert "| `reward.signal` | `probability` | `probability` or `logprob` or `log_ratio` |" in told


def test_every_command_has_its_place(pages: Any) -> None:
    told = pages.commands()
    for name in cli.COMMANDS:
        assert f"## avatarl {name}\n" in told
    assert "--against BASELINE" in told


def test_the_tutorial_is_shown_with_what_it_came_to(pages: Any) -> None:
    told = pages.tutorial()
    assert told.startswith("# Ten minutes with avatarl\n")
    assert 'runs.plot("val/nats")' in told
    assert "data:image/png;base64," in told
    assert "tutorial: 4 runs + 2 controls: 6 done" in told
