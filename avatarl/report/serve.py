"""The comparison's page on loopback, reloading as its runs progress."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rich.console import Console

from avatarl.errors import UserError
from avatarl.report.comparison import Comparison
from avatarl.report.load import Runs
from avatarl.report.metrics import CHARACTERS, Axis
from avatarl.report.webpage import encode, render
from avatarl.terminal import say

_HOST = "127.0.0.1"
#: Names by which a browser on this machine reaches the server; any other is refused, so that a
#: page from elsewhere can't read the runs by pointing its own name at this address.
_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

Load = Callable[[], tuple[Runs, Comparison]]


class Server(ThreadingHTTPServer):
    """Serves ``/`` (the page), ``/version`` and ``/data``.

    Args:
        load: Reads the runs afresh.
        port: 0 for any free one.
        axis: What curves are drawn against.

    Raises:
        UserError: The port is taken.
    """

    daemon_threads = True

    def __init__(self, load: Load, port: int, axis: Axis = CHARACTERS) -> None:
        self._load, self._axis = load, axis
        self._lock = threading.Lock()
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--port {port} can't be used ({error}); valid: a free port from 1024 to 65535, "
                "or 0 for any"
            ) from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_HOST}:{self.server_address[1]}/"

    def version(self) -> str:
        """Return a word that changes whenever a run's files do."""
        runs, _ = self._load()
        return _version(runs)

    def answer(self, path: str) -> tuple[str, str] | None:
        """Return the body and type for a path, None for one that isn't served."""
        if path == "/version":
            return self.version(), "text/plain"
        if path not in ("/", "/data"):
            return None
        with self._lock:
            runs, comparison = self._load()
            write, kind = (render, "text/html") if path == "/" else (encode, "text/plain")
            return write(runs, comparison, self._axis, live=True, version=_version(runs)), kind


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """Answer a GET; anything but the page and its data is not found."""
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        if name not in _NAMES:
            self.send_error(403, "Only this machine is served")
            return
        try:
            answer = self.server.answer(self.path.partition("?")[0])
        except UserError as error:
            self.send_error(503, "The runs can't be read", str(error))
            return
        if answer is None:
            self.send_error(404)
            return
        body, kind = answer[0].encode(), answer[1]
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line every two seconds helps nobody."""


def _version(runs: Runs) -> str:
    digest = hashlib.sha256()
    for run in runs:
        digest.update(f"{run.directory} {run.state}".encode())
        if run.done:
            # A finished run's files don't change any more.
            continue
        for path in run.folder.watched:
            digest.update(_stamp(path))
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> bytes:
    try:
        stat = path.stat()
    except OSError:
        return b"-"
    return f"{stat.st_mtime_ns} {stat.st_size}".encode()


def serve(load: Load, port: int, console: Console, axis: Axis = CHARACTERS) -> None:
    """Serve until interrupted.

    Raises:
        UserError: The port is taken.
    """
    with Server(load, port, axis) as server:
        say(console, f"serving {server.url} on this machine only; Ctrl-C ends it")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say(console, "ended")
