"""Running a finished run again, from the frozen source, configuration and text it had."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import UserError
from avatarl.files import write_json
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.journal import parse_line
from avatarl.runs.outputs import Outputs
from avatarl.source import modules_elsewhere, package_of
from avatarl.sweep.plan import snapshot
from avatarl.terminal import say

#: Keys of results and records that say when and where, not what.
_VOLATILE = (
    "time/",
    "seconds",
    "started",
    "finished",
    "git_",
    "code_sha256",
    "device",
    "host",
    "claim",
    "id_schema",
)


@dataclass(frozen=True)
class Bundle:
    """What a run was made from.

    Attributes:
        config: Its resolved configuration.
        code: Frozen source; ``None`` when the run was started outside a sweep.
        corpus: Stored text; ``None`` when it has to be found as configured.
        threads: CPU threads it had; ``None`` when unknown.
    """

    config: Mapping[str, Any]
    code: Path | None
    corpus: Path | None
    threads: int | None


def bundle_of(directory: Path) -> Bundle:
    """Find the bundle of a finished run.

    Raises:
        UserError: The run isn't finished.
    """
    folder = RunFolder(directory)
    problems: list[str] = []
    result, config = folder.read_result(problems), folder.read_config(problems)
    if result is None or not config:
        missing = folder.result if result is None else folder.config
        why = "; ".join(problems) or f"no {missing.name}"
        raise UserError(f"{directory} isn't a finished run: {why}")
    outputs = Outputs(directory.parent.parent)
    # By its number: one that was killed right after its result may never have said "done".
    owner = ownership.owner_of(folder, result.get("claim"))
    code = outputs.here(owner.code) if owner else None
    threads = owner.threads if owner else None
    sha = result.get("corpus_sha256", "")
    texts = sorted(outputs.corpora.glob(f"{sha}-*.json")) if sha else []
    fallback = bool(result.get("corpus_fallback"))
    texts = [path for path in texts if path.stem.endswith("-fallback") == fallback] or texts
    return Bundle(config, code, texts[0] if texts else None, threads)


def reproduce(directory: Path, tolerance: float, threads: int | None, console: Console) -> int:
    """Run a finished run again beside it, and compare every metric.

    Args:
        directory: The run's directory.
        tolerance: Largest absolute difference that counts as equal.
        threads: CPU threads; ``None``: as many as the run had.
        console: Where to tell.

    Returns:
        0 when everything matches, 1 when not.

    Raises:
        UserError: The run isn't finished, its bundle is damaged, or it fails now.
    """
    bundle = bundle_of(directory)
    threads = threads or bundle.threads
    code = _checked_code(bundle.code, console)
    target = Outputs(directory.parent.parent).reproductions
    number = 1
    while (target / f"{directory.name}-{number}").exists():
        number += 1
    target = target / f"{directory.name}-{number}"
    target.mkdir(parents=True)
    config = {**bundle.config, "output_dir": str(target)}
    if isinstance(config.get("tracking"), Mapping) and "mode" in config["tracking"]:
        config["tracking"] = {**config["tracking"], "mode": "disabled"}
    elif isinstance(config.get("tracking"), Mapping):
        config["tracking"] = {"name": "files", "kind": "files"}
    if threads is not None and "threads" in config.get("trainer", {}):
        config["trainer"] = {**config["trainer"], "threads": threads}
    request = target / "request.json"
    corpus = str(bundle.corpus) if bundle.corpus else None
    write_json(request, {"config": config, "corpus": corpus, "threads": threads})
    say(console, f"running {directory.name} again in {target}")
    elsewhere = [package_of(module)[0] for module in modules_elsewhere(config)]
    _run(code, request, threads, elsewhere)
    again = next(folder.path for folder in Outputs(target).run_folders())
    differences = compare(directory, again, tolerance)
    for line in differences[:20]:
        say(console, line)
    verdict = f"differs in {len(differences)} places" if differences else "matches in every metric"
    say(console, f"{directory.name} {verdict}")
    return int(bool(differences))


def compare(before: Path, after: Path, tolerance: float = 0.0) -> list[str]:
    """Differences between two computations of one run, one line each.

    Compares ``result.json`` and every record of ``metrics.jsonl``, except times and places.
    """
    was, now = RunFolder(before), RunFolder(after)
    name = was.result.name
    differences = _differences(name, was.read_result() or {}, now.read_result() or {}, tolerance)
    name = was.journal.name
    old, new = _journal(was.journal), _journal(now.journal)
    if len(old) != len(new):
        differences.append(f"{name}: {len(old)} records before, {len(new)} now")
    for number, (one, other) in enumerate(zip(old, new, strict=False), start=1):
        differences += _differences(f"{name} line {number}", one, other, tolerance)
    return differences


def _differences(
    where: str, before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float
) -> list[str]:
    differences = []
    for key in dict.fromkeys([*before, *after]):
        if not key.startswith(_VOLATILE) and not _equal(before.get(key), after.get(key), tolerance):
            differences.append(f"{where}: {key} was {before.get(key)!r}, is {after.get(key)!r}")
    return differences


def _equal(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=0.0, abs_tol=tolerance)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(_equal(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return all(_equal(one[key], other[key], tolerance) for key in one)
    return bool(one == other)


def _journal(path: Path) -> list[dict[str, Any]]:
    lines = map(parse_line, path.read_bytes().split(b"\n"))
    return [record for record in lines if record is not None]


def _checked_code(code: Path | None, console: Console) -> Path:
    if code is None:
        say(
            console,
            "This run has no frozen source (it wasn't started by a sweep): using the source as it "
            "is now.",
        )
        return snapshot.source_root()
    if not (code / snapshot.MANIFEST).exists():
        raise UserError(f"the run's frozen source {code} is gone")
    if not snapshot.verify(code):
        raise UserError(f"the run's frozen source {code} was changed since")
    return code


def _run(code: Path, request: Path, threads: int | None, elsewhere: Sequence[Path]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [code, *elsewhere]))}
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("recompute.py")), str(request)],
        cwd=code,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"the run fails now: {last}")
