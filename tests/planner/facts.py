"""The facts that a model's small files state, as who builds a plan sees them: used, warned of by name, or refused.

tests/planner/facts.py --bin build/cli
"""

import json
import os
import shutil
import tempfile
import unittest

import plan_tools

OPTIONS = ["--numerics", "pair2", "--memory", "1GiB"]
NO_END = (
    "no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token of "
    "tokenizer_config.json): "
)


def tokenizer():
    """Two letters and two special tokens."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 3, "content": "<s>", "special": True},
            {"id": 4, "content": "<|im_end|>", "special": True},
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    }


class Facts(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_facts_")
        self.model = os.path.join(self.folder, "tiny")
        os.mkdir(self.model)
        self.tensors = plan_tools.llama_tensors(plan_tools.TINY)
        self.write("config.json", plan_tools.llama_config(plan_tools.TINY))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, content):
        with open(os.path.join(self.model, name), "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    def change(self, **facts):
        self.write("config.json", {**plan_tools.llama_config(plan_tools.TINY), **facts})

    def build(self, *extra):
        path = os.path.join(self.model, "model.safetensors")
        plan_tools.write_sparse(path, *plan_tools.header(self.tensors))
        return plan_tools.run([self.tools.plan, "build", "tiny", *OPTIONS, "-o", "x.mrsplan", *extra], cwd=self.folder)

    def built(self, *warnings, extra=()):
        """The plan as JSON; it must have been made with exactly these warnings."""
        done = self.build(*extra)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "".join(f"mrs-plan: warning: {warning}\n" for warning in warnings))
        plan = os.path.join(self.folder, "x.mrsplan")
        return json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", plan]))

    def refused(self, message):
        done = self.build()
        self.assertEqual((done.returncode, done.stderr, done.stdout), (1, f"mrs-plan: {message}\n", ""))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "x.mrsplan")))

    def test_an_answer_ends_where_all_files_together_say(self):
        self.write("tokenizer.json", tokenizer())
        self.write("tokenizer_config.json", {"eos_token": "<|im_end|>"})
        self.write("generation_config.json", {"eos_token_id": [7, 2]})
        self.assertEqual(self.built()["model"]["eos"], [2, 4, 7])

    def test_a_model_without_an_end_is_warned_of(self):
        self.change(eos_token_id=None)
        self.assertEqual(
            self.built(NO_END + "nothing ends an answer but a stop string and its length")["model"]["eos"], []
        )
        config = plan_tools.llama_config(plan_tools.TINY)
        del config["eos_token_id"]
        self.write("config.json", config)
        self.assertEqual(
            self.built(NO_END + "answers end at token 2, the default of LlamaForCausalLM")["model"]["eos"], [2]
        )

    def sources(self, plan):
        """The tensor that fills each weight."""
        (stage,) = plan["stages"]
        names = plan["names"]
        return {
            names[weight["name"]]: names[stage["sources"][weight["source_begin"]]["name"]] for weight in stage["weights"]
        }

    def test_a_tied_model_with_another_head_uses_it(self):
        self.change(tie_word_embeddings=True)
        plan = self.built(
            "config.json: 'tie_word_embeddings' true is not used: the checkpoint holds lm_head.weight beside "
            "model.embed_tokens.weight, and each is used, as transformers does"
        )
        sources = self.sources(plan)
        self.assertEqual(sources["embed.weight"], "model.embed_tokens.weight")
        self.assertEqual(sources["lm_head.weight"], "lm_head.weight")
        whole = self.tensors
        self.tensors = [tensor for tensor in whole if tensor[0] != "lm_head.weight"]
        self.assertEqual(self.sources(self.built())["embed.weight"], "model.embed_tokens.weight")
        self.assertNotIn("lm_head.weight", self.sources(self.built()))
        self.tensors = [tensor for tensor in whole if tensor[0] != "model.embed_tokens.weight"]
        self.assertEqual(self.sources(self.built())["embed.weight"], "lm_head.weight")

    def test_generation_config_gives_the_defaults(self):
        said = {
            "temperature": 0.5,
            "top_p": 0.75,
            "top_k": 7,
            "repetition_penalty": 1.5,
            "min_p": 0.25,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
        }
        self.write("generation_config.json", {**said, "max_new_tokens": 33, "stop_strings": ["END"], "num_beams": 4})
        plan = self.built(
            "generation_config.json: 'num_beams' 4 is not used: answers are drawn one by one, without beams"
        )
        self.assertEqual(plan["model"]["sampling"], {**said, "max_tokens": 33, "stop": ["END"]})

    def test_templates_see_the_named_tokens(self):
        self.write("tokenizer_config.json", {"pad_token": "<pad>", "bos_token": {"content": "<s>"}})
        self.write("special_tokens_map.json", {"unk_token": "<unk>", "pad_token": "no"})
        tokens = self.built()["model"]["template_tokens"]
        self.assertEqual(
            {token["name"]: token["text"] for token in tokens},
            {"bos_token": "<s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        )

    def test_unknown_keys_of_every_file_are_warned_of(self):
        self.change(logit_scale=2, rope_scaling={"rope_type": "linear", "factor": 2.0, "twist": 1})
        self.write("generation_config.json", {"new_rule": 1})
        self.write("tokenizer_config.json", {"magic": True})
        self.write("special_tokens_map.json", {"charm": []})
        self.write("tokenizer.json", {**tokenizer(), "spell": {}})
        self.built(
            'config.json: rope_scaling: mrs does not know "twist"; nothing of it is used',
            'config.json: mrs does not know "logit_scale"; nothing of it is used',
            'tokenizer.json: mrs does not know "spell"; nothing of it is used',
            'generation_config.json: mrs does not know "new_rule"; nothing of it is used',
            'tokenizer_config.json: mrs does not know "magic"; nothing of it is used',
            'special_tokens_map.json: mrs does not know "charm"; nothing of it is used',
        )

    def test_the_bundled_model_is_quiet(self):
        done = plan_tools.run(
            [self.tools.plan, "build", plan_tools.MINI, *OPTIONS, "-o", os.path.join(self.folder, "mini.mrsplan")]
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_tokenizer_that_cannot_be_loaded_is_refused(self):
        self.write("tokenizer.json", '{"model": {"type": "BPE", ')
        done = self.build()
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("mrs-plan: tokenizer.json: line 1, column "), done.stderr)
        self.write("tokenizer.json", {**tokenizer(), "model": {"type": "Unigram", "vocab": []}})
        self.refused("tokenizer.json: model type 'Unigram' is not supported; supported: BPE")

    def test_a_template_that_cannot_be_rendered_is_refused(self):
        self.write("tokenizer_config.json", {"chat_template": "{% if x %}"})
        self.refused("tokenizer_config.json: chat template: line 1: the template ends without 'endif'")
        templates = [{"name": "default", "template": "a"}, {"name": "rag", "template": "{% include 'x' %}"}]
        self.write("tokenizer_config.json", {"chat_template": templates})
        self.refused(
            "tokenizer_config.json: chat_template: \"rag\": chat template: line 1: the tag 'include' is not supported; "
            "supported: if, for, set, macro, break, continue, raw, generation"
        )

    def test_a_tokenizer_of_another_form_is_told(self):
        for name in ("tokenizer.model", "tekken.json", "vocab.json"):
            self.write(name, "x")
            self.assertFalse(
                self.built(
                    f"tiny: has {name}, but no tokenizer.json, the only form of tokenizer that mrs reads: this plan "
                    "serves token ids alone; write one with transformers: "
                    "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
                )["model"]["has_tokenizer"]
            )
            os.remove(os.path.join(self.model, name))

    def test_the_model_is_called_by_its_folder(self):
        self.assertEqual(self.built()["model"]["name"], "tiny")
        self.assertEqual(self.built(extra=["--name", "another"])["model"]["name"], "another")

    def test_numbers_that_python_writes_are_read(self):
        self.write("config.json", json.dumps({**plan_tools.llama_config(plan_tools.TINY), "time_step_limit": [0.0, float("inf")]}))
        self.built('config.json: mrs does not know "time_step_limit"; nothing of it is used')


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Facts], plan_tools.Tools(arguments.bin))
