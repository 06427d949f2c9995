"""One process for each rank of a ring, each with its own RING_CONFIG file, as mistral.rs starts them: the logits of one
process, rank 0 that serves or chats, and every mistake said by all that it concerns.

    python3 ring_ranks.py --bin build/cli
"""

import json
import os
import signal
import socket
import subprocess
import time

from harness import (MINI, START_S, Run, Server, Workplace, check, check_equal, free_ports, parse_arguments, processes,
                     run_cases, run_main, wait_until)
from chat import Terminal
from nodes import ASK, BOUND_S, SECRET, alone, cluster_plan, loopback
from private_net import PrivateNet

LARGEST_NEED = 32 << 30  # of two ranks of the bundled model's largest plan
MARKS = ("LWS_", "SLURM_", "MISTRALRS_", "RING_CONFIG", "NCCL_SOCKET_IFNAME")
for name in [name for name in os.environ if name.startswith(MARKS)]:
    del os.environ[name]


def plan_of(work, ranks, *options):
    """A plan of one host."""
    def make():
        path = work.path("plans", f"ring{ranks}{''.join(options)}.mrsplan")
        work.tools.call([work.tools.plan_program, "build", MINI, "--max-len", "256", "--max-seqs", "4", "--numerics",
                         "pair2", "--memory", "1GiB", *(options or ("--tp", str(ranks))), "-o", path])
        return path

    return work.once(("ring", ranks, options), make)


class Ring:
    """Files of `size` ranks on this host, and their processes. changes: {rank: {key: value, or None: left out}}"""

    def __init__(self, work, plan, size, *head_arguments, changes=None, common=(), start=None, plans=None,
                 before_start=lambda rank: None):
        self.work, self.plan, self.size, self.before_start = work, plan, size, before_start
        self.common, self.head_arguments, self.plans = common, head_arguments, plans or {}
        self.master = master = free_ports(size + 1)
        self.ports = [master + 1 + rank for rank in range(size)]
        self.files = []
        for rank in range(size):
            config = {"master_ip": "127.0.0.1", "master_port": master, "port": self.ports[rank],
                      "right_port": self.ports[(rank + 1) % size], "rank": rank, "world_size": size,
                      **(changes or {}).get(rank, {})}
            self.files.append(work.path(f"ring{master}", f"r{rank}.json"))
            with open(self.files[-1], "w", encoding="utf-8") as file:
                json.dump({key: self.filled(value) for key, value in config.items() if value is not None}, file)
        self.ranks = [None] * size
        for rank in reversed(range(size)) if start is None else start:
            self.start(rank)

    def filled(self, value):
        """A callable is asked for a value once the ports are known."""
        return value(self.ports) if callable(value) else value

    def start(self, rank, environment=None):
        arguments = ["--plan", self.plans.get(rank, self.plan), "--model", MINI, *self.common,
                     *(self.head_arguments if rank == 0 else ())]
        self.ranks[rank] = Run(self.work, *arguments, before_start=self.before_start(rank),
                               environment={"RING_CONFIG": self.files[rank], **(environment or {})})
        return self.ranks[rank]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for rank in self.ranks:
            if rank is not None:
                rank.clean_up()

    def __getitem__(self, rank):
        return self.ranks[rank]

    def ended(self, codes, seconds):
        deadline = time.monotonic() + seconds
        runs = [rank for rank in self.ranks if rank is not None]
        actual = [rank.ended(max(0.1, deadline - time.monotonic())) for rank in runs]
        check_equal(actual, codes, "exit codes\n  " + "\n  ".join(rank.described() for rank in runs))

    def all_say(self, text):
        """The last line of every rank is this error."""
        for rank in self.ranks:
            if rank is not None:
                check_equal(self.plain(rank.lines[-1]), f"mrs-exec: {text}", rank.described())

    def plain(self, text):
        """Without what differs from run to run: r1.json, <port 1>."""
        for rank, path in enumerate(self.files):
            text = text.replace(path, f"r{rank}.json")
        for rank, port in enumerate(self.ports):
            text = text.replace(str(port), f"<port {rank}>")
        return text


