"""Which runs are meant: a sweep, a run, a folder of runs, an id, or a glob over any of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.errors import did_you_mean
from avatarl.files import read_json

_PLAN_SCHEMA = 1
#: Any of these makes a folder a run's directory.
_RUN_FILES = ("result.json", "metrics.jsonl", "failure.json", "progress.json", "config.json")


@dataclass(frozen=True)
class Source:
    """One run to read: where it is, and what its sweep planned for it, if a sweep did."""

    directory: Path
    planned: Mapping[str, Any] | None = None
    corpus: Mapping[str, Any] | None = None
    sweep: str | None = None


@dataclass(frozen=True)
class Selection:
    """The runs found, and what could not be found or read."""

    sources: tuple[Source, ...]
    swept_keys: tuple[str, ...]
    missing: tuple[str, ...]
    title: str


def select(words: Iterable[str | Path], outputs: Path) -> Selection:
    """Find the runs that ``words`` name.

    Args:
        words: Each a path to a sweep, a run or a folder that holds runs; the name of a sweep; a
            run's directory name, name or id (or the start of one of these); or a glob. None at
            all means every run under ``outputs``.
        outputs: The output directory that names and ids are looked up in.

    Returns:
        The runs in the order met, each once; what could not be found is told in ``missing``.
    """
    named = [str(word) for word in words]
    found: dict[Path, Source] = {}
    swept: dict[str, None] = {}
    missing: list[str] = []
    if not named and not outputs.is_dir():
        why = f"there is no output directory {outputs}; valid: a folder with runs in it"
        return Selection((), (), (why,), "all runs")
    for word in named or [str(outputs)]:
        directories = _directories(word, outputs)
        if not directories:
            missing.append(_not_found(word, outputs))
        for directory in directories:
            sources, keys, problem = _expand(directory)
            if problem:
                missing.append(problem)
            for source in sources:
                place = source.directory.resolve()
                if place not in found or found[place].planned is None:
                    found[place] = source
            swept.update(dict.fromkeys(keys))
    title = " ".join(Path(word).name or word for word in named) or "all runs"
    return Selection(tuple(found.values()), tuple(swept), tuple(missing), title)


def _directories(word: str, outputs: Path) -> list[Path]:
    path = Path(word).expanduser()
    named = _named(word, outputs)
    if path.is_dir() and (not named or _holds_runs(path)):
        return [path]
    if path.is_file():
        return [path.parent]
    if any(character in word for character in "*?["):
        # A glob is tried as typed, then among the sweeps, then among the runs.
        for root in (Path(path.anchor or "."), outputs, outputs / "sweeps", outputs / "runs"):
            pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else word
            matches = sorted(match for match in root.glob(pattern) if match.is_dir())
            if matches:
                return matches
            if path.is_absolute():
                break
        return []
    return named


def _holds_runs(directory: Path) -> bool:
    return bool(_expand(directory)[0]) or (directory / "plan.json").exists()


def _named(word: str, outputs: Path) -> list[Path]:
    if "/" in word or not word:
        return []
    if (outputs / "sweeps" / word / "plan.json").is_file():
        return [outputs / "sweeps" / word]
    runs = _children(outputs / "runs")
    exact = [run for run in runs if word in (run.name, *_name_and_id(run))]
    return exact or [
        run for run in runs if any(part.startswith(word) for part in _name_and_id(run))
    ]


def _name_and_id(run: Path) -> tuple[str, str]:
    name, _, identity = run.name.rpartition("-")
    return name, identity


def _children(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(child for child in directory.iterdir() if child.is_dir())


def is_run(directory: Path) -> bool:
    """Whether ``directory`` is a run's."""
    return any((directory / name).is_file() for name in _RUN_FILES)


def _expand(directory: Path) -> tuple[list[Source], list[str], str]:
    if (directory / "plan.json").exists():
        return _planned(directory)
    if is_run(directory):
        return [Source(directory)], [], ""
    for folder in (directory, directory / "runs"):
        runs = [child for child in _children(folder) if is_run(child)]
        if runs:
            return [Source(run) for run in runs], [], ""
    return (
        [],
        [],
        f"{directory} holds no run (a config.json) and no sweep (a plan.json)",
    )


def _planned(directory: Path) -> tuple[list[Source], list[str], str]:
    try:
        plan = read_json(directory / "plan.json")
        schema = plan.get("schema", 0)
        # Sweeps and runs lie side by side: <outputs>/sweeps/<name> and <outputs>/runs/<run>.
        outputs = directory.resolve().parent.parent
        sources = [
            Source(outputs / run["directory"], run, plan.get("corpus"), plan.get("name"))
            for run in plan["runs"]
        ]
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        return [], [], f"{directory / 'plan.json'} can't be read ({type(error).__name__}: {error})"
    newer = schema > _PLAN_SCHEMA
    problem = (
        f"{directory / 'plan.json'} has schema {schema}, this version knows up to {_PLAN_SCHEMA}: "
        "what it shares with it is shown"
    )
    return sources, [str(key) for key in plan.get("keys", [])], problem if newer else ""


def _not_found(word: str, outputs: Path) -> str:
    sweeps = [path.name for path in _children(outputs / "sweeps")]
    runs = [path.name for path in _children(outputs / "runs")]
    near = did_you_mean(word, [*sweeps, *runs])
    some = ", ".join(sweeps[:5]) + (", …" if len(sweeps) > 5 else "")
    return (
        f"no sweep or run is called {word!r}{near}; valid: a path, a glob, the name or id of one "
        f"of {len(runs)} runs in {outputs / 'runs'}, or a sweep ({some or 'there is none yet'})"
    )
