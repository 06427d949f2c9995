"""Plans and cluster files as `mrs-plan check` judges them: in themselves, and against what they are of.

Run by check_cases.py.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile

import plan_tools
from check_case import Case


def sealed(body):
    """A plan's body with the SHA-256 that closes it."""
    return body + hashlib.sha256(body).digest()


class Clusters(Case):
    SOUND = """network: 400Gbit/s
nodes:
  - count: 2
    gpus: 8xH100-SXM
  - name: big
    gpus: 8xH100-SXM
"""

    def test_a_sound_file_is_quiet(self):
        self.write("c.yaml", self.SOUND)
        self.finds([], "c.yaml", code=0)
        self.assertEqual(self.report(".")["checked"], [{"kind": "cluster", "path": "c.yaml"}])

    def test_key(self):
        self.write("c.yaml", self.SOUND.replace("big\n    gpus", "big\n    gpuz"))
        message = "nodes[1]: unknown key 'gpuz'; did you mean 'gpus'?"
        self.finds([("cluster.file", "c.yaml:6:5", message)], ".")

    def test_value_after_characters_of_two_bytes(self):
        self.write("c.yaml", "nodes:\n  - count: 2\n    devices: [{model: \u00fc\u00fc, memory: 80GX}]\n")
        message = 'nodes[0].devices[0].memory: expected a size such as 80GiB, got "80GX"'
        self.finds([("cluster.file", "c.yaml:3:35", message)], "c.yaml")

    def test_what_is_wrong_with_a_cluster(self):
        self.write("c.yaml", "nodes:\n  - devices: [{model: L40S, pcie: gen4 x4, count: 4}]\n")
        report = self.report("c.yaml")
        found = [(one["id"], one["severity"], self.place(one)) for one in report["diagnostics"]]
        self.assertIn(("cluster.pcie-narrow", "warning", "c.yaml"), found)
        self.assertIn(("cluster.no-peer-access", "note", "c.yaml"), found)
        self.assertEqual(report["exit_code"], 1)
        self.write("c.yaml", "nodes:\n  - gpus: 4xL40S\n")
        self.assertEqual(self.report("c.yaml")["exit_code"], 0)

    def test_no_yaml(self):
        self.write("c.yaml", "nodes:\n  - gpus: [\n")
        self.finds([("cluster.file", "c.yaml:3:1", "is no YAML: end of sequence flow not found")], ".")


