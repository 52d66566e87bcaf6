"""``avatarl sample``: let a trained policy write, streamed to the terminal."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from rich.color import Color
from rich.console import Console
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

from avatarl import terminal
from avatarl.cli.options import add_member, add_number, add_output_dir, check_member
from avatarl.errors import ConfigError, UserError
from avatarl.runs.find import find_run

if TYPE_CHECKING:
    from avatarl.data import Corpus
    from avatarl.training.learner import Learner

_Written = TypeVar("_Written")

# From unsure to sure; distinguishable without red and green.
_UNSURE, _SURE = (230, 159, 0), (0, 114, 178)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("run", help="folder, name or id of a run")
    parser.add_argument("--prompt", default="\n", help="text to begin with (default: a new line)")
    add_number(
        parser, "--temperature", kind=float, least=0, default=0.8,
        help="0 always takes the likeliest",
    )  # fmt: skip
    add_number(parser, "--n", kind=int, least=1, default=1, help="how many texts")
    add_number(parser, "--characters", kind=int, least=1, default=500, help="length of each")
    add_number(parser, "--seed", kind=int, least=0, most=2**32 - 1, default=0)
    parser.add_argument("--color", action="store_true", help="colour characters by confidence")
    parser.add_argument(
        "--against", choices=["reference"], help="show the n-gram's text beside the policy's"
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="by the mean of all members of a population"
    )
    add_member(parser)
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Write the samples."""
    if not args.prompt:
        raise ConfigError("--prompt", "", "at least one character")
    from avatarl.training.population import mean_distribution
    from avatarl.training.stored import load_policy

    folder = find_run(args.run, args.output_dir)
    learner, corpus = load_policy(folder)
    prompt = corpus.encode(args.prompt).tolist()
    size = len(learner.state.members)
    check_member(args.member, size)
    scorers: dict[str, Any] = {
        "policy": learner.scorer_of(args.member) if args.member else learner.headline
    }
    if args.ensemble:
        each = [learner.scorer_of(member) for member in range(size)]
        scorers["policy"] = lambda *text: mean_distribution([score(*text) for score in each])
    if args.against:
        if learner.score_reference is None:
            raise UserError(f"--against reference: {folder.path.name} has no reference")
        scorers["reference"] = learner.score_reference
    console = terminal.console()
    for number in range(args.n):
        if terminal.reader_left():
            break
        if args.n > 1:
            console.rule(f"{number + 1} of {args.n}")
        streams = {
            name: _written(learner, corpus, score, prompt, args, args.seed + number)
            for name, score in scorers.items()
        }
        if len(streams) == 1:
            console.print(_shown(args.prompt, 1.0, False), end="")
            for character, confidence in _while_read(streams["policy"]):
                console.print(_shown(character, confidence, args.color), end="", soft_wrap=True)
            console.print()
        else:
            _side_by_side(console, args, streams)
    if args.color and console.color_system:
        console.print(_scale())
    return 0


def _written(
    learner: Learner,
    corpus: Corpus,
    score: Any,
    prompt: list[int],
    args: argparse.Namespace,
    seed: int,
) -> Iterator[tuple[str, float]]:
    from avatarl.training.sampling import generate

    for chosen, confidence in generate(
        score,
        prompt,
        reads=learner.reads,
        temperatures=[args.temperature],
        characters=args.characters,
        seed=seed,
        device=learner.device,
    ):
        yield corpus.characters[int(chosen[0])], float(confidence[0])


def _while_read(written: Iterable[_Written]) -> Iterator[_Written]:
    return itertools.takewhile(lambda one: not terminal.reader_left(), written)


def _side_by_side(
    console: Console, args: argparse.Namespace, streams: dict[str, Iterator[tuple[str, float]]]
) -> None:
    """Write the streams in columns, a character of each at a time."""
    texts = [_shown(args.prompt, 1.0, False) for _ in streams]
    table = Table(*streams, box=None, padding=(0, 3, 0, 0), expand=True)
    for column in table.columns:
        column.ratio = 1
    table.add_row(*texts)
    with Live(table, console=console, vertical_overflow="visible"):
        for drawn in _while_read(zip(*streams.values(), strict=True)):
            for text, (character, confidence) in zip(texts, drawn, strict=True):
                text.append_text(_shown(character, confidence, args.color))
    terminal.end_line(console)


def _scale() -> Text:
    """Return what the colours mean."""
    shares = range(0, 101, 10)
    blocks = [_shown("█", share / 100, True) for share in shares]
    return Text.assemble("confidence 0 ", *blocks, " 1")


def _shown(text: str, confidence: float, colored: bool) -> Text:
    if not colored:
        return Text(text)
    red, green, blue = (
        round(low + (high - low) * confidence) for low, high in zip(_UNSURE, _SURE, strict=True)
    )
    return Text(text, Style(color=Color.from_rgb(red, green, blue)))
