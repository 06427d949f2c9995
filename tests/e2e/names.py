"""Nodes that the plan has by names, which come to be known late, or never, from a resolver that is fast, slow or silent.

    python3 names.py --bin build/cli

All in one network namespace; each node has its own /etc/hosts and /etc/resolv.conf.
"""

import json
import os
import socket
import subprocess
import time

from far_nodes import secret_file
from harness import MINI, START_S, Run, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from nodes import ASK, BOUND_S, alone, cluster_plan
from private_net import LIBC, PrivateNet

CLONE_NEWNS, MS_BIND, MS_PRIVATE_REC = 0x20000, 4096, (1 << 18) | 16384
ADDRESSES = ["10.66.0.1", "10.66.0.2", "10.66.0.3"]
NAMES = [f"n{i}.mrs-test" for i in range(3)]
PORT = 29500
NOBODY, SILENT = "nameserver 127.0.0.1\n", "nameserver 127.0.0.53\noptions timeout:30 attempts:1\n"


class Names:
    """Nodes in one namespace, each with what it knows of the others: knows[node] are numbers."""

    def __init__(self, work, resolver, knows, common=()):
        self.work, self.common, self.runs = work, common, {}
        self.net = PrivateNet()
        for address in ADDRESSES:
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True, preexec_fn=self.net.enter)
        self.silent = None
        if resolver is SILENT:
            with self.net.inside():
                self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.silent.bind(("127.0.0.53", 53))
        folder = work.path(f"names{id(self)}", "x")[:-1]
        self.hosts = [f"{folder}hosts{node}" for node in range(len(knows))]
        self.resolver = f"{folder}resolv"
        with open(self.resolver, "w", encoding="ascii") as file:
            file.write(resolver)
        for node, known in enumerate(knows):
            self.learns(node, *known)

    def learns(self, node, *numbers):
        """In the place of what its hosts file has."""
        with open(self.hosts[node], "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{ADDRESSES[i]} {NAMES[i]}\n" for i in numbers))

    def start(self, plan, node, *arguments):
        def enter():
            self.net.enter()
            for result in (LIBC.unshare(CLONE_NEWNS), LIBC.mount(None, b"/", None, MS_PRIVATE_REC, None),
                           LIBC.mount(self.hosts[node].encode(), b"/etc/hosts", None, MS_BIND, None),
                           LIBC.mount(self.resolver.encode(), b"/etc/resolv.conf", None, MS_BIND, None)):
                if result != 0:
                    os._exit(99)

        self.runs[node] = Run(self.work, "--plan", plan, "--model", MINI, "--node", node, "--cluster-port", PORT,
                              "--cluster-secret-file", secret_file(self.work), *self.common, *arguments, before_start=enter)
        return self.runs[node]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for run in self.runs.values():
            run.clean_up()
        if self.silent is not None:
            self.silent.close()
        self.net.close()


def plan_of(work, count):
    return cluster_plan(work, f"names{count}", NAMES[:count], 1, *(("--tp", "2") if count == 2 else ("--pp", "3")))


def late(work):
    """The head does not know its own name yet, nor the node the head's; of the node's the head hears from itself alone."""
    plan = plan_of(work, 2)
    with Names(work, NOBODY, [(), ()]) as names:
        runs = [names.start(plan, 0, *ASK), names.start(plan, 1)]
        for learns in ((0, 0), (1, 0, 1)):
            time.sleep(0.7)
            check(all(run.process.poll() is None for run in runs), "\n".join(run.described() for run in runs))
            names.learns(*learns)
        for run in runs:
            check_equal(run.ended(START_S), 0, run.described())
        check_equal(json.loads(runs[0].output)["logits_sha256"], alone(work), runs[0].described())


def never(work):
    """Of three, one has a name that nobody knows: all hear it at the start timeout, and those who wait at once."""
    plan = plan_of(work, 3)
    with Names(work, NOBODY, [(0, 1), (0, 1)], common=("--start-timeout", "2")) as names:
        runs = [names.start(plan, 0, "--port", "0"), names.start(plan, 1)]
        for run in runs:
            check_equal(run.ended(2 + BOUND_S), 1, run.described())
            run.said(r"node 2 \(n2 at n2\.mrs-test\) did not come within 2 s \(--start-timeout\); tcp: address 'n2\.mrs-test': "
                     "[A-Z].*; start mrs-exec there with the same plan", 1)


def silent(work):
    """A resolver that does not answer holds nobody up: who is known meets, and a signal ends it."""
    plan = plan_of(work, 3)
    with Names(work, SILENT, [(0, 1), (0, 1)], common=("--start-timeout", "60")) as names:
        runs = [names.start(plan, 0, "--port", "0"), names.start(plan, 1)]
        runs[0].said(r"^node +node 1 \(n1 at n1\.mrs-test\) is there", BOUND_S)
        runs[0].process.terminate()
        check_equal(runs[0].ended(BOUND_S), 0, runs[0].described())
        check_equal(runs[1].ended(BOUND_S), 1, runs[1].described())
        runs[1].said("the head was asked to end", 1)


def silent_of_the_head(work):
    """Nor is a node that asks for its head held up."""
    plan = plan_of(work, 2)
    with Names(work, SILENT, [(0, 1), (1,)], common=("--start-timeout", "60")) as names:
        node = names.start(plan, 1)
        node.said("this is +node 1 ")
        time.sleep(0.3)
        node.process.terminate()
        check_equal(node.ended(BOUND_S), 0, node.described())
    with Names(work, SILENT, [(0, 1), (1,)], common=("--start-timeout", "1")) as names:
        node = names.start(plan, 1)
        check_equal(node.ended(BOUND_S), 1, node.described())
        node.said(r"node 0 \(n0 at n0\.mrs-test\) was not reached at n0\.mrs-test port 29500 within 1 s \(--start-timeout\): "
                  r"'n0\.mrs-test' is being looked up still", 1)


def elsewhere(work):
    """What a node's name is now says where it comes from."""
    plan = plan_of(work, 2)
    with Names(work, NOBODY, [(0,), (0, 1)]) as names:
        with open(names.hosts[0], "a", encoding="ascii") as file:
            file.write(f"{ADDRESSES[2]} {NAMES[1]}\n")
        runs = [names.start(plan, 0, "--port", "0"), names.start(plan, 1)]
        for run in runs:
            check_equal(run.ended(START_S), 1, run.described())
            run.said(r"node 1 \(n1 at n1\.mrs-test\): its address is 10\.66\.0\.2, the plan's cluster says n1\.mrs-test; is its "
                     r"--node right\?", 1)


def main():
    arguments = parse_arguments(__doc__)
    PrivateNet.require()
    with Workplace("names", arguments.bin) as work:
        cases = [
            ("names that come late", lambda: late(work)),
            ("a name that never comes", lambda: never(work)),
            ("a silent resolver", lambda: silent(work)),
            ("a silent resolver, of the head", lambda: silent_of_the_head(work)),
            ("a name of elsewhere", lambda: elsewhere(work)),
        ]
        return run_cases(cases, 1, arguments.only)


if __name__ == "__main__":
    run_main(main)
