"""Drives mrs-plan and mrs-exec for the scripts beside this file and for tests/golden.

    tools = Tools("build/cli")
    plan = tools.build("models/mini", "x.mrsplan", tp=2, numerics="pair2")
    answer = tools.run(plan, "models/mini", [[1, 2, 3]], max_tokens=4)[0]    # {"token_ids": [...], ...}

Standard library only. A run that fails raises Failed with the command line, ready to be pasted into a shell.
"""

import array
import concurrent.futures
import json
import os
import resource
import shlex
import subprocess
import sys

PROFILES = ("pair2", "block32")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINI = os.path.join(REPOSITORY, "models", "mini")


class Failed(Exception):
    """What went wrong and the command that shows it."""


def command_line(argv):
    return " ".join(shlex.quote(str(a)) for a in argv)


class Tools:
    """The two programs of one build. timeout: seconds of one run; also the bound that mrs-exec gets for lost ranks."""

    def __init__(self, bin_dir, timeout=120):
        self.plan_program = os.path.join(bin_dir, "mrs-plan")
        self.exec_program = os.path.join(bin_dir, "mrs-exec")
        self.timeout = timeout
        for program in (self.plan_program, self.exec_program):
            if not os.access(program, os.X_OK):
                raise SystemExit(f"{program}: no such program; give the folder of both with --bin DIR")

    def call(self, argv, isa=None, environment=None):
        """Runs argv to its end, kept to an instruction set (MRS_ISA) where given; stdout of a run that exited 0."""
        environment = dict(os.environ, **({"MRS_ISA": isa} if isa else {}), **(environment or {}))
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout, env=environment
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {self.timeout} s\n  {command_line(argv)}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise Failed(f"exit code {done.returncode}: {said}\n  {command_line(argv)}")
        return done.stdout.decode()

    def build(self, model, plan, tp=1, numerics="pair2", max_len=256, extra=()):
        self.call(
            [
                self.plan_program,
                "build",
                model,
                "--tp",
                str(tp),
                "--numerics",
                numerics,
                "--max-len",
                str(max_len),
                "--max-seqs",
                "8",
                "--memory",
                "1GiB",
                *extra,
                "-o",
                plan,
            ]
        )
        return plan

    def inspect(self, plan):
        return json.loads(self.call([self.plan_program, "inspect", plan, "--json"]))

    def exec_argv(self, plan, model, prompts, max_tokens, transport="local", chunk=64, threads=1, logits_out=None):
        argv = [
            self.exec_program,
            "--plan",
            plan,
            "--model",
            model,
            "--transport",
            transport,
            "--chunk",
            str(chunk),
            "--threads",
            str(threads),
            "--hang-timeout",
            str(self.timeout),
            "--max-tokens",
            str(max_tokens),
            "--ignore-eos",
            "--quiet",
            "--json",
        ]
        for ids in prompts:
            argv += ["--prompt-ids", ",".join(map(str, ids))]
        return argv + (["--logits-out", logits_out] if logits_out else [])

    def run(self, plan, model, prompts, max_tokens, isa=None, **how):
        """Greedy answers, one dictionary a prompt in order: token_ids, logprobs, logits_sha256, ..."""
        argv = self.exec_argv(plan, model, prompts, max_tokens, **how)
        lines = self.call(argv, isa).splitlines()
        if len(lines) != len(prompts):
            raise Failed(f"{len(lines)} JSON lines for {len(prompts)} prompts\n  {command_line(argv)}")
        answers = [json.loads(line) for line in lines]
        for answer in answers:
            if len(answer["token_ids"]) != max_tokens:
                raise Failed(f"{len(answer['token_ids'])} tokens, expected {max_tokens}\n  {command_line(argv)}")
        return answers


def read_f32(data):
    """Little-endian f32 bytes as an array."""
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def read_logits(path, index, prompt_count, vocab):
    """Rows of --logits-out PATH for one prompt: the last prompt position's, then each generated step's."""
    with open(path if prompt_count == 1 else f"{path}.{index}", "rb") as file:
        values = read_f32(file.read())
    if len(values) % vocab:
        raise Failed(f"{path}.{index}: {len(values)} logits are no whole rows of {vocab}")
    return [values[at : at + vocab] for at in range(0, len(values), vocab)]


def run_main(main):
    """Ends the script with main's exit code; what failed is said without a traceback."""
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"FAILED {failure}")


def in_parallel(jobs, work, workers=2):
    """work(job) for every job, two at a time; yields (job, result or Failed) in the order of jobs."""

    def guarded(job):
        try:
            return work(job)
        except Failed as failure:
            return failure

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        yield from zip(jobs, pool.map(guarded, jobs))


def limit_memory(gib):
    """This process and all it starts may map so much, so that a broken plan cannot take the host down."""
    resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))
