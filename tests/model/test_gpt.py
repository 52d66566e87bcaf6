from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from avatarl.errors import ConfigError
from avatarl.model.gpt import GPT, Config, drop, rotate, rotation, softmax_attention

CPU = torch.device("cpu")
V, LENGTH = 7, 6
PLAIN = Config("tiny", "gpt", LENGTH, False, 1.0, 2, 2, 8, "learned", 0.0, "scalar")


def network(**changes: Any) -> GPT:
    """One whose weights are large enough for every part to matter."""
    model = dataclasses.replace(PLAIN, **changes).build(V, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) / 3)
    return model


def windows(count: int = 5, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(V, (count, length), generator=torch.Generator().manual_seed(3))


def slowly(model: GPT, context: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
    """Logits (T,V) of one window (T,), head by head and pair by pair."""
    config, scale = model.config, 1 / (1 - model.config.dropout)
    size = config.n_embd // config.n_head
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def kept(x: torch.Tensor, place: int) -> torch.Tensor:
        return x if masks is None else torch.where(masks[place], x * scale, 0.0)

    def turned(x: torch.Tensor, place: int) -> torch.Tensor:
        """Pairs of channels as complex numbers, times e^(i·place·rate)."""
        if config.position == "learned":
            return x
        rates = torch.tensor([10_000 ** (-2 * pair / size) for pair in range(size // 2)])
        found = torch.complex(*x.split(size // 2)) * torch.exp(1j * place * rates)
        return torch.cat([found.real, found.imag])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (config.n_embd,), weights[f"{name}.weight"])

    x = weights["token.weight"][context]
    if config.position == "learned":
        x = x + weights["position.weight"][: len(context)]
    x = kept(x, 0)
    for layer in range(config.n_layer):
        at = f"blocks.{layer}"
        rows = norm(x, f"{at}.norm_attention") @ weights[f"{at}.attention.qkv.weight"].T
        q, k, v = rows.split(config.n_embd, dim=1)
        attended = torch.zeros_like(x)
        for head, place in itertools.product(range(config.n_head), range(len(context))):
            part = slice(head * size, (head + 1) * size)
            query = turned(q[place, part], place)
            scores = [turned(k[seen, part], seen) @ query / size**0.5 for seen in range(place + 1)]
            attended[place, part] = torch.stack(scores).softmax(0) @ v[: place + 1, part]
        x = x + kept(attended @ weights[f"{at}.attention.out.weight"].T, 2 * layer + 1)
        up = F.gelu(norm(x, f"{at}.norm_mlp") @ weights[f"{at}.mlp.up.weight"].T)
        x = x + kept(up @ weights[f"{at}.mlp.out.weight"].T, 2 * layer + 2)
    return norm(x, "norm") @ weights["token.weight"].T


@pytest.mark.parametrize(("causal", "queries"), [(True, LENGTH), (False, LENGTH), (False, 1)])
def test_attention_in_bf16_is_that_of_fp64_rounded(causal: bool, queries: int) -> None:
    generator = torch.Generator().manual_seed(4)
    q, k, v = (
        torch.randn(3, 2, length, 16, generator=generator).bfloat16().requires_grad_()
        for length in (queries, LENGTH, LENGTH)
    )
    exact = [part.detach().double().requires_grad_() for part in (q, k, v)]
    seen = torch.ones(queries, LENGTH, dtype=torch.bool)
    scores = exact[0] @ exact[1].mT / 4
    weights = scores.masked_fill(~seen.tril() if causal else ~seen, -torch.inf).softmax(dim=-1)
    expected = weights @ exact[2]
    out = softmax_attention(q, k, v, causal=causal)
    out.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(out.double(), expected, atol=0.02, rtol=0.02)
    for part, truth in zip((q, k, v), exact, strict=True):
        assert part.grad is not None and truth.grad is not None
        torch.testing.assert_close(part.grad.double(), truth.grad, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_it_is_what_a_slow_network_computes(position: str, dropout: float) -> None:
    model, context = network(position=position, dropout=dropout), windows()
    masks = None
    if dropout:
        shape = model.mask_shape(len(context))
        masks = torch.rand(shape, generator=torch.Generator().manual_seed(4)) > dropout
    found = model(context, masks=masks)
    for row, window in enumerate(context):
        wanted = slowly(model, window, None if masks is None else masks[row])
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-4)
    last = model(context, masks=masks, last=True)
    torch.testing.assert_close(last, found[:, -1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_what_was_read_can_be_read_on_from(position: str) -> None:
    model, context = network(position=position), windows()
    logits, cache = model.extend(context[:, :3], [])
    for read in range(3, LENGTH):
        torch.testing.assert_close(logits, model(context[:, :read], last=True))
        logits, cache = model.extend(context[:, read : read + 1], cache)
    torch.testing.assert_close(logits, model(context, last=True))


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    here = rotate(q, rotation(0, 4, 8, CPU)) @ rotate(k, rotation(0, 4, 8, CPU)).mT
    there = rotate(q, rotation(90, 4, 8, CPU)) @ rotate(k, rotation(90, 4, 8, CPU)).mT
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
    apart = rotate(q, rotation(2, 4, 8, CPU)) @ rotate(k, rotation(0, 4, 8, CPU)).mT
    assert not torch.allclose(here, apart, atol=1e-2)


def test_dropping_keeps_the_expectation() -> None:
    x, share = torch.tensor([[[0.5, -2.0, 3.0]]]), 0.25
    total = torch.zeros_like(x)
    for kept in itertools.product([True, False], repeat=3):
        chance = (1 - share) ** sum(kept) * share ** (3 - sum(kept))
        total += chance * drop(x, torch.tensor([[kept]]), share)
    torch.testing.assert_close(total, x)


def test_without_dropout_there_are_no_masks() -> None:
    assert network().mask_shape(3) == ()
    assert network(dropout=0.1).mask_shape(3) == (3, 5, LENGTH, 8)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="position"):
        unknown: Any = "sinusoidal"
        dataclasses.replace(PLAIN, position=unknown).build(V, seed=0)
    with pytest.raises(ConfigError, match="pairs of a head's channels"):
        dataclasses.replace(PLAIN, position="rotary", n_embd=6)
