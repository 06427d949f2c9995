"""What can be left out of CUDA kernels, found by reading their sources: no line number, no list.

for site in sites("kernels/cuda/norm.cu", text):
    site.name      # "norm.cu LaneSum: __syncthreads() removed, 2nd"
    site.mutated   # the whole text without it

Read are the bodies of functions that are __global__ or __device__, without comments. Kinds:

| kind | what | becomes |
|---|---|---|
| barrier | __syncthreads(); __syncwarp(...); | nothing |
| fence | __threadfence...(); and what else is named a fence | nothing |
| count | CountBlock(word) | a plain addition, which orders nothing |
| await | AwaitPrevious(); | nothing |
| flag | StoreRelease(word, value), of another rank or the host; Await(...) of another rank's | nothing; true |
| relaxed | StoreRelease(word, value); LoadAcquire(word) | the same word, but with nothing before or after it |
| commit, wait | CommitCopies(); WaitForCopies<n>(); | nothing; a wait also WaitForCopies<n + 1>() |
| mask | the mask of a shuffle, a sum of lanes, a __syncwarp | without its lowest bit; without its highest |
| guard | an if, an operand of && or || in one or in a bool, a comparison before ? | always so, where it leads on; never, where it leaves |
| bound | a < in the condition of a for | <= |
"""

import re
from dataclasses import dataclass

KINDS = ("barrier", "fence", "count", "await", "flag", "relaxed", "commit", "wait", "mask", "guard", "bound")


@dataclass
class Site:
    kind: str
    name: str
    line: int
    mutated: str
    function: str  # that it is in, without it


def without_comments(text):
    """Of the same length."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda match: " " * len(match[0]), text, flags=re.S)


def closing(code, at):
    """Where the bracket at `at` is closed."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if depth == 0:
            return i
    raise ValueError(f"a bracket is not closed: {code[at:at + 60]!r}")


def functions(code):
    """(name, first, last) of each body."""
    found, end = [], 0
    for match in re.finditer(r"__(?:global|device)__", code):
        if match.start() < end:
            continue
        at, name = match.end(), None
        while code[at] not in "{;":
            if code[at] == "(":
                before = re.search(r"([\w~]+|operator\s*\S+)\s*$", code[:at])
                if name is None and before and before[1] not in ("__launch_bounds__", "operator"):
                    name = before[1].removeprefix("operator").strip() or before[1]
                at = closing(code, at)
            at += 1
        if code[at] == "{":
            end = closing(code, at)
            found.append((name or "operator()", at, end))
    return found


def split(code, first, last, separator):
    """[first, last) of the parts between separators that no bracket holds."""
    parts, depth, begin, i = [], 0, first, first
    while i < last:
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if depth == 0 and code.startswith(separator, i):
            parts.append((begin, i))
            i += len(separator)
            begin = i
            continue
        i += 1
    return [*parts, (begin, last)]


def operands(code, first, last):
    """(first, last, "true" or "false") of what can be left out of a condition: each operand, or all where it is one."""
    for separator, neutral in (("&&", "true"), ("||", "false")):
        parts = split(code, first, last, separator)
        if len(parts) > 1:
            return [(*part, neutral) for part in parts]
    return [(first, last, None)]


def condition_before(code, at):
    """Where the condition begins that ends before the ? at `at`."""
    depth, i = 0, at - 1
    while i > 0:
        c = code[i]
        if c in ")]":
            depth += 1
        elif c in "([":
            if depth == 0:
                return i + 1
            depth -= 1
        elif depth == 0 and c in ";,{}:?":
            return i + 1
        elif depth == 0 and c == "=" and code[i - 1] not in "<>=!" and code[i + 1] != "=":
            return i + 1
        i -= 1
    return 0


