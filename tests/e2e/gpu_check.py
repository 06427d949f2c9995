"""scripts/gpu-check.sh on an emulated GPU: its table where all holds, and where something does not.

    python3 gpu_check.py --bin build/cli
"""

import json
import os
import re
import subprocess

from harness import Workplace, check, check_equal, parse_arguments, run_cases, run_main

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "scripts")
ROW = re.compile(r"(\S.*?) {2,}(ok|measured|emulated|not there|FAILED) +(?:([\d.]+) s)? +(.*)")
ROWS = [
    "wrappers' conformance", "kernels = reference", "products of fast numerics", "exact = CPU's hash, graphs on",
    "exact = CPU's hash, graphs off", "graph = eager", "two GPUs (staged) = CPU's hash",
    "two GPUs (nccl) = CPU's hash", "two GPUs (ipc) = CPU's hash", "fast numerics: within the bound",
    "fast numerics: <= 0.03 of the RMS", "the bundled model over HTTP", "refused: a device not there",
    "refused: no device visible", "refused: too little memory", "two ranks on one device (ipc)", "failing: rank 0 killed",
    "failing: rank 1 killed", "failing: mrs-exec killed", "failing: a client that goes",
    "failing: too little memory free", "tiny fast: start", "tiny fast: decode, batch 3", "tiny fast: prompt of 40",
    "tiny fast: bf16 of zeros", "tiny fast: batch 3 >= 0 % of copy", "tiny fast: 40 >= 100 % of GEMM",
    "tiny fast: captures < 10 s", "tiny pair2: start", "tiny pair2: decode, batch 1", "tiny pair2: decode, batch 3",
    "tiny pair2: prompt of 40", "tiny pair2: bf16 of zeros", "tiny pair2: batch 1 >= 70 % of copy",
    "tiny pair2: 40 >= 0 % of GEMM", "tiny pair2: captures < 10 s", "tiny pair2: no kernel early",
]  # fmt: skip
# What a program that compares kernels says of a device where a kernel differs.
CUDA_CHECK = """#!/bin/sh
echo 'A GPU, sm_90, 132 multiprocessors'
echo 'wrappers            5 cases  what the emulator has them mean'
[ "$1" = --wrappers ] && exit 0
echo 'rms_norm           12 cases  the CPU'"'"'s bits'
echo 'embed              10 cases  1 DIFFER: rows 3, byte 4 of 8'
echo 'copy       4250 GB/s read and written'
echo 'bus        26.4 GB/s from pinned memory'
exit 1
"""


def script(name, *arguments):
    done = subprocess.run([os.path.join(SCRIPTS, name), *arguments], capture_output=True, text=True, timeout=400)
    return done.returncode, done.stdout, done.stderr


def table(text):
    """{part: (result, what)} of the rows, in order."""
    found = [match for line in text.splitlines() if (match := ROW.match(line))]
    return {match[1]: (match[2], match[4]) for match in found}


def failed(rows):
    return [part for part, (result, _) in rows.items() if result == "FAILED"]


def all_holds(work, plans):
    code, out, err = script("gpu-check.sh", "--plans", plans, "--bin", work.tools_folder, "--emulated")
    rows = table(out)
    check_equal((code, failed(rows), list(rows)), (0, [], ROWS), f"the table\n{out}{err}")
    check(out.startswith("gpu-check (emulated: mrs-exec-emulated, no GPU)"), f"its first line\n{out}")
    results = {result for result, _ in rows.values()}
    check_equal(results, {"emulated", "not there"}, f"results\n{out}")
    check_equal(rows["graph = eager"][1], "the same bits of all 4", "graphs")
    for rank in (0, 1):
        said = rows[f"failing: rank {rank} killed"][1]
        check(said.startswith(f"rank {rank} was killed by signal 9 (Killed) a"), f"who is named\n{out}")
    check(re.fullmatch(r"captured \d+ graphs in \d+\.\d+ s", rows["tiny pair2: captures < 10 s"][1]), f"graphs\n{out}")
    off = re.fullmatch(r"of an emulated GPU: ([\d.]+) of the RMS", rows["fast numerics: <= 0.03 of the RMS"][1])
    check(off and 0 < float(off[1]) < 0.0625, f"how far fast numerics are off\n{out}")


