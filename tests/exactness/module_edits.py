"""Modules to be edited as text: where each comes from, how one is changed, and what mrs-plan makes of it.

    shop = Workshop(bin, scratch, model, tp=2)
    lines, what = edit(shop.final, rng)                 # one number, type or place, never what says which model it is
    shop.build(lines, "tag")                            # ("refused", why) or ("built", path of the plan)
    shop.build(lines, "tag", against_source=True)       # the same, held against the unsharded module
    shop.run(path)                                      # hash of the logits

For edits.py and for tests/mutation. Standard library only.
"""

import re
import subprocess

from mrs_tools import Failed, Tools

FIRST_PASSES = ["--mrs-apply-layout", "--mrs-propagate", "--mrs-insert-collectives", "--mrs-cut-stages"]
OTHER_PASSES = ["--mrs-fuse", "--mrs-localize", "--mrs-schedule", "--mrs-in-place", "--mrs-plan-memory"]
PARTIAL = ", partial{tp}"
PROMPT = [5 + 13 * i % 60 for i in range(40)]
MODEL_ITSELF = re.compile(
    r"sources = \[.*?\}\]|(?:eps|scale|factor|cap|soft_cap|beta) = \S+ : f32|(?:window|original|rope) = \d+ : i64|\"[^\"]*\""
)
NUMBER = re.compile(r"(?<![\w%#.])-?\d+\b")
OPERATION = re.compile(r"\bmrs\.\w+ \"")
TYPE = re.compile(r"(?<=<)\[[^\]]+\][^>]*(?=>)")  # of !mrs.tensor<[T, 8{tp 4}, 32], bf16>


def numbers(line):
    """The numbers of an operation's line, but for what says which model it is."""
    fixed = [match.span() for match in MODEL_ITSELF.finditer(line)]
    return [m for m in NUMBER.finditer(line) if not any(begin <= m.start() < end for begin, end in fixed)]


def put(line, match, text):
    return line[: match.start()] + text + line[match.end() :]


def another(old, rng):
    """Any number but this one; often a near one."""
    near = [old + 1, old - 1, 2 * old, old // 2, -old, 0, 1, old + 16, old - 64, 1 << 40, 1 << 62]
    return rng.choice([new for new in near if new != old])


def edit_type(lines, tp, rng):
    """One type, wherever it stands, so that definition and uses still agree: another size, slice or partial state."""
    old = rng.choice(sorted({match.group() for line in lines for match in TYPE.finditer(line)}))
    split = [match for match in re.finditer(r"(\d+)(?:\{tp[^}]*\})?", old.partition("]")[0])]
    kind = rng.random()
    if kind < 0.2:
        new = old.removesuffix(PARTIAL) if old.endswith(PARTIAL) else old + PARTIAL
    elif kind < 0.5 and split:
        match = rng.choice(split)
        size = int(match.group(1))
        slices = ["", f"{{tp {size // tp}}}", f"{{tp {size // tp} every 2}}", f"{{tp {size // tp} start 0 step 0}}"]
        slices.append(f"{{tp {size // tp} start {size // tp} step {-(size // tp)}}}")
        new = put(old, match, match.group(1) + rng.choice(slices))
    else:
        match = rng.choice([*NUMBER.finditer(old)] or [None])
        new = put(old, match, str(another(int(match.group()), rng))) if match else old
    return [line.replace(f"<{old}>", f"<{new}>") for line in lines], f"<{old}> -> <{new}>"


def operations(lines):
    """Where the operations stand."""
    return [at for at, line in enumerate(lines) if OPERATION.search(line)]


def label(line):
    """mrs.add "l0.mlp_add" """
    return re.search(r"mrs\.\w+ \"[^\"]*\"", line).group()


def edit(lines, tp, rng):
    """(edited lines, what was done)."""
    choices = operations(lines)
    while True:
        at, kind = rng.choice(choices), rng.random()
        out, what = None, label(lines[at])
        if kind < 0.45:
            out, what = edit_type(lines, tp, rng)
        elif kind < 0.9:
            choice = numbers(TYPE.sub(lambda m: "x" * len(m.group()), lines[at]))
            if choice:
                match, out = rng.choice(choice), list(lines)
                out[at] = put(lines[at], match, str(another(int(match.group()), rng)))
                what += (
                    f": ...{lines[at][max(0, match.start() - 40) : match.end()]} -> {out[at][match.start() :][:20]}..."
                )
        elif at + 1 in choices and lines[at].split(" = ")[0].strip() + " " not in lines[at + 1].replace(",", " "):
            out, what = [
                *lines[:at],
                lines[at + 1],
                lines[at],
                *lines[at + 2 :],
            ], f"{what}: changes places with the next"
        if out is not None and out != lines:
            return out, what


class Workshop:
    """One model's modules: graph (a path, unsharded), early (lines, before fusion) and final (lines, finished)."""

    def __init__(self, bin_dir, scratch, model, tp, stages=1, timeout=30):
        self.tools, self.scratch, self.model, self.tp = Tools(bin_dir, timeout), scratch, model, tp
        self.opt, self.graph = f"{bin_dir}/mrs-opt", f"{scratch}/graph.mlir"
        how = ["--tp", str(tp), "--pp", str(stages), "--numerics", "pair2", "--max-len", "64", "--memory", "1GiB"]
        self.tools.call([self.tools.plan_program, "build", model, *how, "--ir-out", self.graph])
        self.final = self.tools.call([self.opt, self.graph, "--mrs-plan"]).split("\n")
        self.early = self.tools.call([self.opt, self.graph, *FIRST_PASSES]).split("\n")

    def bounded(self, argv):
        try:
            return subprocess.run(argv, capture_output=True, text=True, timeout=self.tools.timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{argv[0]}: no end after {self.tools.timeout} s") from None

    def build(self, lines, tag, passes=(), against_source=False):
        """("refused", why) or ("built", path of the plan); anything else fails."""
        module, plan = f"{self.scratch}/{tag}.mlir", f"{self.scratch}/{tag}.mrsplan"
        with open(module, "w") as file:
            file.write("\n".join(lines))
        if passes:
            passed = self.bounded([self.opt, module, *passes])
            if passed.returncode == 1 and " error: " in passed.stderr:
                return "refused", passed.stderr
            if passed.returncode != 0:
                raise Failed(f"mrs-opt: exit code {passed.returncode}: {passed.stderr.strip()[-500:]}")
            with open(module, "w") as file:
                file.write(passed.stdout)
        source = ["--ir-source", self.graph] if against_source else []
        built = self.bounded([self.tools.plan_program, "build", "--ir", module, *source, "-o", plan])
        if built.returncode == 1 and built.stderr.startswith("mrs-plan: "):
            return "refused", built.stderr
        if built.returncode != 0:
            raise Failed(f"mrs-plan: exit code {built.returncode}: {built.stderr.strip()[-500:]}")
        return "built", plan

    def run(self, plan):
        return self.tools.run(plan, self.model, [PROMPT], 6)[0]["logits_sha256"]
