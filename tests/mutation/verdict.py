"""What a checker said of a mutant, and the table of who refused how many.

tally = Tally()
tally.add("plan", verdict)      # a Verdict; prints what survived
tally.print()
"""

import collections
import subprocess
from dataclasses import dataclass

TIMEOUT = 60  # seconds of one run of a program


@dataclass
class Verdict:
    outcome: str  # "killed", "no effect", "SURVIVED" or "BROKEN" (not even a verdict)
    checker: str = ""  # who refused
    said: str = ""


def call(argv):
    """(exit code, standard error); a run that does not end is BROKEN by exit code 124."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return 124, f"no end after {TIMEOUT} s"
    return done.returncode, done.stderr.strip()


def checker_of(said):
    """Which checker a refusal of mrs-plan is of, by its words."""
    if "erasure: " in said:
        return "erasure"
    if "plan to write: " in said or (said.startswith("mrs-plan: plan ") and "is not the plan of" not in said):
        return "plans/verify"
    if "safetensors" in said:
        return "file header"
    return "ir"


def refused(code, said):
    """The verdict of a run that must refuse."""
    if code == 0:
        return Verdict("SURVIVED")
    if code == 1 and said.startswith("mrs-plan: "):
        return Verdict("killed", checker_of(said), said)
    return Verdict("BROKEN", "", f"exit code {code}: {said[-500:]}")


class Tally:
    def __init__(self):
        self.count = collections.Counter()  # (kind of mutant, outcome, checker)
        self.bad = 0
        self.by_mutant = collections.defaultdict(collections.Counter)

    def add(self, kind, name, where, verdict, verbose=False):
        self.count[kind, verdict.outcome, verdict.checker] += 1
        self.by_mutant[kind, name][verdict.checker or verdict.outcome] += 1
        bad = verdict.outcome in ("SURVIVED", "BROKEN")
        self.bad += bad
        if bad or verbose:
            print(f"{verdict.outcome:9} {kind} {name} on {where}: {verdict.said or 'accepted'}", flush=True)

    def print(self):
        kinds = collections.defaultdict(set)
        for kind, name in self.by_mutant:
            kinds[kind].add(name)
        for kind, names in kinds.items():
            print(f"{kind}: {len(names)} kinds of mutants")
            for (of, outcome, checker), count in sorted(self.count.items()):
                if of == kind:
                    print(f"  {count:6} {outcome}{' by ' + checker if checker else ''}")
