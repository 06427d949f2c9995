"""What the cases of `mrs-plan check` share: a folder to write into, and what is said of it, by id, place and message.

class Rings(Case):
    def test(self):
        self.write("ring_0.json", ring_text(0, 2, port=0))
        self.finds([("ring.field", "ring_0.json:4:11", "'port': ...")], "ring_0.json")
"""

import json
import os
import re
import shutil
import tempfile
import unittest

import plan_tools

MASTER, OTHER = "10.0.0.1", "10.0.0.2"
SEEN = set()  # ids that a case named with message and place


def ring_text(rank, world, /, **fields):
    """One rank's file, a field a line; a field that is None is left out."""
    config = {
        "master_ip": MASTER,
        "master_port": 9000,
        "port": 9001 + rank,
        "right_port": 9001 + (rank + 1) % world,
        "right_ip": None,
        "rank": rank,
        "world_size": world,
    }
    config.update(fields)
    return json.dumps({key: value for key, value in config.items() if value is not None}, indent=2) + "\n"


class Case(unittest.TestCase):
    maxDiff = None
    HASH = re.compile("[0-9a-f]{40,}")

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_check_")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def check(self, *arguments, **options):
        return plan_tools.run([self.tools.plan, "check", *arguments], cwd=self.folder, **options)

    def report(self, *arguments):
        done = self.check("--format", "json", *arguments)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual(report["exit_code"], done.returncode)
        return report

    @staticmethod
    def place(of):
        return of["file"] + (":{line}:{column}".format(**of) if "line" in of else "")

    def finds(self, expected, *arguments, code=1):
        """`expected`: [(id, place, message)], all that is found."""
        report = self.report(*arguments)
        found = [(one["id"], self.place(one), self.HASH.sub("HEX", one["message"])) for one in report["diagnostics"]]
        self.assertEqual(found, expected)
        self.assertEqual(report["exit_code"], code)
        SEEN.update(one[0] for one in expected)
        return report["diagnostics"]

    def apply_fixes(self, diagnostics):
        """Each first fix, from the end of the file to its start."""
        fixes = [one["fixes"][0] for one in diagnostics if one["fixes"]]
        for fix in sorted(fixes, key=lambda one: (one["line"], one["column"]), reverse=True):
            path = os.path.join(self.folder, fix["file"])
            with open(path, encoding="utf-8") as file:
                lines = file.read().split("\n")
            self.assertEqual(fix["line"], fix["end_line"])
            line = lines[fix["line"] - 1]
            lines[fix["line"] - 1] = line[: fix["column"] - 1] + fix["replacement"] + line[fix["end_column"] - 1 :]
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
        return len(fixes)
