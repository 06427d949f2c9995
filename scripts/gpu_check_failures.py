"""Failures injected while a device works, a row each of gpu_check.py's table: who is told what, and what is left.

Bounds are of a real GPU, more on an emulated one (Clock.patience).
"""

import os
import re
import signal
import time

from bounded_run import Failed, Server
from zero_model import write_zeros_for

HEARD_S = 5  # from the failure until all have heard of it and no process is left
EVENTS = 3  # of a stream, by then its answer is under way


class Failures:
    def __init__(self, check):
        self.check = check
        self.patience = check.clock.patience
        self.bound = HEARD_S * self.patience
        self.asked, self.tokens = check.read("http", "asked.json")[0], check.read("failing", "sizes.json")["tokens"]
        self.model = check.plans("http", "model")

    def rows(self):
        """[(part, work)]"""
        return [
            ("failing: rank 0 killed", lambda: self.rank_killed(0)),
            ("failing: rank 1 killed", lambda: self.rank_killed(1)),
            ("failing: mrs-exec killed", self.all_killed),
            ("failing: a client that goes", self.client_gone),
            ("failing: too little memory free", self.too_little_free),
        ]

    def serving(self, plan, *more):
        argv = [self.check.program, "--plan", self.check.plans("failing", plan), "--model", self.model, *more]
        return Server(argv, self.check.clock, 60)

    def long(self):
        body = {"prompt": self.asked["prompt"], "max_tokens": self.tokens, "temperature": 0, "ignore_eos": True}
        return {**body, "return_token_ids": True}

    def two_decoding(self, act):
        """Two ranks of one GPU stream a long answer; act(server, ranks) happens in the middle of it. (when that was, the
        stream's last event, the server); the server is left as it is."""
        server = self.serving("shared.mrsplan", "--transport", "shm")
        server.__enter__()
        try:
            ranks = [pid for pid in server.processes() if pid != server.process.pid]
            if len(ranks) != 2:
                raise Failed(f"{len(ranks)} processes beside mrs-exec, expected two ranks")
            acted, count, last = None, 0, {}
            for event in server.stream(self.long()):
                count, last = count + 1, event
                if count == EVENTS:
                    acted = time.monotonic()
                    act(server, ranks)
            if acted is None:
                raise Failed(f"the stream ended after {count} events, expected more than {EVENTS}: {last}")
            return acted, last, server
        except BaseException:
            server.kill()
            raise

    def gone(self, server, acted, code):
        """Seconds from `acted` until mrs-exec has ended with that code and nothing of it is left."""
        try:
            left = max(acted + self.bound - time.monotonic(), 0.1)
            ended = server.ended(left)
            while server.processes():
                if time.monotonic() > acted + self.bound:
                    raise Failed(f"{len(server.processes())} processes are left {self.bound:.0f} s after the failure")
                time.sleep(0.02)
            if ended != code:
                raise Failed(f"mrs-exec ended with {ended}, expected {code}: {server.last_words()}")
            return time.monotonic() - acted
        finally:
            server.kill()

    def rank_killed(self, number):
        killed = []

        def kill(_, ranks):
            killed.append(ranks[number])
            os.kill(ranks[number], signal.SIGKILL)

        acted, last, server = self.two_decoding(kill)
        heard = time.monotonic() - acted
        seconds = self.gone(server, acted, 1)
        said = str(last.get("error", {}).get("message", f"no error but {last}"))
        if not re.match(rf"rank {number} \(pid {killed[0]}\) was killed by signal 9 \(Killed\) (at|after) step \d+$", said):
            raise Failed(f"the client heard: {said}")
        if heard > self.bound:
            raise Failed(f"the client heard of it after {heard:.1f} s, expected less than {self.bound:.0f}")
        if not server.last_words().endswith(said):
            raise Failed(f"mrs-exec ended with other words than the client heard: {server.last_words()}")
        named = said.replace(f" (pid {killed[0]})", "")
        return f"{named}: the client heard after {heard:.2f} s, all had ended after {seconds:.2f} s"

    def all_killed(self):
        """As by the kernel, for want of memory: nobody can tell the ranks."""
        acted, _, server = self.two_decoding(lambda server, _: os.kill(server.process.pid, signal.SIGKILL))
        return f"its two ranks had ended after {self.gone(server, acted, -signal.SIGKILL):.2f} s"

    def client_gone(self):
        """Of a plan with room for one sequence: the next answer must not wait for the one that nobody hears any more."""
        with self.serving("alone.mrsplan") as server:

            def answer():
                body = {**self.long(), "max_tokens": 4, "ignore_eos": False}
                return server.complete(body)["choices"][0]["token_ids"]

            answer()  # whatever is done once
            began = time.monotonic()
            count = sum(len(event["choices"][0]["token_ids"]) for event in server.stream(self.long()))
            whole = time.monotonic() - began
            if count != self.tokens:
                raise Failed(f"an answer of {count} tokens, {self.tokens} were asked for")
            stream = server.stream(self.long())
            for _ in range(EVENTS):
                next(stream)
            stream.close()
            began = time.monotonic()
            found = answer()
            took = time.monotonic() - began
        if found != self.asked["token_ids"][: len(found)] or len(found) != 4:
            raise Failed(f"the next answer is {found}, the CPU's {self.asked['token_ids'][:4]}")
        if took > whole / 2:
            raise Failed(f"the next answer came after {took:.3f} s; to its end the one before takes {whole:.3f} s")
        return f"the next answer came after {took:.3f} s, of {whole:.3f} s that the lost one takes; SIGTERM ends it with 0"

    def too_little_free(self):
        """One server takes most of the device's memory; there is less left than a second one is planned for."""
        sizes = self.check.read("failing", "sizes.json")
        holding = [(size, self.check.plans("failing", f"hold-{size}.mrsplan")) for size in sizes["hold"]]
        with write_zeros_for(sizes["model"]) as folder:
            env, plan = None, holding[0][1]
            if self.check.options.emulated:  # whose processes do not know of each other's memory
                env = dict(os.environ, MRS_EMULATED_FAULT="free-memory:1MiB")
            else:
                plan = self.largest(holding, folder)
            with Server([self.check.program, "--plan", plan, "--model", folder], self.check.clock, 60) as server:
                pattern = r"rank 0: needs \d+ bytes of cuda:0 .*, but \d+ are free now, (in which about|and without any KV)"
                said = self.check.refused(plan, folder, pattern, env)
                status, text = server.request("GET", "/health", None)
                if status != 200:
                    raise Failed(f"the one before says {status} now: {text[:200]}")
        return said

    def largest(self, holding, folder):
        """The plan for most memory that the device has: what it has, it says where a plan is for more."""
        said = self.check.refused(holding[-1][1], folder, r"uses up to \d+ bytes of its device, and .* has \d+: it is another")
        total = int(re.search(r" has (\d+): it is another", said)[1])
        fitting = [plan for size, plan in holding if 0.9e9 * size <= total]
        if not fitting:
            raise Failed(f"no plan is for so little memory: {said}")
        return fitting[-1]
