"""Ranks that are killed, stopped, frozen or hang, in every phase of their life: the right one is named within its bound,
or the world goes on.

    python3 liveness.py --bin build/cli            # a sample, with a short --hang-timeout
    python3 liveness.py --bin build/cli --all      # phase x fault x transport x rank; some minutes

Phases: before its hello, in the mesh, loading, idle, in an operation, in a collective, under a batch larger than a socket
holds. Faults: SIGKILL; SIGSTOP; SIGSTOP and, within the time that a rank may be silent, SIGCONT; a freeze of all processes
(a cgroup's freezer where it can be had, else SIGSTOP), for longer than that; and a hang: what works is held, by ptrace,
while the thread that beats lives on. When a rank is where it should be is read off the board on which it says so; a
fault that came too late for its phase is tried again with another server.
"""

import ctypes
import os
import re
import signal
import threading
import time
import uuid

from harness import (START_S, Failed, Run, Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main, stretch,
                     wait_until, write_zeros_model)
from progress_board import IDLE, LOADING, MEETING, SENDING, STARTING, UNSEEN, WORKING, Board

PATH = "/v1/completions"
SILENCE_S = 4.0  # without a sign of life, until a rank is lost
SLACK_S = 3.0  # between what is found and what a client hears, on a busy machine
HANG_S = 1.5  # --hang-timeout of the sample
CATCHING_S = 40  # a fault that came too late for its phase is tried again
SHORT = {"prompt": [1, 2, 3], "max_tokens": 5, "ignore_eos": True, "temperature": 0, "return_token_ids": True}
LONG = {**SHORT, "max_tokens": 2000}
FREEZER = "/sys/fs/cgroup/freezer"
CPU = "/sys/fs/cgroup/cpu"

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.ptrace.restype = ctypes.c_long
PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WALL, WNOTHREAD = 0x40000000, 0x20000000


class Missed(Exception):
    """The rank was past the phase when the fault came."""


class Hold:
    """Stops all threads of a rank but the one that beats, which is the first that it started, until it dies. One thread
    is their tracer and waits for them: who started the process hears of its end only after that."""

    def __init__(self, pid):
        self.pid, self.error = pid, None
        self.held = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        check(self.held.wait(10), "the main thread is not held")
        check(self.error is None, f"ptrace: {self.error}")

    def _run(self):
        try:
            threads = sorted(map(int, os.listdir(f"/proc/{self.pid}/task")))
            for thread in threads[:1] + threads[2:]:
                for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
                    if libc.ptrace(request, thread, 0, 0) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                os.waitpid(thread, WALL)
            self.held.set()
            while True:
                os.waitpid(-1, WALL | WNOTHREAD)
        except ChildProcessError:
            pass  # all have ended
        except OSError as error:
            self.error = error
            self.held.set()


class Freezer:
    """Processes that stand still together, as docker pause does it, until they are thawed."""

    def __init__(self, pids):
        self.pids, self.folder = pids, None
        try:
            folder = os.path.join(FREEZER, f"mrs-{uuid.uuid4().hex}")
            os.mkdir(folder)
            self.folder = folder
            for pid in pids:
                with open(os.path.join(folder, "cgroup.procs"), "w") as file:
                    file.write(str(pid))
            self._set("FROZEN")
            wait_until(lambda: self._state() == "FROZEN", 5, "the freezer's state is FROZEN")
        except Failed:  # one of them was just becoming a program: the kernel has no place there to stop it
            self._remove()
            raise Missed() from None
        except OSError:
            self._remove()
            self.folder = None
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)

    def _set(self, state):
        with open(os.path.join(self.folder, "freezer.state"), "w") as file:
            file.write(state)

    def _state(self):
        with open(os.path.join(self.folder, "freezer.state")) as file:
            return file.read().strip()

    def _remove(self):
        if self.folder is None:
            return
        try:
            self._set("THAWED")
            for pid in self.pids:
                with open(os.path.join(FREEZER, "cgroup.procs"), "w") as file:
                    file.write(str(pid))
            os.rmdir(self.folder)
        except OSError:
            pass

    def thaw(self):
        if self.folder is not None:
            self._remove()
            return
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


