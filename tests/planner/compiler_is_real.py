"""The module is the single source of the plan: what is edited in it runs, what is left out or broken in it is refused.

tests/planner/compiler_is_real.py --bin build/cli
"""

import json
import os
import re
import shutil
import tempfile
import unittest

import plan_tools

REQUIRED = [
    "mrs-apply-layout",
    "mrs-propagate",
    "mrs-insert-collectives",
    "mrs-cut-stages",
    "mrs-localize",
    "mrs-schedule",
    "mrs-plan-memory",
]
OPTIONAL = ["mrs-fuse", "mrs-fuse-steps", "mrs-join-launches", "mrs-in-place"]
PIPELINE = [
    "mrs-apply-layout",
    "mrs-propagate",
    "mrs-insert-collectives",
    "mrs-cut-stages",
    "mrs-fuse",
    "mrs-fuse-steps",
    "mrs-localize",
    "mrs-schedule",
    "mrs-join-launches",
    "mrs-in-place",
    "mrs-plan-memory",
]
OPTIONS = ["--tp", "2", "--memory", "1GiB", "--numerics", "pair2", "--max-len", "256"]


def replaced(text, old, new, count=1):
    """`text` with `old` exchanged; the edit must have something to edit."""
    if text.count(old) < count:
        raise AssertionError(f"the module has no {old!r}")
    return text.replace(old, new, count)


def edited_lines(text, pattern, edit):
    """`text` with `edit` applied to the lines that match; there must be some."""
    hits, lines = 0, text.split("\n")
    for number, line in enumerate(lines):
        if re.search(pattern, line):
            hits += 1
            lines[number] = edit(line)
    if hits == 0:
        raise AssertionError(f"no line of the module matches {pattern!r}")
    return "\n".join(lines)


def line_of(text, name):
    return next(line for line in text.split("\n") if f' "{name}" ' in line)


def result_of(text, name):
    return line_of(text, name).split(" = ")[0].strip()


