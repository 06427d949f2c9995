"""Rings of processes over hosts, each a network namespace: RING_CONFIG files as they are written for them, and
neighbours that are not reached.

    python3 ring_hosts.py --bin build/cli

As root. Where namespaces are not permitted it says so and ends with 77.
"""

import json
import time

from harness import MINI, START_S, Run, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from netns import Network, require_namespaces
from nodes import ASK, BOUND_S, SECRET, alone
from ring_ranks import Ring, plan_of

OPEN = "0.0.0.0"  # of a file: this host


class Hosts:
    """A ring over hosts: hosts[rank] is the rank's. said(rank) is what its file says more."""

    def __init__(self, work, hosts, *head_arguments, said, common=(), secret=True, plan=None):
        self.work, self.hosts, self.said = work, hosts, said
        self.network = Network(max(hosts) + 1)
        size = len(hosts)
        if secret:
            common = (*common, "--cluster-secret-file", work.text_file("secret", SECRET))
        changes = {rank: said(self, rank) for rank in range(size)}
        self.ring = Ring(work, plan or plan_of(work, size), size, *head_arguments, changes=changes, common=common,
                         start=[], before_start=lambda rank: self.network.inside(hosts[rank]))

    def at(self, rank, family=4):
        """Of the rank's host, as a file has it."""
        address = self.network.address(self.hosts[rank % len(self.hosts)], family)
        return address if family == 4 else f"[{address}]"

    def start(self, *environments):
        for rank in reversed(range(len(self.hosts))):
            self.ring.start(rank, *environments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ring.__exit__()
        self.network.__exit__()


def whole(hosts, rank, family=4):
    """Every address, as mrs-plan export writes it."""
    return {"master_ip": hosts.at(0, family), "right_ip": hosts.at(rank + 1, family)}


def needed(hosts, rank):
    """No address of a neighbour on the own host."""
    def elsewhere(other):
        return hosts.at(other) if hosts.hosts[other % len(hosts.hosts)] != hosts.hosts[rank] else None
    return {"master_ip": hosts.at(0), "right_ip": elsewhere(rank + 1)}


def same_bits(work, hosts_of, said, common=(), environment=None, close=True):
    with Hosts(work, hosts_of, *ASK, said=said, common=common) as hosts:
        if close:
            for host in range(max(hosts_of) + 1):
                of_host = [port for rank, port in enumerate(hosts.ring.ports) if hosts_of[rank] == host]
                hosts.network.close_ports(host, [*of_host, *([hosts.ring.master] if host == hosts_of[0] else [])])
        hosts.start(environment)
        hosts.ring.ended([0] * len(hosts_of), START_S)
        check_equal(json.loads(hosts.ring[0].output)["logits_sha256"], alone(work), hosts.ring[0].described())


def unreachable(work, spoil, why, victim=1, size=2):
    """The port of one rank is closed for its left neighbour."""
    with Hosts(work, list(range(size)), "--port", "0", said=whole) as hosts:
        spoil(hosts.network, victim, hosts)
        hosts.start()
        hosts.ring[0].said(r"^ring +rank 1 of the ring is there")
        began = time.monotonic()
        hosts.ring.ended([1] * size, BOUND_S + 2)
        check(time.monotonic() - began < BOUND_S + 1, f"it took {time.monotonic() - began:.1f} s")
        for rank in range(size):
            hosts.ring[rank].said(rf"^mrs-exec: rank {victim - 1} failed while connecting to its neighbours: ring: rank "
                                  rf"{victim - 1} to "
                                  rf"its right neighbour, rank {victim} at {hosts.at(victim)}:\d+: {why}")


def drop(network, victim, hosts):
    keep = [hosts.ring.master, *(port for rank, port in enumerate(hosts.ring.ports) if rank != victim)]
    network.close_ports(victim, keep)


def refuse(network, victim, hosts):
    network.refuse_port(victim, hosts.ring.ports[victim])


def nodes_by_interface(work):
    """Nodes of which the plan knows no address: each listens at that of its interface, as said."""
    cluster = work.path("plans", "nameless.yaml")
    with open(cluster, "w", encoding="utf-8") as file:
        file.write("version: 1\nnodes:\n" + "".join(f"  - {{name: n{i}, memory: 4GiB, ranks: 1}}\n" for i in range(2)))
    plan = work.path("plans", "nameless.mrsplan")
    work.tools.call([work.tools.plan_program, "build", MINI, "--cluster", cluster, "--max-len", "256", "--max-seqs", "4",
                     "--numerics", "pair2", "--tp", "2", "-o", plan])
    secret = work.text_file("secret", SECRET)
    with Network(2) as network:
        words = ["--plan", plan, "--model", MINI, "--cluster-secret-file", secret, "--interface", "eth0"]
        runs = [Run(work, *words, *more, "--node", node, before_start=network.inside(node))
                for node, more in ((0, ASK), (1, ("--head", network.address(0))))]
        try:
            for run in runs:
                check_equal(run.ended(START_S), 0, run.described())
            check_equal(json.loads(runs[0].output)["logits_sha256"], alone(work), runs[0].described())
        finally:
            for run in runs:
                run.clean_up()


def says(work, hosts_of, said, message, **more):
    with Hosts(work, hosts_of, "--port", "0", said=said, **more) as hosts:
        hosts.start()
        hosts.ring.ended([1] * len(hosts_of), BOUND_S + 3)
        hosts.ring.all_say(message(hosts))


def main():
    arguments = parse_arguments(__doc__)
    require_namespaces()
    two = [0, 0, 1, 1]
    with Workplace("ring-hosts", arguments.bin) as work:
        alone(work)
        cases = [  # those that wait first
            ("a neighbour refuses", lambda: unreachable(work, refuse, "connection refused: nobody listens there")),
            ("a neighbour is silent", lambda: unreachable(
                work, drop, "no answer at all: the host is down, or something on the way drops the packets")),
            ("a neighbour of four refuses", lambda: unreachable(
                work, refuse, "connection refused: nobody listens there", victim=2, size=4)),
            ("2 ranks on 2 hosts", lambda: same_bits(work, [0, 1], whole)),
            ("4 ranks on 2 hosts", lambda: same_bits(work, two, whole)),
            ("4 ranks on 4 hosts, IPv6", lambda: same_bits(work, [0, 1, 2, 3], lambda h, rank: whole(h, rank, 6))),
            # Rank 0 and the last one are of one host, rank 0's own file says no address of it, nor does the last one's.
            ("no address of the own host", lambda: same_bits(
                work, [0, 1], lambda h, rank: {"master_ip": OPEN if rank == 0 else h.at(0), "right_ip": h.at(rank + 1)})),
            ("a master on this host, by no address", lambda: same_bits(
                work, [0, 1, 1, 0], lambda h, rank: {"master_ip": OPEN if rank in (0, 3) else h.at(0),
                                                     "right_ip": h.at(rank + 1)}, close=False)),
            ("neighbours of one host need no address, with --interface", lambda: same_bits(
                work, two, needed, common=("--interface", "eth0"))),
            ("a hint of NCCL", lambda: same_bits(work, [0, 1], whole, environment={"NCCL_SOCKET_IFNAME": "=eth0"})),
            ("neighbours of one host without an address listen at the loopback", lambda: says(
                work, two, lambda h, rank: {**needed(h, rank), **({"right_ip": h.at(3)} if rank == 2 else {})},
                lambda h: "the ring is not closed: rank 3 (r3.json) takes its right neighbour, rank 0 "
                f"(r0.json), to listen at {h.at(0)}:<port 0>, but it listens at 127.0.0.1:<port 0> alone, as its own "
                "'right_ip' says no other host; write the address of its host there, or start it with --interface NAME")),
            ("a neighbour of another host without an address", lambda: says(
                work, [0, 1], lambda h, rank: {"master_ip": h.at(0), "right_ip": None if rank == 1 else h.at(1)},
                lambda h: "the ring is not closed: rank 1 (r1.json) takes its right neighbour, rank 0 (r0.json), to be on "
                f"its own host, as its 'right_ip' is left out or 0.0.0.0, but that is another: it listens at {h.at(0)}:<port "
                "0>; write its address into 'right_ip' of rank 1")),
            ("nodes by their interface", lambda: nodes_by_interface(work)),
            ("no secret", lambda: says(
                work, [0, 1], whole, lambda h: f"{h.at(0)} is no address of the loopback: ranks must prove to each other "
                "that they know a secret; give every rank the same file with --cluster-secret-file FILE, or say "
                "--insecure-cluster where whoever reaches them may be trusted", secret=False)),
        ]
        return run_cases(cases, 3, arguments.only)


if __name__ == "__main__":
    run_main(main)
