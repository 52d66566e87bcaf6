"""A curriculum of what text is made of, from the commonest characters to speaker lines.

r(a) = match·1[a = y] + frequency·p₁(a) + transitions·p₂(a | last) + words·word(a) +
punctuation·mark(a) + lines·line(a), every weight a number or a schedule. The terms judge what was
read and written alone, also in rollouts, from the training text's own counts and words:

- frequency: how common a character is at all.
- transitions: how often it follows the last one.
- words: half for a letter that keeps to the spelling of a known word, one for ending a whole word.
- punctuation: a space after a mark, a capital after a sentence.
- lines: a capital after a blank line (a speaker), a break after a colon, and breaks where the line
  has a usual length (as far as the window shows where it began).

Low orders can't give a label away: each of these statistics is shared by many positions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.interfaces import (
    Coefficient,
    Hyperparameters,
    RewardInputs,
    Schedule,
    current,
    is_on,
)
from avatarl.reward import base

TERMS = ("match", "frequency", "transitions", "words", "punctuation", "lines")
# Kinds of characters that the rules of punctuation and lines speak of.
OTHER, STOP, PAUSE, COLON, SPACE, BREAK, CAPITAL = range(7)
# States of the speller: after a non-letter, off every known word, begun outside the window.
START, LOST, UNKNOWN = range(3)


@dataclass(frozen=True)
class Config(base.Config):
    """Weights of the terms."""

    match: Annotated[float, Ge(0)] | Schedule
    frequency: Annotated[float, Ge(0)] | Schedule
    transitions: Annotated[float, Ge(0)] | Schedule
    words: Coefficient
    punctuation: Coefficient
    lines: Coefficient
    word_count: Annotated[int, Ge(1)]  # times a word has to occur to be known
    line_min: Annotated[int, Ge(0)]  # characters of a usual line
    line_max: Annotated[int, Ge(0)]

    def __post_init__(self) -> None:
        """Refuse an empty range of lengths."""
        if self.line_min > self.line_max:
            raise ConfigError("line_min", self.line_min, f"at most line_max={self.line_max}")

    @override
    def prepare(self, text: base.Text) -> base.Reward:
        size, device = len(text.characters), text.device
        ids: npt.NDArray[Any] = np.asarray(text.train).astype(np.int64)
        single = np.bincount(ids, minlength=size) + 1.0
        frequency = torch.tensor(single / single.sum(), dtype=torch.float32, device=device)  # (V,)
        pairs = (
            np.bincount(ids[:-1] * size + ids[1:], minlength=size * size).reshape(size, size) + 1.0
        )
        following = pairs / pairs.sum(axis=1, keepdims=True)
        transitions = torch.tensor(following, dtype=torch.float32, device=device)  # (V,V)
        speller = spell(text, self.word_count) if is_on(self.words) else None
        kind = torch.tensor(kinds(text.characters), device=device)  # (V,)
        marks, layout = (rule[..., kind.cpu()].to(device) for rule in rules())  # (7,7,V) each
        breaks = (kind == BREAK).float()  # (V,)

        def usual_break(last_break: Tensor, here: Tensor, hparams: Hyperparameters) -> Tensor:
            length = here - last_break
            usual = (
                (length >= hparams["line_min"])
                & (length <= hparams["line_max"])
                & (last_break >= 0)
            )
            return usual.float().unsqueeze(-1) * breaks  # (N,T,V)

        def rewards(inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
            exploration = inputs.exploration
            contexts = exploration.contexts  # (N,L)
            positions = exploration.old_logprobs.shape[-2]  # T
            last = contexts[:, -positions:]
            kind_last = kind[last]  # (N,T)
            before = torch.cat([torch.full_like(kind_last[:, :1], OTHER), kind[contexts]], dim=1)
            kind_before = before[:, :-1][:, -positions:]

            def weight(term: str) -> Tensor:
                return current(getattr(self, term), hparams, term)

            table = weight("frequency") * frequency + weight("transitions") * transitions[last]
            if speller is not None:
                states = speller.states(contexts, positions)
                table = table + weight("words") * speller.worth[states]
            if is_on(self.punctuation):
                table = table + weight("punctuation") * marks[kind_before, kind_last]
            if is_on(self.lines):
                where = torch.arange(contexts.shape[1], device=contexts.device)
                at_break = torch.where(kind[contexts] == BREAK, where, torch.full_like(where, -1))
                last_break = at_break.cummax(dim=1).values[:, -positions:]  # (N,T)
                shown = layout[kind_before, kind_last]
                usual = usual_break(last_break, where[-positions:], hparams)
                table = table + weight("lines") * torch.maximum(shown, usual)
            return exploration.select(table) + weight("match") * inputs.matches

        return rewards


@dataclass(frozen=True)
class Speller:
    """The known words as a tree of letters.

    Attributes:
        following: (S,V) int64 state after a character.
        worth: (S,V) what the character earns in that state.
    """

    following: Tensor
    worth: Tensor

    def states(self, contexts: Tensor, positions: int) -> Tensor:
        """Read contexts (N,L) and return the states at the last ``positions``: (N,T) int64."""
        state = torch.full_like(contexts[:, 0], UNKNOWN)
        states = []
        for char in contexts.unbind(dim=1):
            state = self.following[state, char]
            states.append(state)
        return torch.stack(states[-positions:], dim=1)


def spell(text: base.Text, word_count: int) -> Speller:
    """Build the tree of the words that occur at least ``word_count`` times, in any case."""
    joined = "".join(text.characters)
    lookup = np.array([ord(character) for character in joined], dtype=np.uint32)
    content = lookup[text.train].tobytes().decode("utf-32-le").lower()
    counts = Counter(re.findall(r"[^\W\d_]+", content))
    known = [word for word, count in counts.items() if count >= word_count]
    letters = [character.lower() if character.isalpha() else "" for character in text.characters]
    children: list[dict[str, int]] = [{}, {}, {}]
    whole = [False, False, False]
    for word in known:
        state = START
        for letter in word:
            if letter not in children[state]:
                children[state][letter] = len(children)
                children.append({})
                whole.append(False)
            state = children[state][letter]
        whole[state] = True
    shape = (len(children), len(letters))
    following = np.full(shape, LOST, dtype=np.int64)
    worth = np.zeros(shape, dtype=np.float32)
    for column, letter in enumerate(letters):
        if not letter:
            following[:, column] = START
            worth[:, column] = np.array(whole, dtype=np.float32)
            continue
        following[UNKNOWN, column] = UNKNOWN
        for state, after in enumerate(children):
            if letter in after:
                following[state, column] = after[letter]
                worth[state, column] = 0.5
    return Speller(
        torch.from_numpy(following).to(text.device), torch.from_numpy(worth).to(text.device)
    )


def kinds(characters: tuple[str, ...]) -> list[int]:
    """Sort characters into the kinds above."""
    named = {**dict.fromkeys(".!?", STOP), **dict.fromkeys(",;", PAUSE)}
    named |= {":": COLON, " ": SPACE, "\n": BREAK}
    return [named.get(char, CAPITAL if char.isupper() else OTHER) for char in characters]


def rules() -> tuple[Tensor, Tensor]:
    """Return what each kind earns after two kinds, (7,7,7), as punctuation and as line layout."""
    marks, lines = torch.zeros(7, 7, 7), torch.zeros(7, 7, 7)
    for mark in (STOP, PAUSE, COLON):
        marks[:, mark, SPACE] = marks[:, mark, BREAK] = 1
    for gap in (SPACE, BREAK):
        marks[STOP, gap, CAPITAL] = 1
    lines[BREAK, BREAK, CAPITAL] = 1
    lines[:, COLON, BREAK] = 1
    return marks, lines
