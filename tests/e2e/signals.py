"""Signals to the server and to its ranks, whatever they were when it started.

    python3 signals.py --bin build/cli

SIGTERM, SIGINT, SIGHUP and SIGQUIT end the server in order (drain.py has what SIGTERM waits for), whether they were blocked or ignored; only an ignored SIGHUP
stays so, as nohup asks. SIGUSR1 and SIGUSR2 mean nothing. A rank that gets a signal that nobody else gets is named.
"""

import os
import signal
from signal import SIG_BLOCK, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2

from harness import Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main, write_zeros_model

PATH = "/v1/completions"
LONG = {"prompt": [1, 2, 3], "max_tokens": 4000, "ignore_eos": True, "temperature": 0}
SHORT = {**LONG, "max_tokens": 20}
ENDING = (SIGTERM, SIGINT, SIGHUP, SIGQUIT)
OVER = {"type": "server_error", "message": "the server is shutting down", "code": "shutting_down", "param": None}


def ignoring(*signals):
    return lambda: [signal.signal(number, SIG_IGN) for number in signals]


def blocking(*signals):
    return lambda: signal.pthread_sigmask(SIG_BLOCK, signals)


class Cases:

    def __init__(self, work):
        self.work = work
        self.model = write_zeros_model(work.path("zeros"), 1)
        self.plan = work.plan(self.model, tp=2, max_len=4096)

    def serve(self, *arguments, before_start=None):
        server = Server(self.work,
                        self.plan,
                        self.model,
                        "--transport",
                        "shm",
                        "--threads",
                        "1",
                        "--quiet",
                        "--drain",
                        "0",
                        *arguments,
                        before_start=before_start)
        server.wait_ready()
        return server

    @staticmethod
    def last_event(server, act):
        """The last event of a stream in which act() happens after the fifth."""
        events = []
        for event in server.stream(PATH, LONG, timeout=30):
            events.append(event)
            if len(events) == 5:
                act()
        return events[-1]

    def ends(self, number, before_start=None):
        server = self.serve(before_start=before_start)
        try:
            last = self.last_event(server, lambda: server.process.send_signal(number))
            check_equal(last.get("error"), OVER, "the stream's last event")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
            check_equal([line for line in server.lines if line.startswith("mrs-exec:")], [], "complaints")
        finally:
            server.clean_up()

    def goes_on(self, send, before_start=None):
        """The signals of send(server) change nothing."""
        server = self.serve(before_start=before_start)
        try:
            before = server.ask(PATH, {**SHORT, "return_token_ids": True})["choices"]
            events = []
            for event in server.stream(PATH, SHORT):
                events.append(event)
                if len(events) == 5:
                    send(server)
            check_equal(events[-1]["choices"][0]["finish_reason"], "length", "end of the stream")
            check_equal(server.ask(PATH, {**SHORT, "return_token_ids": True})["choices"], before, "the answer afterwards")
            server.process.send_signal(SIGTERM)
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def everyone_is_asked(self, number):
        """As systemd ends a service: the ranks get the signal, too, and may get it first."""
        server = self.serve()
        try:

            def ask():
                for pid in [*server.ranks(2), server.process.pid]:
                    os.kill(pid, number)

            check_equal(self.last_event(server, ask).get("error"), OVER, "the stream's last event")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def a_rank_is_named(self, number, before_start=None):
        server = self.serve(before_start=before_start)
        try:
            victim = server.ranks(2)[1]
            message = self.last_event(server, lambda: os.kill(victim, number))["error"]["message"]
            expected = f"rank 1 (pid {victim}) " + ("is frozen or cut off: no sign of life for 4." if number == SIGSTOP else
                                                    f"was killed by signal {int(number)} ({signal.strsignal(number)}) ")
            check(message.startswith(expected), f"the stream's error\n  expected {expected}...\n  actual   {message}")
            check_equal(server.ended(15), 1, f"exit code\n  {server.described()}")
            check_equal(server.lines[-1], f"mrs-exec: {message}", "last line of stderr")
        finally:
            server.clean_up()


def main():
    options = parse_arguments(__doc__)
    with Workplace("signals", options.bin) as work:
        cases = Cases(work)
        table = []
        for number in ENDING:
            name = number.name
            table.append((f"{name} ends the server", lambda n=number: cases.ends(n)))
            table.append((f"{name}, blocked at the start, ends it", lambda n=number: cases.ends(n, blocking(*ENDING))))
            if number != SIGHUP:
                table.append((f"{name}, ignored at the start, ends it", lambda n=number: cases.ends(n, ignoring(*ENDING))))
            table.append((f"{name} to one rank alone: it is named", lambda n=number: cases.a_rank_is_named(n)))
        table += [
            ("SIGHUP, ignored at the start, stays so",
             lambda: cases.goes_on(lambda server: server.process.send_signal(SIGHUP), ignoring(SIGHUP))),
            ("SIGUSR1 and SIGUSR2 to the server and its ranks mean nothing", lambda: cases.goes_on(lambda server: [
                os.kill(pid, number) for pid in [server.process.pid, *server.ranks(2)] for number in (SIGUSR1, SIGUSR2)
            ])),
            ("SIGTERM to all processes at once", lambda: cases.everyone_is_asked(SIGTERM)),
            ("SIGHUP to all processes at once", lambda: cases.everyone_is_asked(SIGHUP)),
            ("SIGCHLD ignored at the start: it ends in order", lambda: cases.ends(SIGTERM, ignoring(SIGCHLD))),
            ("SIGCHLD ignored at the start: a killed rank is named",
             lambda: cases.a_rank_is_named(SIGKILL, ignoring(SIGCHLD))),
            ("SIGCHLD blocked at the start: a killed rank is named",
             lambda: cases.a_rank_is_named(SIGKILL, blocking(SIGCHLD))),
            ("SIGCHLD ignored at the start: a rank that is stopped is named",
             lambda: cases.a_rank_is_named(SIGSTOP, ignoring(SIGCHLD))),
        ]
        return 1 if run_cases(table, workers=2, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
