"""Writes rope_golden.inc: frequencies as transformers 5.23 with torch 2.15 computes them on a CPU.

    python3 planner/rope_golden.py > planner/rope_golden.inc
"""

from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
CASES = [
    (64, {"rope_theta": 10000.0, "rope_type": "default"}),
    (128, {"rope_theta": 1000000.0, "rope_type": "default"}),
    (96, {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}),
    (32, {"rope_theta": 12345.678, "rope_type": "linear", "factor": 2.5}),
    (128, {"rope_theta": 500000.0, "factor": 8.0, "original_max_position_embeddings": 8192, **LLAMA3}),
    (64, {"rope_theta": 500000.0, "factor": 32.0, "original_max_position_embeddings": 8192, **LLAMA3}),
    (80, {"rope_theta": 1000.0, "factor": 3.0, "original_max_position_embeddings": 64, **LLAMA3}),
]

print("// Written by rope_golden.py. {head_dim, rope_parameters, frequencies}")
for head_dim, rope in CASES:
    config = LlamaConfig(
        hidden_size=2 * head_dim, num_attention_heads=2, max_position_embeddings=131072, rope_parameters=dict(rope)
    )
    values = [v.hex() + "f" for v in LlamaRotaryEmbedding(config).inv_freq.tolist()]
    text = str(rope).replace("'", '"')
    print(f'{{{head_dim}, R"({text})",')
    for i in range(0, len(values), 4):
        print("  " + ("{" if i == 0 else " ") + ", ".join(values[i : i + 4]) + ("}}," if i + 4 >= len(values) else ","))
