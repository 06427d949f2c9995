"""What the system refuses, refused on purpose: the n-th call of each kind, and limits.

    python3 faults.py --bin build/cli --shim build/tests/faults/libfail_call.so [--stride 7] [--only REGEX]

A run meets one failing call, or (":on") every one from the n-th on; n goes up until a run meets none. It must give the right
answer, or exit code 1 and a message, and leave nothing. Clients in service get the right answer, an error, or an end of the
connection, never a wrong answer and never silence.
"""

import glob
import http.client
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import (  # noqa: E402
    MARKER, MINI, Failed, Run, Server, Workplace, check, check_equal, parse_arguments, processes, run_cases, run_main,
    wait_until)

KINDS = ("open", "mmap", "socket", "fork", "pthread_create", "write", "descriptor", "malloc")
MOST = 600  # calls of one kind in one run; more is a loop
MALLOC_STEP = 61  # there are tens of thousands, so that not even a stride of 1 takes each
BOUND_S = 30
ASK = {"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
ONCE = ("--prompt-ids", "1,2,3", "--max-tokens", "8", "--ignore-eos", "--json", "--threads", "2")


def in_dev_shm():
    return set(glob.glob("/dev/shm/*mrs*"))


class Cases:

    def __init__(self, work, shim, stride):
        self.work, self.shim, self.stride = work, os.path.abspath(shim), stride
        self.plan = work.plan(MINI, tp=2)
        with open(self.plan, "rb") as file:
            self.plan_bytes = file.read()
        self.once_says = work.tools.call([work.tools.exec_program, "--plan", self.plan, "--model", MINI, *ONCE])
        with Server(work, self.plan, MINI) as server:
            self.token_ids = self.ids(server.ask("/v1/completions", ASK))
        self.shm_before = in_dev_shm()

    @staticmethod
    def ids(answer):
        return answer["choices"][0]["token_ids"]

    def sweep(self, kind, who, attempt, on=False):
        """attempt(environment, kind) for n = 1, 1 + stride, ... until a run meets no failing call."""
        step = MALLOC_STEP if kind == "malloc" else 1
        for n in range(1, MOST * step, self.stride * step):
            log = self.work.path("logs", uuid.uuid4().hex)
            environment = {
                "LD_PRELOAD": self.shim,
                "MRS_FAIL": f"{kind}:{n}" + (":on" if on else ""),
                "MRS_FAIL_WHO": who,
                "MRS_FAIL_LOG": log,
            }
            try:
                attempt(environment, silent=on and kind == "write")
                check_equal(in_dev_shm() - self.shm_before, set(), "left in /dev/shm")
            except Failed as failure:
                raise Failed(f"MRS_FAIL={environment['MRS_FAIL']} MRS_FAIL_WHO={who}: {failure}") from None
            if not os.path.exists(log):
                return
        raise Failed(f"still calls of {kind} after {MOST * step}")

    # ---- mrs-exec answers and ends

    def once(self, transport, environment, silent):
        run = Run(self.work, "--plan", self.plan, "--model", MINI, "--transport", transport, "--hang-timeout", "5", *ONCE,
                  environment=environment)
        try:
            self.judge_once(run, silent)
        finally:
            run.clean_up()

    def judge_once(self, run, silent):
        code = run.ended(BOUND_S)
        for reader in run.readers:
            reader.join(BOUND_S)
        said = [line for line in run.lines if line.startswith("mrs-exec: ")]
        if code == 0:
            check_equal(run.output.decode(), self.once_says, f"the answer\n  {run.described()}")
            return
        check_equal(code, 1, f"exit code\n  {run.described()}")
        check(said or silent, f"no message\n  {run.described()}")

    # ---- a server: its start, its service, its end

    def start(self, transport, environment, silent):
        run = Run(self.work, "--plan", self.plan, "--model", MINI, "--transport", transport, "--port", 0, "--hang-timeout", "5",
                  "--threads", "2", environment=environment)
        try:
            port = self.port_of(run)
            if port is not None:
                self.ask(run, port)
                run.process.send_signal(signal.SIGTERM)
            code = run.ended(BOUND_S)
            check(code in (0, 1), f"exit code {code}\n  {run.described()}")
            if code == 1:
                check(silent or any(line.startswith("mrs-exec: ") for line in run.lines), f"no message\n  {run.described()}")
        finally:
            run.clean_up()

    @staticmethod
    def port_of(run):
        """Where it listens; None when it has ended. What it says may be lost, so the kernel is asked."""

        def find():
            if run.process.poll() is not None:
                return "ended"
            inodes = set()
            try:
                for fd in os.listdir(f"/proc/{run.process.pid}/fd"):
                    inodes.add(os.readlink(f"/proc/{run.process.pid}/fd/{fd}"))
            except OSError:
                return None
            with open("/proc/net/tcp") as table:
                for line in list(table)[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                        return int(fields[1].split(":")[1], 16)
            return None

        found = wait_until(find, BOUND_S, "a listening port, or the end")
        return None if found == "ended" else found

    def ask(self, run, port):
        """One request whole and one as a stream: the right answer, an error, or an end of the connection."""
        for stream in (False, True):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
            try:
                connection.request("POST", "/v1/completions", json.dumps({**ASK, "stream": stream}),
                                   {"Content-Type": "application/json"})
                response = connection.getresponse()
                text = response.read().decode()
            except TimeoutError:
                raise Failed(f"no answer within {BOUND_S} s\n  {run.described()}") from None
            except (OSError, http.client.HTTPException):
                continue  # refused, reset or cut short
            finally:
                connection.close()
            if response.status != 200:
                check(json.loads(text)["error"]["message"], f"status {response.status} without a message: {text}")
                continue
            if not stream:
                check_equal(self.ids(json.loads(text)), self.token_ids, "the answer")
                continue
            events = re.findall(r"^data: (.*)$", text, re.MULTILINE)
            seen = [token for event in events if event != "[DONE]" for choice in json.loads(event).get("choices", ())
                    for token in choice.get("token_ids") or ()]
            check_equal(seen, self.token_ids[:len(seen)], "the stream")
            if events and events[-1] == "[DONE]":
                check_equal(seen, self.token_ids, "the whole stream")

    def service(self, transport, environment, silent):
        arm = self.work.path("arms", uuid.uuid4().hex)
        run = Run(self.work, "--plan", self.plan, "--model", MINI, "--transport", transport, "--port", 0, "--hang-timeout", "5",
                  environment={**environment, "MRS_FAIL_ARM": arm})
        try:
            port = self.port_of(run)
            wait_until(lambda: self.is_ready(port), BOUND_S, "ready")
            open(arm, "w").close()
            self.ask(run, port)
            os.unlink(arm)
            if run.process.poll() is None and self.is_ready(port):
                self.ask(run, port)
            run.process.send_signal(signal.SIGTERM)
            code = run.ended(BOUND_S)
            check(code in (0, 1), f"exit code {code}\n  {run.described()}")
            if code == 1:
                check(silent or any(line.startswith("mrs-exec: ") for line in run.lines), f"no message\n  {run.described()}")
        finally:
            run.clean_up()

    @staticmethod
    def is_ready(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    # ---- mrs-plan

    def build(self, environment, silent, before_start=None):
        folder = self.work.path("builds", uuid.uuid4().hex, "x")
        folder = os.path.dirname(folder)
        out = os.path.join(folder, "x.mrsplan")
        code, printed, said = self.call(
            ["build", MINI, "--tp", "2", "--max-len", "512", "--max-seqs", "8", "--numerics", "pair2", "--memory", "1GiB", "-o",
             out], environment, before_start)
        left = os.listdir(folder)
        if code == 0 or "is written all the same" in said or (silent and left):
            check_equal(left, ["x.mrsplan"], f"the folder\n  {said}")
            with open(out, "rb") as file:
                check(file.read() == self.plan_bytes, f"other bytes\n  {said}")
        else:
            check_equal(left, [], f"the folder\n  {said}")
        self.judge_plan(code, said, silent)
        if code == 0:
            check(printed, f"no summary\n  {said}")
        shutil.rmtree(folder)

    def look(self, verb, environment, silent):
        code, printed, said = self.call([verb, self.plan], environment)
        if code == 0:
            expected = self.work.tools.call([self.work.tools.plan_program, verb, self.plan])
            check_equal(printed, expected, f"{verb}")
        self.judge_plan(code, said, silent)

    def call(self, arguments, environment, before_start=None):
        done = subprocess.run([self.work.tools.plan_program, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              env={**os.environ, **environment}, preexec_fn=before_start, timeout=BOUND_S)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    @staticmethod
    def judge_plan(code, said, silent):
        check(code in (0, 1), f"exit code {code}\n  {said}")
        check(code == 0 or silent or said.startswith("mrs-plan: "), f"no message of mrs-plan\n  {said}")

    # ---- limits

    def limited(self, which, values, transport, as_other):
        for value in values:
            def limit(value=value):
                if as_other and os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(54321)
                    os.setuid(54321)
                resource.setrlimit(which, (value, value))

            run = Run(self.work, "--plan", self.plan, "--model", MINI, "--transport", transport, "--hang-timeout", "5", *ONCE,
                      before_start=limit)
            try:
                self.judge_once(run, silent=False)
            except Failed as failure:
                raise Failed(f"limit {value}: {failure}") from None
            finally:
                run.clean_up()

    def least_address_space(self):
        """In MiB: where the program comes to its first line at all."""
        for mib in range(16, 4096, 2):
            done = subprocess.run([self.work.tools.exec_program, "--version"], capture_output=True, preexec_fn=lambda: resource
                                  .setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20)))
            if done.returncode == 0:
                return mib
        raise Failed("mrs-exec --version does not run in 4 GiB")


def main():
    options = parse_arguments(__doc__, ("--shim", {"required": True, "help": "libfail_call.so"}),
                              ("--stride", {"type": int, "default": 1, "help": "take every so manieth n"}))
    with Workplace("faults", options.bin) as work:
        os.chmod(work.folder, 0o755)  # another user reads the plan
        cases = Cases(work, options.shim, options.stride)
        table = []

        def add(name, kind, who, attempt, ways=(False, True)):
            for on in ways:
                table.append((f"{name}: {kind}{' and all after' if on else ''} in {who}",
                              lambda on=on: cases.sweep(kind, who, attempt, on)))

        for kind in KINDS:
            for who in ("main", "rank"):
                if who == "rank" and kind == "fork":
                    continue  # a rank starts nobody
                for transport in ("local", "shm", "tcp"):
                    add(f"once, {transport}", kind, who, lambda e, silent, t=transport: cases.once(t, e, silent))
                # A client that can never be accepted cannot be told anything.
                ways = (False,) if kind == "socket" and who == "main" else (False, True)
                add("start of a server", kind, who, lambda e, silent: cases.start("shm", e, silent), ways)
                if kind not in ("fork", "pthread_create"):
                    add("service", kind, who, lambda e, silent: cases.service("shm", e, silent), ways)
            if kind != "malloc":  # MLIR takes what malloc gives it, null or not
                add("mrs-plan build", kind, "main", cases.build)
            for verb in ("inspect", "verify"):
                add(f"mrs-plan {verb}", kind, "main", lambda e, silent, v=verb: cases.look(v, e, silent))
        other = os.getuid() == 0
        least = cases.least_address_space()
        for transport in ("local", "shm"):
            table.append((f"ulimit -v, {transport}", lambda t=transport: cases.limited(
                resource.RLIMIT_AS, [mib << 20 for mib in range(least, least + 120, 2 * options.stride)], t, False)))
            table.append((f"ulimit -n, {transport}", lambda t=transport: cases.limited(
                resource.RLIMIT_NOFILE, range(4, 40, options.stride), t, False)))
            if other:
                table.append((f"ulimit -u as another user, {transport}", lambda t=transport: cases.limited(
                    resource.RLIMIT_NPROC, range(1, 14, max(1, options.stride // 3)), t, True)))
        if not other:
            print("not root: no test of ulimit -u, which counts all processes of this user")
        for size in (0, 1000, 20000):
            table.append((f"ulimit -f {size}, mrs-plan build", lambda s=size: cases.build(
                {}, False, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (s, s)))))
        return 1 if run_cases(table, workers=2, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
