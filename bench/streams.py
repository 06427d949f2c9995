"""Where several streams between two ranks pay: the rate of a link by their count, over three networks.

    python3 bench/streams.py --bin build/cli [--megabytes-per-s 25] [--cluster-integrity off]

Two nodes in network namespaces, and what `mrs-exec --rehearse` says of the link between their ranks:

    each connection bounded   all go through a relay of which each connection carries so many bytes a second, as clouds
                              bound a single flow
    the link bounded          a token bucket (tc tbf) of four times that for all connections together
    nothing bounded           a veth between the two, as fast as this host copies

Prints the best of three for 1, 2, 4 and 8 streams, each way; exits with 1 where four streams of the first carry less than
three times what one does. As root, with tc and nft; it changes nothing outside of its namespaces.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import START_S, Workplace, check_equal, parse_arguments, run_main  # noqa: E402
from netns import Network, require_namespaces  # noqa: E402
from nodes import SECRET, Cluster, cluster_plan  # noqa: E402
from relay import Faults  # noqa: E402

COUNTS = (1, 2, 4, 8)
ROUNDS = 3
BOUND = 3.0


def rates(work, network, streams, integrity):
    """Bytes a second from rank 0 to 1, and back."""
    plan = cluster_plan(work, "streams", network.addresses(), 1, "--tp", "2")
    common = ["--cluster-secret-file", work.text_file("secret", SECRET), "--cluster-streams", str(streams),
              "--cluster-integrity", integrity, "--threads", "1", "--rehearse", "--rehearse-layers", "1"]
    with Cluster(work, plan, 2, "--json", common=common, port=29500, before_start=network.inside) as cluster:
        cluster.ended([0, 0], START_S)
        links = {(link["from"], link["to"]): link["bytes_per_second"] for link in json.loads(cluster[0].output)["links"]}
        check_equal(sorted(links), [(0, 1), (1, 0)], "links")
        return links[0, 1], links[1, 0]


def bound_link(network, bytes_per_s):
    """What each node sends passes a token bucket."""
    for node in range(network.count):
        subprocess.run(["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{8 * bytes_per_s}bit", "burst", "128kb",
                        "latency", "50ms"], check=True, preexec_fn=network.inside(node))


def measure(work, name, network, integrity, prepare=None):
    best = {count: (0, 0) for count in COUNTS}
    with network:
        if prepare is not None:
            prepare(network)
        for _ in range(ROUNDS):
            for count in COUNTS:
                seen = rates(work, network, count, integrity)
                best[count] = tuple(map(max, zip(best[count], seen)))
    for count, (up, down) in best.items():
        print(f"{name:26} {count} stream{'s' if count > 1 else ' '}  {up / 1e6:8.1f} and {down / 1e6:8.1f} MB/s   "
              f"{up / best[1][0]:5.2f} and {down / best[1][1]:5.2f} times one   load {os.getloadavg()[0]:.1f}", flush=True)
    return best


def main():
    options = parse_arguments(__doc__, ("--megabytes-per-s", {"type": int, "default": 25, "help": "of a connection"}),
                              ("--cluster-integrity", {"default": "on", "choices": ("on", "off")}))
    require_namespaces()
    bound = options.megabytes_per_s * 1_000_000
    with Workplace("streams", options.bin) as work:
        each = measure(work, "each connection bounded", Network(2, relay=Faults(paced_bytes_per_s=bound)),
                       options.cluster_integrity)
        measure(work, "the link bounded", Network(2), options.cluster_integrity,
                prepare=lambda network: bound_link(network, 4 * bound))
        measure(work, "nothing bounded", Network(2), options.cluster_integrity)
    ratio = min(four / one for four, one in zip(each[4], each[1]))
    print(f"four streams over one where each connection carries {options.megabytes_per_s} MB/s: {ratio:.2f} (bar {BOUND}), "
          f"tags {options.cluster_integrity}, {os.cpu_count()} cores")
    return 0 if ratio >= BOUND else 1


if __name__ == "__main__":
    run_main(main)
