"""Random models on random memory: what a refusal proposes plans when it is applied, and what --solve finds is the most.

tests/planner/fit_property.py --bin build/cli [--count 1000] [--seed N]

Every model is a config.json alone. For a share of them, of Llama's kind, a checkpoint of headers is planned for real.
"""

import collections
import json
import os
import random
import re
import shlex
import shutil
import sys
import tempfile

import plan_tools

ARCHITECTURES = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Phi3ForCausalLM",
    "Olmo2ForCausalLM",
    "Olmo3ForCausalLM",
    "StableLmForCausalLM",
    "GraniteForCausalLM",
]


MODELS = ["H100-SXM", "A100-SXM-80GB", "H200", "L40S", "L4", "RTX-4090"]


def random_gpus(rng, needs):
    """A cluster as one says it: of about the memory that a model needs, or of models of the catalogue."""
    if rng.random() < 0.6:
        count = rng.choice([1, 2, 3, 4, 6, 8, 16])
        # A GPU rank takes up to 400 MiB more than its arenas.
        each = int(needs * rng.choice([0.1, 0.5, 0.8, 1.0, 1.3]) / count / 0.9) + rng.choice([0, 100, 400, 800]) * 1024**2
        if rng.random() < 0.3:
            return ",".join(f"{max(1, int(each * rng.choice([0.5, 1, 2])))}B" for _ in range(min(count, 8)))
        return f"{count}x{max(each, 1)}B"
    if rng.random() < 0.4:
        return ",".join(f"{rng.choice([1, 2, 8, 16, 24, 48, 80])}GB" for _ in range(rng.choice([1, 2, 3, 4, 8])))
    nodes = rng.choice(["", "", "2x", "8x"])
    return f"{nodes}{rng.choice([1, 2, 3, 4, 6, 8])}x{rng.choice(MODELS)}{'+400G' if nodes else ''}"


def random_config(rng):
    kv_heads = rng.choice([1, 2, 3, 4, 5, 8, 10])
    heads = kv_heads * rng.choice([1, 2, 3, 4, 6, 8])
    head_dim = rng.choice([32, 64, 80, 128])
    layers = rng.choice([1, 2, 3, 5, 12, 28, 33, 61, 80, 126])
    window = rng.choice([None, 64, 512, 4096])
    return {
        "architectures": [rng.choice(ARCHITECTURES)],
        "hidden_size": heads * head_dim,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": rng.choice([43, 64, 96, 128]) * rng.choice([1, 4, 16, 64, 224]),
        "vocab_size": rng.choice([100, 2003, 32000, 128256, 262144]),
        "max_position_embeddings": rng.choice([16, 100, 2048, 8192, 131072, 1048576]),
        "torch_dtype": rng.choice(["bfloat16", "float32"]),
        "tie_word_embeddings": rng.random() < 0.3,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        **({"sliding_window": window} if window else {}),
        **({"use_parallel_residual": True} if rng.random() < 0.3 else {}),
    }


class Case:
    def __init__(self, tools, folder, rng):
        self.plan, self.folder, self.rng = tools.plan, folder, rng
        self.config = random_config(rng)
        self.path = os.path.join(folder, "config.json")
        with open(self.path, "w") as file:
            json.dump(self.config, file)
        self.options = {}

    def run(self, options, model=None):
        command = [self.plan, "build", model or self.path, "--dry-run"]
        for name, value in options.items():
            command += [name] if value is None else [name, str(value)]
        return plan_tools.run(command)

    def needs(self, options):
        """Bytes that a rank of the largest stage takes, weights and activations and KV, or None: this is refused."""
        done = self.run(options)
        if done.returncode != 0:
            return None
        return max(int(number) for number in re.findall(r"each needs (\d+) bytes", done.stdout))


def changed(options, change):
    """`options` with those of a proposal, "--tp 4 --pp 2" or "--pp 3 without --device-layers"."""
    after = dict(options)
    if change.endswith(" without --device-layers"):
        change = change[: -len(" without --device-layers")]
        after.pop("--device-layers")
    words = shlex.split(change)
    after.update(zip(words[::2], words[1::2]))
    if "--pp" in words:
        after.pop("--device-layers", None)
    return after


