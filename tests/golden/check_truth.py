"""Compares mrs-exec with what transformers said (golden.json of each folder here), on 1, 2 and 4 ranks.

    python3 check_truth.py --bin build/cli [--only qwen3_f32]

f32: 64 greedy tokens equal for every prompt; kept logits and each token's logprob within 1e-4 of the RMS of logits.
bf16: at each kept step, on the truth's own tokens, our logits' RMS distance from the f32 truth is at most twice that of
transformers in bf16. Both profiles. More ranks must give the bits of one rank, so the distances are judged once.
A folder without weights is a tiny checkpoint (tiny_checkpoint.py makes it): both are judged, in f32 and in bf16, and
its configuration in the older names (config.legacy.json) must give the same bits.
"""

import argparse
import base64
import hashlib
import json
import math
import os
import sys
import tempfile

import tiny_checkpoint

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from mrs_tools import PROFILES, Failed, Tools, in_parallel, read_f32, read_logits  # noqa: E402

F32_TOLERANCE = 1e-4  # of the logits' RMS: sums of at most 129 x 112 products in two orders
BF16_FACTOR = 2.0  # ours over transformers'
RANKS = {"pair2": (1, 2, 4), "block32": (1, 2, 4)}
TINY_RANKS = {"pair2": (1, 4), "block32": (1, 2)}  # tests/exactness/bits.py runs them in many more layouts


def unpack(text):
    return read_f32(base64.b64decode(text))


def rms(values):
    return math.sqrt(sum(v * v for v in values) / len(values))


def distance(ours, truth):
    return [a - b for a, b in zip(ours, truth)]


def check(condition, message):
    if not condition:
        raise Failed(message)


def check_f32(golden, answers, logits):
    """answers: 64 tokens a prompt. logits(i): their rows for prompt i. Returns what to say of it."""
    worst = 0.0
    for i, (case, answer) in enumerate(zip(golden["cases"], answers)):
        where = f"prompt {i} ({len(case['prompt'])} tokens)"
        ours, truth = answer["token_ids"], case["tokens"]
        check(ours == truth, f"{where}: tokens {ours}, transformers' {truth}")
        bound = F32_TOLERANCE * case["logits_rms"]
        pairs = [
            (f"step {step}: logprob", [a], [b])
            for step, (a, b) in enumerate(zip(answer["logprobs"], unpack(case["logprobs"])))
        ]
        rows = logits(i)
        check(len(rows) == len(truth), f"{where}: {len(rows)} rows of logits for {len(truth)} tokens")
        pairs += [(f"step {step}: logits", rows[int(step)], unpack(row)) for step, row in case["logits"].items()]
        for what, a, b in pairs:
            off = max(abs(d) for d in distance(a, b))
            check(off <= bound, f"{where} {what} off by {off}, bound {bound}")
            worst = max(worst, off / case["logits_rms"])
    return f"within {worst:.1e} of the RMS"


def bf16_contexts(golden):
    """(case, step, prompt followed by the truth's first tokens) for every kept step."""
    return [
        (case, step, case["prompt"] + case["tokens"][: int(step)])
        for case in golden["cases"]
        for step in case["logits"]
    ]


def check_bf16(golden, _, logits):
    """logits(i): one row for context i. Returns what to say of it."""
    worst = ours_squared = theirs_squared = 0.0
    for i, (case, step, _) in enumerate(bf16_contexts(golden)):
        rows = logits(i)
        ours, theirs = rms(distance(rows[0], unpack(case["logits"][step]))), case["bf16_rms_error"][step]
        where = f"prompt of {len(case['prompt'])} tokens, step {step}"
        check(ours <= BF16_FACTOR * theirs, f"{where}: RMS distance {ours}, transformers' {theirs}")
        ours_squared += ours**2
        theirs_squared += theirs**2
        worst = max(worst, ours / theirs)
    return f"{math.sqrt(ours_squared / theirs_squared):.2f} as far as transformers in bf16, at worst {worst:.2f}"


def check_layout(tools, golden, model, how, scratch, one_rank):
    """Runs one layout and judges it, unless it has the hashes of one_rank, which was judged. (hashes, what to say).
    model: the folder; how: (profile, dtype, ranks)."""
    profile, dtype, tp = how
    exact = dtype == "f32"
    prompts = [case["prompt"] for case in golden["cases"]] if exact else [ids for _, _, ids in bf16_contexts(golden)]
    base = os.path.join(scratch, f"{os.path.basename(model)}-{profile}-{dtype}-{tp}")
    out = base + ".logits"
    max_len = golden.get("max_len", 256)
    plan = tools.build(model, base + ".mrsplan", tp=tp, numerics=profile, max_len=max_len, extra=("--dtype", dtype))
    answers = tools.run(plan, model, prompts, len(golden["cases"][0]["tokens"]) if exact else 1, logits_out=out)
    hashes = [answer["logits_sha256"] for answer in answers]
    if one_rank is not None:
        check(hashes == one_rank, f"logits_sha256 {hashes}, expected {one_rank}")
        return hashes, ""

    def logits(i):
        rows = read_logits(out, i, len(prompts), golden["vocab"])
        found = hashlib.sha256(b"".join(row.tobytes() for row in rows)).hexdigest()
        check(found == hashes[i], f"prompt {i}: logits_sha256 {hashes[i]}, of --logits-out {found}")
        return rows

    return hashes, (check_f32 if exact else check_bf16)(golden, answers, logits)


def models_of(name, scratch):
    """(golden.json, ranks of each profile, folders of the checkpoint: the second has the legacy configuration)."""
    source = os.path.join(HERE, name)
    if os.path.exists(os.path.join(source, "model.safetensors")):
        with open(os.path.join(source, "golden.json")) as file:
            return json.load(file), RANKS, [source]
    folders = [os.path.join(scratch, name)]
    golden = tiny_checkpoint.write(source, folders[0])
    if os.path.exists(os.path.join(source, "config.legacy.json")):
        folders.append(os.path.join(scratch, f"{name}.legacy"))
        tiny_checkpoint.write(source, folders[1], "config.legacy.json")
    return golden, TINY_RANKS, folders


def check_model(tools, name, scratch):
    golden, ranks, (model, *legacy) = models_of(name, scratch)
    said = []
    for dtype in golden.get("dtypes") or [golden["dtype"]]:
        for profile in PROFILES:
            hashes = None
            # The legacy names once: they are read before dtypes and profiles matter.
            old, legacy = legacy, []
            for folder, tp in [(model, tp) for tp in ranks[profile]] + [(folder, 1) for folder in old]:
                try:
                    hashes, text = check_layout(tools, golden, folder, (profile, dtype, tp), scratch, hashes)
                except Failed as failure:
                    raise Failed(f"{os.path.basename(folder)} {profile} {dtype} tp {tp}: {failure}") from None
                said += [f"{profile} {dtype}: {text}"] if text else []
    return "; ".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--only", help="this checkpoint")
    options = parser.parse_args()
    tools = Tools(options.bin)
    names = sorted(n for n in os.listdir(HERE) if os.path.exists(os.path.join(HERE, n, "golden.json")))
    if options.only:
        names = [options.only]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, result in in_parallel(names, lambda name: check_model(tools, name, scratch)):
            failed += isinstance(result, Failed)
            print(f"{name}: {'FAILED: ' if isinstance(result, Failed) else ''}{result}", flush=True)
    print(f"{len(names) - failed} of {len(names)} checkpoints as transformers says")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
