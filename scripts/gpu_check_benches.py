"""How fast a device runs models of zeros, rows of gpu_check.py's table: what a step moves and multiplies is a real model's,
its power is not. Some rates are asked for; whether they are met are rows of their own, that pass or fail.
"""

import contextlib
import os
import re
import statistics
import time

from bounded_run import Failed, NotThere, Server
from zero_model import product_weights, write_zeros_for

STEPS = 32  # that a decode's time is taken from
CAPTURED = re.compile(r"\bcaptured (\d+) graphs in ([\d.]+) s$")


def read_rate(folder):
    """(bytes of the folder's weights, bytes a second of a bare read of them or of the first 4 GB), which are in the host's
    memory then: a benchmark's are zeros that no disk has."""
    files = sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith(".safetensors"))
    piece, done, began = bytearray(16 << 20), 0, time.monotonic()
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while done < 4 << 30 and (count := file.readinto(piece)):
                done += count
    return sum(map(os.path.getsize, files)), done / max(time.monotonic() - began, 1e-9)


class Bench:
    """Of one model and plan: a folder of benches.json. What is asked for ("goals"), where anything is: "copy", per cent of
    the copy's rate that a decode of the first batch reads weights at; "gemm", per cent of the GEMM's that the longest
    prompt's products run at; "capture_s", in which all graphs are captured at start."""

    def __init__(self, check, bench):
        self.check, self.bench = check, bench
        self.name, self.config = bench["name"], bench["config"]
        self.weights = product_weights(self.config)
        self.found = {}  # of what is asked for; "why": why there is none of it

    def rows(self):
        """[(part, work)]"""
        goals = self.bench["goals"]
        batch, length = self.bench["batches"][0], self.bench["prompts"][-1]
        named = {
            "copy": f"{self.name}: batch {batch} >= {goals.get('copy')} % of copy",
            "gemm": f"{self.name}: {length} >= {goals.get('gemm')} % of GEMM",
            "capture_s": f"{self.name}: captures < {goals.get('capture_s')} s",
        }
        return [
            (f"{self.name}: bf16 of zeros", self.run),
            *((named[goal], lambda goal=goal: self.is_met(goal)) for goal in named if goal in goals),
        ]

    def run(self):
        """A row a size, in one server."""
        try:
            self.measure()
        except NotThere as why:
            self.found["why"] = str(why)
            raise
        return "" if self.check.copy_rate else "no copy of the same run to compare with"

    def measure(self):
        bench, vocab = self.bench, self.config["vocab_size"]
        with write_zeros_for(self.config) as folder:
            size, alone = read_rate(folder)
            began = time.monotonic()

            def measured(what, said):
                nonlocal began
                self.check.row(f"{self.name}: {what}", "measured", f"{time.monotonic() - began:.1f} s", said)
                began = time.monotonic()

            with self.started(folder) as server:
                measured("start", self.loading_text(size, time.monotonic() - began, alone))
                for batch in bench["batches"]:
                    step = self.decode(server, vocab, batch)
                    measured(f"decode, batch {batch}", self.step_text(step, batch))
                    self.found.setdefault("copy", self.of_copy(step))
                for length in bench["prompts"]:
                    seconds = statistics.median(self.prefill(server, vocab, length, n) for n in range(3))
                    flops = 2e-12 * self.weights * length / seconds
                    gemm = self.check.gemm_rate
                    self.found["gemm"] = 100 * flops / gemm if gemm else None
                    beside = f", {100 * flops / gemm:.0f} % of the GEMM" if gemm else ""
                    measured(f"prompt of {length}", f"{1e3 * seconds:.0f} ms, {flops:.1f} TFLOP/s of products{beside}")
                captured = [found for line in list(server.lines) if (found := CAPTURED.search(line))]
                self.found["capture_s"] = [(int(found[1]), float(found[2])) for found in captured]

    def is_met(self, goal):
        asked, emulated = self.bench["goals"][goal], self.check.options.emulated
        if "why" in self.found:
            raise NotThere(self.found["why"])
        if goal not in self.found:
            raise Failed("not measured")
        if goal == "capture_s":
            if not self.found[goal]:
                raise Failed("not said: no line of the log says how many graphs were captured at start")
            count, seconds = max(self.found[goal], key=lambda found: found[1])
            said = f"captured {count} graphs in {seconds:.3f} s"
            if seconds >= asked * self.check.clock.patience:
                raise Failed(said)
            return said
        beside = {"copy": "copy", "gemm": "GEMM"}[goal]
        if emulated:
            raise NotThere("of an emulated GPU: rates are its host's")
        found = self.found[goal]
        if found is None:
            raise Failed(f"no {beside} of the same run to compare with")
        said = f"{found:.1f} % of the {beside}"
        if found < asked:
            raise Failed(said)
        return said

    def run_in_turn(self):
        """What a kernel gains by being there before the one before it has ended: a decode in which none is."""
        batch = self.bench["batches"][0]
        with write_zeros_for(self.config) as folder, self.started(folder, "--dependent-launch", "off") as server:
            step = self.decode(server, self.config["vocab_size"], batch)
        return f"decode, batch {batch}: {self.step_text(step, batch)}"

    def loading_text(self, size, seconds, alone):
        bus_rate, pack_rate = self.check.bus_rate, self.check.pack_rate
        bus = f", pinned memory to the device {bus_rate:.1f} GB/s" if bus_rate else ""
        bus += f", packed there {pack_rate:.1f} GB/s" if pack_rate else ""
        rate = f"{1e-9 * size:.2f} GB of weights, {1e-9 * size / seconds:.2f} GB/s"
        return f"{rate} until /health says 200; files alone {1e-9 * alone:.1f} GB/s{bus}"

    def rate_of(self, step):
        return 2e-9 * self.weights / step

    def of_copy(self, step):
        return 100 * self.rate_of(step) / self.check.copy_rate if self.check.copy_rate else None

    def step_text(self, step, batch):
        part = self.of_copy(step)
        beside = f", {part:.0f} % of the copy" if part is not None else ""
        return f"{1e3 * step:.2f} ms a step, {batch / step:.0f} tokens/s, {self.rate_of(step):.0f} GB/s of weights{beside}"

    @contextlib.contextmanager
    def started(self, folder, *more):
        """A server of a benchmark, whose plan may be too large for this device."""
        argv = [self.check.program, "--plan", self.check.plans("bench", f"{self.name}.mrsplan"), "--model", folder, *more]
        with contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(Server(argv, self.check.clock, 150))
            except Failed as why:
                if large := re.search(r"the plan uses up to \d+ bytes of its device, and .* has \d+", str(why)):
                    raise NotThere(large[0]) from None
                raise
            yield server

    def ask(self, server, prompts, tokens):
        body = {"prompt": prompts, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        began = time.monotonic()
        usage = server.complete(body)["usage"]
        seconds = time.monotonic() - began
        if usage["completion_tokens"] != len(prompts) * tokens:
            raise Failed(f"another answer than asked for: {usage}")
        return seconds

    def decode(self, server, vocab, batch):
        """Seconds of a step: a long answer less a short one, the median of three; sixteen tokens of context."""
        prompts = [[(7 * i + j) % vocab for j in range(16)] for i in range(batch)]
        self.ask(server, prompts, 4)  # what is done once
        seconds = [(self.ask(server, prompts, 2 + STEPS) - self.ask(server, prompts, 2)) / STEPS for _ in range(3)]
        return max(statistics.median(seconds), 1e-9)

    def prefill(self, server, vocab, length, number):
        return self.ask(server, [[(11 * number + j) % vocab for j in range(length)]], 1)
