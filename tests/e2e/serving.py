"""Several clients at once are served as each would be alone: the same tokens, whatever else is in the batch.

    python3 serving.py --bin build/cli

Also: stop strings, usage, characters that are never split, clients that go away, the bundled model's answers to its
held-out questions, and a model folder without a tokenizer.
"""

import concurrent.futures
import http.client
import json
import os
import shutil
import time

from harness import (MINI, Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main,
                     write_zeros_model)

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RIGHT_SHARE = 0.9  # of questions.json, which lists what the model answers right in f32; here it runs in bf16


def chat(text, **more):
    return CHAT, {"messages": [{"role": "user", "content": text}], **more}


def complete(prompt, **more):
    return COMPLETIONS, {"prompt": prompt, **more}


GREEDY = {"temperature": 0, "return_token_ids": True, "logprobs": None}


def drawn(seed, temperature=1.0):
    return {"temperature": temperature, "top_p": 0.95, "top_k": 0, "seed": seed, "return_token_ids": True}


def many_requests():
    """Prompts and answers of many lengths: greedy and drawn, chats and completions, texts and token ids."""
    story = "Tell me a story about Mia and a dog in the park."
    yield chat(story, max_tokens=200, **GREEDY)
    yield chat(story, max_tokens=150, **drawn(1))
    yield chat(story, max_tokens=150, **drawn(2))
    yield chat("What does the duck say?", max_tokens=20, **GREEDY)
    yield chat("Tom has a red ball. Tom goes to the garden. Where is the red ball?",
               max_tokens=60,
               ignore_eos=True,
               **GREEDY)
    yield complete("Once upon a time", max_tokens=100, ignore_eos=True, **GREEDY)
    yield complete("Once upon a time", max_tokens=100, ignore_eos=True, **drawn(3))
    yield complete([5], max_tokens=1, **GREEDY)
    yield complete([7 + i % 1900 for i in range(400)], max_tokens=40, ignore_eos=True, **GREEDY)
    yield complete([11 + 7 * i % 1900 for i in range(150)], max_tokens=70, ignore_eos=True, **drawn(4, 0.5))
    yield complete("The sky", max_tokens=50, ignore_eos=True, presence_penalty=1.5, **drawn(5))
    yield complete("Mia has", max_tokens=50, ignore_eos=True, logit_bias={"20": 3}, **GREEDY)


def text_of(choice):
    return choice["message"]["content"] if "message" in choice else choice["text"]


def whole(server, path, body):
    """(token ids, text, finish reason) of one answer that comes at once; its usage is checked."""
    answer = server.ask(path, body)
    choice = answer["choices"][0]
    prompt_ids = answer.get("prompt_token_ids") or choice["prompt_token_ids"]
    check_equal(answer["usage"], usage(len(prompt_ids), len(choice["token_ids"])), "usage")
    return choice["token_ids"], text_of(choice), choice["finish_reason"]


