from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatarl.reference import MISSING, history_windows


class Text:
    """The real text, split as everywhere."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        characters = sorted(set(text))
        number = {character: index for index, character in enumerate(characters)}
        ids = np.array([number[character] for character in text], dtype=np.uint16)
        cut = int(0.9 * len(ids))
        self.train, self.heldout, self.vocab_size = ids[:cut], ids[cut:], len(characters)


@pytest.fixture(scope="session")
def shakespeare(tinyshakespeare_path: Path) -> Text:
    return Text(tinyshakespeare_path)


@pytest.fixture(scope="session")
def measure():
    """Held-out nats and accuracy of a reference, every position scored with full history."""

    def measure(reference, ids: np.ndarray) -> tuple[float, float]:
        text = torch.from_numpy(ids.astype(np.int64))
        length = reference.order - 1
        start = torch.full((1, 1), MISSING)
        contexts = history_windows(torch.cat([start, text[None, :-1]], dim=1), length)[0]
        loss = hits = 0.0
        for begin in range(0, len(text), 16384):
            target = text[begin : begin + 16384]
            logprobs = reference.logprobs(contexts[begin : begin + 16384])
            loss -= logprobs.gather(1, target[:, None]).double().sum().item()
            hits += (logprobs.argmax(dim=1) == target).sum().item()
        return loss / len(text), hits / len(text)

    return measure


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables built here never land in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
