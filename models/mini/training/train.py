#!/usr/bin/env python3
"""Makes the bundled model from nothing but a seed: tokenizer, weights, configuration.

  nice -n 5 python models/mini/training/train.py     # one CPU thread; writes models/mini/
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
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


def save(model, values, folder):
    """An ordinary Hugging Face folder; weights rounded to bf16 (nearest even)."""
    weights = {name: v.to(torch.bfloat16).contiguous() for (name, _), v in zip(model.named_parameters(), values)}
    save_file(weights, f"{folder}/part.safetensors", metadata={"format": "pt"})
    pathlib.Path(folder, "part.safetensors").chmod(0o644)
    pathlib.Path(folder, "part.safetensors").rename(pathlib.Path(folder, "model.safetensors"))
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


def batches(tokenizer, rng, tokens, count, long_chats, more):
    """`count` batches of about `tokens` tokens each, chats of like length together; endless pools.

    `more`: a kind of question; of the chats that do not ask it, two in three are left out."""
    while True:
        pool = []
        while sum(len(ids) for ids, _ in pool) < tokens * count:
            parts = 1
            if rng.random() < long_chats:
                parts = rng.choice([2, 2, 3, 3, 4, 6])
            chat = world.make_chat(rng, parts=parts, dense=rng.random() < 0.75)
            if more and all(turn.kind != more for turn in chat.turns) and rng.random() < 2 / 3:
                continue
            ids, wanted = encode(tokenizer, chat)
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
    args.add_argument("--minutes", type=float, default=40, help="of CPU time: a busy host takes longer")
    args.add_argument("--rate", type=float, default=3e-3)
    args.add_argument("--tokens", type=int, default=2048, help="tokens a step")
    args.add_argument("--prompt-weight", type=float, default=0.1, help="weight of the loss on what the user says")
    args.add_argument("--seed", type=int, default=SEED)
    args.add_argument("--steps", type=int, default=0, help="length of the schedule; 0: as many as fit in the minutes")
    args.add_argument("--out", default=str(FOLDER))
    args.add_argument("--warmup", type=int, default=100, help="steps")
    args.add_argument("--more", default="", help="a kind of question to be asked more often, such as yes_no")
    args.add_argument("--init", default="", help="folder of weights to go on from")
    args = args.parse_args()
    kinds = {turn.kind for _ in range(200) for turn in world.make_chat(random.Random(_)).turns}
    if args.more and args.more not in kinds:
        raise SystemExit(f"--more {args.more}: the kinds are {', '.join(sorted(kinds))}")
    print("options", vars(args), flush=True)

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    tokenizer = bpe.train(SEED, args.out)  # whatever seed the text and weights have
    model = LlamaForCausalLM(config())
    if args.init:
        model.load_state_dict({k: v.float() for k, v in load_file(f"{args.init}/model.safetensors").items()})
    AttentionInterface.register("causal_f32", attention_f32)
    model.set_attn_implementation("causal_f32")
    print("parameters", sum(p.numel() for p in model.parameters()), flush=True)
    # Muon for the matrices between the layers (it needs about half the tokens), AdamW for embeddings, head and norms.
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    outer = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" not in name]
    norms = [p for p in model.parameters() if p.ndim == 1]
    optimizers = [torch.optim.Muon(inner, lr=args.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW([{"params": outer, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
                                    lr=args.rate, betas=(0.9, 0.98), fused=True)]
    rng = random.Random(args.seed)
    start = saved = time.process_time()
    average = [p.detach().clone() for p in model.parameters()]  # what is saved: a running mean over some 200 steps
    seen, answer_loss = 0, None
    step = 0
    feed = iter(batches(tokenizer, rng, args.tokens, 64, 0.3, args.more))
    while True:
        done = step / args.steps if args.steps else (time.process_time() - start) / (60 * args.minutes)
        if done >= 1:
            break
        rate = args.rate * min(1, (step + 1) / args.warmup, (1.02 - done) / 0.7)  # falls from 32 % on
        for group in (g for o in optimizers for g in o.param_groups):
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
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], max(0.005, 1 / (step + 1)))
        step += 1
        seen += int(lengths.sum())
        now_loss = each.detach()[answers[keep]].mean().item()
        answer_loss = now_loss if answer_loss is None else 0.98 * answer_loss + 0.02 * now_loss
        if step % 50 == 0:
            print(f"step {step} tokens {seen} minutes {(time.process_time() - start) / 60:.2f} rate {rate:.2e} "
                  f"answer loss {answer_loss:.4f}", flush=True)
        if time.process_time() - saved > 45:
            save(model, average, args.out)
            saved = time.process_time()
    save(model, average, args.out)
    print(f"done: {step} steps, {seen} tokens, {(time.process_time() - start) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
