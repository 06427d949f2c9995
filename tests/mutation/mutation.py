"""Mutants against the checkers: every wrong plan, module and compiler is refused, and nothing right is.

    python3 mutation.py plans    --bin build/cli                # wrong plans, sealed and unverified; minutes
    python3 mutation.py modules  --bin build/cli                # wrong modules
    python3 mutation.py benign   --bin build/cli                # what must not be refused; ten minutes
    python3 mutation.py compiler [--tree COPY] [--only NAME]    # wrong compilers, each built in a copy; an hour
    python3 mutation.py sources  [--tree COPY] [--only NAME]    # wrong sources, each with the test that must fail

Exit code 1 where a mutant survives or something right is refused. Each mutant has a name and a seed; --only runs one.
"""

import argparse
import glob
import itertools
import os
import random
import sys
import tempfile
import time

# First of all: it finds what exactness/ has.
from subjects import FUSED, GOLDEN, LAYOUTS, MINI, MODELS, Layout, build, logits, mutate_program, random_models, short

import module_level
import random_checkpoint
import source_level
from module_edits import Workshop
from mrs_tools import Failed, Tools, in_parallel
from verdict import Tally, Verdict, call, refused


def plans(options, tally):
    tools = Tools(options.bin)
    mutate = mutate_program(options.bin)
    for model, layout, seed in itertools.product(options.models, (*LAYOUTS, FUSED), range(1, options.seeds + 1)):
        with tempfile.TemporaryDirectory() as scratch:
            whole = f"{scratch}/whole.mrsplan"
            code, said = build(tools.plan_program, model, layout, whole)
            if code != 0:
                raise Failed(f"{short(model, layout)}: the unmutated build is refused: {said}")
            names = tools.call([mutate, whole, scratch, str(seed)]).splitlines()
            names = [line.split("\t")[0] for line in names]

            def judge(name):
                return call([tools.plan_program, "verify", f"{scratch}/{name}.mrsplan", "--model", model])

            code, said = judge("none")
            if code != 0:
                raise Failed(f"{short(model, layout)}: a plan taken apart and put together is refused: {said}")
            names = [name for name in names if not options.only or name in options.only]
            for name, (code, said) in in_parallel(names, judge):
                verdict = refused(code, said)
                if verdict.outcome == "SURVIVED":
                    same = logits(tools, f"{scratch}/{name}.mrsplan", model) == logits(tools, whole, model)
                    verdict.said = f"accepted; {'the same' if same else 'other'} logits"
                tally.add("plan", name, f"{short(model, layout)} seed {seed}", verdict, options.verbose)


def modules(options, tally):
    for model, layout in itertools.product(options.models, LAYOUTS):
        with tempfile.TemporaryDirectory() as scratch:
            shop = Workshop(options.bin, scratch, model, layout.tp, layout.stages)
            cases = []
            for name, seed in itertools.product(module_level.MUTANTS, range(1, options.seeds + 1)):
                made = module_level.MUTANTS[name](shop, random.Random(f"{name} {seed}"))
                if made and (not options.only or name in options.only):
                    cases.append((name, seed, *made))

            def judge(case):
                name, seed, lines, passes, what = case
                verdict, said = shop.build(lines, f"{name}-{seed}", passes, against_source=True)
                return Verdict("SURVIVED", "", what) if verdict == "built" else refused(1, said.strip())

            for case, verdict in in_parallel(cases, judge):
                if isinstance(verdict, Failed):
                    verdict = Verdict("BROKEN", "", str(verdict))
                tally.add("module", case[0], f"{short(model, layout)} seed {case[1]}", verdict, options.verbose)


def benign(options, tally):
    """Goldens, the bundled model, random configurations, edited modules of the same bits: nobody may refuse them."""
    tools = Tools(options.bin)
    with tempfile.TemporaryDirectory() as scratch:
        models = sorted(os.path.dirname(path) for path in glob.glob(f"{GOLDEN}/*/model.safetensors")) + [MINI]
        legal = {model: LAYOUTS for model in models}
        for seed in range(1, options.configurations + 1):
            folder = f"{scratch}/random-{seed}"
            config, _ = random_checkpoint.write_checkpoint(seed, folder)
            stages = [n for n in (1, 2, 4) if n <= config["num_hidden_layers"]]
            legal[folder] = [Layout(n, tp) for n in stages for tp in random_checkpoint.legal_tp(config)]
        for model, layouts in legal.items():
            for layout in layouts:
                plan = f"{scratch}/x.mrsplan"
                code, said = build(tools.plan_program, model, layout, plan)
                if code == 0:
                    code, said = call([tools.plan_program, "verify", plan, "--model", model])
                verdict = Verdict("accepted") if code == 0 else Verdict("SURVIVED", "", f"refused: {said}")
                tally.add("right model", short(model, layout), "itself", verdict, options.verbose)
        shop = Workshop(options.bin, scratch, MINI, 2)
        right = shop.run(shop.build(shop.final, "whole")[1])

        def judge(seed):
            lines, passes, what = module_level.benign(shop, random.Random(seed))
            verdict, said = shop.build(lines, f"benign-{seed}", passes, against_source=True)
            if verdict == "refused":
                return Verdict("SURVIVED", "", f"{what}: refused: {said.strip()}")
            same = shop.run(said) == right
            for end in ("mlir", "mrsplan"):
                os.unlink(f"{scratch}/benign-{seed}.{end}")
            return (
                Verdict("accepted") if same else Verdict("BROKEN", "", f"{what}: other logits; the edit is not benign")
            )

        for seed, verdict in in_parallel(range(1, options.sample + 1), judge):
            if isinstance(verdict, Failed):
                verdict = Verdict("BROKEN", "", str(verdict))
            tally.add("right module", "benign edit", f"seed {seed}", verdict, options.verbose)


CAMPAIGNS = {
    "plans": plans,
    "modules": modules,
    "benign": benign,
    "compiler": source_level.compiler,
    "sources": source_level.sources,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=CAMPAIGNS)
    parser.add_argument("--bin", help="folder of mrs-plan, mrs-opt and mrs-exec")
    parser.add_argument("--tree", help="a copy of the sources that may be changed, kept for the next run [a new one]")
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant alone; may be given again")
    parser.add_argument("--models", nargs="+", metavar="FOLDER", help="[the bundled one, goldens and random ones]")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="of each mutant")
    parser.add_argument("--sample", type=int, default=3000, metavar="N", help="modules of benign")
    parser.add_argument("--configurations", type=int, default=20, metavar="N", help="random models of benign")
    parser.add_argument("--verbose", action="store_true", help="what was said of each mutant")
    options = parser.parse_args()
    if options.what in ("plans", "modules", "benign") and not options.bin:
        parser.error(f"{options.what} needs --bin")
    tally, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        options.models = options.models or MODELS + random_models(scratch)
        try:
            CAMPAIGNS[options.what](options, tally)
        except Failed as failure:
            sys.exit(f"FAILED {failure}")
    tally.print()
    verdict = f"FAILED: {tally.bad} to look at" if tally.bad else "all as it must be"
    print(f"{verdict}, in {time.monotonic() - started:.0f} s")
    return 1 if tally.bad or not tally.count else 0


if __name__ == "__main__":
    sys.exit(main())
