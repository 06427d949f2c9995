"""Trains the byte-level BPE of the bundled model on Miniland's own text and writes tokenizer.json and its config."""
import json
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import lexicon
import world

VOCABULARY = 2003  # prime: no number of ranks divides it
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
BOS, EOT, END = 0, 1, 5  # ids of the specials above

TEMPLATE = """{% for message in messages %}\
{% set content = message['content'] | trim %}\
{% if loop.first %}{{ bos_token }}{% endif %}\
{{ '<|' + message['role'] + '|>' + content + '<|end|>' }}\
{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

# Plain English around Miniland, so that other short texts do not fall apart into single bytes.
PLAIN = """The children walk home after the party and talk about everything they found near the old water wheel. She said that
her brother would come back before winter, because their mother wanted to cook dinner for every friend. He had never been
inside this room, but it was always open when people were working. What should we make for breakfast tomorrow morning? Please
write down your answer under the picture, then turn over the page and read another question. If you could choose between these
three things, which one would be better? There were many different ways through the mountains, and nobody knew which was right.
I think it might rain again this afternoon. Can you help me carry the heavy wood from the ship? They were very good at
swimming, jumping, singing, drawing and telling stories. Yesterday our teacher showed us where birds sleep during summer.
Something strange happened at night: a light moved slowly across the window and went away without any sound. First we count,
second we measure, third we check the result. Nothing else has changed since last year except the weather. Because the world is
large, each country needs good roads, strong bridges, clear rules and honest people. An engine turns the wheels; electric power
runs the machine. Computers follow instructions, and programs are written by people. Write, read, begin, end, start, stop, push,
pull, bring, take, send, receive, buy, sell, learn, teach, remember, forget, understand, believe, laugh, smile, cry, listen.
Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April June July August September October
November December father sister uncle aunt cousin baby family neighbour table chair floor wall roof street corner city island
ocean beach river bank rock tree flower leaf branch root fire smoke paper letter number word story picture music colour shape
circle square triangle line point hour minute second century north south east west hundred thousand million first last next
eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety""".replace("\n", " ")


def corpus(seed, chats=6000):
    rng = random.Random(seed)
    for _ in range(chats):
        for message in world.make_chat(rng).messages():
            yield message["content"]
    for answers in world.FACTS:
        yield from answers[0]
        yield answers[1]
    words = [w for part in (lexicon.NAMES, lexicon.PET_NAMES, lexicon.COLOURS, lexicon.OBJECTS, lexicon.PLACES, lexicon.FOODS,
                            lexicon.CONTAINERS, lexicon.FEELINGS, lexicon.NUMBERS) for w in part]
    for word in words:  # " ball", "ball" and "Ball" are three tokens: seen often enough to be merged
        for form in 30 * [" " + word] + 10 * [word[0].upper() + word[1:]]:
            yield form
    for _ in range(20):
        yield PLAIN


def train(seed, folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(corpus(seed), trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY, tokenizer.get_vocab_size()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{SPECIAL[BOS]} $A", pair=f"{SPECIAL[BOS]} $A $B",
                                                             special_tokens=[(SPECIAL[BOS], BOS)])
    for text in ("Tom's ball — größer, 東京 🙂\n\t \x00\x7f", "  two  spaces ", bytes(range(128)).decode()):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
    tokenizer.save(f"{folder}/tokenizer.json")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[BOS], "eos_token": SPECIAL[END],
        "pad_token": SPECIAL[EOT], "add_bos_token": True, "clean_up_tokenization_spaces": False, "model_max_length": 2048,
        "added_tokens_decoder": {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for i, t in enumerate(SPECIAL)},
        "chat_template": TEMPLATE,
    }
    with open(f"{folder}/tokenizer_config.json", "w") as out:
        out.write(json.dumps(config, indent=2) + "\n")
    return tokenizer
