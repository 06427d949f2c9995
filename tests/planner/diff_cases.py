"""mrs-plan diff: exit codes, groups of changes, and git showing plans by it.

tests/planner/diff_cases.py --bin build/cli
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import plan_tools

OPTIONS = ["--memory", "1GiB", "--numerics", "pair2", "--max-len", "256"]
README = os.path.join(plan_tools.SOURCE, "plans", "README.md")


class Diff(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mrs_diff_")
        for name, layout in (
            ("tp2", ["--tp", "2"]),
            ("tp4", ["--tp", "4"]),
            ("pp2", ["--tp", "2", "--pp", "2"]),
            ("seqs", ["--tp", "2", "--max-seqs", "8"]),
        ):
            command = [cls.tools.plan, "build", plan_tools.MINI, *OPTIONS, *layout, "-o", cls.path(name)]
            plan_tools.checked(command)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, f"{name}.mrsplan")

    def diff(self, a, b, *options):
        return plan_tools.run([self.tools.plan, "diff", self.path(a), self.path(b), *options])

    def as_json(self, a, b, *options):
        done = self.diff(a, b, "--json", *options)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        return json.loads(done.stdout)

    def test_a_plan_and_itself(self):
        for name in ("tp2", "pp2"):
            done = self.diff(name, name)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            done = self.diff(name, name, "--json", "--all")
            self.assertEqual((done.returncode, json.loads(done.stdout)["groups"]), (0, []))

    def test_other_tensor_parallel_size_names_every_group(self):
        expected = [
            "layout",
            "weights",
            "collectives",
            "memory",
            "program",
            "cluster",
            "options",
            "predictions",
        ]
        self.assertEqual([group["group"] for group in self.as_json("tp2", "tp4")["groups"]], expected)
        done = self.diff("tp2", "tp4")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertEqual(re.findall(r"^(\w+): \d+ changes?$", done.stdout, re.M), expected)
        for line in (
            "  mesh: 2 ranks (tp 2, dp 1, 1 stage) -> 4 ranks (tp 4, dp 1, 1 stage)\n",
            "  rank 3 on: none -> node 0 cpu 3\n",
            "  all_reduce doubling f32 a token: 9 of 9.00 KiB in all in groups of 2 -> "
            "9 of 9.00 KiB in all in groups of 4\n",
            '  steps["l0.kv_append"].attr.kv_heads: 2 -> 1, and 7 more alike\n',
            '  options["tp"].value: "2" -> "4"\n',
        ):
            self.assertIn(line, done.stdout)
        self.assertLess(done.stdout.count("\n"), 150)

    def test_bytes_that_move_are_those_of_the_sources(self):
        """Against the sum over the slices of both plans, counted here element by element of the rows and columns."""
        inspect = [self.tools.plan, "inspect", "--json"]
        plans = {n: json.loads(plan_tools.checked([*inspect, self.path(n)])) for n in ("tp2", "tp4", "pp2")}

        def held(plan):
            """{rank: {tensor: (set of rows, set of columns)}}"""
            out = {}
            for rank, where in enumerate(plan["ranks"]):
                stage = plan["stages"][where["stage"]]
                for source in stage["sources"]:
                    at = lambda cut: cut["start"] + cut["step"] * (where.get(cut["axis"], 0) // cut["every"])
                    rows, columns = source["rows"], source["columns"]
                    row_set = set(range(at(rows), at(rows) + rows["size"])) & set(range(source["row_count"]))
                    column_set = set(range(at(columns), at(columns) + columns["size"]))
                    out.setdefault(rank, {})[plan["names"][source["name"]]] = (row_set, column_set)
            return out

        for a, b in (("tp2", "tp4"), ("tp4", "tp2"), ("tp2", "pp2"), ("pp2", "tp4")):
            before, after = held(plans[a]), held(plans[b])
            said = self.as_json(a, b)["checkpoint"]
            nothing = (set(), set())
            for rank in said["ranks"]:
                of_a, of_b = before.get(rank["rank"], {}), after.get(rank["rank"], {})
                new = dropped = 0
                for tensor in of_a.keys() | of_b.keys():
                    (rows_a, columns_a), (rows_b, columns_b) = of_a.get(tensor, nothing), of_b.get(tensor, nothing)
                    both = len(rows_a & rows_b) * len(columns_a & columns_b)
                    new += len(rows_b) * len(columns_b) - both
                    dropped += len(rows_a) * len(columns_a) - both
                self.assertEqual((rank["new_bytes"], rank["dropped_bytes"]), (2 * new, 2 * dropped), (a, b, rank))
            self.assertEqual(said["new_bytes"], sum(rank["new_bytes"] for rank in said["ranks"]))
            self.assertEqual(said["new_bytes"], sum(tensor["new_bytes"] for tensor in said["tensors"]))
            self.assertEqual(said["new_bytes"], said["moved_bytes"], "each byte was on some rank")

    def test_all_tells_each_change_on_its_own(self):
        brief, whole = self.as_json("tp2", "pp2"), self.as_json("tp2", "pp2", "--all")
        self.assertEqual(brief["count"], whole["count"])
        changes = [c for g in whole["groups"] for f in g["fields"] for c in f["changes"]]
        self.assertEqual(len(changes), whole["count"])
        self.assertEqual({change["count"] for change in changes}, {1})
        self.assertIn('steps["l1.mlp_add.send"]', [change["path"] for change in changes])
        text = self.diff("tp2", "pp2", "--all").stdout
        self.assertIn('  weights["l3.down_proj.weight"].stage: 0 -> 1\n', text)

    def test_a_limit_says_what_it_changes(self):
        fields = {f["field"] for g in self.as_json("tp2", "seqs")["groups"] for f in g["fields"]}
        self.assertIn("max_seqs", fields)
        self.assertIn("options[].value", fields)
        self.assertNotIn("steps[]", fields)

    def test_each_kind_of_change_has_its_group(self):
        model = os.path.join(self.folder, "edited")
        shutil.copytree(plan_tools.MINI, model)
        settings = os.path.join(model, "generation_config.json")
        with open(settings) as file:
            values = json.load(file)
        values["temperature"] = 0.25
        with open(settings, "w") as file:
            json.dump(values, file)
        base = ["--tp", "2", "--name", "mini", *OPTIONS]
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, *base, "-o", self.path("base")])
        for group, field, folder, options in (
            ("sampling", "model.sampling.temperature", model, []),
            ("model", "model.name", plan_tools.MINI, ["--name", "other"]),
            ("limits", "max_len", plan_tools.MINI, ["--max-len", "128"]),
            ("numerics", "numerics.chain", plan_tools.MINI, ["--numerics", "block32"]),
            ("numerics", "numerics.weight_dtype", plan_tools.MINI, ["--dtype", "f32"]),
            ("cluster", "cluster.memory_bytes[]", plan_tools.MINI, ["--memory", "2GiB"]),
        ):
            arguments = dict(zip(base[::2], base[1::2]))
            arguments.update(zip(options[::2], options[1::2]))
            flat = [word for pair in arguments.items() for word in pair]
            plan_tools.checked([self.tools.plan, "build", folder, *flat, "-o", self.path("other")])
            groups = {g["group"]: [f["field"] for f in g["fields"]] for g in self.as_json("base", "other")["groups"]}
            self.assertIn(field, groups[group])
            if field.startswith("model."):
                self.assertEqual(sum(map(len, groups.values())), 1, groups)

    def test_no_plan_on_one_side(self):
        for a, b, first in (("/dev/null", self.path("tp2"), "A no plan\nB "), (self.path("tp2"), "/dev/null", "A ")):
            done = plan_tools.run([self.tools.plan, "diff", a, b])
            self.assertEqual((done.returncode, done.stderr), (1, ""))
            self.assertTrue(done.stdout.startswith(first), done.stdout)
            self.assertIn("layout       2 ranks: tp 2, dp 1, 1 stage\n", done.stdout)
            said = json.loads(plan_tools.run([self.tools.plan, "diff", a, b, "--json"]).stdout)
            self.assertEqual((said["same"], said["a"] is None), (False, a == "/dev/null"))
        done = plan_tools.run([self.tools.plan, "diff", "/dev/null", "/dev/null"])
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, "mrs-plan: diff: both plans are /dev/null, which stands for none\n")

    def test_what_cannot_be_read_is_no_answer(self):
        broken = self.path("broken")
        with open(self.path("tp2"), "rb") as file:
            content = bytearray(file.read())
        content[1000] ^= 1
        with open(broken, "wb") as file:
            file.write(content)
        for a, b in (("broken", "tp2"), ("tp2", "broken"), ("tp2", "missing"), ("missing", "missing")):
            done = self.diff(a, b)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, r"^mrs-plan: plan \S+/(broken|missing)\.mrsplan: ")
        for arguments in ([self.path("tp2")], [], [self.path("tp2")] * 3):
            self.assertEqual(plan_tools.run([self.tools.plan, "diff", *arguments]).returncode, 2)

    def test_a_full_disk_is_no_answer(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [self.tools.plan, "diff", self.path("tp2"), self.path("tp4")], stdout=full, stderr=subprocess.PIPE
            )
        self.assertEqual(done.returncode, 2, done.stderr)

    def test_large_plans_stay_readable(self):
        """Llama 405B: 126 layers on 8 ranks against 16 stages."""
        model = os.path.join(self.folder, "405b")
        plan_tools.write_checkpoint(model, plan_tools.LLAMA_405B, file_count=8)
        for name, layout in (("whole", ["--tp", "8"]), ("staged", ["--tp", "4", "--pp", "8"])):
            plan_tools.checked(
                [self.tools.plan, "build", model, "--memory", "2TiB", "--max-len", "2048", *layout, "-o", self.path(name)]
            )
        done = self.diff("whole", "staged")
        self.assertEqual(done.returncode, 1)
        self.assertLess(done.stdout.count("\n"), 250)
        self.assertLess(max(map(len, done.stdout.split("\n"))), 600)
        self.assertGreater(self.diff("whole", "staged", "--all").stdout.count("\n"), 5000)


@unittest.skipUnless(shutil.which("git"), "there is no git here")
class Git(unittest.TestCase):
    """The recipe of plans/README.md, run as it stands there."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_git_")
        self.environment = {
            **os.environ,
            "HOME": self.folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": os.path.dirname(self.tools.plan) + os.pathsep + os.environ["PATH"],
        }
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            self.environment.update({name + "_NAME": "a", name + "_EMAIL": "a@example.org"})
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            self.environment.pop(name, None)
        self.shell("git init -q .")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def shell(self, command):
        return plan_tools.checked(["sh", "-ec", command], cwd=self.folder, env=self.environment)

    def test_recipe(self):
        with open(README) as file:
            section = file.read().split("## Plans in git\n", 1)[1].split("\n## ", 1)[0]
        recipe = [line[4:] for line in section.split("\n") if line.startswith("    ")]
        setup = [line for line in recipe if not line.startswith(("git diff", "git difftool", "git log"))]
        use = [line for line in recipe if line not in setup]
        self.assertEqual((len(setup), len(use)), (4, 3), recipe)
        self.shell("\n".join(setup))
        build = f"mrs-plan build {plan_tools.MINI} {' '.join(OPTIONS)} -o model.mrsplan --tp"
        self.shell(f"{build} 2 && git add . && git commit -qm one && {build} 4 && git commit -qam two")
        shown = [self.shell(line.split("  #")[0].replace("git ", "git --no-pager ", 1)) for line in use]
        as_text, by_log, by_tool = shown
        for text in (as_text, by_log):
            changed = {line for line in text.split("\n") if line[:1] in "+-"}
            self.assertLessEqual({'-option "tp" "2"', '+option "tp" "4"'}, changed)
            self.assertTrue(any(line.startswith("+rank 3: tp 3, ep 0, stage 0") for line in changed))
            self.assertNotIn("Binary files", text)
        self.assertIn("  mesh: 2 ranks (tp 2, dp 1, 1 stage) -> 4 ranks (tp 4, dp 1, 1 stage)\n", by_tool)
        self.shell("git rm -q model.mrsplan && git commit -qm three")
        self.assertIn("\nB no plan\n", self.shell(use[2]))


if __name__ == "__main__":
    plan_tools.main([Diff, Git], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
