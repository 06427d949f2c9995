"""What a plan's checkers once took for right: each class of it is refused, by step and field; and what is right is not.

    python3 classes.py --bin build/cli        what CI runs: some ten seconds

Each class is a mutant of mutate_plan, made of plans of the bundled model and of one with biases over 2 and 4 ranks, or
an edit of their finished modules; or one of a random model of a family, in two stages of two ranks. `mrs-plan verify --model` and `mrs-plan build --ir-source` must refuse with the words
here.
"""

import argparse
import glob
import os
import random
import sys
import tempfile
import unittest

# First of all: it finds what exactness/ has.
from subjects import FUSED, GOLDEN, LAYOUTS, MINI, REPOSITORY, Layout, build, mutate_program, random_models, short

import compiler_mutants
import gpu_compiler_mutants
import gpu_source_mutants
import module_level
import random_checkpoint
import source_mutants
from module_edits import Workshop
from mrs_tools import Tools
from verdict import call

MODELS = (MINI, os.path.join(GOLDEN, "llama_bias_bf16"))
RANKS = (Layout(1, 2), Layout(1, 4))
# Mutant -> what is said of it.
CLASSES = {
    # A rule table in which no factor is summed; other partial sums that are read, and wholes that are summed.
    "all_reduces_dropped": r"step 2 'l0\.input_norm': reads 'embed_tokens', a partial sum; only an all_reduce may",
    "all_reduce_dropped": r"step \d+ '.*': reads '.*', a partial sum; only an all_reduce may",
    "embedding_not_reduced": r"step 2 'l0\.input_norm': reads 'embed_tokens', a partial sum; only an all_reduce may",
    "all_reduce_after_add": r"step \d+ 'l0\.attention_add': reads 'l0\.o_proj', a partial sum; only an all_reduce may",
    "all_reduce_after_bias": r"step \d+ 'l0\.o_proj\.add_bias': reads 'l0\.o_proj', a partial sum; only an all_reduce",
    "all_reduce_doubled": r"step \d+ '.*\.again': sums '.*\.all_reduce' over the ranks, which is whole on every rank",
    "all_reduce_of_whole": r"step \d+ 'sum_of_a_whole': sums 'l\d+\.\w+_add' over the ranks, which is whole on every",
    # Rows handed to the ranks in another order than every other slice.
    "qkv_rows_reversed": r"weight 'l0\.q_proj\.weight': rows of tensor '.*': a slice that starts at \d+, expected 0",
    "q_rows_reversed": r"weight 'l0\.q_proj\.weight': rows of tensor '.*': a slice that starts at \d+, expected 0",
    "kv_rows_reversed": r"weight 'l0\.k_proj\.weight': rows of tensor '.*': a slice that starts at \d+, expected 0",
    "head_rows_reversed": r"weight 'lm_head\.weight': rows of tensor '.*': a slice that starts at \d+, expected 0",
    # Results, weights and biases of one product for each other.
    "fused_kv_exchanged": r"erasure: .*step \d+ 'l\d+\.k_rope': reads 'l\d+\.v_proj', expected 'l\d+\.k_proj'",
    "gate_up_exchanged": r"erasure: .*step \d+ 'l\d+\.silu_mul': reads 'l\d+\.up_proj', expected 'l\d+\.gate_proj'",
    "kv_biases_exchanged": r"erasure: .*step \d+ 'l(\d+)\.q_proj\+k_proj\+v_proj': reads 'l\1\.v_proj\.bias', "
    r"expected 'l\1\.k_proj\.bias'",
    "add_doubles_sum": r"erasure: .*step \d+ 'l\d+\.\w+_add': reads '.*', expected '",
    # Numbers from elsewhere.
    "eps_of_a_norm": r"erasure: .*step \d+ 'l\d+\.post_norm': eps of its rms_norm is 2e-05, expected 1e-05",
    "scale_of_append": r"erasure: .*step \d+ 'l0\.attention': scale of its attention is 1, expected 0\.\d+",
    "inv_freq_of_one": r"erasure: fact 'mrs\.model\.ropes\[0\]\.inv_freq' is \"1, .*, expected \"1, ",
    "angles_of_other_rope": r"erasure: fact 'mrs\.model\.ropes' has 2 entries, expected 1",
    "chain": r"erasure: fact 'mrs\.options\[\d\]\.value' is \"pair2\", expected \"block32\"",
    "down_chunks_halved": r"erasure: .*step \d+ 'l\d+\.down_proj': chunks of its weight is 8, expected 16",
    # Places in the checkpoint.
    "offsets_of_kv_exchanged": r"erasure: .*step \d+ 'l\d+\.q_proj\+k_proj\+v_proj': offset of its tensor is \d+, ",
    "names_of_kv_exchanged": r"erasure: .*step \d+ 'l\d+\.q_proj\+k_proj\+v_proj': name of its tensor is "
    r"model\.layers\.(\d)\.self_attn\.v_proj\.weight, expected model\.layers\.\1\.self_attn\.k_proj\.weight",
}
NOT_HERE = {  # a model without biases, and one whose only KV head is everybody's
    ("kv_biases_exchanged", "mini"),
    ("all_reduce_after_bias", "mini"),
    ("kv_rows_reversed", "llama_bias_bf16"),
    ("all_reduce_after_add", "llama_bias_bf16"),  # what follows its sums is a bias
}