def proposals(message):
    """(changes, what memory would do) of a refusal."""
    found = re.search(r"too few; what fits: (.*); or (.*)$", message.strip())
    if found:
        return found[1].split(", or "), found[2]
    found = re.search(r"too few; nothing listed suffices \(.*\); (.*) would$", message.strip())
    return ([], found[1]) if found else None


def check_ways(case, options, message, counts):
    """What works instead of an illegal size does."""
    found = re.search(r"; what works: (.*)$", message.strip())
    if not found:
        found = re.search(r"of these devices no layout fits: .*; devices of (\d+) bytes each would, with (.*)$", message.strip())
        if not found:
            raise AssertionError(f"{options}: a size is refused without a way out: {message}")
        # As many cards of that much memory, joined by nothing: that layout fits on them, and not with a byte less.
        counts["no layout fits"] += 1
        devices, words = gpu_count(options["--gpus"]), found[2].split()
        for bytes_each, fits in ((int(found[1]), True), (int(found[1]) - 1, False)):
            after = {name: value for name, value in options.items() if name not in ("--tp", "--pp", "--device-layers")}
            after.update({"--gpus": ",".join([f"{bytes_each}B"] * devices), **dict(zip(words[::2], words[1::2]))})
            if (case.run(after).returncode == 0) != fits:
                raise AssertionError(f"{options}: {bytes_each} bytes with {found[2]}: expected fits {fits}: {message}")
        return
    without = {name: value for name, value in options.items() if name not in ("--tp", "--pp", "--device-layers")}
    for way in found[1].split("; or "):
        way, _, devices = way.partition(", which is --devices ")
        for options_of_way in [way.split()] + ([["--devices", devices.split()[0]]] if devices else []):
            after = {**without, **dict(zip(options_of_way[::2], options_of_way[1::2]))}
            applied = case.run(after)
            counts["ways applied"] += 1
            if applied.returncode != 0:
                raise AssertionError(f"{options}: what works was {' '.join(options_of_way)}: {applied.stderr}")


def check_refusal(case, options, counts):
    done = case.run(options)
    if done.returncode == 0:
        counts["plans"] += 1
        return
    if "legal tensor-parallel sizes" in done.stderr and "--gpus" in options:
        check_ways(case, options, done.stderr, counts)
        return
    if "does not fit" not in done.stderr:
        counts["other refusals"] += 1
        return
    said = proposals(done.stderr)
    if said is None:
        raise AssertionError(f"a refusal without a way out: {done.stderr}")
    changes, memory = said
    counts["refusals with changes" if changes else "nothing suffices"] += 1
    for change in changes:
        applied = case.run(changed(options, change))
        counts["changes applied"] += 1
        if applied.returncode != 0:
            raise AssertionError(f"{options}: proposed {change}: {applied.stderr}")
    if memory.startswith("devices of "):
        # As many cards of that much memory, joined by nothing: the same layout fits on them.
        devices = gpu_count(options["--gpus"])
        bigger = f"{devices}x{memory.split()[2]}B"
        after = {**options, "--gpus": bigger}
        layers = re.search(r' with --device-layers "([0-9:;]+)"$', memory)
        if layers:
            after["--device-layers"] = layers[1]
        applied = case.run(after)
        counts["memory applied"] += 1
        if applied.returncode != 0:
            raise AssertionError(f"{options}: proposed {bigger}: {applied.stderr}")
        less = f"{devices}x{int(memory.split()[2]) - 1}B"
        if case.run({**after, "--gpus": less}).returncode == 0:
            raise AssertionError(f"{options}: {bigger} is more than it takes")
    if memory.startswith("--memory "):
        applied = case.run({**options, "--memory": memory.split()[1]})
        if applied.returncode != 0:
            raise AssertionError(f"{options}: proposed {memory}: {applied.stderr}")
        less = case.run({**options, "--memory": int(memory.split()[1]) - 1})
        if less.returncode == 0:
            raise AssertionError(f"{options}: {memory} is more than it takes")


