"""What a second pipeline stage brings on one more core: decode of a 1B shape, one stage against two.

    python3 bench/pipeline.py --bin build/cli [--tokens 24] [--layers 16]

Prints the tokens a second of one stage x 1 thread with four sequences and of two stages x 1 thread with eight, taken by
turns, and their ratio; exits with 1 where it is not at least 1.6. The layers are cut as --pp cuts them.
The checkpoint is synthetic (the shape of Llama 3.2 1B, 2.5 GB, random weights): needs that much disk in TMPDIR, twice
that much memory, and two cores that nobody else uses.
"""

import array
import json
import os
import random
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from harness import Server, Workplace, check, parse_arguments, run_main  # noqa: E402

BOUND = 1.6
ROUNDS = 3
HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 2048, 32, 8, 64, 8192, 128256
BLOCK = 1 << 20  # values that are drawn once and repeated


def tensors(layers):
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (HIDDEN,)
        yield prefix + "post_attention_layernorm.weight", (HIDDEN,)
        for name, rows in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            yield f"{prefix}self_attn.{name}_proj.weight", (rows * HEAD_DIM, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_DIM)
        for name in ("gate", "up"):
            yield f"{prefix}mlp.{name}_proj.weight", (FFN, HIDDEN)
        yield prefix + "mlp.down_proj.weight", (HIDDEN, FFN)
    yield "model.norm.weight", (HIDDEN,)


def write_checkpoint(folder, layers):
    os.makedirs(folder)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "intermediate_size": FFN,
        "vocab_size": VOCAB, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
        "tie_word_embeddings": True, "bos_token_id": 128000, "eos_token_id": 128001,
    }
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    header, end = {}, 0
    for name, shape in tensors(layers):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + 2 * count]}
        end += 2 * count
    rng = random.Random(1)
    block = array.array("f", (rng.gauss(0, 0.02) for _ in range(BLOCK))).tobytes()
    block = b"".join(block[i + 2:i + 4] for i in range(0, len(block), 4))  # the upper half of an f32 is its bf16
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for begin in range(0, end, len(block)):
            file.write(block[:min(len(block), end - begin)])


def tokens_a_second(server, sequences, tokens):
    """Of decode alone: a long answer less a short one of the same prompts."""

    def seconds(count):
        body = {"prompt": [[128000, 100 + i, 200 + i] for i in range(sequences)], "max_tokens": count, "temperature": 0,
                "ignore_eos": True}
        started = time.monotonic()
        answer = server.ask("/v1/completions", body, timeout=600)
        check(answer["usage"]["completion_tokens"] == sequences * count, f"another answer than asked for: {answer['usage']}")
        return time.monotonic() - started

    seconds(2)
    short = seconds(2)
    return sequences * tokens / (seconds(2 + tokens) - short)


def main():
    options = parse_arguments(__doc__, ("--tokens", {"type": int, "default": 24, "help": "of each sequence, timed"}),
                              ("--layers", {"type": int, "default": 16}))
    with Workplace("pipeline", options.bin) as work:
        model = work.path("1b")
        write_checkpoint(model, options.layers)
        rates = {1: [], 2: []}
        for _ in range(ROUNDS):
            for stages, seen in rates.items():
                plan = work.path(f"{stages}.mrsplan")
                work.tools.call([work.tools.plan_program, "build", model, "--pp", str(stages), "--max-len", "256",
                                 "--max-seqs", "8", "--memory", "8GiB", "-o", plan])
                with Server(work, plan, model, "--threads", "1", "--quiet") as server:
                    seen.append(tokens_a_second(server, 4 * stages, options.tokens))
                print(f"{stages} stage{'s' * (stages > 1)} x 1 thread, {4 * stages} sequences: {seen[-1]:7.2f} tokens/s   "
                      f"load {os.getloadavg()[0]:.1f}", flush=True)
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two stages over one: {ratio:.2f} (bar {BOUND}), medians of {ROUNDS}, {os.cpu_count()} cores")
    return 0 if ratio >= BOUND else 1


if __name__ == "__main__":
    run_main(main)
