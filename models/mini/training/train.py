#!/usr/bin/env python3
"""Makes the bundled model from nothing but a seed: tokenizer, weights, configuration.

  nice -n 5 python models/mini/training/train.py --minutes 45     # one CPU thread; writes models/mini/
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_utils import AttentionInterface

import tokenizer as bpe
import world

FOLDER = pathlib.Path(__file__).resolve().parent.parent
SEED = 20261121


def config():
    return LlamaConfig(vocab_size=bpe.VOCABULARY, hidden_size=256, intermediate_size=512, num_hidden_layers=4,
                       num_attention_heads=8, num_key_value_heads=4, head_dim=32, max_position_embeddings=2048,
                       rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False, attention_bias=False,
                       mlp_bias=False, bos_token_id=bpe.BOS, eos_token_id=[bpe.END, bpe.EOT], pad_token_id=bpe.EOT,
                       dtype="bfloat16")


def attention_f32(module, q, k, v, mask, scaling=None, dropout=0.0, **unused):
    """Causal attention in f32 while the matrix products run in bf16: on CPUs its backward pass is three times as fast."""
    group = q.shape[1] // k.shape[1]
    with torch.autocast("cpu", enabled=False):
        k, v = k.float().repeat_interleave(group, 1), v.float().repeat_interleave(group, 1)
        out = F.scaled_dot_product_attention(q.float(), k, v, is_causal=True, scale=scaling)
    return out.transpose(1, 2), None


def save(model, folder):
    """An ordinary Hugging Face folder; weights rounded to bf16 (nearest even)."""
    weights = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.state_dict().items()}
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    text = config().to_dict()
    text.update(architectures=["LlamaForCausalLM"], torch_dtype="bfloat16", rope_theta=10000.0)
    keys = ("architectures model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
            "num_key_value_heads head_dim max_position_embeddings hidden_act rms_norm_eps rope_theta "
            "tie_word_embeddings attention_bias mlp_bias attention_dropout initializer_range bos_token_id eos_token_id "
            "pad_token_id torch_dtype").split()
    write = lambda name, data: pathlib.Path(folder, name).write_text(json.dumps(data, indent=2) + "\n")
    write("config.json", {k: text[k] for k in keys})
    write("generation_config.json", {"bos_token_id": bpe.BOS, "eos_token_id": [bpe.END, bpe.EOT],
                                     "pad_token_id": bpe.EOT, "do_sample": True, "temperature": 0.7, "top_k": 40,
                                     "top_p": 0.95, "max_new_tokens": 128})


def encode(tokenizer, chat):
    """Token ids, and for each whether it is the assistant's (its end mark included)."""
    system, user, assistant, end = 2, 3, 4, bpe.END
    texts = tokenizer.encode_batch([m["content"] for m in chat.messages()], add_special_tokens=False)
    ids, wanted = [bpe.BOS], [0]
    for message, text in zip(chat.messages(), texts):
        role = {"system": system, "user": user, "assistant": assistant}[message["role"]]
        ids += [role] + text.ids + [end]
        wanted += [0] + [int(role == assistant)] * (len(text.ids) + 1)
    return ids, wanted


def batches(tokenizer, rng, tokens, count, long_chats):
    """`count` batches of about `tokens` tokens each, chats of like length together; endless pools."""
    while True:
        pool = []
        while sum(len(ids) for ids, _ in pool) < tokens * count:
            parts = 1
            if rng.random() < long_chats:
                parts = rng.choice([2, 2, 3, 3, 4, 6])
            ids, wanted = encode(tokenizer, world.make_chat(rng, parts=parts))
            if len(ids) <= 448:
                pool.append((ids, wanted))
        pool.sort(key=lambda x: len(x[0]))
        out, batch = [], []
        for item in pool:
            if batch and (len(batch) + 1) * len(item[0]) > tokens:
                out.append(batch)
                batch = []
            batch.append(item)
        out.append(batch)
        rng.shuffle(out)
        for batch in out:
            width = max(len(ids) for ids, _ in batch)
            yield (torch.tensor([ids + [bpe.EOT] * (width - len(ids)) for ids, _ in batch]),
                   torch.tensor([w + [0] * (width - len(w)) for _, w in batch], dtype=torch.bool),
                   torch.tensor([len(ids) for ids, _ in batch]))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--minutes", type=float, default=45)
    args.add_argument("--rate", type=float, default=3e-3)
    args.add_argument("--tokens", type=int, default=2048, help="tokens a step")
    args.add_argument("--prompt-weight", type=float, default=0.1, help="weight of the loss on what the user says")
    args.add_argument("--seed", type=int, default=SEED)
    args.add_argument("--steps", type=int, default=0, help="length of the schedule; 0: as many as fit in the minutes")
    args.add_argument("--out", default=str(FOLDER))
    args = args.parse_args()
    print("options", vars(args), flush=True)

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    tokenizer = bpe.train(args.seed, args.out)
    model = LlamaForCausalLM(config())
    AttentionInterface.register("causal_f32", attention_f32)
    model.set_attn_implementation("causal_f32")
    print("parameters", sum(p.numel() for p in model.parameters()), flush=True)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.98), fused=True)
    rng = random.Random(args.seed)
    start = saved = time.monotonic()
    seen, answer_loss = 0, None
    step = 0
    feed = iter(batches(tokenizer, rng, args.tokens, 64, 0.3))
    while True:
        now = time.monotonic()
        done = step / args.steps if args.steps else (now - start) / (60 * args.minutes)
        if done >= 1:
            break
        rate = args.rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, wanted, lengths = next(feed)
        target, answers = ids[:, 1:], wanted[:, 1:]
        real = torch.arange(target.shape[1])[None] < (lengths - 1)[:, None]
        keep = real if args.prompt_weight > 0 else answers
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=True):
            hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[keep])
        each = F.cross_entropy(logits.float(), target[keep], reduction="none")
        weight = torch.where(answers[keep], 1.0, args.prompt_weight)
        loss = (each * weight).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += int(lengths.sum())
        now_loss = each.detach()[answers[keep]].mean().item()
        answer_loss = now_loss if answer_loss is None else 0.98 * answer_loss + 0.02 * now_loss
        if step % 50 == 0:
            print(f"step {step} tokens {seen} minutes {(time.monotonic() - start) / 60:.2f} rate {rate:.2e} "
                  f"answer loss {answer_loss:.4f}", flush=True)
        if time.monotonic() - saved > 240:
            save(model, args.out)
            saved = time.monotonic()
    save(model, args.out)
    print(f"done: {step} steps, {seen} tokens, {(time.monotonic() - start) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
