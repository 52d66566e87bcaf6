"""A GPT-2-style decoder, small enough to read from top to bottom.

Shapes: B batch, T position, C channels (``n_embd``), H heads, D = C / H, V vocabulary.

Source: Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*, §2.3 (pre-norm
blocks, residual projections initialised 1/√(2·n_layer) smaller); Press & Wolf 2017 (weight tying).
Biases are left out of every layer. Positions are embedded, or turned into queries and keys (Su et
al. 2021, arXiv 2104.09864, §3.2). Dropout falls on the embedding and on what each block adds
(Vaswani et al. 2017, §5.4), by masks that come with the batch: nothing here draws random numbers.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.model import base
from avatarl.options import Later


@dataclass(frozen=True)
class Config(base.Config):
    """Size and shape of the network."""

    n_layer: Annotated[int, Ge(1)]
    n_head: Annotated[int, Ge(1)]
    n_embd: Annotated[int, Ge(1)]
    position: Annotated[Literal["learned", "rotary"], Later("learned")]
    dropout: Annotated[float, Ge(0), Lt(1), Later(0.0)]  # while learning alone
    prior_gate: Annotated[Literal["scalar", "context"], Later("scalar")]

    def __post_init__(self) -> None:
        """Refuse a width that the heads can't share, or pairs of channels that don't come out."""
        if self.n_embd % self.n_head:
            raise ConfigError(
                "n_embd", self.n_embd, f"a multiple of n_head={self.n_head}", "heads share it"
            )
        if self.position == "rotary" and self.n_embd // self.n_head % 2:
            raise ConfigError(
                "n_embd",
                self.n_embd,
                f"a multiple of {2 * self.n_head}, or position=learned",
                "rotary positions turn pairs of a head's channels",
            )

    @property
    @override
    def gates_members(self) -> bool:
        match self.prior_gate:
            case "scalar":
                return False
            case "context":
                return self.prior
            case unknown:
                raise ConfigError("prior_gate", unknown, "scalar or context")

    @override
    def build(self, vocab_size: int, seed: int, members: int = 1) -> GPT:
        return GPT(self, vocab_size, torch.Generator().manual_seed(seed), members)


# Windows and heads that ``window_attention`` serves.
_SHORT, _HEAD_SIZES = 64, (16, 32, 64, 128)

# Keys and values (B,H,T,D) of the positions that a block has read.
KVCache = tuple[Tensor, ...]

# Cosines and sines (T,D/2) of the angles that each position's queries and keys are turned by.
Rotation = tuple[Tensor, Tensor]


def rotation(start: int, length: int, size: int, device: torch.device) -> Rotation:
    """Return the angles of positions from ``start`` on, for heads of ``size`` channels; fp32."""
    rates = 10_000 ** (-torch.arange(0, size, 2, device=device) / size)  # (D/2,)
    angles = torch.arange(start, start + length, device=device).unsqueeze(-1) * rates  # (T,D/2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: Rotation | None) -> Tensor:
    """Turn pairs of channels of (B,H,T,D), each half's place with the other's; None leaves them."""
    if turn is None:
        return x
    (cos, sin), (one, other) = turn, x.chunk(2, dim=-1)  # (B,H,T,D/2) each
    return torch.cat([one * cos - other * sin, one * sin + other * cos], dim=-1).to(x.dtype)


def drop(x: Tensor, mask: Tensor | None, share: float) -> Tensor:
    """Drop activations (B,T,C) where the mask of its window is False; keep their expectation."""
    return x if mask is None else x * mask[:, -x.shape[1] :] / (1 - share)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Return each query's mean of the values (B,H,T,D), weighted by softmax attention."""
    y: Tensor
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return y
    # Backwards, torch's kernel for this takes a CPU up to 15 times as long as three plain steps.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)  # (B,H,T,T)
    if causal:
        scores = scores + torch.full_like(scores[0, 0], -torch.inf).triu(1)
    y = scores.softmax(dim=-1) @ v
    return y


