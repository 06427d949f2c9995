"""mrs-plan cluster check: faults planted in sound topologies are each found by id and place; the sound ones are quiet.

tests/planner/cluster_faults.py --bin build/cli
"""

import json
import os
import tempfile
import unittest

import plan_tools


def topology():
    """Eight A100 modules: two sockets, two switches each, two GPUs and one card a switch, all on an NVSwitch."""
    lines = ['<system version="1">']
    for socket in range(2):
        lines.append(f'<cpu numaid="{socket}" arch="x86_64" vendor="AuthenticAMD" familyid="25" modelid="1">')
        for switch in range(2 * socket, 2 * socket + 2):
            at = f"{switch + 1}0"
            lines.append(pci(f"0000:{at}:00.0", "0x060400"))
            for gpu in range(2 * switch, 2 * switch + 2):
                lines.append(pci(f"0000:{at}:0{gpu % 2 + 1}.0", "0x030200", 'vendor="0x10de" device="0x20b2"'))
                lines.append(f'<gpu dev="{gpu}" sm="80" rank="{gpu}" gdr="1">')
                lines.append('<nvlink target="0000:c1:00.0" count="6" tclass="0x068000"/>')
                lines.append('<nvlink target="0000:c2:00.0" count="6" tclass="0x068000"/>')
                lines.append("</gpu></pci>")
            lines.append(pci(f"0000:{at}:03.0", "0x020700", 'vendor="0x15b3" device="0x101b"'))
            lines.append(f'<nic><net name="mlx5_{switch}" dev="{switch}" speed="200000" port="1" gdr="1"/></nic></pci>')
            lines.append("</pci>")
        lines.append("</cpu>")
    return lines + ["</system>"]


def pci(bus_id, pci_class, more=""):
    return f'<pci busid="{bus_id}" class="{pci_class}" {more} link_speed="16.0 GT/s PCIe" link_width="16">'


def line_of(lines, text):
    return next(i for i, line in enumerate(lines) if text in line)


# Two A100 cards with a bridge, as NCCL 2.27.7 dumped them, and the paths that it printed in the same run.
BRIDGED = """<system version="1"><cpu numaid="0" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="106">
<pci busid="0000:17:00.0" class="0x030200" vendor="0x10de" device="0x20b5" link_speed="16.0 GT/s PCIe" link_width="16">
<gpu dev="0" sm="80" rank="0" gdr="1"><nvlink target="0000:65:00.0" count="12" tclass="0x030200"/></gpu></pci>
<pci busid="0000:65:00.0" class="0x030200" vendor="0x10de" device="0x20b5" link_speed="16.0 GT/s PCIe" link_width="16">
<gpu dev="1" sm="80" rank="1" gdr="1"><nvlink target="0000:17:00.0" count="12" tclass="0x030200"/></gpu></pci>
</cpu></system>"""
BRIDGED_PATHS = """\
GPU/0-17000 :GPU/0-17000 (0/5000.0/LOC) GPU/0-65000 (1/240.0/NVL) CPU/0-0 (1/24.0/PHB)
GPU/0-65000 :GPU/0-17000 (1/240.0/NVL) GPU/0-65000 (0/5000.0/LOC) CPU/0-0 (1/24.0/PHB)"""


