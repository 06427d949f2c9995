"""Several GPUs give the logits_sha256 that one CPU rank gives: tensor parallel and in stages, over every transport.

    python3 cuda_ranks.py --bin build/cli --sample 6 --seed 1 --models 2      what CI runs: mrs-exec-emulated, which needs no GPU
    python3 cuda_ranks.py --bin build/cli --sample 60 --seed 7 --models 20    minutes
    python3 cuda_ranks.py --bin build/cli --all --seed 1                      everything: hours

The bundled model on one, two and four of the emulated device, on two and four stages, and on two stages of two; then a sample of
the product of models (random ones, the families' tiny ones) x both profiles x every legal layout x transport {shm, tcp,
ring} x prompt chunk {1, 7, 64} x CUDA graphs {on, off, lazy: each forward runs once before it is captured, as where the
driver loads kernels lazily} x what GPUs talk by {staged, nccl, ipc}; by nccl also with all sums in shares, as those of large
prompts are; by ipc also ranks that share one device. Candidates alone are asked for, too: the same tokens. A control shows
that sums in the order of ranks change the hash.
"""

import argparse
import collections
import itertools
import os
import random
import subprocess
import tempfile

import bits
from mrs_tools import PROFILES, Failed, Tools, in_parallel, run_main

PROGRAM = "mrs-exec-emulated"
GENERATED = 6
PROMPTS = 3
GRAPHS = ("on", "off", "lazy")
# Of the bundled model, whatever the sample: (layout, transport, chunk, graphs, collectives).
FIXED = (
    ((1, 1), "local", 64, "on", "staged"),
    ((1, 2), "shm", 64, "on", "staged"),
    ((1, 2), "tcp", 7, "off", "staged"),
    ((1, 2), "ring", 64, "on", "staged"),
    ((1, 2), "shm", 64, "lazy", "staged"),
    ((1, 4), "shm", 7, "on", "staged"),
    ((1, 4), "ring", 64, "off", "staged"),
    ((2, 1), "shm", 64, "off", "staged"),
    ((2, 2), "tcp", 64, "on", "staged"),
    ((2, 2), "shm", 1, "on", "staged"),
    ((1, 2), "shm", 64, "on", "nccl"),
    ((1, 2), "shm", 7, "off", "nccl"),
    ((1, 4), "tcp", 64, "lazy", "nccl"),
    ((1, 4), "shm", 64, "on", "nccl in shares"),
    ((1, 4), "tcp", 7, "lazy", "nccl in shares"),
    ((2, 1), "shm", 64, "on", "nccl"),
    ((2, 2), "shm", 7, "on", "nccl"),
    ((2, 2), "ring", 64, "off", "nccl"),
    ((1, 2), "shm", 64, "on", "ipc"),
    ((1, 4), "tcp", 7, "on", "ipc"),
    ((2, 2), "shm", 64, "lazy", "ipc"),
    ((2, 2), "ring", 7, "off", "ipc"),
    ((2, 1), "tcp", 64, "on", "ipc"),
    ((4, 1), "shm", 7, "lazy", "ipc"),
    ((4, 1), "ring", 64, "off", "ipc"),
    ((1, 2), "shm", 64, "on", "ipc on one"),
    ((1, 4), "tcp", 7, "off", "ipc on one"),
    ((2, 2), "shm", 64, "on", "ipc on one"),
)
# GPUs that reach each other's memory, as those of --gpus are not known to.
NODE = "version: 1\nnodes:\n  - name: emulated\n    switches: [{name: sw0, socket: 0}]\n    devices:\n"
DEVICE = "      - {model: EMU-2GB, parent: sw0}\n"

# layout: (stages, ranks of each)
Run = collections.namedtuple("Run", "model profile layout transport chunk graphs collectives")


def show(run):
    return (
        f"{run.model.name} {run.profile} {bits.show_layout(run.layout)} {run.transport} chunk {run.chunk} "
        f"graphs {run.graphs} {run.collectives}"
    )


def prompts_of(model):
    return model.prompts[1 : 1 + PROMPTS]  # the long one is the first