# Of a random model in two stages: what passes between them, what a layer is told, which rows and how a weight is read.
STAGES = {
    "collective_of_other_stage": r"stage 1 step \d+ '.*': runs over group 0, expected the stage's group 1",
    "collective_over_stages": r"stage \d step \d+ '.*': runs over a group along stage, expected tp",
    "sent_to_other_stage": r"stage 0 step \d+ 'l1\.mlp_add\.send': sends to stage 0, expected its neighbour 1",
    "received_from_other_stage": r"stage 1 step 0 'l1\.mlp_add\.recv': receives from stage 1, expected its neighbour 0",
    "sent_out_of_turn": r"stage 0 step \d+ 'l1\.mlp_add\.send': is transfer 1 between the two stages, expected 0",
    "sends_before_its_last_layer": r"erasure: stage 1 step \d+ 'l2\.attention_add': reads 'l1\.attention_add', "
    r"expected 'l1\.mlp_add'",
    "stages_exchanged": r"erasure: stage 0 step \d+ 'l0\..*': reads 'l2\..*\.weight', expected 'l0\..*\.weight'",
    "positions_for_sequence": r"step \d+ '.*': operand \d is 'sequence', expected the input 'positions'",
}
FAMILIES = {
    "Gemma2ForCausalLM": STAGES
    | {
        "window_longer": r"erasure: .*step \d+ 'l\d\.attention': window of its attention is 9, expected 8",
        "layers_of_classes_exchanged": r"erasure: .*step \d+ 'l\d\.attention': window of its attention is 8, expected 0",
        "window_of_an_attention": r"step \d+ 'l\d\.attention': has a window of 9, KV class \d one of 8",
        "slots_of_other_class": r"step \d+ 'l\d\.kv_append': operand 2 is 'slots', expected the input 'slots\.1'",
        "tables_of_classes_exchanged": r"step \d+ 'l\d\.attention': operand 3 is 'block_table.*', expected the input",
        "ring_too_short": r"KV class \d: 1 blocks a sequence, expected 2",
        "soft_cap_of_scores": r"erasure: .*step \d+ 'l\d\.attention': soft_cap of its attention is 7\.5, expected 5",
        "soft_cap_of_logits": r"erasure: .*step \d+ 'logit_cap': cap of its soft_cap is 4\.5, expected 3",
        "multiplier": r"erasure: .*step \d+ 'embed_scale': factor of its scale is 16\.\d+, expected 10\.\d+",
        "gelu_approximated_otherwise": r"erasure: .*'l\d\.gelu_mul': approximate of its gelu_mul is false, expected true",
        "add_one_forgotten": r"erasure: .*step \d+ '.*norm': transform of its tensor is none, expected add_one",
        "norm_skipped": r"erasure: .*step \d+ 'l\d\.\w+_add': reads 'l\d\.\w+_proj', expected 'l\d\.\w+_norm'",
    },
    "Gemma3ForCausalLM": {
        "one_rope_for_all": r"erasure: .*step \d+ 'l\d\.\w_rope': rope of its rope is 0, expected 1",
        "ropes_exchanged": r"erasure: fact 'mrs\.model\.ropes\[0\]\.inv_freq' is",
    },
    "Phi3ForCausalLM": {
        "fused_rows_of_kv_exchanged": r"erasure: .*step \d+ 'l\d\.k_rope': reads 'l\d\.v_proj', expected 'l\d\.k_proj'",
        "fused_rows_of_gate_up_exchanged": r"erasure: .*'l\d\.silu_mul': reads 'l\d\.up_proj', expected 'l\d\.gate_proj'",
        "fused_rows_late": r"tensor 'model\.layers\..*_proj\.weight': no rank reads row \d+ of \d+",
    },
    "Glm4ForCausalLM": {
        "pairs_interleaved": r"erasure: .*step \d+ 'l\d\.\w_rope': interleaved of its rope is false, expected true",
    },
    "Olmo3ForCausalLM": {
        "squares_not_reduced": r"step \d+ 'l\d\.\w_norm': reads 'l\d\.\w_norm\.sum', a partial sum; only an all_reduce may",
        "squares_in_longer_chunks": r"erasure: .*'l\d\.\w_norm\.sum': chunk_heads of its sum_squares is 2, expected 1",
        "whole_norm_of_this_rank": r"step \d+ 'l\d\.\w_norm': divides its sum by 128 elements, the ranks have 256",
        "whole_norm_of_other_sum": r"erasure: .*'l\d\.\w_norm': reads 'l\d\.\w_norm\.sum', expected 'l\d\.\w_norm\.sum'",
    },
    "StableLmForCausalLM": {
        "layer_norm_as_rms_norm": r"erasure: .*reads what a rms_norm leaves, expected that of layer_norm 'l\d\.",
        "biases_of_layer_norms_exchanged": r"erasure: .*'.*norm': reads '.*norm\.bias', expected '.*norm\.bias'",
    },
    "Ministral3ForCausalLM": {
        "queries_scaled_otherwise": r"erasure: .*'l\d\.q_scale': beta of its position_scale is 0\.2, expected 0\.1",
        "queries_scaled_later": r"erasure: .*'l\d\.q_scale': original of its position_scale is 64, expected 32",
    },
}

