"""Writes a small checkpoint with random weights for a random legal model: the same from the same seed, on any host.

    python3 random_checkpoint.py SEED FOLDER [ARCHITECTURE]        prints what it is

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
WINDOWS = (8, 17, 24, 40, 64, 100)  # shorter than the prompts, on and off the borders of blocks


def maybe(rng, chance, **keys):
    """Keys of a configuration that are there with this chance."""
    return keys if rng.random() < chance else {}


def alternating(rng, layers):
    """Layer types: sliding ones with a full one now and then, in no fixed order."""
    return {
        "sliding_window": rng.choice(WINDOWS),
        "layer_types": [rng.choice(("sliding_attention", "sliding_attention", "full_attention")) for _ in range(layers)],
    }


def rope_llama3(rng):
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    return maybe(rng, 0.4, rope_scaling={"rope_type": "llama3", **scaling})


def llama(rng, _):
    return {"attention_bias": rng.random() < 0.4, "mlp_bias": rng.random() < 0.4, **rope_llama3(rng)}


def mistral(rng, _):
    return {"sliding_window": rng.choice((None, *WINDOWS))}


def ministral(rng, _):
    yarn = {"rope_type": "yarn", "factor": 64.0, "beta_fast": 32.0, "beta_slow": 1.0, "rope_theta": 10000.0}
    yarn |= {"mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 32}
    return {"rope_parameters": {**yarn, "llama_4_scaling_beta": 0.1}, "rope_theta": None}


def qwen2(rng, config):
    first = rng.randrange(config["num_hidden_layers"] + 1)
    return maybe(rng, 0.5, use_sliding_window=True, sliding_window=rng.choice(WINDOWS), max_window_layers=first)


def qwen3(rng, _):
    return {"attention_bias": rng.random() < 0.4}


def gemma(rng, _):
    return {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}


def gemma2(rng, config):
    caps = {"attn_logit_softcapping": rng.choice((None, 5.0)), "final_logit_softcapping": rng.choice((None, 3.0))}
    act = rng.choice(("gelu_pytorch_tanh", "gelu"))
    more = {"hidden_size": rng.choice((72, 96, 120)), "hidden_act": None, "hidden_activation": act}
    more |= {"query_pre_attn_scalar": rng.choice((16, 24, 50))}
    return {**caps, **more, **alternating(rng, config["num_hidden_layers"])}


def gemma3(rng, config):
    linear = maybe(rng, 0.5, rope_scaling={"rope_type": "linear", "factor": 8.0})
    more = {"attn_logit_softcapping": None, "final_logit_softcapping": None, "rope_local_base_freq": 10000.0}
    return {**gemma2(rng, config), **more, "rope_theta": 1000000.0, **linear}


def phi3(rng, config):
    rotary = config["head_dim"] // 2
    factors = {name: [1.0 + rng.random() for _ in range(rotary // 2)] for name in ("short_factor", "long_factor")}
    longrope = maybe(rng, 0.5, rope_scaling={"type": "longrope", **factors})
    return {
        "hidden_size": config["num_attention_heads"] * config["head_dim"],
        "partial_rotary_factor": 0.5,
        "original_max_position_embeddings": 512,
        "sliding_window": rng.choice((None, *WINDOWS)),
        **longrope,
    }


def granite(rng, _):
    multipliers = {"embedding_multiplier": 6.0, "residual_multiplier": 0.3, "attention_multiplier": 0.1}
    return {"attention_bias": rng.random() < 0.4, "mlp_bias": rng.random() < 0.4, "logits_scaling": 3.0, **multipliers}


def glm(rng, _):
    return {"attention_bias": rng.random() < 0.6, "partial_rotary_factor": 0.5}


def olmo2(rng, _):
    return {"attention_bias": rng.random() < 0.3}


def olmo3(rng, config):
    return {"attention_bias": rng.random() < 0.3, **alternating(rng, config["num_hidden_layers"])}


def stablelm(rng, config):
    config.pop("rms_norm_eps")
    hidden = config["num_attention_heads"] * config["head_dim"]
    more = {"layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5, "use_parallel_residual": False}
    return {"hidden_size": hidden, "use_qkv_bias": rng.random() < 0.6, "qk_layernorm": False, **more}


def smollm3(rng, config):
    rotates = [rng.randrange(2) for _ in range(config["num_hidden_layers"])]
    return {"no_rope_layers": rotates, "use_sliding_window": False, "attention_bias": rng.random() < 0.4}


def exaone4(rng, config):
    return {**alternating(rng, config["num_hidden_layers"]), "sliding_window_pattern": 4}


PRE = ("input_layernorm", "post_attention_layernorm")
GEMMA2_NORMS = (*PRE, "pre_feedforward_layernorm", "post_feedforward_layernorm")
POST = ("post_attention_layernorm", "post_feedforward_layernorm")
GLM4_NORMS = (*PRE, "post_self_attn_layernorm", "post_mlp_layernorm")
# Architecture -> what its config.json says beside Llama's keys, the norms of a layer, and what its tensors have:
# q_norm over a head or over all of them, fused products, norms around 0 (they are 1 + w) or with a bias.
FAMILIES = {
    "LlamaForCausalLM": (llama, PRE, ()),
    "MistralForCausalLM": (mistral, PRE, ()),
    "Ministral3ForCausalLM": (ministral, PRE, ()),
    "Qwen2ForCausalLM": (qwen2, PRE, ("qkv_bias",)),
    "Qwen3ForCausalLM": (qwen3, PRE, ("qk_norm",)),
    "GemmaForCausalLM": (gemma, PRE, ("one_plus",)),
    "Gemma2ForCausalLM": (gemma2, GEMMA2_NORMS, ("one_plus",)),
    "Gemma3ForCausalLM": (gemma3, GEMMA2_NORMS, ("one_plus", "qk_norm")),
    "Phi3ForCausalLM": (phi3, PRE, ("fused_qkv", "fused_gate_up")),
    "GraniteForCausalLM": (granite, PRE, ()),
    "GlmForCausalLM": (glm, PRE, ("fused_gate_up", "no_o_bias")),
    "Glm4ForCausalLM": (glm, GLM4_NORMS, ("fused_gate_up", "no_o_bias")),
    "Olmo2ForCausalLM": (olmo2, POST, ("whole_qk_norm",)),
    "Olmo3ForCausalLM": (olmo3, POST, ("whole_qk_norm",)),
    "StableLmForCausalLM": (stablelm, PRE, ("norm_bias",)),
    "SmolLM3ForCausalLM": (smollm3, PRE, ()),
    "Exaone4ForCausalLM": (exaone4, POST, ("qk_norm",)),
}


def random_config(seed, family=None):
    """config.json and the dtype of the weights. The families come in turns: a row of seeds has them all."""
    rng = random.Random(f"config {seed}")
    family = family or list(FAMILIES)[seed % len(FAMILIES)]
    heads, kv_heads = rng.choice(HEADS)
    config = {
        "architectures": [family],
        "hidden_size": rng.choice(HIDDEN),
        "intermediate_size": rng.choice(FFN),
        "num_hidden_layers": rng.choice((1, 2, 2, 3, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": rng.choice(HEAD_DIM),
        "vocab_size": rng.randrange(97, 522, 2),
        "max_position_embeddings": 2048,
        "rms_norm_eps": rng.choice((1e-5, 1e-6)),
        "hidden_act": "silu",
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_theta": rng.choice((10000.0, 500000.0)),
        "tie_word_embeddings": rng.random() < 0.4,
    }
    config |= FAMILIES[family][0](rng, config)
    for key in [key for key in ("hidden_act", "rope_theta") if config[key] is None]:
        del config[key]
    return config, rng.choice(DTYPES)


def power_of_two_in(value):
    return value & -value


def has(config, what):
    """Whether the tensors of its family have that; of a family that is not here, nothing is known."""
    return what in FAMILIES.get(config["architectures"][0], (None, (), ()))[2]


def legal_tp(config):
    """Those of 1, 2, 4, 8 ranks that divide the model: the rules of planner/legality.cc, said again."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    chunks = min(16, power_of_two_in(config["intermediate_size"]), power_of_two_in(heads))
    if has(config, "whole_qk_norm"):  # a sum over replicated heads would count them twice
        chunks = min(chunks, power_of_two_in(kv_heads))
    return [
        tp for tp in (1, 2, 4, 8) if heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0) and tp <= chunks
    ]