def usage(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def streamed(server, path, body):
    """The same of one answer that comes in parts."""
    ids, prompt_ids, text, finish, told = [], None, "", None, None
    stream = server.stream(path, {**body, "stream_options": {"include_usage": True}})
    for event in stream:
        check("error" not in event, f"the stream ends in {event}")
        told = event["usage"] or told
        for choice in event["choices"]:
            prompt_ids = prompt_ids or event.get("prompt_token_ids") or choice.get("prompt_token_ids")
            text += choice["delta"].get("content", "") if "delta" in choice else choice["text"]
            ids += choice.get("token_ids") or []
            check(finish is None, f"a choice goes on after its finish_reason: {event}")
            finish = choice["finish_reason"]
    check(stream.done, "the stream does not end in [DONE]")
    check_equal(told, usage(len(prompt_ids), len(ids)), "usage of the stream")
    return ids, text, finish


def same_alone_and_together(server):
    requests = list(many_requests())
    alone = [whole(server, *request) for request in requests]
    check(len({tuple(ids) for ids, _, _ in alone}) > len(requests) - 2, "the answers hardly differ: a poor test")
    for request, expected in zip(requests, alone):
        check_equal(streamed(server, *request), expected, f"streamed, alone: {request}")
    jobs = [(ask, i) for _ in range(3) for i in range(len(requests)) for ask in (whole, streamed)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for (ask, i), got in zip(jobs, pool.map(lambda job: job[0](server, *requests[job[1]]), jobs)):
            check_equal(got, alone[i], f"{ask.__name__}, with others: {requests[i]}")


def stop_strings(server):
    request = complete("Once upon a time", max_tokens=60, ignore_eos=True, **GREEDY)
    text = whole(server, *request)[1]
    check(len(text) > 40, f"too short an answer: {text!r}")
    for stop in (text[20:23], text[10:26], text[0], [text[30:36], "no such text"]):
        stops = stop if isinstance(stop, list) else [stop]
        end = min(at for at in (text.find(one) for one in stops) if at >= 0)
        for ask in (whole, streamed):
            _, got, finish = ask(server, request[0], {**request[1], "stop": stop})
            check_equal((got, finish), (text[:end], "stop"), f"{ask.__name__}, stop {stop!r} in {text!r}")


def byte_of_each_token():
    """The bytes of every token of the bundled tokenizer, by id: its vocabulary spells bytes in GPT-2's alphabet."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in plain}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in plain)})
    with open(os.path.join(MINI, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    special = {token["id"] for token in tokenizer["added_tokens"]}
    return {
        id: b"" if id in special else bytes(alphabet[c] for c in token)
        for token, id in tokenizer["model"]["vocab"].items()
    }, special


def whole_characters(server):
    """Answers biased towards parts of characters: the text is what decoding all bytes at once would give."""
    table, special = byte_of_each_token()
    id_of = {spelled: id for id, spelled in table.items() if spelled}
    seen = set()
    for character in ("é", "漢", "😀"):
        parts = [id_of[bytes([byte])] for byte in character.encode()]
        bias = {str(id): 100 for id in parts}
        for seed in range(4):
            request = complete(f"{character} 🙂 漢字 ",
                               max_tokens=60,
                               ignore_eos=True,
                               logit_bias=bias,
                               **drawn(seed, 2.0))
            ids, text, finish = whole(server, *request)
            check_equal(text, b"".join(table[id] for id in ids).decode(errors="replace"), f"text of {ids}")
            check_equal(streamed(server, *request), (ids, text, finish), "streamed")
            seen.update(text)
    check({"é", "\ufffd"} <= seen, f"expected whole and broken characters, saw {seen}")
    echo = whole(server, *chat("😀 漢字 é: what colour is the sky in Miniland?", max_tokens=20, **GREEDY))
    check(echo[0], "no answer to a prompt of many scripts")


def lost_clients(work, transport):
    """With room for one sequence, clients that go away must make room: the next answer does not wait for theirs."""
    model = write_zeros_model(work.path("zeros"), layers=4)  # 4000 tokens take half a minute and more
    body = {"prompt": [1, 2, 3], "max_tokens": 4000, "ignore_eos": True, "temperature": 0}
    plan = work.plan(model, tp=2, max_len=4096, max_seqs=1)
    with Server(work, plan, model, "--transport", transport, "--threads", "1", "--quiet") as server:
        for stream in (True, False):
            running = server.stream(COMPLETIONS, body)
            next(iter(running))
            waiting = [raw_request(server, {**body, "stream": stream}) for _ in range(5)]
            for _ in range(3):
                server.get("/health")
            for client in [*waiting, running]:
                client.close()
            started = time.monotonic()
            server.ask(COMPLETIONS, {**body, "max_tokens": 3})
            took = time.monotonic() - started
            check(took < 5, f"answered after {took:.1f} s: the lost requests ran on")


def raw_request(server, body):
    """A request that has been sent, and whose answer nobody has read yet."""
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    client.request("POST", COMPLETIONS, json.dumps(body), {"Content-Type": "application/json"})
    return client


def questions(server):
    with open(os.path.join(MINI, "questions.json"), encoding="utf-8") as file:
        asked = json.load(file)

    def ask(question):
        answer = server.ask(CHAT, {"messages": question["messages"], "temperature": 0, "max_tokens": 128})
        return text_of(answer["choices"][0]).strip()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, asked))
    wrong = [(q["messages"][-1]["content"], q["answer"], a) for q, a in zip(asked, answers) if q["answer"] != a]
    for question, expected, actual in wrong:
        print(f"       {question[-70:]!r}: expected {expected!r}, got {actual!r}")
    print(f"       {len(asked) - len(wrong)} of {len(asked)} questions answered right")
    check(len(asked) - len(wrong) >= RIGHT_SHARE * len(asked), f"more than one in ten is wrong: {len(wrong)}")


def without_tokenizer(work):
    folder = work.path("bare", "")
    for file in ("config.json", "model.safetensors"):
        shutil.copy(os.path.join(MINI, file), folder)
    folder = folder.rstrip("/")
    body = {"prompt": [0, 3, 700, 701], "max_tokens": 8, "ignore_eos": True, "temperature": 0}
    with Server(work, work.plan(MINI), MINI, "--quiet") as server:
        expected = whole(server, COMPLETIONS, {**body, "return_token_ids": True})[0]
    with Server(work, work.plan(folder), folder, "--quiet") as server:
        for ask in (whole, streamed):
            check_equal(ask(server, COMPLETIONS, body), (expected, "", "length"), f"{ask.__name__}, token ids alone")
        for path, request, message in ((*complete("Hello"),
                                        "prompt: this model has no tokenizer; send a list of token ids"),
                                       (*chat("Hello"),
                                        "messages: this model has no tokenizer; send token ids to /v1/completions"),
                                       (*complete([1], stop="x"),
                                        "stop: this model has no tokenizer; use stop_token_ids")):
            status, answer = server.post(path, request)
            check_equal((status, answer["error"]["message"]), (400, message), path)


def lists_its_model(server):
    status, models = server.get("/v1/models")
    check_equal((status, [model["id"] for model in models["data"]]), (200, ["mini"]), "/v1/models")
    status, model = server.get("/v1/models/mini")
    check_equal((status, model), (200, models["data"][0]), "/v1/models/mini")


def main():
    options = parse_arguments(__doc__)
    failures = 0
    with Workplace("serving", options.bin) as work:
        for tp, transport in ((1, "local"), (2, "shm"), (4, "tcp"), (2, "local")):

            def case(test):
                with Server(work, work.plan(MINI, tp=tp), MINI, "--transport", transport, "--threads", "1",
                            "--quiet") as server:
                    test(server)

            tests = [("the same alone and together", same_alone_and_together)]
            if transport == "shm":
                tests += [("stop strings", stop_strings), ("whole characters", whole_characters),
                          ("questions", questions), ("lists its model", lists_its_model)]
            cases = [(f"tp {tp}, {transport}: {name}", lambda test=test: case(test)) for name, test in tests]
            if transport == "shm":
                cases += [("lost clients", lambda: lost_clients(work, "shm")),
                          ("no tokenizer", lambda: without_tokenizer(work))]
            failures += run_cases(cases, workers=2, only=options.only)
    return 1 if failures else 0


if __name__ == "__main__":
    run_main(main)