class Attention(nn.Module):
    """Causal self-attention over a window."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        # General attention kernels waste a GPU on short windows.
        self.packs_windows = (
            config.context_length <= _SHORT
            and config.position == "learned"
            and config.n_embd // config.n_head in _HEAD_SIZES
            and importlib.util.find_spec("triton") is not None
        )
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor, turn: Rotation | None, last: bool) -> Tensor:
        """Map (B,T,C) to (B,T,C), or to (B,1,C) of the last position with ``last``."""
        attended = self._attend_last(x, turn) if last else self._attend(x, turn)
        return self.out(attended)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, turn: Rotation | None) -> Tensor:
        qkv = self.qkv(x)  # (B,T,3C)
        if qkv.is_cuda and self.packs_windows:
            from avatarl.model.window_attention import attend

            packed: Tensor = attend(qkv, self.n_head)
            return packed
        q, k, v = (self._by_head(part) for part in qkv.chunk(3, dim=2))  # (B,H,T,D) each
        q, k = rotate(q, turn), rotate(k, turn)
        y = softmax_attention(q, k, v, causal=True)  # (B,H,T,D)
        return y.transpose(1, 2).flatten(2)  # (B,T,C)

    def _attend_last(self, x: Tensor, turn: Rotation | None) -> Tensor:
        # Only one query is wanted: its row of the causal mask is all ones.
        w_q, w_kv = self.qkv.weight.tensor_split([x.shape[2]])
        q = self._by_head(F.linear(x[:, -1:], w_q))  # (B,H,1,D)
        k, v = (self._by_head(part) for part in F.linear(x, w_kv).chunk(2, dim=2))  # (B,H,T,D)
        if turn is not None:
            q, k = rotate(q, (turn[0][-1:], turn[1][-1:])), rotate(k, turn)
        y: Tensor
        if x.is_cuda and self.packs_windows:
            # On a GPU this is a matter of reading k and v once, which the compiler sees to.
            scores = (q.float() * k.float()).sum(dim=-1, keepdim=True)  # (B,H,T,1)
            weights = (scores * q.shape[-1] ** -0.5).softmax(dim=2)
            y = (weights * v.float()).sum(dim=2, keepdim=True).to(v.dtype)  # (B,H,1,D)
        else:
            y = softmax_attention(q, k, v, causal=False)
        return y.transpose(1, 2).flatten(2)  # (B,1,C)

    def _by_head(self, x: Tensor) -> Tensor:
        heads = (self.n_head, x.shape[2] // self.n_head)
        return x.view(*x.shape[:2], *heads).transpose(1, 2)  # (B,·,C) to (B,H,·,D)

    def extend(
        self, x: Tensor, turn: Rotation | None, read: KVCache | None
    ) -> tuple[Tensor, KVCache]:
        """Map new positions (B,T,C) that attend to what was read, too; T is 1 if anything was."""
        q, k, v = (self._by_head(part) for part in self.qkv(x).chunk(3, dim=2))  # (B,H,T,D) each
        q, k = rotate(q, turn), rotate(k, turn)
        if read is not None:
            k, v = torch.cat([read[0], k], dim=2), torch.cat([read[1], v], dim=2)
        y = softmax_attention(q, k, v, causal=read is None)  # (B,H,T,D)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


class MLP(nn.Module):
    """Position-wise feed-forward layer, four times as wide inside."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.out = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,T,C) to (B,T,C)."""
        # The exact GELU: on a CPU its tanh approximation takes twice to four times as long.
        return self.out(F.gelu(self.up(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then the feed-forward layer, each on a normalised copy and added back."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.n_embd, bias=False)
        self.attention = Attention(config)
        self.norm_mlp = nn.LayerNorm(config.n_embd, bias=False)
        self.mlp = MLP(config)
        self.dropout = config.dropout

    def forward(
        self, x: Tensor, turn: Rotation | None, last: bool, masks: Sequence[Tensor | None]
    ) -> Tensor:
        """Map (B,T,C) to (B,T,C), or to (B,1,C) of the last position with ``last``.

        Args:
            x: What was added up so far.
            turn: Of each position, or None.
            last: Map the last position alone.
            masks: (B,T,C) for what attention and the feed-forward layer add, or None.
        """
        attended = self.attention(self.norm_attention(x), turn, last)
        x = (x[:, -1:] if last else x) + drop(attended, masks[0], self.dropout)
        return x + drop(self.mlp(self.norm_mlp(x)), masks[1], self.dropout)

    def extend(
        self, x: Tensor, turn: Rotation | None, read: KVCache | None
    ) -> tuple[Tensor, KVCache]:
        """Map new positions (B,T,C) that attend to what was read."""
        attended, read = self.attention.extend(self.norm_attention(x), turn, read)
        x = x + attended
        return x + self.mlp(self.norm_mlp(x)), read


class GPT(base.Policy):
    """Embeddings, blocks, and scores by the embedding of each character.

    Args:
        config: Size and shape.
        vocab_size: V.
        generator: Source of the random initial weights.
        members: M, of the reference, where each has a gate.
    """

    def __init__(
        self, config: Config, vocab_size: int, generator: torch.Generator, members: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.token = nn.Embedding(vocab_size, config.n_embd)
        self.position: nn.Embedding | None = None
        match config.position:
            case "learned":
                self.position = nn.Embedding(config.context_length, config.n_embd)
            case "rotary":
                pass  # nothing to learn
            case unknown:
                raise ConfigError("model.position", unknown, "learned or rotary")
        self.dropout = config.dropout
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=False)
        # The gate starts at one: the first policy is then the reference itself (of several members,
        # their geometric mean).
        self.prior_gate: nn.Parameter | None = None
        self.prior_head: nn.Linear | None = None
        if config.gates_members:
            self.prior_head = nn.Linear(config.n_embd, members)
        elif config.prior:
            self.prior_gate = nn.Parameter(torch.ones(()))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                small = name.endswith("out.weight")
                std = 0.02 / math.sqrt(2 * config.n_layer) if small else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
        if self.prior_head is not None:
            nn.init.zeros_(self.prior_head.weight)
            nn.init.constant_(self.prior_head.bias, 1 / members)

    @override
    def mask_shape(self, windows: int) -> tuple[int, ...]:
        """(B,M,L,C): one mask for the embedding, two for each block."""
        if not self.dropout:
            return ()
        return (windows, 1 + 2 * len(self.blocks), self.config.context_length, self.config.n_embd)

    @override
    def forward(
        self,
        context: Tensor,
        *,
        last: bool = False,
        prior_logprobs: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> Tensor:
        final = len(self.blocks) - 1
        each = [None] * (2 * final + 3) if masks is None else masks.unbind(1)  # (B,T,C) each
        turn = self._rotation(0, context)
        x = drop(self._embed(context, 0), each[0], self.dropout)  # (B,T,C)
        for index, block in enumerate(self.blocks):
            own = each[2 * index + 1 : 2 * index + 3]
            x = block(x, turn, last and index == final, own)  # (B,T,C), at the end (B,T|1,C)
        return self._scores(self.norm(x), prior_logprobs)  # (B,T|1,V)

    def _scores(self, x: Tensor, prior: Tensor | None) -> Tensor:
        """Map (B,T,C) to logits (B,T,V), by the embedding itself and what the prior adds."""
        logits = F.linear(x, self.token.weight)
        if self.prior_gate is not None:
            assert prior is not None
            logits = logits + self.prior_gate * prior
        if self.prior_head is not None:
            assert prior is not None
            gates = self.prior_head(x).unsqueeze(-1)  # (B,T,M,1)
            logits = logits + (gates * prior).sum(-2)
        return logits

    def _embed(self, characters: Tensor, start: int) -> Tensor:
        """Map characters (B,T) at positions from ``start`` on to (B,T,C)."""
        x: Tensor = self.token(characters)
        if self.position is not None:
            x = x + self.position.weight[start : start + characters.shape[1]]
        device = x.device.type
        # In lower precision what the blocks add to is kept in it, too: half the memory traffic.
        return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x

    def _rotation(self, start: int, characters: Tensor) -> Rotation | None:
        """Return how positions from ``start`` on are turned, or None where they are embedded."""
        if self.position is not None:
            return None
        size = self.config.n_embd // self.config.n_head
        return rotation(start, characters.shape[1], size, characters.device)

    @override
    def extend(
        self, characters: Tensor, cache: base.Cache, prior_logprobs: Tensor | None = None
    ) -> tuple[Tensor, base.Cache]:
        start = cache[0][0].shape[2] if cache else 0
        turn = self._rotation(start, characters)
        x = self._embed(characters, start)  # (B,T,C)
        extended = []
        for index, block in enumerate(self.blocks):
            x, kept = block.extend(x, turn, cache[index] if cache else None)  # type: ignore[operator]
            extended.append(kept)
        return self._scores(self.norm(x[:, -1:]), prior_logprobs), extended  # (B,1,V)
