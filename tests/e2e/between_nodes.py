"""What networks and people do to nodes: the right tokens, however late, split, slow or halting the bytes come; or a
named error on every node, within its bound, and nothing left.

    python3 between_nodes.py --bin build/cli          # a sample; --all: fault x layout x transport

Nodes are network namespaces (netns.py) with a relay between them. As root; where namespaces are not permitted it says
so and ends with 77.
"""

import contextlib
import json
import os
import re
import sys
import time

from harness import HERE, MINI, START_S, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from namespaces import LAYOUTS, PORT, Worlds
from netns import Faults, Network, require_namespaces
from nodes import BOUND_S, SECRET, Cluster, cluster_plan

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from blind import planned_ranges  # noqa: E402

SLACK_S = 1  # beyond the bound, on a busy machine
ONCE = ["--max-tokens", "3", "--ignore-eos", "--json", "--temperature", "0", "--prompt-ids"]
WORDS = ",".join(str((11 * i * i + 5) % 2000) for i in range(12))
# Forwards without end: what goes wrong finds them under way.
LONG = ["--max-tokens", "200", "--ignore-eos", "--json", "--temperature", "0", "--prompt-ids", WORDS]
SERVE = ["--port", "0"]
NODE = [rf"node {i} \(n{i} at 10\.77\.{i}\.1\)" for i in range(3)]
SILENT = "it has said nothing for 4 s"


@contextlib.contextmanager
def between(worlds, *head, faults=None, layout="tp 2", ranks=(1, 1), common=(), **more):
    """(network, cluster) of nodes whose ports are closed but for those declared; nobody listens at the end."""
    with Network(len(ranks), relay=faults) as network:
        plan, models = worlds.plan(layout, ranks, network.addresses())
        for node, ports in enumerate(worlds.ports[plan]):
            network.close_ports(node, but=ports)
        common = ("--threads", "1", "--cluster-secret-file", worlds.secret, *common)
        more = {"models": models, **more}
        with Cluster(worlds.work, plan, len(ranks), *head, common=common, port=PORT, before_start=network.inside,
                     **more) as cluster:
            yield network, cluster
            for node, run in enumerate(cluster.nodes):
                check(run is None or run.process.poll() is not None, f"node {node} still runs")
                check_equal(network.listeners(node), set(), f"who listens still on node {node}")


def right(worlds, faults, layout, ranks, transport, stalls=()):
    """Each of `stalls`, a direction, stands still for longer than anything here takes, and for less than a node may."""
    with between(worlds, *ONCE, WORDS, faults=faults, layout=layout, ranks=ranks,
                 common=("--transport", transport)) as (network, cluster):
        if stalls:
            cluster[0].said(rf"^node +{NODE[1]} is there")
        for direction in stalls:
            network.relay.faults.stalled.add(direction)
            time.sleep(2.5)
            check(cluster[0].process.poll() is None, f"it ended in spite of the stall\n  {cluster[0].described()}")
            network.relay.faults.stalled.discard(direction)
            time.sleep(0.3)
        cluster.ended([0] * len(ranks), START_S)
        check_equal(json.loads(cluster[0].output)["logits_sha256"], worlds.once, cluster[0].described())


def ends(cluster, patterns, what, codes=None, began=None, bound=BOUND_S):
    """Every node ends in time, and says what is wrong."""
    began = time.monotonic() if began is None else began
    what()
    cluster.ended(codes or [1] * len(patterns), bound + 4 * SLACK_S)
    took = time.monotonic() - began
    for node, pattern in enumerate(patterns):
        cluster[node].said(f"^mrs-exec: .*{pattern}", 1)
    check(took < bound + SLACK_S, f"it took {took:.1f} s")


