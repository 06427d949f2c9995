"""--rehearse and doctor --plan over two nodes: the links by name, one that is cut, and who says what.

    python3 node_rehearsal.py --bin build/cli
"""

import json
import os
import re
import signal
import subprocess

from far_nodes import HANDSHAKE, Far, secret_file
from harness import START_S, Run, Workplace, check, check_equal, free_ports, parse_arguments, run_cases, run_main, wait_until
from nodes import BOUND_S, Cluster, cluster_plan, loopback
from private_net import PrivateNet
from relay import Faults

LINK = r"rank {} -> rank {} \((tcp|mixed|ring) 127\.0\.0\.\d:\d+\)"


EITHER = f"({LINK.format(0, 1)}|{LINK.format(1, 0)})"


def pairs(count):
    return [(a, b) for a in range(count) for b in range(count) if a != b]


def whole(work, name, ranks, options, *arguments):
    """Exit code 0 everywhere; the head's report has every link, and what each step's exchanges took."""
    plan = cluster_plan(work, name, loopback(2), ranks, *options)
    with Cluster(work, plan, 2, "--json", common=("--rehearse", *arguments)) as cluster:
        cluster.ended([0, 0], START_S)
        report = json.loads(cluster[0].output)
        check_equal([report["ok"], report["error"]], [True, None], "report")
        check_equal(sorted((link["from"], link["to"]) for link in report["links"]), pairs(2 * ranks), "links")
        check(all(link["latency_ns"] > 0 and link["bytes_per_second"] > 0 for link in report["links"]), "their times")
        check_equal([rank["rank"] for rank in report["ranks"]], list(range(2 * ranks)), "ranks")
        check(all(step["exchanges"] and step["min_ns"] > 0 for step in report["steps"]), "steps")
        cluster[1].said("ended +by the head, in order")
        check_equal(cluster[1].output, b"", "what the node prints")


def text(work):
    plan = cluster_plan(work, "text", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, common=("--rehearse",)) as cluster:
        cluster.ended([0, 0], START_S)
        output = cluster[0].output.decode()
        for a, b in pairs(2):
            check(re.search(rf"rank {a} -> rank {b}: [0-9.]+ [mun]?s, [0-9.]+ .B/s", output), output)


def unlike(work):
    plan = cluster_plan(work, "unlike", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, "--rehearse") as cluster:
        cluster.ended([1, 1], BOUND_S + 5)
        cluster.all_said(r"node 1 \(n1 at 127\.0\.0\.2\), rank 1: it was started without --rehearse, the head with it; "
                         "start all alike")


def spoilt(work, faults, named):
    """The link between the ranks is spoilt while it is checked; both nodes end, and name it."""
    plan = cluster_plan(work, "spoilt", loopback(2), 1, "--tp", "2")
    common = ["--cluster-secret-file", secret_file(work), "--rehearse"]
    with Far(work, plan, ["--json"], common, of_ranks=faults) as far:
        for node in far.nodes:
            check_equal(node.ended(START_S), 1, node.described())
            node.said(named, 1)
        report = json.loads(far.nodes[0].output)
        check_equal(report["ok"], False, "report")
        check(re.search(named, report["error"]), report["error"])


def cut(work):
    """As a cable that is pulled with both ends told: the connections are reset."""
    plan = cluster_plan(work, "cut", loopback(2), 1, "--tp", "2")
    with Far(work, plan, ["--json"], ["--cluster-secret-file", secret_file(work), "--rehearse"],
             of_ranks=Faults(stall_after=HANDSHAKE + 2000)) as far:
        wait_until(lambda: any(one["up"].passed > HANDSHAKE for one in far.of_ranks()), START_S, "the link is in use")
        for relay in far.to_ranks:
            relay.cut()
        for node in far.nodes:
            check_equal(node.ended(START_S), 1, node.described())
            node.said(f"link {EITHER}: .*(closed|failed)", 1)


