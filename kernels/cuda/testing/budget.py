"""What the kernels for devices take, a row a kernel: no more than budget.txt says, which the build's ptxas is held to.

    python3 budget.py --built build/kernels/cuda            compares
    python3 budget.py --built build/kernels/cuda --write    makes budget.txt anew, after a change that is meant

Registers of a thread, in the order of the architectures in the file's first line, then bytes of static shared memory, of
stack and of spills (stores and loads), each the most of any of them; no kernel may spill. (Dynamic shared memory is a
launch's to ask for, by what it is given: matmul_split.h, attention.cu.) The build leaves what ptxas -v said beside each
object (device.cmake). A budget is kept by whichever architectures were built.
"""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = os.path.join(os.path.dirname(HERE), "budget.txt")
CHAINS = {"1": "pair2", "2": "block32"}  # kernels.h
AFTERS = {"0": "stored", "1": "gated", "2": "turned", "3": "normed"}  # epilogue.h


def short_name(demangled):
    """'void mrs::...::Matmul<mrs::kernels::bf16, (mrs::kernels::Chain)1, 1, 1>(...)' -> 'Matmul<bf16,pair2,1,1>'."""
    name = re.sub(r"\(anonymous namespace\)::|mrs::|kernels::|cuda::|^void ", "", demangled)
    name = re.sub(r"\(Chain\)(\d+)", lambda m: CHAINS[m[1]], name)
    name = re.sub(r"\(After\)(\d+)", lambda m: AFTERS[m[1]], name)
    return name.split("(")[0].replace(" ", "")


def read_ptxas(text, where):
    """[(mangled, architecture, numbers)] of what ptxas -v wrote."""
    found, kernel = [], None
    for number, line in enumerate(text.splitlines(), 1):
        at = f"{where}:{number}"
        if match := re.search(r"Compiling entry function '(\S+)' for '(sm_\d+\w*)'", line):
            kernel = (match[1], match[2], {})
            found.append(kernel)
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if kernel is None:
                continue  # of a function that is no kernel: its callers' numbers include it
            kernel[2].update(stack=int(match[1]), spills=int(match[2]) + int(match[3]))
        elif match := re.search(r"Used (\d+) registers", line):
            if kernel is None or "registers" in kernel[2]:
                sys.exit(f"{at}: registers of no kernel: {line}")
            static = re.search(r"(\d+) bytes smem", line)
            kernel[2].update(registers=int(match[1]), shared=int(static[1]) if static else 0)
    for mangled, architecture, numbers in found:
        if len(numbers) != 4:
            sys.exit(f"{where}: {mangled} of {architecture}: ptxas said only {numbers}")
    return found


def read_built(folder):
    """{kernel: {architecture: numbers}}"""
    texts = sorted(name for name in os.listdir(folder) if name.endswith(".device.o.ptxas"))
    if not texts:
        sys.exit(f"{folder}: no *.device.o.ptxas there; build the target mrs_cuda_kernels")
    found = []
    for name in texts:
        with open(os.path.join(folder, name)) as file:
            found += read_ptxas(file.read(), os.path.join(folder, name))
    mangled = "\n".join(name for name, _, _ in found)
    demangled = subprocess.run(["c++filt"], input=mangled, capture_output=True, text=True, check=True).stdout
    kernels = {}
    for name, (_, architecture, numbers) in zip(demangled.splitlines(), found):
        of_kernel = kernels.setdefault(short_name(name), {})
        if architecture in of_kernel:
            sys.exit(f"{folder}: {short_name(name)} of {architecture} was compiled twice")
        of_kernel[architecture] = numbers
    return kernels


def read_budget(path):
    """As read_built."""
    kernels, architectures = {}, None
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words or words[0] == "#":
                continue
            if architectures is None:
                architectures = [word for word in words if word.startswith("sm_")]
                continue
            if len(words) != 1 + len(architectures) + 3 or words[0] in kernels:
                sys.exit(f"{path}:{number}: not a row of its own of {len(architectures)} architectures: {line.strip()}")
            *registers, shared, stack, spills = map(int, words[1:])
            kernels[words[0]] = {
                architecture: {"registers": count, "shared": shared, "stack": stack, "spills": spills}
                for architecture, count in zip(architectures, registers)
            }
    return kernels


def architectures_of(kernels):
    """['sm_90', 'sm_90a', 'sm_100']: by number, then by letter."""
    found = {architecture for of_kernel in kernels.values() for architecture in of_kernel}
    return sorted(found, key=lambda a: (int(re.sub(r"\D", "", a)), a))


def write_budget(path, kernels):
    architectures = architectures_of(kernels)
    head = ["kernel", *architectures, "shared", "stack", "spills"]
    rows = []
    for name, of_kernel in sorted(kernels.items()):
        if list(of_kernel) and set(of_kernel) != set(architectures):
            sys.exit(f"{name}: built for {sorted(of_kernel)} alone; build all architectures to write the budget")
        most = [max(numbers[what] for numbers in of_kernel.values()) for what in ("shared", "stack", "spills")]
        rows.append([name, *[of_kernel[a]["registers"] for a in architectures], *most])
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    widths[0] = max(widths[0], 36)  # so that a longer name changes no other row
    with open(path, "w") as file:
        file.write("# Registers of a thread by architecture; static shared memory, stack and spills in bytes. See budget.py.\n")
        for row in [head, *rows]:
            cells = [str(row[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(row[1:], widths[1:])]
            file.write("  ".join(cells) + "\n")


def compare(built, budget):
    """What is wrong, a line each."""
    wrong = [f"{name}: built, but has no row in the budget" for name in sorted(built.keys() - budget.keys())]
    wrong += [f"{name}: in the budget, but not built" for name in sorted(budget.keys() - built.keys())]
    for name in sorted(built.keys() & budget.keys()):
        if not built[name].keys() & budget[name].keys():
            wrong.append(f"{name}: of the budget's architectures {sorted(budget[name])} none was built")
        for architecture in sorted(built[name].keys() & budget[name].keys()):
            for what, most in budget[name][architecture].items():
                actual = built[name][architecture][what]
                if what == "spills" and actual > 0:
                    wrong.append(f"{name} of {architecture}: spills {actual} bytes, and none may")
                elif actual > most:
                    wrong.append(f"{name} of {architecture}: {what} {actual}, and the budget is {most}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built", required=True, help="folder of the objects")
    parser.add_argument("--budget", default=BUDGET)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    built = read_built(options.built)
    if options.write:
        write_budget(options.budget, built)
        print(f"{options.budget}: {len(built)} kernels")
        return 0
    budget = read_budget(options.budget)
    wrong = compare(built, budget)
    if not wrong and built:
        # The control: a budget of a register less is not kept.
        name = sorted(built)[0]
        less = {a: dict(n, registers=n["registers"] - 1) for a, n in built[name].items()}
        if len(compare(built, dict(budget, **{name: less}))) != len(built[name]):
            wrong.append("the control: a budget of a register less was kept")
    for line in wrong:
        print(line)
    if wrong:
        print(f"where it is meant: python3 {os.path.relpath(__file__)} --built {options.built} --write")
    print(f"{len(built)} kernels of {', '.join(architectures_of(built))}: {len(wrong)} past the budget")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