def gpu_count(text):
    if "," in text or "x" not in text:
        return len(text.split(","))
    numbers = [int(part) for part in text.split("x")[:-1] if part.isdigit()]
    return numbers[0] * (numbers[1] if len(numbers) > 1 else 1)


def check_solve(case, options, counts):
    """The largest that fits does, and one more does not."""
    done = case.run({**options, "--solve": "max-len"})
    if done.returncode != 0:
        counts["unsolvable"] += 1
        return
    found = re.search(r"--max-len (\d+), the most of which one sequence fits(: all)?", done.stdout)
    most = int(found[1])
    at_most = {**options, "--max-len": most}
    if case.run(at_most).returncode != 0:
        raise AssertionError(f"{options}: --solve max-len says {most}, which is refused")
    if not found[2] and case.run({**options, "--max-len": most + 1}).returncode == 0:
        raise AssertionError(f"{options}: --solve max-len says {most}, but one more fits")
    counts["solved"] += 1


def plan_for_real(case, folder, options, counts):
    """The same verdict from a checkpoint of headers, which goes through every pass."""
    shape = {key: case.config[key] for key in plan_tools.LLAMA_70B}
    model = os.path.join(folder, "model")
    plan_tools.write_checkpoint(model, shape, 1)
    try:
        out = os.path.join(folder, "out.mrsplan")

        def build(with_options):
            command = [case.plan, "build", model, "-o", out]
            for name, value in with_options.items():
                command += [name, str(value)]
            return plan_tools.run(command)

        done = build(options)
        said = proposals(done.stderr) if done.returncode != 0 else None
        for change in said[0] if said else []:
            applied = build(changed(options, change))
            if applied.returncode != 0:
                raise AssertionError(f"a plan of {shape} {options}: proposed {change}: {applied.stderr}")
            counts["changes applied to plans"] += 1
    finally:
        shutil.rmtree(model)


def one(tools, seed, number, counts):
    rng = random.Random(f"{seed} {number}")
    folder = tempfile.mkdtemp(prefix="mrs_fit_")
    try:
        case = Case(tools, folder, rng)
        options = {"--max-seqs": rng.choice([1, 3, 16, 64, 700])}
        if rng.random() < 0.5:
            options["--tp"] = rng.choice([1, 2, 4, 8])
        layers = case.config["num_hidden_layers"]
        if rng.random() < 0.3 and layers > 1:
            options["--pp"] = rng.choice([n for n in (2, 3, 4, 8) if n <= layers] or [1])
        elif rng.random() < 0.2 and layers > 2:
            options["--device-layers"] = f"0:{layers - 2};1:2"
        needs = case.needs(options)
        if needs is None:
            counts["illegal"] += 1
            return
        if number % 2:
            # Ranks are the cluster's: with flags or by default.
            options = {name: value for name, value in options.items() if rng.random() < 0.6 or name == "--max-seqs"}
            options["--gpus"] = random_gpus(rng, needs)
            if rng.random() < 0.2:
                options["--no-nccl"] = None
            check_refusal(case, options, counts)
            check_solve(case, options, counts)
            return
        # About what it takes: from far too little to more than enough.
        options["--memory"] = max(1, int(needs * rng.choice([0.02, 0.2, 0.5, 0.8, 0.95, 0.999, 1.1])))
        check_refusal(case, options, counts)
        check_solve(case, options, counts)
        if number % 3 == 0 and case.config["num_hidden_layers"] <= 33 and case.config["vocab_size"] < 100000:
            plan_for_real(case, folder, options, counts)
    finally:
        shutil.rmtree(folder)


def main():
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20261126, help="another one, other models")
    arguments = parser.parse_args()
    tools = plan_tools.Tools(arguments.bin)
    print(f"fit_property: {arguments.count} models from --seed {arguments.seed}", flush=True)
    counts = collections.Counter()
    for number in range(arguments.count):
        try:
            one(tools, arguments.seed, number, counts)
        except Exception as error:
            print(f"fit_property: model {number} of --seed {arguments.seed}: {error}", file=sys.stderr)
            return 1
    print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())))
    if arguments.count >= 40 and not (counts["changes applied"] and counts["solved"]):
        print("fit_property: nothing was refused or solved: this tests nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
