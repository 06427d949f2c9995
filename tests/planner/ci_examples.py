"""The examples of docs/ci.md and the pre-commit hook: their commands run, pass a sound repository, and fail a wrong one.

tests/planner/ci_examples.py --bin build/cli
"""

import json
import os
import re
import shutil
import tempfile
import unittest
import xml.etree.ElementTree

import plan_tools
from check_case import ring_text


def fenced(text, heading, language):
    """The block of code below a heading."""
    chapter = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.search(rf"^```{language}\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL).group(1)


def commands_of(yaml):
    """The shell scripts of a job: each `run:`, a line or a block, and the items of `script:` together."""
    scripts, lines = [], yaml.splitlines()
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip(" -"))
        found = re.fullmatch(r"[ -]*(run|script):(?: (.*))?", line)
        if found is None:
            continue
        block = []
        for below in lines[number + 1 :]:
            if below.strip() and len(below) - len(below.lstrip(" ")) < indent:
                break
            if below.strip() and found.group(1) == "script" and not below.lstrip().startswith("- "):
                break
            block.append(below.strip())
        if found.group(1) == "script":
            scripts.append("\n".join(item.removeprefix("- ") for item in block))
        elif found.group(2) == "|":
            scripts.append("\n".join(block))
        else:
            scripts.append(found.group(2))
    return scripts


class Examples(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_ci_")
        os.mkdir(os.path.join(self.folder, "models"))
        shutil.copytree(plan_tools.MINI, os.path.join(self.folder, "models/mini"))
        os.mkdir(os.path.join(self.folder, "plans"))
        plan = os.path.join(self.folder, "plans/mini.mrsplan")
        plan_tools.checked(
            [self.tools.plan, "build", "models/mini", "--memory", "1GiB", "-o", plan], cwd=self.folder
        )
        self.write_ring()
        with open(os.path.join(plan_tools.SOURCE, "docs/ci.md"), encoding="utf-8") as file:
            self.document = file.read()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write_ring(self, **of_last):
        os.makedirs(os.path.join(self.folder, "ring"), exist_ok=True)
        for rank in range(2):
            with open(os.path.join(self.folder, f"ring/ring_{rank}.json"), "w", encoding="utf-8") as file:
                file.write(ring_text(rank, 2, **(of_last if rank == 1 else {})))

    def shell(self, script):
        """As runners do: bash that stops at the first failure."""
        path = f"{os.path.dirname(self.tools.plan)}:{os.environ['PATH']}"
        return plan_tools.run(["bash", "-eo", "pipefail", "-c", script], cwd=self.folder, env={**os.environ, "PATH": path})

    def spoil_plan(self):
        with open(os.path.join(self.folder, "plans/mini.mrsplan"), "r+b") as file:
            file.seek(100)
            file.write(b"\xff\xff\xff")

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read()

    def test_github(self):
        scripts = commands_of(fenced(self.document, "GitHub Actions", "yaml"))
        self.assertEqual(len(scripts), 2)
        for script in scripts:
            done = self.shell(script)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(self.read("mrs-plan.sarif"))["runs"][0]["results"], [])
        self.write_ring(right_port=9003)
        os.remove(os.path.join(self.folder, "mrs-plan.sarif"))
        self.assertEqual(self.shell(scripts[0]).returncode, 1)
        results = json.loads(self.read("mrs-plan.sarif"))["runs"][0]["results"]
        self.assertEqual([one["ruleId"] for one in results], ["ring.not-closed"])
        self.assertEqual(self.shell(scripts[1]).returncode, 0)
        self.spoil_plan()
        self.assertEqual(self.shell(scripts[1]).returncode, 1)

    def test_gitlab(self):
        scripts = commands_of(fenced(self.document, "GitLab", "yaml"))
        self.assertEqual(len(scripts), 1)
        done = self.shell(scripts[0])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(xml.etree.ElementTree.fromstring(self.read("mrs-plan.xml")).attrib["failures"], "0")
        self.write_ring(right_port=9003)
        self.assertEqual(self.shell(scripts[0]).returncode, 1)
        self.assertEqual(xml.etree.ElementTree.fromstring(self.read("mrs-plan.xml")).attrib["failures"], "1")

    def test_by_hand(self):
        script = fenced(self.document, "By hand", "sh")
        done = self.shell(script)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("nothing is wrong\n"), 2)
        self.assertEqual(json.loads(self.read("report.json"))["exit_code"], 0)

    def test_every_id_is_listed(self):
        log = json.loads(self.shell("mrs-plan check --format sarif ring").stdout)
        rows = ["| id | | |", "|---|---|---|"] + [
            f"| `{rule['id']}` | {rule['defaultConfiguration']['level']} | {rule['shortDescription']['text']} |"
            for rule in log["runs"][0]["tool"]["driver"]["rules"]
        ]
        table = "\n".join(rows)
        self.assertTrue(self.document.endswith(f"\n## What is found\n\n{table}\n"), f"docs/ci.md is to end with\n{table}")

    def test_hook(self):
        with open(os.path.join(plan_tools.SOURCE, ".pre-commit-hooks.yaml"), encoding="utf-8") as file:
            hook = file.read()
        self.assertIn(f"- id: {re.search('- id: (.*)', fenced(self.document, 'pre-commit', 'yaml')).group(1)}\n", hook)
        entry = re.search(r"^  entry: (.*)$", hook, re.MULTILINE).group(1)
        arguments = re.search(r"^  args: \[(.*)\]$", hook, re.MULTILINE).group(1).replace(",", " ")
        files = re.compile(re.search(r"^  files: '(.*)'$", hook, re.MULTILINE).group(1))
        for name in ("ring/ring_0.json", "cluster.yaml", "plans/mini.mrsplan", "models/mini/config.json"):
            self.assertTrue(files.search(name), name)
        done = self.shell(f"{entry} {arguments}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.write_ring(right_port=9003)
        self.assertEqual(self.shell(f"{entry} {arguments}").returncode, 1)


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Examples], plan_tools.Tools(arguments.bin))
