"""Tags on what nodes and their ranks say to each other: on, off, unlike; and what is changed on the way is named everywhere.
Several streams between two ranks.

    python3 cluster_integrity.py --bin build/cli

Two nodes in a network namespace each, between which all that is said passes through a relay of ours.
"""

import json

from far_nodes import Far, ask, secret_file
from harness import MINI, START_S, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from nodes import ASK, alone, cluster_plan, loopback, refused
from private_net import PrivateNet

ON = r"^integrity +AES-GMAC between nodes, [0-9.]+ GB/s a core here; --cluster-integrity off where the network is trusted$"
OFF = r"^integrity +off between nodes \(--cluster-integrity off\); AES-GMAC would take a core [0-9.]+ s a GB$"
NO_SECRET = r"^integrity +off between nodes: they share no secret to make tags with$"
GMAC = r"it was changed, left out, repeated or moved on the way"
HEAD, NODE = r"node 0 \(n0 at 127\.0\.0\.1\)", r"node 1 \(n1 at 127\.0\.0\.2\)"


def tp2(work):
    return cluster_plan(work, "integrity", loopback(2), 1, "--tp", "2")


def bits(work, name, ranks, options, common, line):
    """The logits of one process, through relays; both say what is on."""
    plan = cluster_plan(work, name, loopback(2), ranks, *options)
    with Far(work, plan, ASK, common) as far:
        for node in far.nodes:
            check_equal(node.ended(START_S), 0, node.described())
            node.said(line, 1)
        check_equal(json.loads(far.nodes[0].output)["logits_sha256"], alone(work), far.nodes[0].described())
        check(far.of_ranks(), "ranks met through the relay")


def several_streams(work, common):
    """Between two stages, of which one sends the other more than a stripe for each of four streams; all carry some of it."""
    prompt = ["--prompt-ids", ",".join(str((7 * i * i + 3) % 2000) for i in range(250)), *ASK[2:]]
    whole = work.tools.call([work.tools.exec_program, "--plan", work.plan(MINI, tp=1, max_len=256, max_seqs=4), "--model",
                             MINI, *prompt])
    plan = cluster_plan(work, "s2", loopback(2), 1, "--pp", "2")
    with Far(work, plan, prompt, [*common, "--cluster-streams", "4"]) as far:
        for node in far.nodes:
            check_equal(node.ended(START_S), 0, node.described())
            node.said("^links +4 streams between ranks of different hosts, congestion control ", 1)
        check_equal(json.loads(far.nodes[0].output)["logits_sha256"], json.loads(whole)["logits_sha256"],
                    far.nodes[0].described())
        passed = [one["down"].passed for one in far.of_ranks()]
        check(len(passed) == 4 and min(passed) > 50_000, f"bytes over the streams: {passed}")


def unlike(work, head, node, named):
    with Far(work, tp2(work), ["--port", "0"], head, node) as far:
        far.both_say([named, named])


def serving(work, spoil, patterns, options=("--transport", "auto"), asks=True):
    """A byte is changed while the world serves and answers."""
    common = ["--cluster-secret-file", secret_file(work), *options]
    with Far(work, tp2(work), ["--port", "0"], common) as far:
        port = int(far.nodes[0].said(r"^serving +http://127\.0\.0\.1:(\d+)/v1$")[1])
        far.nodes[0].said("^ready ")
        spoil(far)
        if asks:
            text = ask(far, port)
            check(text.startswith(b"HTTP/1.1 5"), f"it answered: {text!r}\n  {far.nodes[0].described()}")
        far.both_say(patterns)


def at_start(work, flip, patterns):
    """(direction, offset, connection of the node to the head): this byte is changed, before the world stands."""
    common = ["--cluster-secret-file", secret_file(work)]
    with Far(work, tp2(work), ["--port", "0"], common, flip=flip) as far:
        far.both_say(patterns)