def tensors_of(config):
    """(name, shape) in the order of the file."""
    hidden, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head_dim = config["head_dim"]
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    attention_bias = config.get("attention_bias", False)
    qkv_bias = attention_bias or has(config, "qkv_bias") or config.get("use_qkv_bias", False)
    o_bias, mlp_bias = attention_bias and not has(config, "no_o_bias"), config.get("mlp_bias", False)

    def norm(name, width=hidden):
        yield name + ".weight", (width,)
        if has(config, "norm_bias"):
            yield name + ".bias", (width,)

    def linear(name, shape, bias):
        yield name + ".weight", shape
        if bias:
            yield name + ".bias", (shape[0],)

    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name in FAMILIES[config["architectures"][0]][1]:
            yield from norm(at + name)
        if has(config, "fused_qkv"):
            yield at + "self_attn.qkv_proj.weight", (q + 2 * kv, hidden)
        else:
            for name, width in (("q", q), ("k", kv), ("v", kv)):
                yield from linear(f"{at}self_attn.{name}_proj", (width, hidden), qkv_bias)
        for name, width in (("q", q), ("k", kv)):
            if has(config, "qk_norm"):
                yield f"{at}self_attn.{name}_norm.weight", (head_dim,)
            if has(config, "whole_qk_norm"):
                yield f"{at}self_attn.{name}_norm.weight", (width,)
        yield from linear(at + "self_attn.o_proj", (hidden, q), o_bias)
        if has(config, "fused_gate_up"):
            yield at + "mlp.gate_up_proj.weight", (2 * ffn, hidden)
        else:
            for name in ("gate", "up"):
                yield from linear(f"{at}mlp.{name}_proj", (ffn, hidden), mlp_bias)
        yield from linear(at + "mlp.down_proj", (hidden, ffn), mlp_bias)
    yield from norm("model.norm")
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


