"""An edited module is refused, or its plan gives the same bits: no number in it may be wrong without being seen.

    python3 edits.py --bin build/cli --sample 200 --seed 1    what CI runs
    python3 edits.py --bin build/cli --sample 5000 --seed 2   ten minutes

Each run changes one thing in the final module, or in the one before localization, which then goes through the other
passes: a number of one operation, a type wherever it stands, two operations that change places. What says
which model it is (eps, scale, the tensors' places in the checkpoint, which value goes where) is left alone: edited, it
is another model. The module must be refused in words, or its plan must run to the end with the logits of the unedited
one. Controls: unedited modules among the others run to the same logits, and another eps gives other ones.
"""

import argparse
import collections
import random
import re
import subprocess
import sys
import tempfile
import time

import random_checkpoint
from mrs_tools import Failed, Tools, in_parallel, limit_memory

SEED = 11  # of the model: one layer, 8 heads
UNEDITED = "unedited"
FIRST_PASSES = ["--mrs-propagate", "--mrs-insert-collectives"]
OTHER_PASSES = ["--mrs-fuse", "--mrs-localize", "--mrs-schedule", "--mrs-in-place", "--mrs-plan-memory"]
TP = 2
PROMPT = [5 + 13 * i % 60 for i in range(40)]
MODEL_ITSELF = re.compile(r"sources = \[.*?\}\]|(?:eps|scale) = \S+ : f32|\"[^\"]*\"")
NUMBER = re.compile(r"(?<![\w%#.])-?\d+\b")
OPERATION = re.compile(r"\bmrs\.\w+ \"")
TYPE = re.compile(r"(?<=<)\[[^\]]+\][^>]*(?=>)")  # of !mrs.tensor<[T, 8{tp 4}, 32], bf16>


def numbers(line):
    """The numbers of an operation's line, but for what says which model it is."""
    fixed = [match.span() for match in MODEL_ITSELF.finditer(line)]
    return [m for m in NUMBER.finditer(line) if not any(begin <= m.start() < end for begin, end in fixed)]


def put(line, match, text):
    return line[: match.start()] + text + line[match.end() :]


