"""Draw the figures of docs/findings.md from docs/findings/*.json, or write those from sweeps.

    python docs/make_findings.py                           # draws docs/images/findings-*.png
    python docs/make_findings.py --tables teachers         # prints the figures of a summary
    python docs/make_findings.py --outputs outputs traps_a teachers     # summarises sweeps first
    python docs/make_findings.py --outputs outputs --into teachers more # adds runs to a summary

A summary holds, of each run of a sweep, what was varied, the final figures and the curves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from avatarl import load_runs

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parent
SUMMARIES = DOCS / "findings"
IMAGES = DOCS / "images"
FINAL = ("val/nats", "val/accuracy", "val/ece", "val/entropy", "seconds", "characters_seen")
CURVES = (
    "reward/expected", "reward/hit_probability", "reward/spread_within", "reward/uniform_mean",
    "train/entropy", "train/kl", "train/kl_coef", "val/nats", "val/accuracy", "dev/nats",
    "health/update_sparsity", "health/update_sparsity_window",
)  # fmt: skip
#: Words that say where and how fast, not what.
PLACES = (
    "output_dir", "sweep_name", "tracking", "trainer.threads", "trainer.device", "data.path",
    "data=",
)  # fmt: skip
TITLES = {
    "reward/expected": "expected reward", "reward/hit_probability": "hit probability",
    "reward/spread_within": "reward's std under the policy", "val/nats": "held-out nats",
    "val/accuracy": "held-out accuracy", "train/entropy": "entropy (nats)",
}  # fmt: skip
COLOURS = (
    "tab:blue", "tab:orange", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:cyan",
    "grey", "navy", "goldenrod",
)  # fmt: skip
BIGRAM = {"val/nats": 2.482, "val/accuracy": 0.270, "reward/hit_probability": 0.152}  # add-1


@dataclass(frozen=True)
class Picture:
    """What is drawn of a sweep.

    Attributes:
        panels: Metrics, and the range that is shown of each; beyond lies what pays for other
            things than the text.
        lines: Horizontal lines, by label, in panels of held-out nats.
    """

    panels: Mapping[str, tuple[float, float]]
    lines: Mapping[str, float] | None = None


_TRAPS = {
    "reward/expected": (0, 1.1), "reward/spread_within": (0, 0.6), "val/nats": (2, 10),
    "val/accuracy": (0, 0.4), "reward/hit_probability": (0, 0.35), "train/entropy": (0, 3.2),
}  # fmt: skip
PICTURES = {
    "traps_a": Picture(
        {
            "reward/expected": (0, 0.32),
            **{key: _TRAPS[key] for key in ("reward/hit_probability", "val/nats")},
        }
    ),
    "traps_b": Picture(
        {key: _TRAPS[key] for key in ("reward/expected", "reward/spread_within", "val/nats")}
    ),
    "traps_c": Picture(
        {key: _TRAPS[key] for key in ("reward/expected", "val/accuracy", "train/entropy")}
    ),
    "teachers": Picture({"val/nats": (1.55, 2.9)}),
    "feedback": Picture({"val/nats": (1.9, 3.4), "val/accuracy": (0.1, 0.45)}),
    "rewards": Picture(
        {"reward/expected": (0, 1.6), "reward/hit_probability": (0, 0.4), "val/nats": (1.9, 8)}
    ),
    "schedules": Picture({"val/nats": (1.55, 2.6)}),
}
#: What each record is called in the first picture.
TRACKS = {
    "record_policy": "reward + n-gram teacher, context 128",
    "record_policy_matched": "reward + n-gram teacher, context 8",
    "record_prior": "with an n-gram prior, too, context 128",
    "record_bandit_prior": "one character tried, n-gram prior",
    "record_bandit_alone": "four characters tried, nothing else",
}


def summarise(sweep: str, outputs: Path) -> dict[str, Any]:
    """What docs/findings/SWEEP.json is to hold."""
    plan = json.loads((outputs / "sweeps" / sweep / "plan.json").read_text())
    words = {run["id"]: run["overrides"] for run in plan["runs"]}
    runs = load_runs(sweep, output_dir=outputs)
    curves = runs.read_curves(list(CURVES))
    rows = []
    for run in runs:
        varied = [word for word in words[run.run_id] if not word.startswith(PLACES)]
        own = curves.filter(curves["run_id"] == run.run_id)
        if not sweep.startswith("traps"):  # elsewhere what happens between evaluations isn't shown
            own = own.filter(own["val/nats"].is_not_null())
        rows.append(
            {
                "varied": dict(word.split("=", 1) for word in varied),
                "is_control": run.is_control,
                "final": {name: run.result.get(name) for name in FINAL},
                "curves": {
                    name: _points(own, name)
                    for name in CURVES
                    if name in own.columns and own[name].count()
                },
            }
        )
    results = [run.result for run in runs]
    commits = sorted({str(result.get("git_commit"))[:7] for result in results})
    return {"sweep": sweep, "commit": commits, "runs": rows}


def add(more: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """A summary with the runs of another in place of its own of the same setting and seed."""
    new = [run["varied"] for run in more["runs"]]
    kept = [run for run in told["runs"] if run["varied"] not in new]
    commits = sorted({*told["commit"], *more["commit"]})
    return {"sweep": told["sweep"], "commit": commits, "runs": [*kept, *more["runs"]]}


def write(told: Mapping[str, Any]) -> None:
    """Write docs/findings/SWEEP.json, a run a line."""
    text = json.dumps(told, separators=(",", ":")).replace('{"varied"', '\n{"varied"')
    (SUMMARIES / f"{told['sweep']}.json").write_text(text + "\n")


def _points(own: Any, name: str) -> list[list[float]]:
    there = own.filter(own[name].is_not_null())
    pairs = zip(there["characters_seen"].to_list(), there[name].to_list(), strict=True)
    return [[at, float(f"{value:.5g}")] for at, value in pairs]


def by_setting(summary: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The runs of each setting, over seeds; all controls are one."""
    groups: dict[str, list[Any]] = {}
    for run in summary["runs"]:
        varied = {key: value for key, value in run["varied"].items() if key != "seed"}
        if not run["is_control"]:
            rewarded = varied.pop("reward.weight", "1") != "0"
            label = " ".join([*varied.values(), *([] if rewarded else ["alone"])])
            label = label.replace("_", " ")
        elif varied.get("trap", "published") == "published":  # a trap's control has the trap's name
            label = "control"
        else:
            continue
        groups.setdefault(label, []).append(run)
    return groups


