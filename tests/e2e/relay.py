"""A TCP relay that does to connections what networks do to them: late, in other pieces, slowly, one way only, not at all.

    with Relay(listener, lambda: socket.create_connection(("10.0.0.2", 29500)), Faults(delay_s=0.2)) as relay:
        ...                               # whoever connects to `listener` speaks to 10.0.0.2:29500, 200 ms away
        relay.faults.stalled.add("up")    # from now on nothing more reaches it, and it can still speak
        relay.connections[1]["down"].flip_next()   # a bit of what its second connection hears next
        relay.cut()                       # every connection is reset, later ones too

"up" is from who connected to who listens. Bytes keep their order and are never lost, but where a connection is cut, and
are never changed, but where flips say so. `python3 relay.py` tests it.
"""

import collections
import random
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field

SO_MAX_PACING_RATE = 47  # of Linux; the socket module has no name for it
PIECE = 64 << 10
HELD = 1 << 20  # bytes under way in one direction of one connection; whoever sends more waits


@dataclass
class Faults:
    delay_s: float = 0  # from in to out
    bytes_per_s: float = 0  # of one direction of one connection; 0: no bound
    # The same, held to by the kernel (SO_MAX_PACING_RATE), at high rates, too; a connection's first ten packets are free.
    paced_bytes_per_s: int = 0
    pieces: tuple = ()  # (least, most): bytes are passed on in pieces of so many
    gather_s: float = 0  # what comes within this time is passed on at once
    stalled: set = field(default_factory=set)  # of "up", "down": nothing is passed on
    stall_after: int = 0  # nothing more than so many bytes of one direction of one connection; 0: no bound
    flip: tuple = ()  # (direction, offset): one bit of this byte of each connection; (.., n): of the n-th, from 0, alone
    seed: int = 1


class _Pump:
    """One direction: a thread that reads, one that writes, and what is between them."""

    def __init__(self, relay, name, source, target):
        self.relay, self.name, self.source, self.target = relay, name, source, target
        self.number = len(relay.connections)  # of its connection
        self.waiting = collections.deque()  # (due, bytes); b"" is the end
        self.held = 0
        self.changed = threading.Condition()
        self.passed = 0
        self.to_flip = 0
        self.random = random.Random(relay.faults.seed)
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def flip_next(self):
        self.to_flip += 1

    def _read(self):
        while True:
            try:
                data = self.source.recv(PIECE)
            except OSError:
                data = b""
            with self.changed:
                self.waiting.append((time.monotonic() + self.relay.faults.delay_s, data))
                self.held += len(data)
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.held < HELD)
            if not data:
                return

    def _take(self):
        """What is due, gathered; b"" at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting)
            due = self.waiting[0][0]
        time.sleep(max(0, due - time.monotonic()) + self.relay.faults.gather_s)
        taken = []
        with self.changed:
            while self.waiting and self.waiting[0][0] <= time.monotonic() and (self.waiting[0][1] or not taken):
                taken.append(self.waiting.popleft()[1])
                if not taken[-1] or not self.relay.faults.gather_s:
                    break
        return b"".join(taken)

    def _write(self):
        while True:
            data = self._take()
            if not data:
                break
            data = bytearray(data)
            flip = self.relay.faults.flip
            chosen = flip and flip[0] == self.name and self.number in (flip[2:] or [self.number])
            if chosen and self.passed <= flip[1] < self.passed + len(data):
                data[flip[1] - self.passed] ^= 1
            if self.to_flip:
                self.to_flip -= 1
                data[len(data) // 2] ^= 1
            try:
                self._pass(data)
            except OSError:
                break
            with self.changed:
                self.held -= len(data)
                self.changed.notify_all()
        for end, how in ((self.target, socket.SHUT_WR), (self.source, socket.SHUT_RD)):
            try:
                end.shutdown(how)
            except OSError:
                pass
        with self.changed:
            self.held = 0
            self.changed.notify_all()

    def _pass(self, data):
        at = 0
        while at < len(data):
            most = self.relay.faults.stall_after
            while (self.name in self.relay.faults.stalled or 0 < most <= self.passed) and not self.relay.is_cut:
                time.sleep(0.01)
            size = self.random.randint(*self.relay.faults.pieces) if self.relay.faults.pieces else len(data)
            if self.relay.faults.bytes_per_s:
                size = min(size, 1448)
            if most > self.passed:
                size = min(size, most - self.passed)
            piece = data[at : at + size]
            if self.relay.faults.bytes_per_s:
                time.sleep(len(piece) / self.relay.faults.bytes_per_s)
            self.target.sendall(piece)
            at += len(piece)
            self.passed += len(piece)


class Relay:
    """`connect()` gives a new connection to the real listener, or raises OSError: then the caller's is reset."""

    def __init__(self, listener, connect, faults=None):
        self.listener, self.connect, self.faults = listener, connect, faults or Faults()
        self.is_cut = False
        self.ends = []
        self.connections = []  # of each, in the order in which they were made: "up" and "down"
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near):
        try:
            far = self.connect_for(near)
        except OSError:
            return _reset(near)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.faults.paced_bytes_per_s:
                end.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.faults.paced_bytes_per_s)
        with self.lock:
            self.ends += [near, far]
            if not self.is_cut:
                self.connections.append({"up": _Pump(self, "up", near, far), "down": _Pump(self, "down", far, near)})
                return
        _reset(near)
        _reset(far)

    def connect_for(self, near):
        """The other side of a connection that came."""
        return self.connect()

    def cut(self):
        """Resets what stands; later connections are reset, too."""
        with self.lock:
            self.is_cut = True
            for end in self.ends:
                _reset(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()


def _reset(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
        end.close()
    except OSError:
        pass


def _self_test():
    data = random.Random(5).randbytes(2_000_000)
    heard = []

    def answer(server):
        peer, _ = server.accept()
        with peer:
            got = b""
            while chunk := peer.recv(PIECE):
                got += chunk
            heard.append(got)
            peer.sendall(got[::-1])

    def round_trip(faults, size):
        server, listener = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        with Relay(listener, lambda: socket.create_connection(server.getsockname()), faults):
            began = time.monotonic()
            with socket.create_connection(listener.getsockname()) as near:
                near.settimeout(20)
                near.sendall(data[:size])
                near.shutdown(socket.SHUT_WR)
                got = b""
                while chunk := near.recv(PIECE):
                    got += chunk
        return got, time.monotonic() - began

    for faults, size, least_s in [
        (Faults(), 300_000, 0),
        (Faults(delay_s=0.2), 300_000, 0.4),
        (Faults(pieces=(1, 7)), 3000, 0),
        (Faults(gather_s=0.05), 300_000, 0.1),
        (Faults(bytes_per_s=125_000), 25_000, 0.4),
        (Faults(paced_bytes_per_s=5_000_000), 2_000_000, 0.4),
    ]:
        got, seconds = round_trip(faults, size)
        assert got == data[:size][::-1], f"{faults}: other bytes"
        assert seconds >= least_s, f"{faults}: {seconds} s"
    got, _ = round_trip(Faults(flip=("up", 7)), 100)
    assert [i for i in range(100) if heard[-1][i] != data[i]] == [7] and got == heard[-1][::-1]
    return 0


if __name__ == "__main__":
    sys.exit(_self_test())
