"""Mutants of sources: built in a copy of the repository, judged by what it writes or by the test that must fail."""

import hashlib
import itertools
import os
import re
import subprocess
import tempfile

# First of all: it finds what exactness/ has.
from subjects import LAYOUTS, MINI, PLACES, build, logits, short

import compiler_mutants
import gpu_compiler_mutants
import gpu_source_mutants
import source_mutants
from mrs_tools import Tools
from scratch_tree import ScratchTree, StaleMutant
from verdict import Verdict, call, refused


def file_hash(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def compiler(options, tally):
    every = compiler_mutants.MUTANTS + gpu_compiler_mutants.MUTANTS
    mutants = [m for m in every if not options.only or m.name in options.only]
    with ScratchTree(options.tree) as tree, tempfile.TemporaryDirectory() as scratch:
        built, said = tree.build("mrs-plan", "mrs-exec")
        if not built:
            raise SystemExit(f"the unchanged sources do not build:\n{said}")
        whole = f"{scratch}/mrs-plan"
        subprocess.run(["cp", f"{tree.programs}/mrs-plan", whole], check=True)
        right = {}
        subjects = list(itertools.product(options.models, LAYOUTS)) if not all(m.places for m in mutants) else []
        subjects += itertools.product([MINI], PLACES) if any(m.places for m in mutants) else []
        for model, layout in subjects:
            plan = f"{scratch}/{short(model, layout).replace(' ', '-')}.mrsplan"
            code, said = build(whole, model, layout, plan)
            if code != 0:
                raise SystemExit(f"{short(model, layout)}: the unmutated compiler is refused: {said}")
            right[model, layout] = plan
        for mutant in mutants:
            try:
                with tree.changed(mutant.file, mutant.old, mutant.new):
                    built, said = tree.build("mrs-plan")
                    if not built:
                        tally.add("compiler", mutant.name, "all", Verdict("BROKEN", "", f"does not build:\n{said}"))
                        continue
                    for (model, layout), plan in right.items():
                        if mutant.places != bool(layout.cluster):
                            continue
                        verdict = judge_compiler(tree, mutant, model, layout, plan, whole)
                        tally.add("compiler", mutant.name, short(model, layout), verdict, options.verbose)
            except StaleMutant as stale:
                tally.add("compiler", mutant.name, "all", Verdict("BROKEN", "", str(stale)))
            print(f"{mutant.name}: {dict(tally.by_mutant['compiler', mutant.name])}", flush=True)
        tree.build("mrs-plan")


def judge_compiler(tree, mutant, model, layout, right, whole):
    """The mutant's own build must refuse, or give the bytes that the unmutated one gives."""
    tools, plan = Tools(tree.programs), f"{os.path.dirname(right)}/mutant.mrsplan"
    code, said = build(tools.plan_program, model, layout, plan)
    if code != 0:
        return refused(code, said)
    if file_hash(plan) == file_hash(right):
        return Verdict("no effect")
    judged = refused(*call([whole, "verify", plan, "--model", model]))
    if judged.outcome == "killed":  # by anybody's verify, but it was written
        return Verdict("SURVIVED", "", f"its own build wrote it; verify says: {judged.said}")
    same = logits(tools, plan, model) == logits(tools, right, model)
    if same and os.path.basename(model) in mutant.harmless:
        return Verdict("no effect")
    return Verdict("SURVIVED", "", f"accepted; {'the same' if same else 'other'} logits")


def sources(options, tally):
    every = source_mutants.MUTANTS + gpu_source_mutants.MUTANTS
    mutants = [m for m in every if not options.only or m.name in options.only]
    with ScratchTree(options.tree) as tree:
        unchanged = {}  # what a test says of the unchanged sources, once for each
        for mutant in mutants:
            verdict = Verdict("BROKEN")
            if (mutant.test, mutant.cases) not in unchanged:
                unchanged[mutant.test, mutant.cases] = run_test(tree, mutant)
            code, said = unchanged[mutant.test, mutant.cases]
            if code != 0:
                verdict.said = f"{mutant.test} fails on the unchanged sources:\n{said}"
                tally.add("source", mutant.name, mutant.file, verdict)
                continue
            try:
                with tree.changed(mutant.file, mutant.old, mutant.new):
                    code, said = run_test(tree, mutant)
                    failed = re.findall(r"\[  FAILED  \] (\S+\.\S+)|^(?:FAIL|ERROR): (\S+)", said, re.M)
                    names = ", ".join(sorted({a or b for a, b in failed}))[:200]
                    verdict = Verdict("killed", mutant.test, names) if code == 1 else Verdict("SURVIVED", "", said)
                    if code == 2:
                        verdict = Verdict("BROKEN", "", said)
            except StaleMutant as stale:
                verdict.said = str(stale)
            tally.add("source", mutant.name, mutant.file, verdict, verbose=True)
        tree.build(*sorted({mutant.target for mutant in mutants}))


def run_test(tree, mutant):
    """(0 passed, 1 failed, 2 not built; what was said)."""
    built, said = tree.build(mutant.target)
    if not built:
        return 2, f"does not build:\n{said}"
    argv = ["ctest", "--test-dir", f"{tree.folder}/build", "-R", f"^{mutant.test}$", "-V"]
    environment = dict(os.environ, GTEST_FILTER=mutant.cases) if mutant.cases else None
    done = subprocess.run(argv, capture_output=True, text=True, env=environment)
    if "No tests were found" in done.stdout + done.stderr or "Running 0 tests" in done.stdout:
        return 2, f"there is no test {mutant.test} {mutant.cases}"
    return int(done.returncode != 0), done.stdout[-3000:]
