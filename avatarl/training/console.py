"""A run on the terminal: a few live lines while it learns, a few more at its ends."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

import rich.console
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from avatarl import terminal
from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.reference.levels import NgramLevel, ngram_levels
from avatarl.runs import find
from avatarl.runs.progress import Progress as Moment
from avatarl.runs.result import Result
from avatarl.training.entry import execute
from avatarl.training.recording import ALARMS

_PLAIN_EVERY = 10  # lines of a run on something that isn't a terminal
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 16


class Console:
    """Says what a person wants to know; plain lines when the output isn't a terminal."""

    def __init__(self, console: rich.console.Console | None = None) -> None:
        self.rich = console or terminal.console()

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line, unparsed; only a terminal's edge breaks it, and then between words."""
        wrapped = self.rich.is_terminal
        self.rich.print(Text(text, style or ""), soft_wrap=not wrapped)

    def introduce(self, config: RunConfig, identity: str, corpus: Corpus) -> None:
        """Say what is learned from what, beginning with the text."""
        if corpus.fallback_reason:
            self.say(
                f"text: {corpus.name}, because {corpus.fallback_reason} "
                "(data.fallback=null makes this an error)",
                "yellow",
            )
        else:
            self.say(
                f"text: {corpus.name}, {len(corpus.train):,} characters to train on, "
                f"{len(corpus.heldout):,} held out, {corpus.vocab_size} distinct"
            )
        for note in corpus.notes:
            self.say(f"note: {note}", "yellow")
        self.say(
            f"run: {config.name}-{identity}: {config.model.name}, "
            f"objective {config.objective.name}, reward {config.reward.name}, "
            f"reference {config.reference.name}"
        )
        fixed = config.reward.fixed_expectation
        competes = config.objective.is_control or config.opponent.rivals
        if fixed is not None and not competes:
            self.say(
                f"note: the expected reward is {fixed:g} times its weight by construction, "
                "whatever is learned; what moves is the probability of a hit"
            )

    def conclude(self, result: Result) -> None:
        """Say what came out, against the n-gram ladder."""
        for line, style in _CLOSING:
            # What an older version, or another way of computing a run, has left out isn't said.
            with contextlib.suppress(LookupError, TypeError, ValueError, StopIteration):
                if told := line(result):
                    self.say(told, style)
        # Never broken by us, so that it can be copied.
        terminal.say(self.rich, f"files:    {result.directory}")
        run = find.spoken(result.directory)
        terminal.say(self.rich, f"next:     avatarl sample {run}")
        terminal.say(self.rich, f"          avatarl inspect {run} --text 'To be, or not to b'")
        terminal.say(self.rich, f"          avatarl compare {run} --html run.html")


def _held_out(result: Result) -> str:
    return (
        f"held out: {result['val/nats']:.4f} nats ({result['val/perplexity']:.2f} perplexity, "
        f"{result['val/bits']:.3f} bits), accuracy {result['val/accuracy']:.4f}, "
        f"calibration error {result['val/ece']:.3f}, entropy {result['val/entropy']:.3f} nats"
    )


def _together(result: Result) -> str:
    """Return what a population's members and their ensemble are worth; nothing without one."""
    members = [result[f"population/{member}/nats"] for member in range(result["members"])]
    return (
        f"ensemble: {result['ensemble/nats']:.4f} nats, "
        f"accuracy {result['ensemble/accuracy']:.4f}; members "
        + ", ".join(f"{nats:.4f}" for nats in members)
    )


def _ladder(result: Result) -> str:
    names = ("unigram", "bigram", "trigram", "ngram4")
    levels = (
        f"{name} {result[f'ngram/{name}/nats']:.3f} ({result[f'ngram/{name}/accuracy']:.3f})"
        for name in names
    )
    return f"n-grams:  {', '.join(levels)} nats (accuracy)"


def _earned(result: Result) -> str:
    return (
        f"training: hit probability {result['reward/hit_probability']:.4f}, "
        f"reward {result['reward/expected']:.4f}; {result['characters_seen']:,} characters "
        f"({result['epoch']:.2f} epochs) in {result['seconds']:.0f} s"
    )


def _alarms(result: Result) -> str:
    return f"alarms raised on the way: {', '.join(result['alarms'])}" if result["alarms"] else ""


def _sample(result: Result) -> str:
    sample = next(s for s in result["samples"] if s["temperature"] == 0.8)["text"]
    return f"sample:   {' / '.join(sample.strip().splitlines()[:4])}" if sample.strip() else ""


#: The last lines of a run, and their styles.
_CLOSING: tuple[tuple[Callable[[Result], str], str | None], ...] = (
    (_held_out, "bold"),
    (_together, None),
    (_ladder, None),
    (_earned, None),
    (_alarms, "yellow"),
    (_sample, None),
)


