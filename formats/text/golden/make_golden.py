"""Writes the golden data of formats/text: tiny tokenizers of each flavour with what Hugging Face `tokenizers` makes of
nasty strings, and chat templates with what Jinja2, set up as in `transformers`, renders.

    python formats/text/golden/make_golden.py        # needs tokenizers, transformers, jinja2
"""

import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's what we'll do, isn't it? They've gone; I'm here, you're there.",
    "def main(argc, argv):\n    for i in range(10):\n        print(i, 'hello')\n\n    return 0\n",
    "In 1999, 12345 people paid $67.89 for 3.14159 pies; 2024-01-31 was a day.",
    "Ünïcödé résumé naïve café Straße ÅÄÖ İstanbul ſhort ﬁne Ⅷ ½ ² ٣٤",
    "日本語のテキスト。中文文本，标点！한국어 텍스트입니다. カタカナ ひらがな",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดี",
    "Emoji: 😀😃👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ ✨",
    "e\u0301 a\u0308 o\u0302\u0323 \u1100\u1161\u11a8",
    "WORDS In CamelCase and snake_case and kebab-case, HTTPServer's URLs; e.g. x=y+z*(a-b)/c%d",
    "  leading and trailing   \t tabs\t\tand\r\nnewlines\n\n\nend   ",
] * 3

NASTY = [
    "", " ", "  ", "   a", "a   ", "\n", "\n\n\n", " \n \n ", "\t\t", "\r\n", "a\r\nb\r\n\r\nc", "hello world", "Hello, World!",
    "it's we'll THEY'VE I'M you'RE 'S 's'ſ 'd'D", "don''t ''s 's", "1234567890", "12 345 6789 0.5 1,000,000", "٣٤٥ ½¾ ²³ Ⅷ ①",
    "x1y22z333", "a_b_c __init__", "CamelCaseHTTPServer", "foo(bar)[baz]{qux};", "!!!???...", " !!! ??? ", "-->", "=== ###",
    "日本語のテキスト。", "中文，标点！！", "한국어 텍스트", "日本 語", "Привет мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते", "สวัสดี",
    "😀", "😀😃👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "a😀b", " 😀 ", "e\u0301", "\u00e9", "o\u0302\u0323", "o\u0323\u0302", "\u0301\u0301",
    "a\u0315\u0300\u05ae\u0300b", "\u1100\u1161\u11a8", "각", "ﬁ", "Å\u212b", "İ", "ſ", "ß", "K\u212a", "\u00a0", "a\u00a0b",
    "\u3000", "a\u3000\u3000b", "\u2028\u2029", "\u0085", "a\u0085 b", "\u180e", "a\u180eb", "\u200b", "a\u200bb", "\u200d\u200c",
    "\ufeff", "\ufeffhello", "\x00", "a\x00b", "\x01\x02\x7f", "\x1b[0m", "\x0b\x0c", "\x1c\x1d\x1e\x1f", "\ufffd", "\U0010ffff", "\ue000",
    "\u202eabc\u202c", "<s>", "</s>", "<|end|>", "<|im_start|>user\nhi<|im_end|>\n", "a<|end|>b", " <|end|> ", "<|end|><|end|>", "<|end",
    "<|en<|end|>", "<|END|>", "xx<mask>yy", "xx  <mask>  yy", "a <mask> <mask> b", "word", "sword", "word word words", "wordwordword",
    "\u1e69 s\u0323\u0307", "Added\u0301", "added\u00e1", "ADDED\u00c1", "<0x0A>", "<0xE2>", "a<unk>b", "▁", "▁▁a", "a ▁ b", "Ġ", "ĠhelloĊ", "é", "Ã©",
    "    indented\n        more\n", "\tif x:\n\t\treturn", "https://example.com/a?b=c&d=e#f", "foo@bar.com", "$100 €50 ₹20",
    "a" * 300, " " * 100, "ab" * 100, "!" * 50, "\n" * 40, "1" * 40, "日" * 30, "😀" * 10, "a " * 50, "\u0301" * 40, " \n" * 20,
    "The end.", "I've 3 apples,you've 4.", "x²+y²=z²", "naïve café", "l'été", "rock'n'roll", "O'Neill's", "’s it’s",
]


def nasty_strings():
    rng = random.Random(7)
    alphabet = list("aeiouxyzABC'’.,!?-_ \t\n\r0123456789") + list("é日本語😀ßſ\u0301\u00a0\u200b½٣") + ["<|end|>", "<s>", " the", "'ll"]
    return NASTY + ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40))) for _ in range(60)]


def train(tokenizer, vocab_size, specials, alphabet):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def gpt2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    train(t, 600, ["<|end|>"], byte_alphabet())
    t.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("word", single_word=True), "added\u00e1", "    "])
    return t


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated", invert=False), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 600, ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|end|>"], byte_alphabet())
    t.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])])
    data = json.loads(t.to_str())
    # Words that no merge can make: only ignore_merges gives them.
    data["model"]["vocab"]["zzqzz"] = len(data["model"]["vocab"])
    return Tokenizer.from_str(json.dumps(data))


QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def qwen():
    t = Tokenizer(models.BPE(fuse_unk=False, byte_fallback=False))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN), "isolated", invert=False), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    train(t, 600, ["<|im_start|>", "<|im_end|>", "<|end|>"], byte_alphabet())
    t.add_tokens([AddedToken("added\u0061\u0301", normalized=True), AddedToken("<think>", normalized=False)])
    return t


