"""Every error of an emulated GPU, at every point at which it can come, ends mrs-exec with its name.

    python3 gpu_faults.py --bin build/cli            in CTest: of each kind of point the first, the last and one more
    MRS_EVERY_FAULT=1 python3 gpu_faults.py ...      every one

The bundled model answers on one emulated GPU, by graphs that are captured at start. A first run counts what is asked of
the device (MRS_EMULATED_FAULT=count:FILE); then each of those fails in turn: exit code 1 within five seconds, a line that
names the rank, the device, what failed and how, and no process is left. Where a run without a fault takes more than half a
second, ten times that are the bound.
"""

import collections
import json
import os
import random
import re
import shutil
import signal
import time

from harness import MINI, START_S, Run, Workplace, check, check_equal, parse_arguments, run_cases, run_main
from liveness import HANG_S, SLACK_S, Hold
from progress_board import WORKING, Board

SECONDS = 5
SAMPLED = 1  # of a kind of point, besides its first and last
SEED = 20261126
FAULT = "MRS_EMULATED_FAULT"
# What an error at each point is called, after "cuda:0 (emulated): ", and CUDA's name of it, which comes behind the fault.
SAYS = {
    "open": ("cuda:0: cannot be used: unknown error", "cudaErrorUnknown"),
    "use": ("it cannot be used: unknown error", "cudaErrorUnknown"),
    "memory-query": ("its memory cannot be asked for: unknown error", "cudaErrorUnknown"),
    "identity": ("it does not say which device it is: unknown error", "cudaErrorUnknown"),
    "allocation": ("out of memory", "cudaErrorMemoryAllocation"),
    "host-allocation": ("out of memory", "cudaErrorMemoryAllocation"),
    "copy-in": ("a copy to it failed: invalid argument", "cudaErrorInvalidValue"),
    "copy-out": ("a copy from it failed: invalid argument", "cudaErrorInvalidValue"),
    "copy-within": ("a copy within it failed: invalid argument", "cudaErrorInvalidValue"),
    "launch": ("a kernel could not be launched: too many resources requested for launch", "cudaErrorLaunchOutOfResources"),
    "mark": ("its work could not be marked: unknown error", "cudaErrorUnknown"),
    "capture": ("no graph can be captured: unknown error", "cudaErrorUnknown"),
    "capture-invalidated": ("a graph could not be captured: operation failed due to a previous error during capture",
                            "cudaErrorStreamCaptureInvalidated"),
    "instantiate": ("a graph could not be made ready: out of memory", "cudaErrorMemoryAllocation"),
    "graph-launch": ("a graph could not be launched: too many resources requested for launch",
                     "cudaErrorLaunchOutOfResources"),
    "wait": ("what was launched failed: unspecified launch failure", "cudaErrorLaunchFailure"),
}
# Of NCCL, which a model on one GPU has nothing of; of two, below.
NCCL = [f"nccl-{point}" for point in ("open", "version", "id", "init", "hang", "call", "async", "lost")]
# Of memory that several processes have, which a model on one GPU has nothing of either.
IPC = [f"ipc-{point}" for point in ("export", "open", "astray")]
# Of fast numerics, which this plan has not (fast_products_test.cc).
CUBLASLT = [f"cublaslt-{point}" for point in ("open", "version", "create", "choose", "multiply")]
# Of a model on one GPU nothing is copied from one place of it to another: its collectives' operands are their results. And
# there is no other rank that could be on its device.
NEVER = {"copy-within", "identity", *NCCL, *IPC, *CUBLASLT}


ON_ONE = ["--gpus", "2GB", "--max-len", "128", "--max-seqs", "2", "--numerics", "pair2"]
END_ELSE = "end what else uses the device, or plan"


def plan_of(work):
    def build():
        path = work.path("plans", "gpu.mrsplan")
        work.tools.call([work.tools.plan_program, "build", MINI, *ON_ONE, "-o", path])
        return path

    return work.once("gpu", build)


