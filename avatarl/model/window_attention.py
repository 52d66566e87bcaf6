"""Causal attention within short windows, as one Triton kernel each way; for GPUs.

General attention kernels give each window and head a tile of 64 or 128 positions, of which a window
of 8 fills a sixteenth. Here a tile holds whole windows, side by side, and attention outside a
character's own window is masked. A tile has everything its windows need, so one kernel reads
queries, keys and values once and writes the result, and one more computes all three gradients,
recomputing the weights instead of storing them.

Shapes: T positions of a window, C channels, H heads, D = C / H.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _tile(tile_length: tl.constexpr, length: tl.constexpr, rows):  # type: ignore[no-untyped-def]
    """Return a tile's places, its rows of the text, and which of them there are."""
    used: tl.constexpr = tile_length // length * length
    place = tl.arange(0, tile_length)
    row = tl.program_id(0).to(tl.int64) * used + place
    return place, row, (place < used) & (row < rows)


@triton.jit
def _weights(q, k, place, scale, length: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return what each place attends to: itself and what comes before it in its window."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    same = place[:, None] // length == place[None, :] // length
    scores = tl.where(same & (place[None, :] <= place[:, None]), scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return weights / tl.sum(weights, axis=1)[:, None]


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    qkv,
    out,
    rows,
    scale,
    channels: tl.constexpr,
    size: tl.constexpr,
    length: tl.constexpr,
    tile_length: tl.constexpr,
):
    place, row, there = _tile(tile_length, length, rows)
    column = tl.program_id(1) * size + tl.arange(0, size)
    source = qkv + row[:, None] * (3 * channels) + column[None, :]
    q = tl.load(source, mask=there[:, None], other=0.0)
    k = tl.load(source + channels, mask=there[:, None], other=0.0)
    v = tl.load(source + 2 * channels, mask=there[:, None], other=0.0)
    weights = _weights(q, k, place, scale, length)
    y = tl.dot(weights.to(v.dtype), v, input_precision="ieee")
    target = out + row[:, None] * channels + column[None, :]
    tl.store(target, y.to(out.dtype.element_ty), mask=there[:, None])


@triton.jit
def _attend_backward(  # type: ignore[no-untyped-def]
    grad,
    qkv,
    out,
    rows,
    scale,
    channels: tl.constexpr,
    size: tl.constexpr,
    length: tl.constexpr,
    tile_length: tl.constexpr,
):
    place, row, there = _tile(tile_length, length, rows)
    column = tl.program_id(1) * size + tl.arange(0, size)
    offset = row[:, None] * (3 * channels) + column[None, :]
    q = tl.load(qkv + offset, mask=there[:, None], other=0.0)
    k = tl.load(qkv + offset + channels, mask=there[:, None], other=0.0)
    v = tl.load(qkv + offset + 2 * channels, mask=there[:, None], other=0.0)
    dy = tl.load(grad + row[:, None] * channels + column[None, :], mask=there[:, None], other=0.0)
    weights = _weights(q, k, place, scale, length)
    dv = tl.dot(tl.trans(weights.to(dy.dtype)), dy, input_precision="ieee")
    dweights = tl.dot(dy, tl.trans(v), input_precision="ieee")
    dscores = weights * (dweights - tl.sum(weights * dweights, axis=1)[:, None]) * scale
    dscores = dscores.to(q.dtype)
    dq = tl.dot(dscores, k, input_precision="ieee")
    dk = tl.dot(tl.trans(dscores), q, input_precision="ieee")
    kind = out.dtype.element_ty
    tl.store(out + offset, dq.to(kind), mask=there[:, None])
    tl.store(out + offset + channels, dk.to(kind), mask=there[:, None])
    tl.store(out + offset + 2 * channels, dv.to(kind), mask=there[:, None])


def launch(kernel: Any, inputs: list[Tensor], out: Tensor, n_head: int, length: int) -> Tensor:
    """Run a kernel over all windows and heads.

    Args:
        kernel: ``_attend`` or ``_attend_backward``.
        inputs: What it reads, contiguous; the last is (…,T,3C).
        out: What it writes, contiguous.
        n_head: H.
        length: T.
    """
    channels = inputs[-1].shape[-1] // 3
    rows = inputs[-1].numel() // (3 * channels)
    size = channels // n_head
    tile_length = max(16 if length <= 16 else 32, triton.next_power_of_2(length))
    used = tile_length // length * length
    kernel[(triton.cdiv(rows, used), n_head)](
        *inputs,
        out,
        rows,
        1 / math.sqrt(size),
        channels=channels,
        size=size,
        length=length,
        tile_length=tile_length,
        num_warps=1 if tile_length <= 16 else 4,
    )
    return out


@torch.library.custom_op(
    "avatarl::attend", mutates_args=(), schema="(Tensor qkv, int n_head) -> Tensor"
)
def attend(qkv: Tensor, n_head: int) -> Tensor:
    """Attend causally within each window.

    Args:
        qkv: (…,T,3C) queries, keys and values side by side; each of them head by head.
        n_head: H.

    Returns:
        (…,T,C), head by head, of the same dtype.
    """
    length, channels = qkv.shape[-2], qkv.shape[-1] // 3
    out = qkv.new_empty(*qkv.shape[:-1], channels)
    return launch(_attend, [qkv.contiguous()], out, n_head, length)


@torch.library.custom_op(
    "avatarl::attend_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor qkv, int n_head) -> Tensor",
)
def attend_backward(grad: Tensor, qkv: Tensor, n_head: int) -> Tensor:
    """Return the gradient of ``qkv`` (…,T,3C), given that of what :func:`attend` returned."""
    inputs = [grad.contiguous(), qkv.contiguous()]
    return launch(_attend_backward, inputs, torch.empty_like(inputs[1]), n_head, qkv.shape[-2])


@attend.register_fake
def _(qkv: Tensor, n_head: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)


@attend_backward.register_fake
def _(grad: Tensor, qkv: Tensor, n_head: int) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    qkv, ctx.n_head = inputs
    ctx.save_for_backward(qkv)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (qkv,) = ctx.saved_tensors
    return attend_backward(grad, qkv, ctx.n_head), None


attend.register_autograd(_backward, setup_context=_keep)


@attend.register_vmap
def _(info: Any, in_dims: tuple[int, None], qkv: Tensor, n_head: int) -> tuple[Tensor, int]:
    return attend(qkv.movedim(in_dims[0], 0), n_head), 0
