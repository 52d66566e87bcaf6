"""How held-out text is cut: how many characters a window predicts, from how much context."""

from __future__ import annotations


def usual_stride(context_length: int) -> int:
    """Return the characters predicted a window: 1 for short contexts, else half a window."""
    return 1 if context_length <= 16 else context_length // 2


def least_context(context_length: int, stride: int) -> int:
    """Return the characters that every predicted one has before it in its window."""
    return context_length - stride + 1