def others_go_on(work, plans):
    """As if it were a real GPU, whose kernels differ, with an answer and a plan that are not as they should be."""
    programs = work.path("programs")
    os.makedirs(programs)
    emulated = os.path.join(os.path.abspath(work.tools_folder), "mrs-exec-emulated")
    os.symlink(emulated, os.path.join(programs, "mrs-exec"))
    compare = work.path("cuda_check")
    multiplies = os.path.join(os.path.abspath(work.tools_folder), "..", "runtime/rank/cuda/products_check_emulated")
    multiply = work.path("products_check")
    for path, text in [(compare, CUDA_CHECK), (multiply, f"#!/bin/sh\nexec '{multiplies}' --small\n")]:
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)
    with open(os.path.join(plans, "exact", "cases.json")) as file:
        cases = json.load(file)[:2]
    cases[1]["hashes"][0] = "0" * 64
    with open(os.path.join(plans, "exact", "cases.json"), "w") as file:
        json.dump(cases, file)
    with open(os.path.join(plans, "http", "gpu.mrsplan"), "r+b") as file:
        file.truncate(1000)
    code, out, err = script("gpu-check.sh", "--plans", plans, "--bin", programs, "--cuda-check", compare,
                            "--products-check", multiply)  # fmt: skip
    rows = table(out)
    # An emulated GPU knows no CUDA_VISIBLE_DEVICES, has every device, and nothing of its memory is another process's.
    check_equal((code, list(rows)), (1, ROWS), f"the table\n{out}{err}")
    check_equal(
        failed(rows),
        ["kernels = reference", "exact = CPU's hash, graphs on", "exact = CPU's hash, graphs off",
         "fast numerics: <= 0.03 of the RMS", "the bundled model over HTTP", "refused: a device not there",
         "refused: no device visible", "failing: too little memory free", "tiny fast: 40 >= 100 % of GEMM",
         "tiny pair2: batch 1 >= 70 % of copy"],
        f"what fails\n{out}",
    )  # fmt: skip
    check("embed              10 cases  1 DIFFER: rows 3, byte 4 of 8" in out, f"which kernel differs\n{out}")
    check_equal(rows["wrappers' conformance"], ("ok", "wrappers 5 cases what the emulator has them mean"), "wrappers")
    check("0000000000000000..." in out and cases[1]["name"] in out, f"which hash differs\n{out}")
    check(rows["tiny pair2: decode, batch 1"][1].endswith("% of the copy"), f"beside the copy\n{out}")
    check(
        re.fullmatch(
            r"[\d.]+ GB of weights, [\d.]+ GB/s until /health says 200; files alone [\d.]+ GB/s, "
            r"pinned memory to the device 26\.4 GB/s",
            rows["tiny pair2: start"][1],
        ),
        f"how weights came\n{out}",
    )
    early = rows["tiny pair2: no kernel early"][1]
    check(early.startswith("decode, batch 1: ") and early.endswith("% of the copy"), f"beside the copy\n{out}")
    check(rows["tiny pair2: prompt of 40"][1].endswith("% of the GEMM"), f"beside the product\n{out}")
    check_equal(rows["tiny fast: batch 3 >= 0 % of copy"], ("ok", "0.0 % of the copy"), "a rate that is met")
    check(rows["tiny pair2: batch 1 >= 70 % of copy"][1] == "0.0 % of the copy", f"a rate that is not\n{out}")
    check(out.rstrip().endswith("10 failed"), f"its last line\n{out}")


def time_is_up(work, plans):
    emulated = ["--bin", work.tools_folder, "--emulated"]
    code, out, err = script("gpu-check.sh", "--plans", plans, *emulated, "--seconds", "0.2")
    rows = table(out)
    check_equal(code, 1, f"its exit code\n{out}{err}")
    check("exact = CPU's hash, graphs off" in failed(rows), f"what was not run fails\n{out}")
    last = ("FAILED", "not run: the eight minutes are over")
    check_equal(rows["tiny pair2: no kernel early"], last, f"the last\n{out}")


def mistakes(work, plans):
    code, _, err = script("gpu-check.sh", "--plans", work.path("none"))
    check_equal((code, err.count("gpu-check-plans.sh makes it")), (1, 1), f"no folder: {err}")
    code, _, err = script("gpu-check.sh", "--plans", plans, "--bin", work.path("none"))
    check_equal((code, err.count("give the folder of mrs-exec with --bin DIR")), (1, 1), f"no program: {err}")
    code, _, err = script("gpu-check-plans.sh", plans, "--bin", work.tools_folder)
    check_equal((code, err), (1, f"gpu-check-plans: {plans} is there already; give a folder that is not\n"), "a folder")


def main():
    options = parse_arguments(__doc__)
    with Workplace("gpu_check", options.bin) as work:
        work.tools_folder = options.bin
        plans = work.path("plans")
        code, out, err = script("gpu-check-plans.sh", plans, "--bin", options.bin, "--small")
        check_equal(code, 0, f"gpu-check-plans.sh\n{out}{err}")
        cases = [  # the last one spoils the plans
            ("all holds", lambda: all_holds(work, plans)),
            ("time is up", lambda: time_is_up(work, plans)),
            ("mistakes", lambda: mistakes(work, plans)),
            ("others go on", lambda: others_go_on(work, plans)),
        ]
        return run_cases(cases, 1, options.only)


if __name__ == "__main__":
    run_main(main)