def main():
    arguments = parse_arguments(__doc__)
    PrivateNet.require()
    with Workplace("integrity", arguments.bin) as work:
        secret = ["--cluster-secret-file", secret_file(work)]
        off = [*secret, "--cluster-integrity", "off"]
        between = f"{NODE}: its --cluster-integrity is {{}}, the head's is {{}}; give all nodes the same"
        tag = r"sent a record whose integrity tag is wrong \(record \d+, \d+ bytes\): " + GMAC
        by_head = f"{NODE} is gone: it {tag}"
        by_node = [f"{NODE} is gone: for it, {HEAD} is gone: it {tag}", f"{HEAD} is gone: it {tag}"]
        of_rank = rf"rank (\d) on node \d \(n\d at 127\.0\.0\.\d\) failed at step \d+: .*rank (?!\1)\d {tag}"

        def flip(connections, index, direction):
            return lambda far: connections(far)[index][direction].flip_next()

        cases = [
            ("on, tcp", lambda: bits(work, "i2", 1, ["--tp", "2"], secret, ON)),
            ("on, mixed", lambda: bits(work, "i4", 2, ["--tp", "4"], secret, ON)),
            ("on, ring", lambda: bits(work, "i4r", 2, ["--tp", "4"], [*secret, "--transport", "ring"], ON)),
            ("off", lambda: bits(work, "i2o", 1, ["--tp", "2"], off, OFF)),
            ("no secret", lambda: bits(work, "i2n", 1, ["--tp", "2"], [], NO_SECRET)),
            ("off at the node alone", lambda: unlike(work, secret, off, between.format("off", "on"))),
            ("off at the head alone", lambda: unlike(work, off, secret, between.format("on", "off"))),
            ("four streams", lambda: several_streams(work, secret)),
            ("unlike streams", lambda: unlike(work, [*secret, "--cluster-streams", "4"], secret, f"{NODE}, rank 1: its "
                                              "--cluster-streams is 1, the head's is 4; give all nodes the same")),
            ("on without a secret", lambda: refused(
                work, ["--node", "0", "--cluster-integrity", "on"], 1,
                "mrs-exec: --cluster-integrity on: tags are made with the cluster's secret; give every node the same file "
                "with --cluster-secret-file FILE")),
            # The proofs are 32 bytes down, 96 up and 64 down; what follows has tags.
            ("a proof, each time", lambda: at_start(work, ("up", 70), [
                f"{NODE}: its cluster secret is not the head's", "refused this node's proof: the cluster secret"])),
            ("the facts", lambda: at_start(work, ("up", 96 + 30, 0), [by_head, by_head])),
            ("a claim", lambda: at_start(work, ("up", 96 + 20, 1), [by_head, by_head])),
            ("a seat", lambda: at_start(work, ("down", 96 + 20, 0), by_node)),
            ("the peers", lambda: at_start(work, ("down", 96 + 20, 1), by_node)),
            ("a hello of a rank", lambda: at_start(work, ("up", 96 + 60, 1), [by_head, by_head])),
            ("a beat of the node", lambda: serving(work, flip(Far.of_nodes, 0, "up"), [by_head, by_head], asks=False)),
            ("a beat of the head", lambda: serving(work, flip(Far.of_nodes, 0, "down"), by_node, asks=False)),
            ("a batch", lambda: serving(work, flip(Far.of_nodes, 1, "down"), by_node)),
            ("what rank 1 says to rank 0", lambda: serving(work, flip(Far.of_ranks, 0, "up"), [of_rank, of_rank])),
            ("what rank 0 says to rank 1", lambda: serving(work, flip(Far.of_ranks, 0, "down"), [of_rank, of_rank])),
            ("what rank 0 says in a ring", lambda: serving(work, flip(Far.of_ranks, -1, "up"), [of_rank, of_rank],
                                                           options=("--transport", "ring"))),
        ]
        return run_cases(cases, 1, arguments.only)


if __name__ == "__main__":
    run_main(main)
