"""Several emulated GPUs as their users meet them: on nodes, over HTTP, and when one of them fails.

    python3 gpu_ranks.py --bin build/cli             in CTest: some errors of one GPU of two
    MRS_EVERY_FAULT=1 python3 gpu_ranks.py ...       every one, at each point that it comes to

mrs-exec-emulated on plans for EMU-2GB devices, which answer with the bits of one CPU rank. Nodes are addresses of the
loopback. Errors of one GPU end the world with its rank, its device and what failed, within five seconds (gpu_faults.py),
and no process is left. Which layouts and transports have the same bits, tests/exactness/cuda_ranks.py tries.
"""

import json
import os

import nodes
from gpu_faults import FAULT, SAYS, bound_after, counts_by, is_every, says_of, seconds_of
from harness import MINI, START_S, Run, Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main

PLANNED = ("--max-len", "256", "--max-seqs", "4", "--numerics", "pair2")
SMALL = ("--max-len", "16", "--max-seqs", "2", "--numerics", "pair2")  # batches of 32 tokens at most
ASKED = {"max_tokens": 5, "ignore_eos": True, "temperature": 0, "return_token_ids": True}
# What fails at the second of two GPUs, and when: while it loads, in its first forward, in a graph, between graphs.
FAULTS = [("open", 1), ("allocation", 2), ("host-allocation", 2), ("copy-in", 1), ("copy-in", 9), ("copy-out", 3),
          ("launch", 5), ("launch", 60), ("capture", 1), ("capture", 4), ("capture-invalidated", 2), ("instantiate", 3),
          ("graph-launch", 1), ("graph-launch", 7), ("wait", 2), ("wait", 30)]


def program_of(work):
    return os.path.join(work.tools_folder, "mrs-exec-emulated")


def plan_for(work, name, *options, planned=PLANNED):
    def build():
        path = work.path("plans", f"{name}.mrsplan")
        work.tools.call([work.tools.plan_program, "build", MINI, *options, *planned, "-o", path])
        return path

    return work.once(("gpus", name), build)


def gpu_cluster(work, name, gpus, *options):
    """A plan of nodes of the loopback with so many GPUs on each."""
    yaml = "version: 1\nnodes:\n" + "".join(
        f"  - {{name: n{i}, address: {address}, memory: 64MiB, gpus: {gpus}xEMU-2GB}}\n"
        for i, address in enumerate(nodes.loopback(2)))
    return plan_for(work, name, "--cluster", work.text_file(os.path.join("plans", f"{name}.yaml"), yaml), *options)


class Cluster(nodes.Cluster):
    def start(self, node, **more):
        # The nodes are one host, which NCCL would tell by its GPUs.
        super().start(node, program=program_of(self.made[0]), environment={"NCCL_HOSTID": f"n{node}"}, **more)


def on_nodes(work, name, gpus, *options, common=()):
    plan = gpu_cluster(work, name, gpus, *options)
    with Cluster(work, plan, 2, *nodes.ASK, common=common) as cluster:
        cluster.ended([0, 0], START_S)
        check_equal(json.loads(cluster[0].output)["logits_sha256"], nodes.alone(work), cluster[0].described())
        cluster[1].said("ended +by the head, in order")


def serves(work):
    """Clients of four GPUs get what those of a CPU get, and SIGTERM ends it in order."""
    asked = [{**ASKED, "prompt": [i, i + 1, i + 2]} for i in range(3, 6)]
    answers = []
    for plan, program in ((work.plan(MINI, tp=1, max_len=256, max_seqs=4), None),
                          (plan_for(work, "four", "--gpus", "4xEMU-2GB", "--tp", "2", "--pp", "2", "--collectives", "staged"), program_of(work))):
        with Server(work, plan, MINI, program=program) as server:
            answers.append([server.ask("/v1/completions", body)["choices"] for body in asked])
    check_equal(answers[1], answers[0], "answers of four GPUs")


def of_two(work, faults):
    plan = plan_for(work, "two", "--gpus", "2xEMU-2GB", "--collectives", "staged")
    return Run(work, "--plan", plan, "--model", MINI, "--prompt-ids", "1,2,3", "--max-tokens", "5", "--ignore-eos", "--json",
               "--quiet", program=program_of(work), environment={FAULT: faults})