def node_dies(work):
    plan = cluster_plan(work, "dies", loopback(2), 1, "--tp", "2")
    with Cluster(work, plan, 2, common=("--rehearse",)) as cluster:
        cluster[1].said("^together ")
        os.kill(cluster[1].process.pid, signal.SIGKILL)
        check_equal(cluster[0].ended(BOUND_S + 4), 1, cluster[0].described())
        cluster[0].said(r"node 1 \(n1 at 127\.0\.0\.2\) is gone: its connection closed", 1)


def doctor(work, plan, port, *arguments):
    done = subprocess.run([work.tools.exec_program, "doctor", "--plan", plan, "--cluster-port", str(port), *arguments],
                          capture_output=True, text=True, timeout=START_S, stdin=subprocess.DEVNULL)
    return done


def doctor_at_head(work):
    plan = cluster_plan(work, "doctor", loopback(2), 2, "--tp", "4")
    port = free_ports(5)
    node = Run(work, "--plan", plan, "--node", 1, "--cluster-port", port, "--rehearse")
    try:
        done = doctor(work, plan, port, "--node", "0", "--port", "0", "--json")
        report = json.loads(done.stdout)
        check_equal(sorted((link["from"], link["to"]) for link in report["plan"]["links"]), pairs(4), "links")
        findings = {finding["id"]: finding for finding in report["findings"]}
        check_equal(findings["plan.links"]["verdict"], "ok", done.stdout)
        for what in ("plan.latency", "plan.bandwidth"):
            check(re.search(r"rank \d -> rank \d: ", findings[what]["says"]), done.stdout)
        check_equal(node.ended(BOUND_S), 0, node.described())
        node.said("ended +by the head, in order")
    finally:
        node.clean_up()


def doctor_of_a_missing_node(work):
    plan = cluster_plan(work, "doctor", loopback(2), 2, "--tp", "4")
    done = doctor(work, plan, free_ports(5), "--node", "0", "--port", "0", "--start-timeout", "1")
    check_equal(done.returncode, 1, done.stdout + done.stderr)
    check("node 1 (n1 at 127.0.0.2) did not come within 1 s" in done.stdout, done.stdout)


def doctor_elsewhere(work):
    plan = cluster_plan(work, "doctor", loopback(2), 2, "--tp", "4")
    done = doctor(work, plan, free_ports(5), "--node", "1")
    check_equal((done.returncode, done.stdout, done.stderr), (1, "", (
        "mrs-exec: doctor --plan judges the links at the head, node 0 (n0 at 127.0.0.1); this is node 1 (n1 at 127.0.0.2) "
        f"(--node 1), which takes part by: mrs-exec --plan {plan} --node 1 --rehearse\n")), "what it says")


def main():
    arguments = parse_arguments(__doc__)
    why_not = PrivateNet.why_not()
    if why_not:
        print(f"SKIPPED: what needs namespaces: {why_not}")
    with Workplace("node_rehearsal", arguments.bin) as work:
        cases = [
            ("tp 2", lambda: whole(work, "r2", 1, ["--tp", "2"])),
            ("2 stages x tp 2", lambda: whole(work, "r4", 2, ["--tp", "2", "--pp", "2"])),
            ("tp 4, ring", lambda: whole(work, "r4r", 2, ["--tp", "4"], "--transport", "ring")),
            ("text", lambda: text(work)),
            ("the head alone rehearses", lambda: unlike(work)),
            ("a node dies", lambda: node_dies(work)),
            ("doctor at the head", lambda: doctor_at_head(work)),
            ("doctor of a missing node", lambda: doctor_of_a_missing_node(work)),
            ("doctor elsewhere", lambda: doctor_elsewhere(work)),
        ]
        if not why_not:
            cases[:0] = [  # the first waits
                ("a link that stalls", lambda: spoilt(work, Faults(stall_after=HANDSHAKE + 2000),
                                                      f"link {EITHER}: nothing came through for [0-9.]+ s")),
                ("a link that is cut", lambda: cut(work)),
                ("a link that lies", lambda: spoilt(work, Faults(flip=("up", HANDSHAKE + 500)),
                                                    f"link {EITHER}: .*integrity tag is wrong")),
            ]
        return run_cases(cases, 2, arguments.only)


if __name__ == "__main__":
    run_main(main)
