"""What a node and its ranks say on standard error is at the head, too, by node and rank: so much of it, and no more.

    python3 node_logs.py --bin build/cli
"""

import http.client
import os
import re
import signal
import time

from harness import MINI, START_S, Server, Workplace, check, check_equal, free_ports, parse_arguments, run_cases, run_main, wait_until
from nodes import ASK, BOUND_S, Cluster, cluster_plan, loopback


def plan_of(work):
    return cluster_plan(work, "logs", loopback(2), 1, "--tp", "2")


def write(pid, data):
    """As if the process said it on its standard error."""
    with open(f"/proc/{pid}/fd/2", "wb", buffering=0) as file:
        file.write(data)


def at_head(cluster):
    return [line for line in list(cluster[0].lines) if line.startswith("[node 1 n1")]


def words(work):
    """Whole lines, escaped, of the rank that said them; at the node as they are."""
    with Cluster(work, plan_of(work), 2, "--port", "0") as cluster:
        cluster[0].said("^ready ")
        (rank,) = cluster[1].ranks(1)
        write(rank, b"first half, ")
        write(rank, b"second half\n\x1b[31mred\n" + b"a" * 1500 + b"\n")
        cluster[0].said(r"^\[node 1 n1, rank 1\] first half, second half$")
        cluster[0].said(r"^\[node 1 n1, rank 1\] \\x1b\[31mred$")
        cluster[0].said(r"^\[node 1 n1, rank 1\] a{1024}$")
        cluster[0].said(r"^\[node 1 n1, rank 1\] a{476}$")
        cluster[1].said("^first half, second half$")
        cluster[1].said("^\x1b\\[31mred$")
        os.kill(cluster[0].process.pid, signal.SIGTERM)
        cluster.ended([0, 0], BOUND_S)


def last_words(work):
    """What a rank says just before it dies comes before the verdict ends the world."""
    with Cluster(work, plan_of(work), 2, "--port", "0") as cluster:
        cluster[0].said("^ready ")
        (rank,) = cluster[1].ranks(1)
        write(rank, b"out of something\n")
        os.kill(rank, signal.SIGKILL)
        cluster.ended([1, 1], BOUND_S + 3)
        cluster[0].said(r"^\[node 1 n1, rank 1\] out of something$", 1)


def flood(work):
    """So much a second; the rest is counted; the world serves on."""
    plan = plan_of(work)
    with Cluster(work, plan, 2, order=[1]) as cluster:
        server = Server(work, plan, MINI, "--node", "0", "--cluster-port", str(cluster.port))
        cluster.nodes[0] = server
        server.wait_ready()
        (rank,) = cluster[1].ranks(1)
        began = time.monotonic()
        while time.monotonic() - began < 2:
            write(rank, b"".join(b"line %d\n" % i for i in range(1000)))
        answer = server.ask("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True})
        check_equal(answer["usage"]["completion_tokens"], 4, "tokens")
        server.said(r"^\[node 1 n1\] \d+ lines more, which are in its own log$")
        seconds = time.monotonic() - began
        lines = [line for line in at_head(cluster) if re.fullmatch(r"\[node 1 n1, rank 1\] line \d+", line)]
        check(100 <= len(lines) <= 100 + 40 * (seconds + 1), f"{len(lines)} lines in {seconds:.1f} s")
        server.process.send_signal(signal.SIGTERM)
        check_equal(server.ended(BOUND_S), 0, server.described())
        check_equal(cluster[1].ended(BOUND_S), 0, cluster[1].described())


def nobody_reads(work):
    """The head's log is a pipe that is full: no beat waits for it, and its nodes are not lost."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while os.write(write_end, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    port = free_ports(1)

    def health():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    with Cluster(work, plan_of(work), 2, "--port", port,
                 before_start=lambda node: (lambda: os.dup2(write_end, 2)) if node == 0 else None) as cluster:
        wait_until(lambda: health() == 200, START_S, "health", interval=0.1)
        (rank,) = cluster[1].ranks(1)
        began = time.monotonic()
        while time.monotonic() - began < 5:  # a node that is silent for 4 s is lost
            write(rank, b"y\n" * 100)
            time.sleep(0.1)
        check_equal(health(), 200, "health")
        os.kill(cluster[0].process.pid, signal.SIGTERM)
        cluster.ended([0, 0], BOUND_S + 5)
    os.close(read_end)
    os.close(write_end)


def quiet(work):
    """--quiet leaves out the layout, and no words of a node."""
    with Cluster(work, plan_of(work), 2, "--port", "0", common=("--quiet",)) as cluster:
        cluster[0].said("^serving ")
        (rank,) = cluster[1].ranks(1)
        write(rank, b"a notice\n")
        cluster[0].said(r"^\[node 1 n1, rank 1\] a notice$")
        os.kill(cluster[0].process.pid, signal.SIGTERM)
        cluster.ended([0, 0], BOUND_S)
        check_equal([line for line in cluster[1].lines if line != "a notice"], [], "what the node says")


def nothing_else(work):
    """Of a start that goes well the head's log has no line of another node."""
    with Cluster(work, plan_of(work), 2, *ASK) as cluster:
        cluster.ended([0, 0], START_S)
        check_equal(at_head(cluster), [], "lines of node 1")


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("node_logs", arguments.bin) as work:
        cases = [(name, lambda run=run: run(work)) for name, run in (
            ("nobody reads the head's log", nobody_reads), ("a rank's words", words),
            ("a rank's last words", last_words), ("a flood", flood), ("quiet", quiet), ("nothing else", nothing_else))]
        return run_cases(cases, 2, arguments.only)


if __name__ == "__main__":
    run_main(main)