def same_bits(work, size, *options, cluster=None):
    plan = plan_of(work, size, *options) if cluster is None else cluster_plan(work, f"cluster{size}", *cluster, *options)
    changes = {}
    if cluster is not None:  # each rank at its node's address
        addresses = [address for address in cluster[0] for _ in range(cluster[1])]
        changes = {rank: {"master_ip": addresses[0], "right_ip": addresses[(rank + 1) % size]} for rank in range(size)}
    with Ring(work, plan, size, *ASK, changes=changes) as ring:
        ring.ended([0] * size, START_S)
        check_equal(json.loads(ring[0].output)["logits_sha256"], alone(work), ring[0].described())
        ring[0].said(rf"^this is +rank 0 of the ring of {size}, which serves; the others meet it at 127\.0\.0\.1:\d+, from this "
                      "host alone$")
        for rank in range(1, size):
            ring[rank].said(rf"^this is +rank {rank} of the ring of {size}, a background worker \(RING_CONFIG=\S+, rank {rank}\)"
                            r": no port for clients, no prompts; rank 0 has them, at 127\.0\.0\.1:\d+$")
            ring[rank].said("^running on .*transport ring")
            ring[rank].said("^ended +by the head, in order")


def forms_of_this_host(work, master):
    """right_ip and master_ip left out, 0.0.0.0, names of the loopback: listens at the loopback alone."""
    plan = plan_of(work, 4)
    changes = {0: {"master_ip": master, "right_ip": "0.0.0.0"}, 1: {"master_ip": "0.0.0.0", "right_ip": "localhost"},
               2: {"master_ip": "localhost", "right_ip": "127.0.0.1"}, 3: {"right_ip": "[::1]"}}
    with Ring(work, plan, 4, "--port", "0", changes=changes) as ring:
        ring[0].said("^ready ")
        listening = []
        with open("/proc/net/tcp", encoding="ascii") as file:
            for line in list(file)[1:]:
                address, state = line.split()[1], line.split()[3]
                if state == "0A" and int(address.split(":")[1], 16) in ring.ports:
                    listening.append(address)
        check_equal(listening, [], "ports of a ring that stands are closed")
        ring[0].process.send_signal(signal.SIGTERM)
        ring.ended([0] * 4, BOUND_S)


