"""A running mrs-exec, its processes and its HTTP, for the scripts beside this file.

    with Workplace("serving") as work:                                  # a temporary folder, gone at the end
        plan = work.plan(MINI, tp=2)
        with Server(work, plan, MINI, "--transport", "shm") as server:  # ends by SIGTERM; exit code 0 is checked
            status, answer = server.post("/v1/completions", {"prompt": [1, 2, 3]})

Standard library only. What goes wrong raises Failed with what was seen; a server's last words come along.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from mrs_tools import MINI, Failed, Tools, command_line, run_main  # noqa: E402, F401

SKIPPED = 77  # exit code of a test that could not run, SKIP_RETURN_CODE of CTest
START_S = 60  # bound of what takes well under a second on an idle machine
MARKER = "MRS_E2E_RUN"


def check(condition, message):
    if not condition:
        raise Failed(message)


def check_equal(actual, expected, what):
    check(actual == expected, f"{what}\n  expected {expected!r}\n  actual   {actual!r}")


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def wait_until(condition, seconds, what, interval=0.005):
    """The first true value of condition(); Failed after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(interval)


class Workplace:
    """The programs under test and a folder for what a script makes."""

    def __init__(self, name, bin_dir):
        self.tools = Tools(os.path.abspath(bin_dir))
        self.folder = tempfile.mkdtemp(prefix=f"mrs-{name}-")
        self.plans = {}
        self.lock = threading.RLock()  # of what cases that run side by side make once

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        path = os.path.join(self.folder, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def once(self, key, make):
        """What make() gives, made once."""
        with self.lock:
            if key not in self.plans:
                self.plans[key] = make()
            return self.plans[key]

    def text_file(self, name, text):
        def write():
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
            return self.path(name)

        return self.once((name, text), write)

    def chatty(self, tp, tokens=15000):
        """A plan, its model and what makes an answer of so many tokens, which takes minutes."""
        def make():
            model = self.path("chatty")
            shutil.copytree(MINI, model)
            stretch(model, tokens + 1000)
            return model

        model = self.once("chatty", make)
        return (self.plan(model, tp, max_len=tokens + 1000, max_seqs=1), model,
                ["--temperature", "0", "--ignore-eos", "--max-tokens", str(tokens)])

    def plan(self, model, tp=1, max_len=512, max_seqs=8, memory="1GiB"):
        """The plan of these options, made once."""
        def make():
            path = self.path("plans", f"{os.path.basename(model)}-{tp}-{max_len}-{max_seqs}.mrsplan")
            self.tools.call([
                self.tools.plan_program, "build", model, "--tp",
                str(tp), "--max-len",
                str(max_len), "--max-seqs",
                str(max_seqs), "--numerics", "pair2", "--memory", memory, "-o", path
            ])
            return path

        return self.once((model, tp, max_len, max_seqs), make)


def processes(marker):
    """Pids of living processes that carry the marker in their environment, oldest first. Zombies are dead."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"{MARKER}={marker}".encode() not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            found.append((int(fields[19]), int(name)))
    return [pid for _, pid in sorted(found, key=by_age(found))]


def by_age(found):
    """The order of (start tick, pid): in one tick pids count up, and past the highest they begin again at the lowest."""
    with open("/proc/sys/kernel/pid_max") as file:
        half = int(file.read()) // 2
    first = {}  # of each tick, the highest pid: those far below it are younger
    for tick, pid in found:
        first[tick] = max(first.get(tick, 0), pid)
    return lambda one: (one[0], first[one[0]] - one[1] > half, one[1])


def is_stopped(pid):
    """Whether a SIGSTOP has reached every thread of the process."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] != "T":
                return False
    return True


def is_free(port):
    """Whether a server can listen there now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            return False
    return True


def listeners(pid="self"):
    """(address, port) of every TCP listener in the network namespace of a process."""
    found = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with open(f"/proc/{pid}/net/{name}") as file:
            for fields in map(str.split, file.readlines()[1:]):
                if fields[3] == "0A":
                    address, port = fields[1].split(":")
                    words = bytes.fromhex(address)  # of 32 bits each, as this host has them
                    data = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                    found.add((socket.inet_ntop(family, data), int(port, 16)))
    return found


def free_ports(count):
    """The first of so many ports in a row that are free on every address, below those that the kernel gives away."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        last = max(20000, int(file.read().split()[0]) - count)
    while True:
        first = random.randrange(10000, last)
        try:
            with contextlib.ExitStack() as held:
                for port in range(first, first + count):
                    probe = held.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("0.0.0.0", port))
                    probe.listen()
            return first
        except OSError:
            continue


