#!/usr/bin/env python3
"""Runs the fuzz targets over so many inputs, from seeds and by the words of their grammars; any finding fails.

    cmake --preset asan && cmake --build --preset asan
    tests/fuzz/run.py --inputs 5000000                        # all targets; four fifths for those of outside text
    tests/fuzz/run.py --inputs 1000000 --targets nccl_xml     # one
    tests/fuzz/run.py --inputs 20000 --no-seeds               # what is reached without them, to compare
    build-asan/fuzz/fuzz_nccl_xml build-asan/fuzz/findings/nccl_xml-crash-...   # a finding again

A finding is a crash, what a sanitizer says, a leak, an input that takes more than --cpu-seconds of processor time, and
one that needs more than --memory-mib. Its input is kept. Two runs with one --seed and one --jobs make the same inputs
of a target, as long as --seconds does not end them.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import seeds

# Formats that people and other programs write: they share four fifths of all inputs.
FIRST = ("cluster_file", "nccl_xml", "smi_matrix", "ring_config")
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=8:allocator_may_return_null=0:detect_leaks=1"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(seeds.SOURCE, "build-asan", "fuzz"), help="folder of fuzz_*")
    parser.add_argument("--inputs", type=int, required=True, help="inputs in all")
    parser.add_argument("--seconds", type=int, default=0, help="end earlier, after about so many seconds in all")
    parser.add_argument("--targets", nargs="*", help="names without fuzz_; default: all that are built")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0x7FFFFFFF)
    parser.add_argument("--cpu-seconds", type=float, default=1.0, help="most processor time of one input")
    parser.add_argument("--memory-mib", type=int, default=256, help="most that one input may add to a run")
    parser.add_argument("--no-seeds", action="store_true")
    return parser.parse_args()


def shares(inputs, names):
    """Of each target. One that is among FIRST has its part of four fifths, or of all where there is no other."""
    first = [name for name in names if name in FIRST]
    others = [name for name in names if name not in FIRST]
    whole = inputs * 4 // 5 if first and others else inputs
    return {name: -(-(whole if name in FIRST else inputs - whole * bool(first)) // len(first if name in FIRST else others))
            for name in names}  # fmt: skip


def number(pattern, log):
    found = re.findall(pattern, log)
    return int(found[-1]) if found else 0


def cpu_seconds(command):
    """Processor time of a run of one input alone, less that of one of nothing."""
    def spent(arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return spent(command) - spent(command[:1] + [os.devnull])


class Run:
    def __init__(self, options, name, inputs, seconds):
        self.options, self.name, self.inputs, self.seconds = options, name, inputs, seconds
        self.binary = os.path.join(options.bin, f"fuzz_{name}")
        self.findings = os.path.join(options.bin, "findings")

    def __call__(self):
        with tempfile.TemporaryDirectory(prefix="mrs_fuzz_") as folder:
            count = seeds.make(self.name, folder)
            corpus = os.path.join(folder, "corpus")
            os.makedirs(corpus)
            prefix = os.path.join(self.findings, f"{self.name}-")
            target = seeds.TARGETS.get(self.name, seeds.Target())
            command = [
                self.binary,
                corpus,
                *([] if self.options.no_seeds else [os.path.join(folder, "seeds")]),
                f"-runs={self.inputs}",
                f"-seed={self.options.seed}",
                f"-max_len={target.max_len}",
                f"-artifact_prefix={prefix}",
                f"-malloc_limit_mb={self.options.memory_mib}",
                f"-rss_limit_mb={self.options.memory_mib + 1024}",  # what the fuzzer and the sanitizer hold themselves
                "-timeout=60",  # by the clock, on a machine that may have other work: slow ones are measured again below
                "-report_slow_units=1",
                "-print_final_stats=1",
            ]
            if not self.options.no_seeds:
                command.append(f"-dict={os.path.join(folder, 'words.dict')}")
            if self.seconds:
                command.append(f"-max_total_time={self.seconds}")
            began = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, check=False)
            took = time.monotonic() - began
        log = done.stdout.decode("utf-8", "replace")
        wrong = "" if done.returncode == 0 else f"exit code {done.returncode}\n{log[-6000:]}"
        for path in glob.glob(glob.escape(prefix) + "slow-unit-*"):
            spent = cpu_seconds([self.binary, path])
            if spent > self.options.cpu_seconds:
                wrong += f"\n{path}: {spent:.1f} s of processor time; at most {self.options.cpu_seconds} are accepted"
            else:
                os.remove(path)
        executed = number(r"stat::number_of_executed_units:\s+(\d+)", log)
        if not wrong and executed == 0:
            wrong = f"no input was executed\n{log[-2000:]}"
        if not wrong and not self.seconds and executed < self.inputs:
            wrong = f"{executed} inputs were executed, {self.inputs} were asked for\n{log[-2000:]}"
        at_start, at_end = (number(rf"{word}\s+cov: (\d+)", log) for word in ("INITED", "DONE"))
        corpus, peak = number(r"DONE\s.*corp: (\d+)/", log), number(r"stat::peak_rss_mb:\s+(\d+)", log)
        used = 0 if self.options.no_seeds else count
        print(
            f"{self.name:<15} {executed:>9} inputs in {took:6.0f} s; {used:>4} seeds reach {at_start:>5} edges, "
            f"all inputs {at_end:>5}; corpus {corpus:>5}; peak {peak} MiB",
            flush=True,
        )
        if wrong:
            print(f"{self.name}: FINDING: {wrong}", flush=True)
        return executed, bool(wrong)


def main():
    options = arguments()
    built = sorted(os.path.basename(path)[len("fuzz_") :] for path in glob.glob(os.path.join(options.bin, "fuzz_*")))
    names = options.targets or built
    missing = [name for name in names if name not in built]
    if missing or not names:
        sys.exit(f"run.py: not in {options.bin}: {' '.join(missing) or 'any fuzz target'}; built are: {' '.join(built)}")
    os.makedirs(os.path.join(options.bin, "findings"), exist_ok=True)
    print(f"seed {options.seed}, {len(names)} targets, {options.jobs} at once", flush=True)
    of_each = shares(options.inputs, names)
    # Of seconds as of inputs: so many in all, whatever the number of targets.
    seconds = {
        name: max(1, options.seconds * options.jobs * of_each[name] // sum(of_each.values())) if options.seconds else 0
        for name in names
    }
    names.sort(key=lambda name: -of_each[name])
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        done = list(pool.map(lambda name: Run(options, name, of_each[name], seconds[name])(), names))
    failed = sum(wrong for _, wrong in done)
    print(f"{sum(executed for executed, _ in done)} inputs, {failed} targets with a finding", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
