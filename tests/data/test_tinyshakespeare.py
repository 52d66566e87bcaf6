from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

import pytest

from avatarl.data import folio, load, tinyshakespeare
from avatarl.errors import DataError

Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]


def config(
    path: Path | None = None, fallback: Literal["folio"] | None = None
) -> tinyshakespeare.Config:
    return tinyshakespeare.Config(
        name="tinyshakespeare", kind="tinyshakespeare",
        train_fraction=0.9, dev_fraction=0.05, dev_from="start", unseen="error",
        path=None if path is None else str(path), fallback=fallback,
    )  # fmt: skip


def body(content: bytes, announced: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if announced is not None:
            request.send_header("Content-Length", str(announced))
        request.end_headers()
        request.wfile.write(content)

    return answer


@pytest.mark.tinyshakespeare
def test_published_split(bare_machine: Path, tinyshakespeare_path: Path) -> None:
    corpus = load(config(tinyshakespeare_path))
    assert (corpus.name, corpus.vocab_size, corpus.fallback_reason) == ("tinyshakespeare", 65, None)
    assert (len(corpus.train), len(corpus.heldout)) == (1_003_854, 111_540)
    assert corpus.text_sha256 == tinyshakespeare.SHA256
    assert corpus.text.startswith("First Citizen:\nBefore we")


@pytest.mark.tinyshakespeare
@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "input.txt"])
def test_found_in_a_folder(
    bare_machine: Path, tmp_path: Path, tinyshakespeare_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(tinyshakespeare_path.read_bytes())
    assert config(tmp_path).read().name == "tinyshakespeare"


@pytest.mark.tinyshakespeare
def test_found_through_the_environment(
    bare_machine: Path, tinyshakespeare_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATARL_DATA_DIR", str(tinyshakespeare_path.parent))
    assert config(Path("nowhere.txt")).read().name == "tinyshakespeare"


@pytest.mark.tinyshakespeare
@pytest.mark.parametrize("cached", [None, b"half a file"])
def test_downloaded_once_then_found_in_the_cache(
    bare_machine: Path, serve: Serve, tinyshakespeare_path: Path, cached: bytes | None
) -> None:
    content = tinyshakespeare_path.read_bytes()
    requests: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        requests.append(request.path)
        body(content, len(content))(request)

    serve(answer)
    if cached is not None:  # a damaged copy is replaced
        bare_machine.parent.mkdir(parents=True)
        bare_machine.write_bytes(cached)
    for _ in range(2):
        assert config().read().text.encode() == content
    assert requests == ["/input.txt"]
    assert bare_machine.read_bytes() == content


@pytest.mark.tinyshakespeare
def test_cache_that_cannot_be_written_costs_only_the_cache(
    bare_machine: Path, serve: Serve, tinyshakespeare_path: Path
) -> None:
    content = tinyshakespeare_path.read_bytes()
    serve(body(content, len(content)))
    bare_machine.parent.parent.mkdir(parents=True, exist_ok=True)
    bare_machine.parent.write_text("a file where the folder should be")
    assert config().read().name == "tinyshakespeare"


def test_wrong_text_at_the_path_is_an_error_even_with_a_fallback(
    bare_machine: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tinyshakespeare.txt"
    file.write_text("To be, or to be?")
    with pytest.raises(
        DataError, match=f"{file}.*wrong sha256.*{tinyshakespeare.SHA256}"
    ) as caught:
        config(file, "folio").read()
    assert caught.value.key == "data.path"


@pytest.mark.parametrize(
    "answer",
    [
        body(b"<html>Please log in</html>", 26),
        body(b"half of the text, its length not announced"),
        body(b"x" * (tinyshakespeare.SIZE_BYTES + 10), tinyshakespeare.SIZE_BYTES + 10),
    ],
    ids=["another page", "cut short", "too long"],
)
def test_corrupt_download_is_an_error_and_leaves_nothing(
    bare_machine: Path, serve: Serve, answer: Answer
) -> None:
    url = serve(answer)
    with pytest.raises(DataError, match=f"{url}.*wrong sha256.*{tinyshakespeare.SHA256}"):
        config(fallback="folio").read()
    assert not bare_machine.parent.exists()


def test_broken_connection_falls_back(bare_machine: Path, serve: Serve) -> None:
    serve(body(b"half of the text", tinyshakespeare.SIZE_BYTES))
    raw = config(fallback="folio").read()
    assert raw.name == "folio"
    assert "broke off" in (raw.fallback_reason or "")
    assert not bare_machine.parent.exists()


def test_http_error_falls_back(bare_machine: Path, serve: Serve) -> None:
    serve(lambda request: request.send_error(503))
    assert "503" in (config(fallback="folio").read().fallback_reason or "")


def test_silent_server_times_out(bare_machine: Path, serve: Serve) -> None:
    over = threading.Event()
    url = serve(lambda _: (over.wait(10), None)[1])
    try:
        with pytest.raises(TimeoutError):
            tinyshakespeare.download(bare_machine, url, timeout_s=0.1)
    finally:
        over.set()
    assert not bare_machine.parent.exists()


def test_server_that_drips_times_out(
    bare_machine: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tinyshakespeare, "WHOLE_DOWNLOAD_S", 0.2)
    over = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        body(b"")(request)
        while not over.is_set():
            request.wfile.write(b"x")
            time.sleep(0.01)

    url = serve(drip)
    try:
        with pytest.raises(TimeoutError, match="more than"):
            tinyshakespeare.download(bare_machine, url)
    finally:
        over.set()


def test_no_network_falls_back_to_folio_and_says_so(bare_machine: Path) -> None:
    corpus = load(config(fallback="folio"))
    assert corpus.name == "folio"
    assert corpus.text == folio.write_text(folio.CHARACTERS, folio.SEED)
    reason = corpus.fallback_reason or ""
    assert "no copy of tinyshakespeare" in reason
    assert reason.endswith("download failed: connection refused")
    assert "\n" not in reason
    assert len(reason) < 160


def test_no_network_and_no_fallback_lists_every_place(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATARL_DATA_DIR", str(tmp_path / "texts"))
    with pytest.raises(DataError) as caught:
        config(tmp_path / "mine.txt").read()
    message = str(caught.value)
    assert caught.value.key == "data.fallback"
    for place in ("mine.txt", "texts/tinyshakespeare.txt", str(bare_machine), "download failed"):
        assert place in message