def random_values(name, shape, rng, one_plus):
    """Uniform: norms near 1 (near 0 where they are 1 + w), matrices that keep the scale of what they multiply, a head with logits of a few units."""
    count = 1
    for extent in shape:
        count *= extent
    if name.endswith("norm.weight"):
        low = -0.3 if one_plus else 0.7
        return [low + 0.6 * rng.random() for _ in range(count)]
    if name.endswith("bias"):
        scale = 0.5
    else:
        scale = (5 if "embed_tokens" in name or "lm_head" in name else 2.5) / shape[1] ** 0.5
    uniform, double = rng.random, 2 * scale
    return [double * uniform() - scale for _ in range(count)]


def write_checkpoint(seed, folder, family=None, **keys):
    """Makes the folder; returns its configuration and the dtype of its weights. `keys`: of config.json, not as drawn."""
    config, dtype = random_config(seed, family)
    config |= keys
    rng = random.Random(f"weights {seed}")
    header, parts, offset = {}, [], 0
    for name, shape in tensors_of(config):
        data = encode(random_values(name, shape, rng, has(config, "one_plus")), dtype)
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
    told = ("attention_bias", "mlp_bias", "use_qkv_bias", "rope_scaling", "sliding_window", "layer_types")
    told += ("no_rope_layers", "attn_logit_softcapping", "final_logit_softcapping", "tie_word_embeddings")
    there = [key for key in told if config.get(key)]
    return (
        f"{name} {dtype}, {layers} layers, hidden {hidden}, "
        f"{heads} heads ({kv_heads} KV) of {config['head_dim']}, ffn {config['intermediate_size']}, "
        f"vocab {config['vocab_size']}" + "".join(", " + key for key in there)
    )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    print(describe(*write_checkpoint(int(sys.argv[1]), *sys.argv[2:])))
