"""Draw the figures of docs/findings.md from docs/findings/*.json, or write those from sweeps.

    python docs/make_findings.py                           # draws docs/images/findings-*.png
    python docs/make_findings.py --outputs outputs traps_a traps_b      # summarises sweeps first

A summary holds, of each run of a sweep, what was varied, the final figures and the curves.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from avatarl import load_runs

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parent
FINAL = ("val/nats", "val/accuracy", "val/ece", "val/entropy", "seconds", "characters_seen")
CURVES = (
    "reward/expected", "reward/hit_probability", "reward/spread_within", "reward/uniform_mean",
    "train/entropy", "train/kl", "train/kl_coef", "val/nats", "val/accuracy", "dev/nats",
)  # fmt: skip
#: Words that say where and how fast, not what.
PLACES = ("output_dir", "tracking", "trainer.threads", "trainer.device")
SHAPES = {
    "a": ("reward/expected", "reward/hit_probability", "val/nats"),
    "b": ("reward/expected", "reward/spread_within", "val/nats"),
    "c": ("reward/expected", "val/accuracy", "train/entropy"),
}
TITLES = {
    "reward/expected": "expected reward", "reward/hit_probability": "hit probability",
    "reward/spread_within": "reward's std under the policy", "val/nats": "held-out nats",
    "val/accuracy": "held-out accuracy", "train/entropy": "entropy (nats)",
}  # fmt: skip
#: Shown of each; beyond lies only what pays for other things than the text.
LIMITS = {
    "reward/expected": (0, 1.1), "reward/spread_within": (0, 0.6), "val/nats": (2, 10),
    "val/accuracy": (0, 0.4), "reward/hit_probability": (0, 0.35), "train/entropy": (0, 3.2),
}  # fmt: skip
COLOURS = (
    "tab:blue", "tab:orange", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:cyan",
    "grey", "navy", "goldenrod",
)  # fmt: skip
BIGRAM = {"val/nats": 2.482, "val/accuracy": 0.270, "reward/hit_probability": 0.152}  # add-1


def summarise(sweep: str, outputs: Path) -> None:
    """Write docs/findings/SWEEP.json."""
    plan = json.loads((outputs / "sweeps" / sweep / "plan.json").read_text())
    words = {run["id"]: run["overrides"] for run in plan["runs"]}
    runs = load_runs(sweep, output_dir=outputs)
    curves = runs.read_curves(list(CURVES))
    rows = []
    for run in runs:
        varied = [word for word in words[run.run_id] if not word.startswith(PLACES)]
        own = curves.filter(curves["run_id"] == run.run_id)
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
    told = {
        "sweep": sweep,
        "commit": sorted({str(result.get("git_commit"))[:7] for result in results}),
        "runs": rows,
    }
    text = json.dumps(told, separators=(",", ":")).replace('{"varied"', '\n{"varied"')
    (DOCS / "findings" / f"{sweep}.json").write_text(text + "\n")


def _points(own: Any, name: str) -> list[list[float]]:
    there = own.filter(own[name].is_not_null())
    pairs = zip(there["characters_seen"].to_list(), there[name].to_list(), strict=True)
    return [[at, float(f"{value:.5g}")] for at, value in pairs]


def mean_curve(runs: Sequence[Mapping[str, Any]], metric: str) -> tuple[Any, Any, Any]:
    """Characters, mean and half the range over seeds."""
    curves = [np.array(run["curves"][metric]) for run in runs if metric in run["curves"]]
    length = min(len(curve) for curve in curves)
    values = np.stack([curve[:length, 1] for curve in curves])
    return curves[0][:length, 0], values.mean(0), np.ptp(values, axis=0) / 2


def draw_traps(summary: Mapping[str, Any], experiment: str) -> None:
    """One picture: as published, without any trap, and one trap at a time; the control in black."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for run in summary["runs"]:
        trap = run["varied"]["trap"]
        if not run["is_control"]:
            groups[trap].append(run)
        elif trap == "published":
            groups["control"].append(run)
    metrics = SHAPES[experiment]
    figure, panels = plt.subplots(1, len(metrics), figsize=(13, 4.2), layout="constrained")
    others = [trap for trap in groups if trap not in ("published", "none", "control")]
    colours = dict(zip(others, COLOURS, strict=False))
    for panel, metric in zip(panels, metrics, strict=True):
        for trap, runs in groups.items():
            if not any(metric in run["curves"] for run in runs):
                continue
            at, mean, half = mean_curve(runs, metric)
            style: dict[str, Any] = {"color": colours.get(trap, "black"), "lw": 1.2}
            if trap == "published":
                style |= {"color": "tab:red", "lw": 2.6}
            elif trap == "none":
                style |= {"color": "tab:green", "lw": 2.6}
            elif trap == "control":
                style |= {"ls": "--"}
            label = {"none": "no trap"}.get(trap, trap.replace("_", " "))
            panel.plot(at / 1000, mean, label=label, **style)
            panel.fill_between(
                at / 1000, mean - half, mean + half, color=style["color"], alpha=0.12, lw=0
            )
        _finish(panel, metric)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    figure.savefig(DOCS / "images" / f"findings-traps-{experiment}.png", dpi=110)
    plt.close(figure)


def _finish(panel: Axes, metric: str) -> None:
    if metric in BIGRAM:
        panel.axhline(BIGRAM[metric], color="grey", lw=0.8, ls=":")
        panel.text(0.99, BIGRAM[metric], "bigram", color="grey", ha="right", va="bottom",
                   transform=panel.get_yaxis_transform(), fontsize=8)  # fmt: skip
    panel.set_ylim(*LIMITS[metric])
    panel.set_title(TITLES[metric], fontsize=10)
    panel.set_xlabel("thousand characters seen")
    panel.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Summarise what was named, then draw everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweeps", nargs="*", help="to be summarised first")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    for sweep in asked.sweeps:
        summarise(sweep, asked.outputs)
    for path in sorted((DOCS / "findings").glob("traps_?.json")):
        draw_traps(json.loads(path.read_text()), path.stem[-1])


if __name__ == "__main__":
    main()
