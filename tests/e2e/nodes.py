"""Several nodes of one machine: one command a node, the logits of one process, and what goes wrong said everywhere.

    python3 nodes.py --bin build/cli

Nodes are addresses of the loopback: 127.0.0.1, 127.0.0.2, ...
"""

import json
import os
import re
import signal
import socket
import subprocess
import time

from harness import (MINI, START_S, Run, Server, Workplace, check, check_equal, free_ports, listeners,
                     parse_arguments, run_cases, run_main, wait_until)

RANKS = 16  # of a plan, at most
BOUND_S = 5  # from what happens to the error on every node
ASK = ["--prompt-ids", "1,2,3,4,5", "--max-tokens", "6", "--ignore-eos", "--json", "--temperature", "0"]
SECRET = "a secret of the tests, long enough\n"


def cluster_plan(work, name, addresses, ranks, *options):
    """A plan of nodes at these addresses, with so many CPU ranks on each (a number, or one for each node)."""
    counts = ranks if isinstance(ranks, (list, tuple)) else [ranks] * len(addresses)
    cluster = "version: 1\nnodes:\n" + "".join(
        f"  - {{name: n{i}, address: {address}, memory: 4GiB, ranks: {counts[i]}}}\n"
        for i, address in enumerate(addresses))

    def make():
        plan = work.path("plans", f"{name}.mrsplan")
        work.tools.call([work.tools.plan_program, "build", MINI, "--cluster",
                         work.text_file(os.path.join("plans", f"{name}.yaml"), cluster), "--max-len", "256", "--max-seqs",
                         "4", "--numerics", "pair2", *options, "-o", plan])
        return plan

    return work.once((name, cluster, options), make)


def loopback(count):
    return [f"127.0.0.{i + 1}" for i in range(count)]


def alone(work):
    """The answer of one process."""
    def ask():
        plan = work.plan(MINI, tp=1, max_len=256, max_seqs=4)
        return work.tools.call([work.tools.exec_program, "--plan", plan, "--model", MINI, *ASK])

    return json.loads(work.once("alone", ask))["logits_sha256"]


class Cluster:
    """A process for each node; the head gets `head_arguments`. before_start: of a node's number, of its process."""

    def __init__(self, work, plan, count, *head_arguments, common=(), plans=None, models=None, order=None,
                 before_start=None, port=None):
        self.port = port or free_ports(1 + RANKS)  # the head's, and the ranks' behind it
        self.nodes = [None] * count
        self.made = (work, plan, head_arguments, common, plans or {}, models or {}, before_start)
        for node in order or range(count - 1, -1, -1):
            self.start(node)

    def start(self, node, number=None, program=None, instead=None, environment=None):
        """The node's process, which says that it is node `number`, with some arguments in place of others."""
        work, plan, head_arguments, common, plans, models, before_start = self.made
        number = node if number is None else number
        arguments = ["--plan", plans.get(node, plan), "--model", models.get(node, MINI), "--node", number, "--cluster-port",
                     self.port, *common, *(head_arguments if number == 0 else ())]
        arguments = [(instead or {}).get(argument, argument) for argument in arguments]
        self.nodes[node] = Run(work, *arguments, before_start=before_start and before_start(node),
                               environment=environment, program=program)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            if node is not None:
                node.clean_up()

    def __getitem__(self, node):
        return self.nodes[node]

    def ended(self, codes, seconds):
        """Exit codes, within so many seconds in all."""
        deadline = time.monotonic() + seconds
        actual = [node.ended(max(0.1, deadline - time.monotonic())) for node in self.nodes if node is not None]
        check_equal(actual, codes, "exit codes\n  " + "\n  ".join(n.described() for n in self.nodes if n is not None))

    def all_said(self, pattern):
        for node in self.nodes:
            if node is not None:
                node.said(pattern, 1)