def parted(worlds, how, when, transport="auto"):
    """Nodes that stand, or are about to, cannot reach each other any longer."""
    slow = Faults(delay_s=0.05) if when != "idle" else Faults()
    head = LONG if when == "step" else SERVE
    with between(worlds, *head, faults=slow, common=("--transport", transport)) as (network, cluster):
        cluster[1 if when == "meeting" else 0].said("^together " if when == "meeting" else "^ready ")
        if when == "step":
            time.sleep(1)
        way = {
            "cable": lambda: network.part(1),
            "both": lambda: network.relay.faults.stalled.update({"up", "down"}),
            "up": lambda: network.relay.faults.stalled.add("up"),
            "down": lambda: network.relay.faults.stalled.add("down"),
            "reset": network.relay.cut,
        }[how]
        gone = "(?:its connection closed|a connection of it closed|.*reset.*)"
        said = {
            "cable": (rf"{NODE[1]} is gone: {SILENT}", rf"{NODE[0]} is gone: {SILENT}"),
            "both": (rf"{NODE[1]} is gone: {SILENT}", rf"{NODE[0]} is gone: {SILENT}"),
            "up": (rf"{NODE[1]} is gone: {SILENT}", rf"{NODE[1]} is gone: {SILENT}"),
            "down": (rf"{NODE[1]} is gone: it has heard nothing from {NODE[0]} for 4 s", rf"{NODE[0]} is gone: {SILENT}"),
            "reset": (rf"{NODE[1]} is gone: {gone}", rf"{NODE[0]} is gone: {gone}"),
        }[how]
        ends(cluster, said, way)


def wrong_secret(worlds):
    """Of three: all hear it, who has the right one too."""
    other = worlds.work.path("other-secret")
    with open(other, "w", encoding="utf-8") as file:
        file.write("another" + SECRET)
    with between(worlds, *SERVE, layout="3 stages", ranks=(1, 1, 1), order=[1, 0]) as (_, cluster):
        cluster[0].said(rf"^node +{NODE[1]} is there")
        named = rf"{NODE[2]}: its cluster secret is not the head's; give both the same --cluster-secret-file"
        ends(cluster, (named, named, rf"{NODE[2]}: {NODE[0]} at 10\.77\.0\.1 port 29500 refused this node's proof: the "
                       "cluster secret is not the same on both; give both the same --cluster-secret-file"),
             lambda: cluster.start(2, instead={worlds.secret: other}))  # fmt: skip


def wrong_plan(worlds):
    with Network(3) as network:
        other = cluster_plan(worlds.work, "another", network.addresses(), 1, "--pp", "3", "--name", "another")
    with between(worlds, *SERVE, layout="3 stages", ranks=(1, 1, 1), order=[1, 0], plans={2: other}) as (_, cluster):
        cluster[0].said(rf"^node +{NODE[1]} is there")
        named = (rf"{NODE[2]}, rank 2: its plan is [0-9a-f]{{64}}, the head's is [0-9a-f]{{64}}; give every node the same "
                 "plan file")
        ends(cluster, (named,) * 3, lambda: cluster.start(2))


def write_other_program(worlds):
    """A program that differs in its version's digits alone: (path, version, the other version). Before any thread forks,
    whose child would have the file open for writing."""
    version = worlds.work.tools.call([worlds.work.tools.exec_program, "--version"]).split()[-1]
    check(len(version) >= 4, f"version {version}")
    other_version = ("9" if version[0] != "9" else "8") + version[1:]
    with open(worlds.work.tools.exec_program, "rb") as file:
        program = file.read()
    other = worlds.work.path("other-exec")
    with open(other, "wb") as file:  # the text, and what the compiler made of it in the code: four bytes at once
        file.write(program.replace(version[:4].encode(), other_version[:4].encode()))
    os.chmod(other, 0o755)
    check_equal(worlds.work.tools.call([other, "--version"]).split()[-1], other_version, "the other program's version")
    return other, version, other_version


def another_version(worlds, other, version, other_version):
    with between(worlds, *SERVE, layout="3 stages", ranks=(1, 1, 1), order=[1, 0]) as (_, cluster):
        cluster[0].said(rf"^node +{NODE[1]} is there")
        named = (rf"{NODE[2]}, rank 2: its mrs version is {re.escape(other_version)}, the head's is {re.escape(version)}; run "
                 "the same mrs-exec on every node")
        ends(cluster, (named,) * 3, lambda: cluster.start(2, program=other))


