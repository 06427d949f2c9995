"""The models and layouts that mutants are tried on, and what is run of them.

    python3 subjects.py FOLDER        writes the random checkpoints among them to FOLDER/Gemma2, ..., and those of HEADS
"""

import os
import sys
from collections import namedtuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "exactness"))

import random_checkpoint
from module_edits import PROMPT
from mrs_tools import MINI, REPOSITORY, Failed
from verdict import call

GOLDEN = os.path.join(REPOSITORY, "tests", "golden")
MODELS = [MINI] + [os.path.join(GOLDEN, name) for name in ("llama_bias_bf16", "qwen3_f32")]
# Architecture -> seed of a random checkpoint: 8 or 12 heads, 4 layers of both kinds, and between them every switch that
# a layer has: windows, soft-caps, both gelus, multipliers, norms before and after and of all heads, norms of 1 + w and
# with a bias, fused tensors, several ropes or none, interleaved pairs, queries scaled by their position.
RANDOM = {
    "Gemma2ForCausalLM": 684,
    "Gemma3ForCausalLM": 697,
    "Phi3ForCausalLM": 4,
    "GraniteForCausalLM": 6,
    "Glm4ForCausalLM": 4,
    "Olmo3ForCausalLM": 173,
    "StableLmForCausalLM": 6,
    "Ministral3ForCausalLM": 4,
    "Exaone4ForCausalLM": 4,
}
# Checkpoints whose layers take most of their arena between the products of q, k and v and the attention: what it is for
# GPUs tells whether these products are one launch with the rotation and the append after them, which is so of the first
# alone. Folder -> architecture, and keys of its config.json.
NARROW = {
    "num_hidden_layers": 4,
    "hidden_size": 128,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
}
HEADS = {
    "HeadsOf32": ("LlamaForCausalLM", {}),
    "HeadsOf16": ("LlamaForCausalLM", {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 16}),
    "HalvesTurned": ("Phi3ForCausalLM", {"hidden_size": 256, "head_dim": 64}),
    "NeighboursTurned": ("GlmForCausalLM", {"partial_rotary_factor": 1.0}),
    "AllProducts": (
        "StableLmForCausalLM",
        {"partial_rotary_factor": 1.0, "use_qkv_bias": False, "use_parallel_residual": True},
    ),
}
BUILD = ["--max-len", "64", "--numerics", "pair2"]

# cluster: what says where ranks are and what each may use, in place of 1 GiB on this host.
Layout = namedtuple("Layout", "stages tp cluster", defaults=((),))
LAYOUTS = (Layout(1, 1), Layout(1, 2), Layout(1, 4), Layout(2, 2))
# Where steps are one with others.
FUSED = Layout(1, 2, ("--gpus", "2xEMU-2GB", "--collectives", "staged"))
# GPUs: two nodes of two; two of one group, and two of two stages in another order than their ordinals, of which the
# second may use less: too little for all the KV blocks that the sequences could use; and two that read each other's
# memory, where steps are one launch.
PLACES = (
    Layout(2, 2, ("--gpus", "2x2xL4", "--collectives", "staged")),
    Layout(1, 2, ("--gpus", "24GB,500MB", "--max-seqs", "4096", "--collectives", "staged")),
    Layout(2, 1, ("--gpus", "430MB,24GB", "--device-layers", "1:2;0:2", "--max-seqs", "4096", "--collectives", "staged")),
    Layout(1, 2, ("--gpus", "2xH100-SXM", "--collectives", "ipc")),
)


def random_models(scratch, architectures=RANDOM):
    """Folders with the random checkpoints."""
    folders = []
    for architecture in architectures:
        folders.append(os.path.join(scratch, architecture.removesuffix("ForCausalLM")))
        random_checkpoint.write_checkpoint(RANDOM[architecture], folders[-1], architecture)
    return folders


def short(model, layout):
    stages = f" x {layout.stages} stages" if layout.stages > 1 else ""
    return " ".join([f"{os.path.basename(model)} tp {layout.tp}{stages}", *layout.cluster])


def mutate_program(bin_dir):
    """mutate_plan of the build whose programs are in bin_dir."""
    return os.path.join(os.path.dirname(os.path.abspath(bin_dir)), "tests", "mutation", "mutate_plan")


def build(program, model, layout, plan):
    """mrs-plan build: (exit code, standard error)."""
    where = ["--tp", str(layout.tp)]
    where += ["--pp", str(layout.stages)] if "--device-layers" not in layout.cluster else []
    where += layout.cluster or ["--memory", "1GiB"]
    return call([program, "build", model, *where, *BUILD, "-o", plan])


def logits(tools, plan, model):
    """What a survivor computes: the hash of the logits, or why it does not run."""
    try:
        return tools.run(plan, model, [PROMPT], 6)[0]["logits_sha256"]
    except Failed as failure:
        return f"does not run: {failure}"


def head_models(scratch):
    """Folders with the checkpoints of HEADS."""
    folders = []
    for name, (architecture, keys) in HEADS.items():
        folders.append(os.path.join(scratch, name))
        random_checkpoint.write_checkpoint(5, folders[-1], architecture, **{**NARROW, **keys})
    return folders


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("\n".join(random_models(sys.argv[1]) + head_models(sys.argv[1])))