def watched(
    config: RunConfig,
    corpus: Corpus,
    identity: str,
    stop: Callable[[], bool],
    console: Console,
) -> Result:
    """Execute a run with its progress shown."""
    show = _live if terminal.redraws(console.rich) else _plainly
    with _warnings_told(console):
        run = functools.partial(execute, config, stop=stop, corpus=corpus, identity=identity)
        return show(run, corpus, console)


def _live(run: Callable[..., Result], corpus: Corpus, console: Console) -> Result:
    levels = ngram_levels(corpus.train, corpus.heldout, corpus.vocab_size)
    hits: deque[float] = deque(maxlen=_SPARK_WIDTH)
    alarms: set[str] = set()
    with terminal.live(console.rich) as draw:

        def show(moment: Moment) -> None:
            hit = moment.metrics.get("reward/hit_probability")
            if hit is not None:
                hits.append(hit)
            _tell_changes(alarms, moment, lambda line: console.rich.print(Text(line)))
            draw(screen(moment, hits, levels))

        return run(on_progress=show)


def screen(moment: Moment, hits: Iterable[float], levels: Mapping[str, NgramLevel]) -> Group:
    """Draw a moment in lines that fit a narrow terminal: progress, nats, reward, alarms.

    Args:
        moment: Of the run.
        hits: The latest hit probabilities, the reward that moves whatever the run's own is.
        levels: The n-gram ladder.
    """
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    left = "" if moment.eta_s is None else f"{timedelta(seconds=round(moment.eta_s))} left, "
    bar.add_row(
        f"step {moment.step:,} of {moment.steps:,}",
        ProgressBar(total=moment.steps, completed=moment.step),
        f"{left}{moment.rate:.1f} steps/s",
    )
    lines = [
        "" if moment.nats is None else f"nats {moment.nats:.3f}  {standing(moment.nats, levels)}",
        "  ".join(
            [
                *(f"hits {newest:.3f} {sparkline(hits)}" for newest in list(hits)[-1:]),
                *_figures(moment, {"reward": "reward/expected", "entropy": "train/entropy"}),
            ]
        ),
    ]
    drawn = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines if line]
    if moment.warnings:
        on = f"alarms: {', '.join(moment.warnings)}"
        drawn.append(Text(on, style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(bar, *drawn)


def _plainly(run: Callable[..., Result], corpus: Corpus, console: Console) -> Result:
    alarms: set[str] = set()
    told = -1

    def show(moment: Moment) -> None:
        nonlocal told
        _tell_changes(alarms, moment, console.say)
        tenth = moment.step * _PLAIN_EVERY // moment.steps
        if tenth != told:
            told = tenth
            console.say(f"step {moment.step}/{moment.steps}  {facts_of(moment)}")

    return run(on_progress=show)


@contextlib.contextmanager
def _warnings_told(console: Console) -> Iterator[None]:
    """Say what is logged as a warning, too; alarms have lines of their own."""
    handler = _Aloud(console)
    log = logging.getLogger("avatarl")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Aloud(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.addFilter(
            lambda record: record.levelno == logging.WARNING and record.name != ALARMS.name
        )
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.say(f"note: {self.format(record)}", "yellow")


def facts_of(moment: Moment) -> str:
    """The few figures that fit on a line."""
    shown = {
        "hits": "reward/hit_probability",
        "reward": "reward/expected",
        "entropy": "train/entropy",
        "nats": "val/nats",
    }
    return "  ".join([*_figures(moment, shown), f"{moment.rate:.1f} steps/s"])


def _figures(moment: Moment, shown: Mapping[str, str]) -> list[str]:
    """Return the newest of those metrics that there are, by their short names."""
    found = {name: moment.metrics.get(metric) for name, metric in shown.items()}
    return [f"{name} {value:.3f}" for name, value in found.items() if value is not None]


def sparkline(values: Iterable[float]) -> str:
    """Draw values as a row of blocks, from the lowest to the highest of them."""
    numbers = list(values)
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[round((n - low) / span * top) if span else 0] for n in numbers)


def standing(nats: float | None, levels: Mapping[str, NgramLevel]) -> str:
    """Say between which n-grams a loss lies: ``better than bigram, 0.03 to trigram``."""
    if nats is None:
        return ""
    beaten = [name for name, level in levels.items() if nats < level.nats]
    ahead = [(level.nats, name) for name, level in levels.items() if nats >= level.nats]
    words = [f"better than {beaten[-1]}"] if beaten else []
    if ahead:
        closest, name = max(ahead)
        words.append(f"{nats - closest:.2f} to {name}")
    return ", ".join(words)


def _tell_changes(alarms: set[str], moment: Moment, say: Callable[[str], None]) -> None:
    now = set(moment.warnings)
    for name in sorted(now - alarms):
        say(f"warning: {name} (step {moment.step})")
    for name in sorted(alarms - now):
        say(f"cleared: {name} (step {moment.step})")
    alarms.clear()
    alarms.update(now)
