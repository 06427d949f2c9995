"""What a config.json alone shows: layout, legal sizes, memory and parameters of every family, or what is missing.

tests/planner/dry_run.py --bin build/cli
"""

import json
import os
import re
import shutil
import tempfile
import unittest

import plan_tools


def sizes(hidden, layers, heads, kv_heads, ffn, vocab, positions=8192, **more):
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        **more,
    }


# Published models: the sizes of their config.json, and how many parameters their checkpoints hold.
MODELS = {
    "Llama-3.1-8B": ("LlamaForCausalLM", sizes(4096, 32, 32, 8, 14336, 128256), 8030261248),
    "Llama-3.2-1B": (
        "LlamaForCausalLM",
        sizes(2048, 16, 32, 8, 8192, 128256, tie_word_embeddings=True, head_dim=64),
        1235814400,
    ),
    "Llama-3.1-70B": ("LlamaForCausalLM", sizes(8192, 80, 64, 8, 28672, 128256), 70553706496),
    "Llama-3.1-405B": ("LlamaForCausalLM", sizes(16384, 126, 128, 8, 53248, 128256), 405853388800),
    "Mistral-7B": ("MistralForCausalLM", sizes(4096, 32, 32, 8, 14336, 32000), 7241732096),
    "Qwen2-7B": ("Qwen2ForCausalLM", sizes(3584, 28, 28, 4, 18944, 152064), 7615616512),
    "Qwen3-8B": ("Qwen3ForCausalLM", sizes(4096, 36, 32, 8, 12288, 151936), 8190735360),
    "Phi-3.5-mini": ("Phi3ForCausalLM", sizes(3072, 32, 32, 32, 8192, 32064), 3821079552),
    "Phi-4": ("Phi3ForCausalLM", sizes(5120, 40, 40, 10, 17920, 100352), 14659507200),
    "Gemma-7B": ("GemmaForCausalLM", sizes(3072, 28, 16, 16, 24576, 256000), 8537680896),
    "Gemma-2-9B": ("Gemma2ForCausalLM", sizes(3584, 42, 16, 8, 14336, 256000), 9241705984),
    "Gemma-3-1B": ("Gemma3ForCausalLM", sizes(1152, 26, 4, 1, 6912, 262144, sliding_window=512), 999885952),
}


