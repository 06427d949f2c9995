"""Layer maps: one program a stage, each with what it needs and no more, and all of them together the model.

tests/planner/layouts.py --bin build/cli
"""

import json
import os
import re
import shutil
import tempfile
import unittest

import plan_tools

OPTIONS = ["--memory", "1GiB", "--numerics", "pair2", "--max-len", "256"]


class Layouts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mrs_layouts_")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def build(self, *layout, options=OPTIONS):
        """(what the plan says, its bytes)."""
        out = self.path("plan.mrsplan")
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *options, *layout, "-o", out])
        with open(out, "rb") as file:
            return json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", out])), file.read()

    def names(self, plan, stage, table):
        return [plan["names"][entry["name"]] for entry in plan["stages"][stage][table]]

    def inputs(self, plan, stage):
        return {plan["names"][b["name"]] for b in plan["stages"][stage]["buffers"] if b["input"]}

    def test_each_stage_has_what_it_needs_and_no_more(self):
        plan, _ = self.build("--tp", "2", "--pp", "2")
        whole, _ = self.build("--tp", "2")
        self.assertEqual([(s["layer_begin"], s["layer_end"]) for s in plan["stages"]], [(0, 2), (2, 4)])
        rank = lambda tp, stage, device: {"tp": tp, "ep": 0, "stage": stage, "dp": 0, "device": device, "node": 0}
        self.assertEqual(
            [{key: r[key] for key in ("tp", "ep", "stage", "dp", "device", "node")} for r in plan["ranks"]],
            [rank(0, 0, 0), rank(1, 0, 1), rank(0, 1, 2), rank(1, 1, 3)],
        )
        self.assertEqual([(g["first"], g["count"], g["axis"]) for g in plan["groups"]], [(0, 2, "tp"), (2, 2, "tp")])
        self.assertEqual([s["tp_group"] for s in plan["stages"]], [0, 1])
        self.assertEqual(self.inputs(plan, 0), {"tokens", "positions", "sequence", "slots", "block_table"})
        self.assertEqual(self.inputs(plan, 1), {"positions", "sequence", "slots", "block_table", "logit_rows"})
        first, second = (set(self.names(plan, s, "weights")) for s in (0, 1))
        self.assertEqual(first & second, set())
        self.assertEqual(first | second, set(self.names(whole, 0, "weights")))
        self.assertEqual({s["kv_classes"][0]["layer_count"] for s in plan["stages"]}, {2})
        self.assertEqual([a["kv_layer"] for a in plan["stages"][1]["attentions"]], [0, 0, 1, 1])
        none = 0xFFFFFFFF
        self.assertEqual([plan["stages"][0][f"{kind}_buffer"] for kind in ("candidates", "logits")], [none, none])
        self.assertNotIn(none, [plan["stages"][1][f"{kind}_buffer"] for kind in ("candidates", "logits")])
        # The residual stream goes over, in f32, and nothing else.
        over = {"row_elements": 256, "order": 0, "dtype": "f32", "rows": "tokens"}
        self.assertEqual([s["transfers"] for s in plan["stages"]], [[{**over, "peer_stage": p}] for p in (1, 0)])
        ops = [[step["op"] for step in s["steps"]] for s in plan["stages"]]
        self.assertEqual((ops[0][-1], ops[0].count("send")), ("send", 1))
        self.assertEqual((ops[1][0], ops[1].count("recv")), ("recv", 1))
        self.assertEqual([each.count("rope_angles") for each in ops], [1, 1])
        self.assertEqual(sum(each.count("all_reduce") for each in ops), 9)
        self.assertEqual(
            [p["name"] for p in plan["predictions"]],
            [f"stage {s} {what}" for s in (0, 1) for what in ("weights", "activations", "kv")],
        )

    def test_layers_are_split_as_evenly_as_can_be_or_as_a_map_says(self):
        def layers(*layout):
            return [s["layer_end"] - s["layer_begin"] for s in self.build(*layout)[0]["stages"]]

        self.assertEqual(layers("--pp", "3"), [2, 1, 1])
        self.assertEqual(layers("--pp", "4"), [1, 1, 1, 1])
        self.assertEqual(layers("-n", "0:3;1:1"), [3, 1])
        self.assertEqual(layers("--pp", "1"), [4])

    def test_a_map_says_what_pp_says(self):
        _, even = self.build("--pp", "2")
        for option in ("-n", "--device-layers"):
            self.assertEqual(self.build(option, "0:2;1:2")[1], even)
        _, one = self.build()
        self.assertEqual(self.build("-n", "0:4")[1], one)
        self.assertEqual(self.build("--pp", "1")[1], one)

    def test_devices_in_the_order_of_the_map(self):
        plan, _ = self.build("--tp", "2", "-n", "1:1;0:3")
        self.assertEqual([r["device"] for r in plan["ranks"]], [2, 3, 0, 1])
        self.assertIn({"name": "device-layers", "value": "1:1;0:3"}, plan["options"])

    def test_a_plan_of_stages_is_proved_to_be_the_models(self):
        for layout in (["--pp", "2"], ["--tp", "2", "--pp", "4"], ["--tp", "2", "-n", "1:1;0:3"]):
            self.build(*layout)
            path = self.path("plan.mrsplan")
            said = plan_tools.checked([self.tools.plan, "verify", path, "--model", plan_tools.MINI])
            self.assertIn("\nchecked: plans/verify, erasure, checkpoint headers\n", said)

    def test_memory_is_shared_by_the_ranks_of_all_stages(self):
        options = ["--numerics", "pair2", "--max-len", "256"]
        memory = lambda *layout: self.build(*layout, options=options)[0]["cluster"]["memory_bytes"]
        self.assertEqual(memory("--tp", "2", "--pp", "2"), memory("--tp", "4"))
        self.assertEqual(len(memory("--pp", "4")), 4)

    def test_inspect_shows_the_stages(self):
        self.build("--pp", "2")
        text = plan_tools.checked([self.tools.plan, "inspect", self.path("plan.mrsplan")])
        self.assertIn("stage 0: layers [0, 2), group 0", text)
        self.assertIn("stage 1: layers [2, 4), group 1", text)
        self.assertIn("'l1.mlp_add.send'", text)

    def test_the_same_logits_in_any_layout(self):
        def logits(*layout):
            self.build(*layout)
            plan = self.path("plan.mrsplan")
            prompt = ",".join(str(i) for i in range(3, 73))
            how = ["--prompt-ids", prompt, "--max-tokens", "8", "--temperature", "0", "--json"]
            out = plan_tools.checked([self.tools.exec, "--plan", plan, "--model", plan_tools.MINI, *how])
            answer = json.loads(out)
            return answer["token_ids"], answer["logits_sha256"]

        whole = logits()
        self.assertTrue(whole[0])
        for layout in (["--pp", "2"], ["-n", "0:3;1:1"], ["--tp", "2", "--pp", "2"], ["--pp", "4"]):
            self.assertEqual(logits(*layout), whole, layout)

    # The module is the single source of the plan, here too.

    def edited(self, edit):
        """`mrs-plan build --ir` of the edited module of two stages: the finished process."""
        graph, final, plan = (self.path(name) for name in ("graph.mlir", "final.mlir", "edited.mrsplan"))
        layout = ["--tp", "2", "--pp", "2"]
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *OPTIONS, *layout, "--ir-out", graph])
        module = plan_tools.checked([self.tools.opt, graph, "--mrs-plan"])
        new = edit(module)
        with open(final, "w") as file:
            file.write(new)
        return plan_tools.run([self.tools.plan, "build", "--ir", final, "--ir-source", graph, "-o", plan])

    def test_same_bytes_by_way_of_text(self):
        done = self.edited(lambda module: module)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        _, direct = self.build("--tp", "2", "--pp", "2")
        with open(self.path("edited.mrsplan"), "rb") as file:
            self.assertEqual(file.read(), direct)

    def test_broken_borders_are_refused(self):
        def without(pattern):
            def edit(module):
                lines = module.split("\n")
                kept = [line for line in lines if not re.search(pattern, line)]
                self.assertEqual(len(kept), len(lines) - 1)
                return "\n".join(kept)

            return edit

        def exchanged(old, new):
            def edit(module):
                self.assertIn(old, module)
                return module.replace(old, new)

            return edit

        for edit, why in (
            (without("mrs.send "), "'l1.mlp_add.recv' (mrs.recv): receives what no stage sends"),
            (exchanged("peer = 1 : i64", "peer = 0 : i64"), "'l1.mlp_add.send' (mrs.send): sends to stage 0, expected the"),
            (exchanged("stage = 2 : i64", "stage = 3 : i64"), "the module has 2 programs, expected one for each of 3 stages"),
            (exchanged("mesh = {stage = 2", "mesh = {ep = 2 : i64, stage = 2"), "a plan has neither experts nor replicas yet"),
            (exchanged("mrs.mesh = {stage = 2", "mrs.mesh = {dp = 2 : i64, stage = 2"), "mrs.mesh is another mesh than"),
            (exchanged("mrs.layers = array<i64: 2, 4>", "mrs.layers = array<i64: 3, 4>"), "stage 1: has layers 3 to 4"),
        ):
            done = self.edited(edit)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(why, done.stderr)

    def test_another_value_over_the_border_is_refused(self):
        def edit(module):
            sent = re.search(r'mrs\.send "l1\.mlp_add\.send" (%\w+)', module)
            other = re.search(r'(%\w+) = mrs\.add "l1\.attention_add"', module).group(1)
            # The sum works in place: keep the value that is to be sent.
            product = re.search(r'.*mrs\.add "l1\.mlp_add".*', module).group()
            kept = product.replace("inplace = 0 : i64, ", "")
            return module.replace(sent.group(), sent.group().replace(sent.group(1), other)).replace(product, kept)

        done = self.edited(edit)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("mrs-plan: ", done.stderr)
        self.assertRegex(done.stderr, "is still needed|over the result of|erasure: stage 1 step ")


if __name__ == "__main__":
    plan_tools.main([Layouts], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
