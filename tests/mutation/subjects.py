"""The models and layouts that mutants are tried on, and what is run of them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "exactness"))

from module_edits import PROMPT
from mrs_tools import MINI, REPOSITORY, Failed
from verdict import call

GOLDEN = os.path.join(REPOSITORY, "tests", "golden")
MODELS = [MINI] + [os.path.join(GOLDEN, name) for name in ("llama_bias_bf16", "qwen3_f32")]
TPS = (1, 2, 4)
BUILD = ["--max-len", "64", "--memory", "1GiB", "--numerics", "pair2"]


def short(model, tp):
    return f"{os.path.basename(model)} tp {tp}"


def mutate_program(bin_dir):
    """mutate_plan of the build whose programs are in bin_dir."""
    return os.path.join(os.path.dirname(os.path.abspath(bin_dir)), "tests", "mutation", "mutate_plan")


def build(program, model, tp, plan):
    """mrs-plan build: (exit code, standard error)."""
    return call([program, "build", model, "--tp", str(tp), *BUILD, "-o", plan])


def logits(tools, plan, model):
    """What a survivor computes: the hash of the logits, or why it does not run."""
    try:
        return tools.run(plan, model, [PROMPT], 6)[0]["logits_sha256"]
    except Failed as failure:
        return f"does not run: {failure}"
