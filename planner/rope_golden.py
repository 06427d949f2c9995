"""Writes rope_golden.inc: frequencies as transformers 5.24 with torch 2.15 computes them on a CPU.

    python3 planner/rope_golden.py > planner/rope_golden.inc
"""

import json

import torch
from transformers import GlmConfig, LlamaConfig, Phi3Config, StableLmConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.glm.modeling_glm import GlmRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.models.stablelm.modeling_stablelm import StableLmRotaryEmbedding

FAMILIES = {
    "GlmForCausalLM": (GlmConfig, GlmRotaryEmbedding),
    "LlamaForCausalLM": (LlamaConfig, LlamaRotaryEmbedding),
    "Phi3ForCausalLM": (Phi3Config, Phi3RotaryEmbedding),
    "StableLmForCausalLM": (StableLmConfig, StableLmRotaryEmbedding),
}

LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + i / 50 for i in range(48)],
    "long_factor": [1.08 + i * i / 37 for i in range(48)],
}
# (architecture, head_dim, max_position, longest sequence, rope_parameters)
CASES = [
    ("LlamaForCausalLM", 64, 131072, 8192, {"rope_theta": 10000.0, "rope_type": "default"}),
    ("LlamaForCausalLM", 128, 131072, 8192, {"rope_theta": 1000000.0, "rope_type": "default"}),
    ("LlamaForCausalLM", 96, 131072, 8192, {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}),
    ("LlamaForCausalLM", 32, 131072, 8192, {"rope_theta": 12345.678, "rope_type": "linear", "factor": 2.5}),
]
for head_dim, theta, factor, original in ((128, 500000.0, 8.0, 8192), (64, 500000.0, 32.0, 8192), (80, 1000.0, 3.0, 64)):
    rule = {"rope_theta": theta, "factor": factor, "original_max_position_embeddings": original, **LLAMA3}
    CASES.append(("LlamaForCausalLM", head_dim, 131072, 8192, rule))
CASES += [
    ("LlamaForCausalLM", 64, 2048, 2048, {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 4.0}),
    ("LlamaForCausalLM", 64, 2048, 8000, {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 4.0}),
    ("LlamaForCausalLM", 128, 131072, 8192, {**YARN, "factor": 4.0, "original_max_position_embeddings": 32768}),
    (
        "LlamaForCausalLM",
        128,
        65536,
        8192,
        {
            **YARN,
            "rope_theta": 500000.0,
            "factor": 8.0,
            "attention_factor": 1.2079441541679836,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    (
        "LlamaForCausalLM",
        128,
        262144,
        8192,
        {
            **YARN,
            "rope_theta": 1000000.0,
            "factor": 16.0,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "mscale": 1.0,
            "mscale_all_dim": 0.5,
            "truncate": False,
            "original_max_position_embeddings": 16384,
        },
    ),
    ("Phi3ForCausalLM", 96, 131072, 4096, LONG),
    ("Phi3ForCausalLM", 96, 131072, 4097, LONG),
    ("GlmForCausalLM", 128, 131072, 8192, {"rope_theta": 10000.0, "rope_type": "default"}),
    ("StableLmForCausalLM", 80, 4096, 4096, {"rope_theta": 10000.0, "rope_type": "default"}),
    ("StableLmForCausalLM", 80, 4096, 4096, {"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}),
]

print("// Written by rope_golden.py. {architecture, head_dim, max_position, max_len, rope_parameters, factor, frequencies}")
for architecture, head_dim, max_position, max_len, rope in CASES:
    make_config, make_embedding = FAMILIES[architecture]
    config = make_config(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        max_position_embeddings=max_position,
        rope_parameters=json.loads(json.dumps(rope)),
        **({"head_dim": head_dim} if architecture == "GlmForCausalLM" else {}),
    )
    if rope["rope_type"] == "default":
        embedding = make_embedding(config)
        frequencies, factor = embedding.inv_freq, embedding.attention_scaling
    else:
        frequencies, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, seq_len=max_len)
    values = [v.hex() + "f" for v in frequencies.tolist()]
    factor = torch.tensor(factor, dtype=torch.float32).item().hex() + "f"
    print(f'{{"{architecture}", {head_dim}, {max_position}, {max_len}, R"({json.dumps(rope)})", {factor},')
    for i in range(0, len(values), 4):
        print("  " + ("{" if i == 0 else " ") + ", ".join(values[i : i + 4]) + ("}}," if i + 4 >= len(values) else ","))
