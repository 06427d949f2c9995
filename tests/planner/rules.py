"""The table of rules as mrs-plan prints it, and the rules of options and memory, each broken once.

tests/planner/rules.py --bin build/cli
"""

import json
import unittest

import plan_tools

# Rules that only a whole program can break: what breaks each of them.
BROKEN = {
    "limits.max-len": ["--max-len", "4096"],
    "memory.range": ["--memory", "300TiB"],
    "memory.fits": ["--memory", "100KiB"],
    "layout.devices": ["--gpus", "2xL4", "--pp", "3"],
    "layout.needs-nccl": ["--gpus", "2xL4", "--tp", "2", "--no-nccl"],
    "devices.none": ["--gpus", "2xL4", "--devices", "cuda:-1"],
    "devices.form": ["--gpus", "2xL4", "--devices", "cuda:x"],
    "devices.unknown": ["--gpus", "2xL4", "--devices", "cuda:0,2"],
    "devices.twice": ["--gpus", "2xL4", "--devices", "cuda:1,1"],
    "map.device-of-cluster": ["--gpus", "2xL4", "--device-layers", "0:2;2:2"],
    "world.power-of-two": ["--tp", "2", "--pp", "3"],
}


class Rules(unittest.TestCase):
    def rules(self):
        return json.loads(plan_tools.checked([self.tools.plan, "rules", "--json"]))

    def test_text_and_json_have_the_same_rules(self):
        text = plan_tools.checked([self.tools.plan, "rules"])
        rules = self.rules()
        self.assertGreater(len(rules), 20)
        for rule in rules:
            self.assertEqual(set(rule), {"id", "severity", "formula", "source", "remedy", "message"})
            self.assertIn(f"{rule['id']} ({rule['severity']})\n  holds    {rule['formula']}\n", text)
        self.assertEqual(len({rule["id"] for rule in rules}), len(rules))

    def test_rules_of_options_and_memory_can_fire(self):
        messages = {rule["id"]: rule["message"] for rule in self.rules()}
        for rule, options in BROKEN.items():
            with self.subTest(rule):
                done = plan_tools.run([self.tools.plan, "build", plan_tools.MINI, "--dry-run", *options])
                self.assertNotEqual(done.returncode, 0)
                words = max(messages[rule].split("{}"), key=len)
                if rule != "memory.range":  # the command line knows that range, too, and comes first
                    self.assertIn(words, done.stderr)
        self.assertIn("limits.max-seqs", messages)


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Rules], plan_tools.Tools(arguments.bin))