def twice(worlds, first):
    """Node 2 takes itself for node 1, and comes first, or not."""
    with between(worlds, *SERVE, layout="3 stages", ranks=(1, 1, 1), order=[0] if first else [1, 0]) as (_, cluster):
        if first:
            cluster[0].said("^ports ")
            named = rf"{NODE[1]}: its address is 10\.77\.2\.1, the plan's cluster says 10\.77\.1\.1; is its --node right\?"
        else:
            cluster[0].said(rf"^node +{NODE[1]} is there")
            named = (rf"{NODE[1]} came twice: from 10\.77\.1\.1 and from 10\.77\.2\.1; give each node its own "
                     "--node")
        began = time.monotonic()
        cluster.start(2, number=1)
        if first:
            cluster.nodes[1] = cluster.nodes.pop(2)
        ends(cluster, (named,) * len(cluster.nodes), lambda: None, began=began)


def missing(worlds):
    """One of three has no cable: it and the others say so at the start timeout."""
    with Network(3) as probe:
        addresses = probe.addresses()
    plan, models = worlds.plan("3 stages", (1, 1, 1), addresses)
    with Network(3) as network:
        network.part(2)
        common = ("--cluster-secret-file", worlds.secret, "--start-timeout", "3", "--threads", "1")
        with Cluster(worlds.work, plan, 3, *SERVE, common=common, models=models, port=PORT,
                     before_start=network.inside) as cluster:
            named = rf"{NODE[2]} did not come within 3 s \(--start-timeout\); start mrs-exec there with the same plan, and see"
            ends(cluster, (named, named, rf"{NODE[2]}: {NODE[0]} was not reached at 10\.77\.0\.1 port 29500 within 3 s "
                           r"\(--start-timeout\): no answer at all: the host is down, or something on the way drops the "
                           "packets"), lambda: None, bound=3 + BOUND_S)  # fmt: skip


def other_bytes(worlds, digests):
    """Node 1's copy has another bit in what both nodes read; with digests in the plan it is known which is right."""
    with Network(2) as network:
        addresses = network.addresses()
    if digests:
        plan = cluster_plan(worlds.work, "digests", addresses, 1, "--tp", "2", "--hash-weights", "xxh3")
        models = {}
    else:
        plan, models = worlds.plan("tp 2", (1, 1), addresses)
    read = worlds.work.tools.inspect(plan)
    shared = sorted(set(planned_ranges(read, 0)) & set(planned_ranges(read, 1)))
    check(shared, "no range of the checkpoint is read by both ranks")
    index, begin, _ = shared[0]
    name = read["files"][index]["name"]
    folder = worlds.work.path(f"other-{digests}", "x")[:-2]
    for file in os.listdir(models.get(1, MINI)):
        source = os.path.join(models.get(1, MINI), file)
        if os.path.isfile(source):
            with open(source, "rb") as whole, open(os.path.join(folder, file), "wb") as copy:
                data = bytearray(whole.read())
                if file == name:
                    data[begin] ^= 1
                copy.write(data)
    with Network(2) as network:
        common = ("--cluster-secret-file", worlds.secret, "--threads", "1")
        with Cluster(worlds.work, plan, 2, *SERVE, common=common, models={**models, 1: folder}, port=PORT,
                     before_start=network.inside) as cluster:
            if digests:
                named = rf"rank 1 on {NODE[1]} failed while loading weights: {re.escape(folder)}.*{re.escape(name)}"
            else:
                named = (rf"{re.escape(name)}: tensor .*, slice .* of .*: ranks 0 and 1 read different bytes .*differ: copy it "
                         "again")
            ends(cluster, (named, named), lambda: None)


