"""Random models on random clusters, under random options and variables: what a refusal proposes plans when exactly that
is applied, what it says of memory is true to the byte, nothing works where it says that nothing does, and what --solve
finds is the most.

tests/planner/fit_property.py --bin build/cli [--count 1000] [--seed N]

Every model is a config.json alone. For a share of them, of Llama's kind, a checkpoint of headers is planned for real.
Every refusal is counted in a class; one of no class, or without a way out or the memory that would do, fails the test.
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
NVLINKS = {"H100-SXM": 18, "A100-SXM-80GB": 12, "H200": 18}  # of each device of these, to an NVSwitch
FLAGS = {"--allow-any-world", "--no-nccl"}  # options without a value

KINDS = {
    "memory": r"^the plan does not fit: ",
    "illegal size": r"^tp \d+: .*legal tensor-parallel sizes",
    "more ranks than devices": r"^\d+ ranks \(tp ",
    "no power of two": r"which is no power of two",
    "needs NCCL": r"^tp \d+ needs NCCL",
    "more stages than layers": r"^--pp \d+: the model has ",
    "a map and stages": r"^--device-layers .*: --pp \d+ says how many stages there are",
    "a map of other layers": r"^--device-layers .*: its stages have \d+ layers",
    "a map of other devices": r"^--device-layers .*: device \d+ is unknown",
    "batches below a token a sequence": r"^--max-batched-tokens \d+: expected at least --max-seqs ",
    "longer than the model": r"^--max-len \d+: the model was made for ",
    "a device that is not there": r"^[^;]*: device \d+ is not there: node ",
    "a device named twice": r"^[^;]*: device \d+ stands twice",
    "no device is left": r"^no device is left to plan for",
    "fewer devices than the variable says": r"^MISTRALRS_MN_LOCAL_WORLD_SIZE=\d+: node ",
}


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
        "torch_dtype": rng.choice(["bfloat16", "bfloat16", "float32", "float16"]),
        "tie_word_embeddings": rng.random() < 0.3,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        **({"sliding_window": window} if window else {}),
        **({"use_parallel_residual": True} if rng.random() < 0.3 else {}),
    }


def gpu_words(rng, needs, some=(1, 2, 3, 4, 6, 8, 16)):
    """GPUs of one node as one says them: of about the memory that a model needs, or of models of the catalogue."""
    if rng.random() < 0.6:
        count = rng.choice(some)
        # A GPU rank takes up to 400 MiB more than its arenas.
        each = int(needs * rng.choice([0.1, 0.5, 0.8, 1.0, 1.3]) / count / 0.9) + rng.choice([0, 100, 400, 800]) * 1024**2
        if rng.random() < 0.3:
            return ",".join(f"{max(1, int(each * rng.choice([0.5, 1, 2])))}B" for _ in range(min(count, 8)))
        return f"{count}x{max(each, 1)}B"
    if rng.random() < 0.4:
        return ",".join(f"{rng.choice([1, 2, 8, 16, 24, 48, 80])}GB" for _ in range(rng.choice([1, 2, 3, 4, 8])))
    return f"{rng.choice([1, 2, 3, 4, 6, 8])}x{rng.choice(MODELS)}"


def gpu_count(words):
    if "," in words:
        return len(words.split(","))
    numbers = [int(part) for part in words.split("+")[0].split("x")[:-1] if part.isdigit()]
    return numbers[0] * (numbers[1] if len(numbers) > 1 else 1) if numbers else 1


def with_memory(words, bytes_each):
    """The same GPUs with so much memory each, which nothing joins."""
    if "," in words:
        return ",".join([f"{bytes_each}B"] * gpu_count(words))
    head, _, network = words.partition("+")
    numbers = [part for part in head.split("x")[:-1] if part.isdigit()] or ["1"]
    return "x".join(numbers) + f"x{bytes_each}B" + (f"+{network}" if network else "")


def switched_nodes(words, bytes_each):
    """The nodes of a cluster file with the same GPUs of so much memory each, joined as they are; None: nothing joins them."""
    *counts, model = words.partition("+")[0].split("x") if "," not in words else [words]
    if model not in NVLINKS:
        return None
    nodes, devices = ([1, 1] + [int(count) for count in counts])[-2:]
    links = [{"from": "all", "to": "fabric", "count": NVLINKS[model]}]
    return [{"devices": [{"model": model, "memory": bytes_each}] * devices, "links": links}] * nodes


class Case:
    """A model, a cluster (or none), options and variables."""

    def __init__(self, tools, folder, rng):
        self.plan, self.folder, self.rng = tools.plan, folder, rng
        self.config = random_config(rng)
        self.path = os.path.join(folder, "config.json")
        with open(self.path, "w") as file:
            json.dump(self.config, file)
        self.nodes = None  # of a cluster file: {"gpus": words} or {"memory": bytes, "ranks": count}
        self.files = 0

    def run(self, options, variables=None, model=None, out=None):
        command = [self.plan, "build", model or self.path, *(["-o", out] if out else ["--dry-run"])]
        for name, value in options.items():
            command += [name] if value is None else [name, str(value)]
        return plan_tools.run(command, env={**os.environ, **(variables or {})})

    def cluster_file(self, nodes):
        self.files += 1
        path = os.path.join(self.folder, f"cluster-{self.files}.yaml")
        with open(path, "w") as file:
            json.dump({"nodes": [{"name": f"n{i}", **node} for i, node in enumerate(nodes)]}, file)
        return path

    def needs(self, options):
        """Bytes that a rank of the largest stage takes, weights and activations and KV."""
        done = self.run(options)
        if done.returncode != 0:
            raise AssertionError(f"one rank of what it needs, and yet: {done.stderr}")
        return max(int(number) for number in re.findall(r"each needs (\d+) bytes", done.stdout))


def random_case(case):
    """(options, variables) of a wish that may be anything a user could mean."""
    rng, layers = case.rng, case.config["num_hidden_layers"]
    options, variables = {"--max-seqs": rng.choice([1, 3, 16, 64, 700])}, {}
    needs = case.needs(options)
    # About what it takes: from far too little to more than enough.
    share = max(1, int(needs * rng.choice([0.02, 0.2, 0.5, 0.8, 0.95, 0.999, 1.1])))
    place = rng.choice(["memory", "memory", "gpus", "gpus", "gpus", "cpus", "file", "file", "ranks", "nothing"])
    if place == "memory":
        options["--memory"] = share
    elif place == "gpus":
        words = gpu_words(rng, needs)
        if "," not in words and not words.endswith("B") and rng.random() < 0.5:
            words = f"{rng.choice([2, 8])}x{words}+400G"
        options["--gpus"] = words
    elif place == "cpus":
        options["--cpus"] = rng.choice([1, 2, 3, 4, 6, 8])
        if rng.random() < 0.5:
            options["--memory"] = share
        elif rng.random() < 0.5:
            options["--cpus"] = f"{rng.choice([1, 2, 3])}x{options['--cpus']}x{int(share / 0.9) + 1}B"
    elif place == "file":
        count = rng.choice([1, 1, 2, 3])
        if rng.random() < 0.6:
            words = gpu_words(rng, needs, (1, 2, 3, 4, 6))
            case.nodes = [{"gpus": words} for _ in range(count)]
        else:
            ranks = rng.choice([1, 2, 3, 4])
            case.nodes = [{"memory": max(1 << 20, int(share * rng.choice([0.5, 1, 2]) / 0.9)), "ranks": ranks}] * count
        options["--cluster"] = case.cluster_file(case.nodes)
    elif place == "ranks":
        variables["MISTRALRS_MN_LOCAL_WORLD_SIZE"] = str(rng.choice([1, 2, 3, 4, 6, 16]))
        if rng.random() < 0.7:
            options["--memory"] = share
    if rng.random() < 0.35:
        options["--tp"] = rng.choice([1, 2, 3, 4, 6, 8, 16])
    if rng.random() < 0.25:
        options["--pp"] = rng.choice([1, 2, 3, 4, 8, layers, layers + 1])
    if rng.random() < 0.15 and layers > 2:
        options["--device-layers"] = rng.choice(
            [f"0:{layers - 2};1:2", f"1:{layers - 1};0:1", f"0:{layers}", f"0:{layers - 1};1:2", f"0:1;7:{layers - 1}"]
        )
    if rng.random() < 0.2:
        longest = case.config["max_position_embeddings"]
        options["--max-len"] = rng.choice([1, 33, max(1, longest // 2), longest, longest + 1])
    if rng.random() < 0.2:
        options["--max-batched-tokens"] = rng.choice([1, 8, 64, 700, 8192, 8192, 65536])
    if rng.random() < 0.15:
        options["--dtype"] = rng.choice(["f32", "bf16", "auto"])
    if rng.random() < 0.2:
        options["--allow-any-world"] = None
    if rng.random() < 0.15:
        options["--no-nccl"] = None
    if rng.random() < 0.1:
        variables["MISTRALRS_NO_NCCL"] = rng.choice(["1", "0"])
    if place == "gpus" or (case.nodes and "gpus" in case.nodes[0]):
        if rng.random() < 0.3:
            options["--numerics"] = rng.choice(["pair2", "auto"])
        if rng.random() < 0.3:
            options["--collectives"] = rng.choice(["staged", "staged", "auto"])
    if place in ("gpus", "file") and rng.random() < 0.25:
        cuda = "" if case.nodes and "ranks" in case.nodes[0] else "cuda:"
        options["--devices"] = cuda + rng.choice(["0", "0,1", "1,0,2", "0,1,2,3", "0,1,2,3,4,5", "3,7"])
    if rng.random() < 0.2:
        variables["CUDA_VISIBLE_DEVICES"] = rng.choice(["0", "0,1", "1,2,0", "5,1", "0,1,2,3,4,5", ""])
    if place == "file" and rng.random() < 0.2:
        variables["MISTRALRS_MN_LOCAL_WORLD_SIZE"] = str(rng.choice([1, 2, 3, 5]))
    if rng.random() < 0.15 and place != "nothing":
        option = rng.choice(["max-len", "max-seqs"])
        options.pop(f"--{option}", None)
        if "--memory" in options or place != "ranks":
            options["--solve"] = option
    return options, variables


def applied(options, variables, way):
    """Exactly what the words of a way out say, and nothing else."""
    options, variables = dict(options), dict(variables)
    sets, _, drops = way.partition("without ") if way.startswith("without ") else way.partition(", without ")
    words = shlex.split(sets)
    while words:
        word = words.pop(0)
        if word in FLAGS:
            options[word] = None
        elif word.startswith("--"):
            options[word] = words.pop(0)
        else:
            name, equals, value = word.partition("=")
            if not equals or not re.fullmatch(r"[A-Z_]+", name):
                raise AssertionError(f"{way}: what is {word}?")
            variables[name] = value
    for name in drops.split(" and ") if drops else []:
        of = options if name.startswith("--") else variables
        if name not in of:
            raise AssertionError(f"{way}: {name} was not said")
        del of[name]
    return options, variables


def with_memory_of(case, options, variables, text, less):
    """What a proposal of memory says, less so many bytes."""
    text, _, way = text.partition(", with ")
    without = ""
    if ", without " in text:
        text, _, without = text.partition(", without ")
        way = f"without {without}"
    options, variables = applied(options, variables, way) if way else (dict(options), dict(variables))
    found = re.fullmatch(r"--memory (\d+)", text)
    if found:
        options["--memory"] = int(found[1]) - less
        return options, variables
    found = re.fullmatch(r"(devices|hosts|a host) of (\d+) bytes \([^)]*\)(?: each)?(?: and --memory (\d+))?", text)
    if not found:
        raise AssertionError(f"what memory is this? {text}")
    size = int(found[2]) - less
    if found[3]:
        options["--memory"] = int(found[3])
    if found[1] == "devices":
        flag = next((flag for flag in ("--gpus", "--cpus") if flag in options), None)
        switched = switched_nodes(options["--gpus"], size) if flag == "--gpus" else None
        if switched:
            options["--cluster"] = case.cluster_file(switched)
            del options["--gpus"]
            # Those count of a file's devices, but not of --gpus.
            variables.pop("MISTRALRS_MN_LOCAL_WORLD_SIZE", None)
            if "--devices" not in options:
                variables.pop("CUDA_VISIBLE_DEVICES", None)
        elif flag:
            options[flag] = with_memory(options[flag], size)
        else:
            nodes = []
            for node in case.nodes:
                nodes += switched_nodes(node["gpus"], size) or [{"gpus": with_memory(node["gpus"], size)}]
            options["--cluster"] = case.cluster_file(nodes)
        return options, variables
    if case.nodes:
        nodes = [{**node, "memory": size} for node in case.nodes]
    else:
        ranks = options.pop("--cpus", None)
        if ranks is None:
            ranks = int(variables.pop("MISTRALRS_MN_LOCAL_WORLD_SIZE"))
        nodes = [{"ranks": ranks, "memory": size}]
        variables.pop("MISTRALRS_MN_LOCAL_WORLD_SIZE", None)
        variables.pop("CUDA_VISIBLE_DEVICES", None)
    options["--cluster"] = case.cluster_file(nodes)
    return options, variables


def check_memory(case, said, text, counts):
    options, variables = said
    for less in (0, 1):
        done = case.run(*with_memory_of(case, options, variables, text, less))
        if (done.returncode == 0) != (less == 0):
            raise AssertionError(f"{said}: {text}, less {less}: {done.returncode} {done.stderr}")
    counts["- memory applied, and a byte less"] += 1


def check_nothing(case, said, counts):
    """Where nothing is said to suffice, neither does what else one could try."""
    options, variables = said
    rng = case.rng
    for _ in range(6):
        other = {**options, "--dtype": "bf16", "--allow-any-world": None}
        if other.get("--solve") != "max-seqs":
            other["--max-seqs"] = 1
        if other.get("--solve") != "max-len":
            other["--max-len"] = 1
        for name in ("--tp", "--pp", "--device-layers", "--max-batched-tokens"):
            other.pop(name, None)
        if rng.random() < 0.5:
            other.pop("--devices", None)
        other["--tp"] = rng.choice([1, 2, 4, 8, 16])
        other["--pp"] = rng.randint(1, case.config["num_hidden_layers"])
        if case.run(other, variables).returncode == 0:
            raise AssertionError(f"{said}: nothing was to suffice, but {other} does")
        counts["- others tried in vain"] += 1


def check_refusal(case, said, counts):
    options, variables = said
    done = case.run(options, variables)
    if done.returncode == 0:
        counts["plans"] += 1
        return
    message = [line for line in done.stderr.splitlines() if "warning: " not in line][-1].removeprefix("mrs-plan: ")
    if done.returncode == 2 and "--solve" in options and "say what a rank may use" in message:
        counts["usage: --solve of nothing"] += 1
        return
    if done.returncode != 1:
        raise AssertionError(f"{said}: exit code {done.returncode}: {message}")
    kind = next((kind for kind, form in KINDS.items() if re.search(form, message)), None)
    if kind is None:
        raise AssertionError(f"{said}: a refusal of no class: {message}")
    found = re.search(r"; what works: (.*)$", message)
    if found:
        counts[f"{kind}: ways"] += 1
        ways = found[1].split("; or ")
        if len(ways) > 4:
            raise AssertionError(f"{said}: too many to choose from: {message}")
        for way in ways:
            # What a plan takes: the last, where it is too much.
            if re.match(r"(--memory \d+|devices of \d|hosts? of \d|a host of \d)", way) and kind == "memory":
                check_memory(case, said, way, counts)
                continue
            after = case.run(*applied(options, variables, way))
            counts["- ways applied"] += 1
            if after.returncode != 0:
                raise AssertionError(f"{said}: what works was {way}: {after.stderr}")
        return
    found = re.search(r"; nothing listed suffices \([^)]*\); (.*)$", message)
    if found:
        counts[f"{kind}: nothing suffices"] += 1
        check_nothing(case, said, counts)
        would = re.fullmatch(r"(.*) would(, with.*)?", found[1])
        if would:
            check_memory(case, said, would[1] + (would[2] or ""), counts)
        elif int(re.match(r"it takes (\d+) bytes \([^)]*\) a rank, and no plan may have more than \d+", found[1])[1]) <= 1 << 48:
            raise AssertionError(f"{said}: a plan may have so much: {message}")
        return
    raise AssertionError(f"{said}: a refusal without a way out: {message}")


def blocks_of(text):
    """[(window, blocks)] of a dry run's stages."""
    found = re.findall(r"\n    \d+ layers?, (all tokens|a window of \d+): (\d+) blocks of 32 tokens", text)
    return [(0 if window == "all tokens" else int(window.split()[-1]), int(blocks)) for window, blocks in found]


