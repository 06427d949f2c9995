"""A Llama checkpoint of zeros, of any shape, whose weights take no room on the disk: for benchmarks."""

import contextlib
import json
import os
import struct
import tempfile


def tensors_of(config):
    """[(name, shape)] of a Llama checkpoint."""
    hidden, ffn, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    found = [("model.embed_tokens.weight", [config["vocab_size"], hidden]), ("model.norm.weight", [hidden])]
    if not config["tie_word_embeddings"]:
        found.append(("lm_head.weight", [config["vocab_size"], hidden]))
    of_layer = [
        ("input_layernorm", [hidden]),
        ("post_attention_layernorm", [hidden]),
        ("self_attn.q_proj", [q, hidden]),
        ("self_attn.k_proj", [kv, hidden]),
        ("self_attn.v_proj", [kv, hidden]),
        ("self_attn.o_proj", [hidden, q]),
        ("mlp.gate_proj", [ffn, hidden]),
        ("mlp.up_proj", [ffn, hidden]),
        ("mlp.down_proj", [hidden, ffn]),
    ]
    for layer in range(config["num_hidden_layers"]):
        found += [(f"model.layers.{layer}.{name}.weight", shape) for name, shape in of_layer]
    return found


def elements(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def product_weights(config):
    """How many weights a token is multiplied with: the table of embeddings only where it is the output's, too."""
    every = sum(elements(shape) for _, shape in tensors_of(config) if len(shape) == 2)
    return every - (0 if config["tie_word_embeddings"] else config["vocab_size"] * config["hidden_size"])


def write_zeros(folder, config):
    """A checkpoint in bf16 whose weights are a hole in the file."""
    header, end = {}, 0
    for name, shape in tensors_of(config):
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + 2 * elements(shape)]}
        end += 2 * elements(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


@contextlib.contextmanager
def write_zeros_for(config):
    """A folder with such a checkpoint, for as long as it is used."""
    with tempfile.TemporaryDirectory(prefix="mrs_gpu_check_") as folder:
        write_zeros(folder, config)
        yield folder