class Checker:
    def __init__(self, bin_dir, scratch):
        self.cpu, self.gpu = Tools(bin_dir), Tools(bin_dir)
        self.gpu.exec_program = os.path.join(bin_dir, PROGRAM)
        self.on_cpus, self.on_gpus = bits.Plans(self.cpu, scratch), {}
        self.scratch, self.expected = scratch, {}

    def plan_for_gpus(self, model, profile, layout, collectives, reduction="canonical"):
        (stages, tp), key = layout, (model.name, profile, *layout, collectives, reduction)
        if key not in self.on_gpus:
            path = os.path.join(self.scratch, "gpus-" + "-".join(map(str, key)).replace(" ", "-") + ".mrsplan")
            extra = ["--gpus", f"{stages * tp}xEMU-2GB"]
            if collectives == "ipc":
                extra = ["--cluster", self.cluster_of(stages * tp)]
            if collectives == "ipc on one":
                extra = ["--gpus", "EMU-2GB", "--devices", ",".join(["cuda:0"] * stages * tp)]
            extra += ["--dtype", model.dtype, "--reduction", reduction]
            extra += ["--pp", str(stages)] if stages > 1 else []
            extra += ["--collectives", collectives.split()[0]]
            self.on_gpus[key] = self.gpu.build(
                model.folder, path, tp=tp, numerics=profile, max_len=model.max_len, extra=extra
            )
        return self.on_gpus[key]

    def cluster_of(self, count):
        path = os.path.join(self.scratch, f"{count}-peers.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(NODE + DEVICE * count)
        return path

    def both(self, tools, plan, model, transport, chunk, more=(), environment=None):
        """The hashes of the prompts, and what is printed where candidates alone are asked for."""
        argv = tools.exec_argv(plan, model.folder, prompts_of(model), GENERATED, transport=transport, chunk=chunk)
        said = tools.call([*argv, *more], environment=environment)
        plain = tools.call([a for a in argv if a != "--json"] + list(more), environment=environment)
        return [line.split('"logits_sha256"')[1].split('"')[1] for line in said.splitlines()], plain

    def want(self, model, profile):
        if (model.name, profile) not in self.expected:
            plan = self.on_cpus.get(model, profile, (1, 1))
            self.expected[model.name, profile] = self.both(self.cpu, plan, model, "local", 64)
        return self.expected[model.name, profile]

    def outcome(self, run, reduction="canonical", environment=None):
        plan = self.plan_for_gpus(run.model, run.profile, run.layout, run.collectives, reduction)
        graphs = ["--cuda-graphs", "off" if run.graphs == "off" else "on"]
        environment = dict(environment or {})
        if run.graphs == "lazy":
            environment["CUDA_MODULE_LOADING"] = "LAZY"
        if run.collectives == "nccl in shares":
            environment["MRS_NCCL_LEAST_SAVED"] = "0"
        return self.both(self.gpu, plan, run.model, run.transport, run.chunk, graphs, environment)


def refuses_another_device(checker, model):
    """A plan for GPUs with more memory than the emulated ones have: a rank says so, with both numbers."""
    plan = os.path.join(checker.scratch, "large.mrsplan")
    checker.gpu.call([checker.gpu.plan_program, "build", model.folder, "--gpus", "2x24GB", "--collectives", "staged", "--numerics", "pair2", "-o", plan])
    argv = checker.gpu.exec_argv(plan, model.folder, [[1]], 1, transport="shm")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    said = "the plan uses up to 21600000000 bytes of its device, and cuda:"
    if done.returncode == 1 and said in done.stderr and "has 2147483648: it is another one" in done.stderr:
        return True
    print(f"another device: exit code {done.returncode}: {done.stderr}")
    return False


def sums_go_in_shares(checker, model):
    """Where a run asks for that, and of so small a model else not: for a sum NCCL is called 10 times and not once."""
    calls = []
    for collectives in ("nccl", "nccl in shares"):
        counts = os.path.join(checker.scratch, collectives.replace(" ", "-") + ".counts")
        run = Run(model, "pair2", (1, 4), "shm", 64, "off", collectives)
        checker.outcome(run, environment={"MRS_EMULATED_FAULT": f"count:{counts}"})
        with open(counts, encoding="utf-8") as file:
            words = [line.split() for line in file]
        calls.append(sum(int(line[line.index("nccl-call") + 1]) for line in words))
    if calls[1] > 5 * calls[0] > 0:
        return True
    print(f"NCCL is called {calls[0]} times, and {calls[1]} times in shares: sums do not go so")
    return False


def runs_of(models, fixed, sample, rng):
    product = [
        Run(model, profile, *rest)
        for model, profile in itertools.product(models, PROFILES)
        for rest in itertools.product(model.layouts, bits.TRANSPORTS, bits.CHUNKS, GRAPHS, ("staged", "nccl", "ipc"))
    ]
    # Of several ranks each is a process, and only several exchange.
    product = [run for run in product if run.layout == (1, 1) or run.transport != "local"]
    product = [run for run in product if run.collectives != "ipc" or run.layout != (1, 1)]
    runs = [Run(models[0], PROFILES[i % 2], *rest) for i, rest in enumerate(fixed)]
    if sample is None:
        return runs + product
    several = [run for run in product if run.layout != (1, 1)]
    return runs + rng.sample(several, min(sample, len(several)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help=f"folder of mrs-plan, mrs-exec and {PROGRAM}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=int, help="random models [20, or 3 in a sample]")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sample", type=int, metavar="N", help="N runs of the product, the same for a seed")
    what.add_argument("--all", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="mrs_cuda_ranks_") as scratch:
        count = options.models if options.models is not None else 20 if options.all else 3
        models = bits.make_models(count, options.seed, scratch) + bits.tiny_models(options.seed, scratch)
        checker = Checker(options.bin, scratch)
        rng = random.Random(f"cuda ranks {options.seed}")
        runs = runs_of(models, FIXED, None if options.all else options.sample, rng)
        for run in runs:  # before anything runs beside it
            checker.plan_for_gpus(run.model, run.profile, run.layout, run.collectives)
            checker.want(run.model, run.profile)
        differing = 0
        for run, result in in_parallel(runs, checker.outcome):
            expected = checker.want(run.model, run.profile)
            if result == expected:
                continue
            differing += 1
            why = result if isinstance(result, Failed) else f"\n  expected {expected}\n  actual   {result}"
            print(f"DIFFERS {show(run)}: {why}", flush=True)
        names = {run.model.name for run in runs}
        print(f"{len(runs)} runs on {len(names)} models: {differing} differ from one CPU rank")
        # In f32 sums in another order show soonest.
        for collectives in ("staged", "nccl", "nccl in shares", "ipc"):
            control = Run(models[1], "pair2", (1, 4), "shm", 64, "on", collectives)
            if checker.outcome(control, "rank_order")[0] == checker.want(control.model, control.profile)[0]:
                print(f"the control by {collectives}: sums in the order of ranks give the same hash, so equal hashes prove nothing")
                differing += 1
        differing += 0 if refuses_another_device(checker, models[0]) else 1
        differing += 0 if sums_go_in_shares(checker, models[0]) else 1
        return 1 if differing else 0


if __name__ == "__main__":
    run_main(main)
