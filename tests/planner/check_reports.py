"""What `mrs-plan check` finds under the paths it is given, and how it says it: text, SARIF, JUnit, exit codes.

Run by check_cases.py.
"""

import json
import os
import pty
import subprocess
import xml.etree.ElementTree

from check_case import OTHER, Case, ring_text


class Paths(Case):
    KINDS = "is none of: model folder, config.json of a model, plan, cluster file, RING_CONFIG"

    def test_unreadable(self):
        self.write("r.json", ring_text(0, 2, right_ip=OTHER))
        self.finds(
            [
                ("check.unreadable", "absent.json", "cannot be opened: No such file or directory"),
                (
                    "ring.alone",
                    "r.json:8:17",
                    "checked in itself only: rank 1 of 2 is not given; name all files of the ring, or their folder",
                ),
            ],
            "absent.json",
            "r.json",
            code=2,
        )

    def test_unknown_kind(self):
        self.write("d/notes.txt", "port, rank and world_size\n")
        self.write("d/package.json", '{"name": "x", "port": 1, "rank": 2}')
        self.write("d/notes.py", 'RING = {"master_port": 1, "rank": 2}')
        self.finds([("check.unknown-kind", "d/notes.txt", self.KINDS)], "d/notes.txt", code=2)
        message = "holds nothing that is checked: no model folder, plan, cluster file or RING_CONFIG"
        self.finds([("check.unknown-kind", "d", message)], "d", code=2)

    def test_too_deep(self):
        deep = "/".join(["d"] * 26)
        self.write(f"{deep}/r.json", ring_text(0, 2))
        place = "/".join(["d"] * 25)
        self.finds([("check.too-much", place, "lies deeper than 24 folders; name it itself")], ".", code=2)

    def test_walks_pass_over_what_they_do_not_know(self):
        for rank in range(2):
            self.write(f"a/ring.{rank}", ring_text(rank, 2))
        self.write("a/.git/config.json", '{"hidden_size": 1}')
        self.write("a/b.yaml", "services: 1\n")
        os.symlink("a", os.path.join(self.folder, "link"))
        os.mkfifo(os.path.join(self.folder, "a/fifo"))
        report = self.report("--verbose", ".")
        self.assertEqual(
            report["passed_over"],
            [
                {"path": "a/.git", "why": "its name begins with a dot"},
                {"path": "a/b.yaml", "why": self.KINDS},
                {"path": "a/fifo", "why": "is no regular file"},
                {"path": "link", "why": "is a link to a folder"},
            ],
        )
        self.assertEqual([one["path"] for one in report["checked"]], ["a/ring.0", "a/ring.1"])
        self.assertEqual(report["exit_code"], 0)

    def test_usage(self):
        for arguments in ([], ["--format", "xml", "."], ["--fail-on", "note", "."], [""]):
            done = self.check(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertTrue(done.stderr.startswith("mrs-plan: "), done.stderr)


class Writers(Case):
    def setUp(self):
        super().setUp()
        self.write("r/ring_0.json", ring_text(0, 2, right_port=9003))
        self.write("r/ring_1.json", ring_text(1, 2))

    TEXT = (
        "r/ring_0.json:5:17: error: 'right_port' 9003: the right neighbour of rank 0, rank 1 (r/ring_1.json), listens on "
        "9002 [ring.not-closed]\n"
        '    5 |   "right_port": 9003,\n'
        "      |                 ^~~~\n"
        "r/ring_1.json:4:11: note: rank 1 listens here\n"
        "r/ring_0.json:5:17: fix: write 9002\n"
        "checked 2 RING_CONFIG files: 1 error\n"
    )

    def test_text(self):
        done = self.check("r")
        self.assertEqual((done.returncode, done.stderr, done.stdout), (1, "", self.TEXT))
        self.write("r/ring_0.json", ring_text(0, 2))
        done = self.check("r", "--verbose")
        self.assertEqual(
            done.stdout,
            "checked: ring r/ring_0.json\nchecked: ring r/ring_1.json\nchecked 2 RING_CONFIG files: nothing is wrong\n",
        )

    def test_a_report_that_cannot_be_written_is_no_answer(self):
        for ring in (ring_text(0, 2), ring_text(0, 2, right_port=9003)):
            self.write("r/ring_0.json", ring)
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([self.tools.plan, "check", "r"], cwd=self.folder, stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"No space left on device", done.stderr)

    def on_terminal(self, **environment):
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [self.tools.plan, "check", "r"],
            cwd=self.folder,
            stdout=child,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
        )
        os.close(child)
        shown = b""
        try:
            while part := os.read(parent, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        os.close(parent)
        self.assertEqual(process.wait(timeout=60), 1)
        return shown.decode().replace("\r\n", "\n")

    def test_colour(self):
        shown = self.on_terminal()
        self.assertIn("\033[1mr/ring_0.json:5:17\033[0m: \033[1;31merror:\033[0m 'right_port' 9003", shown)
        for code in ("1", "1;31", "1;32", "1;36", "0"):
            shown = shown.replace(f"\033[{code}m", "")
        self.assertEqual(shown, self.TEXT)
        self.assertEqual(self.on_terminal(NO_COLOR="1"), self.TEXT)
        self.assertEqual(self.on_terminal(TERM="dumb"), self.TEXT)

    def test_nothing_of_a_file_reaches_the_terminal_raw(self):
        name = "r/\033[31m\u00e4.json"
        self.write(name, ring_text(1, 2).replace("9000", "9000,\n\"\033]0;x\": 1"))
        done = self.check("r")
        self.assertNotIn("\033", done.stdout)
        self.assertIn("r/\\x1b[31m\u00e4.json", done.stdout)

    def test_sarif(self):
        done = self.check("--format", "sarif", "r")
        log = json.loads(done.stdout)
        self.assertEqual((done.returncode, log["version"]), (1, "2.1.0"))
        run = log["runs"][0]
        result = run["results"][0]
        self.assertEqual(run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"], "ring.not-closed")
        self.assertEqual(
            result["locations"],
            [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": "r/ring_0.json"},
                        "region": {"startLine": 5, "startColumn": 17, "endLine": 5, "endColumn": 21},
                    }
                }
            ],
        )
        change = result["fixes"][0]["artifactChanges"][0]
        self.assertEqual(change["replacements"][0]["insertedContent"], {"text": "9002"})
        self.assertEqual(run["invocations"], [{"executionSuccessful": True, "exitCode": 1}])

    def test_sarif_names_files_by_uri(self):
        self.write("a b/\u00e4%:.json", ring_text(0, 2, right_ip="x y"))
        run = json.loads(self.check("--format", "sarif", "a b").stdout)["runs"][0]
        uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
        self.assertEqual(uris, {"a%20b/%C3%A4%25%3A.json"})

    def test_junit(self):
        self.write("s/a&b_0.json", ring_text(0, 2))
        self.write("s/a&b_1.json", ring_text(1, 2))
        done = self.check("--format", "junit", "r", "s", "absent")
        self.assertEqual(done.returncode, 2)
        root = xml.etree.ElementTree.fromstring(done.stdout)
        self.assertEqual((root.tag, root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]), ("testsuites", "5", "1", "1"))
        cases = [
            (one.attrib["classname"], one.attrib["name"], [part.tag for part in one]) for one in root.iter("testcase")
        ]
        self.assertEqual(
            cases,
            [
                ("check.unreadable", "absent", ["error"]),
                ("ring.not-closed", "r/ring_0.json:5:17", ["failure"]),
                ("ring", "r/ring_1.json", []),
                ("ring", "s/a&b_0.json", []),
                ("ring", "s/a&b_1.json", []),
            ],
        )
        failure = root.find(".//failure")
        self.assertEqual(failure.attrib["type"], "ring.not-closed")
        self.assertIn("r/ring_1.json:4:11: note: rank 1 listens here\n", failure.text)