class Slowed:
    """Processes that share so many milliseconds of a processor in each second, by a cgroup."""

    def __init__(self, pids, milliseconds):
        self.pids, self.folder = pids, os.path.join(CPU, f"mrs-{uuid.uuid4().hex}")
        os.mkdir(self.folder)
        for name, value in (("cpu.cfs_period_us", 1000000), ("cpu.cfs_quota_us", milliseconds * 1000)):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(str(value))
        self._move(self.folder)

    def _move(self, folder):
        for pid in self.pids:
            try:
                with open(os.path.join(folder, "cgroup.procs"), "w") as file:
                    file.write(str(pid))
            except ProcessLookupError:
                pass

    def end(self):
        self._move(CPU)
        os.rmdir(self.folder)


class Ask:
    """A request that waits for its answer in a thread."""

    def __init__(self, server, body, seconds=180):
        self.outcome = self.error = None
        self.thread = threading.Thread(target=self._ask, args=(server, body, seconds), daemon=True)
        self.thread.start()

    def _ask(self, server, body, seconds):
        try:
            self.outcome = server.post(PATH, body, timeout=seconds)
        except Exception as error:
            self.error = error


# ---- where a rank is when its fault comes

PHASES = {
    "hello": lambda line: line.phase in (UNSEEN, STARTING),
    "mesh": lambda line: line.phase == MEETING,
    "load": lambda line: line.phase == LOADING,
    "idle": lambda line: line.phase == IDLE,
    "step": lambda line: line.phase == WORKING and line.operation > 5 and line.waits_for is None,
    "collective": lambda line: line.phase == WORKING and line.waits_for is not None,
    "batch": lambda line: line.phase in (IDLE, WORKING, SENDING),
}
WHERE = {
    "hello": "while starting",
    "mesh": "while meeting the others",
    "load": "while loading weights",
    "idle": "while idle",
    "step": r"at step \d+, operation \d+ of \d+ \('[\w.+]+'\)",
    "collective": r"at step \d+, operation \d+ of \d+ \('[\w.+]+'\)",
    "batch": r"(while idle|at step \d+, (operation \d+ of \d+ \('[\w.+]+'\)|before its first operation)|"
             r"while sending the result of step \d+)",
}
NAMED = r"^mrs-exec: rank(?!.* was killed and has not ended)"  # which is said of one that nothing can kill
FAULTS = ("kill", "stop", "stop and go on", "freeze all", "freeze one", "hang")


class Starting(Server):
    """A server whose ranks can be met before it serves."""

    def __init__(self, work, plan, model, *arguments, **more):
        Run.__init__(self, work, "--plan", plan, "--model", model, "--port", 0, *arguments, **more)

    @property
    def port(self):
        return int(self.said(r"^serving +http://127\.0\.0\.1:(\d+)/v1$")[1])


