"""One logits_sha256 for a model and a numerics profile, however it is run.

    python3 bits.py --bin build/cli --sample 60 --seed 1     what CI runs: a deterministic sample
    python3 bits.py --bin build/cli --all --seed 1           everything: minutes

Crosses every legal one of {TP 1, 2, 4, 8; 2 and 4 stages; 2 stages x TP 2} x transport {local, shm, tcp, ring} x prompt chunk
{1,7,64} x threads {1,2} x {0,5} other sequences in the batch, in both profiles, over the bundled model, the tiny
checkpoint of every family (tests/golden) and random ones made from the seed; a sample has one run of each tiny
checkpoint besides. The prompt has 100 tokens and more (some 500 and more: past a segment of attention), 32 are
generated. Beside the product: every MRS_ISA, and tokens from candidates alone. A control shows that a sum in the order
of ranks changes the hash.
"""

import argparse
import collections
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time

import random_checkpoint
from mrs_tools import MINI, PROFILES, REPOSITORY, Failed, Tools, in_parallel

GOLDEN = os.path.join(REPOSITORY, "tests", "golden")
sys.path.insert(0, GOLDEN)
import tiny_checkpoint  # noqa: E402

TRANSPORTS = ("local", "shm", "tcp", "ring")
CHUNKS = (1, 7, 64)
THREADS = (1, 2)
OTHERS = (0, 5)
GENERATED = 32
ISAS = ("reference", "avx2", "avx512", "avx512bf16", "amx")  # MRS_ISA: at most this, of what the host has

FIELDS = ("profile", "layout", "transport", "chunk", "threads", "others")  # of a run, counted
STAGES = ((2, 1), (4, 1), (2, 2))  # pipeline stages, and the ranks of each

Model = collections.namedtuple("Model", "name folder dtype layouts prompts max_len")  # dtype: of --dtype
Run = collections.namedtuple("Run", "model profile layout transport chunk threads others")  # layout: (stages, ranks)


def legal_layouts(config):
    """(stages, ranks of each): every legal TP, then those of STAGES that the layers fill."""
    legal_tp, layers = random_checkpoint.legal_tp(config), config["num_hidden_layers"]
    return [(1, tp) for tp in legal_tp] + [(pp, tp) for pp, tp in STAGES if pp <= layers and tp in legal_tp]


def read_layouts(folder):
    with open(os.path.join(folder, "config.json")) as file:
        return legal_layouts(json.load(file))


def make_prompts(rng, vocab, long):
    """The prompt under test, then five others of many lengths."""
    lengths = [rng.randrange(495, 530) if long else rng.randrange(100, 140)]
    lengths += [1, 2] + [rng.randrange(3, 80) for _ in range(3)]
    return [[rng.randrange(vocab) for _ in range(length)] for length in lengths]


def make_models(count, seed, scratch):
    """The bundled model in bf16 and f32, then `count` random ones; every seventh of these gets a long prompt."""
    rng = random.Random(f"prompts {seed}")
    models = [Model("mini", MINI, "bf16", read_layouts(MINI), make_prompts(rng, 2003, False), 256)]
    models.append(models[0]._replace(name="mini-f32", dtype="f32"))
    for i in range(count):
        name = f"random {seed * 1000 + i}"
        folder = os.path.join(scratch, name.replace(" ", "-"))
        config, dtype = random_checkpoint.write_checkpoint(seed * 1000 + i, folder)
        long = i % 7 == 0
        layouts = legal_layouts(config)
        prompts = make_prompts(rng, config["vocab_size"], long)
        kept = "bf16" if dtype == "BF16" else "f32"
        models.append(Model(name, folder, kept, layouts, prompts, 640 if long else 256))
        said = ", ".join(map(show_layout, layouts))
        print(f"{name}: {random_checkpoint.describe(config, dtype)}; prompt of {len(prompts[0])}; {said}")
    return models


