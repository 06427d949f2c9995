"""Nodes in network namespaces of their own: each an address, a firewall, and a way to the others that can be made worse.

    require_namespaces()                                    # or ends the script with 77, saying why
    with Network(2, relay=Faults(delay_s=0.2)) as network:  # node i has address 10.77.i.1, and fd77:i::1
        network.close_ports(0, but=[29500, 29501])
        Run(work, ..., before_start=network.inside(1))      # in node 1's namespace
        network.part(1)                                     # its cable is pulled

In the middle is a namespace that passes on between the nodes' own subnets; with a relay every TCP connection between
two nodes goes through it, with the addresses of both ends as they are (TPROXY of nftables). A namespace lives as long
as this process has it open: nothing is left, however the process ends, and nothing is changed outside.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import threading

from harness import Failed, listeners, skip
from relay import Faults, Relay  # noqa: F401

CLONE_NEWNET = 0x40000000
IP_TRANSPARENT = 19
LIBC = ctypes.CDLL(None, use_errno=True)
RELAY_PORT = 5000


def require_namespaces():
    """Takes this process into a namespace without any network."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            skip(f"there is no {program} here: apt-get install {package}")
    if LIBC.unshare(CLONE_NEWNET) != 0:
        skip(f"no network namespaces here: unshare: {os.strerror(ctypes.get_errno())}; run it as root, in a container "
             "with CAP_SYS_ADMIN")
    done = subprocess.run(["nft", "add table inet probe"], capture_output=True, text=True)
    if done.returncode != 0:
        skip(f"no nftables here: {done.stderr.strip()}")


def _in_thread(work):
    """work() on a thread of its own, which may change its namespace."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    if not results:
        raise Failed("a thread of the test's network failed")
    return results[0]


def _new_namespace():
    def make():
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    return _in_thread(make)


def _enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        os._exit(126)


def _command(namespace, argv, text):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, preexec_fn=lambda: _enter(namespace))
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip()}\n{text}")


class Network:
    """Nodes 0, 1, ... of which each reaches each."""

    def __init__(self, count, relay=None):
        self.count = count
        self.middle = _new_namespace()
        self.nodes = [_new_namespace() for _ in range(count)]
        middle = ["link set lo up"]
        for i, node in enumerate(self.nodes):
            middle += [
                f"link add n{i} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{node}",
                f"address add 10.77.{i}.254/24 dev n{i}",
                f"address add fd77:{i}::fe/64 dev n{i} nodad",
                f"link set n{i} up",
            ]
        if relay is not None:
            middle += ["rule add fwmark 1 lookup 100", "route add local default dev lo table 100"]
        _command(self.middle, ["ip", "-batch", "-"], "\n".join(middle) + "\n")
        self._in_middle(self._pass_on)
        for i, node in enumerate(self.nodes):
            _command(node, ["ip", "-batch", "-"], "\n".join([
                "link set lo up",
                f"address add {self.address(i)}/24 dev eth0",
                f"address add {self.address(i, 6)}/64 dev eth0 nodad",
                "link set eth0 up",
                f"route add default via 10.77.{i}.254",
                f"route add default via fd77:{i}::fe",
            ]) + "\n")
        self.relay = None
        if relay is not None:
            self._start_relay(relay)

    def _in_middle(self, work):
        def there():
            _enter(self.middle)
            return work()

        return _in_thread(there)

    @staticmethod
    def _pass_on():
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            with open(f"/proc/sys/net/{path}", "w") as file:  # of the namespace of the thread that opens it
                file.write("1")
        return True

    def _start_relay(self, faults):
        _command(self.middle, ["nft", "-f", "-"], f"""
table ip relay {{
  chain before {{
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    meta l4proto tcp tproxy to :{RELAY_PORT} meta mark set 1 accept
  }}
}}
""")

        def listen():
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            listener.bind(("0.0.0.0", RELAY_PORT))
            listener.listen(256)
            return listener

        self.relay = TransparentRelay(self._in_middle(listen), faults, self.middle)

    def address(self, node, family=4):
        return f"10.77.{node}.1" if family == 4 else f"fd77:{node}::1"

    def addresses(self, family=4):
        return [self.address(i, family) for i in range(self.count)]

    def inside(self, node):
        """For before_start of a process."""
        return lambda: _enter(self.nodes[node])

    def close_ports(self, node, but):
        """From now on nobody reaches the node but at these TCP ports, not even the node itself."""
        _command(self.nodes[node], ["nft", "-f", "-"], f"""
table inet node {{
  chain in {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    meta l4proto icmpv6 accept
    tcp dport {{ {", ".join(map(str, but))} }} accept
  }}
}}
""")

    def refuse_port(self, node, port):
        """Who connects there is told so, as where nobody listens."""
        _command(self.nodes[node], ["nft", "-f", "-"], f"""
table inet refuse {{
  chain in {{
    type filter hook input priority filter; policy accept;
    tcp dport {port} reject with tcp reset
  }}
}}
""")

    def part(self, node):
        """What the node sends goes nowhere, and nothing comes."""
        _command(self.middle, ["ip", "-batch", "-"], f"link set n{node} down\n")

    def listeners(self, node):
        """(address, port) of all who listen there."""
        def there():
            _enter(self.nodes[node])
            return listeners("thread-self")

        return _in_thread(there)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.relay is not None:
            self.relay.__exit__()
        for namespace in (*self.nodes, self.middle):
            os.close(namespace)


class TransparentRelay(Relay):
    """To whom a connection was meant to go it goes, from the address of who made it."""

    def __init__(self, listener, faults, namespace):
        self.namespace = namespace
        super().__init__(listener, None, faults)

    def connect_for(self, near):
        _enter(self.namespace)  # of this thread, which is this connection's
        far = socket.socket()
        far.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        far.bind((near.getpeername()[0], 0))
        far.settimeout(20)
        far.connect(near.getsockname())
        far.settimeout(None)
        return far
