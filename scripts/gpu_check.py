"""What holds on this machine's GPU, a row each: see gpu-check.sh. Python's standard library alone.

A part has a bound of its own and never more than what is left of the whole; a row that cannot be run for want of time
fails.
"""

import argparse
import concurrent.futures
import json
import math
import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(REPOSITORY, "tests", "exactness"))
import cuda as exactness  # noqa: E402
from bounded_run import Clock, Failed, NotThere, Server, run  # noqa: E402
from gpu_check_benches import Bench  # noqa: E402
from gpu_check_failures import Failures  # noqa: E402
from mrs_tools import read_logits  # noqa: E402
from zero_model import write_zeros_for  # noqa: E402

WHOLE_S = 470  # of everything; eight minutes with what the interpreter and the ends of processes take
COLLECTIVES = {  # of two GPUs
    "staged": "sums through the host's memory",
    "nccl": "by NCCL",
    "ipc": "sums by each other's memory",
}
SHARED = "shared"  # two ranks on one GPU, by ipc
FAST_BOUND = 0.0625  # of a row's RMS: runtime/rank/cuda/README.md
FAST_ASKED = 0.03  # likewise, of a device


class Check:
    def __init__(self, options):
        self.options = options
        # An emulated GPU is a busy host's, which has other things to do.
        self.clock = Clock(options.seconds, 5 if options.emulated else 1)
        self.program = os.path.join(options.bin, "mrs-exec-emulated" if options.emulated else "mrs-exec")
        self.failures, self.hashes = 0, {}
        self.copy_rate = self.bus_rate = self.pack_rate = self.gemm_rate = self.fast_error = None  # of this run

    def plans(self, *parts):
        return os.path.join(self.options.plans, *parts)

    def read(self, *parts):
        with open(self.plans(*parts)) as file:
            return json.load(file)

    def row(self, part, result, seconds, what):
        if self.options.emulated and result in ("ok", "measured"):
            result = "emulated"
        first, *more = what.splitlines() or [""]
        print(f"{part:<36} {result:<9} {seconds:>7}  {first}", flush=True)
        for line in more:
            print(f"{'':<54}  {line}", flush=True)

    def part(self, name, work):
        """A row; what is measured within it has rows of its own before."""
        started = time.monotonic()

        def took():
            return f"{time.monotonic() - started:.1f} s"

        try:
            said = work()
            self.row(name, "ok", took(), said)
        except NotThere as why:
            self.row(name, "not there", "", str(why))
        except Failed as why:
            self.failures += 1
            self.row(name, "FAILED", took(), str(why))
        except Exception as why:  # a file that is not as it should be, or a bug here: the others go on
            self.failures += 1
            self.row(name, "FAILED", took(), f"{type(why).__name__}: {why}")

    def made(self, what, make):
        """Several parts, of what a folder of plans has; none, and a row that fails, where that is not as it should be."""
        try:
            return make()
        except (OSError, ValueError, KeyError) as why:
            self.failures += 1
            self.row(what, "FAILED", "", f"{type(why).__name__}: {why}")
            return []

    # The parts.

    def cuda_check(self, seconds, *arguments):
        """(exit code, lines, stderr)"""
        if not os.access(self.options.cuda_check, os.X_OK):
            raise Failed(f"no {self.options.cuda_check}; cmake --build build --target cuda_check, or --cuda-check FILE")
        code, out, err = run([self.options.cuda_check, *arguments], self.clock.left(seconds))
        return code, out.splitlines(), err

    def wrappers(self):
        if self.options.emulated:
            raise NotThere("of an emulated GPU: kernels_cuda_wrappers_test")
        code, lines, err = self.cuda_check(30, "--wrappers")
        said = [line for line in lines if line.startswith(("wrappers", "dependents"))]
        if code != 0 or not said:
            raise Failed("\n".join([f"exit code {code} {err.strip()}", *[line for line in lines if "DIFFER" in line]]))
        return "\n".join(re.sub(r" {2,}", " ", line) for line in said)

    def kernels(self):
        if self.options.emulated:
            raise NotThere("of an emulated GPU: kernels_cuda_exact_test")
        code, lines, err = self.cuda_check(150)
        cases = [int(m[1]) for line in lines if (m := re.search(r"(\d+) cases +the (?:CPU|host)'s bits$", line))]
        for line in lines:
            if match := re.match(r"copy +(\d+) GB/s", line):
                self.copy_rate = float(match[1])
            if match := re.match(r"bus +([\d.]+) GB/s", line):
                self.bus_rate = float(match[1])
            if match := re.match(r"pack +([\d.]+) GB/s", line):
                self.pack_rate = float(match[1])
        if code != 0 or not cases:  # also where all differ
            differ = [line for line in lines if "DIFFER" in line]
            raise Failed("\n".join([f"exit code {code} {err.strip()}", *differ[:20]]))
        bounds = [line for line in lines if "within the bound" in line]
        rates = [line for line in lines if "GB/s" in line or "TFLOP/s" in line]
        return "\n".join([f"{lines[0]}: {sum(cases)} cases of {len(cases)} kernels, the CPU's bits", *bounds, *rates])

    def products(self):
        """Of fast numerics; also the rate that prompts are held against."""
        if self.options.emulated:
            argv = [self.options.products_check + "_emulated", "--small"]
        else:
            argv = [self.options.products_check]
        if not os.access(argv[0], os.X_OK):
            raise Failed(f"no {argv[0]}; cmake --build build --target products_check, or --products-check FILE")
        code, out, err = run(argv, self.clock.left(60))
        if code == 2 and (missing := re.search(r"no cuBLASLt on this host: .*", err)):
            raise NotThere(missing[0])
        lines = out.splitlines()
        rate = re.search(r"^GEMM +(\S+) TFLOP/s", out, re.MULTILINE)
        if code != 0 or not rate:
            differ = [line for line in lines if "DIFFER" in line]
            raise Failed("\n".join([f"exit code {code} {err.strip()}", *differ[:20]]))
        self.gemm_rate = float(rate[1])
        rates = [line for line in lines if "GB/s" in line or line.startswith("GEMM")]
        cases = next(line for line in lines if line.startswith("products "))
        return "\n".join([f"{lines[0]}: {' '.join(cases.split()[1:])}", *rates])

    def exact(self, graphs):
        cases, wrong, count = self.read("exact", "cases.json"), [], 0
        bound = self.clock.left(75)
        end = time.monotonic() + bound
        for case in cases:
            if time.monotonic() > end:
                all_prompts = sum(len(c["prompts"]) for c in cases)
                raise Failed(f"{count} prompts of {all_prompts} within {bound:.0f} s, then no time")
            argv = exactness.argv_of(self.program, self.plans("exact"), case, True, graphs)
            code, out, err = run(argv, self.clock.left(60))
            if code != 0:
                raise Failed(f"{case['name']}: exit code {code}: {err.strip()} {out.strip()[-300:]}")
            actual = [json.loads(line)["logits_sha256"] for line in out.splitlines()]
            self.hashes[graphs, case["name"]] = actual
            count += len(actual)
            if actual != case["hashes"]:
                wrong.append(f"{case['name']}: {actual[0][:16]}..., the CPU's {case['hashes'][0][:16]}...")
        if wrong:
            raise Failed("\n".join([f"{len(wrong)} of {len(cases)} models and orders of sums differ", *wrong]))
        how = "" if graphs == "on" else ", no kernel before its turn"  # argv_of
        return f"{len(cases)} models and orders of sums, {count} prompts{how}: the CPU's logits_sha256"

    def graphs_are_eager(self):
        names = [name for graphs, name in self.hashes if graphs == "on"]
        if not names or any(("off", name) not in self.hashes for name in names):
            raise Failed("not run: one of the two above did not end")
        differ = [name for name in names if self.hashes["on", name] != self.hashes["off", name]]
        if differ:
            raise Failed(f"differ: {', '.join(differ)}")
        return f"the same bits of all {len(names)}"

    def served(self):
        asked = self.read("http", "asked.json")
        argv = [self.program, "--plan", self.plans("http", "gpu.mrsplan"), "--model", self.plans("http", "model")]
        with Server(argv, self.clock, 60) as server, concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:

            def answer(case):
                body = {"prompt": case["prompt"], "max_tokens": case["max_tokens"]}
                answered = server.complete({**body, "temperature": 0, "return_token_ids": True})
                return answered["choices"][0]["token_ids"]

            answers = list(pool.map(answer, asked))
        wrong = [
            f"{case['prompt']!r}: {ids}, the CPU's {case['token_ids']}"
            for case, ids in zip(asked, answers)
            if ids != case["token_ids"]
        ]
        if wrong:
            raise Failed("\n".join(wrong))
        return f"{len(asked)} questions at once: the CPU's tokens; SIGTERM ends it with 0"

    def refused(self, plan, model, pattern, env=None):
        argv = [self.program, "--plan", plan, "--model", model, "--prompt-ids", "1,2", "--quiet"]
        code, out, err = run(argv, self.clock.left(30), env)
        said = err.strip() or out.strip()
        if code != 1 or not re.search(pattern, said):
            raise Failed(f"exit code {code}, expected 1 and {pattern!r}: {said[-400:]}")
        return said.splitlines()[-1]

    def no_device(self):
        if self.options.emulated:
            raise NotThere("of an emulated GPU: it has whatever device a plan names")
        env = dict(os.environ, CUDA_VISIBLE_DEVICES=os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
        said = r"cuda:7: the plan is for this device, and 1 is"
        return self.refused(self.plans("refused", "device.mrsplan"), self.plans("http", "model"), said, env)

    def no_visible(self):
        if self.options.emulated:
            raise NotThere("of an emulated GPU: CUDA_VISIBLE_DEVICES is CUDA's")
        env = dict(os.environ, CUDA_VISIBLE_DEVICES="-1")
        said = r"no device can be used: .*mrs-exec doctor"
        return self.refused(self.plans("refused", "device.mrsplan"), self.plans("http", "model"), said, env)

    def fast(self):
        """Logits within the bound of a CPU's, as long as both have chosen the same tokens."""
        asked = self.read("http", "asked.json")
        with open(self.plans("http", "model", "config.json")) as file:
            vocab = json.load(file)["vocab_size"]
        truth = [read_logits(self.plans("fast", "logits"), i, len(asked), vocab) for i in range(len(asked))]
        with tempfile.TemporaryDirectory(prefix="mrs_gpu_check_") as folder:
            out_file = os.path.join(folder, "logits")
            argv = [self.program, "--plan", self.plans("fast", "fast.mrsplan"), "--model", self.plans("http", "model")]
            argv += ["--json", "--quiet", "--max-tokens", str(len(truth[0])), "--ignore-eos", "--logits-out", out_file]
            for case in asked:
                argv += ["--prompt", case["prompt"]]
            code, _, err = run(argv, self.clock.left(60))
            if code != 0:
                if missing := re.search(r"no cuBLASLt on this host: .*", err):
                    raise NotThere(missing[0])
                raise Failed(f"exit code {code}: {err.strip()[-400:]}")
            found = [read_logits(out_file, i, len(asked), vocab) for i in range(len(asked))]
        worst, steps = 0.0, 0
        for expected, actual in zip(truth, found):
            for want, got in zip(expected, actual):
                rms = math.sqrt(sum(x * x for x in want) / vocab)
                off = max(abs(a - b) if math.isfinite(a) else math.inf for a, b in zip(got, want)) / rms
                worst, steps = max(worst, off), steps + 1
                first, second = sorted(want)[-1:-3:-1]
                if got.index(max(got)) == want.index(first):
                    continue
                if (first - second) / rms > 2 * FAST_BOUND:
                    raise Failed(f"step {steps}: another token than the CPU's, which leads by {(first - second) / rms:.4f}")
                break
        self.fast_error = worst
        if worst > FAST_BOUND:
            raise Failed(f"a logit is {worst:.4f} of its row's RMS from the CPU's, bound {FAST_BOUND}")
        return f"{steps} steps: no logit further from the CPU's than {worst:.4f} of the RMS (bound {FAST_BOUND})"

    def fast_as_asked(self):
        """Nearer than what is promised (FAST_BOUND), which rounds what a product takes in to bf16, too."""
        if self.options.emulated:
            raise NotThere(f"of an emulated GPU: {self.fast_error or math.nan:.4f} of the RMS")
        if self.fast_error is None:
            raise Failed("not measured")
        said = f"no logit further from the CPU's than {self.fast_error:.4f} of the RMS"
        if self.fast_error > FAST_ASKED:
            raise Failed(said)
        return said

    def two(self, collectives):
        asked = self.read("http", "asked.json")
        how = COLLECTIVES["ipc" if collectives == SHARED else collectives]
        plan = self.plans("two", f"{collectives}.mrsplan")
        argv = [self.program, "--plan", plan, "--model", self.plans("http", "model"), "--transport", "shm"]
        argv += ["--json", "--quiet", "--max-tokens", str(asked[0]["max_tokens"])]
        for case in asked:
            argv += ["--prompt", case["prompt"]]
        code, out, err = run(argv, self.clock.left(60))
        if code != 0 and (alone := re.search(r"cuda:1: the plan is for this device, and 1 is visible here", out + err)):
            raise NotThere(alone[0])
        actual = [json.loads(line).get("logits_sha256") for line in out.splitlines()]
        if code != 0 or actual != [case["logits_sha256"] for case in asked]:
            raise Failed(f"exit code {code}, {actual}, the CPU's {[c['logits_sha256'] for c in asked]}: {err.strip()}")
        return f"{len(actual)} prompts, {how}: the CPU's logits_sha256"

    def another_device(self):
        with write_zeros_for(self.read("refused", "memory.json")) as folder:
            said = r"uses up to \d+ bytes of its device, and .* has \d+: it is another"
            return self.refused(self.plans("refused", "memory.mrsplan"), folder, said)

    def all(self):
        where = " (emulated: mrs-exec-emulated, no GPU)" if self.options.emulated else ""
        print(f"gpu-check{where}, {time.strftime('%Y-%m-%d %H:%M')}, {self.version()}")
        print(f"{'part':<36} {'result':<9} {'took':>7}  what", flush=True)
        self.part("wrappers' conformance", self.wrappers)
        self.part("kernels = reference", self.kernels)
        self.part("products of fast numerics", self.products)
        for graphs in ("on", "off"):
            self.part(f"exact = CPU's hash, graphs {graphs}", lambda: self.exact(graphs))
        self.part("graph = eager", self.graphs_are_eager)
        for collectives in COLLECTIVES:
            self.part(f"two GPUs ({collectives}) = CPU's hash", lambda: self.two(collectives))
        self.part("fast numerics: within the bound", self.fast)
        self.part(f"fast numerics: <= {FAST_ASKED} of the RMS", self.fast_as_asked)
        self.part("the bundled model over HTTP", self.served)
        self.part("refused: a device not there", self.no_device)
        self.part("refused: no device visible", self.no_visible)
        self.part("refused: too little memory", self.another_device)
        self.part("two ranks on one device (ipc)", lambda: self.two(SHARED))
        for name, work in self.made("failures injected", lambda: Failures(self).rows()):
            self.part(name, work)
        benches = self.made("benchmarks", lambda: [Bench(self, bench) for bench in self.read("bench", "benches.json")])
        for bench in benches:
            for name, work in bench.rows():
                self.part(name, work)
        for bench in benches[-1:]:  # of the smallest model, where a launch is most of a step
            self.part(f"{bench.name}: no kernel early", bench.run_in_turn)
        print(f"{self.failures} failed" if self.failures else "all that is there holds")
        return 1 if self.failures else 0

    def version(self):
        try:
            return run([self.program, "--version"], 10)[1].strip()
        except OSError as why:
            sys.exit(f"gpu-check: {why}; give the folder of mrs-exec with --bin DIR")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", required=True, help="what gpu-check-plans.sh made")
    parser.add_argument("--bin", default=os.path.join(REPOSITORY, "build", "cli"), help="folder of mrs-exec")
    parser.add_argument("--cuda-check", help="the built program [../kernels/cuda/cuda_check beside --bin]")
    parser.add_argument("--products-check", help="likewise [../runtime/rank/cuda/products_check beside --bin]")
    parser.add_argument("--emulated", action="store_true", help="mrs-exec-emulated of that folder")
    parser.add_argument("--seconds", type=float, default=WHOLE_S, help="of everything")
    options = parser.parse_args()
    built = os.path.join(options.bin, "..")
    options.cuda_check = options.cuda_check or os.path.join(built, "kernels", "cuda", "cuda_check")
    products_check = os.path.join(built, "runtime", "rank", "cuda", "products_check")
    options.products_check = options.products_check or products_check
    if not os.path.isdir(options.plans):
        sys.exit(f"gpu-check: {options.plans}: no such folder; scripts/gpu-check-plans.sh makes it where mrs-plan runs")
    return Check(options).all()


if __name__ == "__main__":
    sys.exit(main())