def without_root_rights():
    """For before_start: even as root, the process may no longer read whatever it likes."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH of <linux/capability.h>
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; others than root lack them anyway


class Run:
    """mrs-exec with some arguments, and every process that it starts."""

    def __init__(self, work, *arguments, before_start=None, environment=None, program=None):
        self.marker = uuid.uuid4().hex
        self.argv = [program or work.tools.exec_program, *map(str, arguments)]
        self.lines, self.output = [], b""
        self.process = subprocess.Popen(self.argv,
                                        stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE,
                                        env={
                                            **os.environ,
                                            **(environment or {}), MARKER: self.marker
                                        },
                                        preexec_fn=before_start)
        self.readers = [
            threading.Thread(target=self._read_errors, daemon=True),
            threading.Thread(target=self._read_output, daemon=True)
        ]
        for reader in self.readers:
            reader.start()

    def _read_errors(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def _read_output(self):
        while part := self.process.stdout.read1(65536):
            self.output += part

    def described(self):
        return "\n  ".join([command_line(self.argv), *self.lines[-12:]])

    def ranks(self, count=None):
        """Pids of the rank processes, in the order of ranks. With a count: waits for so many."""

        def find():
            return [pid for pid in processes(self.marker) if pid != self.process.pid]

        if count is None:
            return find()
        return wait_until(lambda: (pids := find()) and len(pids) == count and pids, START_S,
                          lambda: f"{count} rank processes, found {find()}\n  {self.described()}")

    def said(self, pattern, seconds=START_S):
        """The match of the first line of stderr with the pattern; waits for it."""

        def find():
            for line in list(self.lines):
                if match := re.search(pattern, line):
                    return match
            if self.process.poll() is None:
                return None
            deadline = time.monotonic() + 5  # a child that is frozen holds the other end of what is read
            while True:
                is_read = not any(reader.is_alive() for reader in self.readers) or time.monotonic() > deadline
                for line in list(self.lines):
                    if match := re.search(pattern, line):
                        return match
                check(not is_read, f"it ended without saying '{pattern}'\n  {self.described()}")
                time.sleep(0.01)

        return wait_until(find, seconds, lambda: f"stderr with '{pattern}'\n  {self.described()}")

    def ended(self, seconds):
        """The exit code; Failed when it still runs, or when any process is left."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"it still runs after {seconds} s\n  {self.described()}") from None
        for reader in self.readers:
            reader.join()
        check_equal(processes(self.marker), [], f"processes left behind\n  {self.described()}")
        return code

    def clean_up(self):
        """Kills what a failed test left."""
        for pid in processes(self.marker):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