def mean_curve(runs: Sequence[Mapping[str, Any]], metric: str) -> tuple[Any, Any, Any]:
    """Characters, mean and half the range over seeds."""
    curves = [np.array(run["curves"][metric]) for run in runs if metric in run["curves"]]
    length = min(len(curve) for curve in curves)
    values = np.stack([curve[:length, 1] for curve in curves])
    return curves[0][:length, 0], values.mean(0), np.ptp(values, axis=0) / 2


def draw(summary: Mapping[str, Any], picture: Picture, path: Path) -> None:
    """Curves of each setting, its seeds' mean and range; the control in black."""
    groups = by_setting(summary)
    others = [label for label in groups if label not in ("published", "none", "control")]
    styles: dict[str, dict[str, Any]] = {
        label: {"color": COLOURS[number % len(COLOURS)], "lw": 1.2}
        for number, label in enumerate(others)
    }
    for label in styles:  # a teacher without the reward: as with it, but dotted
        if label.endswith(" alone"):
            styles[label] = {**styles[label.removesuffix(" alone")], "ls": ":"}
    styles["published"] = {"color": "tab:red", "lw": 2.6}
    styles["none"] = {"color": "tab:green", "lw": 2.6}
    styles["control"] = {"color": "black", "lw": 1.2, "ls": "--"}
    number = len(picture.panels)
    figure, panels = plt.subplots(
        1, number, figsize=(4.5 * max(number, 1.6), 4.2), layout="constrained", squeeze=False
    )
    for panel, (metric, limits) in zip(panels[0], picture.panels.items(), strict=True):
        for label, runs in groups.items():
            if not any(metric in run["curves"] for run in runs):
                continue
            at, mean, half = mean_curve(runs, metric)
            told = "no trap" if label == "none" else label
            panel.plot(at / 1000, mean, label=told, **styles[label])
            colour = styles[label]["color"]
            panel.fill_between(at / 1000, mean - half, mean + half, color=colour, alpha=0.12, lw=0)
        lines = picture.lines if metric == "val/nats" and picture.lines else {}
        for name, value in lines.items() or {"bigram": BIGRAM.get(metric, np.inf)}.items():
            _line(panel, name, value, limits)
        panel.set_ylim(*limits)
        panel.set_title(TITLES[metric], fontsize=10)
        panel.set_xlabel("thousand characters seen")
        panel.spines[["top", "right"]].set_visible(False)
    found = panels[0][0].get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=4 if number == 1 else 6, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _line(
    panel: Axes,
    name: str,
    value: float,
    limits: tuple[float, float],
    left: bool = False,
    below: bool = False,
) -> None:
    if limits[0] < value < limits[1]:
        panel.axhline(value, color="grey", lw=0.8, ls=":")
        panel.text(0.01 if left else 0.99, value, name, color="grey", fontsize=8,
                   ha="left" if left else "right", va="top" if below else "bottom",
                   transform=panel.get_yaxis_transform())  # fmt: skip


