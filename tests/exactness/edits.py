"""An edited module is refused, or its plan gives the same bits: no number in it may be wrong without being seen.

    python3 edits.py --bin build/cli --sample 200 --seed 1    what CI runs
    python3 edits.py --bin build/cli --sample 5000 --seed 2   ten minutes

Each run changes one thing in the final module, or in the one before localization, which then goes through the other
passes: a number of one operation, a type wherever it stands, two operations that change places. What says
which model it is (eps, scale, the tensors' places in the checkpoint, which value goes where) is left alone: edited, it
is another model. The module must be refused in words, or its plan must run to the end with the logits of the unedited
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

SEED = 11  # of the model: one layer, 8 heads
UNEDITED = "unedited"
TP = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan, mrs-opt and mrs-exec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=200, metavar="N")
    options = parser.parse_args()
    rng, started = random.Random(options.seed), time.monotonic()
    tally, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as scratch:
        config, dtype = random_checkpoint.write_checkpoint(SEED, f"{scratch}/model")
        print(f"{random_checkpoint.describe(config, dtype)}, tp {TP}, seed {options.seed}", flush=True)
        shop = Workshop(options.bin, scratch, f"{scratch}/model", TP)
        limit_memory(16)

        def outcome(lines, tag, passes=()):
            """("refused", why) or ("ran", hash)."""
            verdict, said = shop.build(lines, tag, passes)
            return ("ran", shop.run(said)) if verdict == "built" else (verdict, said)

        right = outcome(shop.final, "whole")
        if right[0] != "ran" or outcome(shop.early, "early", OTHER_PASSES) != right:
            print(f"FAILED: the unedited modules must run, to the same logits; {right}")
            return 1
        norms = [at for at, line in enumerate(shop.final) if "eps = " in line]
        control = list(shop.final)
        control[norms[-1]] = re.sub(r"eps = \S+ : f32", "eps = 1.000000e-02 : f32", control[norms[-1]])
        seen = outcome(control, "control")
        if seen[0] != "ran" or seen == right:
            print(f"FAILED: another eps must give other logits, not {seen}")
            return 1
        modules = [(shop.final, ()), (shop.early, OTHER_PASSES)]
        edits = [(f"whole-{n}", passes, lines, UNEDITED) for n, (lines, passes) in enumerate(modules * 2)]
        edits += [(f"edit-{n}", modules[n % 2][1], *edit(modules[n % 2][0], TP, rng)) for n in range(options.sample)]

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
                wrong += 1
                print(f"WRONG {what}: {why}", flush=True)
    print(
        ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())), f"in {time.monotonic() - started:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
