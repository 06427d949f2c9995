"""What happens when processes die: clients hear which rank within five seconds, nothing is left, the port is free.

    python3 lost_rank.py --bin build/cli

Two ranks over every transport. A rank is killed while it loads, while it streams over HTTP, and while it answers
--prompt-ids; it is stopped (SIGSTOP) for good; the supervisor itself is killed, or asked to end. The models are
zeros, 256 MB to be caught while they load, 64 MB to be caught while they answer.
"""

import os
import re
import signal
import threading
import time

from harness import (START_S, Failed, Run, Server, Workplace, check, check_equal, is_free, is_stopped, parse_arguments,
                     processes, run_cases, run_main, wait_until, write_zeros_model)
from progress_board import LOADING, Board

TRANSPORTS = ("local", "shm", "tcp")
BOUND_S = 5  # from the loss to the client's error
SILENCE_S = 4  # without a sign of life, until a rank is lost
LONG = {"prompt": [1, 2, 3], "max_tokens": 4000, "ignore_eos": True}
PATH = "/v1/completions"


def process_count(transport):
    return 1 if transport == "local" else 2


def victims():
    return [(t, v) for t in TRANSPORTS for v in range(process_count(t))]


def who(transport, victim):
    """The ranks of that process, as a message names them."""
    return "ranks 0 to 1" if transport == "local" else f"rank {victim}"


def killed(transport, victim, pid, phase):
    were = "were" if transport == "local" else "was"
    return rf"^{who(transport, victim)} \(pid {pid}\) {were} killed by signal 9 \(Killed\) {phase}$"


STEP = r"(at|after) step \d+"


def stopped_while_loading(start, count, victim):
    """What start() runs, with the victim stopped in the middle of its weights; and the pids of all ranks. Loading is over
    within a tenth of a second: where it was missed, another is started."""

    def has_read(pid):
        with open(f"/proc/{pid}/io") as file:
            return int(file.readline().split()[1]) > 4 << 20

    for _ in range(50):
        run = start()
        try:
            pids = run.ranks(count)
            board = Board(run.process.pid, count)
            wait_until(lambda: has_read(pids[victim]), START_S, "the rank reads weights", interval=0.0005)
            os.kill(pids[victim], signal.SIGSTOP)
            wait_until(lambda: is_stopped(pids[victim]), START_S, "the rank stands", interval=0.001)
            caught = board.line(victim).phase == LOADING
            board.close()
        except BaseException:
            run.clean_up()
            raise
        if caught:
            return run, pids
        run.clean_up()
    raise Failed("50 ranks had loaded before they were stopped")


class Waiting:
    """A request that waits in a thread for its answer."""

    def __init__(self, server):
        self.outcome, self.failure = None, None
        self.thread = threading.Thread(target=self._ask, args=(server,), daemon=True)
        self.thread.start()
        for _ in range(10):  # it is in the server's hands when later ones have been answered
            time.sleep(0.01)
            server.get("/health")

    def _ask(self, server):
        try:
            self.outcome = server.post(PATH, LONG)
        except Exception as error:
            self.failure = error

    def answer(self, seconds):
        self.thread.join(seconds)
        check(not self.thread.is_alive(), f"no answer within {seconds} s")
        check(self.outcome is not None, f"no answer but {self.failure!r}")
        return self.outcome


def check_gone(server, code, message=None):
    """The server has ended with this code and said so; nothing is left and its port is free."""
    check_equal(server.ended(10), code, f"exit code\n  {server.described()}")
    if message is not None:
        check_equal(server.lines[-1], f"mrs-exec: {message}", "last line of stderr")
    check(is_free(server.port), f"port {server.port} is not free")


def check_error(error, code, pattern):
    check_equal((error["type"], error["code"]), ("server_error", code), f"type and code of {error}")
    check(re.search(pattern, error["message"]), f"error message\n  expected {pattern}\n  actual   {error['message']}")
    return error["message"]


