"""Which runs and sweeps are meant: by path, name, id, the beginning of one, or a glob."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.errors import UserError, did_you_mean
from avatarl.files import read_object
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs, SweepFolder

#: Where outputs are unless one says otherwise.
OUTPUTS = Path("outputs")
PLAN_SCHEMA = 1


@dataclass(frozen=True)
class Source:
    """One run to read: where it is, and what its sweep planned for it, if a sweep did."""

    folder: RunFolder
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
            run's folder name, name or id (or the start of one of these); or a glob. None at
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
        directories = _directories(word, Outputs(outputs))
        if not directories:
            missing.append(_not_found(word, Outputs(outputs)))
        for directory in directories:
            sources, keys, problem = _expand(directory)
            if problem:
                missing.append(problem)
            for source in sources:
                place = source.folder.path.resolve()
                if place not in found or found[place].planned is None:
                    found[place] = source
            swept.update(dict.fromkeys(keys))
    title = " ".join(Path(word).name or word for word in named) or "all runs"
    return Selection(tuple(found.values()), tuple(swept), tuple(missing), title)


def select_folders(words: Iterable[str], outputs: Path) -> list[RunFolder]:
    """Return the folders of the runs that ``words`` name; all runs for no words.

    Raises:
        UserError: Something named isn't there, or there is nothing at all.
    """
    selection = select(words, outputs)
    if selection.missing:
        raise UserError("; ".join(selection.missing))
    return [source.folder for source in selection.sources if source.folder.path.is_dir()]


def find_run(word: str, outputs: Path) -> RunFolder:
    """Return the folder of the one run that ``word`` names.

    Raises:
        UserError: None or several are meant.
    """
    folders = select_folders([word], outputs)
    if len(folders) != 1:
        some = ", ".join([*(run.path.name for run in folders[:5]), *["…"][: len(folders) > 5]])
        raise UserError(
            f"run {word!r} is ambiguous: it names {len(folders)} runs, one is wanted: {some}"
        )
    return folders[0]


def find_sweep(name: str | None, outputs: Path) -> SweepFolder:
    """Return the folder of a sweep.

    Args:
        name: Its name, a unique beginning of it, or a path; ``None``: the one started last.
        outputs: The output directory that names are looked up in.

    Raises:
        UserError: None, or several, match.
    """
    if name is not None and SweepFolder(Path(name)).plan.exists():
        return SweepFolder(Path(name))
    root = Outputs(outputs).sweeps
    planned = [sweep for path in _children(root) if (sweep := SweepFolder(path)).plan.is_file()]
    if not planned:
        raise UserError(f"no sweeps in {root}{f', none called {name!r}' if name else ''}")
    if name is None:
        return max(planned, key=lambda sweep: sweep.plan.stat().st_mtime)
    by_name = {sweep.path.name: sweep for sweep in planned}
    found = [name] if name in by_name else [known for known in by_name if known.startswith(name)]
    if len(found) == 1:
        return by_name[found[0]]
    if found:
        raise UserError(f"sweep {name!r} is ambiguous: {', '.join(found[:10])}")
    some = ", ".join(list(by_name)[:10])
    raise UserError(f"no sweep {name!r}; there are: {some}{did_you_mean(name, by_name)}")


def spoken(folder: Path) -> str:
    """What to type for a sweep or a run: its folder's name where that is found, else its path."""
    by_name = folder.absolute().parent.parent == OUTPUTS.absolute()
    return shlex.quote(folder.name if by_name else str(folder))


def _directories(word: str, outputs: Outputs) -> list[Path]:
    path = Path(word).expanduser()
    named = _named(word, outputs)
    if path.is_dir() and (not named or _holds_runs(path)):
        return [path]
    if path.is_file():
        return [path.parent]
    if any(character in word for character in "*?["):
        # A glob is tried as typed, then among the sweeps, then among the runs.
        for root in (Path(path.anchor or "."), outputs.root, outputs.sweeps, outputs.runs):
            pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else word
            matches = sorted(match for match in root.glob(pattern) if match.is_dir())
            if matches:
                return matches
            if path.is_absolute():
                break
        return []
    return named


def _holds_runs(directory: Path) -> bool:
    return bool(_expand(directory)[0]) or SweepFolder(directory).plan.exists()


def _named(word: str, outputs: Outputs) -> list[Path]:
    if "/" in word or not word:
        return []
    sweep = SweepFolder(outputs.sweeps / word)
    if sweep.plan.is_file():
        return [sweep.path]
    runs = _children(outputs.runs)
    exact = [run for run in runs if word in (run.name, *_name_and_id(run))]
    return exact or [
        run for run in runs if any(part.startswith(word) for part in (run.name, *_name_and_id(run)))
    ]


def _name_and_id(run: Path) -> tuple[str, str]:
    name, _, identity = run.name.rpartition("-")
    return name, identity


def _children(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    children = (child for child in directory.iterdir() if not child.name.startswith("."))
    return sorted(child for child in children if child.is_dir())


def _expand(directory: Path) -> tuple[list[Source], list[str], str]:
    if SweepFolder(directory).plan.exists():
        return _planned(SweepFolder(directory))
    if RunFolder(directory).exists:
        return [Source(RunFolder(directory))], [], ""
    for place in (directory, Outputs(directory).runs):
        runs = [folder for child in _children(place) if (folder := RunFolder(child)).exists]
        if runs:
            return [Source(run) for run in runs], [], ""
    return [], [], f"{directory} holds no run (a config.json) and no sweep (a plan.json)"


def _planned(sweep: SweepFolder) -> tuple[list[Source], list[str], str]:
    problems: list[str] = []
    plan = read_object(sweep.plan, problems)
    try:
        schema = plan.get("schema", 0)
        outputs = outputs_of(sweep, plan)
        sources = [
            Source(outputs.run(run["id"], run["name"]), run, plan.get("corpus"), plan.get("name"))
            for run in plan["runs"]
        ]
        newer = schema > PLAN_SCHEMA
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = problems[0] if problems else f"{type(error).__name__}: {error}"
        return [], [], f"{sweep.plan} can't be read ({why})"
    problem = (
        f"{sweep.plan} has schema {schema}, this version knows up to {PLAN_SCHEMA}: "
        "what it shares with it is shown"
    )
    return sources, [str(key) for key in plan.get("keys", [])], problem if newer else ""


def outputs_of(sweep: SweepFolder, plan: Mapping[str, Any]) -> Outputs:
    """Return where the runs of a plan are, as read from a sweep's folder."""
    first = next((run["config"].get("output_dir") for run in plan["runs"]), None)
    return sweep.outputs(plan.get("outputs"), first)


def _not_found(word: str, outputs: Outputs) -> str:
    sweeps = [path.name for path in _children(outputs.sweeps)]
    runs = [path.name for path in _children(outputs.runs)]
    near = did_you_mean(word, [*sweeps, *runs])
    some = ", ".join(sweeps[:5]) + (", …" if len(sweeps) > 5 else "")
    return (
        f"no sweep or run is called {word!r}{near}; valid: a path, a glob, the name or id of one "
        f"of {len(runs)} runs in {outputs.runs}, or a sweep ({some or 'there is none yet'})"
    )