# What a rank takes in all, and of that the KV cache.
Memory = collections.namedtuple("Memory", "total blocks block_bytes sequence_blocks")


def memory_of(work, plan):
    """As the plan's text has it."""
    text = work.tools.call([work.tools.plan_program, "inspect", plan])
    parts = re.search(r"^  memory of a rank: weights (\d+), KV (\d+), activations (\d+), CUDA (\d+) ", text, re.MULTILINE)
    blocks = re.search(r"^  kv class 0: .*, (\d+) blocks of 32 tokens and (\d+) bytes, (\d+) a sequence$", text, re.MULTILINE)
    check(parts and blocks, f"no memory and KV class in\n{text[:3000]}")
    return Memory(sum(map(int, parts.groups())), *map(int, blocks.groups()))


def answer(work, faults, plan=None):
    program = os.path.join(work.tools_folder, "mrs-exec-emulated")
    return Run(work, "--plan", plan or plan_of(work), "--model", MINI, "--prompt-ids", "1,2,3", "--prompt-ids", "4,5",
               "--max-tokens", "4", "--ignore-eos", "--json", "--quiet", program=program,
               environment={FAULT: faults} if faults else None)


def counts_by(path):
    """[{point: how often it was asked for}], a process each."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return [dict(zip(words[::2], map(int, words[1::2]))) for words in lines]


def seconds_of(run):
    """(exit code, seconds until then)."""
    begin = time.monotonic()
    return run.ended(START_S), time.monotonic() - begin


def bound_after(seconds):
    """Of a run that fails, where one that does not takes so long."""
    return max(SECONDS, 10 * seconds)


def counts_of(work):
    """{point: how often it is asked for}, the answers where nothing fails, and how long what fails may take."""
    def count():
        path = work.path("counts")
        run = answer(work, f"count:{path}")
        code, seconds = seconds_of(run)
        check_equal(code, 0, f"exit code\n  {run.described()}")
        counts = counts_by(path)
        check_equal(len(counts), 1, "processes that opened a device")
        return counts[0], run.output, bound_after(seconds)

    return work.once("counts", count)


def is_every():
    return bool(os.environ.get("MRS_EVERY_FAULT"))


def each_point_is_met(work):
    counts, _, _ = counts_of(work)
    check_equal(list(counts), [*SAYS, *NCCL, *IPC, *CUBLASLT], "points")
    check_equal({point for point, count in counts.items() if count == 0}, NEVER, "points that nothing comes to")


def says_of(point, fault):
    """What the rank says of `fault`, as it was asked for."""
    text, name = SAYS[point]
    return f"{text}: {FAULT}={fault} ({name})"


def fails(work, point, number):
    expected_says = says_of(point, f"{point}:{number}")
    run = answer(work, f"{point}:{number}")
    try:
        code, seconds = seconds_of(run)
        said = [line for line in run.lines if f"{FAULT}={point}:{number}" in line]
        what = f"{point}:{number}\n  {run.described()}"
        check_equal(code, 1, f"exit code, {what}")
        check(seconds < counts_of(work)[2], f"{seconds:.1f} s, {what}")
        check(said, f"no line names it, {what}")  # one a prompt
        for line in said:
            check("rank 0" in line and "cuda:0" in line and expected_says in line, f"says {line!r}, {what}")
        check(not any("emulated device: " in line for line in run.lines), f"the device has a complaint, {what}")
    finally:
        run.clean_up()


def each_fails(work):
    counts, _, _ = counts_of(work)
    chosen = random.Random(SEED)
    tried = 0
    for point, count in counts.items():
        numbers = range(1, count + 1)
        if not is_every() and count > SAMPLED + 2:
            numbers = sorted({1, count, *chosen.sample(range(2, count), SAMPLED)})
        for number in numbers:
            fails(work, point, number)
            tried += 1
    print(f"{tried} of {sum(counts.values())} points failed, each by name (seed {SEED})")


def past_the_last_nothing_fails(work):
    counts, output, _ = counts_of(work)
    faults = ",".join(f"{point}:{count + 1}" for point, count in counts.items())
    run = answer(work, faults)
    check_equal(run.ended(START_S), 0, f"exit code with {faults}\n  {run.described()}")
    check_equal(run.output, output, "the answers")


def graphs_in_other_orders(work):
    _, output, _ = counts_of(work)
    for seed in (1, 2, 3):
        run = answer(work, f"order:{seed}")
        check_equal(run.ended(START_S), 0, f"exit code, order:{seed}\n  {run.described()}")
        check_equal([json.loads(line)["logits_sha256"] for line in run.output.splitlines()],
                    [json.loads(line)["logits_sha256"] for line in output.splitlines()], f"order:{seed}")


def less_memory_than_planned(work):
    """A device that is smaller than those that the plan is for, though the plan would fit into it."""
    plan = memory_of(work, plan_of(work))
    run = answer(work, f"device-memory:{plan.total}")
    check_equal(run.ended(START_S), 1, f"exit code\n  {run.described()}")
    run.said(rf"rank 0: the plan uses up to 1800000000 bytes of its device, and cuda:0 \(emulated\) has {plan.total}: it "
             r"is another one than the plan is for; run on a node that the plan is for, or plan for this one \(mrs-exec "
             r"doctor says what it has\)$")


def less_memory_free_than_planned(work):
    """Of a device as large as planned, of which another program has a part: the refusal says what fits, and a plan made as
    it says runs there, with so many KV blocks."""
    plan = memory_of(work, plan_of(work))
    check_equal((plan.blocks, plan.sequence_blocks), (8, 4), "KV blocks of the plan, and of a sequence")
    for free, says in (
        (plan.total - 3 * plan.block_bytes - 1, rf"in which about 4 of its 8 KV blocks would fit; {END_ELSE} anew with "
         r"mrs-plan build --memory (\d+)"),
        (plan.total - 5 * plan.block_bytes, r"in which about 3 of its 8 KV blocks would fit, and a sequence of 128 tokens "
         rf"takes {4 * plan.block_bytes} bytes; {END_ELSE} anew with mrs-plan build --memory (\d+) and a smaller --max-len"),
        (plan.total - 8 * plan.block_bytes, rf"and without any KV block it needs {plan.total - 8 * plan.block_bytes}; "
         rf"{END_ELSE} for more ranks \(mrs-plan build --tp, --pp\)()"),
    ):
        run = answer(work, f"free-memory:{free}")
        check_equal(run.ended(START_S), 1, f"exit code, {free} free\n  {run.described()}")
        memory = run.said(rf"rank 0: needs {plan.total} bytes of cuda:0 \(emulated\) \(weights .*, KV {8 * plan.block_bytes}"
                          rf", .*\), but {free} are free now, {says}$").group(1)
        check_equal(memory, str(free) if memory else "", "what to plan for")
    free = plan.total - 3 * plan.block_bytes - 1
    less = work.path("plans", "less.mrsplan")
    work.tools.call([work.tools.plan_program, "build", MINI, *ON_ONE, "--memory", str(free), "-o", less])
    check_equal(memory_of(work, less).blocks, 4, "KV blocks of a plan for what is free")
    run = answer(work, f"free-memory:{free}", plan=less)
    check_equal(run.ended(START_S), 0, f"exit code of a plan for what is free\n  {run.described()}")
    check_equal(run.output, counts_of(work)[1], "the answers")
    run = answer(work, f"free-memory:{plan.total}")
    check_equal(run.ended(START_S), 0, f"exit code where just enough is free\n  {run.described()}")


def another_model_than_planned(work):
    """As much memory, and other rates: it runs, and the log says which is which."""
    text = "version: 1\nnodes:\n  - name: one\n    devices:\n      - {model: %s, memory: 2GiB}\n"
    for model, says in (("H100-SXM", r"^rank 0: cuda:0 \(emulated\) is another model than H100-SXM, which the plan is for: it "
                         r"runs as planned, but .* \(mrs-exec doctor says what it is\)$"), ("EMU-2GB", None)):
        cluster = work.text_file(f"{model}.yaml", text % model)
        planned = work.path("plans", f"{model}.mrsplan")
        work.tools.call([work.tools.plan_program, "build", MINI, "--cluster", cluster, *ON_ONE[2:], "-o", planned])
        run = answer(work, "", plan=planned)
        check_equal(run.ended(START_S), 0, f"exit code\n  {run.described()}")
        check_equal(run.output, counts_of(work)[1], f"the answers\n  {run.described()}")
        if says is not None:
            run.said(says)
        check(says is not None or not any("model" in line for line in run.lines), f"says too much\n  {run.described()}")


def no_such_fault(work):
    run = answer(work, "launch:first")
    check_equal(run.ended(START_S), 1, f"exit code\n  {run.described()}")
    run.said(r"MRS_EMULATED_FAULT: 'launch:first': expected launch:NUMBER, from 1")


# Of two GPUs that talk by NCCL: what is asked for, and what some rank says of it.
NCCL_FAULTS = {
    "nccl-open:1@1": r"rank 1\b.*no NCCL on this host: MRS_EMULATED_FAULT=nccl-open:1@1; install NCCL 2\.14 or newer .*"
                     r"LD_LIBRARY_PATH.*, or plan with mrs-plan build --collectives staged",
    "nccl-version:1@1": r"rank [01]\b.*NCCL is 2\.(28\.9|27\.3) here and 2\.(28\.9|27\.3) on rank [01]: install one version",
    "identity:1@1": r"rank [01]\b.*cuda:1 .*it does not say which device it is: .*MRS_EMULATED_FAULT=identity:1@1",
    "nccl-id:1@0": r"rank [01]\b.*NCCL: no unique id for tensor parallelism: ",
    "nccl-init:1@1": r"rank 1\b.*NCCL: a communicator could not be made \(tensor parallelism\): unhandled system error",
    "nccl-call:9@1": r"rank 1\b.*unhandled cuda error: MRS_EMULATED_FAULT=nccl-call:9@1",
    "nccl-async:40@1": r"rank [01]\b.*NCCL: .*(MRS_EMULATED_FAULT=nccl-async:40@1|rank 1 has left)",
    "nccl-lost:40@1": r"rank [01]\b",  # the process ends in the middle of a collective
}


# Of four, all of whose sums go in shares: 9 calls join a rank to the others, and as many tell shares of a sum.
SHARE_FAULTS = {
    "nccl-call:9@1": r"rank 1\b.*NCCL: ranks that exchange shares of sums could not be joined \(tensor parallelism\): "
                     r"unhandled cuda error: MRS_EMULATED_FAULT=nccl-call:9@1",
    "nccl-call:10@1": r"rank 1\b.*NCCL: the exchange of a sum's shares .*: MRS_EMULATED_FAULT=nccl-call:10@1",
    "nccl-call:18@1": r"rank 1\b.*NCCL: the exchange of a sum's shares .*: MRS_EMULATED_FAULT=nccl-call:18@1",
    "nccl-call:19@1": r"rank 1\b.*NCCL: the gathering of a sum's shares .*: MRS_EMULATED_FAULT=nccl-call:19@1",
    "nccl-async:40@1": r"rank [0-3]\b.*NCCL: .*(MRS_EMULATED_FAULT=nccl-async:40@1|rank [0-3] has left)",
    "nccl-lost:40@1": r"rank [0-3]\b",
}


# Of two GPUs that exchange by each other's memory.
IPC_FAULTS = {
    "ipc-export:1@1": r"rank [01]\b.*rank 1 cannot share its memory: cuda:1 .*MRS_EMULATED_FAULT=ipc-export:1@1",
    "ipc-open:1@1": r"rank [01]\b.*rank 1 does not reach the others' memory: cuda:1 .*rank 0's memory cannot be opened: "
                    r"peer access is not supported .*; plan with mrs-plan build --collectives staged",
    "ipc-astray:1@0": r"rank [01]\b.*rank 0 and rank 1 do not reach each other's memory: what rank 0 wrote into rank 1's",
    "launch:60@1": r"rank [01]\b.*(MRS_EMULATED_FAULT=launch:60@1|rank 1 has ended)",  # while the other waits
}
# As cuda_ranks.py.
PEERS = """version: 1
nodes:
  - name: emulated
    switches: [{name: sw0, socket: 0}]
    devices:
"""
DEVICE = "      - {model: EMU-2GB, parent: sw0}\n"
STAGES = 4
SHARING = 4


def plan_by(work, collectives):
    """What two GPUs talk by; "fast": of one, in fast numerics; "stages by ipc": of several, each a stage; "shares by nccl":
    of four, in shares of sums."""
    def build():
        path = work.path("plans", f"{collectives}.mrsplan")
        are_stages = collectives.startswith("stages")
        count = STAGES if are_stages else SHARING if collectives.startswith("shares") else 2
        on = ["--gpus", f"{count}xEMU-2GB"]
        if collectives == "fast":
            on = ["--gpus", "EMU-2GB", "--numerics", "fast"]
        elif "ipc" in collectives:
            on = ["--cluster", work.path("plans", f"{count}-peers.yaml")]
            with open(on[1], "w", encoding="utf-8") as file:
                file.write(PEERS + count * DEVICE)
        on += ["--tp", "1", "--pp", str(count)] if are_stages else []
        on += ["--tp", str(count)] if collectives.startswith("shares") else []
        on += [] if collectives == "fast" else ["--collectives", collectives.split()[-1], "--numerics", "pair2"]
        work.tools.call([work.tools.plan_program, "build", MINI, *on, "--max-len", "128", "--max-seqs", "2", "-o", path])
        return path

    return work.once(collectives, build)


def answer_by(work, collectives, faults, model=MINI, more=(), tokens=8):
    program = os.path.join(work.tools_folder, "mrs-exec-emulated")
    return Run(work, "--plan", plan_by(work, collectives), "--model", model, "--prompt-ids", "1,2,3", "--prompt-ids", "4,5",
               "--max-tokens", tokens, "--ignore-eos", "--json", "--quiet", *more, program=program,
               environment={FAULT: faults, **({"MRS_NCCL_LEAST_SAVED": "0"} if collectives.startswith("shares") else {})})


def every_nccl_fault(work):
    """Calls of NCCL by the second of the ranks, which makes as many as the first."""
    path = work.path("nccl-counts")
    run = answer_by(work, "nccl", f"count:{path}")
    check_equal(run.ended(START_S), 0, f"exit code\n  {run.described()}")
    counts = counts_by(path)
    check_equal(len(counts), 2, "processes that opened a device")
    for point, says in (("nccl-call", r"rank 1\b.*MRS_EMULATED_FAULT={}"), ("nccl-async", r"rank [01]\b"),
                        ("nccl-lost", r"rank [01]\b")):
        check_equal(counts[0][point], counts[1][point], f"{point} of both ranks")
        for number in range(1, counts[0][point] + 1):
            fault = f"{point}:{number}@1"
            yield fault, says.format(fault)


def each_fails_by(work, collectives, faults):
    """Faults are pairs of what MRS_EMULATED_FAULT is and what is said."""
    run = answer_by(work, collectives, "")
    code, seconds = seconds_of(run)
    check_equal(code, 0, f"exit code\n  {run.described()}")
    bound = bound_after(seconds)
    for fault, says in faults:
        run = answer_by(work, collectives, fault)
        try:
            code, seconds = seconds_of(run)
            check_equal(code, 1, f"exit code, {fault}\n  {run.described()}")
            check(seconds < bound, f"{seconds:.1f} s, {fault}\n  {run.described()}")
            run.said(says)
            check(not any("emulated device: " in line for line in run.lines), f"{fault}\n  {run.described()}")
        finally:
            run.clean_up()
    print(f"{len(faults)} faults by {collectives}, each by name")


# What is known before a weight is read: what is planned, other options, what fails and what is said.
EARLY = [
    ("fast", (), "cublaslt-open:1", r"rank 0\b.*no cuBLASLt on this host: .*; install cuBLAS 13 .*, or plan with "
                                        r"mrs-plan build --numerics pair2"),
    ("fast", (), "cublaslt-version:1", r"rank 0\b.*libcublasLt.so.13 is 12\.8\.4, expected 13; install cuBLAS 13 "),
    ("ipc", (), "ipc-open:1@1", IPC_FAULTS["ipc-open:1@1"]),
    ("ipc", (), "ipc-astray:1@0", IPC_FAULTS["ipc-astray:1@0"]),
    *((collectives, ("--transport", "local"), "", r"--transport local: the plan's 2 ranks are GPUs, and a process has one of "
       r"them; give auto, shm, tcp or ring$") for collectives in ("ipc", "nccl", "staged")),
    ("nccl", (), "nccl-open:1@1", NCCL_FAULTS["nccl-open:1@1"]),
    ("nccl", (), "nccl-version:1@1", NCCL_FAULTS["nccl-version:1@1"]),
]


def weightless(work):
    """The bundled model, whose weights are a file without anything."""
    def build():
        folder = work.path("weightless")
        os.makedirs(folder)
        for name in os.listdir(MINI):
            if os.path.isfile(os.path.join(MINI, name)) and not name.endswith(".safetensors"):
                shutil.copy(os.path.join(MINI, name), folder)
        with open(os.path.join(folder, "model.safetensors"), "wb"):
            pass
        return folder

    return work.once("weightless", build)


def refused_before_weights_are_read(work):
    """Of a model whose weights cannot be read, where else their own error comes: also when all ranks have met."""
    cases = [*EARLY, *((collectives, (), "", r"rank [01]\b.*model\.safetensors") for collectives in ("fast", "ipc", "nccl"))]
    for planned, more, fault, says in cases:
        run = answer_by(work, planned, fault, weightless(work), more)
        try:
            code, seconds = seconds_of(run)
            what = f"{planned} {fault} {' '.join(more)}\n  {run.described()}"
            check_equal(code, 1, f"exit code, {what}")
            check(seconds < SECONDS, f"{seconds:.1f} s, {what}")
            run.said(says)
            is_early = "model" not in says
            check(is_early != any("model.safetensors" in line for line in run.lines), f"the weights' turn, {what}")
        finally:
            run.clean_up()


def doctor_looks_for_libraries(work):
    program = os.path.join(work.tools_folder, "mrs-exec-emulated")
    for planned, fault, code, says in (
        ("fast", "", 0, r"^ok +plan\.libraries +cuBLASLt 13\.1\.0 is there$"),
        ("fast", "cublaslt-open:1", 1,
         r"^bad +plan\.libraries +no cuBLASLt on this host: MRS_EMULATED_FAULT=cublaslt-open:1\n *-> install "
         r"cuBLAS 13 .*, or plan with mrs-plan build --numerics pair2"),
        ("nccl", "nccl-open:1@0", 1, r"^bad +plan\.libraries +no NCCL on this host: MRS_EMULATED_FAULT=nccl-open:1@0\n *-> install NCCL 2\.14 "
         r"or newer [^\n]*--collectives staged"),
    ):
        run = Run(work, "doctor", "--plan", plan_by(work, planned), program=program, environment={FAULT: fault})
        run.ended(START_S)
        said = run.output.decode()
        check(re.search(says, said, re.MULTILINE), f"no line like {says} in\n{said}\n  {run.described()}")
        bad = 1 if re.search(r"^bad ", said, re.MULTILINE) else 0  # of what else the host lacks, too
        check_equal(run.process.returncode, bad, f"exit code\n{said}")
        check(bad >= code, f"exit code {bad}, expected {code}\n{said}")


def by_nccl_each_fails(work):
    faults = list(NCCL_FAULTS.items())
    if is_every():
        faults += every_nccl_fault(work)
    each_fails_by(work, "nccl", faults)


def by_nccl_in_shares_each_fails(work):
    each_fails_by(work, "shares by nccl", list(SHARE_FAULTS.items()))


def by_peer_memory_each_fails(work):
    each_fails_by(work, "ipc", list(IPC_FAULTS.items()))


def the_one_that_hangs_is_named(work):
    """In the middle of decodes, in which each GPU waits for the other in a kernel, or each stage for the one before it. NCCL
    says nothing of whom it waits for, and the emulated one waits where it is called."""
    for planned, ranks, victim in (("ipc", 2, 1), ("ipc", 2, 0), ("stages by ipc", STAGES, 0)):
        run = answer_by(work, planned, "", more=("--hang-timeout", HANG_S), tokens=110)
        try:
            pids = run.ranks(ranks)
            board = Board(run.process.pid, ranks)
            board.await_line(victim, lambda line: line.phase == WORKING and line.step > 4)
            Hold(pids[victim])
            check_equal(run.ended(HANG_S + SLACK_S + SECONDS), 1, f"exit code\n  {run.described()}")
            run.said(rf"rank {victim} \(pid {pids[victim]}\) hangs ")
            board.close()
        finally:
            run.clean_up()


def a_stage_that_is_killed_is_named(work):
    """In the middle of decodes, in which the others wait in kernels, each for the one before it, or in none."""
    for victim in (0, 2):
        run = answer_by(work, "stages by ipc", "", tokens=110)
        try:
            pids = run.ranks(STAGES)
            board = Board(run.process.pid, STAGES)
            board.await_line(victim, lambda line: line.phase == WORKING and line.step > 4)
            os.kill(pids[victim], signal.SIGKILL)
            code, seconds = seconds_of(run)
            check_equal(code, 1, f"exit code\n  {run.described()}")
            check(seconds < SECONDS, f"{seconds:.1f} s\n  {run.described()}")
            run.said(rf"rank {victim}\b")
            check(not any("emulated device: " in line for line in run.lines), run.described())
            board.close()
        finally:
            run.clean_up()


def no_graph_is_cut_between_stages(work):
    """As many are launched for a decode as by NCCL: one a rank."""
    path, launched = work.path("graph-counts"), []
    for collectives in ("stages by ipc", "stages by nccl"):
        run = answer_by(work, collectives, f"count:{path}")
        check_equal(run.ended(START_S), 0, f"exit code\n  {run.described()}")
        launched.append(sorted(counts["graph-launch"] for counts in counts_by(path)))
        os.remove(path)
    check_equal(len(launched[0]), STAGES, "processes that opened a device")
    check(launched[0][0] > 0, "no graph was launched")
    check_equal(launched[0], launched[1], "graphs launched, by peer memory and by NCCL")


CASES = [
    each_point_is_met, each_fails, past_the_last_nothing_fails, graphs_in_other_orders, less_memory_than_planned,
    less_memory_free_than_planned, another_model_than_planned, no_such_fault, by_nccl_each_fails, by_nccl_in_shares_each_fails,
    by_peer_memory_each_fails, refused_before_weights_are_read, doctor_looks_for_libraries, the_one_that_hangs_is_named,
    a_stage_that_is_killed_is_named, no_graph_is_cut_between_stages
]


def main():
    options = parse_arguments(__doc__)
    with Workplace("gpu-faults", options.bin) as work:
        work.tools_folder = options.bin
        return run_cases([(case.__name__.replace("_", " "), lambda case=case: case(work)) for case in CASES], 1,
                         options.only)


if __name__ == "__main__":
    run_main(main)
