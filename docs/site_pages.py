"""Pages of the site that are made from something else: settings, commands, the notebook."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import re
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from avatarl import cli
from avatarl.config import GROUPS
from avatarl.source import CONF

_TUTORIAL = Path(__file__).with_name("tutorial.ipynb")
_KEY = re.compile(r"^(\w+):(?: +(?P<value>[^#\n]*?))?(?: +# (?P<said>.*))?$")


def reference() -> str:
    """Every group, option and key, from ``conf/`` and the dataclasses that check it."""
    parts = []
    for group in GROUPS:
        parts.append(f"## {group}\n\n")
        for path in sorted((CONF / group).glob("*.yaml")):
            parts += _option(group, path)
    return "".join(parts)


def _option(group: str, path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    name = path.stem
    yield f"### {group}={name}\n\n{' '.join(head)}\n\n"
    settings = yaml.safe_load(text)
    kinds = _types(group, str(settings.get("kind", settings["name"])))
    rows = [found for line in lines if (found := _KEY.match(line))]
    told = [row for row in rows if row[1] not in ("name", "kind", "defaults")]
    if told:
        yield "| key | default | type | |\n| --- | --- | --- | --- |\n"
        for row in told:
            value = json.dumps(settings[row[1]]) if row["value"] in (None, "") else row["value"]
            cells = (f"`{group}.{row[1]}`", f"`{value}`", kinds.get(row[1], ""), row["said"] or "")
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
        yield "\n"


def _types(group: str, kind: str) -> dict[str, str]:
    """The type and range of each of an option's settings, in words."""
    declared = importlib.import_module(f"{GROUPS[group]}.{kind}").Config
    hints = typing.get_type_hints(declared, include_extras=True)
    return {one.name: _in_words(hints[one.name]) for one in dataclasses.fields(declared)}


def _in_words(hint: Any) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        ranges = [found for mark in inside[1:] if (found := _range(mark))]
        return " ".join([_in_words(inside[0]), *ranges])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(one) for one in inside)
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in inside)
    if hint is type(None):
        return "`null`"
    if origin is not None:
        return (
            f"{origin.__name__} of {', '.join(_in_words(one) for one in inside if one is not ...)}"
        )
    plain = {int: "whole number", float: "number", bool: "true or false", str: "word"}
    return plain.get(hint, getattr(hint, "__name__", str(hint)).lower())


def _range(mark: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " ".join(
        f"{sign} {getattr(mark, at)}" for at, sign in signs.items() if hasattr(mark, at)
    )


def commands() -> str:
    """Every command of ``avatarl`` with what it says of itself."""
    parts = []
    for name, (_, summary) in cli.COMMANDS.items():
        parts.append(f"## avatarl {name}\n\n{summary.capitalize()}.\n\n")
        if name == "run":
            parts.append("Options are Hydra's: see [the groups and keys](reference.md).\n\n")
            continue
        told = cli.parser(name)
        [subparsers] = [a for a in told._actions if isinstance(a, argparse._SubParsersAction)]
        parts.append(f"```text\n{subparsers.choices[name].format_help()}```\n\n")
    return "".join(parts)


def tutorial() -> str:
    """The notebook: its words, its code, and what that showed when it was run."""
    parts = []
    for cell in json.loads(_TUTORIAL.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(f"{text}\n\n")
            continue
        parts.append(f"```python\n{text}\n```\n\n")
        parts += [_output(output) for output in cell["outputs"]]
    return "".join(parts)


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```\n\n"
    data = {kind: "".join(shown) for kind, shown in output["data"].items()}
    if "image/png" in data:
        png = data["image/png"].replace("\n", "")
        return f'<img alt="{data["text/plain"]}" src="data:image/png;base64,{png}">\n\n'
    if data.get("text/html", "").lstrip().startswith(("<table", "<p", "<div")):
        return "```{raw} html\n" + data["text/html"] + "\n```\n\n"
    return f"```text\n{data['text/plain'].rstrip()}\n```\n\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference": reference,
    "commands": commands,
    "tutorial": tutorial,
}


def write_gallery(folder: Path) -> None:
    """Train a small sweep and write the page that compares it, as its code is now.

    Raises:
        subprocess.CalledProcessError: Something of that failed.
    """
    sweep = [
        "reference=bigram,ngram4", "reward.confidence_weight=0,1", "seed=0,1,2", "model=gpt2_tiny",
        "data=folio", "trainer.steps=120", "trainer.eval_every=20", "trainer.batch_size=64",
        "tracking=files", "trainer.device=cpu", "trainer.threads=1",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as outputs:
        place = f"output_dir={outputs}"
        _avatarl("run", "-m", *sweep, "sweep_name=gallery", place)
        _avatarl("compare", "gallery", "--output-dir", outputs, "--html", str(folder / "demo.html"))


def _avatarl(*words: str) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "avatarl", *words]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
