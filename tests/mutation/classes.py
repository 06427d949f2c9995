"""What a plan's checkers once took for right: each class of it is refused, by step and field; and what is right is not.

    python3 classes.py --bin build/cli        what CI runs: some ten seconds

Each class is a mutant of mutate_plan, made of plans of the bundled model and of one with biases over 2 and 4 ranks, or
an edit of their finished modules. `mrs-plan verify --model` and `mrs-plan build --ir-source` must refuse with the words
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
from subjects import BUILD, GOLDEN, MINI, mutate_program, short

import module_level
import random_checkpoint
from module_edits import Workshop
from mrs_tools import Tools
from verdict import call

MODELS = (MINI, os.path.join(GOLDEN, "llama_bias_bf16"))
TPS = (2, 4)
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
    "inv_freq_of_one": r"erasure: fact 'mrs\.model\.rope\.inv_freq' is \"1, .*, expected \"1, ",
    "angles_of_other_rope": r"erasure: 1 stages and 2 ropes, expected one of each",
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

    def build(self, model, tp):
        code, said = call([self.tools.plan_program, "build", model, "--tp", str(tp), *BUILD, "-o", self.plan])
        self.assertEqual(code, 0, f"{short(model, tp)}: {said}")

    def verify(self, plan, model):
        return call([self.tools.plan_program, "verify", plan, "--model", model])

    def assert_refused(self, code, said, words):
        self.assertEqual(code, 1, f"expected a refusal, got exit code {code}: {said}")
        self.assertRegex(said, words)

    def test_plans(self):
        for model in MODELS:
            for tp in TPS:
                self.build(model, tp)
                self.assertEqual(self.verify(self.plan, model)[0], 0)
                made = self.tools.call([self.mutate, self.plan, self.scratch.name, "1"])
                made = {line.split("\t")[0] for line in made.splitlines()}
                self.assertEqual(self.verify(f"{self.scratch.name}/none.mrsplan", model)[0], 0)
                for mutant, words in CLASSES.items():
                    with self.subTest(mutant=mutant, model=short(model, tp)):
                        if (mutant, os.path.basename(model)) in NOT_HERE:
                            continue
                        self.assertIn(mutant, made)
                        self.assert_refused(*self.verify(f"{self.scratch.name}/{mutant}.mrsplan", model), words)

    def test_modules(self):
        for model in MODELS:
            shop = Workshop(self.bin, self.scratch.name, model, tp=2)
            self.assertEqual(shop.build(shop.final, "whole", against_source=True)[0], "built")
            for edit, words in EDITS.items():
                with self.subTest(edit=edit, model=short(model, 2)):
                    lines, passes, what = module_level.MUTANTS[edit](shop, random.Random(f"{edit} 1"))
                    verdict, said = shop.build(lines, edit, passes, against_source=True)
                    self.assertEqual(verdict, "refused", what)
                    self.assertRegex(said, words)

    def test_no_false_alarm(self):
        legal = {os.path.dirname(path): (4,) for path in glob.glob(f"{GOLDEN}/*/config.json")}
        self.assertEqual(len(legal), 8)
        legal[MINI] = (1, 2, 4)
        for seed in (1, 2):
            folder = f"{self.scratch.name}/random-{seed}"
            config, _ = random_checkpoint.write_checkpoint(seed, folder)
            legal[folder] = random_checkpoint.legal_tp(config)
        for model, tps in legal.items():
            for tp in tps:
                with self.subTest(model=short(model, tp)):
                    self.build(model, tp)
                    code, said = self.verify(self.plan, model)
                    self.assertEqual(code, 0, said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan, mrs-opt and mrs-exec")
    options = parser.parse_args()
    Classes.bin, Classes.tools, Classes.mutate = options.bin, Tools(options.bin), mutate_program(options.bin)
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Classes))
    return 0 if result.wasSuccessful() and result.testsRun == 3 else 1


if __name__ == "__main__":
    sys.exit(main())
