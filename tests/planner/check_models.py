"""Model folders as `mrs-plan check` judges them: every file's faults with message and place. Run by check_cases.py."""

import json
import os

import plan_tools
from check_case import Case


class Models(Case):
    def setUp(self):
        super().setUp()
        self.config = plan_tools.llama_config(plan_tools.TINY)
        self.tensors = plan_tools.llama_tensors(plan_tools.TINY)
        os.mkdir(os.path.join(self.folder, "m"))
        self.weights()
        self.write_config()

    def weights(self):
        plan_tools.write_sparse(os.path.join(self.folder, "m/model.safetensors"), *plan_tools.header(self.tensors))

    def write_config(self, **fields):
        self.config.update(fields)
        self.write("m/config.json", json.dumps(self.config, indent=2))

    def test_a_sound_folder_is_quiet(self):
        self.finds([], "m", code=0)
        self.finds([], "m/config.json", code=0)
        self.finds([], "--verbose", ".", "m", code=0)

    def test_syntax(self):
        self.write("m/config.json", '{"architectures": ["LlamaForCausalLM"],\n  "hidden_size": 64,\n}')
        message = "syntax error while parsing object key - unexpected '}'; expected string literal"
        self.finds([("model.syntax", "m/config.json:3:1", message)], "m")

    def test_every_file_is_told_of(self):
        self.write_config(hidden_size="many")
        self.write("m/generation_config.json", '{"temperature": \n')
        self.write("m/tokenizer.json", "[]")
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.write("m/model.safetensors.index.json", '{\n "weight_map": 7}')
        report = self.report("m")
        self.assertEqual(
            [(one["id"], self.place(one)) for one in report["diagnostics"]],
            [
                ("model.config", "m/config.json:14:3"),
                ("model.tokenizer", "m/tokenizer.json:1:1"),
                ("model.syntax", "m/generation_config.json:2:1"),
                ("model.weights", "m/model.safetensors.index.json:2:2"),
            ],
        )

    def test_architecture(self):
        self.write_config(architectures=["MixtralForCausalLM"])
        found = self.report("m")["diagnostics"]
        self.assertEqual(len(found), 1)
        start = 'architecture "MixtralForCausalLM" is not supported yet; supported: '
        self.assertEqual(found[0]["message"][: len(start)], start)
        supported = found[0]["message"][len(start) :]
        self.assertIn("LlamaForCausalLM", supported.split(", "))
        self.finds([("model.architecture", "m/config.json:2:3", start + supported)], "m")

    def test_unsupported(self):
        self.write_config(quantization_config={"quant_method": "fp8"})
        self.finds(
            [
                (
                    "model.unsupported",
                    "m/config.json:21:5",
                    "'quantization_config' (quant_method \"fp8\"): quantized checkpoints are not supported yet; give one in bf16, "
                    "f16 or f32",
                )
            ],
            "m",
        )

    def test_config(self):
        self.write_config(num_key_value_heads=3)
        self.finds(
            [("model.config", "m/config.json:16:3", "num_attention_heads 4 does not divide by num_key_value_heads 3")], "m"
        )

    def test_nested_key(self):
        self.write_config(rope_scaling={"rope_type": "linear", "factor": "two"})
        self.finds(
            [("model.config", "m/config.json:22:5", "rope_scaling: 'factor': expected a number, got \"two\"")],
            "m/config.json",
        )

    def test_generation(self):
        self.write("m/generation_config.json", '{\n  "eos_token_id": 2,\n  "top_p": 2\n}')
        self.finds(
            [("model.generation", "m/generation_config.json:3:3", "'top_p': expected a number from 0 to 1, got 2")], "m"
        )

    def test_tokenizer(self):
        self.write("m/tokenizer.json", '{"version": "1.0",\n "model": {"type": "Unheard"}}')
        self.finds([("model.tokenizer", "m/tokenizer.json:2:12", "model type 'Unheard' is not supported; supported: BPE")], "m")

    def test_tokenizer_that_was_not_fetched(self):
        self.write("m/tokenizer.json", f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064}\nsize 9\n")
        message = "is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned"
        self.finds([("model.tokenizer", "m/tokenizer.json", message)], "m")

    def test_tokens_past_the_vocabulary(self):
        self.write_config(eos_token_id=[1, 100], bos_token_id=100)
        self.finds(
            [
                (
                    "model.no-effect",
                    "m/config.json:10:3",
                    "'bos_token_id' 100 is not used: the model has 100 tokens, and prompts begin as tokenizer.json has it",
                ),
                ("model.no-effect", "m/config.json:11:3", "'eos_token_id' 100 ends no answer: the model has 100 tokens"),
            ],
            "m",
        )

    def test_text(self):
        self.write("m/tokenizer_config.json", '{\n "chat_template": "{% if %}"}')
        self.finds([("model.text", "m/tokenizer_config.json:2:2", "chat template: line 1: expected an expression, got '%}'")], "m")

    def test_weights(self):
        self.write("m/model.safetensors", b"short")
        self.finds(
            [
                (
                    "model.weights",
                    "m/model.safetensors",
                    "5 bytes, but a safetensors file starts with an 8-byte header length; download it again",
                )
            ],
            "m",
        )

    def test_no_weights(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.finds(
            [
                (
                    "model.weights",
                    "m",
                    "has neither model.safetensors nor model.safetensors.index.json; give the folder of a Hugging Face "
                    "checkpoint in safetensors format",
                )
            ],
            "m",
        )

    def test_no_weights_on_a_walk(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        message = "no weights are here, so tensors were not checked; name the folder to miss them"
        self.finds([("model.no-weights", "m", message)], ".", code=0)

    def test_an_index_alone(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        index = {"weight_map": {name: "a.safetensors" for name, _ in self.tensors}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        note = "no weights are here, so tensors were checked by the index alone; name the folder to miss them"
        self.finds([("model.no-weights", "m", note)], ".", code=0)
        lacks = (
            "lacks a.safetensors, which model.safetensors.index.json names (1 of its 1 files are missing); download "
            "what is missing"
        )
        self.finds([("model.weights", "m", lacks)], "m")
        index["weight_map"]["model.norm.scales"] = "a.safetensors"
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        message = (
            "tensor 'model.norm.scales' is kept beside quantized weights; quantized checkpoints are not supported yet; "
            "give one in bf16, f16 or f32"
        )
        place = f"m/model.safetensors.index.json:{3 + len(self.tensors)}:3"
        self.finds([("model.no-weights", "m", note), ("model.tensors", place, message)], ".")
        self.finds([("model.weights", "m", lacks), ("model.tensors", place, message)], "m")

    def test_how_weights_are_quantized_stands_beside(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.write("m/hf_quant_config.json", "{}")
        note = "no weights are here, so tensors were not checked; name the folder to miss them"
        message = "quantized checkpoints are not supported yet; give one in bf16, f16 or f32"
        self.finds(
            [("model.no-weights", "m", note), ("model.unsupported", "m/hf_quant_config.json:1:1", message)], "."
        )

    def test_shards_alone(self):
        os.rename(
            os.path.join(self.folder, "m/model.safetensors"),
            os.path.join(self.folder, "m/model-00001-of-00002.safetensors"),
        )
        found = self.report(".")["diagnostics"]
        self.assertEqual([(one["id"], self.place(one)) for one in found], [("model.weights", "m")])

    def test_tensors(self):
        self.tensors = [one for one in self.tensors if one[0] != "model.norm.weight"]
        self.weights()
        message = (
            "tensor 'model.norm.weight' [64] is missing (1 missing in all); it is incomplete or of another model than "
            "config.json"
        )
        self.finds([("model.tensors", "m/model.safetensors", message)], "m")

    def test_tensor_of_an_index(self):
        self.tensors = [(name, [3] if name == "model.norm.weight" else shape) for name, shape in self.tensors]
        self.weights()
        os.rename(os.path.join(self.folder, "m/model.safetensors"), os.path.join(self.folder, "m/a.safetensors"))
        index = {"weight_map": {name: "a.safetensors" for name, _ in self.tensors}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        self.finds(
            [
                (
                    "model.tensors",
                    "m/model.safetensors.index.json:13:3",
                    "tensor 'model.norm.weight' has shape [3]; config.json makes it [64]",
                )
            ],
            "m",
        )

    def test_file_of_an_index(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        index = {"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "../b.safetensors"}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        message = (
            'tensor "b": expected the plain name of a .safetensors file in the same folder, got "../b.safetensors"'
        )
        self.finds([("model.weights", "m/model.safetensors.index.json:5:3", message)], "m")

    def test_no_effect(self):
        self.write_config(use_mrope=True)
        self.finds(
            [("model.no-effect", "m/config.json:20:3", "'use_mrope' true is not used: positions are those of text")], "m"
        )
        self.assertEqual(self.check("--fail-on", "error", "m").returncode, 0)

    def test_no_end(self):
        self.write_config(eos_token_id=None)
        self.finds(
            [
                (
                    "model.no-end",
                    "m",
                    "no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token "
                    "of tokenizer_config.json): nothing ends an answer but a stop string and its length",
                )
            ],
            "m",
        )

    def test_unused_tensors(self):
        self.tensors.append(("model.extra.weight", [3]))
        self.weights()
        self.finds([("model.unused-tensors", "m/model.safetensors", 'tensor "model.extra.weight" is no part of LlamaForCausalLM; it is not used')], "m")
