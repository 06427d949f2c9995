"""mrs-plan check over folders that nobody means well with: each is judged, soon, and what cannot be read is told.

tests/planner/hostile_folders.py --bin build/cli
"""

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
import xml.etree.ElementTree

import plan_tools

RING = '{"master_ip": "10.0.0.1", "master_port": 9000, "port": 9001, "right_port": 9002, "rank": 5, "world_size": 2}'
CONFIG = '{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'
CLUSTER = "nodes:\n- gpus: 8xH100-SXM\n"
KINDS = "is none of: model folder, config.json of a model, plan, cluster file, RING_CONFIG"
NOTHING = "holds nothing that is checked: no model folder, plan, cluster file or RING_CONFIG"


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_hostile_")

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(os.fsencode(self.folder), os.fsencode(name))

    def write(self, name, text, size=None):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(text.encode())
            if size is not None:
                file.truncate(size)  # a hole, which takes no disk

    def check(self, *arguments, **options):
        # A test of what hangs: soon is far below the minute.
        return subprocess.run(
            [self.tools.plan, "check", *arguments], cwd=self.folder, capture_output=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL, **options
        )  # fmt: skip

    def report(self, *arguments, **options):
        done = self.check("--format", "json", "--verbose", *arguments, **options)
        self.assertEqual(done.stderr, b"")
        report = json.loads(done.stdout.decode())
        self.assertIn(done.returncode, (0, 1, 2))
        self.assertEqual(report["exit_code"], done.returncode)
        return report

    def passed_over(self, report):
        return [(one["path"], one["why"]) for one in report["passed_over"]]

    def found(self, report):
        return [(one["id"], one["file"], one["message"]) for one in report["diagnostics"]]


