"""Programs that a check runs: each ends within its bound, and never later than the whole."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time


class Failed(Exception):
    """Of a part: what a row says."""


class NotThere(Exception):
    """Of a part that has nothing to run here, by name."""


class Clock:
    def __init__(self, seconds, patience):
        self.end, self.patience = time.monotonic() + seconds * patience, patience

    def left(self, bound):
        left = min(bound * self.patience, self.end - time.monotonic())
        if left < 1:
            raise Failed("not run: the eight minutes are over")
        return left


def run(argv, seconds, env=None):
    """(exit code, stdout, stderr) of a program that ends within so many seconds; what it started ends with it."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env=env, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"no end within {seconds:.0f} s: {' '.join(argv[:4])} ...") from None


def of_session(session):
    """Pids of the processes of a session that have not ended, the oldest first."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        if fields[0] not in "ZX" and int(fields[3]) == session:
            found.append((int(fields[19]), int(name)))
    return [pid for _, pid in sorted(found)]


class Server:
    """mrs-exec serving a plan on a free port, from its first /health of 200 on; ends by SIGTERM with exit code 0."""

    def __init__(self, argv, clock, bound):
        self.clock, self.seconds = clock, clock.left(bound)
        self.deadline = time.monotonic() + self.seconds
        self.lines = []
        self.process = subprocess.Popen(
            [*argv, "--port", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _until(self, what, find):
        while time.monotonic() < self.deadline:
            if (found := find()) is not None:
                return found
            if self.process.poll() is not None:
                time.sleep(0.2)  # its last words
                raise Failed(f"it ended with {self.process.returncode}: {' '.join(self.lines[-2:])}")
            time.sleep(0.02)
        raise Failed(f"no {what} within {self.seconds:.0f} s: {' '.join(self.lines[-2:])}")

    def _port(self):
        found = [re.match(r"serving +http://127\.0\.0\.1:(\d+)/v1$", line) for line in list(self.lines)]
        return next((int(match[1]) for match in found if match), None)

    def _is_ready(self):
        with contextlib.suppress(OSError):
            return True if self.request("GET", "/health", None)[0] == 200 else None
        return None

    def __enter__(self):
        try:
            self.port = self._until("address", self._port)
            self._until("readiness", self._is_ready)
        except BaseException:
            self.kill()
            raise
        return self

    def request(self, method, path, body):
        left = self.deadline - time.monotonic()
        if left < 0.1:
            raise Failed(f"no answer within the part's {self.seconds:.0f} s")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=left)
        try:
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except TimeoutError:
            raise Failed(f"no answer within the part's {self.seconds:.0f} s") from None
        finally:
            connection.close()

    def complete(self, body):
        status, text = self.request("POST", "/v1/completions", body)
        if status != 200:
            raise Failed(f"/v1/completions says {status}: {text[:200]}")
        return json.loads(text)

    def stream(self, body):
        """The events of an answer as they come, to the last or until nothing comes any more; closed, it is a client that
        goes away."""
        left = max(self.deadline - time.monotonic(), 0.1)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=left)
        try:
            text = json.dumps({**body, "stream": True})
            connection.request("POST", "/v1/completions", text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise Failed(f"/v1/completions says {response.status}: {response.read()[:200]!r}")
            while line := response.readline():
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])
        except TimeoutError:
            raise Failed(f"a stream stands still at the end of the part's {self.seconds:.0f} s") from None
        except (ConnectionError, http.client.IncompleteRead):
            return  # the server is gone
        finally:
            connection.close()

    def processes(self):
        """Pids of mrs-exec and its ranks, as far as they live."""
        return of_session(self.process.pid)

    def ended(self, seconds):
        """The exit code, when all that it says has been read."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"it still runs {seconds:.1f} s later: {self.last_words()}") from None
        self.reader.join(timeout=1)
        return code

    def last_words(self):
        return self.lines[-1] if self.lines else ""

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "no end within 10 s of SIGTERM"
        if kind is None and code != 0:
            raise Failed(f"its end: {code}: {' '.join(self.lines[-2:])}")
