#!/usr/bin/env python3
"""Judges the saved checkpoint (bf16 weights, computed in f32) on held-out chats, and picks questions.json from them.

  python models/mini/training/evaluate.py [--chats 1500] [--write-questions]
"""
import argparse
import collections
import json
import pathlib
import random

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

import train
import world

SEED = 777  # of the held-out chats
FIRST = world.Turn("Tom has a red ball. Tom goes to the garden. Where is the red ball?", "The red ball is in the garden.",
                   "where_object")  # of the README; asked in any case
KINDS_WANTED = {"where_object": 5, "where_person": 3, "who_has": 3, "what_has": 2, "colour": 2, "yes_no": 2, "pet_name": 1,
                "pet_owner": 1, "likes": 1, "feels": 1, "how_many": 2, "weather": 1, "fact": 3, "animal": 2, "sum": 1,
                "opposite": 1, "greeting": 1}


def generate(model, tokenizer, prompts, limit=96):
    """Greedy answers; prompts of equal length go together, so nothing is padded."""
    answers = [None] * len(prompts)
    ids = [tokenizer.apply_chat_template(m, add_generation_prompt=True, return_dict=False) for m in prompts]
    groups = collections.defaultdict(list)
    for i, row in enumerate(ids):
        groups[len(row)].append(i)
    for length, rows in groups.items():
        for rows in (rows[i:i + 64] for i in range(0, len(rows), 64)):
            out = model.generate(input_ids=torch.tensor([ids[i] for i in rows]), do_sample=False, max_new_tokens=limit,
                                 attention_mask=torch.ones(len(rows), length, dtype=torch.long), temperature=None,
                                 top_k=None, top_p=None)
            for i, row in zip(rows, out):
                answers[i] = tokenizer.decode(row[length:], skip_special_tokens=True)
    return answers


def heldout_loss(model, tokenizer, chats):
    """Mean cross-entropy (nats a token) over the answers' tokens, and over all tokens."""
    sums = [0.0, 0, 0.0, 0]
    for chat in chats:
        ids, wanted = train.encode(tokenizer.backend_tokenizer, chat)
        each = F.cross_entropy(model(torch.tensor([ids[:-1]])).logits[0], torch.tensor(ids[1:]), reduction="none")
        mask = torch.tensor(wanted[1:], dtype=torch.bool)
        sums = [sums[0] + each[mask].sum().item(), sums[1] + int(mask.sum()), sums[2] + each.sum().item(), sums[3] + len(each)]
    return sums[0] / sums[1], sums[2] / sums[3]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--folder", default=str(train.FOLDER))
    args.add_argument("--chats", type=int, default=1500)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--long", type=int, default=0, help="parts a chat instead: prompts of hundreds of tokens")
    args.add_argument("--write-questions", action="store_true")
    args.add_argument("--show-wrong", type=int, default=10)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()

    rng = random.Random(SEED)
    chats = [world.make_chat(rng, held=True, parts=args.long or 1) for _ in range(args.chats)]
    prompts, turns = [[{"role": "user", "content": FIRST.user}]], [FIRST]
    for chat in chats:
        messages = chat.messages()
        for i, turn in enumerate(chat.turns):
            if args.long and i + 1 < len(chat.turns):
                continue  # only the last question has the long history
            end = next(j for j in range(len(messages) - 1, -1, -1) if messages[j]["role"] == "user") if args.long else \
                (1 if chat.system else 0) + 2 * i
            prompts.append(messages[:end + 1])
            turns.append(turn)
    answers = generate(model, tokenizer, prompts)
    right, total = collections.Counter(), collections.Counter()
    good = collections.defaultdict(list)
    for prompt, turn, answer in zip(prompts, turns, answers):
        total[turn.kind] += 1
        if world.is_right(turn, answer):
            right[turn.kind] += 1
            if turn.kind in KINDS_WANTED and answer == turn.answer:
                good[turn.kind].append({"messages": prompt, "answer": answer, "kind": turn.kind})
        elif args.show_wrong > 0:
            args.show_wrong -= 1
            print(f"  wrong: {prompt[-1]['content']}\n    said {answer}\n    want {turn.answer}")
    if args.long:
        lengths = [len(tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=False)) for p in prompts[1:]]
        print(f"prompt tokens: mean {sum(lengths) / len(lengths):.0f}, longest {max(lengths)}")
    print("| kind | right | of | % |\n|---|---|---|---|")
    for kind in sorted(total):
        print(f"| {kind} | {right[kind]} | {total[kind]} | {100 * right[kind] / total[kind]:.1f} |")
    count = sum(total.values())
    print(f"| **all** | {sum(right.values())} | {count} | {100 * sum(right.values()) / count:.1f} |")
    print("held-out loss: %.4f a token of the answers, %.4f a token of everything" % heldout_loss(model, tokenizer, chats))

    if args.write_questions:
        chosen = [q for kind, n in KINDS_WANTED.items() for q in good[kind][:n]]
        # One at a time, as a server would be asked: what is written is what was answered.
        chosen = [q for q in chosen if generate(model, tokenizer, [q["messages"]]) == [q["answer"]]]
        pathlib.Path(args.folder, "questions.json").write_text(json.dumps(chosen, indent=1) + "\n")
        print(f"questions.json: {len(chosen)} questions")


if __name__ == "__main__":
    main()