def same_bits(work, name, count, ranks, *options, common=()):
    plan = cluster_plan(work, name, loopback(count), ranks, *options)
    with Cluster(work, plan, count, *ASK, common=common) as cluster:
        cluster.ended([0] * count, START_S)
        check_equal(json.loads(cluster[0].output)["logits_sha256"], alone(work), cluster[0].described())
        for node in range(1, count):
            cluster[node].said("no port for clients")
            cluster[node].said("ended +by the head, in order")


def serves(work):
    """The head serves over HTTP; SIGTERM there ends all nodes in order."""
    plan = cluster_plan(work, "serve", loopback(2), 1, "--tp", "2")
    head = ["--plan", plan, "--model", MINI, "--node", "0", "--cluster-port", 0]
    with Cluster(work, plan, 2, order=[1]) as cluster:
        head[-1] = cluster.port
        server = Server(work, plan, MINI, *head[4:])
        try:
            server.wait_ready()
            answer = server.ask("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True})
            check_equal(answer["usage"]["completion_tokens"], 4, "tokens")
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(BOUND_S), 0, server.described())
            check_equal(cluster[1].ended(BOUND_S), 0, cluster[1].described())
            cluster[1].said("ended +by the head, in order")
        finally:
            server.clean_up()


def ready(cluster):
    cluster[0].said(r"^ready ")


def dies(work, victim, send, pattern, codes, rank=False):
    """Something ends while both nodes serve; both name it, and nothing is left."""
    plan = cluster_plan(work, "dies", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, "--port", "0") as cluster:
        ready(cluster)
        pid = cluster[victim].ranks(1)[0] if rank else cluster[victim].process.pid
        os.kill(pid, send)
        began = time.monotonic()
        for node, code in enumerate(codes):
            if code is None:
                continue
            check_equal(cluster[node].ended(BOUND_S + 4), code, cluster[node].described())
            if code == 1:
                cluster[node].said(pattern)
        check(time.monotonic() - began < BOUND_S + 1, f"it took {time.monotonic() - began:.1f} s")


def wrong_plan(work):
    right = cluster_plan(work, "right", loopback(3), 1, "--pp", "3")
    other = work.path("plans", "other.mrsplan")
    yaml = work.path("plans", "right.yaml")
    work.tools.call([work.tools.plan_program, "build", MINI, "--cluster", yaml, "--max-len", "128", "--max-seqs", "4",
                     "--numerics", "pair2", "--pp", "3", "-o", other])
    with Cluster(work, right, 3, "--port", "0", plans={1: other}) as cluster:
        cluster.ended([1, 1, 1], BOUND_S + 5)
        cluster.all_said(r"node 1 \(n1 at 127\.0\.0\.2\), rank 1: its plan is [0-9a-f]{64}, the head's is [0-9a-f]{64}; "
                         "give every node the same plan file")


def twice(work):
    plan = cluster_plan(work, "twice", loopback(3), 1, "--pp", "3")
    with Cluster(work, plan, 3, "--port", "0", order=[1, 0]) as cluster:
        cluster[0].said(r"^node +node 1 \(n1 at 127\.0\.0\.2\) is there")
        cluster.nodes[2] = Run(work, "--plan", plan, "--model", MINI, "--node", 1, "--cluster-port", cluster.port)
        cluster.ended([1, 1, 1], BOUND_S)
        cluster.all_said(r"node 1 \(n1 at 127\.0\.0\.2\) came twice: from 127\.0\.0\.2 and from 127\.0\.0\.2; give each "
                         "node its own --node")


