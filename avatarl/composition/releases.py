"""What differs between the releases of Hydra that this works with: 1.3, and 1.4 to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hydra
from omegaconf import OmegaConf

#: Whether Hydra is 1.4 or later.
IS_NEXT = tuple(int(part) for part in hydra.__version__.split(".")[:2]) >= (1, 4)
#: 1.4 behaves as 1.3 unless told otherwise, and warns of being told.
BASE: dict[str, Any] = {} if IS_NEXT else {"version_base": "1.3"}


def register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Make a resolver known to OmegaConf; harmless when repeated."""
    # 2.4 has given an older function's name to the one that takes its place.
    register: Any = OmegaConf.register_new_resolver
    if IS_NEXT:
        register = OmegaConf.register_resolver
    register(name, function, replace=True)
