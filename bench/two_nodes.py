"""What two nodes over TCP cost: decode of a 1B shape by two nodes x 1 thread beside one process x 2 threads.

    python3 bench/two_nodes.py --bin build/cli [--tokens 24] [--layers 16] [--transport tcp] [--sequences 1]

Prints the tokens a second of both, taken by turns, and their ratio; exits with 1 where it is not at least 0.9. The nodes
are addresses of the loopback, with a secret, and each rank holds half of every layer (tp 2). The checkpoint is
pipeline.py's, and so is what it needs; two cores that nobody else uses.
"""

import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import Run, Server, Workplace, free_ports, parse_arguments, run_main  # noqa: E402
from nodes import SECRET  # noqa: E402
from pipeline import tokens_a_second, write_checkpoint  # noqa: E402

BOUND = 0.9
ROUNDS = 3


def build(work, model, name, *where):
    plan = work.path(f"{name}.mrsplan")
    work.tools.call([work.tools.plan_program, "build", model, *where, "--max-len", "256", "--max-seqs", "8", "-o", plan])
    return plan


def main():
    options = parse_arguments(__doc__, ("--tokens", {"type": int, "default": 24, "help": "of each sequence, timed"}),
                              ("--layers", {"type": int, "default": 16}), ("--sequences", {"type": int, "default": 1}),
                              ("--transport", {"default": "tcp", "choices": ("tcp", "ring")}),
                              ("--cluster-integrity", {"default": "", "choices": ("on", "off")}),
                              ("--cluster-streams", {"type": int, "default": 1}))
    with Workplace("two_nodes", options.bin) as work:
        model = work.path("1b")
        write_checkpoint(model, options.layers)
        cluster, secret = work.path("two.yaml"), work.path("secret")
        with open(cluster, "w", encoding="utf-8") as file:
            file.write("version: 1\nnodes:\n  - {name: a, address: 127.0.0.1, memory: 8GiB, ranks: 1}\n"
                       "  - {name: b, address: 127.0.0.2, memory: 8GiB, ranks: 1}\n")
        with open(secret, "w", encoding="utf-8") as file:
            file.write(SECRET)
        alone, together = build(work, model, "alone", "--memory", "8GiB"), build(work, model, "two", "--cluster", cluster,
                                                                                "--tp", "2")
        rates = {"one process x 2 threads": [], "two nodes x 1 thread": []}
        for _ in range(ROUNDS):
            with Server(work, alone, model, "--threads", "2", "--quiet") as server:
                rates["one process x 2 threads"].append(tokens_a_second(server, options.sequences, options.tokens))
            common = ["--cluster-port", free_ports(3), "--cluster-secret-file", secret, "--threads", "1", "--quiet",
                      "--transport", options.transport]
            if options.cluster_streams > 1:
                common += ["--cluster-streams", options.cluster_streams]
            if options.cluster_integrity:
                common += ["--cluster-integrity", options.cluster_integrity]
            other = Run(work, "--plan", together, "--model", model, "--node", 1, *common)
            try:
                with Server(work, together, model, "--node", 0, *common) as server:
                    rates["two nodes x 1 thread"].append(tokens_a_second(server, options.sequences, options.tokens))
            finally:
                other.clean_up()
            for name, seen in rates.items():
                print(f"{name:24} {seen[-1]:7.2f} tokens/s   load {os.getloadavg()[0]:.1f}", flush=True)
    ratio = statistics.median(rates["two nodes x 1 thread"]) / statistics.median(rates["one process x 2 threads"])
    print(f"two nodes over one process: {ratio:.2f} (bar {BOUND}), {options.sequences} sequence(s) over "
          f"{options.transport}, medians of {ROUNDS}, {os.cpu_count()} cores")
    return 0 if ratio >= BOUND else 1


if __name__ == "__main__":
    run_main(main)
