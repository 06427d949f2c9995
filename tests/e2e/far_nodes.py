"""Two nodes in a network namespace each, for the scripts beside this file: all that they say to each other passes through
relays of ours (relay.py), each in the place of the other node's port.

    with Far(work, plan, ["--port", "0"], ["--cluster-secret-file", secret_file(work)]) as far:
        far.nodes[0].said("^ready ")
        far.of_nodes()[1]["down"].flip_next()    # a bit of what the head says next over node 1's second connection
"""

import json
import socket

from harness import MINI, Run, check_equal
from nodes import BOUND_S, SECRET
from private_net import PrivateNet
from relay import Faults, Relay

RANKS = 4  # of a plan, at most
HANDSHAKE = 96  # bytes of each direction of a connection, before what has tags (runtime/comm/tcp_auth.h)


def secret_file(work):
    return work.text_file("secret", SECRET)


class Far:
    """The head in one namespace, node 1 in another, relays at the head's address between them."""

    def __init__(self, work, plan, head_arguments, common, node_common=None, flip=(), of_ranks=None):
        self.port = 29500  # nobody else is in these namespaces
        self.nets = [PrivateNet(), PrivateNet()]
        self.nodes = []
        self.to_head = self.relay(0, self.port, Faults(flip=flip))
        self.to_ranks = [self.relay(node, self.port + 1 + rank, of_ranks or Faults()) for node in range(2) for rank in range(RANKS)]
        self.nodes = []
        for node, arguments in enumerate((head_arguments, [])):
            options = common if node == 0 or node_common is None else node_common
            self.nodes.append(Run(work, "--plan", plan, "--model", MINI, "--node", node, "--cluster-port", self.port,
                                  *options, *arguments, before_start=self.nets[node].enter))

    def relay(self, node, port, faults):
        """In the other node's namespace, in the place of this one's port."""
        here, there = f"127.0.0.{node + 1}", f"127.0.0.{2 - node}"

        def connect():
            with self.nets[node].inside():
                return socket.create_connection((here, port), source_address=(there, 0))

        with self.nets[1 - node].inside():
            listener = socket.create_server((here, port))
        return Relay(listener, connect, faults)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for relay in [self.to_head, *self.to_ranks]:
            relay.__exit__()
        for node in self.nodes:
            node.clean_up()
        for net in self.nets:
            net.close()

    def of_nodes(self):
        """The node's first and second connection to the head."""
        return self.to_head.connections

    def of_ranks(self):
        """Those dialed to the head's ranks first."""
        return [one for relay in self.to_ranks for one in relay.connections]

    def both_say(self, patterns):
        """Exit code 1, and these words, within the bound."""
        for node, pattern in zip(self.nodes, patterns):
            check_equal(node.ended(BOUND_S), 1, f"exit code\n  {node.described()}")
            node.said(pattern, 1)


def ask(far, port):
    body = json.dumps({"prompt": [1, 2, 3], "max_tokens": 50, "ignore_eos": True}).encode()
    with far.nets[0].inside():
        connection = socket.create_connection(("127.0.0.1", port))
    with connection:
        connection.settimeout(30)
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
                           b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        text = b""
        while part := connection.recv(65536):
            text += part
        return text
