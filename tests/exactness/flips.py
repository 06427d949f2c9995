"""A plan with a flipped byte and a right trailer is refused, or accepted and run to the end.

    python3 flips.py --bin build/cli --sample 1500 --seed 1   what CI runs
    python3 flips.py --bin build/cli --all                    every byte of the plan: a minute

The trailer (SHA-256 of all before it) is computed anew after each flip, so the flip reaches the verifier and, where
that accepts it, the ranks. mrs-exec must exit with 0, or with 1 and one line that says why; no signal, no hang, no
other code. Without a new trailer every flip must be refused, which a part of them shows here and plans/ shows for all.

A plan that gives other logits must not be proved to be the model's: `mrs-plan verify --model` refuses it.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time

import random_checkpoint
from mrs_tools import Failed, Tools, in_parallel, limit_memory

TRAILER_BYTES = 32
TIMEOUT_S = 20
# What mrs-exec says of a rank that died of it.
DEATHS = ("killed by signal", "exited with status", "a rank was lost", "no answer")
MASKS = (0xFF, 0x01, 0x80, 0x10)
SEED = 11  # of the model: one layer, 8 heads


def flip(plan, at, mask, trailer):
    """The plan with byte `at` changed; `trailer`: with its hash made right again."""
    body = bytearray(plan[:-TRAILER_BYTES])
    body[at] ^= mask
    return bytes(body) + (hashlib.sha256(body).digest() if trailer else plan[-TRAILER_BYTES:])


def run_once(argv):
    """(kind, detail): "refused", "ran", or "WRONG" with what was seen."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "WRONG", f"no end after {TIMEOUT_S} s"
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0:
        return ("ran", done.stdout) if done.stdout.strip() else ("WRONG", "exit code 0 and no answer")
    if done.returncode != 1:
        return "WRONG", f"exit code {done.returncode}: {said[-300:]}"
    if not said.startswith("mrs-exec: ") or "\n" in said:
        return "WRONG", f"exit code 1 without one line that says why: {said[-500:]!r}"
    if any(sign in said for sign in DEATHS):
        return "WRONG", said
    return "refused", said


def bits(answer):
    """What must not differ of an answer in JSON; None of no answer."""
    fields = json.loads(answer) if answer else {}
    return fields.get("token_ids"), fields.get("logits_sha256")


def run(tools, plan, model, right=None):
    """First for all logits, then, where that ran, for candidates alone: the plan's two variants."""
    argv = tools.exec_argv(plan, model, [[1, 2, 3]], 2, transport="local")
    kind, detail = run_once(argv)
    if kind != "ran":
        return kind, detail
    others = run_once([a for a in argv if a != "--json"])
    if others[0] != "ran":
        return others
    if right is None or (bits(detail), others[1]) == right:
        return kind, (bits(detail), others[1])
    proved = subprocess.run([tools.plan_program, "verify", plan, "--model", model], capture_output=True)
    if proved.returncode == 0:
        return "WRONG", "proved to be the model's, and it gives other logits or another text"
    return "ran to other logits, not proved", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--mask", type=lambda text: int(text, 0), default=0xFF, help="bits that --all flips [0xff]")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sample", type=int, metavar="N")
    what.add_argument("--all", action="store_true")
    options = parser.parse_args()
    tools, rng, started = Tools(options.bin, timeout=TIMEOUT_S / 2), random.Random(options.seed), time.monotonic()
    tally, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as scratch:
        model = f"{scratch}/model"
        config, dtype = random_checkpoint.write_checkpoint(SEED, model)
        with open(tools.build(model, f"{scratch}/whole.mrsplan", tp=options.tp, max_len=32), "rb") as file:
            plan = file.read()
        body_bytes = len(plan) - TRAILER_BYTES
        print(f"{random_checkpoint.describe(config, dtype)}, tp {options.tp}: a plan of {len(plan)} bytes")
        kind, right = run(tools, f"{scratch}/whole.mrsplan", model)
        if kind != "ran":
            print("FAILED: the plan itself does not run")
            return 1
        if options.all:
            flips = [(at, options.mask, True) for at in range(body_bytes)]
        else:
            flips = [(at, rng.choice(MASKS), True) for at in sorted(rng.sample(range(body_bytes), options.sample))]
        flips += [(at, rng.choice(MASKS), False) for at in rng.sample(range(body_bytes), 20)]
        limit_memory(16)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        def try_flip(case):
            at, mask, trailer = case
            path = f"{scratch}/flip-{at}-{mask}-{trailer}.mrsplan"
            with open(path, "wb") as file:
                file.write(flip(plan, at, mask, trailer))
            try:
                kind, detail = run(tools, path, model, right)
            finally:
                os.unlink(path)
            if not trailer and kind != "refused" and kind != "WRONG":
                return "WRONG", "accepted with a wrong trailer"
            return kind, detail

        for case, result in in_parallel(flips, try_flip):
            at, mask, trailer = case
            kind, detail = ("WRONG", str(result)) if isinstance(result, Failed) else result
            tally[kind, trailer] += 1
            if kind == "WRONG":
                wrong += 1
                if wrong <= 20:
                    print(
                        f"WRONG byte {at} ^ {mask:#04x}{'' if trailer else ' without a new trailer'}: {detail}",
                        flush=True,
                    )
    for (kind, trailer), count in sorted(tally.items()):
        print(f"{'trailer made right' if trailer else 'trailer left wrong'}: {count} {kind}")
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