def serves_and_drains(work):
    """Rank 0 serves; SIGTERM there lets the answer under way end, and all ranks with it."""
    plan = plan_of(work, 2)
    with Ring(work, plan, 2, start=[1]) as ring:
        server = Server(work, plan, MINI, environment={"RING_CONFIG": ring.files[0]})
        try:
            server.wait_ready()
            stream = server.stream("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 200, "ignore_eos": True})
            events = iter(stream)
            next(events)
            server.process.send_signal(signal.SIGTERM)
            rest = list(events)
            check(stream.done, f"a stream under SIGTERM: {rest[-1:]}")
            check_equal(server.ended(BOUND_S), 0, server.described())
            check_equal(ring[1].ended(BOUND_S), 0, ring[1].described())
        finally:
            server.clean_up()


def chats(work):
    """The same words on all ranks; a terminal's Ctrl-C, which reaches all of them, ends no background worker."""
    ring = Ring(work, plan_of(work, 2), 2, common=("-i", "--temperature", "0", "--max-tokens", "8"), start=[])
    worker = Run(work, "--plan", ring.plan, "--model", MINI, "-i", environment={"RING_CONFIG": ring.files[1]},
                 before_start=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    try:
        os.kill(worker.process.pid, signal.SIGINT)
        done = subprocess.run([work.tools.exec_program, "--plan", ring.plan, "--model", MINI, "-i", "--temperature", "0",
                               "--max-tokens", "8"], input="Where is Lin?\nAnd then?\n", capture_output=True, text=True,
                              timeout=START_S, env={**os.environ, "RING_CONFIG": ring.files[0]})  # fmt: skip
        check_equal(done.returncode, 0, done.stderr)
        one = subprocess.run([work.tools.exec_program, "--plan", ring.plan, "--model", MINI, "-i", "--temperature", "0",
                              "--max-tokens", "8"], input="Where is Lin?\nAnd then?\n", capture_output=True, text=True,
                             timeout=START_S)  # fmt: skip
        check_equal(done.stdout, one.stdout, "the conversation")
        check_equal(worker.ended(BOUND_S), 0, worker.described())
    finally:
        worker.clean_up()


def chats_in_a_terminal(work):
    """Ctrl-C reaches every process of a terminal, also those that a shell has put into the background."""
    plan, model, long_answer = work.chatty(tp=2)
    ring = Ring(work, plan, 2, start=[])
    words = f"exec {work.tools.exec_program} --plan {plan} --model {model} --quiet {' '.join(long_answer)} -i"
    marker = f"ring-chat-{os.getpid()}"
    terminal = Terminal(["/bin/sh", "-c", f"(RING_CONFIG={ring.files[1]} {words}) & RING_CONFIG={ring.files[0]} {words}"],
                        marker)
    terminal.until("> ")
    for line in ("Tell me a story.", "And then?"):
        terminal.type(f"{line}\n")
        terminal.until(f"{line}\n")
        terminal.until(" ")
        terminal.type("\x03")
        terminal.until("\n> ")
        check_equal(len(processes(marker)), 4, "Ctrl-C ends no process")
    terminal.type("\x04")
    check_equal(terminal.end(), 0, terminal.seen)
    wait_until(lambda: not processes(marker), BOUND_S, "no process is left")


def dies(work, victim, pattern, codes, rank=False, send=signal.SIGKILL):
    with Ring(work, plan_of(work, 4), 4, "--port", "0") as ring:
        ring[0].said("^ready ")
        os.kill(ring[victim].ranks(1)[0] if rank else ring[victim].process.pid, send)
        began = time.monotonic()
        for number, code in enumerate(codes):
            check_equal(ring[number].ended(BOUND_S + 4), code, ring[number].described())
            if code == 1:
                ring[number].said(pattern)
        check(time.monotonic() - began < BOUND_S + 1, f"it took {time.monotonic() - began:.1f} s")


def mistake(work, message, changes, size=4, **more):
    """All ranks say the same within five seconds of the last one's start."""
    with Ring(work, plan_of(work, size), size, "--port", "0", changes=changes, **more) as ring:
        ring.ended([1] * size, BOUND_S + 3)
        ring.all_say(message)


def taken_port(work, rank):
    with Ring(work, plan_of(work, 4), 4, "--port", "0", start=[]) as ring, socket.socket() as other:
        other.bind(("127.0.0.1", ring.ports[rank]))
        other.listen()
        for number in (3, 2, 1, 0):
            ring.start(number)
        ring.ended([1] * 4, BOUND_S + 3)
        ring.all_say(f"rank {rank} failed while meeting the others: tcp: listening on 127.0.0.1 port <port {rank}>: Address "
                     "already in use; end what listens there, or give the rank another 'port' in its RING_CONFIG file, and its "
                     "left neighbour the same as 'right_port'")


def twice(work):
    with Ring(work, plan_of(work, 4), 4, "--port", "0", start=[0, 1]) as ring:
        ring[0].said(r"^ring +rank 1 of the ring is there")
        ring.files[2] = ring.files[1]
        ring.start(2)
        ring.ended([1] * 3, BOUND_S)
        ring.all_say("rank 1 of the ring came twice: from 127.0.0.1 (r1.json) and from 127.0.0.1 (r1.json); give each "
                     "process the RING_CONFIG file of its own rank")


def wrong_secret(work, rank):
    """Told to all, as the left neighbour's file says where the rank is."""
    files = [work.path(f"secret{i}") for i in range(2)]
    for i, path in enumerate(files):
        with open(path, "w", encoding="utf-8") as file:
            file.write(SECRET[i:])
    with Ring(work, plan_of(work, 4), 4, "--port", "0", start=[]) as ring:
        for number in range(4):
            ring.common = ("--cluster-secret-file", files[number == rank])
            ring.start(number)
        ring.ended([1] * 4, BOUND_S + 3)
        for number in range(4):
            if number == rank:
                ring[number].said(rf"rank {rank} of the ring: rank 0 of the ring at 127\.0\.0\.1 port \d+ refused this node's "
                                  "proof: the cluster secret is not the same on both; give both the same --cluster-secret-file")
            else:
                ring[number].said(rf"rank {rank} of the ring: its cluster secret is not the head's; give both the same "
                                  "--cluster-secret-file")


def machine_bytes(work):
    """0 where this process may have less, or where no plan of the bundled model needs as much."""
    done = subprocess.run([work.tools.exec_program, "doctor", "--json"], capture_output=True, text=True, timeout=START_S)
    memory = json.loads(done.stdout)["memory"]
    machine = memory["machine_bytes"] or LARGEST_NEED
    return machine if memory["total_bytes"] == machine < LARGEST_NEED else 0


def more_than_the_machine_has(work):
    """Each rank alone would fit; what it needs first is room for keys and values, which nobody has touched yet."""
    path, machine = work.path("plans", "ring-large.mrsplan"), machine_bytes(work)
    work.tools.call([work.tools.plan_program, "build", MINI, "--max-len", "2048", "--max-seqs", "4096", "--numerics", "block32",
                     "--dtype", "f32", "--memory", str(machine * 3 // 4), "--tp", "2", "-o", path])
    with Ring(work, path, 2, "--port", "0") as ring:
        ring.ended([1, 1], BOUND_S + 3)
        for rank in range(2):
            ring[rank].said(rf"^mrs-exec: ranks 0 and 1 of the ring are on one machine, whose memory is {machine} bytes, "
                            r"and together they need \d+; start some on others, or plan with --memory$")


def head_of_the_plan(work):
    """master_* are left out: the plan has the head's address, and --cluster-port its port."""
    plan = cluster_plan(work, "headed", loopback(2), 1, "--tp", "2")
    changes = {0: {"master_ip": None, "master_port": None, "right_ip": "127.0.0.2"},
               1: {"master_ip": None, "master_port": None, "right_ip": "127.0.0.1"}}
    with Ring(work, plan, 2, *ASK, changes=changes, start=[]) as ring:
        ring.common = ("--cluster-port", ring.master)
        for rank in (1, 0):
            ring.start(rank)
        ring.ended([0, 0], START_S)
        check_equal(json.loads(ring[0].output)["logits_sha256"], alone(work), ring[0].described())
        ring[0].said(rf"the others meet it at 127\.0\.0\.1:{ring.master}, from this host alone$")
        ring[1].said(rf"^ports +127\.0\.0\.2:{ring.ports[1]} for its left neighbour; its right one is at port "
                     rf"{ring.ports[0]} of this host$")


def rank_0_twice(work):
    with Ring(work, plan_of(work, 2), 2, start=[0], common=("--port", "0")) as ring:
        ring[0].said("^this is ")
        ring.files[1] = ring.files[0]
        check_equal(ring.start(1).ended(BOUND_S), 1, ring[1].described())
        check_equal(ring.plain(ring[1].lines[-1]).replace(str(ring.master), "<master>"),
                    "mrs-exec: rank 0 of the ring: cannot meet the others: tcp: listening on 127.0.0.1 port <master>: Address "
                    "already in use; is this the host of rank 0, and the only rank 0 there (RING_CONFIG=r0.json, rank 0)? "
                    "'master_ip' and 'master_port' say where it is, in every file", ring[1].described())


def gap(work):
    with Ring(work, plan_of(work, 4), 4, "--port", "0", start=[0, 1, 3], common=("--start-timeout", "2")) as ring:
        ring.ended([1] * 3, 2 + BOUND_S)
        for rank in (0, 1, 3):
            ring[rank].said(r"rank 2 of the ring did not come within 2 s \(--start-timeout\); start mrs-exec there with the same "
                            "plan")


def master_is_not_there(work):
    with Ring(work, plan_of(work, 2), 2, start=[1], common=("--start-timeout", "1")) as ring:
        ring.ended([1], 1 + BOUND_S)
        ring[1].said(r"rank 1 of the ring: rank 0 of the ring was not reached at 127\.0\.0\.1 port \d+ within 1 s "
                     r"\(--start-timeout\): connection refused: nobody listens there")


def master_is_not_there_at_an_own_port(work):
    """Where the kernel takes the master's port for its own end of the connection, it connects to itself."""
    net = PrivateNet()

    def enter(_):
        def inside():
            net.enter()
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
                file.write(f"{ring.master} {ring.master}")

        return inside

    try:
        with Ring(work, plan_of(work, 2), 2, start=[], common=("--start-timeout", "1"), before_start=enter) as ring:
            ring.start(1)
            ring.ended([1], 1 + BOUND_S)
            ring[1].said(rf"rank 0 of the ring was not reached at 127\.0\.0\.1 port {ring.master} within 1 s "
                         r"\(--start-timeout\): connection refused: nobody listens there")
    finally:
        net.close()


def other_plan(work):
    with Ring(work, plan_of(work, 2), 2, "--port", "0", plans={1: plan_of(work, 2, "--pp", "2")}) as ring:
        ring.ended([1, 1], BOUND_S + 3)
        for rank in range(2):
            ring[rank].said(r"rank 1 of the ring: its plan is [0-9a-f]{64}, the head's is [0-9a-f]{64}; give every node the same "
                            "plan file")


def exported(work):
    """What mrs-plan export --for mistralrs writes starts the plan, as it is."""
    plan = plan_of(work, 2)
    folder = work.path("exported", "x")
    port = free_ports(3)
    out = os.path.dirname(folder)
    work.tools.call([work.tools.plan_program, "export", "--for", "mistralrs", plan, "--model", MINI, "-o", out,
                     "--ring-port", str(port + 1), "--cluster-port", str(port)])
    runs = [Run(work, "--plan", plan, "--model", MINI, *ASK,
                environment={"RING_CONFIG": os.path.join(out, f"ring_{rank}.json")}) for rank in range(2)]
    try:
        for run in runs:
            check_equal(run.ended(START_S), 0, run.described())
        check_equal(json.loads(runs[0].output)["logits_sha256"], alone(work), runs[0].described())
    finally:
        for run in runs:
            run.clean_up()


def rehearses(work):
    with Ring(work, plan_of(work, 4), 4, "--json", common=("--rehearse",)) as ring:
        ring.ended([0] * 4, START_S)
        check_equal(json.loads(ring[0].output)["transport"], "ring", "the rehearsal's transport")


def interface(work):
    with Ring(work, plan_of(work, 2), 2, "--port", "0", common=("--interface", "no-such-0"), start=[1]) as ring:
        ring.ended([1], BOUND_S)
        ring[1].said(r"--interface no-such-0: no interface 'no-such-0' with an address on this host; there are: lo \(127\.0\.0\.1\)")
    with Ring(work, plan_of(work, 2), 2, *ASK, start=[1]) as ring:
        ring.start(0, environment={"NCCL_SOCKET_IFNAME": "lo"})
        ring.ended([0, 0], START_S)
        ring[0].said("warning: NCCL_SOCKET_IFNAME=lo is taken as a hint: this node listens at 127.0.0.1; --interface NAME says "
                     "it")


def refused(work, message, code, *arguments, changes=None, rank=0):
    with Ring(work, plan_of(work, 2), 2, changes={rank: changes or {}}, common=arguments, start=[rank]) as ring:
        check_equal(ring[rank].ended(START_S), code, ring[rank].described())
        check_equal(ring.plain(ring[rank].lines[-1]), f"mrs-exec: {message}", ring[rank].described())


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("ring", arguments.bin) as work:
        left = "the ring is not closed: rank 1 (r1.json) takes its right neighbour, rank 2 (r2.json), to listen at port "
        cases = [
            ("2 ranks", lambda: same_bits(work, 2)),
            ("4 ranks", lambda: same_bits(work, 4)),
            ("8 ranks", lambda: same_bits(work, 8)),
            ("16 ranks: 2 stages x tp 8", lambda: same_bits(work, 16, "--pp", "2", "--tp", "8")),
            ("2 stages", lambda: same_bits(work, 2, "--pp", "2")),
            ("2 stages x tp 2", lambda: same_bits(work, 4, "--pp", "2", "--tp", "2")),
            ("a plan of two nodes", lambda: same_bits(work, 4, "--tp", "4", cluster=(loopback(2), 2))),
            ("forms of this host", lambda: forms_of_this_host(work, None)),
            ("the loopback of IPv6", lambda: forms_of_this_host(work, "[::1]")),
            ("the plan's head", lambda: head_of_the_plan(work)),
            ("serving and draining", lambda: serves_and_drains(work)),
            ("a chat", lambda: chats(work)),
            ("a chat in a terminal", lambda: chats_in_a_terminal(work)),
            ("exported files", lambda: exported(work)),
            ("a rehearsal", lambda: rehearses(work)),
            ("an interface", lambda: interface(work)),
            ("a rank is killed", lambda: dies(work, 2, r"rank 2 \(pid \d+\) was killed by signal 9", [1] * 4, rank=True)),
            ("rank 0 is killed", lambda: dies(work, 0, r"rank 0 of the ring is gone: ", [-9, 1, 1, 1])),
            ("a worker is killed", lambda: dies(work, 3, r"rank 3 of the ring is gone: its connection closed", [1, 1, 1, -9])),
            ("a worker is asked to end", lambda: dies(
                work, 1, r"rank 1 of the ring is gone: it was asked to end \(signal 15, Terminated\)", [1, 0, 1, 1],
                send=signal.SIGTERM)),
            ("the ring is not closed", lambda: mistake(
                work, left + "<port 0>, but it listens at port <port 2> (<port 0> is rank 0's); make 'right_port' of rank 1 the "
                "'port' of rank 2", {1: {"right_port": lambda ports: ports[0]}})),
            ("a port twice", lambda: mistake(
                work, "port clash: rank 1 (r1.json) and rank 3 (r3.json) both listen at 127.0.0.1:<port 1>; give each a "
                "'port' of its own, and its left neighbour the same as 'right_port'",
                {3: {"port": lambda ports: ports[1]}, 2: {"right_port": lambda ports: ports[1]}})),
            ("a port of a worker is taken", lambda: taken_port(work, 2)),
            ("a port of rank 0 is taken", lambda: taken_port(work, 0)),
            ("a rank twice", lambda: twice(work)),
            ("another secret", lambda: wrong_secret(work, 2)),
            ("rank 0 twice", lambda: rank_0_twice(work)),
            ("a rank is missing", lambda: gap(work)),
            ("rank 0 is missing", lambda: master_is_not_there(work)),
            *([("more than the machine has", lambda: more_than_the_machine_has(work))]
              if machine_bytes(work) else []),
            *([] if PrivateNet.why_not() else
              [("rank 0 is missing, at an own port", lambda: master_is_not_there_at_an_own_port(work))]),
            ("another plan", lambda: other_plan(work)),
            ("another transport", lambda: refused(
                work, "--transport shm: RING_CONFIG makes it a ring; expected auto or ring", 2, "--transport", "shm")),
            ("clients at the port of a rank", lambda: refused(
                work, "r0.json: 'port' 1234 is where clients would be served, too; serve them at another with --port N", 1,
                changes={"port": 1234})),
            ("a neighbour of no address", lambda: refused(
                work, "r1.json: 'right_ip' \"no..such\": not found within 0.1 s (--start-timeout): tcp: address 'no..such': "
                "Name or service not known", 1, "--start-timeout", "0.1", changes={"right_ip": "no..such"}, rank=1)),
            ("clients at the port of the master", lambda: refused(  # mistral.rs' manual has it so
                work, "r0.json: rank 0 meets the others at port 1234, and would serve clients there, too; serve them at "
                "another with --port N", 1, changes={"master_port": 1234})),
        ]
        return run_cases(cases, 2, arguments.only)


if __name__ == "__main__":
    run_main(main)