class Special(Case):
    """What is no file, under names of files."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("d"))
        os.symlink("self", self.path("d/a.json"))
        os.symlink("c.json", self.path("d/b.json"))
        os.symlink("b.json", self.path("d/c.json"))
        os.symlink("/nowhere/ring.json", self.path("d/d.json"))
        os.symlink("../d", self.path("d/e"))
        os.mkfifo(self.path("d/config.json"))
        os.mkfifo(self.path("d/f.mrsplan"))
        os.symlink("/dev/zero", self.path("d/g.mrsplan"))
        os.symlink("/dev/zero", self.path("d/h.yaml"))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.join(self.folder, "d/i.json"))

    def tearDown(self):
        self.socket.close()
        super().tearDown()

    def test_on_a_walk(self):
        report = self.report("d")
        self.assertEqual(
            self.passed_over(report),
            [
                ("d/a.json", "is a link to nothing, or gone by now"),
                ("d/b.json", "is a link that leads in a circle"),
                ("d/c.json", "is a link that leads in a circle"),
                ("d/config.json", "is no regular file"),
                ("d/d.json", "is a link to nothing, or gone by now"),
                ("d/e", "is a link to a folder"),
                ("d/f.mrsplan", "is no regular file"),
                ("d/g.mrsplan", "is no regular file"),
                ("d/h.yaml", "is no regular file"),
                ("d/i.json", "is no regular file"),
            ],
        )
        self.assertEqual(self.found(report), [("check.unknown-kind", "d", NOTHING)])

    def test_named(self):
        for name, why in (
            ("d/b.json", "cannot be opened: Too many levels of symbolic links; its symbolic links lead in a circle"),
            ("d/d.json", "is a symbolic link to /nowhere/ring.json, where nothing is"),
            ("d/config.json", "is a pipe, expected a file"),
            ("d/f.mrsplan", "is a pipe, expected a file"),
            ("d/g.mrsplan", "is a device, expected a file"),
            ("d/h.yaml", "is a device, expected a file"),
            ("d/i.json", "is a socket, expected a file"),
        ):
            report = self.report(name)
            self.assertEqual(self.found(report), [("check.unreadable", name, why)])
            self.assertEqual(report["exit_code"], 2)

    def test_beside_a_cluster_and_a_model(self):
        self.write("c.yaml", CLUSTER)
        for option in ("--cluster", "--model"):
            for name in ("d/config.json", "d/h.yaml", "d/i.json", "d/b.json"):
                report = self.report(option, name, "c.yaml")
                self.assertIn(report["exit_code"], (1, 2), (option, name))

    def test_a_model_folder_of_pipes(self):
        for name in ("tokenizer.json", "model.safetensors", "generation_config.json", "tokenizer_config.json"):
            os.mkfifo(self.path(f"d/{name}"))
        report = self.report("d")
        self.assertEqual(report["exit_code"], 1)
        self.assertIn(("model.config", "d/config.json", "is a pipe, expected a file"), self.found(report))


class Sizes(Case):
    HUGE = 10 << 30

    def test_ten_gigabytes(self):
        self.write("ring.json", RING, self.HUGE)
        for name, text in (
            ("ring.json", RING),
            ("c.yaml", CLUSTER),
            ("a/config.json", CONFIG),
            ("b/config.json", CONFIG),
            ("b/tokenizer.json", "{"),
            ("x.mrsplan", "\0\0\0\0MRSP"),
        ):
            self.write(name, text + " " * (70 << 10), self.HUGE)
        self.write("b/model.safetensors", "\x08\0\0\0\0\0\0\0{}      ", self.HUGE)
        self.write("data.bin", "", self.HUGE)
        report = self.report(".")
        size = f"{self.HUGE} bytes"
        self.assertEqual(self.passed_over(report), [("data.bin", KINDS)])
        self.assertEqual(
            [one for one in self.found(report) if one[0] != "model.no-weights"],
            [
                ("model.config", "a/config.json", f"{size}, at most 4194304 are accepted"),
                ("model.config", "b/config.json", f"{size}, at most 4194304 are accepted"),
                ("model.tokenizer", "b/tokenizer.json", f"{size}, at most 134217728 are accepted"),
                (
                    "model.weights",
                    "b/model.safetensors",
                    "expected 16 bytes by its header, the file has 10737418240; the last 10737418224 belong to no tensor",
                ),
                ("cluster.file", "c.yaml", f"{size}, at most 8388608 are accepted"),
                ("check.unreadable", "x.mrsplan", f"has {size}, at most 67108864 are accepted"),
                ("ring.syntax", "ring.json", f"{size}, at most 65536 are accepted"),
            ],
        )

    def test_many_files(self):
        os.mkdir(self.path("many"))
        for number in range(30_000):
            os.close(os.open(os.path.join(self.folder, "many", f"{number}.json"), os.O_CREAT | os.O_WRONLY))
        self.write("ring.json", RING)
        report = self.report(".")
        self.assertIn(
            ("check.too-much", "many", "more than 20000 entries are met by here; name the folders that matter"),
            self.found(report),
        )
        self.assertEqual(report["exit_code"], 2)

    def test_many_folders_and_faults(self):
        for number in range(1000):
            self.write(f"{number}/config.json", CONFIG)
        report = self.report(".")
        self.assertEqual(len([one for one in report["diagnostics"] if one["id"] == "model.config"]), 1000)

    def test_many_rings(self):
        for number in range(1100):
            self.write(f"r/{number}.json", RING)
        report = self.report(".")
        too_much = [one for one in self.found(report) if one[0] == "check.too-much"]
        self.assertEqual(len(too_much), 1)
        self.assertIn("the 1024 RING_CONFIG files before it are as many as are checked in one go", too_much[0][2])

    def test_paths_longer_than_the_system_takes(self):
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            for _ in range(20):  # of 250 bytes: 5000, past PATH_MAX
                os.mkdir("d" * 250)
                os.chdir("d" * 250)
            with open("ring.json", "w", encoding="ascii") as file:
                file.write(RING)
        finally:
            os.chdir(here)
        found = self.found(self.report("."))
        self.assertEqual([one[0] for one in found], ["check.unreadable"])
        self.assertTrue(found[0][2].endswith(": File name too long"), found)


class Rights(Case):
    def test_what_may_not_be_read(self):
        self.write("a/ring.json", RING)
        self.write("b/ring.json", RING)
        self.write("c.yaml", CLUSTER)
        os.chmod(self.path("a"), 0o300)  # its names cannot be read
        os.chmod(self.path("b"), 0o600)  # what they name cannot be reached
        os.chmod(self.path("c.yaml"), 0o200)
        report = self.report(".", preexec_fn=plan_tools.without_root_rights)
        self.assertEqual(
            self.found(report),
            [
                ("check.unreadable", "a", "cannot be listed: Permission denied"),
                ("check.unreadable", "b/ring.json", "cannot be looked at: Permission denied"),
                (
                    "check.unreadable",
                    "c.yaml",
                    f"cannot be opened: Permission denied; let this user (uid {os.geteuid()}) read it and search its "
                    "folders",
                ),
            ],
        )
        self.assertEqual(report["exit_code"], 2)
        for name in ("a", "b"):
            os.chmod(self.path(name), 0o700)


class Names(Case):
    NAMES = (
        b"a\nb.json",
        b"c\r\nd.json",
        b"bad\xff\xfe.json",
        b"\xc0\xaf.json",
        b"\xed\xa0\x80.json",
        "rtl\u202ex.json".encode(),
        "u\uffff.json".encode(),
        "zero\u200bwidth.json".encode(),
        b"esc\x1b[31m.json",
        b"quote'\"<&>]]>.json",
        b"%41 b#?.json",
        b"::error file=a::x.json",
        b"##[error]x.json",
        b"-x.json",
        b"tab\t.json",
        b"\x7f\x01.json",
        b"x" * 250 + b".json",
    )

    def setUp(self):
        super().setUp()
        for name in self.NAMES:
            self.write(name, RING)
            self.write(b"dir " + name[:200] + b"/config.json", CONFIG)

    def test_every_format_is_whole(self):
        formats = {}
        for form in ("text", "json", "sarif", "junit"):
            done = self.check("--format", form, ".")
            self.assertEqual((done.returncode, done.stderr), (1, b""), form)
            formats[form] = done.stdout.decode()  # UTF-8 it is
        report = json.loads(formats["json"])
        files = {one["file"] for one in report["diagnostics"]}
        self.assertEqual(len([name for name in files if "dir " not in name]), len(self.NAMES))
        uris = {
            place["physicalLocation"]["artifactLocation"]["uri"]
            for result in json.loads(formats["sarif"])["runs"][0]["results"]
            for place in result["locations"]
        }
        self.assertEqual(len([uri for uri in uris if "dir%20" not in uri]), len(self.NAMES))
        for uri in uris:
            self.assertRegex(uri, r"\A[A-Za-z0-9%./_~-]+\Z")
        for letter in xml.etree.ElementTree.fromstring(formats["junit"]).iter():
            self.assertIsNotNone(letter.tag)

    def test_text_has_lines_of_its_own(self):
        text = self.check(".").stdout.decode()
        for character in "\r\x1b\x7f\x01\u202e\u200b":
            self.assertNotIn(character, text)
        for line in text.splitlines():
            self.assertFalse(line.startswith(("::", "##", "-")), line)
            self.assertNotIn(line, ("b.json", "d.json"))
        self.assertIn("./::error file=a::x.json:1:90: error: ", text)


class Changing(Case):
    FILES = {
        "ring.json": RING,
        "c.yaml": CLUSTER,
        "config.json": CONFIG,
        "tokenizer.json": "{}",
        "model.safetensors": "\x08\0\0\0\0\0\0\0{}      ",
        "x.mrsplan": "\0\0\0\0MRSP",
    }

    def test_files_that_come_and_go(self):
        """Whatever is met while everything changes: a report, and never a crash."""
        os.mkdir(self.path("d"))
        done = threading.Event()

        def change():
            for turn in itertools.count():
                for number, (name, text) in enumerate(self.FILES.items()):
                    if done.is_set():
                        return
                    path, kind = self.path(f"d/{name}"), (turn + number) % 4
                    try:
                        if kind == 0:
                            os.truncate(path, 3)
                            continue
                        if os.path.lexists(path):  # and never written over: what is a pipe would wait for a reader
                            os.remove(path)
                        if kind == 1:
                            os.mkfifo(path)
                        else:
                            self.write(f"d/{name}", text, 1 << 20 if kind == 2 else None)
                    except OSError:
                        pass

        thread = threading.Thread(target=change, daemon=True)
        thread.start()
        try:
            for _ in range(25):
                report = self.report("d")
                self.assertIn(report["exit_code"], (0, 1, 2))
        finally:
            done.set()
            thread.join(timeout=30)


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Special, Sizes, Rights, Names, Changing], plan_tools.Tools(arguments.bin))