def tiny_models(seed, scratch):
    """The families' tiny checkpoints, by turns in f32 and bf16."""
    rng = random.Random(f"tiny prompts {seed}")
    models = []
    for i, name in enumerate(tiny_checkpoint.names()):
        folder = os.path.join(scratch, f"tiny-{name}")
        golden = tiny_checkpoint.write(os.path.join(GOLDEN, name), folder)
        prompts = make_prompts(rng, golden["vocab"], False)
        dtype = ("f32", "bf16")[i % 2]
        models.append(Model(f"tiny {name}", folder, dtype, read_layouts(folder), prompts, golden["max_len"]))
    return models


def all_runs(models):
    for model, profile in itertools.product(models, PROFILES):
        for rest in itertools.product(model.layouts, TRANSPORTS, CHUNKS, THREADS, OTHERS):
            yield Run(model, profile, *rest)


class Plans:
    """Builds each plan once, when it is first wanted."""

    def __init__(self, tools, scratch):
        self.tools, self.scratch = tools, scratch
        self.lock, self.paths = threading.Lock(), {}

    def get(self, model, profile, layout, reduction="canonical"):
        (stages, tp), key = layout, (model.name, profile, *layout, reduction)
        with self.lock:
            if key not in self.paths:
                path = os.path.join(self.scratch, "-".join(map(str, key)).replace(" ", "-") + ".mrsplan")
                extra = ["--reduction", reduction, "--dtype", model.dtype]
                extra += ["--pp", str(stages)] if stages > 1 else []
                self.paths[key] = self.tools.build(
                    model.folder, path, tp=tp, numerics=profile, max_len=model.max_len, extra=extra
                )
            return self.paths[key]


def outcome(tools, plans, run, reduction="canonical", isa=None):
    """(logits_sha256, token_ids) of the prompt under test."""
    plan = plans.get(run.model, run.profile, run.layout, reduction)
    answer = tools.run(
        plan,
        run.model.folder,
        run.model.prompts[: 1 + run.others],
        GENERATED,
        transport=run.transport,
        chunk=run.chunk,
        threads=run.threads,
        isa=isa,
    )[0]
    return answer["logits_sha256"], tuple(answer["token_ids"])


def check_plain(tools, plans, runs, references):
    """Without --json ranks return candidates and no logits: the same tokens, from the plan's other variant."""
    # Random models have no tokenizer, so that token ids are printed.
    seen = {(r.model.name, r.profile, r.layout): r for r in runs if r.model.folder != MINI}

    def plain(run):
        argv = tools.exec_argv(
            plans.get(run.model, run.profile, run.layout), run.model.folder, run.model.prompts[:1], GENERATED
        )
        return tools.call([a for a in argv if a != "--json"]).strip()

    failed = 0
    for run, result in in_parallel(list(seen.values()), plain):
        if str(result) != ",".join(map(str, references[run.model.name, run.profile][1])):
            failed += 1
            print(f"DIFFERS {run.model.name} {run.profile} {show_layout(run.layout)} from candidates alone: {result}")
    print(f"{len(seen)} runs from candidates alone: {failed} differ")
    return failed


def check_isas(tools, plans, runs, references):
    """Each instruction set that this host has, and plain loops: the same bits."""
    two_ranks = {
        (r.model.name, r.profile): Run(r.model, r.profile, r.model.layouts[:2][-1], "shm", 64, 1, 0) for r in runs
    }
    failed = 0
    for (run, isa), result in in_parallel(
        list(itertools.product(two_ranks.values(), ISAS)), lambda job: outcome(tools, plans, job[0], isa=job[1])
    ):
        if result != references[run.model.name, run.profile]:
            failed += 1
            print(f"DIFFERS {show(run)} MRS_ISA={isa}: {result}")
    print(f"{len(two_ranks) * len(ISAS)} runs with MRS_ISA one of {', '.join(ISAS)}: {failed} differ")
    return failed


def show_layout(layout):
    stages, tp = layout
    return f"TP {tp}" if stages == 1 else f"{stages} stages x TP {tp}" if tp > 1 else f"{stages} stages"


