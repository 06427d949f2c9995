"""mrs-plan cluster import and show: every kind of file, what is told of it, and what is refused.

tests/planner/cluster_cases.py --bin build/cli
"""

import json
import os
import shutil
import tempfile
import unittest

import plan_tools

CPU = '<cpu numaid="0" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="106">'
GPU = (
    '<pci busid="{bus}" class="0x030200" vendor="0x10de" device="0x20b5" link_speed="16.0 GT/s PCIe" link_width="16">'
    '<gpu dev="{dev}" sm="80" rank="{dev}" gdr="1"><nvlink target="{to}" count="12" tclass="0x030200"/></gpu></pci>\n'
)
PAIR = (
    f'<system version="1">{CPU}\n'
    + GPU.format(bus="0000:17:00.0", dev=0, to="0000:65:00.0")
    + GPU.format(bus="0000:65:00.0", dev=1, to="0000:17:00.0")
    + "</cpu></system>\n"
)
SKELETON = f'<system version="1">{CPU}<pci busid="0001:00:00.0" class="0x030200"/></cpu></system>\n'


class Cluster(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_cluster_")
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_cluster(self, *words, code=0):
        done = plan_tools.run([self.tools.plan, "cluster", *words], cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_a_topology_is_imported_and_read_back(self):
        path = self.file("topo.xml", PAIR)
        done = self.run_cluster("import", path, "-o", "rack.yaml")
        self.assertIn("node-0: device 0: memory of A100-PCIe-80GB, which its PCI id names\n", done.stderr)
        shown = json.loads(self.run_cluster("show", path, "--json").stdout)
        again = json.loads(self.run_cluster("show", "rack.yaml", "--json").stdout)
        self.assertEqual(shown, again)
        # As NCCL 2.27.7 prints them of such a host.
        paths = {(one["from"], one["to"]): one for one in shown["nodes"][0]["paths"]}
        for ends, path_class, gigabytes in (
            (("device 0", "device 0"), "LOC", 5000.0),
            (("device 0", "device 1"), "NVL", 240.0),
            (("device 1", "device 0"), "NVL", 240.0),
            (("device 1", "socket 0"), "PHB", 24.0),
        ):
            self.assertEqual((paths[ends]["class"], paths[ends]["nccl_gigabytes"]), (path_class, gigabytes))
            self.assertEqual(paths[ends]["gigabytes"], None if path_class == "LOC" else gigabytes)
        self.assertEqual(shown["nodes"][0]["islands"], [[0, 1]])
        # Standard output is the same file, which plans are made for.
        with open(os.path.join(self.folder, "rack.yaml"), encoding="utf-8") as file:
            self.assertEqual(self.run_cluster("import", path).stdout, file.read())
        build = [self.tools.plan, "build", plan_tools.MINI, "--dry-run", "--cluster", "rack.yaml"]
        plan_tools.checked(build, cwd=self.folder)

    def test_import_writes_over_nothing_that_it_should_not(self):
        path = self.file("topo.xml", PAIR)
        said = self.run_cluster("import", path, "-o", path, code=2).stderr
        self.assertEqual(said, f"mrs-plan: --output {path}: is the file that is read; name another\n")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), PAIR)
        said = self.run_cluster("import", path, "-o", "x.mrsplan", code=2).stderr
        self.assertIn("would write a cluster where a plan is; name a file that does not end in .mrsplan\n", said)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "x.mrsplan")))

    def test_text(self):
        text = self.run_cluster("show", self.file("topo.xml", PAIR)).stdout
        for line in (
            "  socket 0  (NUMA 0, x86_64 GenuineIntel 6/106)\n",
            "    device 1  A100-PCIe-80GB, 80GiB, 0000:65:00.0  PCIe 16 GT/s x16  NVLink x12 to device 0\n",
            "  device 0     LOC          NVL 240.0    PHB 24.0\n",
            "  island: devices 0, 1\n",
        ):
            self.assertIn(line, text)
        self.assertEqual(
            self.run_cluster("check", "topo.xml").stdout,
            "sound: looked at 1 node, 2 devices and 0 network cards: NVLinks, PCIe links, peer access and whether devices "
            "are alike\n",
        )
        self.assertEqual(self.run_cluster("check", "topo.xml", "--json").stdout, "[]\n")
        racks = self.run_cluster("show", "--gpus", "3x8xH200+400G").stdout
        self.assertTrue(racks.startswith("node-0\n  socket 0  (NUMA 0)\n    device 0  H200-SXM, "), racks)
        self.assertTrue(racks.endswith("\nnode-1  as node-0\nnode-2  as node-0\nnetwork  400Gbit/s\n"), racks)
        self.assertIn("device 3  CPU", self.run_cluster("show", "--cpus", "4").stdout)

    def test_what_devices_are_can_be_said(self):
        path = self.file("topo.xml", SKELETON)
        self.assertIn("device 0  CUDA, 0001:00:00.0", self.run_cluster("show", path).stdout)
        self.assertIn("device 0  L40S, ", self.run_cluster("show", path, "--model", "l40s").stdout)
        done = self.run_cluster("show", path, "--model", "L41S", code=2)
        self.assertIn("--model L41S: expected a model of the catalogue; the nearest is L40S", done.stderr)

    def test_refusals(self):
        sockets = ", ".join(f"{{numa: {i}}}" for i in range(256))
        cases = {
            "graph.xml": ('<graphs version="1"/>', "<graphs>: this is what NCCL found on a topology"),
            "cut.xml": (PAIR[:-20], "cut.xml: line 3, column 2"),
            "taccl.json": ('{"name": "NDv2", "gpus_per_node": 8}', "is a topology of TACCL"),
            "switches.yaml": ("switches:\n  s: {}\nblocks: []\n", "is a topograph topology"),
            "old.json": ('{"format": "mrs-doctor 9"}', 'expected "mrs-doctor 1", got "mrs-doctor 9"'),
            "matrix": ("GPU0 GPU1\nGPU0 X PIX\n", "the table ends without row GPU1"),
            "empty": (" \n", "is empty; expected"),
            "prose": ("hello", "expected"),
        }
        for name, (text, message) in cases.items():
            with self.subTest(name):
                for verb in ("import", "show", "check"):
                    done = self.run_cluster(verb, self.file(name, text), code=2 if verb == "check" else 1)
                    self.assertIn(message, done.stderr)
                    self.assertEqual(done.stdout, "")
        self.run_cluster("import", "none.xml", code=1)
        huge = self.file("huge.yaml", f"nodes: [{{count: 64, sockets: [{sockets}], devices: [{{model: L4}}]}}]\n")
        self.assertEqual(
            self.run_cluster("show", huge, code=1).stderr,
            "mrs-plan: cluster show: the cluster has 4227136 pairs of devices, nics and sockets; expected at most "
            "1048576 to show: take nodes out\n",
        )
        self.assertIn("give one", self.run_cluster("show", "x", "--gpus", "L4", code=2).stderr)
        self.assertIn("there are import, show, check", self.run_cluster("shwo", code=2).stderr)


if __name__ == "__main__":
    plan_tools.main([Cluster], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
