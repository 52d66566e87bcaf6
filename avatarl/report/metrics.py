"""What is known about metrics: their titles, units, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avatarl.runs.headings import HEADINGS


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        title: Heading or axis label, with the unit.
        better: -1 if less is better, 1 if more is, 0 if neither.
        digits: Digits after the point in a table.
    """

    title: str
    better: int
    digits: int


@dataclass(frozen=True)
class Axis:
    """What curves are drawn against.

    Attributes:
        column: Its key in a journal.
        title: With the unit.
    """

    column: str
    title: str


#: By the words of ``avatarl compare --x``. An epoch is as many characters as the training text has.
AXES = {
    "characters": Axis("characters_seen", "characters seen"),
    "steps": Axis("step", "steps"),
    "epochs": Axis("epoch", "epochs"),
    "seconds": Axis("time/elapsed_s", "seconds"),
}
CHARACTERS, STEPS = AXES["characters"], AXES["steps"]

DEFAULT = (
    "val/nats", "adaptive/nats", "ensemble/nats", "val/accuracy", "val/ece", "val/entropy",
    "reward/hit_probability", "characters_seen", "seconds",
)  # fmt: skip

#: How metrics are shown that are known by name.
KNOWN = {
    "val/nats": Metric("held-out nats per character", -1, 4),
    "best/nats": Metric("best nats on the evaluation sample", -1, 4),
    "adaptive/nats": Metric("held-out nats, adapting while reading", -1, 4),
    "adaptive/accuracy": Metric("held-out accuracy, adapting while reading", 1, 4),
    "ensemble/nats": Metric("held-out nats of the members' mean", -1, 4),
    "ensemble/accuracy": Metric("held-out accuracy of the members' mean", 1, 4),
    "last/nats": Metric("held-out nats of the last weights", -1, 4),
    "headline/dev_nats": Metric("nats on the development slice", -1, 4),
    "val/bits": Metric("held-out bits per character", -1, 4),
    "val/perplexity": Metric("held-out perplexity", -1, 3),
    "val/accuracy": Metric("held-out accuracy", 1, 4),
    "val/ece": Metric("calibration error (15 bins)", -1, 4),
    "val/brier": Metric("held-out Brier score", -1, 4),
    "val/entropy": Metric("held-out entropy (nats)", 0, 3),
    "val/rank": Metric("mean rank of the text's character", -1, 3),
    "val/margin": Metric("log-probability ahead of the best other (nats)", 1, 3),
    "reward/expected": Metric("expected reward under the policy", 1, 4),
    "reward/hit_probability": Metric("probability of a hit in training", 1, 4),
    "characters_seen": Metric("characters seen", 0, 0),
    "epoch": Metric("epochs", 0, 2),
    "seconds": Metric("seconds", -1, 1),
    "best/step": Metric("best step", 0, 0),
    "steps": Metric("steps", 0, 0),
    "parameters": Metric("parameters", 0, 0),
    "train/loss": Metric("training loss", -1, 4),
    "train/nats": Metric("training nats per character", -1, 4),
    "train/accuracy": Metric("training accuracy", 1, 4),
    "train/rank": Metric("mean training rank of the text's character", -1, 3),
    "train/margin": Metric("training log-probability ahead of the best other (nats)", 1, 3),
    "train/kl": Metric("KL to the reference (nats)", 0, 4),
    "train/entropy": Metric("training entropy (nats)", 0, 4),
    "health/grad_norm": Metric("gradient norm before clipping", 0, 4),
    "health/grad_ratio": Metric("gradient norm to its average", 0, 3),
    "health/entropy_p10": Metric("held-out entropy, lowest tenth (nats)", 0, 3),
    "health/entropy_p90": Metric("held-out entropy, highest tenth (nats)", 0, 3),
    "health/confident_share": Metric("share of positions above 0.8", 0, 4),
    "health/entropy_gap": Metric("nats minus entropy", 0, 4),
    "val/kl_ref": Metric("held-out KL to the reference (nats)", 0, 4),
    "val/kl_from_ref": Metric("held-out KL from the reference (nats)", 0, 4),
    "health/grad_cv": Metric("gradient variation over 50 steps", 0, 3),
    "health/clip_fraction": Metric("clipped share of the policy", 0, 4),
    "health/collapse_gap": Metric("confidence minus accuracy above 0.8", -1, 4),
}
_ENDINGS = (
    ("/nats", "{} nats", -1), ("/accuracy", "{} accuracy", 1), ("_s", "{} (s)", 0),
    ("_ms", "{} (ms)", 0), ("_gib", "{} (GiB)", 0), ("_bits", "{} (bits)", 0),
)  # fmt: skip


def describe(name: str) -> Metric:
    """Return how to show ``name``; an unknown metric keeps its own name as title."""
    if name in KNOWN:
        return KNOWN[name]
    if name.startswith("dev/") and (alike := KNOWN.get(f"val/{name.removeprefix('dev/')}")):
        title = alike.title.removeprefix("held-out ")
        return replace(alike, title=f"{title}, development slice")
    for ending, title, better in _ENDINGS:
        if name.endswith(ending):
            return Metric(title.format(name.removesuffix(ending)), better, 4)
    return Metric(name, 0, 4)


def is_held_out(name: str) -> bool:
    """Whether a metric is of held-out text, which is to steer nothing."""
    of_evaluations = ("health/entropy_", "health/confident_share", "health/collapse_gap")
    return name.startswith(("val/", "best/", "last/", "ensemble/", "adaptive/", *of_evaluations))


def metric_heading(metric: str) -> str:
    """Return a short heading for a metric."""
    return HEADINGS.get(metric, metric)


def format_number(value: float | None, digits: int) -> str:
    """Return a number for a table; ``–`` where there is none."""
    if value is None:
        return "–"
    if value != 0 and abs(value) < 10**-digits and digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"
