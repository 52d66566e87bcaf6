"""Figures of one large GPU: a run, its use of the card, and a sweep of 24 runs.

Needs torch and numpy and this repository, nothing else: settings are read from conf/ here, and
whatever else the package would import (for checking settings, mostly) is replaced by stand-ins
where it isn't installed. Without a GPU, or with --quick, everything is small and nothing is
promised.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

_OPTIONAL = (
    "annotated_types pydantic psutil platformdirs safetensors safetensors.torch wandb yaml scipy "
    "scipy.stats pydivsufsort rich rich.console rich.progress polars"
)
PEAK_TFLOPS = 989.0  # H200, bf16, dense
LAST_S, ALL_S, MFU, SWEEP_S = 10.0, 4.0, 0.40, 90.0


class _StandIn(types.ModuleType):
    """A module of which every attribute is a class that accepts anything and does nothing."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (Exception,), {"__init__": lambda self, *args, **options: None})
        setattr(self, name, made)
        return made


for _name in _OPTIONAL.split():
    try:
        importlib.import_module(_name)
    except ImportError:
        sys.modules[_name] = _StandIn(_name)
if isinstance(sys.modules["psutil"], _StandIn):
    _free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _memory = types.SimpleNamespace(available=_free)
    sys.modules["psutil"].virtual_memory = lambda: _memory  # type: ignore[attr-defined]

import torch  # noqa: E402
from harness import Entry, Options, entry, main  # noqa: E402

from avatarl.config.schema import GROUPS, RunConfig  # noqa: E402
from avatarl.data.base import RawText  # noqa: E402
from avatarl.data.corpus import Corpus  # noqa: E402
from avatarl.model import gpt  # noqa: E402
from avatarl.options import read  # noqa: E402
from avatarl.training.evaluation import HeldOut, evaluate  # noqa: E402
from avatarl.training.learner import Learner  # noqa: E402
from avatarl.training.stack import Stack  # noqa: E402

OPTIONS = {
    "data": "folio",
    "model": "gpt2_20m",
    "reference": "ngram4",
    "explorer": "exhaustive",
    "reward": "confidence_scaled",
    "objective": "dr_grpo",
    "opponent": "none",
    "optimizer": "adamw",
    "trainer": "default",
    "tracking": "files",
    "health": "default",
}


def read_option(group: str, option: str) -> dict[str, Any]:
    """Read a flat option file; enough of YAML for the files of conf/."""
    values: dict[str, Any] = {}
    for line in (ROOT / "conf" / group / f"{option}.yaml").read_text().splitlines():
        key, colon, rest = line.partition(":")
        if not colon or not key.strip() or line[0] in " #-" or key == "defaults":
            continue
        text = rest.split(" #")[0].strip()
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = float(text) if text[:1].isdigit() else text.strip("'\"")
    return values


def configure(options: dict[str, str], changes: dict[str, Any], seed: int = 0) -> RunConfig:
    """Make typed settings from conf/ and changes such as ``{"trainer.batch_size": 4096}``."""
    # Groups around the learner, as what raises an alarm, play no part here.
    parts: dict[str, Any] = dict.fromkeys(GROUPS)
    bases = typing.get_type_hints(RunConfig)
    for group in options:
        settings = read_option(group, options[group])
        for key, value in changes.items():
            if key.split(".")[0] == group:
                settings[key.split(".", 1)[1]] = value
        if group == "reference" and options[group] != "none":
            settings["schedule"] = {"kind": "constant"}
        parts[group] = read(bases[group], settings, group)
    return RunConfig(name="h200", seed=seed, output_dir="outputs", **parts)


def text_of(quick: bool) -> Corpus:
    """Load tinyshakespeare from $AVATARL_DATA_DIR; where there is none, a text like it."""
    path = Path(os.environ.get("AVATARL_DATA_DIR", "/nowhere")) / "tinyshakespeare.txt"
    if path.is_file() and not quick:
        raw = RawText("tinyshakespeare", path.read_text(encoding="utf-8"))
    else:
        changes = {"data.characters": 60_000 if quick else 1_115_394}
        raw = configure(OPTIONS, changes).data.read()
    return Corpus.from_text(raw, train_fraction=0.9, unseen="keep")