class Cases:

    def __init__(self, work, hang_s):
        self.work, self.hang_s, self.lock = work, hang_s, threading.Lock()
        self.models = {layers: write_zeros_model(work.path(f"zeros-{layers}"), layers) for layers in (8, 2)}
        self.long = write_zeros_model(work.path("zeros-long"), 1)
        stretch(self.long, 131072)

    def plan(self, phase, ranks, stages):
        """The plan and the model on which a phase lasts long enough to be caught."""
        if phase == "batch":
            model, max_len, max_seqs = self.long, 131072, 64
        else:
            model, max_len, max_seqs = self.models[8 if phase == "load" or stages > 2 else 2], 4096, 8
        key = (model, ranks, stages, max_len)
        with self.lock:
            return self.build(key, max_seqs), model

    def build(self, key, max_seqs):
        model, ranks, stages, max_len = key
        if key not in self.work.plans:
            path = self.work.path("plans", f"{len(self.work.plans)}.mrsplan")
            self.work.tools.call([
                self.work.tools.plan_program, "build", model, "--tp", str(ranks // stages), "--pp", str(stages), "--max-len",
                str(max_len), "--max-seqs", str(max_seqs), "--numerics", "pair2", "--memory", "1GiB", "-o", path
            ])
            self.work.plans[key] = path
        return self.work.plans[key]

    def serve(self, phase, transport, ranks=2, stages=1, **more):
        plan, model = self.plan(phase, ranks, stages)
        return Starting(self.work, plan, model, "--transport", transport, "--threads", "1", "--quiet", "--hang-timeout",
                      self.hang_s, **more)

    def run(self, phase, fault, transport, victim, ranks=2, stages=1):
        until = time.monotonic() + CATCHING_S
        while time.monotonic() < until:
            server = self.serve(phase, transport, ranks, stages)
            freezer = None
            try:
                pids = self.rank_pids(server, victim + 1 if phase == "hello" else ranks)
                board = Board(server.process.pid, ranks)
                asked = self.reach(server, board, phase, ranks, fault in ("stop and go on", "freeze all"))
                at_once = PHASES[phase]
                other = pids[(victim + 1) % ranks] if phase == "collective" else None
                if other is not None:  # while it stands, the victim waits for it
                    os.kill(other, signal.SIGSTOP)
                board.await_line(victim, lambda line: at_once(line) or (phase in ("hello", "mesh", "load") and
                                                                        line.phase > LOADING) or
                                 any(not ask.thread.is_alive() for ask in asked), interval=0)
                started = time.monotonic()
                if fault == "hang":
                    Hold(pids[victim])
                elif fault == "freeze all":
                    freezer = Freezer([server.process.pid, *self.rank_pids(server, ranks)])
                elif fault == "freeze one":
                    freezer = Freezer([pids[victim]])
                elif fault == "kill":
                    os.kill(pids[victim], signal.SIGSTOP)  # so that it is killed there
                else:
                    os.kill(pids[victim], signal.SIGSTOP)
                if other is not None:
                    os.kill(other, signal.SIGCONT)
                time.sleep(0.02)
                line = board.line(victim)
                if not at_once(line):
                    raise Missed()
                if fault == "kill":
                    os.kill(pids[victim], signal.SIGKILL)
                elif fault == "stop and go on":
                    # Of a rank that has not said a word yet, --hang-timeout bounds the silence.
                    time.sleep(self.hang_s / 2 if phase == "hello" else SILENCE_S / 2)
                    os.kill(pids[victim], signal.SIGCONT)
                elif fault == "freeze all":
                    time.sleep(SILENCE_S + 2)
                    freezer.thaw()
                if fault in ("stop and go on", "freeze all"):
                    self.goes_on(server, asked)
                else:
                    self.is_named(server, phase, fault, victim, pids[victim], started, freezer)
                return
            except Missed:
                continue
            finally:
                if freezer is not None:
                    freezer.thaw()
                server.clean_up()
        raise Failed(f"not caught {phase} within {CATCHING_S} s")

    @staticmethod
    def rank_pids(server, count):
        """As soon as they run their program, in the order of ranks: the supervisor's children, by age."""
        path = f"/proc/{server.process.pid}/task"

        def is_rank(pid):  # until then it is the supervisor's own image, which waits for it
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    return b"\0rank\0" in file.read()
            except OSError:
                return False

        def find():
            pids = []
            for task in os.listdir(path):
                try:
                    with open(f"{path}/{task}/children") as file:
                        pids += map(int, file.read().split())
                except OSError:
                    continue
            pids = sorted(filter(is_rank, pids))
            return pids if len(pids) >= count else None

        return wait_until(find, START_S, f"{count} rank processes", interval=0)

    def reach(self, server, board, phase, ranks, is_short):
        """Brings the world to where the phase can be met; the requests that are under way."""
        if phase in ("hello", "mesh", "load"):
            return []
        server.wait_ready()
        if phase == "idle":
            for rank in range(ranks):
                board.await_line(rank, PHASES["idle"])
            return []
        if phase == "batch":
            tokens = 150 if is_short else 3000
            asked = [Ask(server, {**LONG, "prompt": [1, 2, 3 + i], "max_tokens": tokens}) for i in range(48)]
            board.await_line(0, lambda line: line.step > 60)  # all of them are in a batch
            return asked
        asked = [Ask(server, {**LONG, "max_tokens": 200 if is_short else 3000})]
        board.await_line(0, lambda line: line.step > 3)
        return asked

    def goes_on(self, server, asked):
        server.wait_ready()
        for ask in asked:
            ask.thread.join(120)
            check(ask.outcome is not None and ask.outcome[0] == 200, f"{ask.outcome} {ask.error!r}\n  {server.described()}")
        answer = server.ask(PATH, SHORT)["choices"][0]["token_ids"]
        check_equal(answer, [0] * 5, f"the answer afterwards\n  {server.described()}")  # of a model of zeros
        server.process.send_signal(signal.SIGTERM)
        check_equal(server.ended(20), 0, f"exit code\n  {server.described()}")

    def is_named(self, server, phase, fault, victim, pid, started, freezer):
        bound = {"kill": 0.0, "stop": SILENCE_S, "freeze one": SILENCE_S, "hang": self.hang_s}[fault]
        if fault == "freeze one" and phase == "hello":
            bound = max(bound, self.hang_s)  # it has said nothing yet
        if freezer is not None:  # nothing kills what is frozen
            bound += 3  # in which its supervisor waits for its end
            server.said(NAMED, bound + SLACK_S)
            freezer.thaw()
        else:
            check_equal(server.ended(bound + SLACK_S), 1, f"exit code\n  {server.described()}")
        took = time.monotonic() - started
        message = next(line for line in server.lines if re.search(NAMED, line))
        who = rf"^mrs-exec: rank {victim} \(pid {pid}\) "
        pattern = {
            "kill": r"was killed by signal 9 \(Killed\) ",
            "stop": rf"is frozen or cut off: no sign of life for [4-6]\.\d s {WHERE[phase]}$",
            "freeze one": rf"(is frozen or cut off: no sign of life for [4-6]\.\d s {WHERE[phase]}$|does not start: no sign)",
            "hang": rf"hangs {WHERE[phase]}: alive, but (no progress for|has not looked for a message for) [\d.]+ s",
        }[fault]
        if phase == "batch" and fault == "hang":  # between two batches, too, the next of which others have begun
            pattern = rf"({pattern}|hangs after step \d+: alive, but idle for [\d.]+ s; rank \d+ waits for it)"
        check(re.search(who + pattern, message), f"the message, expected {who + pattern}\n  {server.described()}")
        check(took < bound + SLACK_S, f"it took {took:.1f} s, expected less than {bound + SLACK_S}")

    # ---- beyond one rank in one phase

    def hang_in_the_middle(self, transport):
        """Of three stages the first waits for the next batch, the last for what the middle one sends."""
        self.run("step", "hang", transport, 1, ranks=3, stages=3)

    def ends_at_once(self, transport, fault):
        """SIGTERM, whatever a rank does: answers under way end by --drain or, as here, when the rank is found; then its
        grace, a moment to end, and that is all."""
        server = self.serve("step", transport)
        try:
            server.wait_ready()
            board = Board(server.process.pid, 2)
            pids = self.rank_pids(server, 2)
            Ask(server, LONG)
            board.await_line(1, PHASES["step"], interval=0)
            os.kill(pids[1], signal.SIGSTOP) if fault == "stop" else Hold(pids[1])
            asked = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
            took = time.monotonic() - asked
            bound = (SILENCE_S if fault == "stop" else self.hang_s) + SLACK_S
            check(took < bound, f"it took {took:.1f} s, expected less than {bound}")
        finally:
            server.clean_up()

    def slow_is_no_hang(self, transport):
        """Operations that take longer than the hang timeout, on the plainest loops: they move within."""
        server = self.serve("step", transport, environment={"MRS_ISA": "reference"})
        try:
            server.wait_ready()
            board = Board(server.process.pid, 2)
            prompt = list(range(1, 101))
            ask = Ask(server, {**SHORT, "prompt": prompt, "max_tokens": 2})
            longest, since, seen = 0.0, time.monotonic(), None
            while ask.thread.is_alive():
                line = board.line(0)
                now = time.monotonic()
                if (line.step, line.operation) != seen:
                    seen, since = (line.step, line.operation), now
                longest = max(longest, now - since)
                time.sleep(0.02)
            check(ask.outcome is not None and ask.outcome[0] == 200, f"{ask.outcome} {ask.error!r}\n  {server.described()}")
            print(f"       the longest operation took {longest:.1f} s, --hang-timeout {self.hang_s}", flush=True)
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(20), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()


    def a_hundred_times_slower(self, transport):
        """With the default --hang-timeout, and the cores of a hundredth of the usual: the same answer, late."""
        if not os.access(CPU, os.W_OK):
            print(f"       skipped: there is no {CPU} to slow processes down with", flush=True)
            return
        plan, model = self.plan("step", 2, 1)
        server = Starting(self.work, plan, model, "--transport", transport, "--threads", "1", "--quiet")
        try:
            server.wait_ready()
            body = {**SHORT, "prompt": list(range(1, 65)), "max_tokens": 40}
            server.ask(PATH, body)
            usual = float("inf")
            for _ in range(5):
                began = time.monotonic()
                server.ask(PATH, body)
                usual = min(usual, time.monotonic() - began)
            slowed = Slowed([server.process.pid, *self.rank_pids(server, 2)], 6)
            try:
                began = time.monotonic()
                ask = Ask(server, body, 900)
                ask.thread.join(900)
                took = time.monotonic() - began
            finally:
                slowed.end()
            check(ask.outcome is not None and ask.outcome[0] == 200, f"{ask.outcome} {ask.error!r}\n  {server.described()}")
            print(f"       {usual:.2f} s, slowed down {took:.1f} s: {took / usual:.0f} times", flush=True)
            check(took > 100 * usual, "that is less than a hundred times")
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(20), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()


def sample(cases):
    """One of each kind, for CI."""
    chosen = [("hello", "kill", "tcp", 0), ("hello", "stop", "shm", 1), ("load", "hang", "shm", 0), ("load", "stop", "tcp", 1),
              ("idle", "hang", "shm", 1), ("idle", "freeze all", "shm", 0), ("step", "hang", "tcp", 1),
              ("step", "stop and go on", "shm", 1), ("collective", "stop", "tcp", 0), ("collective", "hang", "shm", 0),
              ("batch", "hang", "tcp", 1), ("batch", "stop", "shm", 0), ("step", "freeze all", "tcp", 0)]
    return [row(cases, *one) for one in chosen]


def row(cases, phase, fault, transport, victim):
    return f"{transport}, rank {victim}, {phase}: {fault}", lambda: cases.run(phase, fault, transport, victim)


def whole(cases):
    return [
        row(cases, phase, fault, transport, victim) for phase in PHASES for fault in FAULTS for transport in ("shm", "tcp", "ring")
        for victim in (0, 1)
        # A mesh in shared memory is one mmap; a hang before its hello is rank_world_test's.
        if (phase, transport) != ("mesh", "shm") and (phase, fault) != ("hello", "hang")
    ]


def main():
    options = parse_arguments(__doc__, ("--all", {"action": "store_true", "help": "the whole matrix"}),
                              ("--hang-timeout", {"type": float, "default": HANG_S, "help": "of the servers, in seconds"}),
                              ("--workers", {"type": int, "default": 4, "help": "cases at a time"}))
    with Workplace("liveness", options.bin) as work:
        cases = Cases(work, options.hang_timeout)
        table = whole(cases) if options.all else sample(cases)
        for transport in ("shm", "tcp", "ring") if options.all else ("shm",):
            table.append((f"{transport}: the middle of three stages hangs", lambda t=transport: cases.hang_in_the_middle(t)))
            table.append((f"{transport}: slow is no hang", lambda t=transport: cases.slow_is_no_hang(t)))
            for fault in ("stop", "hang"):
                table.append((f"{transport}: SIGTERM beside a rank with a {fault}",
                              lambda t=transport, f=fault: cases.ends_at_once(t, f)))
        if options.all:
            table.append(("shm: a hundred times slower", lambda: cases.a_hundred_times_slower("shm")))
        return 1 if run_cases(table, workers=options.workers, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
