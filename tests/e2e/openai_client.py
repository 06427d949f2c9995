"""Talks to a running mrs-exec with the unmodified `openai` client.

    python3 tests/e2e/openai_client.py http://127.0.0.1:1234/v1

Needs a model with a tokenizer and a chat template. Prints "ok", or fails with what was not as OpenAI's API has it.
"""

import sys

import openai


def chats(client, model):
    messages = [{"role": "system", "content": "You are kind."}, {"role": "user", "content": "Hello!"}]
    answer = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12)
    assert answer.object == "chat.completion" and answer.model == model, answer
    assert answer.choices[0].message.role == "assistant", answer
    text = answer.choices[0].message.content
    assert text and answer.choices[0].finish_reason in ("stop", "length"), answer
    assert 0 < answer.usage.completion_tokens <= 12, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, answer
    assert answer.system_fingerprint.startswith("plan-"), answer

    stream = client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == text, (streamed, text)
    assert chunks[-1].usage == answer.usage, chunks[-1]
    assert chunks[-2].choices[0].finish_reason == answer.choices[0].finish_reason, chunks[-2]

    drawn = [
        client.chat.completions.create(model=model, messages=messages, temperature=1.0, top_p=0.9, seed=3, max_tokens=12)
        for _ in range(2)
    ]
    assert drawn[0].choices[0].message.content == drawn[1].choices[0].message.content, drawn


def tells_logprobs(client, model):
    messages = [{"role": "user", "content": "Hello!"}]
    arguments = dict(model=model, messages=messages, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3)
    answer = client.chat.completions.create(**arguments, extra_body={"ignore_eos": True})
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens == 6, answer
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3, token
        assert token.top_logprobs[0].token == token.token, token  # greedy
        assert bytes(token.bytes).decode("utf-8", "replace") == token.token, token
    chunks = list(client.chat.completions.create(**arguments, stream=True, extra_body={"ignore_eos": True}))
    streamed = [t for c in chunks if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert streamed == content, (streamed, content)


def completes(client, model):
    arguments = dict(model=model, temperature=0, max_tokens=8, extra_body={"return_token_ids": True, "ignore_eos": True})
    answer = client.completions.create(prompt="Once upon a time", logprobs=2, **arguments)
    choice = answer.choices[0]
    assert answer.object == "text_completion" and choice.finish_reason == "length", answer
    assert len(choice.token_ids) == 8, answer
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) == len(choice.logprobs.top_logprobs) == 8
    assert choice.logprobs.text_offset[0] == 0, answer

    ids = choice.prompt_token_ids
    assert len(ids) == answer.usage.prompt_tokens, answer
    again = client.completions.create(prompt=ids, **arguments)
    assert again.choices[0].text == choice.text and again.choices[0].token_ids == choice.token_ids, (again, answer)

    batch = client.completions.create(prompt=["Once upon a time", ids], **arguments)
    for index, one in enumerate(batch.choices):
        assert one.index == index and one.text == choice.text, batch
    assert batch.usage.completion_tokens == 16, batch

    chunks = list(client.completions.create(prompt=ids, stream=True, **arguments))
    assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text, chunks
    assert [i for chunk in chunks for i in chunk.choices[0].token_ids] == choice.token_ids, chunks

    if len(choice.text) > 4:
        stop = choice.text[2:4]
        stopped = client.completions.create(prompt=ids, stop=[stop], **arguments)
        assert stopped.choices[0].text == choice.text[: choice.text.find(stop)], (stopped, choice.text)
        assert stopped.choices[0].finish_reason == "stop", stopped


def refuses(client, model):
    good = dict(model=model, messages=[{"role": "user", "content": "Hello!"}], max_tokens=1)
    cases = [
        (dict(good, temperature=-1), openai.BadRequestError, "temperature"),
        (dict(good, n=2), openai.BadRequestError, "n"),
        (dict(good, messages=[]), openai.BadRequestError, "messages"),
        (dict(good, model="no-such-model"), openai.NotFoundError, "model"),
    ]
    for arguments, kind, param in cases:
        try:
            client.chat.completions.create(**arguments)
        except kind as error:
            assert error.param == param and error.type == "invalid_request_error", error.body
            assert param in error.body["message"], error.body
        else:
            raise AssertionError(f"{arguments} was accepted")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=120)
    models = client.models.list().data
    assert len(models) == 1, models
    model = models[0].id
    assert client.models.retrieve(model).id == model
    chats(client, model)
    tells_logprobs(client, model)
    completes(client, model)
    refuses(client, model)
    print("ok")


if __name__ == "__main__":
    main()
