"""Asks transformers about random models (tests/exactness/random_checkpoint.py), beyond those that are kept here.

    python3 against_transformers.py --bin build/cli --seeds 1:90        a minute

Each seed is a family with random widths, switches and weights, a prompt of 40 to 180 tokens, some number of ranks and a
numerics profile. In f32 the logits of 12 greedy steps lie within 1e-4 of their RMS. Needs PyTorch and transformers, so
that CTest cannot run it: run it after changing a family or a kernel.
"""

import argparse
import os
import random
import sys
import tempfile

import torch
import transformers

from check_truth import F32_TOLERANCE  # and the path to what follows

import random_checkpoint
from mrs_tools import PROFILES, Failed, Tools, read_logits

STEPS = 12


def load(folder, config):
    """The model as transformers has it, in f32; None where its configuration class refuses these sizes."""
    model_class = getattr(transformers, config["architectures"][0])
    stated = {key: value for key, value in config.items() if key != "architectures"}
    try:
        own = model_class.config_class(**stated)
    except Exception as refusal:  # each class has its own
        print(f"  transformers refuses it: {str(refusal).splitlines()[-1].strip()}")
        return None
    return model_class.from_pretrained(folder, config=own, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def distance(tools, folder, config, rng, scratch):
    """(how it was run, the worst logit's distance over the logits' RMS or None)."""
    tp, profile = rng.choice(random_checkpoint.legal_tp(config)), rng.choice(PROFILES)
    vocab = config["vocab_size"]
    prompt = [rng.randrange(vocab) for _ in range(rng.randrange(40, 180))]
    model = load(folder, config)
    if model is None:
        return "", None
    plan = tools.build(folder, f"{scratch}/plan", tp=tp, numerics=profile, extra=("--dtype", "f32"))
    answer = tools.run(plan, folder, [prompt], STEPS, logits_out=f"{scratch}/logits")[0]
    ours = torch.tensor([list(row) for row in read_logits(f"{scratch}/logits", 0, 1, vocab)])
    theirs = model(torch.tensor([prompt + answer["token_ids"][:-1]])).logits[0, len(prompt) - 1 :]
    worst = (ours - theirs).abs().max() / theirs.double().square().mean().sqrt()
    return f"tp {tp} {profile}, prompt of {len(prompt)}", worst.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--seeds", default="1:90", metavar="FROM:TO")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tools, judged, failed = Tools(options.bin), 0, 0
    for seed in range(*map(int, options.seeds.split(":"))):
        with tempfile.TemporaryDirectory() as scratch:
            folder = os.path.join(scratch, "model")
            config, dtype = random_checkpoint.write_checkpoint(seed, folder)
            print(f"{seed}: {random_checkpoint.describe(config, dtype)}", flush=True)
            try:
                how, worst = distance(tools, folder, config, random.Random(seed), scratch)
            except Failed as failure:
                how, worst = str(failure), float("inf")
        if worst is None:
            continue
        judged += 1
        failed += worst > F32_TOLERANCE
        print(f"  {how}: {'FAILED: ' if worst > F32_TOLERANCE else ''}{worst:.1e} of the RMS")
    print(f"{judged - failed} of {judged} models as transformers says")
    return 1 if failed or not judged else 0


if __name__ == "__main__":
    sys.exit(main())
