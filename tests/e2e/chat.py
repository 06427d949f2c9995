"""mrs-exec -i in a terminal and over a pipe: streams, remembers, stops an answer by Ctrl-C, ends by Ctrl-D.

tests/e2e/chat.py --bin build/cli [--only REGEX]
"""

import os
import pty
import select
import signal
import subprocess
import time

from harness import MINI, Workplace, check, check_equal, parse_arguments, processes, run_cases, run_main

MARK = "MRS_E2E_RUN"


class Terminal:
    """mrs-exec -i at a terminal of its own, whose Ctrl-C reaches all of its processes."""

    def __init__(self, command, marker):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ[MARK] = marker
            os.execv(command[0], command)
        self.seen = ""

    def type(self, text):
        os.write(self.terminal, text.encode())

    def until(self, text, seconds=60):
        """What came, up to and with the text."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            check(time.monotonic() < deadline, f"no {text!r} within {seconds} s: {self.seen!r}")
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.terminal, 4096).decode(errors="replace").replace("\r\n", "\n")
                except OSError:
                    check(text in self.seen, f"ended without {text!r}: {self.seen!r}")
        at = self.seen.index(text) + len(text)
        came, self.seen = self.seen[:at], self.seen[at:]
        return came

    def end(self, seconds=60):
        """The exit code; what is left to read is read, as a terminal does."""
        deadline = time.monotonic() + seconds
        while True:
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.terminal, 4096).decode(errors="replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.terminal)
                return os.waitstatus_to_exitcode(status)
            check(time.monotonic() < deadline, f"no end within {seconds} s: {self.seen!r}")


class Cases:
    def __init__(self, work):
        self.work = work
        self.plan = work.plan(MINI, tp=2)
        self.command = [work.tools.exec_program, "--plan", self.plan, "--model", MINI, "--quiet", "--threads", "1", "-i"]

    def piped(self, lines, *arguments):
        return subprocess.run([*self.command, *arguments], input=lines, capture_output=True, text=True, timeout=120)

    def lines_over_a_pipe(self):
        done = self.piped("Where is Lin?\n", "--temperature", "0", "--max-tokens", "12")
        check_equal((done.returncode, done.stderr), (0, ""), "a pipe")
        alone = done.stdout
        check(alone.endswith("\n") and len(alone) > 2, repr(alone))
        # A last line without its end, \r\n, blanks and empty lines change nothing.
        for text in ("Where is Lin?", "\n\n  Where is Lin?  \r\n"):
            check_equal(self.piped(text, "--temperature", "0", "--max-tokens", "12").stdout, alone, repr(text))

    def the_conversation_is_remembered(self):
        sampling = ("--temperature", "0", "--max-tokens", "12")
        first = self.piped("The ball is red.\n", *sampling).stdout
        both = self.piped("The ball is red.\nWhat is it?\n", *sampling).stdout
        check(both.startswith(first), (first, both))
        cleared = self.piped("The ball is red.\n\\clear\nWhat is it?\n", *sampling).stdout
        alone = self.piped("What is it?\n", *sampling).stdout
        check_equal(cleared, first + alone, "\\clear forgets")
        # The whole conversation as HTTP's chat would be asked it: held by the prompt's length.
        check(both != first + alone, "the second answer knows of the first line")

    def commands(self):
        done = self.piped("\\help\n\\nonsense x\n\\exit\nnever read\n")
        check_equal(done.returncode, 0, done.stderr)
        check(done.stdout.startswith("\\help shows this"), done.stdout)
        check("\\nonsense: there is no such command; \\help shows this" in done.stdout, done.stdout)
        check("never" not in done.stdout, done.stdout)

    def a_line_that_is_too_long(self):
        done = self.piped("word " * 2000 + "\nHi\n", "--temperature", "0", "--max-tokens", "3")
        check_equal(done.returncode, 0, done.stderr)
        check(done.stdout.startswith("not sent: messages: this model's maximum context length is 512 tokens"), done.stdout)
        check("\\clear begins anew\n" in done.stdout, done.stdout)
        alone = self.piped("Hi\n", "--temperature", "0", "--max-tokens", "3").stdout
        check(done.stdout.endswith("\n" + alone), (done.stdout, alone))
        done = self.piped("x" * (3 << 20) + "\nHi\n", "--temperature", "0", "--max-tokens", "3")
        check_equal((done.returncode, done.stdout),
                    (0, "not sent: a line has at most 1048576 bytes\n" + alone), done.stderr)  # fmt: skip

    def usage(self):
        for arguments, why in ((("--prompt", "x"), "-i asks for prompts itself; leave out --prompt and --prompt-ids"),
                               (("--json",), "--json and --logits-out are for --prompt and --prompt-ids"),
                               (("--rehearse",), "--rehearse has no weights to answer a prompt with")):  # fmt: skip
            done = self.piped("", *arguments)
            check_equal((done.returncode, done.stderr), (2, f"mrs-exec: {why}\n"), arguments)

    def a_terminal(self):
        # Ctrl-C comes before the end, however late the terminal is served.
        plan, model, long_answer = self.work.chatty(tp=2)
        command = [{self.plan: plan, MINI: model}.get(word, word) for word in self.command]
        begin = subprocess.run([*command, *long_answer[:-1], "100"], input="Tell me a story.\n", capture_output=True,
                               text=True, timeout=120).stdout  # fmt: skip
        whole = len(begin) * int(long_answer[-1]) // 100
        marker = f"chat-{os.getpid()}"
        terminal = Terminal([*command, *long_answer], marker)
        terminal.until("> ")
        # A terminal drops what nobody has read yet when Ctrl-C comes, so the answer has to have begun.
        for line in ("Tell me a story.", "And then?"):
            terminal.type(f"{line}\n")
            terminal.until(f"{line}\n")
            terminal.until(" ")
            terminal.type("\x03")
            came = terminal.until("\n> ")
            check(0 < len(came) < whole / 2, f"it stopped: {len(came)} of about {whole} bytes")
            check_equal(len(processes(marker)), 3, "Ctrl-C ends no process")
        terminal.type("\x04")
        check_equal(terminal.end(), 0, terminal.seen)
        check_equal(processes(marker), [], "no process is left")

    def ends_of_a_terminal(self):
        for how in ("\x03", "\\exit\n", signal.SIGTERM, signal.SIGHUP):
            marker = f"chat-{os.getpid()}-{how!r}"
            terminal = Terminal(self.command, marker)
            terminal.until("> ")
            if isinstance(how, str):
                terminal.type(how)
            else:
                os.kill(terminal.pid, how)
            check_equal(terminal.end(), 0, f"{how!r}: {terminal.seen!r}")
            check_equal(processes(marker), [], f"no process is left after {how!r}")

    def list(self):
        return [(name, getattr(self, name)) for name in (
            "lines_over_a_pipe", "the_conversation_is_remembered", "commands", "a_line_that_is_too_long", "usage",
            "a_terminal", "ends_of_a_terminal")]  # fmt: skip


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("chat", arguments.bin) as work:
        return 1 if run_cases(Cases(work).list(), workers=1, only=arguments.only) else 0


if __name__ == "__main__":
    run_main(main)