def draw_headline(ladder: Mapping[str, float]) -> None:
    """Held-out nats against characters: tracks, controls, n-grams, a larger network."""
    figure, panel = plt.subplots(figsize=(9, 5), layout="constrained")
    for number, (sweep, told) in enumerate(TRACKS.items()):
        path = SUMMARIES / f"{sweep}.json"
        if not path.exists():
            continue
        groups = by_setting(json.loads(path.read_text()))
        for label, runs in groups.items():
            if label not in ("", "control"):
                continue
            at, mean, half = mean_curve(runs, "val/nats")
            style = {"ls": "--", "lw": 1} if label == "control" else {"lw": 2}
            colour = COLOURS[number]
            name = "    its control" if label == "control" else told
            panel.plot(at, mean, color=colour, label=name, **style)
            panel.fill_between(at, mean - half, mean + half, color=colour, alpha=0.15, lw=0)
    limits = (1.3, 2.9)
    for name, value in ladder.items():
        _line(panel, name, value, limits, left=True, below=name.startswith("nano"))
    panel.set(xscale="log", ylim=limits, xlabel="characters seen", ylabel=TITLES["val/nats"])
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8, loc="upper right")
    figure.savefig(IMAGES / "findings.png", dpi=130)
    plt.close(figure)


def draw_explained(told: Mapping[str, Any]) -> None:
    """Which n-gram rules name what the policy names, while it learns; the seeds' mean."""
    orders = told["orders"]
    runs = [
        np.array([[row["characters"], row["explained"], *row["by_order"]] for row in run["rows"]])
        for run in told["runs"]
    ]
    begin, end = max(run[0, 0] for run in runs), min(run[-1, 0] for run in runs)
    at = np.linspace(begin, end, 60)  # runs write checkpoints by the clock
    shares = np.mean(
        [
            [np.interp(at, run[:, 0], run[:, col]) for col in range(1, len(orders) + 2)]
            for run in runs
        ],
        axis=0,
    )
    figure, panel = plt.subplots(figsize=(7, 4.2), layout="constrained")
    panel.plot(at / 1000, shares[0], color="black", lw=2, label="any of them")
    for number, order in enumerate(orders):
        shade = plt.get_cmap("viridis")(number / len(orders))
        panel.plot(at / 1000, shares[number + 1], color=shade, label=f"order {order}")
    panel.set(xlabel="thousand characters seen", ylabel="share of first choices", ylim=(0, 1))
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(IMAGES / "findings-explained.png", dpi=110)
    plt.close(figure)


def table(summary: Mapping[str, Any]) -> str:
    """Mean and half the range over seeds, of each setting's figures at the end, in Markdown."""
    groups = by_setting(summary)
    curves = [name for name in CURVES if any(name in r["curves"] for r in summary["runs"])]
    lines = [f"| | n | {' | '.join((*FINAL[:4], *curves))} |"]
    lines.append("| --- " * (len(curves) + 6) + "|")
    for label, runs in groups.items():
        ends = [[run["final"][name] for run in runs] for name in FINAL[:4]]
        ends += [[run["curves"].get(name, [[0, None]])[-1][1] for run in runs] for name in curves]
        lines.append(f"| {label} | {len(runs)} | {' | '.join(map(_told, ends))} |")
    return "\n".join(lines)


def _told(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{np.mean(there):.4f} ± {np.ptp(there) / 2:.4f}" if there else ""


def growth(summary: Mapping[str, Any]) -> str:
    """How what a run logs goes with what it learns: rank correlation with −held-out nats.

    Over a run's evaluations; 1: it rises whenever the policy predicts better.
    """
    from scipy.stats import spearmanr

    watched = [name for name in CURVES if name.startswith(("reward", "train/ent"))]
    lines = [f"| | {' | '.join(watched)} |", "| --- " * (len(watched) + 1) + "|"]
    for label, runs in by_setting(summary).items():
        cells = []
        for name in watched:
            found = []
            for run in runs:
                nats = dict(run["curves"]["val/nats"])
                pairs = [(v, -nats[at]) for at, v in run["curves"].get(name, []) if at in nats]
                moves = len({value for value, _ in pairs}) > 1
                found.append(float(spearmanr(pairs).statistic) if moves else None)
            cells.append(_told(found))
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Summarise what was named, then draw or tell everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweeps", nargs="*", help="to be summarised first, or to be told")
    parser.add_argument("--outputs", type=Path, help="where the sweeps are")
    parser.add_argument("--into", metavar="SWEEP", help="whose summary their runs are added to")
    parser.add_argument("--tables", action="store_true", help="print figures instead")
    asked = parser.parse_args()
    for sweep in asked.sweeps if asked.outputs else ():
        told = summarise(sweep, asked.outputs)
        if asked.into:
            told = add(told, json.loads((SUMMARIES / f"{asked.into}.json").read_text()))
        write(told)
    if asked.tables:
        for sweep in asked.sweeps:
            summary = json.loads((SUMMARIES / f"{sweep}.json").read_text())
            print(table(summary), growth(summary), sep="\n\n")
        return
    for sweep, picture in PICTURES.items():
        if (path := SUMMARIES / f"{sweep}.json").exists():
            image = IMAGES / f"findings-{sweep.replace('_', '-')}.png"
            draw(json.loads(path.read_text()), picture, image)
    if (path := SUMMARIES / "explained.json").exists():
        draw_explained(json.loads(path.read_text()))
    draw_headline(json.loads((SUMMARIES / "ladder.json").read_text()))


if __name__ == "__main__":
    main()
