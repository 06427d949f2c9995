"""What /health takes while clients misbehave, on the bundled model.

    python3 bench/health_under_attack.py --bin build/cli [--only silent] [--seconds 6]

A process of its own asks /health on a new connection, again and again, while another attacks the server: large bodies,
bodies that never end, hundreds of prompts with kilobytes of stop strings, answers of tens of megabytes, a thousand
connections that say nothing. Prints the median, the 99th percentile and the worst for each attack, and the server's
memory: before, at its peak, and some seconds after. Exits with 1 where a 99th percentile is past 50 ms, a probe is not
answered, or more than 64 MiB stay behind. Every attack is bounded in time and connections, and local.
"""

import json
import multiprocessing
import os
import random
import re
import resource
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import MINI, Server, Workplace, check, parse_arguments, run_main  # noqa: E402

BOUND_S = 0.050
STAYS_BYTES = 64 << 20
SEATS = 1024


def request(method, path, body=b"", length=None):
    """The bytes of a request; `length`: what it says its body has."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body) if length is None else length}\r\n"
    return head.encode() + b"\r\n" + body


def completion(**fields):
    return request("POST", "/v1/completions", json.dumps(fields).encode())


class Clients:
    """Connections of one attack. What the server does with them is its business."""

    def __init__(self, port):
        self.port = port
        self.open = []

    def connect(self, data=b""):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.open.append(client)
        try:
            client.sendall(data)
        except OSError:
            pass  # refused and closed before it took everything
        return client

    def start(self):
        """One that connects when it can."""
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        self.open.append(client)
        return client

    def close(self):
        for client in self.open:
            client.close()
        self.open.clear()


# Each takes the clients and when to end, and may end before.


def nothing(_, deadline):
    time.sleep(max(0, deadline - time.monotonic()))


def stop_strings(clients, deadline):
    """15 small requests of 256 prompts and 4 KB of stop strings each, in waves whose clients leave."""
    rnd = random.Random(1)
    stops = ["".join(chr(33 + rnd.randrange(90)) for _ in range(64)) for _ in range(64)]
    data = completion(prompt=[[5, 6, 7]] * 256, max_tokens=900, ignore_eos=True, stop=stops, stream=True)
    while time.monotonic() < deadline:
        for _ in range(15):
            clients.connect(data)
        time.sleep(2)
        clients.close()


def large_bodies(make):
    """Bodies of up to 50 MB, one after the other, each client gone when its body is sent."""

    def attack(clients, deadline):
        path, body = make()
        data = request("POST", path, body)
        while time.monotonic() < deadline:
            clients.connect(data)
            clients.close()

    return attack


def many_keys():
    return "/v1/completions", b'{"prompt":"x",' + b",".join(b'"%x":0' % i for i in range(4_500_000)) + b"}"


def many_ids():
    return "/v1/completions", b'{"prompt":[' + b"0," * 8_000_000 + b"0]}"


def many_messages():
    return "/v1/chat/completions", b'{"messages":[' + b",".join([b'{"role":"user","content":""}'] * 1_200_000) + b"]}"


def many_lists():
    return ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"a":[' +
            b"[]," * 1_000_000 + b"[]]}}")


def long_text():
    return "/v1/chat/completions", b'{"messages":[{"role":"user","content":"' + b" a" * 24_000_000 + b'"}]}'


def unfinished_bodies(clients, deadline):
    """40 bodies of 49 MB that stop one byte short."""
    data = request("POST", "/v1/completions", b"x" * 49_000_000, length=49_000_001)
    for _ in range(40):
        if time.monotonic() < deadline:
            clients.connect(data)
    nothing(clients, deadline)


def long_answer(clients, deadline):
    """256 prompts with the log-probabilities of 20 alternatives a token, not streamed: tens of megabytes."""
    client = clients.connect(completion(prompt=[[5, 6, 7]] * 256, max_tokens=100, ignore_eos=True, logprobs=20))
    client.settimeout(1)
    read = 0
    while time.monotonic() < deadline + 120:  # most of it comes at the end
        try:
            part = client.recv(1 << 20)
        except socket.timeout:
            continue
        read += len(part)
        if not part or part.endswith(b"0\r\n\r\n"):
            break
    check(read > 1 << 20, f"an answer of {read} bytes, expected a long one")


def unread_streams(clients, deadline):
    """Streams with 20 alternatives a token that nobody reads."""
    data = completion(prompt=[[5, 6, 7]] * 64, max_tokens=900, ignore_eos=True, logprobs=20, stream=True)
    for _ in range(8):
        clients.connect(data)
    nothing(clients, deadline)


def seats(data, read=False):
    """As many connections as there are seats, each with so much of a request."""

    def attack(clients, deadline):
        for _ in range(SEATS):
            client = clients.connect(data)
            if read:
                client.recv(4096)
        nothing(clients, deadline)

    return attack


def reopened(clients, deadline):
    """More silent connections than seats, each opened again when it is closed."""
    for _ in range(SEATS + 376):
        clients.start()
    poll = select.poll()
    by_fd = {}
    for client in clients.open:
        by_fd[client.fileno()] = client
        poll.register(client, select.POLLIN)
    while time.monotonic() < deadline:
        for fd, _ in poll.poll(100):
            poll.unregister(fd)
            old = by_fd.pop(fd)
            clients.open.remove(old)
            old.close()
            client = clients.start()
            by_fd[client.fileno()] = client
            poll.register(client, select.POLLIN)


ATTACKS = {
    "nothing": nothing,
    "stop strings": stop_strings,
    "4.5 million keys": large_bodies(many_keys),
    "8 million ids": large_bodies(many_ids),
    "1.2 million messages": large_bodies(many_messages),
    "1 million lists": large_bodies(many_lists),
    "48 MB of text": large_bodies(long_text),
    "unfinished bodies": unfinished_bodies,
    "long answer": long_answer,
    "unread streams": unread_streams,
    "silent": seats(b""),
    "half a head": seats(b"G"),
    "half a body": seats(request("POST", "/v1/completions", b"{", length=900)),
    "idle": seats(request("GET", "/health"), read=True),
    "silent, reopened": reopened,
}


def probe(port, ends, times):
    """Asks until told to end; sends [seconds or None where it got no answer]."""
    taken = []
    while not ends.is_set():
        started = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(request("GET", "/health"))
                ok = client.recv(4096).startswith(b"HTTP/1.1 200 ")
        except OSError:
            ok = False
        taken.append(time.monotonic() - started if ok else None)
        time.sleep(0.005)
    times.send(taken)


def rss(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.M)[1]) << 10


def measure(work, plan, name, attack, seconds):
    """One server under one attack; what was wrong with it."""
    with Server(work, plan, MINI, "--quiet") as server:
        pid = server.process.pid
        before = rss(pid)
        ends = multiprocessing.Event()
        times, sent = multiprocessing.Pipe(duplex=False)
        prober = multiprocessing.Process(target=probe, args=(server.port, ends, sent))
        prober.start()
        clients = Clients(server.port)
        failure = []

        def run():
            try:
                attack(clients, time.monotonic() + seconds)
            except Exception as error:  # told after the server has been looked after
                failure.append(error)

        attacker = threading.Thread(target=run)
        attacker.start()
        peak = before
        while attacker.is_alive():
            peak = max(peak, rss(pid))
            time.sleep(0.05)
        ends.set()
        taken = times.recv()
        prober.join()
        clients.close()
        for _ in range(50):
            after = rss(pid)
            if after < before + STAYS_BYTES:
                break
            time.sleep(0.1)
        if failure:
            raise failure[0]
    answered = sorted(value for value in taken if value is not None)
    check(answered, f"{name}: no probe was answered")
    p99 = answered[min(len(answered) - 1, int(0.99 * len(answered)))]
    print(f"{name:22}{len(taken):7}{1e3 * answered[len(answered) // 2]:8.1f}{1e3 * p99:8.1f}{1e3 * answered[-1]:8.1f}"
          f"{before >> 20:9}{peak >> 20:6}{after >> 20:6}", flush=True)
    wrong = []
    if p99 > BOUND_S:
        wrong.append(f"{name}: the 99th percentile is {1e3 * p99:.0f} ms")
    if len(answered) < len(taken):
        wrong.append(f"{name}: {len(taken) - len(answered)} of {len(taken)} probes got no answer")
    if after >= before + STAYS_BYTES:
        wrong.append(f"{name}: {(after - before) >> 20} MiB stayed behind")
    return wrong


def main():
    options = parse_arguments(__doc__, ("--seconds", {"type": float, "default": 6, "help": "of each attack, about"}))
    limit = min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    wrong = []
    with Workplace("attack", options.bin) as work:
        plan = work.plan(MINI, tp=2, max_len=1024, max_seqs=16)
        print(f"{'':22}{'probes':>7}{'median':>8}{'p99':>8}{'worst':>8} ms {'before':>5}{'peak':>6}{'after':>6} MiB   "
              f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for name, attack in ATTACKS.items():
            if re.search(options.only, name):
                wrong += measure(work, plan, name, attack, options.seconds)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    run_main(main)
