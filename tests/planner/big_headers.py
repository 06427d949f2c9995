"""Plans checkpoints of 70 and 405 billion parameters from their headers alone, and says what that costs: on 8 and 16
ranks, and on 64 in 8 stages.

    tests/planner/big_headers.py --bin build/cli             # test: all plans build, verify, and stay small
    tests/planner/big_headers.py --bin build/cli --measure   # figures: against `mrs-plan --version`, in one run
    tests/planner/big_headers.py --bin build/cli --assert    # the same, and exit code 1 past the bounds
    tests/planner/big_headers.py --bin build/cli --write DIR # nothing but the folders, for planner/bench_erasure.cc

Figures are medians of alternating runs; never a timed test, as another program on the machine would fail it.
"""

import os
import statistics
import sys
import tempfile
import time

import plan_tools

MAX_PLAN_BYTES = 2 << 20
MAX_TIME_RATIO = {"70B": 3.0, "405B-64": 5.0}  # of what is measured, to the time of --version
MAX_EXTRA_BYTES = 60e6
RUNS = 7
# Name, shape, files, ranks of a stage, stages, memory of a rank.
CASES = [
    ("70B", plan_tools.LLAMA_70B, 30, 8, 1, "400GiB"),
    ("405B", plan_tools.LLAMA_405B, 191, 16, 1, "400GiB"),
    ("405B-64", plan_tools.LLAMA_405B, 191, 8, 8, "400GiB"),
]


def command(tools, folder, tp, pp, memory, out):
    layout = ["--tp", str(tp), "--pp", str(pp)]
    return [tools.plan, "build", folder, *layout, "--memory", memory, "--numerics", "pair2", "-o", out]


def cost(argv):
    """(seconds, peak bytes) of one run that must succeed."""
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(argv[0], argv)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(argv)}: wait status {status}")
    return time.monotonic() - begin, usage.ru_maxrss * 1024


def measure(tools, name, argv):
    """Alternating runs, so that both meet the same machine; the figures as one line. True within both bounds."""
    base, plan = [], []
    for _ in range(RUNS):
        base.append(cost([tools.plan, "--version"]))
        plan.append(cost(argv))
    (base_s, base_b), (plan_s, plan_b) = ([statistics.median(column) for column in zip(*rows)] for rows in (base, plan))
    print(
        f"{name}, {RUNS} runs: {plan_s * 1e3:.0f} ms, {plan_s / base_s:.2f} of --version's {base_s * 1e3:.0f} ms "
        f"(at most {MAX_TIME_RATIO[name]:.0f}); {plan_b / 1e6:.0f} MB, "
        f"{(plan_b - base_b) / 1e6:+.0f} MB over its {base_b / 1e6:.0f} "
        f"(at most +{MAX_EXTRA_BYTES / 1e6:.0f})"
    )
    return plan_s <= MAX_TIME_RATIO[name] * base_s and plan_b - base_b <= MAX_EXTRA_BYTES


def main():
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="print time and memory of two of the plans")
    parser.add_argument("--assert", action="store_true", dest="check", help="fail past the bounds; implies --measure")
    parser.add_argument("--write", metavar="DIR", help="write the folders there, and do nothing else")
    arguments = parser.parse_args()
    tools = plan_tools.Tools(arguments.bin)
    if arguments.write:
        for name, shape, files, _, _, _ in CASES:
            plan_tools.write_checkpoint(os.path.join(arguments.write, name), shape, files)
        return
    with tempfile.TemporaryDirectory(prefix="mrs_big_") as scratch:
        for name, shape, files, tp, pp, memory in CASES:
            folder, out = os.path.join(scratch, name), os.path.join(scratch, name + ".mrsplan")
            plan_tools.write_checkpoint(folder, shape, files)
            plan_tools.checked(command(tools, folder, tp, pp, memory, out))
            plan_tools.checked([tools.plan, "verify", out])
            size = os.path.getsize(out)
            print(f"{name}, {files} files, tp {tp}, {pp} stages: plan of {size} bytes (at most {MAX_PLAN_BYTES})")
            if size > MAX_PLAN_BYTES:
                sys.exit(f"{name}: the plan is {size - MAX_PLAN_BYTES} bytes too large")
        if arguments.measure or arguments.check:
            out, good = os.path.join(scratch, "x.mrsplan"), True
            for name, _, _, tp, pp, memory in CASES:
                if name in MAX_TIME_RATIO:
                    good &= measure(tools, name, command(tools, os.path.join(scratch, name), tp, pp, memory, out))
            if arguments.check and not good:
                sys.exit("past the bounds")


if __name__ == "__main__":
    main()
