"""Compares mrs-exec with what transformers said (golden.json beside each checkpoint), on 1, 2 and 4 ranks.

    python3 check_truth.py --bin build/cli [--only qwen3_f32]

f32: 64 greedy tokens equal for every prompt; every kept logit within 1e-4 of the logits' RMS; every token's logprob within the same.
bf16: at each kept step, on the truth's own tokens, our logits' RMS distance from the f32 truth is at most twice that of
transformers in bf16. Both profiles. More ranks must give the bits of one rank, so the distances are judged once.
"""

import argparse
import base64
import hashlib
import json
import math
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "exactness"))
from mrs_tools import PROFILES, Failed, Tools, in_parallel, read_f32, read_logits  # noqa: E402

F32_TOLERANCE = 1e-4  # of the logits' RMS: sums of at most 129 x 112 products in two orders
BF16_FACTOR = 2.0     # ours over transformers'
RANKS = (1, 2, 4)


def unpack(text):
    return read_f32(base64.b64decode(text))


def rms(values):
    return math.sqrt(sum(v * v for v in values) / len(values))


def distance(ours, truth):
    return [a - b for a, b in zip(ours, truth)]


def check(condition, message):
    if not condition:
        raise Failed(message)


def check_f32(golden, answers, logits, note):
    """answers: 64 tokens a prompt. logits(i): rows of prompt i."""
    worst = 0.0
    for i, (case, answer) in enumerate(zip(golden["cases"], answers)):
        where = f"prompt {i} ({len(case['prompt'])} tokens)"
        equal = sum(1 for _ in iter_equal(answer["token_ids"], case["tokens"]))
        check(answer["token_ids"] == case["tokens"], f"{where}: tokens differ from step {equal} on")
        bound = F32_TOLERANCE * case["logits_rms"]
        for step, (ours, truth) in enumerate(zip(answer["logprobs"], unpack(case["logprobs"]))):
            worst = max(worst, abs(ours - truth) / case["logits_rms"])
            check(abs(ours - truth) <= bound, f"{where} step {step}: logprob {ours}, truth {truth}, bound {bound}")
        if logits is None:
            continue
        rows = logits(i)
        check(len(rows) == len(case["tokens"]), f"{where}: {len(rows)} rows of logits for {len(case['tokens'])} tokens")
        for step, packed in case["logits"].items():
            off = max(abs(d) for d in distance(rows[int(step)], unpack(packed)))
            worst = max(worst, off / case["logits_rms"])
            check(off <= bound, f"{where} step {step}: logits off by {off}, bound {bound}")
    return note(f"within {worst:.1e} of the RMS")


def iter_equal(a, b):
    for x, y in zip(a, b):
        if x != y:
            return
        yield x


def bf16_contexts(golden):
    """(case, step, prompt followed by the truth's first tokens) for every kept step."""
    return [(case, step, case["prompt"] + case["tokens"][:int(step)]) for case in golden["cases"] for step in case["logits"]]


def check_bf16(contexts, logits, note):
    if logits is None:
        return note("NOT CHECKED")
    worst = 0.0
    ours_squared = theirs_squared = 0.0
    for i, (case, step, _) in enumerate(contexts):
        error = distance(logits(i)[0], unpack(case["logits"][step]))
        theirs = case["bf16_rms_error"][step]
        ours_squared += rms(error) ** 2
        theirs_squared += theirs ** 2
        worst = max(worst, rms(error) / theirs)
        check(rms(error) <= BF16_FACTOR * theirs,
              f"prompt of {len(case['prompt'])} tokens, step {step}: RMS distance {rms(error)}, transformers' {theirs}")
    return note(f"distance {math.sqrt(ours_squared / theirs_squared):.2f} of transformers' in bf16, at worst {worst:.2f}")


def check_model(tools, name, scratch):
    folder = os.path.join(HERE, name)
    with open(os.path.join(folder, "golden.json")) as file:
        golden = json.load(file)
    exact = golden["dtype"] == "f32"
    if exact:
        prompts, max_tokens = [case["prompt"] for case in golden["cases"]], len(golden["cases"][0]["tokens"])
    else:
        contexts = bf16_contexts(golden)
        prompts, max_tokens = [ids for _, _, ids in contexts], 1
    said = []
    for profile in PROFILES:
        hashes = None
        for tp in RANKS:
            where = f"{name} {profile} tp {tp}"
            plan = tools.build(folder, f"{scratch}/{name}-{profile}-{tp}.mrsplan", tp=tp, numerics=profile)
            out = f"{scratch}/{name}-{profile}-{tp}.logits"
            try:
                answers = tools.run(plan, folder, prompts, max_tokens, logits_out=out if tools.has_logits_out() else None)
                found = [answer["logits_sha256"] for answer in answers]
                check(hashes is None or hashes == found, f"logits_sha256 are not those of one rank: {found[0]}, {hashes and hashes[0]}")
                if hashes is not None:
                    continue
                hashes = found

                def logits(i):
                    rows = read_logits(out, i, len(prompts), golden["vocab"])
                    data = b"".join(row.tobytes() for row in rows)
                    check(hashlib.sha256(data).hexdigest() == found[i], f"prompt {i}: logits_sha256 is of other logits")
                    return rows

                def note(text):
                    said.append(f"{profile}: {text}")

                if not tools.has_logits_out():
                    logits = None
                if exact:
                    check_f32(golden, answers, logits, note)
                else:
                    check_bf16(contexts, logits, note)
            except Failed as failure:
                raise Failed(f"{where}: {failure}") from None
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
    print(f"{len(names) - failed} of {len(names)} checkpoints as transformers says, on {RANKS} ranks")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