def counts_of_two(work):
    """[{point: how often}] of both ranks, in some order, how long what fails may take, and the answer."""
    def count():
        path = work.path("counts-of-two")
        run = of_two(work, f"count:{path}")
        code, seconds = seconds_of(run)
        check_equal(code, 0, f"exit code\n  {run.described()}")
        counts = counts_by(path)
        check_equal(len(counts), 2, "processes that opened a device")
        return counts, bound_after(seconds), run.output

    return work.once("counts-of-two", count)


def fails(work, point, number, is_met=True):
    """is_met: the second GPU comes to it for sure, before all is answered."""
    _, bound, answer = counts_of_two(work)
    run = of_two(work, f"{point}:{number}@1")
    try:
        code, seconds = seconds_of(run)
        what = f"{point}:{number}@1\n  {run.described()}"
        if code == 0 and not is_met:
            check_equal(run.output, answer, f"the answer, {what}")
            return False
        check_equal(code, 1, f"exit code, {what}")
        check(seconds < bound, f"{seconds:.1f} s, {what}")
        says = says_of(point, f"{point}:{number}@1").replace("cuda:0", "cuda:1")
        said = [line for line in run.lines if line.startswith("mrs-exec: ")]
        check(said, f"no line says why, {what}")
        for line in said:
            check("rank 1" in line and "cuda:1" in line and says in line, f"says {line!r}, {what}")
        check(not any("emulated device: " in line for line in run.lines), f"the device has a complaint, {what}")
        return True
    finally:
        run.clean_up()


def fails_everywhere(work):
    """At each point of the second of two GPUs. The last of a kind may come when the first has answered, or not at all."""
    (one, other), _, _ = counts_of_two(work)
    tried = failed = 0
    for point in SAYS:
        least, most = sorted((one[point], other[point]))
        for number in range(1, most + 1):
            tried += 1
            failed += fails(work, point, number, is_met=number < least or least == 1)
    print(f"{failed} of {tried} points failed, each by name; past the others all was answered")


def peers_of(work, count):
    """GPUs that reach each other's memory, as those of --gpus are not known to."""
    device = "      - {model: EMU-2GB, parent: sw0}\n"
    return work.text_file(f"{count}-peers.yaml", "version: 1\nnodes:\n  - name: emulated\n"
                          "    switches: [{name: sw0, socket: 0}]\n    devices:\n" + count * device)


def rehearses(work, layers, collectives="staged"):
    """Links, programs on zeros, and what each exchange takes; no file of the model is opened."""
    gpus = ("--cluster", peers_of(work, 4)) if collectives == "ipc" else ("--gpus", "4xEMU-2GB")
    plan = plan_for(work, f"small-{collectives}", *gpus, "--tp", "2", "--pp", "2", "--collectives", collectives, planned=SMALL)
    run = Run(work, "--plan", plan, "--rehearse", "--rehearse-layers", layers, "--json", program=program_of(work))
    try:
        check_equal(run.ended(60), 0, f"exit code\n  {run.described()}")
        told = json.loads(run.output)
        check_equal((told["ok"], told["isa"], len(told["links"])), (True, "cuda", 12), "ok, isa and links")
        check(told["steps"], "no step was run")
        for step in told["steps"]:
            kinds = {exchange["kind"] for exchange in step["exchanges"]}
            check({"all-reduce", "all-gather", "send", "recv"} >= kinds and len(kinds) > 2, f"exchanges {kinds}")
            check(all(exchange["median_ns"] > 0 for exchange in step["exchanges"]), f"not measured: {step}")
    finally:
        run.clean_up()