class Server(Run):
    """mrs-exec that serves on a free port. `with` waits until it is ready, and ends it by SIGTERM."""

    def __init__(self, work, plan, model, *arguments, port=0, **more):
        super().__init__(work, "--plan", plan, "--model", model, "--port", port, *arguments, **more)
        try:
            self.port = int(self.said(r"^serving +http://127\.0\.0\.1:(\d+)/v1$")[1])
        except Failed:
            self.clean_up()
            raise

    def __enter__(self):
        self.wait_ready()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.process.send_signal(signal.SIGTERM)
                check_equal(self.ended(10), 0, f"exit code after SIGTERM\n  {self.described()}")
        finally:
            self.clean_up()

    def wait_ready(self):
        wait_until(lambda: self.get("/health")[0] == 200, START_S, lambda: f"/health says 200\n  {self.described()}")

    def request(self, method, path, body=None, headers=(), timeout=60):
        """(status, body); the body parsed where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            data = response.read()
        except OSError as error:
            raise Failed(f"{method} {path}: {error!r}\n  {self.described()}") from None
        finally:
            connection.close()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(data.decode()) if is_json else data

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body, timeout=60):
        return self.request("POST", path, json.dumps(body), {"Content-Type": "application/json"}, timeout)

    def ask(self, path, body, timeout=60):
        """The answer to what must succeed."""
        status, answer = self.post(path, body, timeout)
        check(status == 200, f"POST {path} {json.dumps(body)[:300]}: status {status}, {answer}\n  {self.described()}")
        return answer

    def stream(self, path, body, timeout=60):
        return Stream(self, path, {**body, "stream": True}, timeout)


class Stream:
    """Server-sent events as they come: iterate over their JSON. `done`: whether [DONE] came."""

    def __init__(self, server, path, body, timeout):
        self.done = False
        self.server = server
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        check(
            self.response.status == 200, f"POST {path} {json.dumps(body)[:300]}: status {self.response.status}, "
            f"{self.response.read()!r}" if self.response.status != 200 else "")

    def __iter__(self):
        while line := self.response.readline():
            text = line.decode()  # a split character would not pass
            if text == "\n":
                continue
            check(text.startswith("data: "), f"unexpected line in the stream: {text!r}")
            if text == "data: [DONE]\n":
                self.done = True
            else:
                yield json.loads(text[6:])
        self.close()

    def close(self):
        """As a client that goes away."""
        self.response.close()
        self.connection.close()


def stretch(model, length):
    """As if the model in the folder had been made for so many tokens."""
    path = os.path.join(model, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**config, "max_position_embeddings": length}, file)


def write_zeros_model(folder, layers):
    """A checkpoint of 32 MB a layer whose weights are a hole in the file: slow enough to be caught at work."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 2048,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None
    }
    tensors = {"model.embed_tokens.weight": [2048, 1024], "model.norm.weight": [1024]}
    shapes = {
        "input_layernorm": [1024],
        "self_attn.q_proj": [1024, 1024],
        "self_attn.k_proj": [512, 1024],
        "self_attn.v_proj": [512, 1024],
        "self_attn.o_proj": [1024, 1024],
        "post_attention_layernorm": [1024],
        "mlp.gate_proj": [4096, 1024],
        "mlp.up_proj": [4096, 1024],
        "mlp.down_proj": [1024, 4096]
    }
    for layer in range(layers):
        tensors.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in shapes.items()})
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return folder


def run_cases(cases, workers, only=""):
    """Each case is (name, function without arguments). Prints a line a case; the number of failures."""
    failures = 0
    cases = [case for case in cases if re.search(only, case[0])]

    def timed(case):
        started = time.monotonic()
        try:
            case[1]()
            return None, time.monotonic() - started
        except Failed as failure:
            return str(failure), time.monotonic() - started
        except Exception as error:  # a bug of the script, or a server gone at a bad moment: both fail the case
            return f"{type(error).__name__}: {error}", time.monotonic() - started

    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for (name, _), (failure, seconds) in zip(cases, pool.map(timed, cases)):
            print(f"{'ok    ' if failure is None else 'FAILED'} {name} ({seconds:.1f} s)" +
                  ("" if failure is None else f"\n  {failure}"),
                  flush=True)
            failures += failure is not None
    print(f"{len(cases) - failures} of {len(cases)} passed, {time.monotonic() - started:.0f} s")
    return failures


def parse_arguments(doc, *more):
    """--bin and what else a script wants: (name, keywords of add_argument)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--only", default="", help="only cases whose name has a match of this regular expression")
    for name, keywords in more:
        parser.add_argument(name, **keywords)
    return parser.parse_args()
