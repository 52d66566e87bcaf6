"""A headless chromium, driven through the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import websocket

from tests.waiting import PATIENCE_S

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip


def find_chromium() -> str | None:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


class Browser:
    """One page; ``errors`` collects its console's complaints, ``requests`` what it asks for."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self.profile = tempfile.mkdtemp(prefix="avatarl-chromium-")
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._ids = itertools.count(1)
        program = find_chromium()
        assert program is not None
        self._process = subprocess.Popen(
            [program, *_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self.profile}",
             "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        port = self._port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        self._socket = websocket.create_connection(
            pages[0]["webSocketDebuggerUrl"], timeout=60, suppress_origin=True
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self.send("Browser.close")
        self._socket.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _port(self) -> str:
        place = Path(self.profile) / "DevToolsActivePort"
        for _ in range(300):
            if place.exists() and (text := place.read_text()).strip():
                return text.split("\n")[0]
            if self._process.poll() is not None:
                raise RuntimeError(f"chromium ended with code {self._process.returncode}")
            time.sleep(0.1)
        raise TimeoutError("chromium opened no debugging port within 30 s")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description", details)))
        elif method == "Runtime.consoleAPICalled" and told["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.errors.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def js(self, expression: str) -> Any:
        """Evaluate; a promise is awaited, an exception raised here."""
        told = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(str(told["exceptionDetails"]))
        return told["result"].get("value")

    def open(self, url: str, ready: str = "Boolean(window.avatarl)", seconds: float = 30) -> float:
        """Open a page, wait until it is ready, and return the seconds that took."""
        begun = time.perf_counter()
        self.send("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && ({ready})", seconds)
        return time.perf_counter() - begun

    def wait(self, condition: str, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.js(condition):
                    return
            except RuntimeError:
                # The page was just being replaced.
                pass
            time.sleep(0.03)
        raise TimeoutError(f"{condition} stayed false for {seconds} s; console: {self.errors}")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        x, y = self.js(
            f"(async () => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            # The next frame may still shift what was changed before.
            "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2];"
            "})()"
        )
        self.drag(x, y, x, y)

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.mouse("mouseMoved", x0, y0)
        self.mouse("mousePressed", x0, y0, button="left", buttons=1, clickCount=1)
        for part in (0.5, 1.0):
            self.mouse(
                "mouseMoved", x0 + (x1 - x0) * part, y0 + (y1 - y0) * part, button="left", buttons=1
            )
        self.mouse("mouseReleased", x1, y1, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace an input's text by typing."""
        self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.focus(); e.select(); })()"
        )
        if text:
            self.send("Input.insertText", text=text)
        else:
            for kind in ("keyDown", "keyUp"):
                self.send(
                    "Input.dispatchKeyEvent", type=kind, key="Delete", windowsVirtualKeyCode=46
                )

    def choose(self, selector: str, value: str) -> None:
        """Choose an option."""
        self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = "
            f"{json.dumps(value)}; e.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        more: dict[str, Any] = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {"x": 0, "y": 0, "scale": 1, **{k: size[k] for k in ("width", "height")}}
            more["captureBeyondViewport"] = True
        told = self.send("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(told["data"]))
