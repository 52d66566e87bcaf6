"""The text, as far as an explorer may ask it."""

from __future__ import annotations

import torch
from torch import Tensor


class Oracle:
    """Says which of the tried characters were right.

    Args:
        target: (B,T+H-1) int64.
        positions: T.
        vocab_size: V.
        allowed: K, how many characters may be tried at each position; None for all of them.
    """

    def __init__(self, target: Tensor, positions: int, vocab_size: int, allowed: int | None):
        self._target, self._positions, self._vocab_size = target, positions, vocab_size
        self._allowed = allowed
        self._asked: set[int] = set()

    def __call__(self, actions: Tensor | None, ahead: int) -> Tensor:
        """Return 1.0 where an action is the text's character.

        Args:
            actions: (B,T,K) int64, or None for all V in order.
            ahead: How many characters past the scored position.

        Raises:
            PermissionError: A sampling explorer asked about more characters than it may try.
        """
        if self._allowed is not None:
            tried = self._vocab_size if actions is None else actions.shape[-1]
            if tried > self._allowed or ahead in self._asked:
                raise PermissionError(
                    f"{tried} characters asked about; only the rewards of {self._allowed} sampled "
                    "characters are to be seen, once"
                )
            self._asked.add(ahead)
        target = self._target[:, ahead : ahead + self._positions].unsqueeze(-1)  # (B,T,1)
        if actions is None:
            nowhere = torch.zeros(*target.shape[:-1], self._vocab_size, device=target.device)
            return nowhere.scatter(-1, target, 1.0)
        return (actions == target).to(torch.float32)
