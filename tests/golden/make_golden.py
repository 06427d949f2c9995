"""Makes the checkpoints and the golden answers of this folder. Needs PyTorch and transformers; tests need neither.

    python3 make_golden.py          writes <name>/config.json, <name>/model.safetensors and <name>/golden.json

Random weights, scaled so that logits have an RMS of 1 and more and greedy answers keep varying. transformers judges
them in f32, on the CPU, with eager attention. For bf16 checkpoints it also says how far its own bf16 run lies from that
truth (both runs read the same weights), which bounds how far ours may lie.
"""

import base64
import json
import os
import random
import shutil

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPT_LENGTHS = (1, 2, 7, 31, 33, 70, 100, 129)
STEPS = 64
ROWS = (0, 1, 9, 31, 63)  # steps whose logits are kept; 0: of the last prompt position
MIN_MARGIN = 1e-3  # between the best two logits, over their RMS: ten times the tolerance of the test
MIN_DISTINCT = 24  # different tokens in an answer

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
COMMON = dict(
    max_position_embeddings=512,
    attention_dropout=0.0,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=None,
    use_cache=True,
)

# name: configuration class, its arguments. Every file stays below 400 KB.
MODELS = {
    "llama3": (
        transformers.LlamaConfig,
        dict(
            vocab_size=257,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            rope_parameters=LLAMA3_ROPE,
            tie_word_embeddings=False,
        ),
    ),
    "qwen3": (
        transformers.Qwen3Config,
        dict(
            vocab_size=331,
            hidden_size=64,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=24,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
    ),
    "qwen2": (
        transformers.Qwen2Config,
        dict(
            vocab_size=263,
            hidden_size=48,
            intermediate_size=112,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
    "llama_bias": (
        transformers.LlamaConfig,
        dict(
            vocab_size=251,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=16,
            rms_norm_eps=1e-5,
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def initialise(model, generator):
    """Norms near 1, biases of some weight, matrices that keep the scale; a head that gives logits an RMS near 3."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            value = 1 + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embed_tokens" in name or "lm_head" in name:
            value = noise * 3 / parameter.shape[1] ** 0.5
        else:
            value = noise * 1.5 / parameter.shape[1] ** 0.5
        with torch.no_grad():
            parameter.copy_(value)


def load(folder, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def rms(values):
    return values.double().square().mean().sqrt().item()


def pack(values):
    return base64.b64encode(values.float().contiguous().numpy().astype("<f4").tobytes()).decode()


@torch.no_grad()
def answer(model, prompt):
    """64 greedy tokens, and the logits that chose them: [64, vocab]."""
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=STEPS,
        eos_token_id=None,
        pad_token_id=0,
    )
    tokens = out[0, len(prompt) :]
    logits = model(out[:, :-1]).logits[0, len(prompt) - 1 :]
    return tokens, logits


def find_case(model, vocab, length, rng, min_distinct=MIN_DISTINCT):
    """A prompt whose answer varies and has no near-tie, so that equal tokens can be asked for."""
    for attempt in range(200):
        prompt = [rng.randrange(vocab) for _ in range(length)]
        tokens, logits = answer(model, prompt)
        best = logits.double().topk(2, dim=-1).values
        margin = ((best[:, 0] - best[:, 1]).min() / rms(logits)).item()
        if margin >= MIN_MARGIN and len(set(tokens.tolist())) >= min_distinct and logits.argmax(-1).equal(tokens):
            return prompt, tokens, logits, margin
    raise SystemExit(f"no prompt of {length} tokens has an answer without near-ties: take another seed")


@torch.no_grad()
def make(name, dtype_name, seed):
    config_class, arguments = MODELS[name]
    folder = os.path.join(HERE, f"{name}_{dtype_name}")
    shutil.rmtree(folder, ignore_errors=True)
    config = config_class(**arguments, **COMMON)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    initialise(model, torch.Generator().manual_seed(seed))
    model.to(DTYPES[dtype_name]).save_pretrained(folder)
    if os.path.exists(f"{folder}/generation_config.json"):
        os.remove(f"{folder}/generation_config.json")

    truth = load(folder, torch.float32)
    rough = load(folder, torch.bfloat16) if dtype_name == "bf16" else None
    rng = random.Random(seed)
    cases, errors = [], []
    for length in PROMPT_LENGTHS:
        prompt, tokens, logits, margin = find_case(truth, config.vocab_size, length, rng)
        logprobs = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        case = {
            "prompt": prompt,
            "tokens": tokens.tolist(),
            "logits_rms": rms(logits),
            "margin": margin,
            "logprobs": pack(logprobs),
            "logits": {str(row): pack(logits[row]) for row in ROWS},
        }
        if rough is not None:
            ids = torch.tensor([prompt + tokens.tolist()[:-1]])
            error = rough(ids).logits[0, length - 1 :].float() - logits
            case["bf16_rms_error"] = {str(row): rms(error[row]) for row in ROWS}
            case["bf16_max_error"] = {str(row): error[row].abs().max().item() for row in ROWS}
            errors.append(rms(error))
        cases.append(case)
    golden = {
        "model": name,
        "dtype": dtype_name,
        "vocab": config.vocab_size,
        "seed": seed,
        "made_by": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}",
        "cases": cases,
    }
    with open(f"{folder}/golden.json", "w") as file:
        json.dump(golden, file, indent=0)
        file.write("\n")
    sizes = {f: os.path.getsize(f"{folder}/{f}") for f in sorted(os.listdir(folder))}
    print(
        f"{name}_{dtype_name}: logit RMS {min(c['logits_rms'] for c in cases):.2f} and more, "
        f"margin {min(c['margin'] for c in cases):.1e}, "
        f"distinct {min(len(set(c['tokens'])) for c in cases)} and more of {STEPS}"
        + (f", bf16 error {max(errors):.4f}" if errors else "")
        + f", bytes {sizes}"
    )
    assert min(c["logits_rms"] for c in cases) >= 1


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    seed = 20261121
    for name in MODELS:
        for dtype_name in DTYPES:
            seed += 1
            make(name, dtype_name, seed)


if __name__ == "__main__":
    main()
