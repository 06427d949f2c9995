"""mrs-plan inspect --rank, --layer, --tensor: parts of a plan, held against the checkpoint's own header.

tests/planner/inspect_part.py --bin build/cli
"""

import json
import os
import shutil
import tempfile
import unittest

import plan_tools

OPTIONS = ["--memory", "1GiB", "--numerics", "pair2", "--max-len", "256"]


def header_of_mini():
    """{tensor: (first byte in the file, past the last, shape)}"""
    with open(os.path.join(plan_tools.MINI, "model.safetensors"), "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(size))
    entries.pop("__metadata__", None)
    start = 8 + size
    return {
        name: (start + entry["data_offsets"][0], start + entry["data_offsets"][1], entry["shape"])
        for name, entry in entries.items()
    }


class InspectPart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mrs_part_")
        cls.plans = {}
        for name, layout in (("tp4", ["--tp", "4"]), ("staged", ["--tp", "2", "--pp", "2"])):
            cls.plans[name] = os.path.join(cls.folder, f"{name}.mrsplan")
            command = [cls.tools.plan, "build", plan_tools.MINI, *OPTIONS, *layout, "-o", cls.plans[name]]
            plan_tools.checked(command)
        cls.header = header_of_mini()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def text(self, plan, *options):
        return plan_tools.checked([self.tools.plan, "inspect", self.plans[plan], *options])

    def part(self, plan, *options):
        return json.loads(self.text(plan, "--json", *options))

    def sources(self, part):
        return [s for stage in part["stages"] for weight in stage["weights"] for s in weight["sources"]]

    def ranges(self, of_rank):
        """Byte ranges of the file, as said."""
        for i in range(of_rank["range_count"]):
            first = of_rank["first_byte"] + i * of_rank["stride_bytes"]
            yield first, first + of_rank["range_bytes"]

    def test_every_tensor_is_covered_by_its_parts(self):
        """All ranks' byte ranges together are the tensor's bytes as the header has them, no more and no less."""
        for plan in self.plans:
            for name, (begin, end, _) in self.header.items():
                covered = set()
                for source in self.sources(self.part(plan, "--tensor", name)):
                    self.assertEqual(source["tensor"], name)
                    for of_rank in source["ranks"]:
                        self.assertEqual(
                            of_rank["bytes"], sum(last - first for first, last in self.ranges(of_rank))
                        )
                        for first, last in self.ranges(of_rank):
                            self.assertTrue(begin <= first < last <= end, (name, of_rank))
                            covered.update(range(first // 2, last // 2))
                self.assertEqual(len(covered), (end - begin) // 2, (plan, name))

    def test_a_rank_reads_the_sum_of_its_parts(self):
        whole = json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", self.plans["staged"]]))
        for rank in range(4):
            part = self.part("staged", "--rank", str(rank))
            stage = whole["stages"][rank // 2]
            self.assertEqual(part["rank"]["place"], whole["ranks"][rank])
            self.assertEqual([s["step"] for s in part["stages"][0]["steps"]], list(range(len(stage["steps"]))))
            self.assertEqual([w["facts"] for w in part["stages"][0]["weights"]], stage["weights"])
            self.assertEqual(len(part["stages"][0]["buffers"]), len(stage["buffers"]))
            read = sum(s["ranks"][0]["bytes"] for s in self.sources(part))
            self.assertEqual(part["rank"]["checkpoint_bytes"], read, "mini has no tied weights")
            self.assertEqual(part["rank"]["groups"][0]["ranks"], [rank // 2 * 2, rank // 2 * 2 + 1])
            peer = {"rank": (rank + 2) % 4, "sends": int(rank < 2), "receives": int(rank >= 2)}
            self.assertEqual(part["rank"]["peers"], [peer])
        text = self.text("staged", "--rank", "3")
        self.assertIn("rank 3: tp 1, ep 0, stage 1, dp 0; node 0, cpu 3; layers 2 to 3\n", text)
        self.assertIn("  receives from rank 1: 1 a forward\n", text)

    def test_layers_are_all_steps_of_their_stage_that_have_one(self):
        whole = json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", self.plans["staged"]]))
        for stage, facts in enumerate(whole["stages"]):
            steps = []
            for layer in range(facts["layer_begin"], facts["layer_end"]):
                part = self.part("staged", "--layer", str(layer))
                self.assertEqual([s["stage"] for s in part["stages"]], [stage])
                self.assertEqual(part["layer"]["kv"], [{"kv_class": 0, "kv_layer": layer - facts["layer_begin"]}])
                steps += [step["step"] for step in part["stages"][0]["steps"]]
                tensors = {source["tensor"] for source in self.sources(part)}
                self.assertEqual(tensors, {name for name in self.header if f".layers.{layer}." in name})
            self.assertEqual(steps, [i for i, step in enumerate(facts["steps"]) if step["layer"] >= 0])

    def test_filters_combine(self):
        name = "model.layers.3.mlp.down_proj.weight"
        part = self.part("staged", "--rank", "2", "--layer", "3", "--tensor", name)
        (source,) = self.sources(part)
        (of_rank,) = source["ranks"]
        begin, _, (rows, columns) = self.header[name]
        self.assertEqual(of_rank["columns"], [0, columns // 2])
        self.assertEqual((of_rank["range_count"], of_rank["range_bytes"]), (rows, columns))
        self.assertEqual(of_rank["first_byte"], begin)
        self.assertEqual([step["name"] for step in part["stages"][0]["steps"]], ["l3.down_proj"])
        text = self.text("staged", "--rank", "2", "--layer", "3", "--tensor", name)
        self.assertIn(f"      rank 2: rows [0, {rows}) columns [0, {columns // 2}), {rows * columns} bytes: ", text)

    def test_what_is_not_there_is_refused_with_what_is(self):
        tensor = "model.layers.0.mlp.down_proj.weight"
        for options, why in (
            (["--rank", "4"], "rank 4: there is no such rank; the plan has ranks 0 to 3, the nearest is 3"),
            (["--layer", "4"], "layer 4: there is no such layer; the plan has layers 0 to 3, the nearest is 3"),
            (
                ["--rank", "0", "--layer", "3"],
                "rank 0 is of stage 0, which has layers 0 to 1: layer 3 is on ranks 2 to 3",
            ),
            (
                ["--tensor", "layers.0.mlp.down_proj"],
                'tensor "layers.0.mlp.down_proj": no weight of the plan reads a tensor of that name; the nearest are '
                '"model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight", '
                '"model.layers.2.mlp.down_proj.weight"',
            ),
            (
                ["--rank", "3", "--tensor", tensor],
                f'tensor "{tensor}": rank 3 reads nothing of it; ranks 0 to 1 do',
            ),
            (
                ["--layer", "1", "--tensor", tensor],
                f'tensor "{tensor}": no step of layer 1 uses it; its layers are: 0',
            ),
        ):
            done = plan_tools.run([self.tools.plan, "inspect", self.plans["staged"], *options])
            self.assertEqual((done.returncode, done.stdout), (1, ""), options)
            self.assertEqual(done.stderr, f"mrs-plan: plan {self.plans['staged']}: {why}\n")
        for options in (["--rank", "1", "--html"], ["--rank", "-1"], ["--layer", "x"], ["--tensor", ""], ["--rank", "4294967296"]):
            done = plan_tools.run([self.tools.plan, "inspect", self.plans["staged"], *options])
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)


if __name__ == "__main__":
    plan_tools.main([InspectPart], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
