"""Nodes with a network namespace each, of which only the declared ports are open, and a checkpoint each that is NaN
wherever its ranks do not read: one hash of all logits, whatever the layout and the transport, and that of one process.

    python3 namespaces.py --bin build/cli           # --all: other counts of ranks a node, and IPv6, too

As root. Where namespaces are not permitted it says so and ends with 77.
"""

import json
import os
import re
import sys
import threading

from harness import HERE, MINI, START_S, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from netns import Network, require_namespaces
from nodes import SECRET, Cluster, cluster_plan

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from blind import blind_copy  # noqa: E402

PORT = 29500
PROMPT = [(7 * i * i + 3) % 2000 for i in range(70)]  # more than one chunk
ASK = ["--prompt-ids", ",".join(map(str, PROMPT)), "--max-tokens", "6", "--ignore-eos", "--json", "--temperature", "0"]
LAYOUTS = {
    "tp 2": ["--tp", "2"],
    "tp 4": ["--tp", "4"],
    "tp 8": ["--tp", "8"],
    "2 stages": ["--pp", "2"],
    "2 stages x tp 2": ["--pp", "2", "--tp", "2"],
}
ONE_EACH = {"tp 2": [1] * 2, "tp 4": [1] * 4, "tp 8": [1] * 8, "2 stages": [1] * 2, "2 stages x tp 2": [1] * 4}
SEVERAL = {"tp 4": [[2, 2]], "tp 8": [[4, 4]], "2 stages x tp 2": [[2, 2]]}  # memory within a node, tcp between
MORE = {"tp 4": [[3, 1], [1, 1, 2]], "tp 8": [[2] * 4, [1, 7]], "2 stages x tp 2": [[1, 3]]}


def cases(everything):
    """(layout, ranks of each node, transport, family of addresses)"""
    for layout in LAYOUTS:
        for transport in ("tcp", "ring"):
            yield layout, ONE_EACH[layout], transport, 4
        for ranks in SEVERAL.get(layout, []):
            yield layout, ranks, "auto", 4
        if not everything:
            continue
        for ranks in MORE.get(layout, []):
            for transport in ("auto", "tcp", "ring"):
                yield layout, ranks, transport, 4
        for transport in ("tcp", "ring"):
            yield layout, ONE_EACH[layout], transport, 6


class Worlds:
    """What cases share, made once: plans, and what each node has of the checkpoint."""

    def __init__(self, work):
        self.work = work
        self.lock = threading.Lock()
        self.made = {}
        self.ports = {}  # of a plan, those of each node: as README says them
        self.secret = work.path("secret")
        with open(self.secret, "w", encoding="utf-8") as file:
            file.write(SECRET)
        plan = work.plan(MINI, tp=1, max_len=256, max_seqs=4)
        answer = work.tools.call([work.tools.exec_program, "--plan", plan, "--model", MINI, *ASK])
        self.alone = json.loads(answer)["logits_sha256"]

    def plan(self, layout, ranks, addresses):
        """(plan, the model's folder of each node)"""
        key = (layout, *ranks, *addresses)
        with self.lock:
            if key not in self.made:
                name = f"world{len(self.made)}"
                plan = cluster_plan(self.work, name, addresses, ranks, *LAYOUTS[layout])
                read = self.work.tools.inspect(plan)
                models = {}
                self.ports[plan] = [[PORT] if node == 0 else [] for node in range(len(ranks))]
                for node in range(len(ranks)):
                    models[node] = os.path.join(self.work.path(name, "x")[:-2], str(node))
                    of_node = [rank for rank, where in enumerate(read["ranks"]) if where["node"] == node]
                    check_equal(len(of_node), ranks[node], f"ranks of node {node}")
                    self.ports[plan][node] += [PORT + 1 + rank for rank in of_node]
                    for blind, whole in blind_copy(MINI, read, of_node, models[node]):
                        check(blind != whole, f"node {node} of {layout}: it reads all of the checkpoint")
                self.made[key] = plan, models
        return self.made[key]


def same_bits(worlds, layout, ranks, transport, family):
    with Network(len(ranks)) as network:
        plan, models = worlds.plan(layout, ranks, network.addresses(family))
        for node, ports in enumerate(worlds.ports[plan]):
            network.close_ports(node, but=ports)
        common = ["--transport", transport, "--threads", "1", "--cluster-secret-file", worlds.secret]
        if "stages" in layout and transport != "ring":
            common += ["--cluster-streams", "4"]  # to the same ports
        with Cluster(worlds.work, plan, len(ranks), *ASK, common=common, models=models, port=PORT,
                     before_start=network.inside) as cluster:
            cluster.ended([0] * len(ranks), START_S)
            check_equal(json.loads(cluster[0].output)["logits_sha256"], worlds.alone, cluster[0].described())
            for node in range(len(ranks)):
                name = transport if transport != "auto" else "mixed" if max(ranks) > 1 else "tcp"
                cluster[node].said(rf"^running on +{ranks[node]} ranks? x 1 thread, transport {name},")
                check_equal(network.listeners(node), set(), f"who listens still on node {node}")


def out_of_reach(worlds, why, transport):
    """The control: a rank whose port a firewall does not let through is not reached, and the port is named."""
    with Network(2) as network:
        plan, models = worlds.plan("tp 2", [1, 1], network.addresses())
        if why == "dropped":
            network.close_ports(0, [PORT])
        else:
            network.refuse_port(0, PORT + 1)
        common = ("--cluster-secret-file", worlds.secret, "--transport", transport)
        with Cluster(worlds.work, plan, 2, *ASK, common=common, models=models, port=PORT,
                     before_start=network.inside) as cluster:
            cluster.ended([1, 1], START_S)
            said = {"dropped": "no answer at all: the host is down, or something on the way drops the packets (a firewall?)",
                    "refused": "connection refused: nobody listens there"}[why]
            right = "its right neighbour, " if transport == "ring" else ""
            cluster.all_said(re.escape(
                f"rank 1 on node 1 (n1 at 10.77.1.1) failed while loading weights: {transport}: rank 1 to {right}rank 0 "
                f"at 10.77.0.1:{PORT + 1}: {said} (for 8000 ms); rank 0 listens there, but nothing comes through: open its "
                "port to rank 1, in the firewalls of both hosts and between them"))


def main():
    arguments = parse_arguments(__doc__, ("--all", {"action": "store_true", "help": "many more"}))
    require_namespaces()
    with Workplace("namespaces", arguments.bin) as work:
        worlds = Worlds(work)
        todo = [(f"{layout}, {'-'.join(map(str, ranks))} ranks a node, {transport}{', IPv6' if family == 6 else ''}",
                 lambda c=(layout, ranks, transport, family): same_bits(worlds, *c))
                for layout, ranks, transport, family in cases(arguments.all)]  # fmt: skip
        for why, transport in (("dropped", "tcp"), ("refused", "ring"), ("refused", "tcp"), ("dropped", "ring")):
            if arguments.all or (why == "dropped") == (transport == "tcp"):
                todo.insert(0, (f"a rank's port is {why}, {transport}",
                                lambda c=(why, transport): out_of_reach(worlds, *c)))  # fmt: skip
        return run_cases(todo, 3, arguments.only)


if __name__ == "__main__":
    run_main(main)
