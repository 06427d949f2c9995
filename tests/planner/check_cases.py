"""mrs-plan check: every diagnostic with its exact message and place, the writers, exit codes, and what is recognised.

tests/planner/check_cases.py --bin build/cli
"""

import json
import os
import re

import plan_tools
from check_case import SEEN, Case, ring_text
from check_models import Models
from check_plans import Clusters, Plans
from check_reports import Paths, Writers
from check_rings import Rings


class EveryId(Case):
    """Comes last: what the cases above named is all that the program can say."""

    def test_every_id_has_a_case(self):
        self.write("r.json", ring_text(0, 2))
        run = json.loads(self.check("--format", "sarif", "r.json").stdout)["runs"][0]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        self.assertEqual(len(rules), len(set(rules)))
        # Findings of a cluster have their cases beside what finds them.
        of_clusters = {rule for rule in rules if rule.startswith("cluster.") and rule != "cluster.file"}
        with open(os.path.join(plan_tools.SOURCE, "planner/cluster/planted_faults_for_test.cc"), encoding="utf-8") as file:
            text = file.read()
        self.assertEqual([rule for rule in of_clusters if not re.search(rf'"{rule}\b', text)], [])
        self.assertEqual(sorted(set(rules) - of_clusters), sorted(SEEN - of_clusters))

    def test_every_id_of_the_sources_is_a_rule(self):
        run = json.loads(self.check("--format", "sarif", self.folder).stdout)["runs"][0]
        rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
        rules = {rule for rule in rules if not rule.startswith("cluster.") or rule == "cluster.file"}
        folder = os.path.join(plan_tools.SOURCE, "planner", "check")
        named = set()
        for name in os.listdir(folder):
            if name.endswith(".cc") and name != "diagnostic.cc":
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                named |= {rule for rule in rules if f'"{rule}"' in text}
        self.assertEqual(named, rules, "rules that no source gives")


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Rings, Models, Clusters, Plans, Paths, Writers, EveryId], plan_tools.Tools(arguments.bin))
