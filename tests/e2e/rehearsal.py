"""mrs-exec --rehearse: no weights, every transport, what is measured, what is refused; and links that are cut or lie.

    python3 rehearsal.py --bin build/cli --bad-link build/tests/e2e/libbad_link.so

A link is spoilt by a library that stands before libc in the ranks (bad_link.cc).
"""

import json
import os
import re
import subprocess
import sys

from harness import HERE, MINI, Run, Workplace, check, check_equal, parse_arguments, run_cases, run_main, write_zeros_model

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "planner"))
import plan_tools  # noqa: E402

SECONDS = 120  # of what takes well under one on an idle machine


class Cases:

    def __init__(self, work, bad_link):
        self.work = work
        self.bad_link = bad_link

    def build(self, name, model, *arguments):
        """A plan alone in a folder: there is nothing to load beside it."""
        path = self.work.path(name, f"{name}.mrsplan")
        self.work.tools.call([self.work.tools.plan_program, "build", model, *arguments, "--numerics", "pair2", "-o", path])
        return path

    def rehearse(self, plan, *arguments, code=0, environment=None):
        """(standard output, the lines of standard error); no process is left."""
        run = Run(self.work, "--plan", plan, "--rehearse", *arguments, environment=environment)
        try:
            check_equal(run.ended(SECONDS), code, f"exit code\n  {run.described()}")
            return run.output.decode(), run.lines
        finally:
            run.clean_up()

    def rehearsed(self, plan, *arguments):
        output, lines = self.rehearse(plan, "--json", *arguments)
        check_equal(lines, [], "standard error")
        return json.loads(output)

    def inspected(self, plan):
        return json.loads(self.work.tools.call([self.work.tools.plan_program, "inspect", plan, "--json"]))

    def whole(self, tp, pp, transport):
        plan = self.build(f"whole-{tp}-{pp}-{transport}", MINI, "--tp", str(tp), "--pp", str(pp))
        report = self.rehearsed(plan, "--transport", transport)
        planned = self.inspected(plan)
        ranks = tp * pp
        check_equal([report[key] for key in ("format", "ok", "error", "scope", "transport", "plan_sha256")],
                    ["mrs-rehearsal 1", True, None, "all", transport, planned["sha256"]], "what it is of")
        check_equal(report["layers"], [0, 1, 2, 3], "layers")
        check_equal([report["memory"]["checked"], report["memory"]["fits"]], [True, True], "memory")
        pairs = sorted((link["from"], link["to"]) for link in report["links"])
        check_equal(pairs, [(a, b) for a in range(ranks) for b in range(ranks) if a != b], "links")
        check(all(link["latency_ns"] > 0 and link["bytes_per_second"] > 0 for link in report["links"]), "links' times")
        check_equal([rank["planned_bytes"]["weights"] for rank in report["ranks"]],
                    [planned["stages"][rank["stage"]]["weight_arena_bytes"] for rank in planned["ranks"]], "arenas")
        buckets = planned["stages"][-1]["buckets"]
        check_equal([(step["tokens"], step["sequences"], step["logit_rows"], step["variant"]) for step in report["steps"]],
                    [(bucket["tokens"], bucket["sequences"], bucket["logit_rows"], variant) for bucket in buckets
                     for variant in ("candidates", "all_logits")], "steps")
        for step in report["steps"]:
            check(1 <= step["runs"] and 0 < step["min_ns"] <= step["median_ns"], f"times of {step}")
            check_equal(step["predicted_ns"], None, "what the plan predicts")
            self.check_exchanges(planned, step)

    @staticmethod
    def check_exchanges(planned, step):
        """Kinds, sizes and counts are the plan's, and each was measured."""
        width = {"f32": 4, "bf16": 2, "i32": 4, "u8": 1}
        expected = {}
        for index, stage in enumerate(planned["stages"]):
            for one in stage["steps"]:
                if one["variant"] not in ("always", step["variant"]):
                    continue
                if one["op"] in ("all_reduce", "all_gather"):
                    entry = stage["collectives"][one["attr"]]
                elif one["op"] in ("send", "recv"):
                    entry = stage["transfers"][one["attr"]]
                else:
                    continue
                size = step.get(entry["rows"], 1) * entry["row_elements"] * width[entry["dtype"]]
                key = (index, one["op"].replace("_", "-"), size)
                expected[key] = expected.get(key, 0) + 1
        check_equal({(line["stage"], line["kind"], line["bytes"]): line["count"] for line in step["exchanges"]}, expected,
                    f"exchanges of {step['tokens']} tokens")
        for line in step["exchanges"]:
            check(line["samples"] > 0 and 0 < line["min_ns"] <= line["median_ns"], f"{line}")

    def says(self):
        plan = self.build("says", MINI, "--tp", "2")
        output, lines = self.rehearse(plan, "--transport", "tcp", "--threads", "1")
        check_equal(lines, [], "standard error")
        for pattern in (
                r"^rehearsal     plan [0-9a-f]{64}, 2 ranks x 1 thread, transport tcp, ",
                r"^memory        fits: 74.2 MiB for 2 ranks \(64.0 MiB of it KV\), this host has ",
                r"^rehearsed     all 4 layers, 3 batch sizes, each with candidates and with all logits; arenas as planned, "
                r"6.52 MiB of zeros for weights$",
                r"^not rehearsed the weights' own bytes and files, the tokenizer, HTTP$",
                r"^links         2 checked by data, all whole; slowest [0-9.]+ [mu]s \(rank . -> rank .\), narrowest ",
                r"^step          16 tokens of 16 sequences, 16 rows of candidates: [0-9.]+ m?u?s \([0-9.]+ m?u?s at least, \d runs?\)$",
                r"^exchange      all-reduce \(doubling\) of 16.0 KiB, 9 a step: [0-9.]+ [mu]s \([0-9.]+ [mu]s at least\)$",
                r"^ok            rehearsed in [0-9.]+ s$"):
            check(re.search(pattern, output, re.M), f"no line like {pattern} in\n{output}")

    def too_large(self):
        """A cache of twice the host's memory: one layer is rehearsed, and it is said that the memory is not."""
        model = write_zeros_model(self.work.path("large"), 32)
        sequence_bytes = 32 * 4096 * 2 * 8 * 64 * 2  # layers, tokens, K and V, heads, elements, bytes
        host_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        sequences = max(16, min(4096, 2 * host_bytes // sequence_bytes))
        plan = self.build("cache", model, "--tp", "2", "--max-len", "4096", "--max-seqs", str(sequences), "--memory", "8TiB")
        report = self.rehearsed(plan)
        check_equal([report["scope"], report["layers"]], ["one layer of each kind", [0]], "scope")
        check_equal([report["memory"]["checked"], report["memory"]["fits"]], [False, False], "memory")
        check(report["memory"]["needed_bytes"] > report["memory"]["host_bytes"], "numbers of memory")
        output, _ = self.rehearse(plan)
        check(re.search(r"^memory        NOT checked: the plan takes .* for 2 ranks .*; to serve it here would be refused$", output, re.M), output)
        check("not rehearsed the weights' own bytes and files, the tokenizer, HTTP; the other layers, " in output, output)
        _, lines = self.rehearse(plan, "--rehearse-layers", "all", code=1)
        check(re.search(r"this host has .* in all; rebuild the plan for it with mrs-plan build --memory BYTES$", lines[-1]), lines)

    def large(self):
        """70 billion parameters from their headers, on two ranks."""
        folder = self.work.path("70b-headers")
        plan_tools.write_checkpoint(folder, plan_tools.LLAMA_70B, file_count=30)
        plan = self.build("70b", folder, "--tp", "2", "--memory", "400GiB")
        report = self.rehearsed(plan, "--rehearse-layers", "1")
        check_equal([report["scope"], report["layers"]], ["one layer of each kind", [0]], "scope")
        check_equal([(step["tokens"], step["variant"]) for step in report["steps"]],
                    [(16, "candidates"), (16, "all_logits"), (512, "candidates")], "steps")
        counts = [line["count"] for line in report["steps"][-1]["exchanges"] if line["kind"] == "all-reduce"]
        check_equal(counts, [161], "sums of a step")
        check(all(rank["rehearsed_weight_bytes"] < rank["planned_bytes"]["weights"] / 20 for rank in report["ranks"]), "arenas")
        check(all(rank["process_resident_bytes"] < 2 << 30 for rank in report["ranks"]), f"memory: {report['ranks']}")

    def refused(self, arguments, code, message):
        plan = self.build("refused", MINI, "--tp", "2")
        argv = [self.work.tools.exec_program, "--plan", plan, *arguments]
        run = subprocess.run(argv, capture_output=True, text=True)
        check_equal((run.returncode, run.stdout, run.stderr), (code, "", f"mrs-exec: {message}\n"), " ".join(argv))

    def unreadable_plan(self):
        path = self.work.path("none.mrsplan")
        output, lines = self.rehearse(path, "--json", code=1)
        report = json.loads(output)
        check_equal([report["format"], report["ok"]], ["mrs-rehearsal 1", False], "report")
        check_equal(lines, [f"mrs-exec: {report['error']}"], "standard error")

    def bad_link_named(self, ranks, rank, peer, kind, after):
        plan = self.build(f"link-{ranks}", MINI, "--tp", str(ranks))
        environment = {"LD_PRELOAD": self.bad_link, "MRS_BAD_LINK": f"{rank} {peer} {kind} {after}"}
        output, lines = self.rehearse(plan, "--transport", "tcp", "--threads", "1", "--json", code=1, environment=environment)
        error = json.loads(output)["error"]
        check_equal(lines, [f"mrs-exec: {error}"], "standard error")
        either = rf"(rank {rank} -> rank {peer}|rank {peer} -> rank {rank}) \(tcp 127\.0\.0\.1:\d+\)"
        one = {"flip-sent": rf"rank {rank} -> rank {peer} \(tcp 127\.0\.0\.1:\d+\)",
               "flip-received": rf"rank {peer} -> rank {rank} \(tcp 127\.0\.0\.1:\d+\)"}.get(kind, either)
        what = {"swallow": "nothing came through for [0-9.]+ s", "close": ".*(closed|failed).*"}.get(kind, ".+")
        check(re.fullmatch(rf"rank \d failed while rehearsing the start: link {one}: {what}", error), error)


def main():
    options = parse_arguments(__doc__, ("--bad-link", {"required": True, "help": "the library"}))
    with Workplace("rehearsal", options.bin) as work:
        cases = Cases(work, os.path.abspath(options.bad_link))
        table = [(f"{tp} ranks x {pp} stages over {transport}", lambda tp=tp, pp=pp, t=transport: cases.whole(tp, pp, t))
                 for tp, pp in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2)) for transport in ("local", "shm", "tcp", "ring")]
        table += [
            ("what it says", cases.says),
            ("a plan that does not fit", cases.too_large),
            ("70 billion parameters on two ranks", cases.large),
            ("a plan that is not there", cases.unreadable_plan),
            ("no prompt", lambda: cases.refused(["--rehearse", "--prompt", "a"], 2,
                                                "--rehearse has no weights to answer a prompt with")),
            ("layers alone", lambda: cases.refused(["--rehearse-layers", "1"], 2, "--rehearse-layers is for --rehearse")),
            ("other layers", lambda: cases.refused(["--rehearse", "--rehearse-layers", "2"], 2,
                                                   "--rehearse-layers 2: expected one of auto, 1, all")),
        ]
        for ranks, rank, peer in ((2, 1, 0), (4, 2, 1)):
            for kind in ("flip-sent", "flip-received", "swallow", "close"):
                for after in (0, 45, 100, 1100, 300000):  # in the first head, a small message, a head, a large one
                    if kind == "swallow" and after not in (100, 300000):
                        continue  # each takes as long as a silence may
                    table.append((f"{kind} after {after} bytes between ranks {rank} and {peer} of {ranks}",
                                  lambda *a, case=(ranks, rank, peer, kind, after): cases.bad_link_named(*case)))
        table.sort(key=lambda case: not case[0].startswith("swallow"))  # those that wait first
        return 1 if run_cases(table, workers=4, only=options.only) else 0


if __name__ == "__main__":
    run_main(main)
