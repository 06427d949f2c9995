"""A headless Chromium, driven over a pipe: what a test needs to look at a page, with the standard library alone.

with browser.Browser() as chromium:
    chromium.open(path, width=390, dark=True)
    chromium.js("document.title")

The protocol: https://chromedevtools.github.io/devtools-protocol/ (messages end in a zero byte on descriptors 3 and 4).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

DEADLINE_S = 120
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find():
    """The path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self):
        self._folder = tempfile.mkdtemp(prefix="mrs_chromium_")
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()

        def at_3_and_4():
            # Away from 3 and 4 first, where one of them may lie.
            here = [os.dup(os.dup(os.dup(fd))) for fd in (command_read, answer_write)]
            os.dup2(here[0], 3)
            os.dup2(here[1], 4)

        self._process = subprocess.Popen(
            [
                find(),
                "--headless=new",
                "--no-sandbox",  # it may be root, and reads nothing but the test's own page
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
                f"--user-data-dir={self._folder}",
                "about:blank",
            ],
            close_fds=False,
            preexec_fn=at_3_and_4,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self._session, self._number, self._buffer, self.events = None, 0, b"", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _message(self):
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], DEADLINE_S)[0]:
                raise TimeoutError("chromium does not answer")
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise EOFError("chromium has ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        """The result of a command; what is reported meanwhile is kept in `events`."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            message = self._message()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def look(self, width, height=900, dark=False):
        """Makes the window so wide, and the colours so, for what is open, too."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path, width, height=900, dark=False):
        """Shows a local file, and waits until it is loaded."""
        self.look(width, height, dark)
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        begin = time.monotonic()
        while self.js("document.readyState") != "complete" or "about:blank" in self.js("location.href"):
            if time.monotonic() - begin > DEADLINE_S:
                raise TimeoutError(f"{path} does not load")

    def js(self, expression):
        """The value of an expression; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:500])
        return done["result"].get("value")

    def press(self, key, code):
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def screenshot(self, path):
        """The whole page as PNG."""
        size = self.js("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