def deepseek():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.Split(Regex(r"[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
        pre_tokenizers.Split(
            Regex(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""),
            "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    train(t, 600, ["<｜begin▁of▁sentence｜>", "<|end|>"], byte_alphabet())
    t.post_processor = processors.TemplateProcessing(
        single="<｜begin▁of▁sentence｜> $A <|end|>", special_tokens=[("<｜begin▁of▁sentence｜>", 0), ("<|end|>", 1)])
    return t


def starcoder():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    t.decoder = decoders.ByteLevel()
    return train(t, 500, ["<|end|>"], byte_alphabet())


def llama2_vocab(t, extra):
    data = json.loads(t.to_str())
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{b:02X}>": b + 3 for b in range(256)}}
    if extra == "no bytes":
        vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for token in data["model"]["vocab"]:
        vocab.setdefault(token, len(vocab))
    data["model"]["vocab"] = vocab
    data["added_tokens"] = [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                            for i, c in enumerate(["<unk>", "<s>", "</s>"])]
    return Tokenizer.from_str(json.dumps(data))


def llama2():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=350, special_tokens=["<unk>"], limit_alphabet=90, show_progress=False, max_token_length=6)
    t.train_from_iterator([word for line in CORPUS for word in line.split()], trainer)
    t = llama2_vocab(t, "")
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def metaspace():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=False))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    t.decoder = decoders.Sequence([decoders.Metaspace(replacement="▁", prepend_scheme="first")])
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], limit_alphabet=80, show_progress=False)
    t.train_from_iterator(CORPUS, trainer)
    return llama2_vocab(t, "no bytes")


def whitespace():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.normalizer = normalizers.NFD()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Digits()])
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], limit_alphabet=80, show_progress=False)
    t.train_from_iterator(CORPUS, trainer)
    return llama2_vocab(t, "no bytes")


def splits(behavior, invert):
    def make():
        t = Tokenizer(models.BPE())
        t.normalizer = normalizers.NFKD()
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.WhitespaceSplit() if invert else pre_tokenizers.Split(Regex(r"\s|\w\b|^x|$|[[:space:]]\d"), behavior),
            pre_tokenizers.Split("a" if invert else Regex(r"[^\S\n]|[\w.]+?\d?"), behavior, invert=invert),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.decoder = decoders.ByteLevel()
        return train(t, 330, [], byte_alphabet())
    return make


FLAVOURS = {
    "gpt2": gpt2, "llama3": llama3, "qwen": qwen, "deepseek": deepseek, "starcoder": starcoder, "llama2": llama2, "metaspace": metaspace,
    "whitespace": whitespace, "merged_previous": splits("merged_with_previous", False), "merged_next": splits("merged_with_next", False),
    "contiguous": splits("contiguous", False), "removed_inverted": splits("removed", True), "contiguous_inverted": splits("contiguous", True),
}


def make_tokenizers():
    for name, make in FLAVOURS.items():
        t = make()
        rng = random.Random(name)
        vocab_size = t.get_vocab_size()
        encode = []
        for text in nasty_strings():
            plain = t.encode(text, add_special_tokens=False).ids
            whole = t.encode(text).ids
            encode.append([text, plain, None if whole == plain else whole, t.decode(plain, skip_special_tokens=False)])
        decode = []
        for _ in range(60):
            ids = [rng.randrange(vocab_size + 2) for _ in range(rng.randint(0, 12))]
            if rng.random() < 0.5:  # bytes alone: halves of characters
                ids = [rng.randrange(1, min(260, vocab_size)) for _ in range(rng.randint(1, 12))]
            decode.append([ids, t.decode(ids, skip_special_tokens=False), t.decode(ids, skip_special_tokens=True)])
        for text in ["é日😀", "a😀b", "\u0301"]:
            ids = t.encode(text, add_special_tokens=False).ids
            decode += [[ids[:n], t.decode(ids[:n], skip_special_tokens=False), t.decode(ids[:n])] for n in range(len(ids))]
        dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        (HERE / f"{name}.tokenizer.json").write_text(dump(json.loads(t.to_str())))
        lines = ",\n".join(dump(case) for case in encode)
        more = ",\n".join(dump(case) for case in decode)
        (HERE / f"{name}.cases.json").write_text(f'{{"encode": [\n{lines}\n],\n"decode": [\n{more}\n]}}\n')


def make_templates():
    import datetime
    from transformers.utils.chat_template_utils import _compile_jinja_template
    import templates

    now = datetime.datetime(2026, 3, 7, 14, 5, 9)

    def render(text, context):
        """What is rendered, or the message of raise_exception, or null for any other error."""
        try:
            template = _compile_jinja_template(text)
            template.globals["strftime_now"] = now.strftime
            return {"text": template.render(**context)}
        except Exception as error:
            told = type(error).__name__ == "TemplateError"
            return {"raised": str(error) if told else None}

    cases = []
    for name, text in templates.FAMILIES.items():
        for chat in templates.CHATS:
            context = {**chat, "bos_token": "<s>", "eos_token": "</s>"}
            cases.append({"template": name, "context": context, **render(text, context)})
    features = [{"template": text, **render(text, templates.CONTEXT)} for text in templates.FEATURES + templates.BLOCKS]
    out = {"families": templates.FAMILIES, "cases": cases, "context": templates.CONTEXT, "features": features}
    body = ",\n".join(f"{json.dumps(key)}: " + (
        "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in value) + "\n]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False))
        for key, value in out.items())
    (HERE / "templates.json").write_text("{" + body + "}\n")


if __name__ == "__main__":
    make_tokenizers()
    make_templates()
