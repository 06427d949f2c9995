"""A model on a GPU gives the logits_sha256 that it gives on a CPU.

    python3 cuda.py --bin build/cli --emulated                       what CI runs: mrs-exec-emulated, which needs no GPU
    python3 cuda.py --bin build/cli --models 20 --pack folder        for another machine: plans, checkpoints, what to expect
    python3 cuda.py --exec mrs-exec --packed folder                  there: no mrs-plan is needed, and nothing but Python

The bundled model in bf16 and f32, the tiny checkpoint of every family (tests/golden) and random ones (tests/exactness), in
both profiles, six prompts at a time in chunks of 7 or 64, with CUDA graphs and dependent launches, and without either.
Candidates alone are asked for, too: the same tokens.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

GENERATED = 12


def argv_of(program, folder, case, json_lines, graphs=None):
    argv = [program, "--plan", os.path.join(folder, case["plan"]), "--model", os.path.join(folder, case["model"])]
    argv += ["--chunk", str(case["chunk"]), "--max-tokens", str(GENERATED), "--ignore-eos", "--quiet"]
    argv += ["--json"] if json_lines else []
    argv += ["--cuda-graphs", graphs, "--dependent-launch", graphs] if graphs else []
    for ids in case["prompts"]:
        argv += ["--prompt-ids", ",".join(map(str, ids))]
    return argv


def hashes(program, folder, case, graphs=None):
    done = subprocess.run(argv_of(program, folder, case, True, graphs), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return [f"exit code {done.returncode}: {done.stderr.strip()} {done.stdout.strip()[-300:]}"]
    return [json.loads(line)["logits_sha256"] for line in done.stdout.splitlines()]


def plain(program, folder, case, graphs=None):
    done = subprocess.run(argv_of(program, folder, case, False, graphs), capture_output=True, text=True, timeout=300)
    return done.stdout if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()}"


def check(program, folder):
    """Runs what a folder holds, with graphs and dependent launches, and without either; how many of the runs differ."""
    with open(os.path.join(folder, "cases.json")) as file:
        cases = json.load(file)
    differing = 0
    for case in cases:
        for graphs in ("on", "off"):
            name = f"{case['name']}, graphs and dependent launches {graphs}"
            actual = hashes(program, folder, case, graphs)
            text = plain(program, folder, case, graphs)
            if actual != case["hashes"]:
                print(f"{name}: DIFFERS\n  expected {case['hashes']}\n  actual   {actual}")
            elif text != case["plain"]:
                print(f"{name}: candidates DIFFER\n  expected {case['plain']!r}\n  actual   {text!r}")
            else:
                continue
            differing += 1
    # The control: the two orders of sums differ, so a hash that did not depend on the bits would show.
    if len({tuple(case["hashes"]) for case in cases}) < len(cases):
        print("the control: two cases of different models or profiles have one hash")
        differing += 1
    count = sum(len(c["prompts"]) for c in cases)
    print(f"{len(cases)} models and profiles, {count} prompts, graphs and dependent launches on and off: {differing} runs differ from the CPU")
    return differing


def pack(bin_dir, folder, count, seed, tiny, prompts):
    """Makes plans for one GPU, and runs each model on the CPU."""
    import bits  # needs mrs-plan and the golden data

    tools = bits.Tools(bin_dir)
    models = bits.make_models(count, seed, folder)
    models += [m for i, m in enumerate(bits.tiny_models(seed, folder)) if i % tiny == 0] if tiny else []
    cases = []
    for index, model in enumerate(models):
        name = f"model-{index}"
        if not os.path.samefile(os.path.dirname(os.path.abspath(model.folder)), folder):
            shutil.copytree(model.folder, os.path.join(folder, name))
        else:
            os.rename(model.folder, os.path.join(folder, name))
            model = model._replace(folder=os.path.join(folder, name))
        for profile in bits.PROFILES:
            plan = f"{name}-{profile}.mrsplan"
            case = {"name": f"{model.name} {profile}", "plan": plan, "model": name, "chunk": (7, 64)[index % 2]}
            case["prompts"] = model.prompts[-prompts:]  # the long one is the first
            extra = ["--dtype", model.dtype]
            cpu = tools.build(
                model.folder, os.path.join(folder, "cpu.mrsplan"), numerics=profile, max_len=model.max_len, extra=extra
            )
            on_cpu = dict(case, plan="cpu.mrsplan")
            case["hashes"] = hashes(tools.exec_program, folder, on_cpu)
            case["plain"] = plain(tools.exec_program, folder, on_cpu)
            if len(case["hashes"]) != len(case["prompts"]):
                raise bits.Failed(f"{case['name']} on the CPU: {case['hashes']}")
            os.remove(cpu)
            tools.build(
                model.folder,
                os.path.join(folder, plan),
                numerics=profile,
                max_len=model.max_len,
                extra=[*extra, "--gpus", "2GB"],
            )
            cases.append(case)
    with open(os.path.join(folder, "cases.json"), "w") as file:
        json.dump(cases, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--emulated", action="store_true", help="check mrs-exec-emulated of that folder")
    parser.add_argument("--models", type=int, default=4, help="random ones")
    parser.add_argument("--tiny", type=int, default=3, help="every n-th of the tiny ones; 0: none")
    parser.add_argument("--prompts", type=int, default=6, help="of each model, at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pack", metavar="FOLDER", help="make it, and check nothing")
    parser.add_argument("--exec", help="the program to check")
    parser.add_argument("--packed", metavar="FOLDER", help="what --pack made")
    options = parser.parse_args()
    if options.packed:
        return 1 if check(options.exec, options.packed) else 0
    if options.pack:
        os.makedirs(options.pack)
        pack(options.bin, options.pack, options.models, options.seed, options.tiny, options.prompts)
        return 0
    with tempfile.TemporaryDirectory(prefix="mrs_cuda_") as folder:
        pack(options.bin, folder, options.models, options.seed, options.tiny, options.prompts)
        return 1 if check(os.path.join(options.bin, "mrs-exec-emulated"), folder) else 0


if __name__ == "__main__":
    sys.exit(main())
