"""How long mrs-exec takes from its start until /health says 200, on the bundled model.

    python3 bench/ready_time.py --bin build/cli [--starts 10]

Prints the median, the best and the worst of so many starts for tp 1, 2 and 8, and exits with 1 where a median is not
under half a second. Beside it: what starting the program alone takes (--version), as the floor.
"""

import functools
import http.client
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import MINI, Run, Workplace, check, parse_arguments, run_main  # noqa: E402

BOUND_S = 0.5


def one_start(work, tp):
    """Seconds from the start of the process until the first /health that says 200."""
    plan = work.plan(MINI, tp=tp)
    started = time.monotonic()
    run = Run(work, "--plan", plan, "--model", MINI, "--port", "0", "--quiet")
    try:
        port = int(run.said(r"^serving +http://127\.0\.0\.1:(\d+)/v1$")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while True:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return time.monotonic() - started
            check(response.status == 503, f"/health says {response.status}\n  {run.described()}")
            time.sleep(0.001)
    finally:
        run.clean_up()


def version_only(work):
    """Seconds of a run that does nothing."""
    started = time.monotonic()
    subprocess.run([work.tools.exec_program, "--version"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def main():
    options = parse_arguments(__doc__, ("--starts", {"type": int, "default": 10}))
    late = []
    with Workplace("ready", options.bin) as work:
        print(f"{'':12}{'median':>9}{'best':>9}{'worst':>9}   milliseconds, {options.starts} starts, "
              f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        starts = [(f"tp {tp}", functools.partial(one_start, tp=tp)) for tp in (1, 2, 8)]
        for name, measure in [("--version", version_only), *starts]:
            times = [measure(work) for _ in range(options.starts)]
            median = statistics.median(times)
            print(f"{name:12}{1e3 * median:9.0f}{1e3 * min(times):9.0f}{1e3 * max(times):9.0f}", flush=True)
            if median >= BOUND_S:
                late.append(name)
    if late:
        print(f"not under {BOUND_S} s: {', '.join(late)}")
    return 1 if late else 0


if __name__ == "__main__":
    run_main(main)
