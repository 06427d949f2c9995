#!/usr/bin/env python3
"""Judges the saved checkpoint (bf16 weights, computed in f32) on held-out chats, and picks questions.json from them.

  python models/mini/training/evaluate.py [--write]
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


def ask(model, tokenizer, chats, only_last, extra=()):
    """(messages, turn, answer) for each question, its right history before it; only_last: the last of each chat."""
    prompts, turns = [[{"role": "user", "content": t.user}] for t in extra], list(extra)
    for chat in chats:
        messages = chat.messages()
        first = 1 if chat.system else 0
        for i, turn in enumerate(chat.turns):
            if not only_last or i + 1 == len(chat.turns):
                prompts.append(messages[:first + 2 * i + 1])
                turns.append(turn)
    return list(zip(prompts, turns, generate(model, tokenizer, prompts)))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--folder", default=str(train.FOLDER))
    args.add_argument("--chats", type=int, default=500)
    args.add_argument("--long-chats", type=int, default=60, help="chats of six parts, whose last question is judged")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--write", action="store_true", help="write questions.json and the figures of README.md")
    args.add_argument("--show-wrong", type=int, default=10)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()

    rng = random.Random(SEED)
    chats = [world.make_chat(rng, held=True) for _ in range(args.chats)]
    right, total = collections.Counter(), collections.Counter()
    good = collections.defaultdict(list)
    for prompt, turn, answer in ask(model, tokenizer, chats, False, [FIRST]):
        total[turn.kind] += 1
        if world.is_right(turn, answer):
            right[turn.kind] += 1
            if turn.kind in KINDS_WANTED:
                good[turn.kind].append({"messages": prompt, "answer": answer, "kind": turn.kind})
        elif args.show_wrong > 0:
            args.show_wrong -= 1
            print(f"  wrong: {prompt[-1]['content']}\n    said {answer}\n    want {turn.answer}")
    percent = lambda r, n: f"{100 * r / max(n, 1):.1f}"
    lines = ["| kind of question | right | of | % |", "|---|---|---|---|"]
    lines += [f"| {k} | {right[k]} | {total[k]} | {percent(right[k], total[k])} |" for k in sorted(total)]
    everything = sum(right.values()), sum(total.values())
    lines += [f"| **all** | {everything[0]} | {everything[1]} | **{percent(*everything)}** |", ""]
    lines += ["Held-out loss: %.4f nats a token of the answers, %.4f a token of everything."
              % heldout_loss(model, tokenizer, chats), ""]
    long_chats = [world.make_chat(rng, held=True, parts=6) for _ in range(args.long_chats)]
    asked = ask(model, tokenizer, long_chats, True)
    lengths = [len(tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=False)) for p, _, _ in asked]
    for name, low, high in (("up to 300", 0, 300), ("over 300", 300, 10**9)):
        part = [world.is_right(t, answer) for (_, t, answer), n in zip(asked, lengths) if low < n <= high]
        lines.append(f"Last question of a long chat, prompts of {name} tokens: {sum(part)} of {len(part)} right"
                     f" (longest {max((n for n in lengths if low < n <= high), default=0)} tokens).")
    print("\n".join(lines))

    if args.write:
        chosen = [q for kind, n in KINDS_WANTED.items() for q in good[kind][:n]]
        # One at a time, as a server would be asked: what is written is what was answered.
        chosen = [q for q in chosen if generate(model, tokenizer, [q["messages"]]) == [q["answer"]]]
        pathlib.Path(args.folder, "questions.json").write_text(json.dumps(chosen, indent=1) + "\n")
        print(f"questions.json: {len(chosen)} questions")
        readme = pathlib.Path(args.folder, "README.md")
        before, mark, rest = readme.read_text().partition("<!-- measured -->\n")
        after = rest[rest.index("<!-- end -->"):]
        readme.write_text(before + mark + "\n".join(lines) + "\n" + after)


if __name__ == "__main__":
    main()
