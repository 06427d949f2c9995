"""Writes a small checkpoint with random weights for a random legal model: the same from the same seed, on any host.

    python3 random_checkpoint.py SEED FOLDER        prints what it is

Widths that are no powers of two, key-value heads that replicate, odd vocabularies, f32, bf16 and f16, every family that
mrs-plan knows. Standard library only.
"""

import array
import json
import os
import random
import struct
import sys

DTYPES = ("F32", "BF16", "F16")
# heads, key-value heads, hidden; sizes that 4 and 8 ranks divide come often.
HEADS = (
    (2, 1),
    (3, 1),
    (4, 1),
    (4, 2),
    (4, 4),
    (6, 2),
    (8, 1),
    (8, 2),
    (8, 4),
    (8, 8),
    (8, 2),
    (8, 4),
    (12, 4),
    (12, 2),
)
HIDDEN = (72, 80, 96, 104, 120, 176)
FFN = (172, 176, 208, 240, 336)
HEAD_DIM = (16, 20, 32, 40)


def random_config(seed):
    """config.json and the dtype of the weights."""
    rng = random.Random(f"config {seed}")
    family = rng.choice(("LlamaForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"))
    heads, kv_heads = rng.choice(HEADS)
    config = {
        "architectures": [family],
        "hidden_size": rng.choice(HIDDEN),
        "intermediate_size": rng.choice(FFN),
        "num_hidden_layers": rng.choice((1, 2, 2, 3)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": rng.choice(HEAD_DIM),
        "vocab_size": rng.randrange(97, 522, 2),
        "max_position_embeddings": 2048,
        "rms_norm_eps": rng.choice((1e-5, 1e-6)),
        "hidden_act": "silu",
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_theta": rng.choice((10000.0, 500000.0)),
        "tie_word_embeddings": rng.random() < 0.4,
    }
    if family != "Qwen2ForCausalLM":
        config["attention_bias"] = rng.random() < 0.4
    if family == "LlamaForCausalLM":
        config["mlp_bias"] = rng.random() < 0.4
        if rng.random() < 0.4:
            config["rope_scaling"] = {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
    return config, rng.choice(DTYPES)


def power_of_two_in(value):
    return value & -value


def legal_tp(config):
    """Those of 1, 2, 4, 8 ranks that divide the model: the rules of planner/legality.cc, said again."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    chunks = min(16, power_of_two_in(config["intermediate_size"]), power_of_two_in(heads))
    return [
        tp for tp in (1, 2, 4, 8) if heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0) and tp <= chunks
    ]


def tensors_of(config):
    """(name, shape) in the order of the file."""
    hidden, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head_dim = config["head_dim"]
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    family = config["architectures"][0]
    qkv_bias = config.get("attention_bias", False) or family == "Qwen2ForCausalLM"
    o_bias, mlp_bias = config.get("attention_bias", False), config.get("mlp_bias", False)
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        for name, width in (("q", q), ("k", kv), ("v", kv)):
            yield f"{at}self_attn.{name}_proj.weight", (width, hidden)
            if qkv_bias:
                yield f"{at}self_attn.{name}_proj.bias", (width,)
        if family == "Qwen3ForCausalLM":
            yield at + "self_attn.q_norm.weight", (head_dim,)
            yield at + "self_attn.k_norm.weight", (head_dim,)
        yield at + "self_attn.o_proj.weight", (hidden, q)
        if o_bias:
            yield at + "self_attn.o_proj.bias", (hidden,)
        yield at + "post_attention_layernorm.weight", (hidden,)
        for name, shape in (("gate", (ffn, hidden)), ("up", (ffn, hidden)), ("down", (hidden, ffn))):
            yield f"{at}mlp.{name}_proj.weight", shape
            if mlp_bias:
                yield f"{at}mlp.{name}_proj.bias", (shape[0],)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, hidden)


def encode(values, dtype):
    """f32 values as the file's bytes. bf16 is cut, not rounded: any bits will do."""
    floats = array.array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    data = floats.tobytes()
    if dtype == "F32":
        return data
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    half = bytearray(len(data) // 2)
    half[0::2], half[1::2] = data[2::4], data[3::4]
    return bytes(half)


def random_values(name, shape, rng):
    """Uniform: norms near 1, matrices that keep the scale of what they multiply, a head with logits of a few units."""
    count = 1
    for extent in shape:
        count *= extent
    if name.endswith("norm.weight"):
        return [0.7 + 0.6 * rng.random() for _ in range(count)]
    if name.endswith("bias"):
        scale = 0.5
    else:
        scale = (5 if "embed_tokens" in name or "lm_head" in name else 2.5) / shape[1] ** 0.5
    uniform, double = rng.random, 2 * scale
    return [double * uniform() - scale for _ in range(count)]


def write_checkpoint(seed, folder):
    """Makes the folder; returns its configuration and the dtype of its weights."""
    config, dtype = random_config(seed)
    rng = random.Random(f"weights {seed}")
    header, parts, offset = {}, [], 0
    for name, shape in tensors_of(config):
        data = encode(random_values(name, shape, rng), dtype)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
    return config, dtype


def describe(config, dtype):
    name, layers, hidden = config["architectures"][0][:-11], config["num_hidden_layers"], config["hidden_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    has = [key for key in ("attention_bias", "mlp_bias", "rope_scaling", "tie_word_embeddings") if config.get(key)]
    return (
        f"{name} {dtype}, {layers} layers, hidden {hidden}, "
        f"{heads} heads ({kv_heads} KV) of {config['head_dim']}, ffn {config['intermediate_size']}, "
        f"vocab {config['vocab_size']}" + "".join(", " + key for key in has)
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(describe(*write_checkpoint(int(sys.argv[1]), sys.argv[2])))
