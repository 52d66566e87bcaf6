"""Settings of the monitors (group ``health``): limits, and what follows when one is passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from avatarl.options import Option

# log: in the journal alone; warn: also told; stop: the run fails; act: something is done about it.
Action = Literal["log", "warn", "stop", "act"]


@dataclass(frozen=True)
class Config(Option):
    """Limits and actions."""

    calibration_error: Annotated[float, Gt(0)]
    collapse_gap: Annotated[float, Gt(0)]
    entropy_gap: Annotated[float, Gt(0)]  # nats
    gradient_cv: Annotated[float, Gt(0)]
    gradient_ratio: Annotated[float, Gt(1)]
    clip_fraction: Annotated[float, Gt(0), Le(1)]
    on_calibration: Action
    on_confidence_collapse: Action
    on_gradient_stability: Action
    on_clipping: Action
    on_nonfinite: Literal["stop", "act"]
    ent_boost: Annotated[float, Ge(0)]  # added to the entropy bonus at each evaluation
    lr_cut: Annotated[float, Gt(0), Le(1)]
    max_rollbacks: Annotated[int, Ge(0)]
    sparsity_every: Annotated[int, Ge(0)]  # steps; 0: never

    def action(self, alarm: str) -> Action:
        """What follows on an alarm, by its name."""
        actions: dict[str, Action] = {
            "calibration": self.on_calibration,
            "confidence_collapse": self.on_confidence_collapse,
            "gradient_stability": self.on_gradient_stability,
            "clipping": self.on_clipping,
        }
        return actions[alarm]

    @property
    def steers_by_evaluation(self) -> bool:
        """Whether calibration or confidence can change the run.

        They are then measured on a development slice: held-out text must not steer.
        """
        return bool({self.on_calibration, self.on_confidence_collapse} & {"stop", "act"})
