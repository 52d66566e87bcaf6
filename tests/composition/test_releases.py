"""What is relied on of Hydra that isn't public, by name: a new release may move it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "avatarl").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]

_SWEEPER = "hydra._internal.core_plugins.basic_sweeper"
#: Module, name, its part, and what of it is relied on: words of its signature or source.
PRIVATE = [
    ("hydra._internal.grammar.functions", "FunctionCall", "", ["name", "args", "kwargs"]),
    ("hydra._internal.grammar.functions", "Functions", "eval", ["self", "func"]),
    (_SWEEPER, "BasicSweeper", "_parse_config", ["params"]),
    (_SWEEPER, "BasicSweeper", "split_arguments", ["overrides"]),
    (_SWEEPER, "BasicSweeper", "sweep", ["get_job_batch"]),
    ("hydra.core.override_parser.types", "Override", "_get_value_element_as_str", ["value"]),
    ("hydra.core.override_parser.types", "Override", "value", ["_value"]),
]


@pytest.mark.parametrize(("module", "name", "part", "words"), PRIVATE)
def test_what_is_private_to_hydra_is_as_it_is_relied_on(
    module: str, name: str, part: str, words: list[str]
) -> None:
    found = getattr(importlib.import_module(module), name)
    text = inspect.getsource(getattr(found, part) if part else found)
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


def test_nothing_else_of_hydra_that_is_private_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    imported = set(re.findall(r"hydra\._internal[\w.]*", text))
    modules = {module for module, *_ in PRIVATE if "_internal" in module}
    assert {name.removesuffix(".BasicSweeper") for name in imported} == modules
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for _, name, part, _ in PRIVATE:
        assert f"`{name}{'.' if part else ''}{part}`" in page or part == "value", name
