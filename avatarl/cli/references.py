"""``avatarl references``: measure every reference on a text before choosing one."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from avatarl import terminal
from avatarl.errors import ConfigError, did_you_mean
from avatarl.source import CONF, options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avatarl.data import Corpus
    from avatarl.reference.survey import Measurement

HIGHEST = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--data",
        default="tinyshakespeare",
        metavar="TEXT",
        help="an option of the data group, or any UTF-8 file (default: tinyshakespeare)",
    )
    parser.add_argument(
        "--orders",
        default="2-8",
        metavar="A-B",
        help=f"orders to measure, from 1 to {HIGHEST}: 2-8, 7, or 2,4,7 (default: 2-8)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw nats against order, too")


def main(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        ConfigError: The text or the orders can't be used.
    """
    orders = parse_orders(args.orders)
    corpus = load(args.data)
    rows = _measure(corpus, orders)
    if args.json:
        found = {"schema": 1, "corpus": corpus.name, "corpus_sha256": corpus.text_sha256}
        print(json.dumps({**found, "references": [row.as_dict() for row in rows]}, indent=2))
    else:
        _print(corpus, rows)
    if args.plot is not None:
        from avatarl.reference.figure import draw

        try:
            draw(rows, args.plot, f"References on {corpus.name}")
        except OSError as error:
            raise ConfigError("--plot", str(args.plot), "a path to write to", str(error)) from None
    return 0


def parse_orders(text: str) -> list[int]:
    """Read ``2-8``, ``7`` or ``2,4,7``.

    Raises:
        ConfigError: It isn't that, or an order is outside 1 … ``HIGHEST``.
    """
    orders: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= HIGHEST:
            raise ConfigError("--orders", text, f"orders from 1 to {HIGHEST}: 2-8, 7, or 2,4,7")
        orders.update(range(first, last + 1))
    return sorted(orders)


def load(data: str) -> Corpus:
    """Load an option of the data group by name, or any file by path.

    Raises:
        ConfigError: It is neither.
        DataError: The text can't be used.
    """
    from avatarl.data import load as load_corpus
    from avatarl.data.base import Config
    from avatarl.options import read

    options = [option for option in options_of("data") if option != "text"]
    if data in options:
        name, overrides = data, {}
    elif Path(data).expanduser().is_file():
        name, overrides = "text", {"path": data}
    else:
        valid = f"{', '.join(options)}, or the path of a UTF-8 file" + did_you_mean(data, options)
        raise ConfigError("--data", data, valid)
    raw: dict[str, Any] = yaml.safe_load(
        (CONF / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    return load_corpus(read(Config, {**raw, **overrides}, "data"))  # type: ignore[type-abstract]


def _measure(corpus: Corpus, orders: Sequence[int]) -> list[Measurement]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from avatarl.reference.survey import plan, survey

    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn())
    # On the error stream, so that the table or JSON can be piped.
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(plan(orders, len(corpus.train))))

        def starting(name: str, order: int) -> None:
            progress.update(task, description=f"{name} {order}")

        rows = []
        for row in survey(corpus.train, corpus.heldout, corpus.vocab_size, orders, starting):
            rows.append(row)
            progress.advance(task)
    return rows


def _print(corpus: Corpus, rows: Sequence[Measurement]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if corpus.fallback_reason:
        print(f"{corpus.name}: {corpus.fallback_reason}")
    table = Table(
        title=f"{corpus.name}: {len(corpus.train):,} training, {len(corpus.heldout):,} held-out "
        f"characters, {corpus.vocab_size} distinct",
        caption="on the held-out text; ECE: calibration error; build: without cross-fitting",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("reference", no_wrap=True)
    for heading in ("order", "nats", "perplexity", "accuracy", "ECE", "build s", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = min(rows, key=lambda row: row.nats)
    for row in rows:
        table.add_row(
            row.reference,
            str(row.order),
            f"{row.nats:.4f}",
            f"{row.perplexity:.3f}",
            f"{row.accuracy:.3f}",
            f"{row.ece:.3f}",
            f"{row.build_s:.2f}",
            f"{row.size_mib:.1f}",
            style="bold" if row is best else None,
        )
    terminal.console().print(table)