# Of the bundled model on GPUs, whose steps are one with others.
ON_GPUS = {
    "all_reduce_dropped": r"step \d+ '.*': reads '.*', a partial sum; only an all_reduce may",
    "fused_norm_doubles_residual": r"erasure: .*step \d+ 'l\d\.\w+_add\+.*_norm': reads '.*', expected '.*' as 'l\d\.\w+_add' does",
    "fused_norm_doubles_sum": r"erasure: .*step \d+ 'l\d\.\w+_add\+.*_norm': reads '.*', expected '.*' as 'l\d\.\w+_add' does",
    "fused_norm_weights_exchanged": r"erasure: .*step \d+ 'l0\.attention_add\+post_norm': reads 'l\d\.\w+_norm\.weight', expected",
    "fused_norm_eps": r"erasure: .*'l\d\.\w+_add\+.*_norm': eps of its rms_norm is 2e-05, expected 1e-05 as in 'l\d\.\w+_norm'",
    "fused_sum_left_out": r"erasure: .*step \d+ '.*': reads '.*', expected 'l\d\.\w+_add' as '.*' does",
    "fused_append_kv_exchanged": r"erasure: .*'l\d\.q_rope\+k_rope\+kv_append': reads 'l\d\.v_proj', expected 'l\d\.k_proj'",
    "fused_append_values_twice": r"erasure: .*'l\d\.q_rope\+k_rope\+kv_append': reads 'l\d\.k_proj', expected 'l\d\.v_proj'",
    "fused_append_layers_exchanged": r"step \d+ '.*': does not wait for step \d+ 'l\d\..*kv_append', which appends what it attends",
    "fused_append_other_pairs": r"erasure: .*'l\d\.q_rope\+k_rope\+kv_append': interleaved of its rope is true, expected false",
    "fused_gate_up_exchanged": r"erasure: .*'l\d\.gate_proj\+up_proj\+silu_mul': reads 'l\d\.up_proj', expected 'l\d\.gate_proj'",
    "fused_gate_twice": r"erasure: .*'l\d\.gate_proj\+up_proj\+silu_mul': reads 'l\d\.gate_proj', expected 'l\d\.up_proj'",
    "fused_gate_of_other_layer": r"erasure: .*'l0\.gate_proj\+up_proj\+silu_mul': reads 'l\d\.gate_proj\.weight', expected 'l0",
}