class Cases:

    def __init__(self, work):
        self.work = work
        self.models = {
            in_load: write_zeros_model(work.path(f"zeros-{layers}"), layers)
            for in_load, layers in ((True, 8), (False, 2))
        }
        self.plan_of_four = work.plan(self.models[False], tp=4, max_len=4096)
        self.plans = {in_load: work.plan(model, tp=2, max_len=4096) for in_load, model in self.models.items()}

    def serve(self, transport, *arguments, in_load=False):
        return Server(self.work, self.plans[in_load], self.models[in_load], "--transport", transport, "--threads", "1",
                      "--quiet", "--drain", "0", *arguments)

    def serve_to_load(self, transport, victim):
        """A server whose victim stands in the middle of its weights, and the victim's pid."""
        server, pids = stopped_while_loading(lambda: self.serve(transport, in_load=True), process_count(transport), victim)
        return server, pids[victim]

    def once(self, transport, in_load):
        return Run(self.work, "--plan", self.plans[in_load], "--model", self.models[in_load], "--transport", transport,
                   "--threads", "1", "--quiet", "--prompt-ids", "1,2,3", "--max-tokens", LONG["max_tokens"],
                   "--ignore-eos")

    def in_stream(self, server, act, seconds, code, pattern):
        """A stream is under way, act() happens: the stream's last event is the error, within so many seconds."""
        stream = server.stream(PATH, {**LONG, "return_token_ids": True}, timeout=seconds + 5)
        events, acted, waited = [], None, None
        for event in stream:
            events.append(event)
            if len(events) == 5:
                waited = Waiting(server)
                acted = time.monotonic()
                act()
        check(acted is not None, f"the stream ended after {len(events)} events")
        took = time.monotonic() - acted
        check("error" in events[-1], f"last event of the stream: {events[-1]}\n  {server.described()}")
        message = check_error(events[-1]["error"], code, pattern)
        check(not stream.done, "the stream says [DONE] after an error")
        status, answer = waited.answer(seconds)
        check_equal((status, answer["error"]["message"]), (503 if code == "shutting_down" else 500, message),
                    "other client")
        check(took < seconds, f"the error took {took:.1f} s, expected less than {seconds}")
        return message

    def kill_in_stream(self, transport, victim):
        server = self.serve(transport)
        try:
            server.wait_ready()
            pid = server.ranks(process_count(transport))[victim]
            message = self.in_stream(server, lambda: os.kill(pid, signal.SIGKILL), BOUND_S, "engine_failed",
                                     killed(transport, victim, pid, STEP))
            check_gone(server, 1, message)
        finally:
            server.clean_up()

    def kill_in_load(self, transport, victim):
        server, pid = self.serve_to_load(transport, victim)
        try:
            check_equal(server.get("/health"), (503, {"status": "loading"}), "health while loading")
            waiting = Waiting(server)
            os.kill(pid, signal.SIGKILL)
            status, answer = waiting.answer(BOUND_S)
            check_equal(status, 500, f"status with {answer}")
            message = check_error(answer["error"], "engine_failed",
                                  killed(transport, victim, pid, "while loading weights"))
            check_gone(server, 1, message)
        finally:
            server.clean_up()

    def kill_at_start(self, transport, victim):
        """As early as the process can be seen; where that hits is chance."""
        server = self.serve(transport, in_load=True)
        try:
            pid = server.ranks(process_count(transport))[victim]
            os.kill(pid, signal.SIGKILL)
            phase = "(while starting|while meeting the others|while loading weights|before its first step|while idle)"
            check_gone(server, 1)
            pattern = killed(transport, victim, pid, phase)[1:]
            check(re.search(f"^mrs-exec: {pattern}", server.lines[-1]),
                  f"stderr, expected {pattern}\n  {server.described()}")
        finally:
            server.clean_up()

    def kill_once(self, transport, victim, in_load):
        start = lambda: self.once(transport, in_load)
        run, pids = stopped_while_loading(start, process_count(transport), victim) if in_load else (start(), None)
        try:
            pid = (pids or run.ranks(process_count(transport)))[victim]
            if not in_load:
                self.wait_for_steps(pid)
            killed_at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            check_equal(run.ended(BOUND_S), 1, f"exit code\n  {run.described()}")
            check(time.monotonic() - killed_at < BOUND_S, "too late")
            phase = "while loading weights" if in_load else STEP
            pattern = killed(transport, victim, pid, phase)[1:]
            check(re.search(f"^mrs-exec: prompt 0: {pattern}", run.lines[-1]),
                  f"stderr, expected {pattern}\n  {run.described()}")
        finally:
            run.clean_up()

    @staticmethod
    def wait_for_steps(pid):
        """Weights are read, and processor time goes on being spent: the rank is at its steps."""

        def read_bytes():
            with open(f"/proc/{pid}/io") as file:
                return int(file.readline().split()[1])

        def ticks():
            with open(f"/proc/{pid}/stat") as file:
                return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))

        seen, since = -1, 0

        def steady():
            nonlocal seen, since
            now = read_bytes() >> 20  # batches are small, weights are not
            if now != seen:
                seen, since = now, ticks()
            return seen > 16 and ticks() > since + 20

        wait_until(steady, START_S, "the rank computes")

    @staticmethod
    def frozen(transport, victim, pid, phase):
        return (rf"^{who(transport, victim)} \(pid {pid}\) {'are' if transport == 'local' else 'is'} frozen or cut off: no sign "
                rf"of life for 4\.\d s {phase}$")

    def stop_in_stream(self, transport, victim, ranks=2):
        """Whoever waits for the victim may keep others waiting: the victim is named all the same."""
        plan = self.plans[False] if ranks == 2 else self.plan_of_four
        server = Server(self.work, plan, self.models[False], "--transport", transport, "--threads", "1", "--quiet")
        try:
            server.wait_ready()
            pid = server.ranks(1 if transport == "local" else ranks)[victim]
            where = r"(at step \d+, operation \d+ of \d+ \('[\w.+]+'\)|while idle|while sending the result of step \d+)"
            message = self.in_stream(server, lambda: os.kill(pid, signal.SIGSTOP), SILENCE_S + BOUND_S, "engine_failed",
                                     self.frozen(transport, victim, pid, where))
            check_gone(server, 1, message)
        finally:
            server.clean_up()

    def stop_in_load(self, transport, victim):
        server, pid = self.serve_to_load(transport, victim)
        try:
            waiting = Waiting(server)
            status, answer = waiting.answer(SILENCE_S + BOUND_S)
            pattern = self.frozen(transport, victim, pid, "while loading weights")
            check_gone(server, 1, check_error(answer["error"], "engine_failed", pattern))
        finally:
            server.clean_up()

    def kill_supervisor(self, transport, when):
        server = (self.serve_to_load(transport, process_count(transport) - 1)[0] if when == "loading" else
                  self.serve(transport))
        try:
            if when == "starting":
                server.ranks(process_count(transport))
            elif when == "streaming":
                server.wait_ready()
                server.ranks(process_count(transport))
                stream = server.stream(PATH, LONG)
            server.process.kill()
            server.process.wait()
            wait_until(lambda: not processes(server.marker), BOUND_S, lambda: f"ranks end: {processes(server.marker)}")
            check(is_free(server.port), f"port {server.port} is not free")
            if when == "streaming":
                stream.close()
        finally:
            server.clean_up()

    def end_supervisor(self, transport, when):
        """SIGTERM: clients are told, exit code 0."""
        server = self.serve_to_load(transport, 0)[0] if when == "loading" else self.serve(transport)

        def end():
            server.process.send_signal(signal.SIGTERM)

        try:
            if when == "streaming":
                server.wait_ready()
                self.in_stream(server, end, BOUND_S, "shutting_down", "^the server is shutting down$")
            else:
                if when == "idle":
                    server.wait_ready()
                end()
            check_gone(server, 0)
            check_equal([line for line in server.lines if line.startswith("mrs-exec:")], [], "complaints")
        finally:
            server.clean_up()


