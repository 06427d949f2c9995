"""The same inputs give the same bytes, wherever and however mrs-plan runs; and they are the committed ones.

tests/planner/determinism.py --bin build/cli              # test
tests/planner/determinism.py --bin build/cli --update     # after a change of the format or the bundled model
"""

import hashlib
import json
import os
import shutil
import tempfile
import unittest

import plan_tools

HASH_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mini_plan.sha256")
OPTIONS = ["--tp", "2", "--numerics", "pair2", "--memory", "1GiB", "--max-len", "512"]


def build(tools, model, out, more=(), **options):
    plan_tools.checked([tools.plan, "build", model, *OPTIONS, *more, "-o", out], **options)
    with open(os.path.join(options.get("cwd", ""), out), "rb") as file:
        return file.read()


class Determinism(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mrs_determinism_")
        cls.plan = os.path.join(cls.folder, "mini.mrsplan")
        cls.bytes = build(cls.tools, plan_tools.MINI, cls.plan)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def assert_same(self, what, model, out="again.mrsplan", **options):
        again = build(self.tools, model, out, **{"cwd": self.folder, **options})
        self.assertEqual(hashlib.sha256(again).hexdigest(), hashlib.sha256(self.bytes).hexdigest(), what)

    def test_two_directories_and_relative_paths(self):
        for cwd in ("first", "second/deeper"):
            path = os.path.join(self.folder, cwd)
            os.makedirs(path)
            self.assert_same(cwd, os.path.relpath(plan_tools.MINI, path), "x.mrsplan", cwd=path)

    def test_renamed_model_folder(self):
        renamed = os.path.join(self.folder, "another name")
        shutil.copytree(plan_tools.MINI, renamed, ignore=shutil.ignore_patterns("training"))
        for name in os.listdir(renamed):
            os.utime(os.path.join(renamed, name), (0, 0))
        self.assert_same("renamed model folder, files of 1970", renamed, more=["--name", "mini"])
        # The folder's name is the model's, unless told otherwise; nothing else differs.
        plan = os.path.join(self.folder, "renamed.mrsplan")
        build(self.tools, renamed, plan)
        inspected = [
            json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", path])) for path in (self.plan, plan)
        ]
        self.assertEqual([plan["model"].pop("name") for plan in inspected], ["mini", "another name"])
        self.assertEqual(*({**plan, "sha256": ""} for plan in inspected))

    def test_hub_snapshot(self):
        snapshot = os.path.join(self.folder, "models--acme--Mini-3M", "snapshots", "0123abcd")
        shutil.copytree(plan_tools.MINI, snapshot, ignore=shutil.ignore_patterns("training"))
        plan = os.path.join(self.folder, "hub.mrsplan")
        build(self.tools, ".", plan, cwd=snapshot)
        inspected = json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", plan]))
        self.assertEqual(inspected["model"]["name"], "acme/Mini-3M")

    def test_language_and_time_zone(self):
        for language, zone in (("C", "UTC"), ("de_DE.UTF-8", "Asia/Tokyo"), ("tr_TR.UTF-8", "America/New_York")):
            environment = {**os.environ, "LANG": language, "LC_ALL": language, "TZ": zone}
            self.assert_same(f"LANG={language} TZ={zone}", plan_tools.MINI, env=environment)

    def test_one_cpu_or_all(self):
        cpus = os.sched_getaffinity(0)
        one = {min(cpus)}
        self.assert_same("one CPU", plan_tools.MINI, preexec_fn=lambda: os.sched_setaffinity(0, one))
        self.assert_same("all CPUs", plan_tools.MINI, preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def test_numerics_by_default_is_what_cpus_have_in_hardware(self):
        options = [o for o in OPTIONS if o not in ("--numerics", "pair2")]
        out = os.path.join(self.folder, "auto.mrsplan")
        for numerics in ([], ["--numerics", "auto"]):
            plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *options, *numerics, "-o", out])
            with open(out, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(self.bytes).hexdigest())

    def test_committed_hash(self):
        with open(HASH_FILE) as file:
            committed = file.read().split()[0]
        self.assertEqual(
            hashlib.sha256(self.bytes).hexdigest(),
            committed,
            "the plan changed; if that is meant (format, bundled model), run this script with --update",
        )

    def test_its_name_is_the_hash_of_all_before_the_trailer(self):
        self.assertEqual(self.bytes[-32:], hashlib.sha256(self.bytes[:-32]).digest())

    def test_verify_and_inspect(self):
        name = self.bytes[-32:].hex()
        self.assertEqual(
            plan_tools.checked([self.tools.plan, "verify", self.plan]),
            f"{self.plan}: verified, sha256 {name}\nchecked: plans/verify\n",
        )
        self.assertEqual(
            plan_tools.checked([self.tools.plan, "verify", self.plan, "--model", plan_tools.MINI]),
            f"{self.plan}: verified, sha256 {name}\nchecked: plans/verify, erasure, checkpoint headers\n",
        )
        inspected = json.loads(plan_tools.checked([self.tools.plan, "inspect", "--json", self.plan]))
        self.assertEqual(inspected["tp"], 2)
        self.assertEqual(inspected["max_len"], 512)
        self.assertEqual(inspected["model"]["architecture"], "LlamaForCausalLM")


if __name__ == "__main__":
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--update", action="store_true", help=f"write {os.path.basename(HASH_FILE)}")
    arguments = parser.parse_args()
    found = plan_tools.Tools(arguments.bin)
    if arguments.update:
        with tempfile.TemporaryDirectory() as scratch:
            digest = hashlib.sha256(build(found, plan_tools.MINI, os.path.join(scratch, "x.mrsplan"))).hexdigest()
        with open(HASH_FILE, "w") as file:
            file.write(f"{digest}  mrs-plan build models/mini {' '.join(OPTIONS)}\n")
        print(digest)
    else:
        plan_tools.main([Determinism], found)
