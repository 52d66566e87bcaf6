"""Settings of the training loop (group ``trainer``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from avatarl.errors import ConfigError
from avatarl.options import Later, Option


@dataclass(frozen=True)
class Config(Option):
    """Length, batch, evaluation and safety of a run."""

    steps: Annotated[int, Ge(1)] | None  # null: epochs decides
    epochs: Annotated[float, Gt(0)]
    batch_size: Annotated[int, Ge(1)]  # windows
    micro_batch_size: Annotated[
        Annotated[int, Ge(1)] | None, Later(None)
    ]  # windows read at once; null: all of them
    log_every: Annotated[int, Ge(1)]  # steps
    eval_every: Annotated[int, Ge(1)]  # steps
    eval_positions: Annotated[int, Ge(1)]  # held-out positions in a periodic evaluation
    eval_stride: Annotated[int, Ge(1)] | None
    evaluation: Annotated[Literal["fixed", "dynamic"], Later("fixed")]
    adapt_every: Annotated[int, Ge(1), Later(64)]  # characters
    adapt_lr: Annotated[float, Ge(0), Later(0.01)]
    eval_dev: Annotated[bool, Later(False)]  # the development slice too, which is then cut
    keep_best: Annotated[bool, Later(False)]  # by nats on the development slice
    patience: Annotated[Annotated[int, Ge(1)] | None, Later(None)]  # evaluations
    average: Annotated[Literal["none", "ema"], Later("none")]
    average_decay: Annotated[float, Ge(0), Lt(1), Later(0.999)]
    average_start: Annotated[float, Ge(0), Lt(1), Later(0.0)]  # share of the run's steps
    sample_characters: Annotated[int, Ge(0)]
    checkpoint_every_s: Annotated[float, Ge(0)]
    keep_checkpoints: Annotated[int, Ge(1)]
    if_running: Literal["wait", "fail"]
    device: str
    threads: Annotated[int, Ge(1)] | None
    precision: Literal["fp32", "bf16"]
    compile: Literal["auto", "off", "on", "graphs"]

    def __post_init__(self) -> None:
        """Refuse a device that torch couldn't name, and patience with what isn't looked at."""
        if not re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d{1,4})?", self.device):
            valid = "auto, cpu, cuda, mps or xpu, or one of several: cuda:1"
            raise ConfigError("device", self.device, valid)
        if self.patience is not None and not self.keep_best:
            why = "it counts evaluations of the development slice without a better one"
            raise ConfigError("patience", self.patience, "null, or keep_best=true", why)

    @property
    def windows_at_once(self) -> int | None:
        """How many windows of a batch a network reads at once; None for all of them."""
        size = self.micro_batch_size
        return None if size is None or size >= self.batch_size else size
