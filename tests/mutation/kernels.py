"""Barriers, waits, lanes and guards of the CUDA kernels, left out one at a time: the test must find each.

    python3 kernels.py --build build                     what CTest runs: one of each kind, from a seed
    python3 kernels.py --build build --all --jobs 2      every one, half an hour
    python3 kernels.py --build build-tsan --all          every flag made relaxed
    python3 kernels.py --build build --only LaneSum      those whose name has a match
    ... --results FILE                                   goes on where a run with this file ended

kernel_sites.py finds them. Of each, one source (of a header, one that includes it) is compiled anew, for the emulator that
watches every access, and linked to kernels_cuda_watched_test; its tests of that file must fail: by what the emulator tells,
by other bits, or because they do not end. That a flag is relaxed the thread sanitizer tells alone: these are of a build
under it, and of kernels_cuda_peer_exchange_test. What is not found is in HARMLESS, with the reason; a row of it that nothing
matches, or that is found, is an error, too. Of barriers, fences, counts, flags between ranks, masks, commits and waits (for copies, for the launch before, for
other ranks) at least 95 of 100 must be found, those rows or not.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fnmatch import fnmatch

from kernel_sites import KINDS, sites

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNELS = "kernels/cuda"
TEST = "kernels_cuda_watched_test"
LIBRARY = "mrs_cuda_kernels_watched"
# Of a build under the thread sanitizer.
RACES = ("relaxed",)
RACES_TEST = "kernels_cuda_peer_exchange_test"
RACES_LIBRARY = "mrs_cuda_kernels_emulated"
SECONDS = 300  # of a processor, ten times what a file's tests take; more is no end, whatever else the host does
LEAST = 0.95
ORDERING = ("barrier", "fence", "count", "await", "flag", "commit", "wait", "mask")
# Tests of the files that have many, or none of the table's, and of a header that needs fewer than its source; of another
# file all the rest.
CASES = {
    "epilogue.h": "ExactCuda.gated_matmul:ExactCuda.matmul_rope_append:ExactCuda.matmul_add_rms_norm",
    "matmul.cu": "ExactCuda.matmul*:ExactCuda.Matmul*:ExactCuda.gated_matmul",
    "attention.cu": "ExactCuda.attention*:ExactCuda.Attention*",
    "rows.cu": "ExactCuda.embed:ExactCuda.select_rows:ExactCuda.top_candidates:ExactCuda.kv_append*:ExactCuda.KvAppend*",
    "norm.cu": "ExactCuda.*_norm:ExactCuda.sum_squares:ExactCuda.rms_scale",
    "sum_parts.cu": "SumParts.*",
    "peer_exchange.cu": "-PeerTransfer.*",
    "peer_transfer.cu": "PeerTransfer.*",
    "pack.cu": "PackCuda.*",
    "flash_attention.cu": "*",
    "gemv.cu": "FastCuda.*Product*",
    "embed_rows.cu": "FastCuda.Embed*",
}
# Programs with tests that TEST does not have.
TESTS = {
    "peer_exchange.cu": "kernels_cuda_peer_exchange_watched_test",
    "peer_transfer.cu": "kernels_cuda_peer_exchange_watched_test",
    "flash_attention.cu": "kernels_cuda_flash_watched_test",
    "gemv.cu": "kernels_cuda_fast_watched_test",
    "embed_rows.cu": "kernels_cuda_fast_watched_test",
}
# Of code that several kernels share: the source that is compiled with what is changed, whose tests must find it.
HEADERS = {"norm_row.h": "norm.cu", "peer_blocks.h": "peer_exchange.cu", "epilogue.h": "matmul.cu", "products.h": "matmul.cu"}
REST = "-" + ":".join(tests for file, tests in CASES.items() if file not in TESTS)
NOT_THERE = {"fence"}  # no kernel has one yet
# (pattern of names, why nothing finds it)
HARMLESS = [
    ("matmul.cu Matmul: if: fetches is true", "weights are asked for twice"),
    ("matmul.cu Matmul: if: group == 0 is true", "weights are asked for by each group"),
    ("matmul.cu Matmul: if: lane < kOwnRuns is true", "what the next block has is asked for, too"),
    ("gemv.cu Gemv: if: part == 0 is true", "weights are asked for by each warp that shares them"),
    ("peer_exchange.cu PeerSumInTwo: for: at < share.end by <=", "a piece more has nothing, which all ranks put and take alike"),
    ("peer_exchange.cu PeerSumNorm: for: first < norm.rows by <=", "a piece more has nothing, which all ranks put and take alike"),
    ("peer_exchange.cu PeerSumNorm: for: part < width by <=", "a piece more has nothing, which all ranks put and take alike"),
    ("peer_exchange.cu PeerSumNorm: width < most ? is false", "a row a piece: the same bits, later"),
    ("peer_transfer.cu EachPiece: if: threadIdx.x == 0 is true", "all threads tell the same, once all have put, and before the next piece"),
    ("peer_blocks.h Fail: * is relaxed", "why a wait ended is one word, read when the kernel has ended"),
    ("peer_blocks.h Await: *(&state->* is relaxed", "a word for who looks on, or from who says stop: nothing comes with it"),
    ("peer_blocks.h LookForStop: LoadAcquire(&state->stop) is relaxed", "a word that comes alone"),
    ("peer_exchange.cu PeerGreet: * is relaxed", "the hosts meet between the launch that puts and the one that looks"),
    ("peer_blocks.h Await: if: polls > kPollsALook is true", "a word more to who looks on: whoever still waits says so again"),
    ("attention.cu Scores: for: group < head_dim by <=", "a group more has no elements: it adds zero"),
    ("attention.cu Attention: for: first_head < group by <=", "heads past the last are none, and nothing is written"),
    ("matmul.cu Matmul: is_there: t < shape.tiles is true", "a stage has as many tiles as a thread keeps"),
    ("matmul.cu Matmul: if: t < shape.tiles is true", "a stage has as many tiles as a thread keeps"),
    ("matmul.cu Matmul: for: t < kMost by <= (2)", "a tile more is none of the stage's, and left"),
    ("norm_row.h LaneSum: if: first < width is true", "past the row's end zeros are fetched, which nobody adds"),
    ("norm_row.h LaneSum: if: team.own < kSumLanes is true", "more threads add, and nobody reads their sums"),
    ("rows.cu ValidEntries: left < 0 ? is false", "a count below zero is none to every loop"),
    ("rows.cu Candidates: if: better < k is true", "places past the k-th are written, in memory that is there, and not read"),
    ("attention.cu Attention: has_block: warp >= first_block is true", "what blocks before the first seen have is made, "
     "and not read"),
    ("attention.cu Attention: if: is_seen is true*", "what is not seen gets scores, which nobody reads"),
    ("attention.cu Attention: for: j < kPerThread by <=*", "an element more is of a head past the block's, and left"),
    ("attention.cu Weighed: if: kAreAllAhead is true", "how values are fetched, for speed; the same chain"),
    ("gemv.cu SumOverWarp: for: i < kHalf by <=", "a value more is given, which nobody takes"),
    ("gemv.cu Gemv: a.rows - first_row < kRows ? is true", "rows past those of a warp are none to every loop"),
    ("gemv.cu Gemv: kIsWhole && kRows < 8 ? is *", "how far a loop is unrolled"),
    ("gemv.cu Gemv: for: c < kColumns by <=", "a weight more lands past the thread's own array, which nothing watches"),
    ("flash_attention.cu FindRun: if: !goes_on is true", "each token is a run of its own: the same results, later"),
    ("flash_attention.cu Flash: for: d < kHeadDim by <=", "what lies between rows of V is zero, and not read"),
    ("flash_attention.cu Flash: for: n < kHeadDim / 8 by <= (2)", "head_dim ends before, so nothing is stored there"),
]


class Builder:
    """Compiles a changed kernel and links it before the library that has the unchanged one."""

    def __init__(self, build, folder):
        self.build, self.folder = os.path.abspath(build), folder
        with open(os.path.join(self.build, "compile_commands.json")) as file:
            commands = json.load(file)
        library = f"{LIBRARY}.dir"
        self.tells_races = not any(library in entry["command"] for entry in commands)
        if self.tells_races:
            library = f"{RACES_LIBRARY}.dir"
        self.compiles = {
            os.path.basename(entry["file"]): shlex.split(entry["command"])
            for entry in commands if library in entry["command"] and entry["file"].endswith(".cu")
        }
        tests = (RACES_TEST,) if self.tells_races else (TEST, *TESTS.values())
        self.links = {test: self.link_of(test) for test in tests}

    def tries(self, kind):
        return (kind in RACES) == self.tells_races

    def link_of(self, test):
        said = subprocess.run(["ninja", "-C", self.build, "-t", "commands", test], capture_output=True, text=True,
                              check=True).stdout.splitlines()[-1]
        return shlex.split(re.sub(r"^: && | && :$", "", said))

    def program(self, name, file, text):
        """The test with the text for the file; None: it does not compile."""
        made = f"{self.folder}/{name}.o"
        command = list(self.compiles[HEADERS.get(file, file)])
        command[command.index("-o") + 1] = made
        if file in HEADERS:
            source = f"{self.folder}/{name}/{KERNELS}/{file}"
            os.makedirs(os.path.dirname(source), exist_ok=True)
            command.insert(next(i for i, word in enumerate(command) if word.startswith("-I")), f"-I{self.folder}/{name}")
            file = HEADERS[file]
        else:
            source = command[command.index("-c") + 1] = f"{self.folder}/{name}.cu"
        with open(source, "w") as out:
            out.write(text)
        if subprocess.run([*command, "-w"], cwd=self.build, capture_output=True).returncode != 0:
            return None
        program = f"{self.folder}/{name}.test"
        link = list(self.links[RACES_TEST if self.tells_races else TESTS.get(file, TEST)])
        at = link.index("-o")
        link[at + 1] = program
        subprocess.run([*link[:at], made, *link[at:]], cwd=self.build, check=True, capture_output=True)
        os.remove(made)
        os.remove(source)
        return program


def bounded():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))


def run(program, file):
    """(whether the tests fail, how)."""
    tests = CASES.get(file) or CASES.get(HEADERS.get(file, file), REST)
    argv = [program, "--gtest_break_on_failure", "--gtest_brief=1", f"--gtest_filter={tests}"]
    own = {**os.environ, "TEST_TMPDIR": os.path.dirname(program),  # what it leaves when it ends so goes with it
           "TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", preexec_fn=bounded, env=own)
    if done.returncode == 0:
        return False, ""
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return True, "it does not end"
    if told := re.search(r"^WARNING: ThreadSanitizer: ([\w ]+)[^#]*#0 .* (\S+:\d+) ", done.stderr, re.M):
        return True, f"told: {told[1].strip()} at {told[2]}"
    if told := re.search(r"^emulation: (.*)$", done.stderr, re.M):
        return True, f"told: {told[1]}"
    if ": Failure" in done.stdout + done.stderr:
        return True, "other bits"
    return True, f"ends by signal {-done.returncode}"


def all_sites(builder):
    found = []
    for file in sorted({*builder.compiles, *HEADERS}):
        with open(os.path.join(REPOSITORY, KERNELS, file)) as source:
            found += [(file, site) for site in sites(f"{KERNELS}/{file}", source.read())]
    return found


def chosen(options, found):
    if options.only or options.kind:
        kinds = options.kind or KINDS
        return [(file, site) for file, site in found if re.search(options.only, site.name) and site.kind in kinds]
    if options.all:
        return found
    chance = random.Random(options.seed)
    by_kind = [[one for one in found if one[1].kind == kind] for kind in KINDS]
    return [chance.choice(group) for group in by_kind if group]


def harmless(name):
    return next((reason for pattern, reason in HARMLESS if fnmatch(name, pattern.replace("[", "[[]"))), None)


class Results:
    """What was found before, and what is: a line of JSON each. A site is the same as long as its function is; the file
    is to be deleted where the test has changed."""

    def __init__(self, path):
        self.path, self.known = path, {}
        if path and os.path.exists(path):
            with open(path) as file:
                self.known = {line["key"]: (line["failed"], line["how"]) for line in map(json.loads, file)}

    @staticmethod
    def key(site):
        return hashlib.sha256(f"{site.name}\n{site.function}".encode()).hexdigest()

    def of(self, site, judge):
        key = self.key(site)
        if key not in self.known:
            self.known[key] = failed, how = judge()
            if self.path:
                with open(self.path, "a") as file:
                    file.write(json.dumps({"key": key, "name": site.name, "failed": failed, "how": how}) + "\n")
        return self.known[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help=f"a build folder that has {TEST}, or under the thread sanitizer {RACES_TEST}")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="", help="a regular expression")
    parser.add_argument("--kind", action="append", choices=KINDS, help="all of this kind; may be given again")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", help="a file of what was found before, to which what is found now is added")
    options = parser.parse_args()
    started = time.monotonic()
    results = Results(options.results)
    with tempfile.TemporaryDirectory(prefix="mrs_kernels_") as folder:
        builder = Builder(options.build, folder)
        everything = all_sites(builder)
        stale = [p for p, _ in HARMLESS if not any(fnmatch(s.name, p.replace("[", "[[]")) for _, s in everything)]
        picked = chosen(options, [(file, site) for file, site in everything if builder.tries(site.kind)])
        outcomes, found, wrong = Counter(), Counter(), [f"HARMLESS has a row that no site matches: {pattern}" for pattern in stale]
        unread = [k for k in KINDS if k not in NOT_THERE and not any(s.kind == k for _, s in everything)]
        wrong += [f"no {kind} was found in the kernels: are they written otherwise now?" for kind in unread]

        def judge(index):
            file, site = picked[index]
            return results.of(site, lambda: tried(f"mutant{index}", file, site))

        def tried(name, file, site):
            program = builder.program(name, file, site.mutated)
            if program is None:
                return None, "does not compile"
            verdict = run(program, file)
            os.remove(program)
            return verdict

        # What is unchanged passes, or what fails would say nothing. In CTest the test itself says so.
        for file in sorted({file for file, _ in picked}) if options.all or options.only or options.kind else ():
            with open(os.path.join(REPOSITORY, KERNELS, file)) as source:
                program = builder.program("unchanged", file, source.read())
            failed, how = run(program, file) if program else (True, "does not compile")
            if failed:
                sys.exit(f"the unchanged {file} fails: {how}")
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for (file, site), (failed, how) in zip(picked, pool.map(judge, range(len(picked)))):
                reason = harmless(site.name)
                outcome = "BROKEN" if failed is None else "found" if failed else "harmless" if reason else "MISSED"
                outcomes[outcome] += 1
                found[site.kind] += outcome == "found"
                print(f"{outcome:8} {site.kind:8} {file}:{site.line}: {site.name}: {how or reason or ''}", flush=True)
                if outcome in ("BROKEN", "MISSED"):
                    wrong.append(f"{outcome}: {site.name}")
                if outcome == "found" and reason:
                    wrong.append(f"HARMLESS says of what is found: {site.name}")
    tried = Counter(site.kind for _, site in picked)
    print(f"{len(picked)} of {len(everything)} sites, seed {options.seed}: {dict(outcomes)}, "
          f"{time.monotonic() - started:.0f} s; found: " + ", ".join(f"{found[k]} of {tried[k]} {k}s" for k in tried))
    least = LEAST * sum(tried[kind] for kind in ORDERING)
    if options.all and sum(found[kind] for kind in ORDERING) < least:
        wrong.append(f"fewer than {100 * LEAST:.0f} % of what orders accesses are found")
    for line in wrong:
        print(line)
    return 1 if wrong or not picked else 0


if __name__ == "__main__":
    sys.exit(main())
