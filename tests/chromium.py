"""Drive a headless Chromium by the DevTools protocol, as far as the tests of one page need it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",  # only ever opens the page under test; root, as in containers, has no sandbox
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
)
LIMIT_SECONDS = 60.0


def find_chromium() -> str | None:
    """The browser's program, where one is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One tab. ``requests`` are the URLs that it asked for; ``complaints`` what stood in its console."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._count = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that arrive meanwhile are noted."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=LIMIT_SECONDS))
            if message.get("id") == self._count:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Log.entryAdded":
            entry = event["entry"]
            self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(event["args"]))

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What a person can read in an element; empty without one."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"{script}: {self.text('body')}"
            time.sleep(0.05)

    def show_as(self, width: int, height: int, scheme: str = "light", scale: int = 1) -> None:
        """Set the size in CSS pixels and the colour scheme (light, dark)."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def close(self) -> None:
        """Close the tab, so that it asks for nothing any more."""
        self.send("Page.close")
        self._socket.close()

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


@contextlib.contextmanager
def chromium(program: str, profile: Path) -> Iterator[Any]:
    """Run the browser; yield a function that opens an empty tab as a ``Page``."""
    from websockets.sync.client import connect

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(_end, process)
        port, path = _endpoint(process, profile / "DevToolsActivePort")
        browser = stack.enter_context(connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None))

        def new_page() -> Page:
            context = _call(browser, "Target.createBrowserContext")["browserContextId"]
            target = _call(browser, "Target.createTarget", url="about:blank", browserContextId=context)
            url = f"ws://127.0.0.1:{port}/devtools/page/{target['targetId']}"
            return Page(stack.enter_context(connect(url, max_size=None, max_queue=None, proxy=None)))

        try:
            yield new_page
        finally:
            _end(process)  # before its sockets, each of which would be closed with ceremony


def _call(browser: Any, method: str, **parameters: Any) -> dict[str, Any]:
    browser.send(json.dumps({"id": 1, "method": method, "params": parameters}))
    while True:
        message = json.loads(browser.recv(timeout=LIMIT_SECONDS))
        if message.get("id") == 1:
            assert "error" not in message, message
            return dict(message["result"])


def _endpoint(process: subprocess.Popen[bytes], file: Path) -> tuple[str, str]:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return lines[0], lines[1]
        assert process.poll() is None, "the browser ended at once"
        time.sleep(0.05)
    raise AssertionError("the browser did not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