def another(old, rng):
    """Any number but this one; often a near one."""
    near = [old + 1, old - 1, 2 * old, old // 2, -old, 0, 1, old + 16, old - 64, 1 << 40, 1 << 62]
    return rng.choice([new for new in near if new != old])


def edit_type(lines, rng):
    """One type, wherever it stands, so that definition and uses still agree: another size, slice or partial state."""
    old = rng.choice(sorted({match.group() for line in lines for match in TYPE.finditer(line)}))
    split = [match for match in re.finditer(r"(\d+)(?:\{tp[^}]*\})?", old.partition("]")[0])]
    kind = rng.random()
    if kind < 0.2:
        new = old.removesuffix(", partial") if old.endswith(", partial") else old + ", partial"
    elif kind < 0.5 and split:
        match = rng.choice(split)
        size = int(match.group(1))
        slices = ["", f"{{tp {size // TP}}}", f"{{tp {size // TP} every 2}}", f"{{tp {size // TP} start 0 step 0}}"]
        slices.append(f"{{tp {size // TP} start {size // TP} step {-(size // TP)}}}")
        new = put(old, match, match.group(1) + rng.choice(slices))
    else:
        match = rng.choice([*NUMBER.finditer(old)] or [None])
        new = put(old, match, str(another(int(match.group()), rng))) if match else old
    return [line.replace(f"<{old}>", f"<{new}>") for line in lines], f"<{old}> -> <{new}>"


def edit(lines, rng):
    """(edited lines, what was done)."""
    operations = [at for at, line in enumerate(lines) if OPERATION.search(line)]
    while True:
        at, kind = rng.choice(operations), rng.random()
        out, what = None, re.search(r"mrs\.\w+ \"[^\"]*\"", lines[at]).group()
        if kind < 0.45:
            out, what = edit_type(lines, rng)
        elif kind < 0.9:
            choice = numbers(TYPE.sub(lambda m: "x" * len(m.group()), lines[at]))
            if choice:
                match, out = rng.choice(choice), list(lines)
                out[at] = put(lines[at], match, str(another(int(match.group()), rng)))
                what += f": ...{lines[at][max(0, match.start() - 40) : match.end()]} -> {out[at][match.start() :][:20]}..."
        elif at + 1 in operations and lines[at].split(" = ")[0].strip() + " " not in lines[at + 1].replace(",", " "):
            out, what = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], f"{what}: changes places with the next"
        if out is not None and out != lines:
            return out, what


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan, mrs-opt and mrs-exec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=200, metavar="N")
    options = parser.parse_args()
    tools, rng, started = Tools(options.bin, timeout=30), random.Random(options.seed), time.monotonic()
    tally, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as scratch:
        model, graph = f"{scratch}/model", f"{scratch}/graph.mlir"
        config, dtype = random_checkpoint.write_checkpoint(SEED, model)
        print(f"{random_checkpoint.describe(config, dtype)}, tp {TP}, seed {options.seed}", flush=True)
        how = ["--tp", str(TP), "--numerics", "pair2", "--max-len", "64", "--memory", "1GiB"]
        tools.call([tools.plan_program, "build", model, *how, "--ir-out", graph])
        opt = f"{options.bin}/mrs-opt"
        final = tools.call([opt, graph, "--mrs-plan"]).split("\n")
        early = tools.call([opt, graph, *FIRST_PASSES]).split("\n")
        limit_memory(16)

        def bounded(argv):
            try:
                return subprocess.run(argv, capture_output=True, text=True, timeout=30)
            except subprocess.TimeoutExpired:
                raise Failed(f"{argv[0]}: no end after 30 s") from None

        def outcome(lines, tag, passes=()):
            """("refused", why) or ("ran", hash)."""
            module, plan = f"{scratch}/{tag}.mlir", f"{scratch}/{tag}.mrsplan"
            with open(module, "w") as file:
                file.write("\n".join(lines))
            if passes:
                passed = bounded([opt, module, *passes])
                if passed.returncode == 1 and " error: " in passed.stderr:
                    return "refused", passed.stderr
                if passed.returncode != 0:
                    raise Failed(f"mrs-opt: exit code {passed.returncode}: {passed.stderr.strip()[-500:]}")
                with open(module, "w") as file:
                    file.write(passed.stdout)
            built = bounded([tools.plan_program, "build", "--ir", module, "-o", plan])
            if built.returncode == 1 and built.stderr.startswith("mrs-plan: "):
                return "refused", built.stderr
            if built.returncode != 0:
                raise Failed(f"mrs-plan: exit code {built.returncode}: {built.stderr.strip()[-500:]}")
            return "ran", tools.run(plan, model, [PROMPT], 6)[0]["logits_sha256"]

        right = outcome(final, "whole")
        if right[0] != "ran" or outcome(early, "early", OTHER_PASSES) != right:
            print(f"FAILED: the unedited modules must run, to the same logits; {right}")
            return 1
        norms = [at for at, line in enumerate(final) if "eps = " in line]
        control = list(final)
        control[norms[-1]] = re.sub(r"eps = \S+ : f32", "eps = 1.000000e-02 : f32", control[norms[-1]])
        seen = outcome(control, "control")
        if seen[0] != "ran" or seen == right:
            print(f"FAILED: another eps must give other logits, not {seen}")
            return 1
        modules = [(final, ()), (early, OTHER_PASSES)]
        edits = [(f"whole-{n}", passes, lines, UNEDITED) for n, (lines, passes) in enumerate(modules * 2)]
        edits += [(f"edit-{n}", modules[n % 2][1], *edit(modules[n % 2][0], rng)) for n in range(options.sample)]
        for (_, _, _, what), result in in_parallel(edits, lambda case: outcome(case[2], case[0], case[1])):
            if isinstance(result, Failed):
                kind, why = "WRONG", str(result)
            elif result[0] == "refused":
                kind, why = "refused", ""
            else:
                kind, why = ("same", "") if result == right else ("WRONG", f"other logits: {result[1]}")
            if what == UNEDITED and kind == "refused":
                kind, why = "WRONG", result[1]
            tally[kind] += 1
            if kind == "WRONG":
                wrong += 1
                print(f"WRONG {what}: {why}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())), f"in {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