def show(run):
    return (
        f"{run.model.name} {run.profile} {show_layout(run.layout)} {run.transport} chunk {run.chunk} "
        f"threads {run.threads} others {run.others}"
    )


def check_runs(tools, plans, runs):
    """Every run against one rank, one thread, alone, chunks of 64. Prints what differs; the number of failures."""
    references, failed, tally = {}, 0, collections.Counter()
    alone = {(r.model.name, r.profile): Run(r.model, r.profile, (1, 1), "local", 64, 1, 0) for r in runs}
    for run, result in in_parallel(list(alone.values()), lambda run: outcome(tools, plans, run)):
        if isinstance(result, Failed):
            raise Failed(f"{show(run)}: {result}")
        references[run.model.name, run.profile] = result
    for number, (run, result) in enumerate(in_parallel(runs, lambda run: outcome(tools, plans, run)), 1):
        if number % 500 == 0:
            print(f"  {number} of {len(runs)}", file=sys.stderr, flush=True)
        expected = references[run.model.name, run.profile]
        if result != expected:
            failed += 1
            why = result if isinstance(result, Failed) else f"{result}, expected {expected}"
            argv = tools.exec_argv(
                "PLAN",
                run.model.folder,
                run.model.prompts[: 1 + run.others],
                GENERATED,
                run.transport,
                run.chunk,
                run.threads,
            )
            print(f"DIFFERS {show(run)}: {why}" + ("" if failed > 3 else "\n  " + " ".join(argv)), flush=True)
        for field in FIELDS:
            value = getattr(run, field)
            tally[field, show_layout(value) if field == "layout" else value] += 1
    print(
        f"{len(runs)} runs over {len(references)} pairs of model and profile: {failed} differ; runs by",
        "; ".join(
            f"{field} " + ", ".join(f"{v}: {n}" for (f, v), n in sorted(tally.items(), key=str) if f == field)
            for field in FIELDS
        ),
    )
    return failed + check_plain(tools, plans, runs, references) + check_isas(tools, plans, runs, references)


def controls_of(models):
    """(model, tp): the bundled model, and the first random one of four ranks."""
    mini = models[1]
    return [(mini, 4), (mini, 8)] + [(m, 4) for m in models[2:] if m.dtype == "f32" and (1, 4) in m.layouts][:1]


def check_control(tools, plans, model, tp):
    """With partial sums added in the order of ranks, more ranks must show: else equal hashes would prove nothing."""
    run = Run(model, "pair2", (1, tp), "shm", 64, 1, 0)
    canonical, naive = outcome(tools, plans, run), outcome(tools, plans, run, "rank_order")
    print(f"control: {model.name} tp {tp}: canonical {canonical[0][:16]}, in the order of ranks {naive[0][:16]}")
    return canonical[0] != naive[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=int, help="random models [20, or 6 in a sample]")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sample", type=int, metavar="N", help="N runs of the product, the same for a seed")
    what.add_argument("--all", action="store_true")
    options = parser.parse_args()
    tools, started = Tools(options.bin), time.monotonic()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as scratch:
        count = options.models if options.models is not None else 20 if options.all else 6
        models = make_models(count, options.seed, scratch)
        plans = Plans(tools, scratch)
        tiny = tiny_models(options.seed, scratch)
        runs = list(all_runs(models))
        if options.sample:
            rng = random.Random(f"sample {options.seed}")
            runs = rng.sample(runs, min(options.sample, len(runs)))
            runs += [rng.choice(list(all_runs([model]))) for model in tiny]
        else:
            runs += all_runs(tiny)
        failed = check_runs(tools, plans, runs)
        # f32 plans: rounding a matrix input to bf16 hides most last-bit differences, so a bf16 run may show none.
        controls = [check_control(tools, plans, model, tp) for model, tp in controls_of(models)]
    print(f"{time.monotonic() - started:.0f} s")
    if not all(controls):
        print("FAILED: a control did not change the hash")
    return 1 if failed or not all(controls) else 0


if __name__ == "__main__":
    sys.exit(main())
