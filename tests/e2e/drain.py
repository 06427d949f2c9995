"""The end that SIGTERM asks for: readiness drops, answers under way end, the rest is told why; and streams that say nothing
for a while are kept alive.

    python3 drain.py --bin build/cli
"""

import http.client
import json
import os
import signal
import subprocess
import time

from harness import Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main, wait_until, write_zeros_model

PATH = "/v1/completions"
BODY = {"prompt": [1, 2, 3], "ignore_eos": True, "temperature": 0}
LONG = {**BODY, "max_tokens": 4000}


def over(detail=""):
    return {"type": "server_error", "message": f"the server is shutting down{detail}", "code": "shutting_down", "param": None}


class Cases:

    def __init__(self, work):
        self.work = work
        self.model = write_zeros_model(work.path("zeros"), 1)
        self.plan = work.plan(self.model, tp=2, max_len=4096)
        self.narrow = work.plan(self.model, tp=1, max_len=4096, max_seqs=1)

    def serve(self, *arguments, plan=None, **more):
        server = Server(self.work, plan or self.plan, self.model, "--threads", "1", "--quiet", *arguments, **more)
        server.wait_ready()
        return server

    @staticmethod
    def draining(server):
        """Waits until /health says so."""
        wait_until(lambda: server.get("/health") == (503, {"status": "draining"}), 10, "/health says that it drains")

    def answers_end(self):
        server = self.serve()
        try:
            stream = server.stream(PATH, {**BODY, "max_tokens": 400})
            events = iter(stream)
            first = [next(events) for _ in range(5)]
            server.process.send_signal(signal.SIGTERM)
            self.draining(server)
            status, refused = server.post(PATH, BODY)
            check_equal((status, refused["error"]), (503, over(": it ends what it has begun and takes nothing new")),
                        "a new request")
            all_events = [*first, *events]
            check_equal(sum(len(event["choices"]) for event in all_events if event["choices"][0]["finish_reason"] is None) >= 399, True, "tokens of the stream")
            check_equal(all_events[-1]["choices"][0]["finish_reason"], "length", "end of the stream")
            check(stream.done, "[DONE] came")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
            check(any(line.startswith("draining      1 answer(s) under way, 30 s for them") for line in server.lines), f"{server.lines}")
        finally:
            server.clean_up()

    def whole_answers_end(self):
        """An answer that is not streamed, and whose client asks while the server drains already: it was first."""
        server = self.serve()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", PATH, json.dumps({**BODY, "max_tokens": 400}), {"Content-Type": "application/json"})
            stream = server.stream(PATH, {**BODY, "max_tokens": 20})
            next(iter(stream))  # so that the other one is taken, too
            server.process.send_signal(signal.SIGTERM)
            self.draining(server)
            answer = json.loads(connection.getresponse().read())
            check_equal(answer["usage"]["completion_tokens"], 400, "tokens")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def too_slow(self, seconds, detail):
        server = self.serve("--drain", seconds)
        try:
            started, last = None, None
            for number, event in enumerate(server.stream(PATH, LONG)):
                if number == 5:
                    server.process.send_signal(signal.SIGTERM)
                    started = time.monotonic()
                last = event
            check(time.monotonic() - started >= seconds, "the time was given")
            check_equal(last.get("error"), over(detail), "the stream's last event")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def again(self, number):
        """A second signal ends at once."""
        server = self.serve()
        try:
            last = None
            for index, event in enumerate(server.stream(PATH, LONG)):
                if index == 5:
                    server.process.send_signal(signal.SIGTERM)
                    self.draining(server)
                    server.process.send_signal(number)
                last = event
            check_equal(last.get("error"), over(), "the stream's last event")
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def rank_dies(self):
        """Nothing is left to wait for."""
        server = self.serve("--transport", "shm")
        try:
            last = None
            for index, event in enumerate(server.stream(PATH, LONG)):
                if index == 5:
                    server.process.send_signal(signal.SIGTERM)
                    self.draining(server)
                    os.kill(server.ranks(2)[1], signal.SIGKILL)
                last = event
            check_equal(last.get("error"), over(), "the stream's last event")
            check_equal(server.ended(15), 0, f"exit code\n  {server.described()}")
            check(any("while ending: rank 1 (pid " in line for line in server.lines), f"{server.lines}")
        finally:
            server.clean_up()

    def idle(self):
        """With nothing under way there is nothing to wait for."""
        server = self.serve("--drain", 86400)
        try:
            server.ask(PATH, {**BODY, "max_tokens": 2})
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(10), 0, f"exit code\n  {server.described()}")
            check(not any("draining" in line for line in server.lines), f"{server.lines}")
        finally:
            server.clean_up()

    def kept_alive(self):
        """One seat: the second stream waits for the first, and hears comments meanwhile."""
        server = self.serve(plan=self.narrow, environment={"KEEP_ALIVE_INTERVAL": "50"})
        try:
            first = server.stream(PATH, {**BODY, "max_tokens": 600})
            next(iter(first))
            second = server.stream(PATH, {**BODY, "max_tokens": 3})
            lines = []
            while b"data: [DONE]\n" not in lines:
                line = second.response.readline()
                check(line, f"the stream ended early: {lines}")
                lines.append(line)
            first_data = next(index for index, line in enumerate(lines) if line.startswith(b"data: "))
            check(lines[:first_data].count(b":\n") >= 2, f"comments before the first token: {lines}")
            check_equal({line for line in lines if not line.startswith(b"data: ")}, {b":\n", b"\n"}, "other lines")
            first.close()
            server.process.send_signal(signal.SIGTERM)
            check_equal(server.ended(20), 0, f"exit code\n  {server.described()}")
        finally:
            server.clean_up()

    def bad_interval(self, text, shown):
        argv = [self.work.tools.exec_program, "--plan", self.plan, "--model", self.model, "--port", "0"]
        run = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "KEEP_ALIVE_INTERVAL": text})
        check_equal((run.returncode, run.stderr),
                    (2, f"mrs-exec: KEEP_ALIVE_INTERVAL={shown}: expected milliseconds, a whole number from 1 to 86400000\n"),
                    text)


def main():
    options = parse_arguments(__doc__)
    with Workplace("drain", options.bin) as work:
        cases = Cases(work)
        table = [("a stream ends, and the server with it", cases.answers_end),
                 ("so does an answer that is one text", cases.whole_answers_end),
                 ("a stream that does not end within --drain", lambda: cases.too_slow(1, ": this answer did not end within --drain 1 s")),
                 ("--drain 0", lambda: cases.too_slow(0, "")),
                 ("SIGTERM twice", lambda: cases.again(signal.SIGTERM)),
                 ("SIGTERM and SIGINT", lambda: cases.again(signal.SIGINT)),
                 ("a rank dies meanwhile", cases.rank_dies),
                 ("nothing under way", cases.idle),
                 ("KEEP_ALIVE_INTERVAL", cases.kept_alive),
                 *[(f"KEEP_ALIVE_INTERVAL={text!r}", lambda text=text, shown=shown: cases.bad_interval(text, shown))
                   for text, shown in (("0", "0"), ("-5", "-5"), ("10s", "10s"), ("1e3", "1e3"), ("86400001", "86400001"))]]
        return 1 if run_cases(table, workers=2, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
