"""What the planner's tests share: running a program, and writing checkpoints that are all header.

tools = plan_tools.arguments()          # --bin DIR
done = plan_tools.run([tools.plan, "build", folder, "--tp", "2"])
plan_tools.write_checkpoint(folder, plan_tools.LLAMA_70B, file_count=30)
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINI = os.path.join(SOURCE, "models", "mini")

# Enough for what is refused, or read, before there are weights.
TINY = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}
LLAMA_70B = {
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
LLAMA_405B = {
    "num_hidden_layers": 126,
    "hidden_size": 16384,
    "intermediate_size": 53248,
    "num_attention_heads": 128,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def parser(description):
    out = argparse.ArgumentParser(description=description)
    out.add_argument("--bin", required=True, help="folder with mrs-plan, mrs-opt and mrs-exec")
    return out


def without_root_rights():
    """For preexec_fn: this process, and what it runs, may no longer read whatever it likes, even as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, from <linux/capability.h>
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; refused to others than root, who lack them anyway


class Tools:
    def __init__(self, folder):
        self.plan, self.opt, self.exec = (
            os.path.join(os.path.abspath(folder), name) for name in ("mrs-plan", "mrs-opt", "mrs-exec")
        )


# Set by whoever shares out the GPUs of this machine; a test that means them says so itself.
for name in list(os.environ):
    if name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER") or name.startswith("MISTRALRS_"):
        del os.environ[name]


def run(command, **options):
    """The finished process, with text output; never raises for its exit code."""
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def checked(command, **options):
    """Standard output of a command that must succeed."""
    done = run(command, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def main(tests, tools):
    """Runs unittest cases with `tools` at hand; exits 1 if one fails."""
    import unittest

    suite = unittest.TestSuite()
    for case in tests:
        case.tools = tools
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)


def llama_config(shape):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
        **shape,
    }


def llama_tensors(shape):
    """[(name, shape)] of a Llama checkpoint."""
    hidden, ffn, vocab = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    head_dim = shape.get("head_dim", hidden // shape["num_attention_heads"])
    q, kv = shape["num_attention_heads"] * head_dim, shape["num_key_value_heads"] * head_dim
    out = [("model.embed_tokens.weight", [vocab, hidden])]
    for layer in range(shape["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        out += [
            (prefix + "input_layernorm.weight", [hidden]),
            (prefix + "self_attn.q_proj.weight", [q, hidden]),
            (prefix + "self_attn.k_proj.weight", [kv, hidden]),
            (prefix + "self_attn.v_proj.weight", [kv, hidden]),
            (prefix + "self_attn.o_proj.weight", [hidden, q]),
            (prefix + "post_attention_layernorm.weight", [hidden]),
            (prefix + "mlp.gate_proj.weight", [ffn, hidden]),
            (prefix + "mlp.up_proj.weight", [ffn, hidden]),
            (prefix + "mlp.down_proj.weight", [hidden, ffn]),
        ]
    return out + [("model.norm.weight", [hidden]), ("lm_head.weight", [vocab, hidden])]


def header(tensors, dtype="BF16", width=2):
    """(header bytes, data bytes) of a safetensors file; a tensor may bring its own dtype as a third item."""
    entries, offset = {}, 0
    for name, shape, *own in tensors:
        size = width
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": own[0] if own else dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    return packed(entries), offset


def packed(entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def write_sparse(path, head, data_bytes):
    """A file whose data is a hole: it takes no disk."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + data_bytes)


def write_checkpoint(folder, shape, file_count):
    """A Llama checkpoint of headers: config.json, the files, and their index."""
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(llama_config(shape), file)
    tensors, weight_map = llama_tensors(shape), {}
    for number in range(file_count):
        name = f"model-{number + 1:05d}-of-{file_count:05d}.safetensors"
        part = tensors[len(tensors) * number // file_count : len(tensors) * (number + 1) // file_count]
        write_sparse(os.path.join(folder, name), *header(part))
        weight_map.update({tensor: name for tensor, _ in part})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
