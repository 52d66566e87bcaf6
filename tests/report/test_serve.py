from __future__ import annotations

import base64
import gzip
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from avatarl.errors import UserError
from avatarl.report.aggregate import compare
from avatarl.report.load import load_runs
from avatarl.report.serve import Server

from .conftest import Outputs, config


@pytest.fixture
def server(outputs: Outputs) -> Iterator[Server]:
    outputs.run(config(seed=0))
    outputs.run(config(seed=1), state="running")

    def load() -> tuple[Any, Any]:
        runs = load_runs(outputs.root)
        return runs, compare(runs.runs)

    with Server(load, 0) as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def get(server: Server, path: str, **headers: str) -> str:
    asked = urllib.request.Request(server.url + path, headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        body: bytes = answer.read()
    return body.decode()


def test_only_loopback_is_listened_on(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_page_and_data(server: Server) -> None:
    assert "connect-src 'self'" in get(server, "")
    told = json.loads(gzip.decompress(base64.b64decode(get(server, "data"))))
    assert told["live"] is True
    assert told["version"] == get(server, "version")
    assert len(told["runs"]) == 2


def test_the_version_changes_as_a_run_progresses_and_only_then(
    server: Server, outputs: Outputs
) -> None:
    before = get(server, "version")
    assert get(server, "version") == before
    (journal,) = [
        p / "metrics.jsonl"
        for p in (outputs.root / "runs").iterdir()
        if not (p / "result.json").exists()
    ]
    with journal.open("a") as file:
        file.write('{"step": 999, "characters_seen": 999}\n')
    assert get(server, "version") != before


@pytest.mark.parametrize("path", ["nothing", "../../etc/passwd", "..%2f..%2fetc/passwd", "runs"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, path)
    assert caught.value.code == 404


def test_another_name_for_this_address_is_refused(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "data", Host="evil.example:80")
    assert caught.value.code == 403


def test_a_taken_port_is_one_clear_line(server: Server) -> None:
    with pytest.raises(UserError, match=r"--port \d+ can't be used"):
        Server(lambda: (None, None), server.server_address[1])