def says_what_nccl_reads(work):
    """Of the environment and of a file; and what of it overrides the program, whose answer is the same."""
    plan = plan_for(work, "nccl-of-two", "--gpus", "2xEMU-2GB", "--tp", "2", "--collectives", "nccl")
    file = work.text_file("nccl.conf", "# none\nNCCL_IB_HCA=mlx5\nNCCL_COMM_BLOCKING=0\nPATH=/nowhere\n")
    run = Run(work, "--plan", plan, "--model", MINI, *nodes.ASK, program=program_of(work),
              environment={"NCCL_COMM_BLOCKING": "1", "NCCL_CONF_FILE": file})
    try:
        check_equal(run.ended(START_S), 0, f"exit code\n  {run.described()}")
        run.said(rf"^NCCL .* it reads NCCL_COMM_BLOCKING=1, NCCL_CONF_FILE={file}, NCCL_IB_HCA=mlx5 \({file}\)$")
        run.said(r"^ +NCCL_COMM_BLOCKING=1 overrides what this program asks of it, to wait nowhere: ")
        check_equal(json.loads(run.output)["logits_sha256"], nodes.alone(work), run.described())
    finally:
        run.clean_up()


def answers_by_default(work):
    """Plans of which nothing says numerics or collectives: fast, by nccl or ipc as the cluster has it. Whatever carries them,
    the sums are those of the same plan by staged, bit for bit; and they are no CPU's, or this would not be fast."""
    said, few = {}, ("--tp", "2", "--max-len", "256", "--max-seqs", "4")
    two = peers_of(work, 2)
    for name, talk, options in (
        ("by-default", "nccl", ("--gpus", "2xEMU-2GB")),
        ("by-default-of-peers", "ipc", ("--cluster", two)),
        ("fast-staged", "staged", ("--gpus", "2xEMU-2GB", "--numerics", "fast", "--collectives", "staged")),
    ):
        plan = plan_for(work, name, *options, planned=few)
        chosen = {option["name"]: option["value"] for option in work.tools.inspect(plan)["options"]}
        check_equal((chosen["numerics"], chosen["collectives"]), ("fast", talk), f"what {name} has")
        run = Run(work, "--plan", plan, "--model", MINI, *nodes.ASK, program=program_of(work))
        try:
            check_equal(run.ended(START_S), 0, f"exit code\n  {run.described()}")
            said[name] = json.loads(run.output)["logits_sha256"]
        finally:
            run.clean_up()
    check_equal(len(set(said.values())), 1, f"hashes of {said}")
    check(said["fast-staged"] != nodes.alone(work), "the CPU's bits, so these were no fast numerics")


CASES = [
    ("answers by default", answers_by_default),
    ("two nodes, tensor parallel, tcp", lambda w: on_nodes(w, "tp2", 1, "--tp", "2", "--collectives", "staged")),
    ("two nodes, stages, ring",
     lambda w: on_nodes(w, "pp2", 1, "--pp", "2", "--collectives", "staged", common=["--transport", "ring"])),
    ("two nodes of two, mixed",
     lambda w: on_nodes(w, "tp2pp2", 2, "--tp", "2", "--pp", "2", "--collectives", "staged")),
    ("two nodes, by nccl", lambda w: on_nodes(w, "nccl2", 1, "--tp", "2", "--collectives", "nccl")),
    ("two nodes of two, by nccl", lambda w: on_nodes(w, "nccl4", 2, "--tp", "4", "--collectives", "nccl")),
    ("two nodes of two, stages by nccl",
     lambda w: on_nodes(w, "nccl2pp2", 2, "--tp", "2", "--pp", "2", "--collectives", "nccl")),
    ("what NCCL reads", says_what_nccl_reads),
    ("serves", serves),
    *((f"fails at {point}:{number}", lambda w, p=point, n=number: fails(w, p, n)) for point, number in FAULTS),
    *([("fails at every point", fails_everywhere)] if is_every() else []),
    ("rehearses all layers", lambda w: rehearses(w, "all")),
    ("rehearses a layer", lambda w: rehearses(w, "1")),
    ("rehearses by nccl", lambda w: rehearses(w, "1", "nccl")),
    ("rehearses by ipc", lambda w: rehearses(w, "1", "ipc")),
]


def main():
    options = parse_arguments(__doc__)
    with Workplace("gpu-ranks", options.bin) as work:
        work.tools_folder = options.bin
        return run_cases([(name, lambda case=case: case(work)) for name, case in CASES], 1, options.only)


if __name__ == "__main__":
    run_main(main)