# Edit of a finished module -> what is said of it.
EDITS = {
    "offsets_exchanged": r"erasure: .*step \d+ '.*': offset of its tensor is \d+, expected \d+",
    "names_exchanged": r"erasure: .*step \d+ '.*': name of its tensor is .*, expected ",
    "eps": r"erasure: .*step \d+ '.*norm': eps of its rms_norm is 2e-05, expected 1e-05",
    "chain": r"erasure: fact 'mrs\.chain' is \"block32\", expected \"pair2\"",
}


class Classes(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.plan = os.path.join(self.scratch.name, "x.mrsplan")

    def build(self, model, layout):
        code, said = build(self.tools.plan_program, model, layout, self.plan)
        self.assertEqual(code, 0, f"{short(model, layout)}: {said}")

    def verify(self, plan, model):
        return call([self.tools.plan_program, "verify", plan, "--model", model])

    def assert_refused(self, code, said, words):
        self.assertEqual(code, 1, f"expected a refusal, got exit code {code}: {said}")
        self.assertRegex(said, words)

    def refuses(self, model, layout, classes):
        self.build(model, layout)
        self.assertEqual(self.verify(self.plan, model)[0], 0)
        made = self.tools.call([self.mutate, self.plan, self.scratch.name, "1"])
        made = {line.split("\t")[0] for line in made.splitlines()}
        self.assertEqual(self.verify(f"{self.scratch.name}/none.mrsplan", model)[0], 0)
        for mutant, words in classes.items():
            with self.subTest(mutant=mutant, model=short(model, layout)):
                self.assertIn(mutant, made)
                self.assert_refused(*self.verify(f"{self.scratch.name}/{mutant}.mrsplan", model), words)

    def test_plans(self):
        for model in MODELS:
            classes = {n: words for n, words in CLASSES.items() if (n, os.path.basename(model)) not in NOT_HERE}
            for layout in RANKS:
                self.refuses(model, layout, classes)

    def test_plans_for_gpus(self):
        self.refuses(MINI, FUSED, ON_GPUS)

    def test_families_in_stages(self):
        for architecture, classes in FAMILIES.items():
            model = random_models(self.scratch.name, [architecture])[0]
            self.refuses(model, Layout(2, 2), classes)

    def test_modules(self):
        for model in MODELS:
            shop = Workshop(self.bin, self.scratch.name, model, tp=2)
            self.assertEqual(shop.build(shop.final, "whole", against_source=True)[0], "built")
            for edit, words in EDITS.items():
                with self.subTest(edit=edit, model=short(model, Layout(1, 2))):
                    lines, passes, what = module_level.MUTANTS[edit](shop, random.Random(f"{edit} 1"))
                    verdict, said = shop.build(lines, edit, passes, against_source=True)
                    self.assertEqual(verdict, "refused", what)
                    self.assertRegex(said, words)

    def test_no_mutant_is_stale(self):
        """What nobody can make any more finds nothing. A source that changes under a mutant has it written anew."""
        mutants = source_mutants.MUTANTS + gpu_source_mutants.MUTANTS
        mutants += compiler_mutants.MUTANTS + gpu_compiler_mutants.MUTANTS
        self.assertGreater(len(mutants), 100)
        for mutant in mutants:
            with self.subTest(mutant.name), open(os.path.join(REPOSITORY, mutant.file), encoding="utf-8") as source:
                self.assertEqual(source.read().count(mutant.old), 1, f"{mutant.file}: {mutant.old}")

    def test_no_false_alarm(self):
        goldens = [os.path.dirname(path) for path in glob.glob(f"{GOLDEN}/*/model.safetensors")]
        self.assertEqual(len(goldens), 8)
        legal = {model: [Layout(1, 4)] for model in goldens}
        legal[MINI] = LAYOUTS
        for seed in (1, 2):
            folder = f"{self.scratch.name}/random-{seed}"
            config, _ = random_checkpoint.write_checkpoint(seed, folder)
            legal[folder] = [Layout(1, tp) for tp in random_checkpoint.legal_tp(config)]
        for model, layouts in legal.items():
            for layout in layouts:
                with self.subTest(model=short(model, layout)):
                    self.build(model, layout)
                    code, said = self.verify(self.plan, model)
                    self.assertEqual(code, 0, said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan, mrs-opt and mrs-exec")
    options = parser.parse_args()
    Classes.bin, Classes.tools, Classes.mutate = options.bin, Tools(options.bin), mutate_program(options.bin)
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Classes))
    return 0 if result.wasSuccessful() and result.testsRun == 6 else 1


if __name__ == "__main__":
    sys.exit(main())