class Plans(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="mrs_check_plan_")
        cls.mini = os.path.join(cls.shared, "mini.mrsplan")
        plan_tools.checked([cls.tools.plan, "build", plan_tools.MINI, "--tp", "2", "--memory", "1GiB", "-o", cls.mini])
        with open(cls.mini, "rb") as file:
            cls.bytes = file.read()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def with_format(self, major, minor):
        """The plan with another format: the first two fields of its root table."""
        body = bytearray(self.bytes[:-32])
        table = struct.unpack_from("<I", body, 0)[0]
        vtable = table - struct.unpack_from("<i", body, table)[0]
        for field, value in ((0, major), (1, minor)):
            at = struct.unpack_from("<H", body, vtable + 4 + 2 * field)[0]
            if at == 0:
                self.assertEqual(value, 0, "a field that is absent can only stay 0")
                continue
            struct.pack_into("<H", body, table + at, value)
        return sealed(bytes(body))

    def replaced(self, old, new):
        self.assertEqual(len(old), len(new))
        self.assertIn(old, self.bytes)
        return sealed(self.bytes[:-32].replace(old, new))

    def copy_of_mini(self):
        folder = os.path.join(self.folder, "mini")
        os.mkdir(folder)
        for name in os.listdir(plan_tools.MINI):
            if os.path.isfile(os.path.join(plan_tools.MINI, name)):
                shutil.copy(os.path.join(plan_tools.MINI, name), folder)
        return folder

    def test_a_sound_plan_is_quiet(self):
        self.finds([], self.mini, code=0)
        self.finds([], self.mini, "--model", plan_tools.MINI, code=0)

    def test_broken(self):
        self.write("x.bin", self.bytes[:-1] + bytes([self.bytes[-1] ^ 1]))
        message = "its SHA-256 does not match its content: the file was changed or truncated; rebuild it with mrs-plan build"
        self.finds([("plan.broken", "x.bin", message)], ".")
        self.write("x.bin", "")
        os.remove(os.path.join(self.folder, "x.bin"))
        self.write("y.mrsplan", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
        message = "is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned"
        self.finds([("plan.broken", "y.mrsplan", message)], "y.mrsplan")

    def test_version(self):
        self.write("x.mrsplan", self.with_format(99, 0))
        table = struct.unpack_from("<I", self.bytes, 0)[0]
        vtable = table - struct.unpack_from("<i", self.bytes, table)[0]
        offsets = struct.unpack_from("<2H", self.bytes, vtable + 4)
        major, minor = (struct.unpack_from("<H", self.bytes, table + at)[0] if at else 0 for at in offsets)
        message = (
            f"has format 99.0, this version reads {major}.0 to {major}.{minor}; rebuild it with mrs-plan build"
        )
        self.finds([("plan.version", "x.mrsplan", message)], "x.mrsplan")

    def test_unsound(self):
        self.write("x.mrsplan", self.replaced(b"model.safetensors", b"../el.safetensors"))
        message = (
            "file '../el.safetensors': expected a path inside the model's folder, without '.', '..' or control "
            "characters; rebuild it with mrs-plan build"
        )
        self.finds([("plan.unsound", "x.mrsplan", message)], "x.mrsplan")

    def test_old_producer(self):
        version = plan_tools.checked([self.tools.plan, "--version"]).strip()
        old = version[:-1] + ("8" if version[-1] == "9" else "9")
        self.write("x.mrsplan", self.replaced(version.encode(), old.encode()))
        message = f"made by {old}, this is {version}; rebuild it with mrs-plan build"
        self.finds([("plan.old-producer", "x.mrsplan", message)], "x.mrsplan")

    def test_a_model_that_is_not_there(self):
        message = "--model: is no folder, so no plan is held against it"
        self.finds([("check.unreadable", "nowhere", message)], self.mini, "--model", "nowhere", code=2)

    def test_cluster(self):
        self.write("c.yaml", "nodes:\n  - {ranks: 2, memory: 8GiB}\n")
        self.write("d.yaml", "nodes:\n  - {ranks: 2, memory: 4GiB}\n")
        self.write("broken.yaml", "nodes: 7\n")
        plan_tools.checked(
            [self.tools.plan, "build", plan_tools.MINI, "--cluster", "c.yaml", "-o", "x.mrsplan"], cwd=self.folder
        )
        self.finds([], "x.mrsplan", "--cluster", "c.yaml", code=0)
        self.finds([], "x.mrsplan", "--cluster", "c.yaml", "--model", plan_tools.MINI, code=0)
        message = (
            "was made for another cluster: its fingerprint is HEX, that of d.yaml HEX; rebuild it with mrs-plan build "
            "--cluster"
        )
        self.finds([("plan.other-cluster", "x.mrsplan", message)], "x.mrsplan", "--cluster", "d.yaml")
        message = "cannot be opened: No such file or directory"
        self.finds([("check.unreadable", "nowhere.yaml", message)], "x.mrsplan", "--cluster", "nowhere.yaml", code=2)
        found = self.report("x.mrsplan", "--cluster", "broken.yaml")["diagnostics"]
        self.assertEqual([one["id"] for one in found], ["cluster.file"])

    def test_stale_tokenizer(self):
        folder = self.copy_of_mini()
        with open(os.path.join(folder, "tokenizer.json"), "a", encoding="utf-8") as file:
            file.write("\n")
        shutil.copy(self.mini, os.path.join(self.folder, "x.mrsplan"))
        found = self.report("x.mrsplan", "--model", "mini")["diagnostics"]
        self.assertEqual([one["id"] for one in found], ["plan.other-model"])
        self.assertIn("tokenizer", found[0]["message"])

    def test_stale_files(self):
        folder = self.copy_of_mini()
        with open(os.path.join(folder, "model.safetensors"), "ab") as file:
            file.write(b"x")
        size = os.path.getsize(os.path.join(folder, "model.safetensors"))
        message = (
            f"model.safetensors: the plan expects {size - 1} bytes, the file has {size}; copy it again, or rebuild the "
            "plan with mrs-plan build"
        )
        shutil.copy(self.mini, os.path.join(self.folder, "x.mrsplan"))
        found = self.finds([("plan.stale-files", "x.mrsplan", message)], "x.mrsplan", "--model", "mini")
        self.assertEqual(found[0]["notes"][0]["file"], "mini/model.safetensors")

    def test_other_model(self):
        folder = self.copy_of_mini()
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["rms_norm_eps"] = 0.5
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        shutil.copy(self.mini, os.path.join(self.folder, "x.mrsplan"))
        message = "is not the plan of mini: erasure: fact 'mrs.fingerprint' is \"HEX\", expected \"HEX\""
        self.finds([("plan.other-model", "x.mrsplan", message)], "x.mrsplan", "--model", "mini")