def edits(code, first, last):
    """(kind, what, begin, end, new text) within a function."""
    body = code[first:last]

    def find(pattern):
        return ((match, first + match.start(), first + match.end()) for match in re.finditer(pattern, body))

    for match, begin, _ in find(r"\b__sync(?:threads|warp)\s*\("):
        end = closing(code, code.index("(", begin)) + 1
        yield "barrier", f"{code[begin:end]} removed", begin, end, ""
    for match, begin, end in find(r"\b(?:__threadfence\w*|\w*[fF]ence\w*)\s*\(\s*\)"):
        yield "fence", f"{match[0]} removed", begin, end, ""
    for match, begin, end in find(r"\bCountBlock\s*\("):
        stop = closing(code, end - 1)
        yield "count", f"{code[begin:stop + 1]} orders nothing", begin, stop + 1, f"((*({code[end:stop]}))++)"
    for match, begin, end in find(r"\bAwaitPrevious\(\)"):
        yield "await", f"{match[0]} removed", begin, end, ""
    for match, begin, end in find(r"\b(?:StoreRelease|Await)\s*\("):
        stop = closing(code, end - 1) + 1
        yield "flag", f"{code[begin:stop]} removed", begin, stop, "true" if match[0].startswith("Await") else "((void)0)"
    for match, begin, end in find(r"\b(?:StoreRelease|LoadAcquire)\s*\("):
        stop = closing(code, end - 1)
        builtin = "__atomic_store_n" if match[0].startswith("Store") else "__atomic_load_n"
        yield "relaxed", f"{code[begin:stop + 1]} is relaxed", begin, stop + 1, (
            f"{builtin}({code[end:stop]}, __ATOMIC_RELAXED)")
    for match, begin, end in find(r"\bCommitCopies\(\)"):
        yield "commit", f"{match[0]} removed", begin, end, ""
    for match, begin, end in find(r"\bWaitForCopies<([^;]*?)>\(\)"):
        yield "wait", f"{match[0]} removed", begin, end, ""
        yield "wait", f"{match[0]} waits for one less", begin, end, f"WaitForCopies<({match[1]}) + 1>()"
    for match, begin, end in find(r"\b(?:__shfl_\w+|__syncwarp|__ballot_sync|__any_sync|__all_sync|SumLanes)\s*\("):
        at = end - 1
        begin, end = split(code, at + 1, closing(code, at), ",")[0]
        mask = code[begin:end].strip()
        given = f"unsigned({mask})" if mask else "~0u"
        yield "mask", f"{match[0]}{mask}...) without the lowest lane", begin, end, f"({given} & ({given} - 1))"
        yield "mask", f"{match[0]}{mask}...) without the highest lane", begin, end, (
            f"({given} & ~(0x80000000u >> __builtin_clz({given})))")
    for match, begin, end in find(r"\bif\s*\("):
        stop = closing(code, end - 1)
        leaves = re.match(r"\s*(return|continue|break)\b", code[stop + 1:])
        for a, b, neutral in operands(code, end, stop):
            new = neutral or ("false" if leaves else "true")
            yield "guard", f"if: {code[a:b].strip()} is {new}", a, b, new
    for match, begin, end in find(r"\bbool\s+\w+\s*=\s*"):
        for a, b, neutral in operands(code, *split(code, end, code.index(";", end), ",")[0]):
            if neutral:
                yield "guard", f"{match[0].split()[1]}: {code[a:b].strip()} is {neutral}", a, b, neutral
    for match, begin, end in find(r"\?"):
        a, b = condition_before(code, begin), begin
        text = re.sub(r"^\s*return\b", lambda m: " " * len(m[0]), code[a:b])
        a += len(text) - len(text.lstrip())
        if re.search(r"[^<>-][<>]=?[^<>]", text.strip()) and "case " not in text:
            for new in ("true", "false"):
                yield "guard", f"{text.strip()} ? is {new}", a, b, f"({new}) "
    for match, begin, end in find(r"\bfor\s*\("):
        parts = split(code, end, closing(code, end - 1), ";")
        if len(parts) != 3:
            continue  # of a range
        for a, b in split(code, *parts[1], "&&"):
            less = re.search(r"(?<![<>=-])<(?![<=])", code[a:b])
            if less and not re.search(r"\w<[\w:, ]+>", code[a:b]):
                at = a + less.start()
                yield "bound", f"for: {code[a:b].strip()} by <=", at, at + 1, "<="


def sites(file, text):
    """All of a source, in its order."""
    code, found, seen = without_comments(text), [], {}
    for function, first, last in functions(code):
        for kind, what, begin, end, new in sorted(edits(code, first, last), key=lambda edit: edit[2:4]):
            name = f"{file.rsplit('/', 1)[-1]} {function}: {' '.join(what.split())}"
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                name += f" ({seen[name]})"
            mutated = text[:begin] + new + text[end:]
            changed = mutated[first:last + len(new) - (end - begin)]
            found.append(Site(kind, name, text.count("\n", 0, begin) + 1, mutated, changed))
    return found