def step_flops(learner: Learner) -> float:
    """Multiply-adds of one step's matrix products, twice, forward and backward."""
    config, batch = learner.config.model, learner.config.trainer.batch_size
    assert isinstance(config, gpt.Config)
    width, length, layers = config.n_embd, config.context_length, config.n_layer
    positions = 1 if learner.batches.last else length
    block = length * 24 * width**2 + 4 * length**2 * width
    final = block
    if learner.batches.last:  # keys and values of all positions, everything else of one
        final = length * 4 * width**2 + 20 * width**2 + 4 * length * width
    head = positions * 2 * width * learner.step_function.vocab_size
    return 3.0 * batch * ((layers - 1) * block + final + head)


def measure(options: Options) -> Iterator[Entry]:
    cuda = torch.cuda.is_available()
    small = options.quick or not cuda
    device = torch.device("cuda" if cuda else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    corpus = text_of(small)
    model = "gpt2_tiny" if small else "gpt2_20m"
    base = {
        "trainer.batch_size": 64 if small else 4096,
        "trainer.epochs": 0.2 if small else 3.0,
        "trainer.precision": "bf16",
        "trainer.compile": "auto",
        "optimizer.lr": 0.001,
    }
    modes = [("last", LAST_S), ("all", ALL_S)]
    for positions, target in modes:
        config = configure(OPTIONS | {"model": model}, base | {"explorer.positions": positions})
        seconds, flops = [], 0.0
        for _ in range(1 if small else 3):
            learner = Learner(config, corpus, device)
            seconds.append(train([learner], None))
            flops = learner.steps * step_flops(learner)
        where = f"{model}/{device.type}/{positions}"
        bound = None if small else target
        yield entry(f"h200/three_epochs/{where}", seconds, "s", bound, note="after compilation")
        used = [flops / one / (PEAK_TFLOPS * 1e12) for one in seconds]
        mfu = MFU if positions == "last" and not small else None
        yield entry(f"h200/model_flop_utilisation/{where}", used, "share", mfu, at_least=True)
    yield from sweep(corpus, model, base, device, small)


def train(learners: list[Learner], stack: Stack | None) -> float:
    """Train to the end; returns seconds, without the first steps, which compile and record."""
    step = stack.train_step if stack is not None else learners[0].train_step
    for _ in range(5):
        step(with_facts=False)
    _wait()
    first = learners[0].step
    before = time.perf_counter()
    while learners[0].step < learners[0].steps:
        described = (learners[0].step + 1) % 20 == 0
        found = step(with_facts=described)
        if described:
            one = found[0] if isinstance(found, list) else found
            torch.stack([value.float() for value in one.values()]).tolist()
    _wait()
    seconds = time.perf_counter() - before
    return seconds * learners[0].steps / max(1, learners[0].steps - first)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def sweep(
    corpus: Corpus, model: str, base: dict[str, Any], device: torch.device, small: bool
) -> Iterator[Entry]:
    """3 references × 4 confidence weights × 2 seeds, start to table, one by one and stacked."""
    references = ["bigram", "trigram", "ngram4"][: 1 if small else 3]
    weights = [0.0, 0.5, 1.0, 2.0][: 2 if small else 4]
    configs = [
        configure(
            OPTIONS | {"model": model, "reference": reference},
            base | {"explorer.positions": "all", "reward.confidence_weight": weight},
            seed,
        )
        for reference in references
        for weight in weights
        for seed in (0, 1)
    ]
    for together in (1, 4):
        before = time.perf_counter()
        rows = []
        for first in range(0, len(configs), together):
            learners = [
                Learner(config, corpus, device) for config in configs[first : first + together]
            ]
            train(learners, Stack(learners) if together > 1 else None)
            for learner in learners:
                held_out = HeldOut(corpus.heldout, learner.config.model.context_length, 1)
                limit = 2048 if small else None
                found = evaluate(learner.score, held_out, device=device, limit=limit).metrics
                rows.append(
                    f"{learner.config.reference.name:8} "
                    f"w {learner.config.raw['reward']['confidence_weight']:<4} "
                    f"seed {learner.config.seed}  {found['val/nats']:.4f} nats  "
                    f"accuracy {found['val/accuracy']:.4f}"
                )
        seconds = time.perf_counter() - before
        print("\n".join(rows), file=sys.stderr)
        yield entry(
            f"h200/sweep_of_{len(configs)}/{model}/{device.type}/stack_{together}",
            [seconds],
            "s",
            None if small else SWEEP_S,
            note="start to table, compilation included",
        )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
