"""Soft signal: what the characters so far say about the next, from counts of the text."""

from avatarl.reference.base import (
    MISSING,
    Config,
    CountedConfig,
    Reference,
    Reliability,
    history_windows,
    window_logprobs,
)

__all__ = [
    "MISSING",
    "Config",
    "CountedConfig",
    "Reference",
    "Reliability",
    "history_windows",
    "window_logprobs",
]
