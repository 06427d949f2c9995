"""Fast numerics of GPUs beside a CPU's pair2: the logits within a bound, and its tokens wherever that decides them.

    python3 check_fast.py --bin build/cli                       mrs-exec-emulated of that folder, which needs no GPU
    python3 check_fast.py --bin build/cli --exec build/cli/mrs-exec        on a machine with a GPU

The bundled model and bf16 checkpoints of this folder, answers of a few tokens to prompts of 1 to 129, with CUDA graphs
and without, in prompts of 7 and 64 tokens a forward: products of few rows by the project's kernel, of many by cuBLASLt.

Each step has the CPU's logits as truth, as long as both have chosen the same tokens before it. No logit is further from
it than BOUND times the RMS of the row, nor than LIKE times what the CPU's other order of sums, block32, is at most; so where the CPU's best two are further apart than twice that, both choose the
same token. Where they are not, either may be chosen, and an answer is compared no further.
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile

import check_truth
from check_truth import check, rms

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from mrs_tools import MINI, Tools, read_logits, run_main  # noqa: E402

# Of a row's RMS: twice what the CPU's own two orders of sums, pair2 and block32, differ by on the bundled model (0.032),
# as a sum in another order moves some roundings to bf16 by one place. In each run fast is no more than LIKE times as far
# from pair2 as block32 is, too.
BOUND = 0.0625
LIKE = 2
GENERATED = 6
PROMPTS = (1, 17, 64, 129)


def models(scratch, only):
    """[(name, folder, vocabulary, prompts)]"""
    with open(os.path.join(MINI, "config.json")) as file:
        vocab = json.load(file)["vocab_size"]
    draw = random.Random(1)
    found = [("mini", MINI, vocab, [[draw.randrange(6, vocab) for _ in range(count)] for count in PROMPTS])]
    for name in ("qwen2_bf16", "llama3_bf16", "gemma2", "glm4", "olmo2_bias"):
        golden, _, folders = check_truth.models_of(name, scratch)
        longest = sorted((case["prompt"] for case in golden["cases"]), key=len)
        found.append((name, folders[0], golden["vocab"], [longest[0], longest[-1]]))
    return [model for model in found if not only or model[0] in only]


class Run:
    def __init__(self, tools, plan, model, prompts, vocab, extra, chunk, out):
        argv = tools.exec_argv(plan, model, prompts, GENERATED, chunk=chunk, logits_out=out) + extra
        answers = [json.loads(line) for line in tools.call(argv).splitlines()]
        check(len(answers) == len(prompts), f"{len(answers)} answers for {len(prompts)} prompts")
        self.tokens = [answer["token_ids"] for answer in answers]
        self.hashes = [answer["logits_sha256"] for answer in answers]
        self.logits = [read_logits(out, i, len(prompts), vocab) for i in range(len(prompts))]


def furthest(ours, truth):
    """Of the RMS."""
    return max(abs(a - b) for a, b in zip(ours, truth)) / rms(truth)


def compare(cpu, gpu, where):
    """(the furthest logit, steps compared, near-ties that went the other way)"""
    worst, steps, ties = 0.0, 0, 0
    for prompt, (truth_rows, rows) in enumerate(zip(cpu.logits, gpu.logits)):
        for step, (truth, ours) in enumerate(zip(truth_rows, rows)):
            at = f"{where}, prompt {prompt}, step {step}"
            check(all(map(math.isfinite, ours)), f"{at}: a logit is not finite")
            off = furthest(ours, truth)
            check(off <= BOUND, f"{at}: a logit is {off:.4f} of the RMS off, bound {BOUND}")
            worst, steps = max(worst, off), steps + 1
            first, second = sorted(truth)[-1:-3:-1]
            if gpu.tokens[prompt][step] == cpu.tokens[prompt][step]:
                continue
            margin = (first - second) / rms(truth)
            check(
                margin <= 2 * BOUND,
                f"{at}: token {gpu.tokens[prompt][step]}, the CPU's {cpu.tokens[prompt][step]} leads by {margin:.4f}",
            )
            ties += 1
            break
    return worst, steps, ties


def check_model(tools, program, scratch, name, folder, vocab, prompts):
    base = os.path.join(scratch, name)
    on_cpu = tools.build(folder, f"{base}-cpu.mrsplan", extra=("--dtype", "bf16"))
    cpu = Run(tools, on_cpu, folder, prompts, vocab, [], 64, f"{base}-cpu.logits")
    in_blocks = tools.build(folder, f"{base}-block32.mrsplan", numerics="block32", extra=("--dtype", "bf16"))
    block32 = Run(tools, in_blocks, folder, prompts, vocab, [], 64, f"{base}-block32.logits")
    of_block32 = compare(cpu, block32, f"{name}, block32 of the CPU")[0]
    plan = tools.build(folder, f"{base}-gpu.mrsplan", numerics="fast", extra=("--dtype", "bf16", "--gpus", "2GB"))
    on_gpu = Tools.__new__(Tools)
    on_gpu.__dict__.update(tools.__dict__, exec_program=program)
    worst, steps, ties, differ = 0.0, 0, 0, False
    for graphs, chunk in (("on", 64), ("off", 7)):
        extra = ["--cuda-graphs", graphs]
        gpu = Run(on_gpu, plan, folder, prompts, vocab, extra, chunk, f"{base}-{graphs}.logits")
        found = compare(cpu, gpu, f"{name}, graphs {graphs}")
        worst, steps, ties = max(worst, found[0]), steps + found[1], ties + found[2]
        differ = differ or gpu.hashes != cpu.hashes
    # The controls: it is another arithmetic, and logits of another step are not within the bound.
    check(differ, f"{name}: the CPU's bits in every run, so these were no fast numerics")
    other = furthest(cpu.logits[-1][1], cpu.logits[-1][0])
    check(other > BOUND, f"{name}: logits of another step are within the bound, too ({other:.4f})")
    check(steps > len(prompts) * GENERATED, f"{name}: only {steps} steps could be compared")
    print(f"{name}: {steps} steps, the furthest logit {worst:.4f} of the RMS (block32's {of_block32:.4f}), {ties} near-ties "
          "went the other way", flush=True)
    return worst, of_block32


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--exec", help="what runs on the GPU [mrs-exec-emulated of that folder]")
    parser.add_argument("--only", action="append", help="a model; may be given again")
    options = parser.parse_args()
    tools = Tools(options.bin)
    program = options.exec or os.path.join(options.bin, "mrs-exec-emulated")
    with tempfile.TemporaryDirectory(prefix="mrs_fast_") as scratch:
        found = [check_model(tools, program, scratch, *model) for model in models(scratch, options.only)]
    worst, of_block32 = (max(of) for of in zip(*found))
    check(worst <= LIKE * of_block32, f"the furthest logit is {worst:.4f} of the RMS off, and block32's {of_block32:.4f}: "
                                      f"more than {LIKE} times as far")
    return 0


if __name__ == "__main__":
    run_main(main)