class Faults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check(self, text):
        """The exit code and {(id, place): finding}."""
        path = os.path.join(self.folder, "input")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        done = plan_tools.run([self.tools.plan, "cluster", "check", path, "--json"])
        self.assertEqual(done.stderr, "")
        findings = json.loads(done.stdout)
        faults = [one for one in findings if one["severity"] != "note"]
        self.assertEqual(done.returncode, 1 if faults else 0)
        return {(one["id"], one["place"]): one for one in findings}

    def test_a_sound_node_is_quiet(self):
        self.assertEqual(self.check("\n".join(topology())), {})

    def test_a_link_removed(self):
        for gpu in range(8):
            lines = topology()
            del lines[line_of(lines, f'<gpu dev="{gpu}"') + 1]
            found = self.check("\n".join(lines))
            self.assertEqual(set(found), {("cluster.nvlink-degraded", f"node-0: device {gpu}")})
            self.assertEqual(*(one["cost_gigabytes"] for one in found.values()), 120)  # 6 links of 20 GB/s

    def test_all_links_of_one_removed(self):
        lines = topology()
        at = line_of(lines, '<gpu dev="5"')
        del lines[at + 1 : at + 3]
        self.assertIn(("cluster.nvlink-missing", "node-0: device 5"), self.check("\n".join(lines)))

    def test_a_nic_moved(self):
        for nic in range(4):
            lines = topology()
            net = line_of(lines, f"mlx5_{nic}")
            moved = lines[net - 1 : net + 1]
            del lines[net - 1 : net + 1]
            cpu = line_of(lines, f'numaid="{1 - nic // 2}"')
            lines[cpu + 1 : cpu + 1] = moved
            found = self.check("\n".join(lines))
            self.assertIn(("cluster.nic-far", f"node-0: nic mlx5_{nic}"), found)
            for gpu in (2 * nic, 2 * nic + 1):
                self.assertIn(("cluster.nic-far", f"node-0: device {gpu}"), found)
            self.assertEqual({key[0] for key in found}, {"cluster.nic-far"})

    def test_a_nic_moved_to_another_switch(self):
        lines = topology()
        net = line_of(lines, "mlx5_2")
        moved = lines[net - 1 : net + 1]
        del lines[net - 1 : net + 1]
        at = line_of(lines, 'busid="0000:10:00.0"')
        lines[at + 1 : at + 1] = moved
        found = self.check("\n".join(lines))
        self.assertEqual(set(found), {("cluster.nic-far", f"node-0: device {gpu}") for gpu in (4, 5)})

    def test_cards_for_storage_may_be_anywhere(self):
        lines = topology()
        for socket in range(2):
            cpu = line_of(lines, f'numaid="{socket}"')
            lines[cpu + 1 : cpu + 1] = [
                pci(f"0000:f{socket}:00.0", "0x020000", 'vendor="0x15b3" device="0x101d"'),
                f'<nic><net name="storage{socket}" dev="{8 + socket}" speed="200000" port="1" gdr="0"/></nic></pci>',
            ]
        self.assertEqual(self.check("\n".join(lines)), {})

    def test_switches_that_all_show_an_old_rate(self):
        lines = [line.replace("16.0 GT/s", "5.0 GT/s") if "0x060400" in line else line for line in topology()]
        self.assertEqual(self.check("\n".join(lines)), {})
        at = line_of(lines, 'busid="0000:20:00.0"')
        lines[at] = lines[at].replace("5.0 GT/s", "2.5 GT/s")
        found = self.check("\n".join(lines))
        self.assertEqual(set(found), {("cluster.pcie-slow", "node-0: switch 0000:20:00.0")})

    def test_no_peer_access_is_how_a_machine_is_made(self):
        names = " ".join(f"GPU{gpu}" for gpu in range(4))
        rows = [f"GPU{a} " + " ".join("X" if a == b else "NODE" for b in range(4)) for a in range(4)]
        found = self.check("\n".join([names, *rows]))
        self.assertEqual(set(found), {("cluster.no-peer-access", "node-0: all devices")})

    def test_links_to_where_they_begin_tell_nothing(self):
        """As Azure's NC A100 v4 has it, where the hypervisor hides the other end of a bridge."""
        text = BRIDGED.replace("<nvlink target=\"0000:65:00.0\"", "<nvlink target=\"0000:17:00.0\"", 1)
        at = text.index("0000:65:00.0", text.index('dev="0"'))
        text = text[:at] + text[at:].replace("<nvlink target=\"0000:17:00.0\"", "<nvlink target=\"0000:65:00.0\"")
        self.assertEqual(self.check(text), {})

    def test_a_lane_dropped(self):
        for gpu in range(8):
            lines = topology()
            at = line_of(lines, f'<gpu dev="{gpu}"') - 1
            lines[at] = lines[at].replace('link_width="16"', 'link_width="4"')
            found = self.check("\n".join(lines))
            self.assertEqual(set(found), {("cluster.pcie-narrow", f"node-0: device {gpu}")})
            self.assertEqual(*(one["cost_gigabytes"] for one in found.values()), 18)  # x4 of 4.0: 6 GB/s for 24

    def test_a_slow_generation(self):
        lines = topology()
        at = line_of(lines, '<gpu dev="3"') - 1
        lines[at] = lines[at].replace("16.0 GT/s", "2.5 GT/s")
        self.assertEqual(set(self.check("\n".join(lines))), {("cluster.pcie-slow", "node-0: device 3")})

    def test_a_device_of_another_model(self):
        lines = topology()
        at = line_of(lines, '<gpu dev="6"') - 1
        lines[at] = lines[at].replace("0x20b2", "0x20b0")
        self.assertEqual(set(self.check("\n".join(lines))), {("cluster.mixed-devices", "node-0: device 6")})

    def test_a_node_swapped(self):
        nodes = ["  - {name: n%d, gpus: 8xH100-SXM}\n" % n for n in range(4)]
        self.assertEqual(self.check("nodes:\n" + "".join(nodes)), {})
        for n in range(4):
            swapped = list(nodes)
            swapped[n] = "  - {name: n%d, gpus: 8xA100-SXM-80GB}\n" % n
            self.assertEqual(set(self.check("nodes:\n" + "".join(swapped))), {("cluster.node-differs", f"n{n}")})

    def test_asymmetric_links_of_a_matrix(self):
        self.assertEqual(self.check("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV4 X\n"), {})
        found = self.check("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV2 X\n")
        self.assertIn(("cluster.nvlink-asymmetric", "node-0: device 0 and device 1"), found)

    def test_what_is_imported_is_what_is_checked(self):
        path = os.path.join(self.folder, "topo.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(topology()))
        made = os.path.join(self.folder, "node.yaml")
        done = plan_tools.run([self.tools.plan, "cluster", "import", path, "-o", made])
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = [plan_tools.run([self.tools.plan, "cluster", "show", one, "--json"]).stdout for one in (path, made)]
        self.assertEqual(*shown)
        node = json.loads(shown[0])["nodes"][0]
        self.assertEqual(node["islands"], [list(range(8))])
        paths = {(one["from"], one["to"]): (one["class"], one["gigabytes"]) for one in node["paths"]}
        self.assertEqual(paths["device 0", "device 7"], ("NVL", 240.0))
        self.assertEqual(paths["device 0", "nic mlx5_0"], ("PIX", 24.0))
        self.assertEqual(paths["device 0", "nic mlx5_1"], ("PHB", 24.0))
        self.assertEqual(paths["device 0", "nic mlx5_3"], ("SYS", 16.0))

    def test_paths_are_those_that_nccl_prints(self):
        path = os.path.join(self.folder, "topo.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(BRIDGED)
        done = plan_tools.run([self.tools.plan, "cluster", "show", path, "--json"])
        self.assertEqual(done.returncode, 0, done.stderr)
        paths = json.loads(done.stdout)["nodes"][0]["paths"]
        names = {"device 0": "GPU/0-17000", "device 1": "GPU/0-65000", "socket 0": "CPU/0-0"}
        lines = []
        for start in ("device 0", "device 1"):
            ends = [
                f"{names[one['to']]} ({one['hops']}/{one['nccl_gigabytes']:.1f}/{one['class']})"
                for one in paths
                if one["from"] == start
            ]
            lines.append(f"{names[start]} :{' '.join(ends)}")
        self.assertEqual("\n".join(lines), BRIDGED_PATHS)

    def test_wrong_words_are_usage(self):
        for words, message in [
            (["draw"], "cluster draw: there is no such action; there are import, show, check"),
            (["import"], "cluster import: a file is missing: NCCL topology XML, nvidia-smi topo -m or mrs-exec doctor"),
            (["show", "x", "--gpus", "8xL4"], "cluster show: a file, --gpus and --cpus each say what; give one"),
            (["import", "x", "--model", "H100-SXN"], "--model H100-SXN: expected a model of the catalogue; the nearest is"),
        ]:
            done = plan_tools.run([self.tools.plan, "cluster", *words])
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)

    def test_a_file_that_is_not_there_is_refused(self):
        done = plan_tools.run([self.tools.plan, "cluster", "check", os.path.join(self.folder, "none.xml")])
        self.assertEqual(done.returncode, 2)
        self.assertIn("none.xml", done.stderr)
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Faults], plan_tools.Tools(arguments.bin))
