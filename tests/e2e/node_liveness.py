"""Of two nodes, whatever happens to a rank, a node, or all of them: both say the same, by name, within its bound, or the
world goes on.

    python3 node_liveness.py --bin build/cli            # a sample, with a short --hang-timeout
    python3 node_liveness.py --bin build/cli --all      # fault x node x phase x transport

Faults of a rank: SIGKILL, SIGSTOP, a cgroup's freezer, and a hang (liveness.py says how). Of a node, which is its
mrs-exec and its ranks: SIGKILL, SIGSTOP of mrs-exec alone, the freezer; and both nodes frozen for longer than a node may
be silent, which is no loss. Nodes are addresses of the loopback.
"""

import os
import re
import signal
import time

from harness import MINI, Workplace, check, check_equal, parse_arguments, run_cases, run_main, wait_until
from liveness import HANG_S, LONG, SHORT, SILENCE_S, SLACK_S, Ask, Freezer, Hold, Missed, Starting
from nodes import Cluster, cluster_plan, loopback
from progress_board import IDLE, WORKING, Board

NODE = [rf"node {i} \(n{i} at 127\.0\.0\.{i + 1}\)" for i in range(4)]
WHERE = r"(while idle|at step \d+(, operation \d+ of \d+ \('[\w.+]+'\)|, before its first operation)?|before its first step)"
RANK = {
    "kill": r"\(pid \d+\) was killed by signal 9 \(Killed\) ",
    "stop": rf"(\(pid \d+\) )?is frozen or cut off: no sign of life for [4-6]\.\d s {WHERE}$",
    "freeze": rf"(\(pid \d+\) )?is frozen or cut off: no sign of life for [4-6]\.\d s {WHERE}$",
    "hang": rf"(\(pid \d+\) )?hangs ({WHERE}: alive, but (no progress for|has not looked for a message for)|after step \d+: alive, but idle "
    rf"for) [\d.]+ s",
}
BOUND = {"kill": 0.0, "stop": SILENCE_S, "freeze": SILENCE_S + 3, "hang": HANG_S}
NODE_GONE = {"kill": "its connection closed", "stop": "it has said nothing for 4 s", "freeze": "it has said nothing for 4 s"}


class World(Cluster):
    """Nodes with a rank each, whose head serves."""

    def __init__(self, work, transport, count=2):
        plan = work.plans[count]
        common = ("--transport", transport, "--threads", "1", "--hang-timeout", HANG_S)
        super().__init__(work, plan, count, common=common, order=range(1, count))
        self.nodes[0] = Starting(work, plan, MINI, "--node", 0, "--cluster-port", self.port, *common)

    def reach(self, phase, tokens):
        """Both ranks' processes, once they are in the phase, and what was asked for it."""
        self[0].wait_ready()
        ranks = [node.ranks(1)[0] for node in self.nodes]
        if phase == "idle":
            wait_until(lambda: Board(self[0].process.pid, len(self.nodes)).line(0).phase == IDLE, 10, "rank 0 idle")
            return ranks, None
        asked = Ask(self[0], {**LONG, "max_tokens": tokens, "prompt": [1, 2, 3]})
        wait_until(lambda: self.works(0), 10, "rank 0 works")
        return ranks, asked

    def works(self, node):
        line = Board(self[node].process.pid, len(self.nodes)).line(node)
        return line.phase == WORKING and line.step > 3

    def all_pids(self, node):
        return [self[node].process.pid, *self[node].ranks(1)]


def of_rank(work, fault, node, phase, transport, count=2):
    with World(work, transport, count) as world:
        ranks, _ = world.reach(phase, 200)
        began = time.monotonic()
        freezer = None
        if fault == "kill":
            os.kill(ranks[node], signal.SIGKILL)
        elif fault == "stop":
            os.kill(ranks[node], signal.SIGSTOP)
        elif fault == "freeze":
            freezer = Freezer([ranks[node]])
        else:
            Hold(ranks[node])
        try:
            is_named(world, rf"^mrs-exec: rank {node} on {NODE[node]} {RANK[fault]}", began, BOUND[fault], freezer,
                     range(count))
        finally:
            if freezer is not None:
                freezer.thaw()


