"""A real Chromium, driven by its own protocol over two pipes: no driver, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOUND_S = 30.0
_TOLD = 2000
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions",
    "--remote-debugging-pipe",
)  # fmt: skip


class BrowserError(Exception):
    """The browser, or the page in it, did not do what was asked."""


class Browser:
    """One tab. Not thread-safe.

    Args:
        reading: the pipe that the browser writes to.
        writing: the pipe that it reads.

    Attributes:
        errors: what the console and the security policy complained about.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._input = os.fdopen(reading, "rb", buffering=0)
        self._output = os.fdopen(writing, "wb", buffering=0)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.errors: list[str] = []
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        found = self._tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._tell(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        self._tell("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def screen(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the viewport, and the colours that the page is asked for."""
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[feature])

    def evaluate(self, script: str) -> Any:  # noqa: ANN401 - whatever the page says
        """Return the value of an expression, awaited where it is a promise."""
        found = self._tell(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        found: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def until(self, script: str) -> None:
        """Wait until an expression is true, at most 30 s."""
        pause = threading.Event()
        for _ in range(round(BOUND_S / 0.1)):
            if self.evaluate(f"Boolean({script})"):
                return
            pause.wait(0.1)
        raise BrowserError(f"never true: {script}\n{self.text('body')[:_TOLD]}\n{self.errors}")

    def key(self, name: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self._tell(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )

    def shoot(self, file: Path, *, whole: bool = False) -> None:
        """Write a picture of the viewport, or of the whole page."""
        found = self._tell("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End the browser."""
        with suppress(BrokenPipeError, BrowserError):
            self._session = ""
            self._tell("Browser.close")
        self._input.close()
        self._output.close()

    def _tell(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._output.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = self._input.read(1 << 20)
            if not part:
                raise BrowserError("the browser has gone")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        # What a policy forbids, and what a script throws, is told here.
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(event["params"]["exceptionDetails"]))
        if event.get("method") == "Log.entryAdded":
            entry = event["params"]["entry"]
            if entry["source"] != "network":
                self.errors.append(f"{entry['source']}: {entry['text']}")


class NoChromium(Exception):  # noqa: N818 - says what is missing
    """There is no Chromium on this machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it in any case.

    Raises:
        NoChromium: there is none.
    """
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise NoChromium(f"none of {', '.join(_NAMES)} is installed")
    to_browser, writing = os.pipe()
    reading, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="guard-page-", ignore_cleanup_errors=True) as profile:
        # Chromium reads its descriptor 3 and writes 4.
        line = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        with subprocess.Popen(
            ["/bin/bash", "-c", line, path, f"--user-data-dir={profile}", *_FLAGS],
            pass_fds=(to_browser, from_browser), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            os.close(to_browser)
            os.close(from_browser)
            try:
                browser = Browser(reading, writing)
                try:
                    yield browser
                finally:
                    browser.close()
            finally:
                # The group is this browser's own.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5.0)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(BOUND_S)
