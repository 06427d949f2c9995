"""Layouts over clusters, as a user asks for them: defaults, refusals with what works, devices by flag and variable.

tests/planner/clusters.py --bin build/cli
"""

import hashlib
import json
import os
import shutil
import tempfile
import unittest

import plan_tools

NOTHING_SET = {
    name: value
    for name, value in os.environ.items()
    if name != "CUDA_VISIBLE_DEVICES" and not name.startswith("MISTRALRS_")
}


class Clusters(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_clusters_")
        for name, shape in (("70b", plan_tools.LLAMA_70B), ("405b", plan_tools.LLAMA_405B)):
            with open(os.path.join(self.folder, name), "w") as file:
                json.dump(plan_tools.llama_config(shape), file)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_plan(self, model, *options, **variables):
        command = [self.tools.plan, "build", model, "--dry-run", *options]
        return plan_tools.run(command, cwd=self.folder, env={**NOTHING_SET, **variables})

    def shown(self, model, *options, **variables):
        done = self.run_plan(model, *options, **variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, model, *options, code=1, **variables):
        done = self.run_plan(model, *options, **variables)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        return done.stderr

    def test_eight_gpus_of_one_switch_share_the_model(self):
        text = self.shown("70b", "--gpus", "8xH100-SXM")
        self.assertIn("\nlayout       tp 8, 1 stage, for 16 sequences of 8192 tokens, computed as bf16\n", text)
        self.assertIn("\nchosen       tensor parallel over all 8 devices\n", text)
        self.assertIn(
            "\nplace        stage 0: devices 0 to 7 of node node-0, its all-reduces cross NVLink and rely on peer access\n",
            text,
        )
        for part in ("workspace", "graphs", "communicators"):
            self.assertRegex(text, rf"\n  {part} +\d+ bytes ")

    def test_what_is_too_small_says_the_memory_that_would_do(self):
        said = self.refused("70b", "--gpus", "2x24GB")
        self.assertRegex(
            said,
            r"the plan does not fit: a rank may use 21600000000 bytes, but its weights take \d+, activations \d+, and the "
            r"KV cache of one sequence of 8192 tokens \d+ \(besides a workspace of \d+, graphs of \d+ and communicators of "
            r"\d+\): \d+ bytes \([0-9.]+ GiB\) too few; nothing listed suffices \(fewer sequences, a shorter context, "
            r"batches of 512 tokens, bf16, other --tp, --pp and --device-layers, other devices\); devices of \d+ bytes \([0-9.]+ GiB\) each would\n",
        )
        bytes_each = said.split("devices of ")[1].split()[0]
        self.shown("70b", "--gpus", f"2x{bytes_each}B")
        self.refused("70b", "--gpus", f"2x{int(bytes_each) - 2}B")

    def test_ranks_that_share_a_device_are_told_what_each_needs(self):
        shared = ("--devices", "cuda:0,0", "--tp", "2", "--collectives", "ipc")
        said = self.refused("70b", "--gpus", "1x80GB", *shared)
        bytes_each = said.split("devices of ")[1].split()[0]
        self.shown("70b", "--gpus", f"1x{bytes_each}B", *shared)
        said = self.refused("70b", "--gpus", "1x800GB", "--memory", "50GB", *shared)
        self.shown("70b", "--gpus", "1x800GB", "--memory", said.split("--memory ")[1].split()[0], *shared)

    def test_no_more_sequences_are_found_than_a_batch_has_tokens(self):
        text = self.shown("70b", "--gpus", "8xH100-SXM", "--solve", "max-seqs", "--max-batched-tokens", "8")
        self.assertIn("--max-seqs 8, the most that may have 8192 tokens all at once", text)

    def test_an_illegal_size_is_refused_with_what_works(self):
        said = self.refused("405b", "--gpus", "8x8xH100+400G")
        self.assertRegex(
            said,
            r"^mrs-plan: tp 64: FFN width 53248 gives down_proj 16 canonical chunks, fewer than 64 ranks; legal "
            r"tensor-parallel sizes of this model: 1, 2, 4, 8, 16; what works: --tp 8 --pp 8; or --pp 64\n$",
        )
        text = self.shown("405b", "--gpus", "8x8xH100+400G", "--tp", "8", "--pp", "8")
        self.assertEqual(text.count("its all-reduces cross NVLink and rely on peer access; to stage "), 7)
        self.assertEqual(text.count(" over the network\n"), 7)
        self.assertIn(
            "what works: --tp 4 --devices cuda:0,1,2,3; or --pp 6",
            self.refused("70b", "--gpus", "6xH100-SXM"),
        )
        self.shown("70b", "--gpus", "6xH100-SXM", "--devices", "cuda:0,1,2,3")
        self.shown("70b", "--gpus", "6xH100-SXM", "--pp", "6")

    def test_without_nccl_stages_are_cut_by_memory(self):
        text = self.shown("70b", "--gpus", "48GB,80GB,80GB", "--no-nccl")
        self.assertRegex(text, r'\nchosen       --no-nccl: stages cut by memory, .*: --device-layers "0:\d+;1:\d+;2:\d+"\n')
        self.assertIn("\nlayout       tp 1, 3 stages, ", text)
        self.assertRegex(
            self.shown("70b", "--gpus", "2x141GB", MISTRALRS_NO_NCCL="1"), r"\nchosen       MISTRALRS_NO_NCCL=1: stages cut "
        )
        # What reaches each other's memory sums without it.
        self.assertIn("\nchosen       tensor parallel ", self.shown("70b", "--gpus", "2xH200", MISTRALRS_NO_NCCL="1"))
        for value in ("0", "", "false", "off", "no"):
            self.assertIn("\nchosen       tensor parallel ", self.shown("70b", "--gpus", "2xH200", MISTRALRS_NO_NCCL=value))
        for value in ("true", "yes", "on", "2", "01", "\u00e9"):
            self.assertEqual(
                f"mrs-plan: MISTRALRS_NO_NCCL={value}: expected 1 for no NCCL, or 0; mistral.rs takes all but 1 for NCCL\n",
                self.refused("70b", "--gpus", "2xH200", code=2, MISTRALRS_NO_NCCL=value),
            )
        self.assertIn(
            "tp 2 needs NCCL, and --no-nccl says there is none", self.refused("70b", "--gpus", "2x141GB", "--tp", "2", "--no-nccl")
        )

    def test_devices_by_flag_and_variable(self):
        here = ["--gpus", "8xH100-SXM"]
        self.assertIn("devices 2, 5 of node", self.shown("70b", *here, "--devices", "cuda:2,5"))
        text = self.shown("70b", *here, "--devices", "cuda:0,1", CUDA_VISIBLE_DEVICES="4,6")
        self.assertIn("devices 4, 6 of node", text)
        self.assertIn(
            "--devices cuda:2: device 2 is not there: node node-0 has 2 (to device 1)",
            self.refused("70b", *here, "--devices", "cuda:2", CUDA_VISIBLE_DEVICES="4,6"),
        )
        # What a refusal names works under the same variable.
        six = {"CUDA_VISIBLE_DEVICES": "2,3,4,5,6,7"}
        self.assertIn(
            "what works: --tp 4 --devices cuda:0,1,2,3; or --pp 6",
            self.refused("70b", *here, "--devices", "cuda:0,1,2,3,4,5", **six),
        )
        self.assertIn("devices 2 to 5 of node", self.shown("70b", *here, "--devices", "cuda:0,1,2,3", **six))
        self.assertIn("--devices cuda:0,1: of which cluster?", self.refused("70b", "--devices", "cuda:0,1", code=2))
        # --gpus says all of what there is, whatever this host may see.
        self.assertIn("tp 8, ", self.shown("70b", *here, CUDA_VISIBLE_DEVICES="0"))

    def test_cpu_ranks(self):
        text = self.shown(plan_tools.MINI, "--cpus", "4")
        self.assertIn("\nchosen       tensor parallel over all 4 devices\n", text)
        self.assertIn(", its all-reduces cross the host's memory\n", text)
        self.assertIn("\nlayout       tp 2, ", self.shown(plan_tools.MINI, MISTRALRS_MN_LOCAL_WORLD_SIZE="2"))
        self.assertIn("\nlayout       tp 1, ", self.shown(plan_tools.MINI, "--tp", "1", MISTRALRS_MN_LOCAL_WORLD_SIZE="2"))
        self.assertIn(
            "MISTRALRS_MN_LOCAL_WORLD_SIZE=x: expected a whole number from 1 to 16",
            self.refused(plan_tools.MINI, code=2, MISTRALRS_MN_LOCAL_WORLD_SIZE="x"),
        )
        out = os.path.join(self.folder, "cpus.mrsplan")
        done = plan_tools.run([self.tools.plan, "build", plan_tools.MINI, "--cpus", "2", "--memory", "1GiB", "-o", out])
        self.assertEqual(done.returncode, 0, done.stderr)
        plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", out, "--json"]))
        self.assertEqual(plan["tp"], 2)

    def test_a_plan_holds_its_cluster(self):
        cluster = os.path.join(self.folder, "two.yaml")
        with open(cluster, "w") as file:
            file.write("nodes:\n  - {name: a, memory: 8GiB, ranks: 2}\n")
        out = os.path.join(self.folder, "two.mrsplan")
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--cluster", cluster, "-o", out], env=NOTHING_SET)
        plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", out, "--json"]))["cluster"]
        self.assertIn('"a"', plan["description"])
        self.assertEqual(
            bytes(plan["fingerprint"]).hex() if isinstance(plan["fingerprint"], list) else plan["fingerprint"],
            hashlib.sha256(plan["description"].encode()).hexdigest(),
        )
        with open(out, "rb") as file:
            first = file.read()
        with open(cluster, "w") as file:
            file.write("# the same\nnodes: [{ranks: 2, name: 'a', memory: 8192MiB}]\n")
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--cluster", cluster, "-o", out], env=NOTHING_SET)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), first)

    def test_one_description(self):
        said = self.refused("70b", "--gpus", "2xL4", "--cpus", "2", code=2)
        self.assertIn("--gpus, --cpus and --cluster each say what to plan for; give one", said)

    def test_a_cluster_file(self):
        with open(os.path.join(self.folder, "rack.yaml"), "w") as file:
            file.write("nodes:\n  - {name: a, gpus: 4xH100-SXM}\n")
        self.assertIn("devices 0 to 3 of node a", self.shown("70b", "--cluster", "rack.yaml"))
        text = self.shown("70b", "--cluster", "rack.yaml", CUDA_VISIBLE_DEVICES="1,3")
        self.assertIn("devices 1, 3 of node a", text)
        text = self.shown("70b", "--cluster", "rack.yaml", MISTRALRS_MN_LOCAL_WORLD_SIZE="2")
        self.assertIn("devices 0, 1 of node a", text)
        self.assertIn(
            "MISTRALRS_MN_LOCAL_WORLD_SIZE=9: node a has 4 devices",
            self.refused("70b", "--cluster", "rack.yaml", MISTRALRS_MN_LOCAL_WORLD_SIZE="9"),
        )
        for value in ("x", "", "0", "-1", "2.5", "99999999999"):
            self.assertIn(
                f"MISTRALRS_MN_LOCAL_WORLD_SIZE={value}: expected a whole number of devices of each node, from 1\n",
                self.refused("70b", "--cluster", "rack.yaml", code=2, MISTRALRS_MN_LOCAL_WORLD_SIZE=value),
            )

    def test_variables_that_say_how_nodes_start_are_of_no_use(self):
        done = self.run_plan(
            "70b", "--gpus", "2xH200", MISTRALRS_MN_WORKER_ID="0", MISTRALRS_MN_HEAD_PORT="x", MISTRALRS_MN_LOCAL_WORLD_SIZE="x"
        )
        self.assertEqual(
            (done.returncode, done.stderr),
            (
                0,
                "mrs-plan: warning: MISTRALRS_MN_HEAD_PORT, MISTRALRS_MN_WORKER_ID: set, but of no use to mrs-plan; which nodes "
                "there are, --gpus or --cluster says\n",
            ),
        )
        self.assertEqual(done.stdout, self.shown("70b", "--gpus", "2xH200"))
        many = {f"MISTRALRS_MN_{number:02}": "" for number in range(10)}
        self.assertIn("MISTRALRS_MN_06, MISTRALRS_MN_07 and 2 more: set, but", self.run_plan("70b", "--gpus", "2xH200", **many).stderr)


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Clusters], plan_tools.Tools(arguments.bin))