def wrong_secret(work):
    plan = cluster_plan(work, "secret", loopback(2), 1, "--tp", "2")
    files = []
    for i in range(2):
        files.append(work.path(f"secret{i}"))
        with open(files[i], "w", encoding="utf-8") as file:
            file.write(SECRET if i == 0 else "another" + SECRET)
    with Cluster(work, plan, 2, "--port", "0", "--cluster-secret-file", files[0], order=[0]) as cluster:
        cluster.nodes[1] = Run(work, "--plan", plan, "--model", MINI, "--node", 1, "--cluster-port", cluster.port,
                               "--cluster-secret-file", files[1])
        cluster.ended([1, 1], BOUND_S + 5)
        cluster[0].said(r"node 1 \(n1 at 127\.0\.0\.2\): its cluster secret is not the head's; give both the same")
        cluster[1].said(r"refused this node's proof: the cluster secret is not the same on both")


def missing(work):
    plan = cluster_plan(work, "missing", loopback(3), 1, "--pp", "3")
    with Cluster(work, plan, 3, "--port", "0", common=("--start-timeout", "2"), order=[1, 0]) as cluster:
        cluster.ended([1, 1], 2 + BOUND_S + 3)
        cluster.all_said(r"node 2 \(n2 at 127\.0\.0\.3\) did not come within 2 s \(--start-timeout\)")


def fails_before_it_joins(work):
    """A node that cannot take part says so, and so does everybody who would have waited for it."""
    plan = cluster_plan(work, "before", loopback(3), 1, "--pp", "3")
    with Cluster(work, plan, 3, "--port", "0", order=[1, 0], common=("--transport", "auto")) as cluster:
        cluster[0].said(r"^node +node 1 \(n1 at 127\.0\.0\.2\) is there")
        cluster.start(2, instead={"auto": "shm"})
        cluster.ended([1, 1, 2], BOUND_S)
        why = cluster[2].said("^mrs-exec: (--transport shm: .*)$", 1)[1]
        for node in (0, 1):
            cluster[node].said(r"^mrs-exec: node 2 \(n2 at 127\.0\.0\.3\) failed before it joined: " + re.escape(why), 1)


def busy_port(work):
    """A rank's port is another's: named by node, rank and port, on both nodes."""
    plan = cluster_plan(work, "busy", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, "--port", "0", order=[0]) as cluster, socket.socket() as other:
        other.bind(("127.0.0.2", cluster.port + 2))
        other.listen()
        cluster.start(1)
        cluster.ended([1, 1], BOUND_S + 5)
        cluster.all_said(r"rank 1 on node 1 \(n1 at 127\.0\.0\.2\) failed while meeting the others: tcp: listening on 127\.0\.0\.2 "
                         rf"port {cluster.port + 2}: Address already in use; end what listens there, or give every node "
                         r"another --cluster-port N: rank r listens on N \+ 1 \+ r")


def declared_ports(work):
    """Rank r listens at its port, on its node's address alone, until the mesh stands."""
    plan = cluster_plan(work, "declared", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, "--port", "0", order=[0]) as cluster:
        cluster[0].said(r"^ports +%d at the head, %d and %d for the ranks" % tuple(cluster.port + i for i in range(3)))
        listening = lambda: {(ip, port) for ip, port in listeners() if cluster.port <= port <= cluster.port + RANKS}
        wait_until(lambda: listening() == {("127.0.0.1", cluster.port), ("127.0.0.1", cluster.port + 1)}, START_S, listening)
        cluster.start(1)
        ready(cluster)
        check_equal(listening(), set(), "who listens still")


def refused(work, arguments, code, message, plan_options=("--tp", "2"), addresses=None):
    plan = cluster_plan(work, "refused" + (addresses or ["x"])[0], addresses or loopback(2), 1, *plan_options)
    done = subprocess.run([work.tools.exec_program, "--plan", plan, "--model", MINI, *arguments], capture_output=True,
                          text=True, timeout=START_S, stdin=subprocess.DEVNULL)
    check_equal((done.returncode, done.stderr.splitlines()[-1]), (code, message), "what it says")