def all_at_once(text, seqs, tokens, most=512):
    """Whether every class of the cache has blocks for so many sequences of so many tokens, at most so many at once."""
    whole, batch = -(-tokens // 32), max(min(most, max(512, tokens * seqs)), seqs)
    return all(
        blocks >= seqs * (whole if window == 0 else min(whole, -(-(window + batch - 2) // 32) + 1))
        for window, blocks in blocks_of(text)
    )


def check_solve(case, said, counts):
    """The largest that fits does, and one more does not."""
    options, variables = said
    if "--memory" not in options and not {"--gpus", "--cpus", "--cluster"} & set(options):
        return
    for what in ("max-len", "max-seqs"):
        fixed = {name: value for name, value in options.items() if name not in ("--solve", f"--{what}")}
        done = case.run({**fixed, "--solve": what}, variables)
        if what == "max-seqs":
            # Where nothing says how large batches are, fast numerics have larger ones, which take memory of the caches; but
            # not where --solve asks for these.
            fixed["--numerics"] = "pair2"
            exact = case.run({**fixed, "--solve": what}, variables)
            solved = [re.findall(r"--max-seqs \d+, the most", run.stdout) for run in (done, exact)]
            if solved[0] != solved[1]:
                raise AssertionError(f"{said}: --solve max-seqs with pair2: {exact.stdout}, without: {done.stdout}")
        if done.returncode != 0:
            counts["- not solved"] += 1
            continue
        found = re.search(rf"--{what} (\d+), the most (?:of which one sequence fits(: all)?|that may have (\d+) tokens)", done.stdout)
        most = int(found[1])
        at_most = case.run({**fixed, f"--{what}": most}, variables)
        if at_most.returncode != 0:
            raise AssertionError(f"{said}: --solve {what} says {most}, which is refused: {at_most.stderr}")
        counts[f"- solved for {what}"] += 1
        if found[2] or (what == "max-seqs" and most == 4096):
            continue
        more = case.run({**fixed, f"--{what}": most + 1}, variables)
        if what == "max-len":
            if more.returncode == 0:
                raise AssertionError(f"{said}: --solve max-len says {most}, but one more fits")
            continue
        # More sequences may still take turns; all at once they do not fit.
        limits = [int(found[3]), *([options["--max-batched-tokens"]] if "--max-batched-tokens" in options else [])]
        if not all_at_once(at_most.stdout, most, *limits):
            raise AssertionError(f"{said}: --solve max-seqs says {most}, which do not all fit")
        if more.returncode == 0 and all_at_once(more.stdout, most + 1, *limits):
            raise AssertionError(f"{said}: --solve max-seqs says {most}, but one more fits")


def plan_for_real(case, said, counts):
    """The same verdict from a checkpoint of headers, which goes through every pass."""
    options, variables = said
    if "--dtype" not in options and case.config["torch_dtype"] != "bfloat16":
        return
    shape = {key: case.config[key] for key in plan_tools.LLAMA_70B}
    model, out = os.path.join(case.folder, "model"), os.path.join(case.folder, "out.mrsplan")
    plan_tools.write_checkpoint(model, shape, 1)
    done = case.run(options, variables, model, out)
    found = re.search(r"; what works: (.*)$", done.stderr.strip()) if done.returncode == 1 else None
    for way in found[1].split("; or ") if found else []:
        if re.match(r"(--memory \d+|devices of \d|hosts? of \d|a host of \d)", way):
            continue
        after = case.run(*applied(options, variables, way), model, out)
        if after.returncode != 0:
            raise AssertionError(f"a plan of {shape} {said}: proposed {way}: {after.stderr}")
        counts["- ways applied to plans"] += 1


def one(tools, seed, number, counts):
    rng = random.Random(f"{seed} {number}")
    folder = tempfile.mkdtemp(prefix="mrs_fit_")
    try:
        case = Case(tools, folder, rng)
        said = random_case(case)
        check_refusal(case, said, counts)
        if number % 3 == 0:
            check_solve(case, said, counts)
        small = case.config["num_hidden_layers"] <= 33 and case.config["vocab_size"] < 100000
        if number % 5 == 0 and small:
            plan_for_real(case, said, counts)
    finally:
        shutil.rmtree(folder)


def main():
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="the first model's number, to begin in the middle")
    parser.add_argument("--seed", type=int, default=20261126, help="another one, other models")
    arguments = parser.parse_args()
    tools = plan_tools.Tools(arguments.bin)
    print(f"fit_property: {arguments.count} models from --seed {arguments.seed}", flush=True)
    counts, failed = collections.Counter(), 0
    for number in range(arguments.first, arguments.first + arguments.count):
        try:
            one(tools, arguments.seed, number, counts)
        except Exception as error:
            print(f"fit_property: model {number} of --seed {arguments.seed}: {error!r}", file=sys.stderr, flush=True)
            failed += 1
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    if failed:
        return 1
    if arguments.count >= 40 and not (counts["- ways applied"] and counts["- solved for max-len"]):
        print("fit_property: nothing was refused or solved: this tests nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
