"""Plans for ranks that are not of this host: GPUs, and CPUs of several hosts. Who is where, what each may use, what CUDA
takes of it, what inspect and mrs-exec say of them, and that no host's own facts are in their bytes.

tests/planner/gpu_plans.py --bin build/cli
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import plan_tools

NOT_YET = (
    "the plan is for {} CUDA rank{}, and mrs-exec has no CUDA backend yet: layout, shards, collectives and memory are "
    "theirs, but the programs are the CPU's (pair2); to run the model on this host's cores, plan it with --cpus {}\n"
)


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

    def test_memory_is_of_each(self):
        plan = self.build("--gpus", "48GB,24GB", "--no-nccl")
        self.assertEqual(plan["cluster"]["memory_bytes"], [43200000000, 21600000000])
        self.assertNotIn("memory", [option["name"] for option in plan["options"]])
        for stage in plan["stages"]:
            self.assertEqual((stage["workspace_bytes"], stage["communicators_bytes"]), (32 << 20, 0))
        self.assertEqual([option["name"] for option in plan["options"]], sorted(o["name"] for o in plan["options"]))
        plan = self.build("--gpus", "2x24GB")
        stage = plan["stages"][0]
        self.assertEqual(stage["graphs_bytes"], len(stage["steps"]) * len(stage["buckets"]) * 65536)
        self.assertEqual(stage["communicators_bytes"], 32 * ((4 << 20) + (512 << 10) + (4800 << 10)))
        said = {p["name"]: p["expected"] for p in plan["predictions"]}
        for name in ("workspace", "graphs", "communicators"):
            self.assertEqual(said[name], stage[f"{name}_bytes"])
        # One byte less than it takes with one sequence's cache is too little, and its refusal says so.
        fixed = stage["weight_arena_bytes"] + stage["activation_arena_bytes"] + stage["workspace_bytes"]
        fixed += stage["graphs_bytes"] + stage["communicators_bytes"]
        kv = stage["kv_classes"][0]
        least = fixed + kv["sequence_blocks"] * kv["block_bytes"]
        plan = self.build("--gpus", "2x24GB", "--memory", str(least))
        self.assertEqual(plan["cluster"]["memory_bytes"], [least] * 2)
        done = plan_tools.run(
            [self.tools.plan, "build", plan_tools.MINI, "--gpus", "2x24GB", "--memory", str(least - 1), "-o", self.out]
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"and communicators of {stage['communicators_bytes']}): 1 bytes (1 B) too few; ", done.stderr)

    def test_what_is_said_of_it(self):
        text = plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "--gpus", "2x24GB", "-o", self.out])
        self.assertIn("\nnot yet      " + NOT_YET.format(2, "s", 2), text)
        self.assertRegex(text, r"\nmemory +[0-9.]+ MiB a rank: weights .*, CUDA .* \(workspace 32.0 MiB, graphs .*\)\n")
        self.assertIn(
            "\nnot yet: " + NOT_YET.format(2, "s", 2), plan_tools.checked([self.tools.plan, "inspect", self.out])
        )
        self.assertIn("; node 0, cuda 1; ", plan_tools.checked([self.tools.plan, "inspect", self.out, "--rank", "1"]))
        page = os.path.join(self.folder, "x.html")
        plan_tools.checked([self.tools.plan, "inspect", self.out, "--html", page])
        with open(page, encoding="utf-8") as file:
            page = file.read()
        self.assertIn("mrs-exec has no CUDA backend yet", page)
        self.assertIn('<li class="mc">CUDA and NCCL</li>', page)
        done = plan_tools.run([self.tools.exec, "--plan", self.out, "--model", plan_tools.MINI, "--prompt", "x"])
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "mrs-exec: " + NOT_YET.format(2, "s", 2))

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
            "mrs-exec: the plan's 4 CPU ranks are on 2 nodes, and mrs-exec starts the ranks of one host so far; to run "
            "the model on this host, plan it with --cpus 2\n",
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