class Compiler(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mrs_compiler_")
        cls.graph = cls.path("graph.mlir")
        cls.direct = cls.path("direct.mrsplan")
        plan_tools.checked([cls.tools.plan, "build", plan_tools.MINI, *OPTIONS, "--ir-out", cls.graph])
        plan_tools.checked([cls.tools.plan, "build", plan_tools.MINI, *OPTIONS, "-o", cls.direct])
        cls.final = cls.optimized(["mrs-plan"])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def optimized(cls, passes):
        return plan_tools.checked([cls.tools.opt, cls.graph, *(f"--{name}" for name in passes)])

    def build(self, module, *more):
        """`mrs-plan build --ir` of a module's text: (the finished process, the plan's path)."""
        ir, plan = self.path("edited.mlir"), self.path("edited.mrsplan")
        with open(ir, "w") as file:
            file.write(module)
        if os.path.exists(plan):
            os.remove(plan)
        return plan_tools.run([self.tools.plan, "build", "--ir", ir, *more, "-o", plan]), plan

    def built(self, module, *more):
        done, plan = self.build(module, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return plan

    def assert_refused(self, module, *said):
        done, plan = self.build(module)
        self.assertEqual(done.returncode, 1, f"expected a refusal, got exit code {done.returncode}\n{done.stderr}")
        for words in said:
            self.assertIn(words, done.stderr)
        self.assertFalse(os.path.exists(plan), "a refused module left a plan")

    def inspect(self, plan):
        return json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", plan]))["stages"][0]

    def answer(self, plan):
        """Tokens and the hash of all logits of two prompts."""
        out = plan_tools.checked(
            [
                self.tools.exec,
                "--plan",
                plan,
                "--model",
                plan_tools.MINI,
                "--prompt-ids",
                "0,7,20,33,50",
                "--prompt-ids",
                ",".join(str(i) for i in range(3, 73)),
                "--max-tokens",
                "16",
                "--temperature",
                "0",
                "--json",
            ]
        )
        answers = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(answers), 2)
        self.assertTrue(all(a["token_ids"] for a in answers))
        return [(a["token_ids"], a["logits_sha256"]) for a in answers]

    def assert_same_tokens(self, plan):
        self.assertEqual(self.answer(plan), self.answer(self.direct))

    # The way over text is the way of the planner itself.

    def test_same_bytes_by_way_of_text(self):
        with open(self.built(self.final, "--ir-source", self.graph), "rb") as one, open(self.direct, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_passes_one_by_one_are_the_pipeline(self):
        self.assertEqual(self.optimized(PIPELINE), self.final)

    def test_hand_edited_module_runs(self):
        module = replaced(self.final, '"l0.o_proj.all_reduce"', '"the first sum of mine"')
        module = replaced(module, 'algorithm = "doubling"', 'algorithm = "gather_add"')
        plan = self.built(module)
        text = plan_tools.checked([self.tools.plan, "inspect", plan])
        self.assertIn("the first sum of mine", text)
        self.assert_same_tokens(plan)

    def test_hand_edited_module_can_give_other_tokens(self):
        # The control: the plan decides. Here the residual stream forgets what it was before layer 0's MLP.
        add = line_of(self.final, "l0.mlp_add")
        first, second = re.search(r'"l0.mlp_add" (%\w+), (%\w+)', add).groups()
        module = replaced(
            self.final, add, add.replace(f"{first}, {second}", f"{second}, {second}").replace("inplace = 0 : i64, ", "")
        )
        self.assertNotEqual(self.answer(self.built(module)), self.answer(self.direct))

    def test_a_module_without_its_source_has_no_certificate_of_erasure(self):
        done, plan = self.build(self.final)
        self.assertEqual(
            done.stderr,
            "mrs-plan: warning: nothing was compared with the model: the plan has no certificate of erasure; give the "
            f"unsharded module that {self.path('edited.mlir')} came from with --ir-source, or check the plan with "
            "mrs-plan verify --model DIR\n",
        )
        text = plan_tools.checked([self.tools.plan, "inspect", plan])
        self.assertIn('certificate "plans/verify"', text)
        self.assertNotIn('certificate "erasure"', text)
        # What the file does not claim, anybody can find out.
        said = plan_tools.checked([self.tools.plan, "verify", plan, "--model", plan_tools.MINI])
        self.assertIn("\nchecked: plans/verify, erasure, checkpoint headers\n", said)

    def test_a_module_that_computes_something_else_is_refused(self):
        def refused(module, words):
            done, plan = self.build(module, "--ir-source", self.graph)
            self.assertEqual((done.returncode, done.stderr), (1, f"mrs-plan: plan to write: erasure: {words}\n"))
            self.assertFalse(os.path.exists(plan), "a refused module left a plan")
            # Without the source the same module is a plan; the folder tells what it is worth.
            plan = self.built(module)
            done = plan_tools.run([self.tools.plan, "verify", plan, "--model", plan_tools.MINI])
            message = f"mrs-plan: plan {plan}: is not the plan of {plan_tools.MINI}: erasure: {words}\n"
            self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", message))

        norm = line_of(self.final, "l1.post_norm")
        refused(
            replaced(self.final, norm, re.sub(r"eps = \S+ : f32", "eps = 1.000000e-02 : f32", norm)),
            "stage 0 step 27 'l1.post_norm': eps of its rms_norm is 0.01, expected 1e-05 as in 'l1.post_norm'",
        )
        k, v = line_of(self.final, "l0.k_proj.weight"), line_of(self.final, "l0.v_proj.weight")
        offset_of = lambda line: re.search(r" offset = (\d+)", line)[1]  # in its file
        place = " offset = {}".format
        swapped = replaced(self.final, k, k.replace(place(offset_of(k)), place(offset_of(v))))
        swapped = replaced(swapped, v, v.replace(place(offset_of(v)), place(offset_of(k))))
        refused(
            swapped,
            "stage 0 step 4 'l0.q_proj+k_proj+v_proj': offset of its tensor is "
            f"{offset_of(v)}, expected {offset_of(k)} as in 'l0.k_proj.weight'",
        )

    def test_a_source_that_is_no_unsharded_graph_is_refused(self):
        source = self.path("sharded.mlir")
        with open(source, "w") as file:
            file.write(self.final)
        done, _ = self.build(self.final, "--ir-source", source)
        self.assertEqual(
            (done.returncode, done.stderr),
            (
                1,
                "mrs-plan: erasure: 'embed.weight' (mrs.weight) of the unsharded graph: its result is not whole on "
                "one rank\n",
            ),
        )

    # Every pass left out.

    def test_required_passes(self):
        said = {
            "mrs-apply-layout": ["the module has no mrs.buckets; run mrs-apply-layout"],
            "mrs-propagate": ["'embed_tokens' (mrs.embed): its result is", "only a part of the whole: partial{tp}"],
            "mrs-cut-stages": ["nothing says which layers are the stage's; run mrs-cut-stages"],
            "mrs-insert-collectives": ["(mrs.rms_norm): reads a partial sum", "run insert-collectives"],
            "mrs-localize": ["'embed.weight' (mrs.weight): no rank's part of it is decided; run mrs-localize"],
            "mrs-schedule": ["'embed_tokens' (mrs.embed): has no place in the program; run mrs-schedule"],
            "mrs-plan-memory": ["the KV cache has no place in memory; run mrs-plan-memory"],
        }
        self.assertEqual(sorted(said), sorted(REQUIRED))
        for left_out in REQUIRED:
            with self.subTest(left_out=left_out):
                rest = [f"--{name}" for name in PIPELINE if name != left_out]
                done = plan_tools.run([self.tools.opt, self.graph, *rest])
                if done.returncode == 0:
                    self.assert_refused(done.stdout, *said[left_out])
                for words in said[left_out] if done.returncode != 0 else []:
                    self.assertIn(words, done.stderr)

    def test_optional_pass_fuse(self):
        self.assertEqual(sorted(REQUIRED + OPTIONAL), sorted(PIPELINE))
        plan = self.built(self.optimized([name for name in PIPELINE if name != "mrs-fuse"]))
        with_pass, without = self.inspect(self.direct), self.inspect(plan)
        # Three products of q, k, v and two of gate, up instead of one each, in four layers.
        self.assertEqual(len(without["steps"]) - len(with_pass["steps"]), 3 * 4)
        self.assert_same_tokens(plan)

    def test_optional_pass_fuse_steps(self):
        # Of CPU ranks it changes nothing.
        rest = [name for name in PIPELINE if name != "mrs-fuse-steps"]
        self.assertEqual(self.optimized(rest), self.final)
        # For GPUs it does, and both are proved to be the model; tests/exactness/cuda.py has the tokens.
        graph, plan = self.path("gpus.mlir"), self.path("gpus.mrsplan")
        gpus = ["--gpus", "2xEMU-2GB", "--collectives", "staged", "--numerics", "pair2", "--max-len", "256"]
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *gpus, "--ir-out", graph])
        stages = []
        for passes in (PIPELINE, rest):
            module = plan_tools.checked([self.tools.opt, graph, *(f"--{name}" for name in passes)])
            stages.append(self.inspect(self.built(module, "--ir-source", graph)))
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *gpus, "-o", plan])
        self.assertEqual(self.inspect(plan)["steps"], stages[0]["steps"])
        # In four layers the rotations and the append, the products and what they are gated by, and of eight residual
        # sums all but the last with its norm.
        self.assertEqual(len(stages[1]["steps"]) - len(stages[0]["steps"]), 2 * 4 + 4 + 7)
        self.assertLess(stages[0]["graphs_bytes"], stages[1]["graphs_bytes"])
        # For what it takes: x, gate, up and what these give live in one step.
        self.assertGreater(stages[0]["activation_arena_bytes"], stages[1]["activation_arena_bytes"])

    def test_optional_pass_join_launches(self):
        # Of CPU ranks it changes nothing.
        rest = [name for name in PIPELINE if name != "mrs-join-launches"]
        self.assertEqual(self.optimized(rest), self.final)
        # Of GPUs in each of four layers the products of q, k and v are one launch with the rotation and the append, and
        # where they read each other's memory seven of eight residual sums (no norm is after the last layer's) with the
        # ranks' sum before them. The steps are the same, and both are proved to be the model.
        graph = self.path("peers.mlir")
        gpus = ["--gpus", "2xH100-SXM", "--collectives", "ipc", "--numerics", "pair2", "--max-len", "256"]
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *gpus, "--ir-out", graph])
        stages = []
        for passes in (PIPELINE, rest):
            module = plan_tools.checked([self.tools.opt, graph, *(f"--{name}" for name in passes)])
            stages.append(self.inspect(self.built(module, "--ir-source", graph)))
        self.assertEqual(stages[0]["steps"], stages[1]["steps"])
        self.assertIsNone(stages[1]["joined"])
        joined = [(stages[0]["steps"][i - 1]["op"], stages[0]["steps"][i]["op"]) for i in stages[0]["joined"]]
        layer = [("matmul", "rope_append"), ("all_reduce", "add_rms_norm"), ("all_reduce", "add_rms_norm")]
        self.assertEqual(joined, (layer * 4)[:-1])

    def test_optional_pass_in_place(self):
        plan = self.built(self.optimized([name for name in PIPELINE if name != "mrs-in-place"]))
        with_pass, without = self.inspect(self.direct), self.inspect(plan)
        self.assertEqual(len(without["steps"]), len(with_pass["steps"]))
        self.assertGreater(without["activation_arena_bytes"], with_pass["activation_arena_bytes"])
        self.assert_same_tokens(plan)

    # Broken modules, each by an edit of the finished one.

    def test_other_canonical_chunks(self):
        # Half as many, twice as long: every rank agrees, and the sums would be others than in any other plan.
        o_proj = line_of(self.final, "l0.o_proj.weight")
        halved = replaced(o_proj, "chunks = 8 : i64", "chunks = 4 : i64")
        halved = replaced(halved, "chunk_count = 4 : i64, chunk_k = 32 : i64", "chunk_count = 2 : i64, chunk_k = 64 : i64")
        self.assert_refused(
            replaced(self.final, o_proj, halved), "sums 'l0.o_proj.weight' in 4 canonical chunks of K, expected 8"
        )

    def test_all_reduce_dropped(self):
        reduce = line_of(self.final, "l0.o_proj.all_reduce")
        partial, whole = result_of(self.final, "l0.o_proj"), result_of(self.final, "l0.o_proj.all_reduce")
        add = line_of(self.final, "l0.attention_add")
        direct = add.replace(whole + " ", partial + " ").replace("<[T, 256], f32>) ->", "<[T, 256], f32, partial{tp}>) ->")
        module = replaced(replaced(self.final, reduce + "\n", ""), add, direct)
        self.assert_refused(module, "'l0.attention_add' (mrs.add): reads a partial sum", "put back the mrs.all_reduce")
        # Nor does it help to call the partial sum a whole one.
        module = replaced(replaced(self.final, reduce + "\n", ""), add, add.replace(whole + " ", partial + " "))
        product = line_of(module, "l0.o_proj")
        self.assert_refused(
            replaced(module, product, product.replace(", partial{tp}", "")),
            "'l0.o_proj' (mrs.matmul): its result is '!mrs.tensor<[T, 256], f32>', but a rank's sum is only a part",
        )

    def test_kv_heads_swapped(self):
        # Both K and V of layer 0 reversed: rank 0 holds heads 2 and 3.
        def reverse(line):
            return line.replace("4{tp 2}", "4{tp 2 start 2 step -2}")

        def reverse_weight(line):
            return reverse(replaced(line, "rows = array<i64: 0, 64, 64, 1>", "rows = array<i64: 64, -64, 64, 1>"))

        module = edited_lines(self.final, r' "l0\.[kv]_proj\.weight" ', reverse_weight)
        module = edited_lines(module, r' "l0\.(q_proj\+k_proj\+v_proj|k_rope|kv_append|attention)" ', reverse)
        self.assert_refused(
            module,
            "'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>'",
            "does not hold, on every rank, what its 8 finer elements (heads) read",
        )
        # Only the rows that are loaded: then the weight says another thing than its type.
        module = edited_lines(
            self.final, r' "l0\.k_proj\.weight" ', lambda line: reverse_weight(line).replace(" start 2 step -2", "")
        )
        self.assert_refused(module, "'l0.k_proj.weight' (mrs.weight): its local part", "is not what its type says")
        # Only K: it would meet the other rank's V.
        module = self.optimized([name for name in PIPELINE if name != "mrs-fuse"])
        module = edited_lines(module, r' "l0\.k_proj\.weight" ', reverse_weight)
        module = edited_lines(module, r' "l0\.(k_proj|k_rope)" ', reverse)
        module = edited_lines(
            module, r' "l0\.kv_append" ', lambda line: line.replace("4{tp 2}", "4{tp 2 start 2 step -2}", 1)
        )
        self.assert_refused(
            module, "'l0.kv_append' (mrs.kv_append): dimension 1 of", "is another slice than its other operands hold"
        )

    def test_bias_on_every_rank(self):
        norm = line_of(self.final, "l0.input_norm.weight")
        bias = norm.replace(norm.split(" = ")[0].strip(), "%bias", 1).replace("l0.input_norm.weight", "l0.o_proj.bias")
        product = line_of(self.final, "l0.o_proj")
        biased = replaced(product, "] {", "] bias [%bias] {").replace(") ->", ", !mrs.tensor<[256], f32>) ->")
        self.assert_refused(
            replaced(self.final, product, bias + "\n" + biased),
            "'l0.o_proj' (mrs.matmul): adds its bias to a partial sum: all 2 ranks would add it; "
            "add it after the all-reduce (mrs.add_bias)",
        )

    def test_live_buffers_overlap(self):
        offsets = re.compile(r"offsets = \[[^]]*\]")
        query = offsets.search(line_of(self.final, "l0.q_rope")).group()
        module = edited_lines(self.final, r' "l0\.k_rope" ', lambda line: offsets.sub(query, line))
        self.assert_refused(
            module,
            "'l0.k_rope' (mrs.rope): its result lies at [",
            "over the result of 'l0.q_rope'",
            "which is still needed",
        )

    def test_weights_overlap(self):
        place = re.compile(r"arena_offset = \d+")
        of_k = place.search(line_of(self.final, "l0.k_proj.weight")).group()
        module = edited_lines(self.final, r' "l0\.v_proj\.weight" ', lambda line: place.sub(of_k, line))
        self.assert_refused(module, "l0.v_proj.weight")

    def test_two_layers_share_a_cache(self):
        module = edited_lines(
            self.final, r' "l1\.kv_append" ', lambda line: replaced(line, "kv_layer = 1", "kv_layer = 0")
        )
        self.assert_refused(module, "l1.kv_append")

    def test_arena_smaller_than_its_buffers(self):
        self.assert_refused(
            re.sub(r"mrs.arenas = \{activations = \d+", "mrs.arenas = {activations = 64", self.final), "plan to write"
        )

    def test_not_a_module(self):
        self.assert_refused("model", "edited.mlir:1:1: ")
        self.assert_refused("", "function")


if __name__ == "__main__":
    plan_tools.main([Compiler], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
