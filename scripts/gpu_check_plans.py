"""Makes what gpu_check.py runs: see gpu-check-plans.sh.

OUT/exact     plans of one GPU, models and the CPU's logits_sha256 (tests/exactness/cuda.py --pack)
OUT/http      the bundled model, its plan, and the CPU's answers to questions
OUT/two       its plans of two GPUs, one for each of what carries what they tell each other, and of two ranks on one
OUT/fast      its plan of fast numerics, and a CPU's tokens and logits
OUT/refused   plans that a machine must refuse: a device it has not, memory it has not
OUT/failing   plans of what is killed, left and starved in the middle of its work
OUT/bench     plans of models of zeros; gpu_check.py makes their weights, a hole in a file, where it runs
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import gpu_check
import zero_model

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXACTNESS = os.path.join(REPOSITORY, "tests", "exactness")
MINI = os.path.join(REPOSITORY, "models", "mini")
QUESTIONS = ["Once upon a time", "Mia has", "What does the duck say?", "The sky", "Tom has a red ball."]
ANSWER_TOKENS = 24
FAST_TOKENS = 6
# Two GPUs that reach each other's memory, as those of --gpus are not known to.
PEERS = """version: 1
nodes:
  - name: one
    switches: [{name: sw0, socket: 0}]
    devices:
      - {model: EMU-2GB, parent: sw0}
      - {model: EMU-2GB, parent: sw0}