def right_cases(everything):
    """(name, faults, layout, ranks, transport, stalls)"""
    late = lambda: Faults(delay_s=0.2)
    split = lambda: Faults(pieces=(1, 7), gather_s=0.002)
    slow = lambda: Faults(bytes_per_s=125_000)
    halting = lambda: Faults(delay_s=0.05)  # long enough for each to find it at work
    sample = [
        ("200 ms late", late, "tp 2", (1, 1), "tcp", ()),
        ("200 ms late", late, "2 stages x tp 2", (2, 2), "auto", ()),
        ("split", split, "tp 2", (1, 1), "ring", ()),
        ("split", split, "tp 4", (2, 2), "auto", ()),
        ("gathered", lambda: Faults(gather_s=0.02), "tp 2", (1, 1), "tcp", ()),
        ("1 Mbit/s", slow, "tp 2", (1, 1), "tcp", ()),
        ("1 Mbit/s", slow, "tp 4", (1, 1, 1, 1), "ring", ()),
        ("halting", halting, "tp 2", (1, 1), "tcp", ("up", "down")),
    ]
    if not everything:
        return sample
    found = list(sample)
    for layout, ranks in (("tp 2", (1, 1)), ("2 stages", (1, 1)), ("tp 4", (2, 2)), ("tp 4", (1, 1, 1, 1)),
                          ("2 stages x tp 2", (2, 2)), ("2 stages x tp 2", (1, 1, 1, 1))):
        for transport in ("tcp", "ring") if len(set(ranks)) == 1 and ranks[0] == 1 else ("auto", "ring"):
            for name, faults, stalls in (("200 ms late", late, ()), ("split", split, ()), ("1 Mbit/s", slow, ()),
                                         ("gathered", lambda: Faults(gather_s=0.02), ()),
                                         ("halting", halting, ("up", "down"))):
                found.append((name, faults, layout, ranks, transport, stalls))
    return found


def parted_cases(everything):
    """(how, when, transport)"""
    sample = [("cable", "idle", "auto"), ("cable", "step", "tcp"), ("both", "step", "ring"), ("up", "idle", "auto"),
              ("down", "step", "auto"), ("reset", "idle", "auto"), ("cable", "meeting", "auto")]
    if not everything:
        return sample
    return [(how, when, transport) for how in ("cable", "both", "up", "down", "reset")
            for when in ("idle", "step", "meeting") for transport in ("tcp", "ring")]  # fmt: skip


def main():
    arguments = parse_arguments(__doc__, ("--all", {"action": "store_true", "help": "many more"}))
    require_namespaces()
    LAYOUTS["3 stages"] = ["--pp", "3", "--allow-any-world"]
    with Workplace("between", arguments.bin) as work:
        worlds = Worlds(work)
        plan = work.plan(MINI, tp=1, max_len=256, max_seqs=4)
        answer = work.tools.call([work.tools.exec_program, "--plan", plan, "--model", MINI, *ONCE, WORDS])
        worlds.once = json.loads(answer)["logits_sha256"]
        other = write_other_program(worlds)
        cases = [(f"{name}: {layout}, {'-'.join(map(str, ranks))} ranks a node, {transport}",
                  lambda f=faults, c=(layout, ranks, transport, stalls): right(worlds, f(), *c))
                 for name, faults, layout, ranks, transport, stalls in right_cases(arguments.all)]  # fmt: skip
        cases += [(f"parted, {how}: {when}, {transport}", lambda c=(how, when, transport): parted(worlds, *c))
                  for how, when, transport in parted_cases(arguments.all)]  # fmt: skip
        cases += [
            ("a wrong secret, of three", lambda: wrong_secret(worlds)),
            ("a wrong plan, of three", lambda: wrong_plan(worlds)),
            ("another version", lambda: another_version(worlds, *other)),
            ("a node twice, first the right one", lambda: twice(worlds, False)),
            ("a node twice, first the wrong one", lambda: twice(worlds, True)),
            ("a missing node, of three", lambda: missing(worlds)),
            ("a copy differs", lambda: other_bytes(worlds, False)),
            ("a copy differs from the plan's digests", lambda: other_bytes(worlds, True)),
        ]
        return run_cases(cases, 4 if arguments.all else 6, arguments.only)


if __name__ == "__main__":
    run_main(main)
