"""The arrows between packages, read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEARNING = (
    "data",
    "model",
    "reference",
    "explorer",
    "reward",
    "objective",
    "opponent",
    "optimizer",
)


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, wherever in it; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(*parts: str) -> list[Path]:
    folder = ROOT.joinpath(*parts)
    return sorted(folder.rglob("*.py")) if folder.is_dir() else []


def uses(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(package + ".") for name in imports_of(path))


@pytest.mark.parametrize("part", LEARNING)
def test_learning_parts_know_no_other_part(part: str) -> None:
    # `options` says what an option is, and reads the settings of one within another; `bf16` asks a
    # device whether it has that.
    allowed = {part, "bf16", "errors", "files", "interfaces", "options"}
    for path in modules("avatarl", part):
        for name in imports_of(path):
            if name.startswith("avatarl."):
                target = name.split(".")[1]
                # `avatarl.reference`'s command measures references on a text: it is an edge.
                if path.name in {"command.py", "survey.py"} and target in {"data", "config"}:
                    continue
                assert target in allowed, f"{path} imports {name}"


def test_training_and_tracking_do_not_look_up() -> None:
    for folder in ("training", "tracking", "config"):
        for path in modules("avatarl", folder):
            for above in ("sweep", "report", "composition", "app", "cli"):
                assert not uses(path, f"avatarl.{above}"), f"{path} imports {above}"


def test_a_search_decides_from_files_alone() -> None:
    allowed = {"search", "runs", "files", "storage", "errors", "options"}
    for path in modules("avatarl", "search"):
        ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("avatarl.")}
        assert ours <= allowed, f"{path} imports {ours - allowed}"


def test_sweeps_and_reports_do_not_look_up() -> None:
    for folder in ("sweep", "report"):
        for path in modules("avatarl", folder):
            for above in ("avatarl.composition", "avatarl.app", "avatarl.cli", "hydra_plugins"):
                assert not uses(path, above), f"{path} imports {above}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("hydra", {"avatarl/composition", "avatarl/app.py", "hydra_plugins"}),
        ("omegaconf", {"avatarl/composition", "avatarl/app.py", "hydra_plugins"}),
        ("wandb", {"avatarl/tracking"}),
        ("submitit", {"avatarl/sweep"}),
        ("pydantic", {"avatarl/options.py"}),
    ],
)
def test_edges_stay_at_the_edge(package: str, allowed: set[str]) -> None:
    for path in [*modules("avatarl"), *modules("hydra_plugins"), ROOT / "run.py"]:
        place = path.relative_to(ROOT).as_posix()
        if not any(place == edge or place.startswith(edge + "/") for edge in allowed):
            assert not uses(path, package), f"{place} imports {package}"


@pytest.mark.parametrize("module", ["avatarl", "avatarl.cli", "avatarl.sweep", "avatarl.report"])
def test_looking_at_results_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_is_no_grab_bag() -> None:
    for path in modules("avatarl"):
        assert path.stem not in {"utils", "util", "helpers", "misc", "common"}, path
