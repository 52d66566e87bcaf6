"""``avatarl inspect``: what a policy thinks comes next, and what the game makes of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.color import Color
from rich.style import Style
from rich.table import Table
from rich.text import Text

from avatarl import terminal
from avatarl.cli.options import add_member, add_number, add_output_dir, check_member
from avatarl.errors import ConfigError
from avatarl.runs.find import find_run
from avatarl.text import printable, visible

if TYPE_CHECKING:
    from avatarl.training.inspection import Choice, Seen

_BAR = 20  # characters wide
# From unsure to sure, where the policy's choice was the text's and where it wasn't.
_PALE, _RIGHT, _WRONG = (150, 150, 150), (0, 114, 178), (213, 94, 0)
_DEFAULT_CHARACTERS = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("run", help="folder, name or id of a run")
    parser.add_argument(
        "--text", help="what the policy has read: all characters ranked that may follow it"
    )
    parser.add_argument(
        "--next", metavar="CHAR",
        help="the text's next character (default: what follows TEXT, or its end, in the corpus)",
    )  # fmt: skip
    add_number(
        parser, "--characters", kind=int, least=1, default=_DEFAULT_CHARACTERS, metavar="N",
        help=f"without --text: of the held-out passage ({_DEFAULT_CHARACTERS})",
    )  # fmt: skip
    add_number(
        parser, "--step", kind=int, least=0, action="append", default=[], metavar="N",
        help="of a kept checkpoint; may be given again (default: the newest; --html: all)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "--html", type=Path, metavar="FILE",
        help="write a page with both views, checkpoints side by side",
    )  # fmt: skip
    add_member(parser)
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Show the context's choices, or a passage.

    Raises:
        UserError: No such run or checkpoint, or a character that isn't in the text.
    """
    for key in ("text", "next"):
        value = getattr(args, key)
        if value is not None and (not value or (key == "next" and len(value) != 1)):
            raise ConfigError(f"--{key}", value, "one character" if key == "next" else "some text")
    if args.next is not None and args.text is None:
        raise ConfigError("--next", args.next, "only with --text, which it follows")
    folder = find_run(args.run, args.output_dir)
    steps: Sequence[int | None] = args.step or (
        folder.checkpoint_steps() if args.html is not None else [None]
    )
    from avatarl.training.inspection import look
    from avatarl.training.stored import load_policies

    views = []
    for learner, corpus in load_policies(folder, steps or [None]):
        check_member(args.member, len(learner.state.members))
        characters = args.characters if args.text is None or args.html is not None else 0
        asked = {"text": args.text, "follows": args.next, "member": args.member}
        views.append(look(learner, corpus, characters=characters, **asked))
    if args.json:
        told = {"schema": 1, "run": folder.path.name, "views": [_plain(one) for one in views]}
        print(json.dumps(told))
    elif args.html is None:
        for view in views:
            _show(view)
    if args.html is not None:
        from avatarl.report.inspection_page import write

        try:
            write(folder.path.name, views, args.html)
        except OSError as error:
            raise ConfigError("--html", str(args.html), "a path to write to", str(error)) from None
        terminal.say(terminal.console(stderr=True), f"page: {args.html}")
    return 0


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    rows = {key: view[key] for key in ("choices", "passage") if key in view}
    return view | {key: [dataclasses.asdict(row) for row in found] for key, found in rows.items()}


def _show(view: dict[str, Any]) -> None:
    console = terminal.console()
    if "choices" in view:
        terminal.say(console, f"step {view['step']:,}, after {view['text']!r}:")
        console.print(_ranking(view["choices"]))
        if view["next"] is None:
            terminal.say(
                console, "the corpus doesn't say what follows: --next CHAR does, and adds rewards"
            )
        return
    words = f"nats {view['nats']:.3f}, accuracy {view['accuracy']:.3f}"
    terminal.say(console, f"step {view['step']:,}, held-out passage: {words}")
    console.print(Text.assemble(*(_coloured(one) for one in view["passage"])), soft_wrap=True)
    if console.color_system:
        scale = [(share / 10, right) for right in (False, True) for share in range(11)]
        blocks = [Text("█", _style(share, right)) for share, right in scale]
        console.print(Text.assemble("wrong 0 ", *blocks[:11], " 1   right 0 ", *blocks[11:], " 1"))


def _ranking(choices: Sequence[Choice]) -> Table:
    """Lay out the choices, one a line, in 80 columns; the text's character is marked."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    played, guided = choices[0].reward is not None, choices[0].reference is not None
    headings = ["", "", "", "prob", "log p", *(["ref"] if guided else [])]
    headings += ["reward", "adv", "push"] if played else []
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place in (1, 2) else "right", no_wrap=True)
    for rank, one in enumerate(choices, 1):
        bar = "█" * round(one.probability * _BAR) or "▏"
        cells = [str(rank), visible(one.character) + (" ◀" if one.matches else ""), bar]
        cells += [f"{one.probability:.4f}", f"{one.logprob:.3f}"]
        cells += [f"{one.reference:.4f}"] if one.reference is not None else []
        if one.reward is not None:
            cells += [f"{one.reward:.3f}", f"{one.advantage:.3f}", f"{one.push:+.4f}"]
        table.add_row(*map(Text, cells), style="bold" if one.matches else None)
    return table


def _coloured(one: Seen) -> Text:
    return Text(
        printable(one.character, keep="\n"), _style(one.confidence, one.choice == one.character)
    )


def _style(confidence: float, right: bool) -> Style:
    sure = _RIGHT if right else _WRONG
    shade = (round(low + (top - low) * confidence) for low, top in zip(_PALE, sure, strict=True))
    return Style(color=Color.from_rgb(*shade))
