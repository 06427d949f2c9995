"""Makes the golden answers of the dense families (families.py) and says that each of their switches shows.

    python3 make_families.py [NAME ...]      writes <name>/config.json, golden.json and config.legacy.json

Needs PyTorch and transformers; tests need neither. Weights are not kept: tiny_checkpoint.py makes them again from what
golden.json says of them. transformers judges in f32 and says how far its own bf16 lies from that, as in make_golden.py.
"""

import copy
import hashlib
import json
import os
import random
import re
import shutil
import sys
import tempfile

import torch
import transformers

import families
import make_golden
import tiny_checkpoint
from make_golden import HERE, load, pack, rms

ROWS = (0, 1, 31, 63)  # steps whose logits are kept
MIN_DISTINCT = 16  # different tokens in an answer
MIN_SHOWN = 1e-2  # of the logits' RMS: what a switch changes, a hundred times the tolerance of the test


def shapes_of(config, scratch):
    """Names and shapes as transformers writes them."""
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(scratch)
    from safetensors import safe_open

    with safe_open(f"{scratch}/model.safetensors", "pt") as file:
        return {name: list(file.get_slice(name).get_shape()) for name in sorted(file.keys())}


def read_json(path):
    with open(path) as file:
        return json.load(file)


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def changed(values, changes):
    """Without the keys whose change is None."""
    return {k: v for k, v in {**values, **changes}.items() if k not in changes or v is not None}


def legacy_form(tiny, values):
    """config.json as older and shorter files are: what families.py states, in the older names; the rest is default."""
    stated = {"architectures", "model_type", "dtype", *families.COMMON, *tiny.arguments}
    values = changed({k: v for k, v in values.items() if k in stated}, tiny.legacy)
    values["torch_dtype"] = values.pop("dtype")
    return values


@torch.no_grad()
def all_logits(model, prompt):
    return model(torch.tensor([prompt])).logits[0]


def prime(model, tiny):
    """Dynamic rope keeps the frequencies of the longest sequence seen: show it the plan's longest."""
    all_logits(model, [0] * tiny.max_len)


def without(folder, tiny, off):
    """The model with one switch off."""
    if isinstance(off, dict):
        config = transformers.AutoConfig.from_pretrained(folder)
        values = copy.deepcopy(config.to_dict())
        values.pop("dtype", None)
        for key, value in off.items():
            values[key] = value
        if "layer_types" not in off and ("sliding_window" in off and "layer_types" in values):
            values.pop("layer_types")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=type(config)(**values), dtype=torch.float32, attn_implementation="eager"
        ).eval()
    else:
        model = load(folder, torch.float32)
    if isinstance(off, (families.Zero, families.One)):
        found = [p for n, p in model.named_parameters() if re.search(off.pattern, n)]
        assert found, off
        with torch.no_grad():
            for parameter in found:
                parameter.fill_(float(isinstance(off, families.One)))
    prime(model, tiny)
    return model


def check_switches(name, tiny, folder, cases):
    """Each switch, off, must change the logits of the longest prompt."""
    ids = cases[-1]["prompt"] + cases[-1]["tokens"][:-1]
    truth = load(folder, torch.float32)
    prime(truth, tiny)
    expected = all_logits(truth, ids)
    for off in tiny.off:
        model = without(folder, tiny, off)
        if isinstance(off, families.Half):
            kept = off.module.rotate_half, off.module.apply_rotary_pos_emb
            phi3 = transformers.models.phi3.modeling_phi3
            off.module.apply_rotary_pos_emb = phi3.apply_rotary_pos_emb
            logits = all_logits(model, ids)
            off.module.rotate_half, off.module.apply_rotary_pos_emb = kept
        else:
            logits = all_logits(model, ids)
        shown = ((logits - expected).abs().max() / rms(expected)).item()
        if shown < MIN_SHOWN:
            raise SystemExit(f"{name}: {off} changes logits by {shown} of their RMS: it does not matter")


def find_cases(tiny, truth, rough, vocab, rng):
    cases = []
    for length in tiny.prompts:
        prompt, tokens, logits, margin = make_golden.find_case(truth, vocab, length, rng, MIN_DISTINCT)
        error = all_logits(rough, prompt + tokens.tolist()[:-1])[length - 1 :].float() - logits
        cases.append(
            {
                "prompt": prompt,
                "tokens": tokens.tolist(),
                "logits_rms": rms(logits),
                "margin": margin,
                "logprobs": pack(logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]),
                "logits": {str(row): pack(logits[row]) for row in ROWS},
                "bf16_rms_error": {str(row): rms(error[row]) for row in ROWS},
            }
        )
    return cases


def make(name, seed):
    tiny = families.MODELS[name]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    config = tiny.config(**{**families.COMMON, **tiny.arguments})
    with tempfile.TemporaryDirectory() as scratch:
        recipe = {**families.RECIPE, **tiny.recipe, "seed": f"{name} {seed}", "tensors": shapes_of(config, scratch)}
        shutil.copy(f"{scratch}/config.json", f"{folder}/config.json")
        with open(f"{scratch}/model.safetensors", "wb") as file:
            file.write(tiny_checkpoint.weights_file(recipe))
        truth, rough = load(scratch, torch.float32), load(scratch, torch.bfloat16)
        prime(truth, tiny), prime(rough, tiny)
        cases = find_cases(tiny, truth, rough, config.vocab_size, random.Random(f"prompts {name} {seed}"))
        check_switches(name, tiny, scratch, cases)
        legacy = legacy_form(tiny, read_json(f"{folder}/config.json"))
        write_json(f"{folder}/config.legacy.json", legacy)
        write_json(f"{scratch}/config.json", legacy)
        old = load(scratch, torch.float32)
        prime(old, tiny)
        ids = cases[-1]["prompt"]
        assert all_logits(old, ids).equal(all_logits(truth, ids)), f"{name}: the legacy names mean another model"
    golden = {
        "model": name,
        "dtypes": ["f32", "bf16"],
        "vocab": config.vocab_size,
        "max_len": tiny.max_len,
        "made_by": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}",
        "weights": recipe,
        "weights_sha256": hashlib.sha256(tiny_checkpoint.weights_file(recipe)).hexdigest(),
        "cases": cases,
    }
    head = json.dumps({k: v for k, v in golden.items() if k != "cases"}, separators=(",", ":"))
    with open(f"{folder}/golden.json", "w") as file:
        file.write(head[:-1] + ',"cases":[\n')
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]}\n")
    print(
        f"{name}: logit RMS {min(c['logits_rms'] for c in cases):.2f} and more, margin "
        f"{min(c['margin'] for c in cases):.1e}, distinct {min(len(set(c['tokens'])) for c in cases)} and more, "
        f"bf16 error {max(max(c['bf16_rms_error'].values()) for c in cases):.4f}, "
        f"{len(tiny.off)} switches, {os.path.getsize(f'{folder}/golden.json')} bytes",
        flush=True,
    )
    assert min(c["logits_rms"] for c in cases) >= 1


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or families.MODELS:
        make(name, families.MODELS[name].seed)


if __name__ == "__main__":
    main()
