"""An edited module is refused, or its plan gives the same bits: no number in it may be wrong without being seen.

    python3 edits.py --bin build/cli --sample 200 --seed 1    what CI runs
    python3 edits.py --bin build/cli --sample 5000 --seed 2   ten minutes

Each run changes one thing in the final module, or in the one before localization, which then goes through the other
passes: a number of one operation, a type wherever it stands, two operations that change places. What says
which model it is (eps, windows, multipliers, the tensors' places in the checkpoint, which value goes where) is left
alone: edited, it is another model. The module must be refused in words, or its plan must run to the end with the logits of the unedited
one, and pass `--ir-source`. Controls: unedited modules among the others run to the same logits, and another eps gives
other ones.
"""

import argparse
import collections
import random
import re
import sys
import tempfile
import time

import random_checkpoint
from module_edits import OTHER_PASSES, Workshop, edit
from mrs_tools import Failed, in_parallel, limit_memory

UNEDITED = "unedited"
TP = 2
# Architecture, seed and stages: one small layer; windows, soft-caps and norms of 1 + w; norms of all heads; fused tensors.
SUBJECTS = (
    ("LlamaForCausalLM", 32, 1),
    ("Gemma2ForCausalLM", 684, 2),
    ("Olmo3ForCausalLM", 173, 1),
    ("Phi3ForCausalLM", 4, 2),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan, mrs-opt and mrs-exec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=200, metavar="N")
    options = parser.parse_args()
    started = time.monotonic()
    tally = collections.Counter()
    for number, subject in enumerate(SUBJECTS):
        sample = (options.sample + number) // len(SUBJECTS)
        with tempfile.TemporaryDirectory() as scratch:
            tally += try_subject(options, subject, sample, scratch)
    print(
        ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())), f"in {time.monotonic() - started:.0f} s"
    )
    return 1 if tally["WRONG"] else 0


def try_subject(options, subject, sample, scratch):
    """Edits of one model's modules: how many came out how. Says what is wrong."""
    architecture, seed, stages = subject
    rng, tally = random.Random(f"{options.seed} {architecture}"), collections.Counter()
    config, dtype = random_checkpoint.write_checkpoint(seed, f"{scratch}/model", architecture)
    print(f"{random_checkpoint.describe(config, dtype)}, tp {TP}, stages {stages}, seed {options.seed}", flush=True)
    shop = Workshop(options.bin, scratch, f"{scratch}/model", TP, stages)
    limit_memory(16)

    def outcome(lines, tag, passes=()):
        """("refused", why) or ("ran", hash)."""
        verdict, said = shop.build(lines, tag, passes)
        return ("ran", shop.run(said)) if verdict == "built" else (verdict, said)

    right = outcome(shop.final, "whole")
    if right[0] != "ran" or outcome(shop.early, "early", OTHER_PASSES) != right:
        tally["WRONG"] += 1
        print(f"WRONG: the unedited modules must run, to the same logits; {right}")
        return tally
    norms = [at for at, line in enumerate(shop.final) if "eps = " in line]
    control = list(shop.final)
    control[norms[-1]] = re.sub(r"eps = \S+ : f32", "eps = 1.000000e-02 : f32", control[norms[-1]])
    seen = outcome(control, "control")
    if seen[0] != "ran" or seen == right:
        tally["WRONG"] += 1
        print(f"WRONG: another eps must give other logits, not {seen}")
        return tally
    modules = [(shop.final, ()), (shop.early, OTHER_PASSES)]
    edits = [(f"whole-{n}", passes, lines, UNEDITED) for n, (lines, passes) in enumerate(modules * 2)]
    edits += [(f"edit-{n}", modules[n % 2][1], *edit(modules[n % 2][0], TP, rng)) for n in range(sample)]

    def judged(case):
        """The outcome; what gives the right bits must pass for the unsharded module's, too."""
        tag, passes, lines, _ = case
        result = outcome(lines, tag, passes)
        if result == right:
            verdict, said = shop.build(lines, tag, passes, against_source=True)
            if verdict != "built":
                raise Failed(f"the right bits, but refused as another model: {said.strip()}")
        return result

    for (_, _, _, what), result in in_parallel(edits, judged):
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
            print(f"WRONG {what}: {why}", flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
