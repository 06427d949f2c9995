"""Plans for ranks that are not of this host: GPUs, and CPUs of several hosts. Who is where, what each may use, what CUDA
takes of it, what inspect and mrs-exec say of them, and that no host's own facts are in their bytes.

tests/planner/gpu_plans.py --bin build/cli
"""

import collections
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import plan_tools

# By which a GPU's plan is a CPU's: neither is what it has where nothing is said.
EXACT = ("--numerics", "pair2", "--collectives", "staged")
PEERS = """version: 1
nodes:
  - name: emulated
    switches: [{name: sw0, socket: 0}]
    devices:
      - {model: EMU-2GB, parent: sw0}
      - {model: EMU-2GB, parent: sw0}
"""


PAIRS = """version: 1
nodes:
  - name: emulated
    switches: [{name: sw0, socket: 0}, {name: sw1, socket: 0}]
    devices:
      - {model: EMU-2GB, parent: sw0}
      - {model: EMU-2GB, parent: sw1}
      - {model: EMU-2GB, parent: sw0}
      - {model: EMU-2GB, parent: sw1}
"""


class GpuPlans(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_gpu_plans_")
        self.out = os.path.join(self.folder, "x.mrsplan")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def build(self, *options, model=plan_tools.MINI, before=()):
        done = plan_tools.run([*before, self.tools.plan, "build", model, *options, "-o", self.out])
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))

    def bytes_of(self, *options, before=()):
        self.build(*options, before=before)
        with open(self.out, "rb") as file:
            return file.read()

    def places(self, plan):
        return [(rank["stage"], rank["tp"], rank["node"], rank["kind"], rank["device"]) for rank in plan["ranks"]]

    def test_who_is_where(self):
        plan = self.build("--gpus", "2x24GB")
        self.assertEqual(self.places(plan), [(0, 0, 0, "cuda", 0), (0, 1, 0, "cuda", 1)])
        self.assertEqual(plan["cluster"]["memory_bytes"], [24 * 10**9 * 9 // 10] * 2)
        plan = self.build("--gpus", "2x2xL4", "--tp", "2", "--pp", "2")
        self.assertEqual(
            self.places(plan),
            [(0, 0, 0, "cuda", 0), (0, 1, 0, "cuda", 1), (1, 0, 1, "cuda", 0), (1, 1, 1, "cuda", 1)],
        )
        plan = self.build("--gpus", "8xL4", "--devices", "cuda:5,2")
        self.assertEqual([rank["device"] for rank in plan["ranks"]], [2, 5])  # near ones follow each other
        plan = self.build("--gpus", "4xL4", "--device-layers", "3:1;1:3")
        self.assertEqual(self.places(plan), [(0, 0, 0, "cuda", 3), (1, 0, 0, "cuda", 1)])

    def bytes_of_graphs(self, plan, stage):
        """Staged: a graph is cut at each exchange."""
        exchanges = sum(step["op"] in ("all_reduce", "all_gather", "send", "recv") for step in stage["steps"])
        graph = len(stage["steps"]) * (8 << 10) + (exchanges + 1) * (2 << 20)
        sizes = {min(1 << i, plan["max_seqs"]) for i in range(13)}  # 1, 2, 4, ... and the most
        # What candidates and all logits need alone makes two programs of one.
        only = {step["variant"] for step in stage["steps"]} - {"always"}
        self.assertEqual(bool(only), stage is plan["stages"][-1])
        return len(sizes) * (2 if only else 1) * graph

    def test_memory_is_of_each(self):
        plan = self.build("--gpus", "48GB,24GB", "--no-nccl")
        self.assertEqual(plan["cluster"]["memory_bytes"], [43200000000, 21600000000])
        self.assertNotIn("memory", [option["name"] for option in plan["options"]])
        for stage in plan["stages"]:
            self.assertEqual((stage["workspace_bytes"], stage["communicators_bytes"]), ((32 << 20) + 4096, 0))
            self.assertEqual(stage["graphs_bytes"], self.bytes_of_graphs(plan, stage))
        self.assertEqual(len(plan["stages"]), 2)
        self.assertEqual([option["name"] for option in plan["options"]], sorted(o["name"] for o in plan["options"]))
        plan = self.build("--gpus", "2x24GB", *EXACT)
        stage = plan["stages"][0]
        self.assertEqual(stage["graphs_bytes"], self.bytes_of_graphs(plan, stage))
        self.assertEqual(stage["communicators_bytes"], 0)
        said = {p["name"]: p["expected"] for p in plan["predictions"]}
        for name in ("workspace", "graphs", "communicators"):
            self.assertEqual(said[name], stage[f"{name}_bytes"])
        # One byte less than it takes with one sequence's cache is too little, and its refusal says so.
        fixed = stage["weight_arena_bytes"] + stage["activation_arena_bytes"] + stage["workspace_bytes"]
        fixed += stage["graphs_bytes"] + stage["communicators_bytes"]
        kv = stage["kv_classes"][0]
        least = fixed + kv["sequence_blocks"] * kv["block_bytes"]
        plan = self.build("--gpus", "2x24GB", *EXACT, "--memory", str(least))
        self.assertEqual(plan["cluster"]["memory_bytes"], [least] * 2)
        done = plan_tools.run(
            [self.tools.plan, "build", plan_tools.MINI, "--gpus", "2x24GB", *EXACT, "--memory", str(least - 1), "-o", self.out]
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"and communicators of {stage['communicators_bytes']}): 1 bytes (1 B) too few; ", done.stderr)

    def test_steps_that_are_one_kernel(self):
        def ops(plan):
            return [step["op"] for stage in plan["stages"] for step in stage["steps"]]

        cpu, gpu = self.build("--cpus", "2"), self.build("--gpus", "2xEMU-2GB")
        plain, fused = ops(cpu), ops(gpu)
        layers = cpu["model"]["layer_count"]
        self.assertEqual(len(plain) - len(fused), 2 * layers + 2 * layers - 1 + layers)
        self.assertEqual((fused.count("rope_append"), fused.count("add_rms_norm")), (layers, 2 * layers - 1))
        self.assertEqual((fused.count("rope"), fused.count("kv_append"), fused.count("add")), (0, 0, 1))
        self.assertEqual((fused.count("matmul_silu_mul"), fused.count("silu_mul")), (layers, 0))
        self.assertFalse({"rope_append", "add_rms_norm", "matmul_silu_mul"} & set(plain))
        self.assertIsNone(cpu["stages"][0]["rope_appends"])  # its bytes are as if there were no such field
        # Of two stages, what one ends with is no sum that the other's norm is joined to.
        self.assertEqual(ops(self.build("--gpus", "2xL4", "--tp", "1", "--pp", "2")).count("add_rms_norm"), 2 * layers - 2)
        text = plan_tools.checked([self.tools.plan, "inspect", self.out, "--layer", "0"])
        self.assertRegex(text, r" add_rms_norm 'l0\.attention_add\+post_norm' .*\) -> \(.*f32.*, .*bf16.*\)")
        self.assertRegex(text, r" rope_append 'l0\.q_rope\+k_rope\+kv_append' .*\"kv_layer\": ?0")
        self.assertRegex(
            text, r" matmul_silu_mul 'l0\.gate_proj\+up_proj\+silu_mul' .*\) -> \(.*f32.*, .*f32.*, .*bf16.*\)"
        )

    def launches_of_two(self, stage):
        """How many there are of each pair of operations."""
        ops = [step["op"] for step in stage["steps"]]
        return collections.Counter((ops[i - 1], ops[i]) for i in stage["joined"] or [])

    def launches(self, stage, layer):
        """The operations of each launch that begins in a layer."""
        found, joined = [], set(stage["joined"])
        for i, step in enumerate(stage["steps"]):
            if i in joined:
                found[-1][1].append(step["op"])
            else:
                found.append((step["layer"], [step["op"]]))
        return [ops for of, ops in found if of == layer]

    def test_steps_that_are_one_launch(self):
        of_heads, of_norm = ("matmul", "rope_append"), ("matmul", "add_rms_norm")
        plan = self.build("--gpus", "EMU-2GB", "--numerics", "pair2")
        (stage,), layers = plan["stages"], plan["model"]["layer_count"]
        self.assertEqual(self.launches_of_two(stage), {of_heads: layers, of_norm: 2 * layers - 1})
        five = [
            ["matmul", "rope_append"],
            ["attention"],
            ["matmul", "add_rms_norm"],
            ["matmul_silu_mul"],
            ["matmul", "add_rms_norm"],
        ]
        for layer in range(1, layers - 1):
            self.assertEqual(self.launches(stage, layer), five)
        self.assertEqual(self.launches(stage, layers - 1), [*five[:4], ["matmul"], ["add"]])  # after which rows are selected
        said = plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--gpus", "EMU-2GB", "-o", self.out])
        count = len(stage["steps"])
        self.assertIn(f"\nprogram      {count} steps in {count - 3 * layers + 1} launches, ", said)
        # Any numerics; but of CPU ranks none, nor of float32 weights, for which there is no kernel.
        fast = self.build("--gpus", "EMU-2GB", "--numerics", "fast")
        self.assertEqual(self.launches_of_two(fast["stages"][0]), self.launches_of_two(stage))
        self.assertIsNone(self.build("--cpus", "1")["stages"][0]["joined"])
        self.assertIsNone(self.build("--gpus", "EMU-2GB", "--dtype", "f32")["stages"][0]["joined"])
        # In the first layer of a stage of several the angles are made between; its last sum is no norm's.
        for stage in self.build("--gpus", "2xL4", "--tp", "1", "--pp", "2")["stages"]:
            count = stage["layer_end"] - stage["layer_begin"]
            self.assertEqual(self.launches_of_two(stage), {of_heads: count - 1, of_norm: 2 * count - 1})
            self.assertNotIn(of_heads, [tuple(ops) for ops in self.launches(stage, stage["layer_begin"])])

    def test_what_is_said_of_it(self):
        text = plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--gpus", "2x24GB", *EXACT, "-o", self.out])
        self.assertRegex(text, r"\nGPUs talk    staged: through pinned memory of their hosts, [0-9]+ times a forward, .*\n")
        self.assertNotIn("not yet", text)
        self.assertRegex(text, r"\nmemory +[0-9.]+ MiB a rank: weights .*, CUDA .* \(workspace 32.0 MiB, graphs .*\)\n")
        self.assertIn(
            '\noption "collectives" "staged"\n', plan_tools.checked([self.tools.plan, "inspect", self.out])
        )
        self.assertIn("; node 0, cuda 1; ", plan_tools.checked([self.tools.plan, "inspect", self.out, "--rank", "1"]))
        page = os.path.join(self.folder, "x.html")
        plan_tools.checked([self.tools.plan, "inspect", self.out, "--html", page])
        with open(page, encoding="utf-8") as file:
            page = file.read()
        self.assertIn('<li class="mc">CUDA and exchanges</li>', page)
        # Without such GPUs, or without CUDA, mrs-exec names a rank and what is missing.
        done = plan_tools.run([self.tools.exec, "--plan", self.out, "--model", plan_tools.MINI, "--prompt", "x"])
        self.assertEqual((done.returncode, done.stdout.strip()), (1, ""))
        self.assertRegex(done.stderr, r"rank [01] failed .*(CUDA|cuda)")

    def talks(self, plan):
        return [option["value"] for option in plan["options"] if option["name"] == "collectives"]

    def test_what_gpus_talk_by(self):
        nothing_said = self.bytes_of("--gpus", "2xEMU-2GB")
        self.assertEqual(self.bytes_of("--gpus", "2xEMU-2GB", "--collectives", "nccl"), nothing_said)
        self.assertEqual(self.bytes_of("--gpus", "2xEMU-2GB", "--collectives", "auto"), nothing_said)
        plan = self.build("--gpus", "2xEMU-2GB", "--collectives", "staged")
        self.assertEqual(self.talks(plan), ["staged"])
        self.assertEqual(plan["cluster"]["memory_bytes"], [(2 << 30) * 9 // 10] * 2)
        for options in (("--gpus", "EMU-2GB"), ("--cpus", "2")):  # one alone talks to nobody; CPUs have no choice
            self.assertEqual(self.talks(self.build(*options)), [])
        # Who says that there is no NCCL gets stages, and who says staged besides may have sums.
        plan = self.build("--gpus", "2xEMU-2GB", "--no-nccl")
        self.assertEqual((plan["tp"], self.talks(plan)), (1, ["staged"]))
        plan = self.build("--gpus", "2xEMU-2GB", "--no-nccl", "--collectives", "staged")
        self.assertEqual((plan["tp"], self.talks(plan)), (2, ["staged"]))
        done = plan_tools.run(
            [self.tools.plan, "build", plan_tools.MINI, "--cpus", "2", "--collectives", "staged", "-o", self.out]
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("build: --collectives staged is of GPUs, and the plan is for CPU ranks", done.stderr)

    def chosen(self, *options):
        """The plan, what is said of its choices, and its summary."""
        done = plan_tools.run([self.tools.plan, "build", plan_tools.MINI, *options, "-o", self.out])
        self.assertEqual(done.returncode, 0, done.stderr)
        plan_tools.checked([self.tools.plan, "verify", self.out, "--model", plan_tools.MINI])
        said = [line.removeprefix("mrs-plan: chosen: ") for line in done.stderr.splitlines() if ": chosen: " in line]
        return json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"])), said, done.stdout

    def test_collectives_where_nothing_says_them(self):
        cluster = os.path.join(self.folder, "peers.yaml")
        with open(cluster, "w", encoding="utf-8") as file:
            file.write(PEERS)
        peers = "--collectives ipc, as the GPUs reach each other's memory over "
        cross = "--collectives nccl, as the GPUs that sum cross {}, over which they are not known to reach each other's memory"
        hand_on = "--collectives nccl, as stages hand on over the network, over which they are not known to reach each other's memory"
        for options, talks, why in (
            (("--cluster", cluster), "ipc", peers + "one PCIe switch"),
            (("--cluster", cluster, "--no-nccl"), "ipc", peers + "one PCIe switch"),
            (("--gpus", "4xH100-SXM"), "ipc", peers + "NVLink"),
            (("--gpus", "4xH100-SXM", "--tp", "2", "--pp", "2"), "ipc", peers + "NVLink"),
            (("--gpus", "2x2xH100-SXM+400G", "--tp", "2", "--pp", "2"), "nccl", hand_on),
            (("--gpus", "2xEMU-2GB"), "nccl", cross.format("a PCIe host bridge")),
            (("--gpus", "2x2xH100-SXM+400G"), "nccl", cross.format("the network")),
            (("--gpus", "2xEMU-2GB", "--no-nccl"), "staged", "--collectives staged, as --no-nccl says that there is no NCCL"),
        ):
            with self.subTest(options):
                plan, said, text = self.chosen(*options)
                self.assertEqual(self.talks(plan), [talks])
                self.assertIn(why, said)
                self.assertIn(f"\nGPUs talk    {talks}: ", text)
                dry = plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *options, "--dry-run"])
                self.assertIn(f"\nchosen       {why}\n", dry)
        # Nothing is said of what was said, nor of one GPU.
        for options in (("--gpus", "2xEMU-2GB", "--collectives", "staged"), ("--gpus", "EMU-2GB")):
            self.assertFalse([line for line in self.chosen(*options)[1] if "--collectives" in line])

    def test_numerics_where_nothing_says_them(self):
        fast = "--numerics fast, as ranks are GPUs and matrices bf16; it gives up the CPU's bits, "
        plan, said, text = self.chosen("--gpus", "EMU-2GB")
        self.assertEqual(plan["numerics"]["chain"], "fast")
        self.assertEqual(plan["stages"][0]["buckets"][-1]["tokens"], 8192)
        self.assertTrue([line for line in said if line.startswith(fast) and "--numerics pair2 keeps" in line], said)
        self.assertRegex(text, r"\nnumerics     fast \(.*not the same in every batch; --numerics pair2 has both\), ")
        nothing_said = self.bytes_of("--gpus", "EMU-2GB")
        self.assertEqual(self.bytes_of("--gpus", "EMU-2GB", "--numerics", "auto"), nothing_said)
        self.assertEqual(self.bytes_of("--gpus", "EMU-2GB", "--numerics", "fast"), nothing_said)
        dry = plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--gpus", "EMU-2GB", "--dry-run"])
        self.assertIn("\nnumerics     fast, batches of 16, 64, 512, 8192 tokens\n", dry)
        # What tensor cores do not multiply has what it had; so have CPU ranks.
        plan, said, _ = self.chosen("--gpus", "EMU-2GB", "--dtype", "f32")
        self.assertEqual((plan["numerics"]["chain"], plan["stages"][0]["buckets"][-1]["tokens"]), ("pair2", 512))
        self.assertIn(
            "--numerics pair2, as matrices are f32, and the tensor cores of fast multiply bf16 (--dtype bf16)", said
        )
        plan, said, _ = self.chosen("--cpus", "1")
        self.assertEqual(plan["numerics"]["chain"], "pair2")
        self.assertFalse([line for line in said if "--numerics" in line])
        # Who says it is told nothing.
        self.assertFalse([line for line in self.chosen("--gpus", "EMU-2GB", "--numerics", "pair2")[1] if "numerics" in line])

    def test_a_default_refuses_nothing_that_pair2_serves(self):
        """Down to the byte: batches give way, and what not even small ones fit is refused as it is of pair2."""
        exact = self.build("--gpus", "EMU-2GB", "--numerics", "pair2")["stages"][0]
        kv = exact["kv_classes"][0]
        least = exact["weight_arena_bytes"] + exact["activation_arena_bytes"] + exact["workspace_bytes"] + exact["graphs_bytes"]
        least += kv["sequence_blocks"] * kv["block_bytes"]
        plan, said, _ = self.chosen("--gpus", "EMU-2GB", "--memory", str(least))
        self.assertEqual((plan["numerics"]["chain"], plan["stages"][0]["buckets"][-1]["tokens"]), ("fast", 512))
        self.assertIn("batches of 512 tokens, as larger ones do not fit", said)
        refusals = []
        for numerics in ((), ("--numerics", "pair2")):
            argv = [self.tools.plan, "build", plan_tools.MINI, "--gpus", "EMU-2GB", "--memory", str(least - 1), *numerics]
            refusals.append(plan_tools.run([*argv, "-o", self.out]))
            self.assertEqual(refusals[-1].returncode, 1)
        self.assertEqual(refusals[0].stderr, refusals[1].stderr)

    def test_peer_memory(self):
        cluster = os.path.join(self.folder, "peers.yaml")
        with open(cluster, "w", encoding="utf-8") as file:
            file.write(PEERS)
        argv = [self.tools.plan, "build", plan_tools.MINI, "--cluster", cluster, "-o", self.out]
        said = plan_tools.checked([*argv, "--collectives", "ipc"])
        self.assertRegex(said, r"\nGPUs talk    ipc: [0-9]+ times a forward, all inside of its graphs, .*not run on a device yet\n")
        self.assertRegex(said, r"\nprogram      ([0-9]+) steps in [0-9]+ launches, ")
        plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))
        self.assertEqual(self.talks(plan), ["ipc"])
        plan_tools.checked([self.tools.plan, "check", self.out, "--model", plan_tools.MINI])
        plan_tools.checked([*argv, "--collectives", "staged"])
        staged = json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))
        (stage,), (other,) = plan["stages"], staged["stages"]
        self.assertEqual(stage["communicators_bytes"], 6 << 20)  # what others read
        self.assertEqual(stage["workspace_bytes"], other["workspace_bytes"])
        self.assertLess(stage["graphs_bytes"], other["graphs_bytes"])  # no cuts
        # A sum of ranks and the norm after it are one launch there, and there alone.
        layers = plan["model"]["layer_count"]
        of_products, of_sums = ("matmul", "rope_append"), ("all_reduce", "add_rms_norm")
        self.assertEqual(self.launches_of_two(stage), {of_products: layers, of_sums: 2 * layers - 1})
        self.assertEqual(self.launches_of_two(other), {of_products: layers})
        text = plan_tools.checked([self.tools.plan, "inspect", self.out, "--layer", "0"])
        self.assertEqual(text.count("in one launch"), 1)  # staged
        plan_tools.checked([*argv, "--collectives", "ipc"])
        text = plan_tools.checked([self.tools.plan, "inspect", self.out, "--layer", "0"])
        self.assertRegex(text, r" add_rms_norm 'l0\.attention_add\+post_norm' .* after [0-9]+, in one launch with the step before\n")
        # No NCCL is needed.
        plan_tools.checked([*argv, "--collectives", "ipc", "--no-nccl"])
        for devices, why in (
            (["--gpus", "2xL4"], r"the GPUs of stage 0 \(devices 0, 1 of node .*\) sum over the link between sockets, and reach"),
            (["--gpus", "2x2xH100-SXM"], r"the GPUs of stage 0 \(.*\) sum over the network, and reach each other's memory"),
            (["--gpus", "2xL4", "--tp", "1", "--pp", "2"], r"the GPUs of stages 0 and 1 \(devices 0, 1 of node .*\) hand on over the link between sockets, and reach"),
        ):
            argv = [self.tools.plan, "build", plan_tools.MINI, *devices, "--collectives", "ipc", "-o", self.out]
            done = plan_tools.run(argv)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, f"mrs-plan: --collectives ipc: {why}.*; say --collectives staged, or nccl")

        # Four GPUs behind two switches: which of them would do is said, and does.
        with open(cluster, "w", encoding="utf-8") as file:
            file.write(PAIRS)
        argv = [self.tools.plan, "build", plan_tools.MINI, "--cluster", cluster, "--collectives", "ipc", "-o", self.out]
        done = plan_tools.run(argv)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "; say --collectives staged, or nccl, or take --devices cuda:0,2 --tp 2, which do")
        plan_tools.checked([*argv, "--devices", "cuda:0,2", "--tp", "2"])
        plan_tools.checked([*argv, "--devices", "cuda:1,3", "--tp", "2"])
        self.assertEqual(plan_tools.run([*argv, "--devices", "cuda:0,1", "--tp", "2"]).returncode, 1)

    def test_stages_by_peer_memory(self):
        """Of one node they hand on by it; else only what a stage sums goes so, and graphs are cut where stages hand on."""
        by_peers = "all inside of its graphs"
        in_stages = r"but for what stages hand on \(staged\), inside of its graphs"
        inbox, outbox, sums = 6 << 20, 2 << 20, 6 << 20
        for gpus, tp, stages, talks, says, bytes_of in (
            ("4xH100-SXM", 1, 4, "ipc", by_peers, [outbox, inbox + outbox, inbox + outbox, inbox]),
            ("4xH100-SXM", 2, 2, "ipc", by_peers, [sums + outbox, sums + inbox]),
            ("2x2xH100-SXM", 2, 2, "ipc-in-stages", in_stages, [sums, sums]),
        ):
            argv = [self.tools.plan, "build", plan_tools.MINI, "--gpus", gpus, "--tp", str(tp), "--pp", str(stages), "-o", self.out]
            with self.subTest(gpus=gpus, tp=tp):
                said = plan_tools.checked([*argv, "--collectives", "ipc"])
                self.assertRegex(said, f"\nGPUs talk    {talks}: [0-9]+ times a forward, {says}, by each other's memory; ")
                plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))
                self.assertEqual(self.talks(plan), [talks])
                self.assertEqual([stage["communicators_bytes"] for stage in plan["stages"]], bytes_of)
                plan_tools.checked([self.tools.plan, "check", self.out, "--model", plan_tools.MINI])
                plan_tools.checked([self.tools.plan, "verify", self.out, "--model", plan_tools.MINI])
                plan_tools.checked([*argv, "--collectives", "nccl"])
                nccl = json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))
                for stage, other in zip(plan["stages"], nccl["stages"]):
                    compare = self.assertLess if talks == "ipc-in-stages" else self.assertEqual
                    compare(other["graphs_bytes"], stage["graphs_bytes"])

    def test_ranks_that_share_a_gpu(self):
        argv = ["--gpus", "EMU-2GB", "--devices", "cuda:0,0"]
        plan = self.build(*argv, "--collectives", "ipc")
        self.assertEqual(self.places(plan), [(0, 0, 0, "cuda", 0), (0, 1, 0, "cuda", 0)])
        self.assertEqual(plan["cluster"]["memory_bytes"], [(1 << 30) * 9 // 10] * 2)  # of which each has half
        said = plan_tools.checked(
            [self.tools.plan, "build", plan_tools.MINI, *argv, "--collectives", "ipc", "-o", self.out]
        )
        self.assertRegex(said, r"\nGPUs talk    ipc: .*; ranks share a GPU, on which they take turns: for tests; ")
        plan_tools.checked([self.tools.plan, "check", self.out, "--model", plan_tools.MINI])
        for collectives in ("staged", "nccl", "auto"):
            done = plan_tools.run([self.tools.plan, "build", plan_tools.MINI, *argv, "--collectives", collectives, "-o", self.out])
            self.assertIn("device 0 stands twice", done.stderr)

    def test_one_gpu_exchanges_nothing(self):
        plain = self.bytes_of("--gpus", "EMU-2GB")
        for collectives in ("staged", "nccl", "ipc"):
            argv = [self.tools.plan, "build", plan_tools.MINI, "--gpus", "EMU-2GB", "--collectives", collectives]
            done = plan_tools.run([*argv, "-o", self.out])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(
                f"mrs-plan: warning: --collectives {collectives}: the plan has one GPU, which exchanges nothing; it is left "
                "out\n", done.stderr
            )
            with open(self.out, "rb") as file:
                self.assertEqual(file.read(), plain)

    def test_nccl(self):
        argv = [self.tools.plan, "build", plan_tools.MINI, "--gpus", "2xEMU-2GB", "--collectives", "nccl"]
        argv += ["-o", self.out]
        said = plan_tools.checked(argv)
        self.assertRegex(said, r"\nGPUs talk    nccl: [0-9]+ times a forward, inside of its graphs; .*not run on a device yet\n")
        plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"]))
        staged = self.build("--gpus", "2xEMU-2GB", "--collectives", "staged")
        self.assertEqual(self.talks(plan), ["nccl"])
        (stage,), (other,) = plan["stages"], staged["stages"]
        self.assertGreater(stage["communicators_bytes"], 0)
        self.assertEqual(stage["workspace_bytes"], other["workspace_bytes"])  # which a sum's parts are gathered into
        self.assertLess(stage["graphs_bytes"], other["graphs_bytes"])  # no cuts
        self.assertNotIn("in shares", said)  # between two ranks nothing is saved so
        four = plan_tools.checked(["4xEMU-2GB" if word == "2xEMU-2GB" else word for word in [*argv, "--tp", "4"]])
        # 9 sums of 256 floats a token, of which 2 * 3 / 4 come to a rank.
        self.assertRegex(four, r"\nGPUs talk    nccl: .*; large sums in shares, two steps for one, 13\.5 KiB a token into a rank; NCCL ")
        none = {"MISTRALRS_NO_NCCL": "1"}
        for more, environment in ((["--no-nccl"], {}), ([], none)):
            done = subprocess.run([*argv, *more], capture_output=True, text=True, env={**os.environ, **environment})
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"--collectives nccl needs NCCL, and (--no-nccl|MISTRALRS_NO_NCCL=1) says there is none")
        # So does mrs-exec, of a plan that needs it.
        plan_tools.checked(argv)
        argv = [self.tools.exec, "--plan", self.out, "--model", plan_tools.MINI, "--prompt", "x"]
        for more, environment in ((["--no-nccl"], {}), ([], none)):
            done = subprocess.run([*argv, *more], capture_output=True, text=True, env={**os.environ, **environment})
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"talk by NCCL, and (--no-nccl|MISTRALRS_NO_NCCL=1) says there is none: rebuild it")

    def test_it_is_proved_and_checked(self):
        with open(os.path.join(self.folder, "rack.yaml"), "w", encoding="utf-8") as file:
            file.write("nodes:\n  - {name: a, gpus: 2xL4}\n  - {name: b, gpus: 2xL4}\n")
        rack = os.path.join(self.folder, "rack.yaml")
        for options in (("--tp", "2"), ("--pp", "4"), ("--device-layers", "2:1;0:3"), ("--tp", "2", "--pp", "2")):
            self.build("--cluster", rack, *options)
            plan_tools.checked([self.tools.plan, "verify", self.out, "--model", plan_tools.MINI])
            plan_tools.checked(
                [self.tools.plan, "check", self.out, "--model", plan_tools.MINI, "--cluster", rack],
            )
        with open(rack, "a", encoding="utf-8") as file:
            file.write("  - {name: c, gpus: 2xL4}\n")
        done = plan_tools.run([self.tools.plan, "check", self.out, "--cluster", rack])
        self.assertEqual(done.returncode, 1)
        self.assertIn("plan.other-cluster", done.stdout)

    def test_a_gpu_more_is_a_difference_by_name(self):
        self.build("--gpus", "2xL4")
        two = os.path.join(self.folder, "two.mrsplan")
        os.rename(self.out, two)
        self.build("--gpus", "4xL4", "--devices", "cuda:0,2")
        done = plan_tools.run([self.tools.plan, "diff", two, self.out])
        self.assertEqual(done.returncode, 1)
        self.assertIn("node 0 cuda 2", done.stdout)
        self.assertIn("cluster", done.stdout)

    def test_cpus_of_two_hosts(self):
        plan = self.build("--cpus", "2x2x1GiB", "--tp", "2", "--pp", "2")
        self.assertEqual([rank["node"] for rank in plan["ranks"]], [0, 0, 1, 1])
        done = plan_tools.run([self.tools.exec, "--plan", self.out, "--model", plan_tools.MINI, "--prompt", "x"])
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(
            done.stderr,
            "mrs-exec: the plan has 2 nodes (node-0, node-1), and nothing says which of them this is: give --node K (0 to 1), "
            "or start it by LeaderWorkerSet (LWS_WORKER_INDEX), srun (SLURM_NODEID), with mistral.rs' MISTRALRS_MN_* "
            "variables, or with RING_CONFIG\n",
        )

    def test_the_same_bytes_on_unlike_hosts(self):
        """Another amount of memory, other cores: nothing of them is in a plan that is for a described cluster."""
        with open(os.path.join(self.folder, "meminfo"), "w", encoding="utf-8") as file:
            file.write("MemTotal:        1234568 kB\nMemFree:  1000000 kB\nMemAvailable:    1000000 kB\n")
        with open(os.path.join(self.folder, "cpuinfo"), "w", encoding="utf-8") as file:
            file.write("processor\t: 0\nmodel name\t: Another\nflags\t\t: fpu\n")
        mounts = "".join(f"mount --bind {self.folder}/{name} /proc/{name} && " for name in ("meminfo", "cpuinfo"))
        there = ["unshare", "--mount", "sh", "-c", mounts + 'exec "$@"', "sh"]
        try:
            able = subprocess.run([*there, "grep", "-q", "1234568", "/proc/meminfo"], capture_output=True).returncode == 0
        except FileNotFoundError:
            able = False
        if not able:
            self.skipTest("needs the right to mount over /proc/meminfo")
        there = ["taskset", "--cpu-list", "0", *there] if shutil.which("taskset") else there
        with open(os.path.join(self.folder, "cpus.yaml"), "w", encoding="utf-8") as file:
            file.write("nodes:\n  - {name: a, memory: 8GiB, ranks: 2}\n")
        for options in (
            ("--gpus", "2x24GB"),
            ("--gpus", "2x2xH100-SXM+400G", "--tp", "2", "--pp", "2"),
            ("--gpus", "48GB,24GB", "--no-nccl"),
            ("--cluster", os.path.join(self.folder, "cpus.yaml")),
        ):
            with self.subTest(options):
                self.assertEqual(self.bytes_of(*options), self.bytes_of(*options, before=there))
        # And the host does count where the plan is for it.
        self.assertNotEqual(self.bytes_of("--cpus", "2"), self.bytes_of("--cpus", "2", before=there))


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([GpuPlans], plan_tools.Tools(arguments.bin))