"""


def llama(hidden, layers, heads, kv_heads, head_dim, ffn, vocab, tied, max_len):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": max_len,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": None,
        "eos_token_id": None,
    }


# Shapes of Llama 3.1 8B and Llama 3.2 1B: (name, numerics, shape, GPU, context, batches, prompts, what is asked for)
LLAMA_8B = llama(4096, 32, 32, 8, 128, 14336, 128256, False, 8192)
LLAMA_1B = llama(2048, 16, 32, 8, 64, 8192, 128256, True, 8192)
SIZES = (4608, [1, 8, 16, 64], [512, 4096])
BENCHES = [
    ("8B", "fast", LLAMA_8B, "48GB", *SIZES, {"copy": 70, "gemm": 50, "capture_s": 2}),
    ("8B", "pair2", LLAMA_8B, "48GB", *SIZES, {"copy": 70, "capture_s": 2}),
    ("1.2B", "fast", LLAMA_1B, "24GB", *SIZES, {}),
    ("1.2B", "pair2", LLAMA_1B, "24GB", *SIZES, {}),
]
TINY = llama(64, 1, 4, 2, 16, 128, 256, True, 512)
SMALL_BENCHES = [
    ("tiny", "fast", TINY, "2GB", 128, [3], [40], {"copy": 0, "gemm": 100, "capture_s": 10}),
    ("tiny", "pair2", TINY, "2GB", 128, [1, 3], [40], {"copy": 70, "gemm": 0, "capture_s": 10}),
]
# A terabyte of cache, more than any GPU has; few weights.
GREEDY = llama(64, 32, 8, 8, 256, 64, 256, True, 131072)
# Few weights and 64 KiB of cache a token, so that a plan takes as much memory as its context says; and for which sizes of
# GPU such are made, in GB: of any GPU, the largest that it has takes more than half of it. 288 is more than any has free.
HOLD = llama(64, 8, 8, 8, 256, 64, 256, True, 1 << 21)
HOLD_TOKEN_BYTES = 1 << 16
HOLD_SIZES = [2, 3, 4, 6, 8, 11, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 180, 288]


class Maker:
    def __init__(self, bin_dir, out):
        self.plan_program, self.exec_program = (os.path.join(bin_dir, name) for name in ("mrs-plan", "mrs-exec"))
        self.out = out

    def path(self, *parts):
        path = os.path.join(self.out, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def call(self, *argv):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"gpu-check-plans: {' '.join(argv)}\n  exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def plan(self, model, to, *options):
        self.call(self.plan_program, "build", model, *options, "-o", to)

    def write(self, value, *parts):
        with open(self.path(*parts), "w") as file:
            json.dump(value, file, indent=1)

    def of_zeros(self, config, to, *options):
        with zero_model.write_zeros_for(config) as folder:
            self.plan(folder, to, *options)


def make(maker, small):
    of_exact = ["--models", "0", "--tiny", "0", "--prompts", "1"] if small else ["--models", "3", "--tiny", "6"]
    maker.call(
        sys.executable, "-B", os.path.join(EXACTNESS, "cuda.py"),
        "--bin", os.path.dirname(maker.exec_program), "--pack", os.path.join(maker.out, "exact"), *of_exact,
    )  # fmt: skip

    shutil.copytree(MINI, maker.path("http", "model"))
    maker.plan(MINI, maker.path("http", "gpu.mrsplan"), "--gpus", "2GB", "--max-len", "256", "--numerics", "pair2")
    with tempfile.TemporaryDirectory(prefix="mrs_gpu_check_") as folder:
        on_cpu = os.path.join(folder, "cpu.mrsplan")
        maker.plan(MINI, on_cpu, "--cpus", "1", "--max-len", "256", "--memory", "1GiB")
        argv = [maker.exec_program, "--plan", on_cpu, "--model", MINI, "--json", "--quiet"]
        for question in QUESTIONS:
            argv += ["--prompt", question]
        answers = [json.loads(line) for line in maker.call(*argv, "--max-tokens", str(ANSWER_TOKENS)).splitlines()]
        maker.call(*argv, "--max-tokens", str(FAST_TOKENS), "--ignore-eos", "--logits-out", maker.path("fast", "logits"))
    asked = [{"prompt": question, "max_tokens": ANSWER_TOKENS} for question in QUESTIONS]
    for case, answer in zip(asked, answers):
        case.update({key: answer[key] for key in ("token_ids", "logits_sha256")})
    maker.write(asked, "http", "asked.json")
    maker.plan(MINI, maker.path("fast", "fast.mrsplan"), "--gpus", "2GB", "--max-len", "256", "--numerics", "fast")

    with open(maker.path("two", "peers.yaml"), "w") as file:
        file.write(PEERS)
    for collectives in gpu_check.COLLECTIVES:
        maker.plan(
            MINI, maker.path("two", f"{collectives}.mrsplan"), "--cluster", maker.path("two", "peers.yaml"),
            "--tp", "2", "--max-len", "256", "--numerics", "pair2", "--collectives", collectives,
        )  # fmt: skip

    maker.plan(
        MINI, maker.path("two", "shared.mrsplan"), "--gpus", "1x2GB", "--devices", "cuda:0,0", "--tp", "2",
        "--max-len", "256", "--numerics", "pair2", "--collectives", "ipc",
    )  # fmt: skip

    of_eight = ["--gpus", "8xH100-SXM", "--devices", "7"]
    maker.plan(MINI, maker.path("refused", "device.mrsplan"), *of_eight, "--max-len", "256", "--numerics", "pair2")
    maker.of_zeros(
        GREEDY, maker.path("refused", "memory.mrsplan"), "--gpus", "1200GB", "--max-seqs", "32", "--max-len", "131072",
        "--numerics", "pair2",
    )
    maker.write(GREEDY, "refused", "memory.json")

    max_len = 256 if small else 2048
    maker.plan(
        MINI, maker.path("failing", "shared.mrsplan"), "--gpus", "1x2GB", "--devices", "cuda:0,0", "--tp", "2",
        "--max-len", str(max_len), "--collectives", "ipc", "--numerics", "pair2",
    )  # fmt: skip
    maker.plan(
        MINI, maker.path("failing", "alone.mrsplan"), "--gpus", "2GB", "--max-len", str(max_len), "--max-seqs", "1",
        "--numerics", "pair2",
    )  # fmt: skip
    hold_sizes = HOLD_SIZES[:1] if small else HOLD_SIZES
    for size in hold_sizes:
        tokens = 64 if small else int(0.4e9 * size / HOLD_TOKEN_BYTES)  # of two sequences
        maker.of_zeros(
            HOLD, maker.path("failing", f"hold-{size}.mrsplan"), "--gpus", f"{size}GB", "--max-len", str(tokens),
            "--max-seqs", "2", "--numerics", "pair2",
        )  # fmt: skip
    maker.write({"tokens": 64 if small else max_len - 128, "hold": hold_sizes, "model": HOLD}, "failing", "sizes.json")

    benches = []
    for name, numerics, config, gpu, max_len, batches, prompts, goals in SMALL_BENCHES if small else BENCHES:
        bench = {"name": f"{name} {numerics}", "config": config, "batches": batches, "prompts": prompts, "goals": goals}
        maker.of_zeros(
            config, maker.path("bench", f"{bench['name']}.mrsplan"),
            "--gpus", gpu, "--numerics", numerics, "--max-len", str(max_len), "--max-seqs", str(max(batches)),
        )  # fmt: skip
        benches.append(bench)
    maker.write(benches, "bench", "benches.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="a folder that is not there yet")
    programs = os.path.join(REPOSITORY, "build", "cli")
    parser.add_argument("--bin", default=programs, help="folder of mrs-plan and mrs-exec")
    parser.add_argument("--small", action="store_true", help="little of everything, for an emulated GPU")
    options = parser.parse_args()
    if os.path.exists(options.out):
        sys.exit(f"gpu-check-plans: {options.out} is there already; give a folder that is not")
    os.makedirs(options.out)
    make(Maker(options.bin, options.out), options.small)
    size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(options.out) for name in names)
    print(f"{options.out}: {size >> 20} MiB; on the machine with the GPU: scripts/gpu-check.sh --plans {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
