"""A headless Chromium, driven through its DevTools pipe; nothing is installed for it and nothing is downloaded."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
LIMIT_S = 60


def find_browser() -> str | None:
    """The path of a Chromium, or `None` where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One window. To be used in a `with` statement.

    Args:
        executable: as `find_browser` gives it.
        folder: for its profile; thrown away by whoever made it.
    """

    def __init__(self, executable: str, folder: Path):
        to_browser, from_browser = os.pipe(), os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}", "--remote-debugging-pipe", "--disable-dev-shm-usage", "about:blank"]
        shell = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'  # the pipe has these numbers by agreement
        self.process = subprocess.Popen(
            ["bash", "-c", shell, executable, *options],
            pass_fds=(to_browser[0], from_browser[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self._write, self._read = to_browser[1], from_browser[0]
        os.set_blocking(self._read, False)
        self._numbers, self._rest, self.session = itertools.count(1), b"", None

    def __enter__(self) -> Browser:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **parameters) -> dict:
        """A command of the DevTools protocol, and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            answer = self._next()
            if answer is None:
                time.sleep(0.01)
            elif answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(f"{method}: no answer")

    def _next(self) -> dict | None:
        while b"\0" not in self._rest:
            try:
                part = os.read(self._read, 1 << 20)
            except BlockingIOError:
                return None
            if not part:
                raise RuntimeError("the browser has ended")
            self._rest += part
        first, self._rest = self._rest.split(b"\0", 1)
        return json.loads(first)

    def open(self, url: str, width: int, height: int) -> None:
        """Opens a page in a window of a size, and waits until its pictures are there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        ready = "document.readyState === 'complete' && [...document.images].every(i => i.complete && i.naturalWidth)"
        deadline = time.monotonic() + LIMIT_S
        while not self.evaluate(f"location.href !== 'about:blank' && {ready}"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url}: does not become ready")
            time.sleep(0.05)

    def evaluate(self, script: str):
        """The value of an expression, of a promise's result too."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def set(self, selector: str, value: str | bool) -> None:
        """What a user does to an input: gives it a value, or (un)ticks it."""
        key = "checked" if isinstance(value, bool) else "value"
        self.evaluate(
            f"{{ const e = document.querySelector({json.dumps(selector)}); e.{key} = {json.dumps(value)};"
            " e.dispatchEvent(new Event('input', {bubbles: true}));"
            " e.dispatchEvent(new Event('change', {bubbles: true})); }"
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Presses the mouse in one place and lets it go in another; in pixels of the window."""
        for kind, (x, y), buttons in (("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def box(self, selector: str) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of an element, rounded."""
        script = f"(r => [r.left, r.top, r.right, r.bottom])(document.querySelector({json.dumps(selector)})"
        return tuple(round(value) for value in self.evaluate(script + ".getBoundingClientRect())"))

    def screenshot(self) -> np.ndarray:
        """The window, `[height, width, 3]` uint8."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def pixels(self, selector: str) -> np.ndarray:
        """An element as it is shown, `[h, w, 3]` uint8."""
        left, top, right, bottom = self.box(selector)
        return self.screenshot()[top:bottom, left:right]