def refusals():
    secret = ("10.0.0.1 is no address of the loopback: nodes must prove to each other that they know a secret; give "
              "every node the same file with --cluster-secret-file FILE, or say --insecure-cluster where whoever reaches "
              "them may be trusted")
    return [
        ("shm between nodes", ["--node", "0", "--transport", "shm"], 2,
         "mrs-exec: --transport shm: the plan's ranks are on 2 nodes, which share no memory; expected auto, tcp or ring",
         {}),
        ("streams in a ring", ["--node", "0", "--transport", "ring", "--cluster-streams", "2"], 2,
         "mrs-exec: --cluster-streams 2: in a ring a rank has one connection to each neighbour; leave it out, or let all "
         "reach each other with --transport auto or tcp", {}),
        ("a prompt at a node", ["--node", "1", "--prompt", "x"], 2,
         "mrs-exec: --prompt and --prompt-ids are for the head, node 0 (n0 at 127.0.0.1); this is node 1 (n1 at "
         "127.0.0.2) (--node 1)", {}),
        ("an interface that is not the plan's", ["--node", "0", "--interface", "lo"], 1,
         "mrs-exec: --interface lo: it gives this node 127.0.0.1, and the plan has it at 10.0.0.1; leave it out, or correct the "
         "address in the cluster file, and plan anew", {"addresses": ["10.0.0.1", "10.0.0.2"]}),
        ("no secret", ["--node", "0"], 1, "mrs-exec: " + secret, {"addresses": ["10.0.0.1", "10.0.0.2"]}),
    ]


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("nodes", arguments.bin) as work:
        cases = [
            ("tp 2 on two nodes", lambda: same_bits(work, "tp2", 2, 1, "--tp", "2")),
            ("2 stages x tp 2 on two nodes", lambda: same_bits(work, "pp2tp2", 2, 2, "--tp", "2", "--pp", "2")),
            ("tp 4 on two nodes, mixed", lambda: same_bits(work, "tp4", 2, 2, "--tp", "4")),
            ("tp 4 on two nodes, ring", lambda: same_bits(work, "tp4r", 2, 2, "--tp", "4",
                                                          common=("--transport", "ring"))),
            ("tp 4 on four nodes", lambda: same_bits(work, "tp4x4", 4, 1, "--tp", "4")),
            ("serving", lambda: serves(work)),
            ("a rank of another node is killed", lambda: dies(
                work, 1, signal.SIGKILL, r"rank 1 on node 1 \(n1 at 127\.0\.0\.2\) \(pid \d+\) was killed by signal 9", [1, 1],
                rank=True)),
            ("a rank of the head is killed", lambda: dies(
                work, 0, signal.SIGKILL, r"rank 0 on node 0 \(n0 at 127\.0\.0\.1\) \(pid \d+\) was killed by signal 9", [1, 1],
                rank=True)),
            ("a node is killed", lambda: dies(work, 1, signal.SIGKILL,
                                              r"node 1 \(n1 at 127\.0\.0\.2\) is gone: its connection closed", [1, None])),
            ("the head is killed", lambda: dies(work, 0, signal.SIGKILL,
                                                r"node 0 \(n0 at 127\.0\.0\.1\) is gone: ", [None, 1])),
            ("a node is asked to end", lambda: dies(
                work, 1, signal.SIGTERM, r"node 1 \(n1 at 127\.0\.0\.2\) is gone: it was asked to end \(signal 15, Terminated\)",
                [1, 0])),
            ("a wrong plan", lambda: wrong_plan(work)),
            ("a node twice", lambda: twice(work)),
            ("a wrong secret", lambda: wrong_secret(work)),
            ("declared ports", lambda: declared_ports(work)),
            ("a busy port", lambda: busy_port(work)),
            ("a missing node", lambda: missing(work)),
            ("a node that fails before it joins", lambda: fails_before_it_joins(work)),
        ]
        for name, argv, code, message, more in refusals():
            cases.append((name, lambda a=argv, c=code, m=message, o=more: refused(work, a, c, m, **o)))
        return run_cases(cases, 2, arguments.only)


if __name__ == "__main__":
    run_main(main)