def is_named(world, pattern, began, bound, freezer, nodes):
    for node in nodes:
        world[node].said(pattern, bound + SLACK_S)
    took = time.monotonic() - began
    if freezer is not None:  # nothing ends what is frozen
        freezer.thaw()
    for node in nodes:
        check_equal(world[node].ended(bound + SLACK_S), 1, f"exit code\n  {world[node].described()}")
    check(took < bound + SLACK_S, f"it took {took:.1f} s, expected less than {bound + SLACK_S}")


def of_node(work, fault, node, phase, transport):
    with World(work, transport) as world:
        world.reach(phase, 200)
        pids = world.all_pids(node)
        began = time.monotonic()
        freezer = None
        if fault == "freeze":
            freezer = Freezer(pids)
        else:
            os.kill(pids[0], signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        try:
            is_named(world, rf"^mrs-exec: {NODE[node]} is gone: {NODE_GONE[fault]}", began, SILENCE_S, None, (1 - node,))
            if freezer is not None:
                freezer.thaw()
            elif fault == "stop":
                os.kill(pids[0], signal.SIGCONT)
            if fault != "kill":  # and it hears of its own loss, or that the other has gone
                check_equal(world[node].ended(SILENCE_S + SLACK_S), 1, f"exit code\n  {world[node].described()}")
        finally:
            if freezer is not None:
                freezer.thaw()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids[1:]), 5, "no rank is left")


def all_frozen(work, phase, transport):
    with World(work, transport) as world:
        _, asked = world.reach(phase, 200)
        freezer = Freezer([*world.all_pids(0), *world.all_pids(1)])
        try:
            time.sleep(SILENCE_S + 2)
        finally:
            freezer.thaw()
        if asked is not None:
            asked.thread.join(60)
            check(asked.outcome is not None and asked.outcome[0] == 200,
                  f"{asked.outcome} {asked.error!r}\n  {world[0].described()}")
        again = Ask(world[0], SHORT)
        again.thread.join(30)
        check(again.outcome is not None and again.outcome[0] == 200, f"{again.outcome}\n  {world[0].described()}")
        world[0].process.send_signal(signal.SIGTERM)
        world.ended([0, 0], 20)


def caught(case, *arguments):
    """Until the fault came where the kernel could carry it out."""
    for _ in range(10):
        try:
            return case(*arguments)
        except Missed:
            continue
    raise Missed()


def main():
    options = parse_arguments(__doc__, ("--all", {"action": "store_true", "help": "the whole matrix"}),
                              ("--workers", {"type": int, "default": 4, "help": "cases at a time"}))
    with Workplace("node_liveness", options.bin) as work:
        for count in (2, 4):
            work.plans[count] = cluster_plan(work, f"live{count}", loopback(count), 1, "--tp", str(count))
        ranks = [(fault, node, phase, transport) for fault in RANK for node in (0, 1) for phase in ("idle", "step")
                 for transport in ("tcp", "ring")]
        nodes = [(fault, node, phase, transport) for fault in NODE_GONE for node in (0, 1) for phase in ("idle", "step")
                 for transport in ("tcp", "ring")]
        frozen = [(phase, transport) for phase in ("idle", "step") for transport in ("tcp", "ring")]
        if not options.all:
            ranks = [("stop", 1, "step", "tcp"), ("hang", 1, "step", "ring"), ("hang", 0, "idle", "tcp"),
                     ("freeze", 1, "idle", "ring")]
            nodes = [("freeze", 1, "step", "tcp"), ("stop", 0, "idle", "ring")]
            frozen = [("step", "tcp")]
        table = [(f"{t}: rank {n}, {p}: {f}", lambda a=(f, n, p, t): caught(of_rank, work, *a)) for f, n, p, t in ranks]
        # The others wait for each other and, in the end, for one.
        table += [(f"{t}: rank {n} of 4, step: hang", lambda a=("hang", n, "step", t, 4): caught(of_rank, work, *a))
                  for t in ("tcp", "ring") for n in ((1, 2, 3) if options.all else (3,))]
        table += [(f"{t}: node {n}, {p}: {f}", lambda a=(f, n, p, t): caught(of_node, work, *a)) for f, n, p, t in nodes]
        table += [(f"{t}: all, {p}: frozen", lambda a=(p, t): caught(all_frozen, work, *a)) for p, t in frozen]
        return 1 if run_cases(table, workers=options.workers, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
