"""How fast weights are loaded with their digests checked, beside the same load without.

    python3 bench/loading.py --bin build/cli [--gib 2] [--runs 7] [--tp 1] [--threads 2]

A checkpoint of random numbers is written once and read once, so that all runs find it in the page cache. Then both plans
are loaded in turns; what is timed is mrs-exec's own "ready in" less that of a plan of one layer, both medians. Prints
best and median of either and their ratio, and exits with 1 where the checked load has less than 85 % of the unchecked
rate. With --tp 2 and more, what ranks share is compared in the unchecked runs, too.
"""

import os
import re
import resource
import statistics
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import Workplace, parse_arguments, run_main, write_zeros_model  # noqa: E402

BOUND = 0.85
LAYER_BYTES = 30 << 20  # of write_zeros_model's layers, about


def write_model(folder, layers):
    """Small random numbers where the zeros model has a hole: a hole is read faster than a file."""
    write_zeros_model(folder, layers)
    path = os.path.join(folder, "model.safetensors")
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        begin = 8 + struct.unpack("<Q", file.read(8))[0]
        block = bytearray(os.urandom(1 << 20))
        block[1::2] = bytes([0x3C]) * (len(block) // 2)  # the upper byte of bf16 numbers of about 1/100
        for at in range(begin, size, len(block)):
            file.seek(at)
            file.write(block[:min(len(block), size - at)])
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass
    return size - begin


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def load_once(work, plan, model, threads):
    """(seconds, seconds of CPUs) of one start that answers nothing more than it must."""
    before = cpu_seconds()
    run = subprocess.run([work.tools.exec_program, "--plan", plan, "--model", model, "--threads", str(threads), "--prompt-ids",
                          "1", "--max-tokens", "1", "--json"], capture_output=True, text=True)
    match = re.search(r"^ready +in ([0-9.]+) s$", run.stderr, re.M)
    if run.returncode != 0 or not match:
        raise SystemExit(f"mrs-exec ended with {run.returncode}: {run.stderr[-500:]}")
    return float(match[1]), cpu_seconds() - before


def build(work, model, tp, *more):
    path = work.path("plans", f"{os.path.basename(model)}-{tp}-{len(more)}.mrsplan")
    work.tools.call([work.tools.plan_program, "build", model, "--tp", str(tp), "--max-len", "64", "--max-seqs", "1",
                     "--numerics", "pair2", "--memory", "64GiB", *more, "-o", path])
    return path


def main():
    options = parse_arguments(__doc__, ("--gib", {"type": float, "default": 2}), ("--runs", {"type": int, "default": 7}),
                              ("--tp", {"type": int, "default": 1}), ("--threads", {"type": int, "default": 2}))
    with Workplace("loading", options.bin) as work:
        small, large = os.path.join(work.folder, "small"), os.path.join(work.folder, "large")
        write_model(small, 1)
        size = write_model(large, max(1, int(options.gib * (1 << 30) / LAYER_BYTES)))
        base = build(work, small, options.tp)
        plans = {"unchecked": build(work, large, options.tp),
                 "checked": build(work, large, options.tp, "--hash-weights", "xxh3")}
        times = {"base": [], **{name: [] for name in plans}}
        for _ in range(options.runs):
            times["base"].append(load_once(work, base, small, options.threads))
            for name, plan in plans.items():
                times[name].append(load_once(work, plan, large, options.threads))
        start, start_cpu = (statistics.median(column) for column in zip(*times["base"]))
        print(f"{size / 1e9:.2f} GB, tp {options.tp} x {options.threads} threads, {options.runs} runs in turns, "
              f"{start:.2f} s of them the start")
        rates = {}
        for name in plans:
            seconds, cpu = zip(*times[name])
            rates[name] = (size / 1e9 / (min(seconds) - start), size / 1e9 / (statistics.median(seconds) - start))
            print(f"{name:10} best {rates[name][0]:.2f} GB/s, median {rates[name][1]:.2f} GB/s, "
                  f"{min(cpu) - start_cpu:.2f} s of CPUs")
        best, median = (rates["checked"][i] / rates["unchecked"][i] for i in (0, 1))
        print(f"checked has {100 * best:.0f} % of the unchecked rate (best), {100 * median:.0f} % (median); "
              f"at least {100 * BOUND:.0f} % is asked for")
        return 0 if best >= BOUND else 1


if __name__ == "__main__":
    run_main(main)