def main():
    options = parse_arguments(__doc__)
    with Workplace("lost-rank", options.bin) as work:
        cases = Cases(work)
        table = []
        for transport, victim in victims():
            name = f"{transport}, {who(transport, victim)}"
            by_name = {
                "killed at its start": cases.kill_at_start,
                "killed while loading": cases.kill_in_load,
                "killed in a stream": cases.kill_in_stream,
                "stopped in a stream": cases.stop_in_stream,
                "stopped while loading": cases.stop_in_load
            }
            for what, case in by_name.items():
                table.append((f"{name}: {what}", lambda c=case, t=transport, v=victim: c(t, v)))
            for in_load in (True, False):
                table.append((f"{name}: killed {'while loading' if in_load else 'at work'}, --prompt-ids",
                              lambda t=transport, v=victim, i=in_load: cases.kill_once(t, v, i)))
        for transport, victim in (("shm", 0), ("shm", 3), ("tcp", 1), ("tcp", 2)):
            table.append((f"{transport}, rank {victim} of 4: stopped in a stream",
                          lambda t=transport, v=victim: cases.stop_in_stream(t, v, ranks=4)))
        for transport in TRANSPORTS:
            for when in ("starting", "loading", "streaming"):
                table.append((f"{transport}: supervisor killed, {when}",
                              lambda t=transport, w=when: cases.kill_supervisor(t, w)))
            for when in ("idle", "loading", "streaming"):
                table.append(
                    (f"{transport}: supervisor ended, {when}", lambda t=transport, w=when: cases.end_supervisor(t, w)))
        return 1 if run_cases(table, workers=3, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