class DryRun(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_dry_run_")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, architecture, config, name="config.json"):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            json.dump({"architectures": [architecture], "torch_dtype": "bfloat16", "eos_token_id": 1, **config}, file)
        return path

    def shown(self, path, *options):
        return plan_tools.checked([self.tools.plan, "build", path, "--dry-run", *options])

    def test_published_models_have_as_many_parameters(self):
        for name, (architecture, config, parameters) in MODELS.items():
            with self.subTest(name):
                text = self.shown(self.write(architecture, config))
                self.assertIn(f"\nparameters   {parameters}, {2 * parameters} bytes as BF16\n", text)

    def test_a_file_will_do_and_a_folder_of_it(self):
        path = self.write("LlamaForCausalLM", sizes(64, 4, 4, 2, 128, 100), "llama-tiny.json")
        text = self.shown(path, "--tp", "2")
        self.assertIn("model        llama-tiny.json (LlamaForCausalLM), hidden 64, 4 heads over 2 x 16", text)
        self.assertIn("\nlegal tp     1, 2, 4; not 8: 4 attention heads do not divide by 8; not 16: ", text)
        self.assertIn("\nlayout       tp 2, 1 stage, for 16 sequences of 8192 tokens, computed as bf16\n", text)
        self.assertIn("\nstage 0      layers 0 to 3 on device 0, 2 ranks; each needs ", text)
        os.rename(path, os.path.join(self.folder, "config.json"))
        self.assertEqual(
            self.shown(self.folder, "--tp", "2").splitlines()[1:], text.splitlines()[1:]
        )
        self.assertFalse(os.path.exists("model.mrsplan"))

    def test_stages_have_memory_of_their_own(self):
        path = self.write("LlamaForCausalLM", sizes(64, 5, 4, 2, 128, 100))
        text = self.shown(path, "--pp", "2")
        self.assertRegex(text, r"\nstage 0      layers 0 to 2 on device 0, 1 rank; each needs ")
        self.assertRegex(text, r"\nstage 1      layers 3 to 4 on device 1, 1 rank; each needs ")

    def test_windows_are_cache_classes(self):
        path = self.write("Gemma3ForCausalLM", sizes(64, 12, 4, 2, 128, 100, head_dim=16, sliding_window=64))
        text = self.shown(path)
        self.assertIn("\nlayers       12: 2 see all tokens, 10 a window of 64\n", text)
        self.assertRegex(text, r"\n    2 layers, all tokens: \d+ blocks of 32 tokens, \d+ bytes each\n")
        self.assertRegex(text, r"\n    10 layers, a window of 64: \d+ blocks of 32 tokens, \d+ bytes each\n")
        blocks = [int(count) for count in re.findall(r": (\d+) blocks", text)]
        self.assertLess(blocks[1], blocks[0])
        self.assertIn("1 layer, all tokens: ", self.shown(self.write("LlamaForCausalLM", sizes(64, 1, 4, 2, 128, 100))))

    def test_memory_that_is_given_must_do(self):
        path = self.write("LlamaForCausalLM", sizes(64, 4, 4, 2, 128, 100))
        done = plan_tools.run([self.tools.plan, "build", path, "--dry-run", "--memory", "1MiB"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not fit", done.stderr)

    def test_an_index_beside_it_is_held_against_it(self):
        self.write("LlamaForCausalLM", sizes(64, 1, 4, 2, 128, 100))
        names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
        names += [f"model.layers.0.{name}layernorm.weight" for name in ("input_", "post_attention_")]
        names += [f"model.layers.0.self_attn.{name}_proj.weight" for name in "qkvo"]
        names += [f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")]
        parameters = 2 * 100 * 64 + 3 * 64 + 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128
        index = {"metadata": {"total_size": 2 * parameters}, "weight_map": {name: "a.safetensors" for name in names}}

        def write():
            with open(os.path.join(self.folder, "model.safetensors.index.json"), "w") as file:
                json.dump(index, file)

        write()
        text = self.shown(self.folder)
        self.assertIn(f"\nparameters   {parameters}, {2 * parameters} bytes as BF16\n", text)
        self.assertIn("\nindex        12 tensors in 1 file, all that the model needs, 2 bytes for each parameter\n", text)
        index["metadata"]["total_size"] *= 2
        write()
        text = self.shown(self.folder)
        self.assertIn(f"\nparameters   {parameters}, {4 * parameters} bytes as F32\n", text)
        self.assertIn(", computed as f32\n", text)
        index["weight_map"]["model.layers.0.mlp.up_proj.qweight"] = "a.safetensors"
        write()
        done = plan_tools.run([self.tools.plan, "build", self.folder, "--dry-run"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("tensor 'model.layers.0.mlp.up_proj.qweight' is kept beside quantized weights", done.stderr)
        # A config.json alone is judged alone.
        self.assertNotIn("\nindex ", self.shown(os.path.join(self.folder, "config.json")))

    def test_a_checkout_without_git_lfs(self):
        self.write("LlamaForCausalLM", sizes(64, 1, 4, 2, 128, 100))
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064}\nsize 9\n"
        for name in ("tokenizer.json", "model.safetensors"):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(pointer)
        done = plan_tools.run([self.tools.plan, "build", self.folder, "--dry-run"])
        self.assertEqual(done.returncode, 0)
        alone = self.shown(os.path.join(self.folder, "config.json"))
        self.assertEqual(done.stdout.splitlines()[1:], alone.splitlines()[1:])  # but for the model's name
        self.assertEqual(
            done.stderr,
            "mrs-plan: warning: tokenizer.json: is a git-lfs pointer, not the file that it stands for; layout and memory need "
            "none, and a plan does: run 'git lfs pull' where it was cloned\n",
        )
        done = plan_tools.run([self.tools.plan, "build", self.folder, "-o", os.path.join(self.folder, "x.mrsplan")])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            f"mrs-plan: {self.folder}/tokenizer.json: is a git-lfs pointer, not the file that it stands for; run 'git lfs "
            "pull' where it was cloned\n",
        )

    def test_tokens_past_the_vocabulary(self):
        path = self.write("LlamaForCausalLM", sizes(64, 1, 4, 2, 128, 100, eos_token_id=50256, bos_token_id=50256))
        done = plan_tools.run([self.tools.plan, "build", path, "--dry-run"])
        self.assertEqual(done.returncode, 0)
        self.assertIn("config.json: 'eos_token_id' 50256 ends no answer: the model has 100 tokens\n", done.stderr)

    def test_what_is_missing_is_named(self):
        path = self.write("MixtralForCausalLM", sizes(64, 4, 4, 2, 128, 100))
        done = plan_tools.run([self.tools.plan, "build", path, "--dry-run"])
        self.assertEqual(done.returncode, 1)
        self.assertIn('config.json: architecture "MixtralForCausalLM" is not supported yet; supported: ', done.stderr)
        done = plan_tools.run([self.tools.plan, "build", path, "--dry-run", "--ir-out", "x.mlir"])
        self.assertEqual(done.returncode, 2)
        self.assertIn("--dry-run writes nothing", done.stderr)


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([DryRun], plan_tools.Tools(arguments.bin))
