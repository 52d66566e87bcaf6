from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avatarl.data import tinyshakespeare

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No copy of tinyshakespeare, no network: returns where the cache would keep one."""
    monkeypatch.delenv(tinyshakespeare.ENVIRONMENT, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # Port 9 (discard) of the loopback refuses at once.
    monkeypatch.setattr(tinyshakespeare, "URL", "http://127.0.0.1:9/input.txt")
    return tinyshakespeare.cache_file()


@pytest.fixture
def serve(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], str]]:
    """Starts a server on the loopback that tinyshakespeare is downloaded from."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/input.txt"
        monkeypatch.setattr(tinyshakespeare, "URL", url)
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
