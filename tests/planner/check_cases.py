"""mrs-plan check: every diagnostic with its exact message and place, the writers, exit codes, and what is recognised.

tests/planner/check_cases.py --bin build/cli
"""

import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import plan_tools

SHAPE = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}
MASTER, OTHER = "10.0.0.1", "10.0.0.2"
SEEN = set()  # ids that a case named with message and place


def sealed(body):
    """A plan's body with the SHA-256 that closes it."""
    return body + hashlib.sha256(body).digest()


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


class Rings(Case):
    def ring(self, world, **of_rank):
        """Files ring/ring_R.json of a sound ring, but for what `of_rank` says: r1={"port": 1}."""
        for rank in range(world):
            self.write(f"ring/ring_{rank}.json", ring_text(rank, world, **of_rank.get(f"r{rank}", {})))

    def two_hosts(self, **of_rank):
        """Two ranks on two hosts, both with the same ports."""
        here = {"port": 9001, "right_port": 9001}
        self.ring(
            2,
            r0={**here, "right_ip": OTHER, **of_rank.get("r0", {})},
            r1={**here, "right_ip": MASTER, **of_rank.get("r1", {})},
        )

    def alone(self, text, expected, code=1):
        self.write("ring.json", text)
        return self.finds([(one[0], f"ring.json:{one[1]}", one[2]) for one in expected], "ring.json", code=code)

    LONE = ("ring.alone", "8:17", "checked in itself only: rank 1 of 2 is not given; name all files of the ring, or their folder")

    def test_sound_rings_are_quiet(self):
        self.ring(2)
        self.finds([], "ring", code=0)
        self.finds([], "ring/ring_1.json", "ring/ring_0.json", code=0)
        self.two_hosts()
        self.finds([], "ring", code=0)

    def test_the_samples_of_mistral_rs_are_quiet(self):
        # https://github.com/EricLBuehler/mistral.rs/tree/9e922623f24b/ring_configs
        for rank, port, right in ((0, 12345, 12346), (1, 12346, 12345)):
            text = ring_text(rank, 2, master_ip="0.0.0.0", master_port=1234, port=port, right_port=right)
            self.write(f"ring_configs/ring_{rank}.json", text)
        self.finds([], "ring_configs", code=0)

    def test_two_ranks_on_each_of_two_hosts(self):
        self.ring(
            4,
            r0={"port": 9001, "right_port": 9002},
            r1={"port": 9002, "right_port": 9001, "right_ip": OTHER},
            r2={"port": 9001, "right_port": 9002},
            r3={"port": 9002, "right_port": 9001, "right_ip": MASTER},
        )
        self.finds(
            [
                (
                    "ring.partial-sums",
                    "ring/ring_0.json:7:17",
                    "'world_size' 4: mistral.rs (as of 9e922623f24b) adds the left neighbour's part alone in an "
                    "all-reduce, so sums over more than 2 ranks lack parts; use 2 ranks, or NCCL",
                )
            ],
            "ring",
            code=0,
        )

    def test_syntax(self):
        self.alone(
            ring_text(0, 2).replace("2\n}", "2,\n}"),
            [("ring.syntax", "8:1", "syntax error while parsing object key - unexpected '}'; expected string literal")],
        )

    def test_a_file_alone_is_noted(self):
        self.alone(ring_text(0, 2, right_ip=OTHER), [self.LONE], code=0)

    def test_fields(self):
        self.alone(
            ring_text(0, 2, port=70000, rank=-1, master_port=None),
            [
                (
                    "ring.field",
                    "1:1",
                    "'master_port' is missing; expected a whole number from 1 to 65535: on which rank 0 hands requests to "
                    "the others",
                ),
                ("ring.field", "3:11", "'port': expected a whole number from 1 to 65535, got 70000"),
                ("ring.field", "5:11", "'rank': expected a whole number from 0 to 65535, got -1"),
            ],
        )

    def test_addresses(self):
        found = self.alone(
            ring_text(0, 2, master_ip="fe80::1", right_ip="10.0.0.2:9002"),
            [
                (
                    "ring.address",
                    "2:16",
                    "'master_ip': \"fe80::1\" is an IPv6 address, which stands in brackets before a port: [fe80::1]",
                ),
                ("ring.address", "6:15", "'right_ip': \"10.0.0.2:9002\" has a port in it; the ports are fields of their own"),
            ],
        )
        self.assertEqual(found[0]["fixes"][0]["replacement"], '"[fe80::1]"')

    def test_unknown_key(self):
        found = self.alone(
            ring_text(0, 2, right_ip=OTHER).replace("right_ip", "righ_ip"),
            [
                (
                    "ring.unknown-key",
                    "6:3",
                    "\"righ_ip\" is no key of RING_CONFIG, so mistral.rs passes over it; did you mean 'right_ip'?",
                ),
                self.LONE,
            ],
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([("ring.alone", "ring.json:8:17", self.LONE[2])], "ring.json", code=0)

    def test_world_that_is_no_power_of_two(self):
        message = "'world_size' 3 is no power of two, as the ring backend needs it; the nearest are 2 and 4"
        self.ring(3)
        self.finds(
            [("ring.world-size", f"ring/ring_{rank}.json:7:17", message) for rank in range(3)]
            + [
                (
                    "ring.partial-sums",
                    "ring/ring_0.json:7:17",
                    "'world_size' 3: mistral.rs (as of 9e922623f24b) adds the left neighbour's part alone in an "
                    "all-reduce, so sums over more than 2 ranks lack parts; use 2 ranks, or NCCL",
                )
            ],
            "ring",
        )

    def test_world_of_one(self):
        self.alone(
            ring_text(0, 1, right_ip=OTHER), [("ring.world-size", "8:17", "'world_size' 1: a ring has at least 2 ranks")]
        )

    def test_rank_past_the_world(self):
        self.ring(2, r1={"rank": 2})
        self.finds(
            [
                ("ring.rank-range", "ring/ring_1.json:6:11", "'rank' 2: the ranks of a world of 2 are 0 to 1"),
                ("ring.rank-missing", "ring/ring_0.json:7:17", "no file has rank 1 of 'world_size' 2"),
            ],
            "ring",
        )

    def test_master_ip_is_missing(self):
        self.ring(2, r0={"master_ip": None}, r1={"master_ip": None})
        self.finds(
            [
                (
                    "ring.master-ip",
                    "ring/ring_1.json:5:11",
                    "'master_ip' is missing: rank 1 is not the master, and must say where rank 0 is",
                )
            ],
            "ring",
        )

    def test_own_neighbour(self):
        self.ring(2, r1={"right_port": 9002})
        self.finds(
            [
                (
                    "ring.own-neighbour",
                    "ring/ring_1.json:5:17",
                    "'right_port' 9002 is this rank's own 'port', on this host: it would be its own right neighbour",
                )
            ],
            "ring",
        )

    def test_port_of_the_master_itself(self):
        self.ring(2, r0={"port": 9000}, r1={"right_port": 9000})
        self.finds(
            [
                (
                    "ring.port-clash",
                    "ring/ring_0.json:4:11",
                    "'port' 9000 is 'master_port', too; rank 0 listens on both, so they must differ",
                )
            ],
            "ring",
        )

    def test_port_clash_on_one_host(self):
        self.ring(4, r0={"right_port": 9003}, r1={"port": 9003, "right_ip": MASTER}, r3={"right_ip": MASTER})
        found = self.finds(
            [
                (
                    "ring.port-clash",
                    "ring/ring_2.json:4:11",
                    "'port' 9003: rank 1 (ring/ring_1.json) listens there, too, and both are on one host",
                ),
                (
                    "ring.partial-sums",
                    "ring/ring_0.json:7:17",
                    "'world_size' 4: mistral.rs (as of 9e922623f24b) adds the left neighbour's part alone in an "
                    "all-reduce, so sums over more than 2 ranks lack parts; use 2 ranks, or NCCL",
                ),
            ],
            "ring",
        )
        self.assertEqual([self.place(note) for note in found[0]["notes"]], ["ring/ring_1.json:4:11"])

    def test_port_clash_with_the_master_on_its_host(self):
        self.ring(2, r0={"right_port": 9000, "right_ip": MASTER}, r1={"port": 9000, "right_ip": MASTER})
        self.finds(
            [
                (
                    "ring.port-clash",
                    "ring/ring_1.json:4:11",
                    "'port' 9000: rank 0 (ring/ring_0.json) listens there, too (as the master), and both are on one host",
                )
            ],
            "ring",
        )

    def test_the_same_ports_on_two_hosts_do_not_clash(self):
        self.two_hosts(r1={"port": 9000}, r0={"right_port": 9000})
        self.finds([], "ring", code=0)

    def test_worlds_differ(self):
        self.ring(2, r1={"world_size": 4})
        found = self.finds(
            [
                ("ring.world-mismatch", "ring/ring_1.json:7:17", "'world_size' 4, but rank 0 (ring/ring_0.json) says 2"),
            ],
            "ring",
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_a_rank_twice_and_one_missing(self):
        self.ring(2, r1={"rank": 0})
        found = self.finds(
            [
                ("ring.rank-twice", "ring/ring_1.json:6:11", "'rank' 0 is that of ring/ring_0.json, too"),
                ("ring.rank-missing", "ring/ring_0.json:7:17", "no file has rank 1 of 'world_size' 2"),
            ],
            "ring",
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_gap_in_the_ranks(self):
        self.ring(4)
        os.remove(os.path.join(self.folder, "ring/ring_2.json"))
        found = self.report("ring")["diagnostics"]
        self.assertEqual(
            (found[0]["id"], self.place(found[0]), found[0]["message"]),
            ("ring.rank-missing", "ring/ring_0.json:7:17", "no file has rank 2 of 'world_size' 4"),
        )

    def test_no_master(self):
        self.ring(2)
        os.remove(os.path.join(self.folder, "ring/ring_0.json"))
        self.finds(
            [
                (
                    "ring.rank-missing",
                    "ring/ring_1.json:7:17",
                    "no file has rank 0 of 'world_size' 2; rank 0 is the master, which all others need",
                )
            ],
            "ring",
        )

    def test_not_closed(self):
        self.ring(2, r1={"right_port": 9003})
        found = self.finds(
            [
                (
                    "ring.not-closed",
                    "ring/ring_1.json:5:17",
                    "'right_port' 9003: the right neighbour of rank 1, rank 0 (ring/ring_0.json), listens on 9001",
                )
            ],
            "ring",
        )
        self.assertEqual(self.place(found[0]["notes"][0]), "ring/ring_0.json:4:11")
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_closed_in_the_wrong_order(self):
        self.ring(4, r0={"right_port": 9003}, r2={"right_port": 9002}, r1={"right_port": 9004})
        found = self.report("ring")["diagnostics"]
        self.assertEqual(
            [(one["id"], self.place(one), one["message"]) for one in found[:3]],
            [
                (
                    "ring.not-closed",
                    "ring/ring_0.json:5:17",
                    "'right_port' 9003: the right neighbour of rank 0, rank 1 (ring/ring_1.json), listens on 9002; rank 2 "
                    "has that port",
                ),
                (
                    "ring.not-closed",
                    "ring/ring_1.json:5:17",
                    "'right_port' 9004: the right neighbour of rank 1, rank 2 (ring/ring_2.json), listens on 9003; rank 3 "
                    "has that port",
                ),
                (
                    "ring.not-closed",
                    "ring/ring_2.json:5:17",
                    "'right_port' 9002: the right neighbour of rank 2, rank 3 (ring/ring_3.json), listens on 9004; rank 1 "
                    "has that port",
                ),
            ],
        )
        self.assertEqual(self.apply_fixes(found), 3)
        self.assertEqual(self.report("ring")["errors"], 0)

    def test_right_ip_left_out_between_hosts(self):
        self.two_hosts(r0={"port": 9002}, r1={"right_ip": None, "right_port": 9002})
        found = self.finds(
            [
                (
                    "ring.wrong-host",
                    "ring/ring_1.json:5:17",
                    "'right_ip', left out, is this host, at \"10.0.0.2\"; the right neighbour, rank 0, is at \"10.0.0.1\"",
                )
            ],
            "ring",
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_master_ip_of_another_host_is_this_one(self):
        self.two_hosts(r1={"master_ip": "0.0.0.0"})
        found = self.finds(
            [
                (
                    "ring.wrong-host",
                    "ring/ring_1.json:2:16",
                    "'master_ip' \"0.0.0.0\" is this host, at \"10.0.0.2\"; the master, rank 0, is at \"10.0.0.1\"",
                )
            ],
            "ring",
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_master_ports_differ(self):
        self.ring(2, r1={"master_port": 9100})
        found = self.finds(
            [
                (
                    "ring.master-port",
                    "ring/ring_1.json:3:18",
                    "'master_port' 9100, but rank 0 (ring/ring_0.json) listens on 9000",
                )
            ],
            "ring",
        )
        self.assertEqual(self.apply_fixes(found), 1)
        self.finds([], "ring", code=0)

    def test_master_addresses_differ(self):
        self.two_hosts(r1={"right_ip": "10.0.0.7"})
        found = self.finds(
            [
                (
                    "ring.address-mismatch",
                    "ring/ring_1.json:6:15",
                    "'right_ip' \"10.0.0.7\" is where rank 0 is to be, but 'master_ip' of rank 0 (ring/ring_0.json) is "
                    '"10.0.0.1"',
                )
            ],
            "ring",
        )
        self.finds([(one["id"], self.place(one), one["message"]) for one in found], "--fail-on", "error", "ring", code=0)

    def test_a_name_and_a_number_may_be_one_host(self):
        self.two_hosts(r1={"right_ip": "head.example"})
        self.finds([], "ring", code=0)

    def test_which_files_are_one_ring(self):
        for rank in range(2):
            self.write(f"flat/prod_{rank}.json", ring_text(rank, 2))
            self.write(f"flat/test_{rank}.json", ring_text(rank, 2))
            self.write(f"nested/node-{rank}/ring.json", ring_text(rank, 2))
        self.finds([], ".", code=0)
        self.write("nested/node-1/ring.json", ring_text(1, 2, right_port=1))
        self.assertEqual([one["id"] for one in self.report(".")["diagnostics"]], ["ring.not-closed"])


class Models(Case):
    def setUp(self):
        super().setUp()
        self.config = plan_tools.llama_config(SHAPE)
        self.tensors = plan_tools.llama_tensors(SHAPE)
        os.mkdir(os.path.join(self.folder, "m"))
        self.weights()
        self.write_config()

    def weights(self):
        plan_tools.write_sparse(os.path.join(self.folder, "m/model.safetensors"), *plan_tools.header(self.tensors))

    def write_config(self, **fields):
        self.config.update(fields)
        self.write("m/config.json", json.dumps(self.config, indent=2))

    def test_a_sound_folder_is_quiet(self):
        self.finds([], "m", code=0)
        self.finds([], "m/config.json", code=0)
        self.finds([], "--verbose", ".", "m", code=0)

    def test_syntax(self):
        self.write("m/config.json", '{"architectures": ["LlamaForCausalLM"],\n  "hidden_size": 64,\n}')
        message = "syntax error while parsing object key - unexpected '}'; expected string literal"
        self.finds([("model.syntax", "m/config.json:3:1", message)], "m")

    def test_every_file_is_told_of(self):
        self.write_config(hidden_size="many")
        self.write("m/generation_config.json", '{"temperature": \n')
        self.write("m/tokenizer.json", "[]")
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.write("m/model.safetensors.index.json", '{\n "weight_map": 7}')
        report = self.report("m")
        self.assertEqual(
            [(one["id"], self.place(one)) for one in report["diagnostics"]],
            [
                ("model.config", "m/config.json:14:3"),
                ("model.tokenizer", "m/tokenizer.json:1:1"),
                ("model.syntax", "m/generation_config.json:2:1"),
                ("model.weights", "m/model.safetensors.index.json:2:2"),
            ],
        )

    def test_architecture(self):
        self.write_config(architectures=["MixtralForCausalLM"])
        found = self.report("m")["diagnostics"]
        self.assertEqual(len(found), 1)
        start = 'architecture "MixtralForCausalLM" is not supported yet; supported: '
        self.assertEqual(found[0]["message"][: len(start)], start)
        supported = found[0]["message"][len(start) :]
        self.assertIn("LlamaForCausalLM", supported.split(", "))
        self.finds([("model.architecture", "m/config.json:2:3", start + supported)], "m")

    def test_unsupported(self):
        self.write_config(quantization_config={"quant_method": "fp8"})
        self.finds(
            [
                (
                    "model.unsupported",
                    "m/config.json:21:5",
                    "'quantization_config' (quant_method \"fp8\"): quantized checkpoints are not supported yet; give one in bf16, "
                    "f16 or f32",
                )
            ],
            "m",
        )

    def test_config(self):
        self.write_config(num_key_value_heads=3)
        self.finds(
            [("model.config", "m/config.json:16:3", "num_attention_heads 4 does not divide by num_key_value_heads 3")], "m"
        )

    def test_nested_key(self):
        self.write_config(rope_scaling={"rope_type": "linear", "factor": "two"})
        self.finds(
            [("model.config", "m/config.json:22:5", "rope_scaling: 'factor': expected a number, got \"two\"")],
            "m/config.json",
        )

    def test_generation(self):
        self.write("m/generation_config.json", '{\n  "eos_token_id": 2,\n  "top_p": 2\n}')
        self.finds(
            [("model.generation", "m/generation_config.json:3:3", "'top_p': expected a number from 0 to 1, got 2")], "m"
        )

    def test_tokenizer(self):
        self.write("m/tokenizer.json", '{"version": "1.0",\n "model": {"type": "Unheard"}}')
        self.finds([("model.tokenizer", "m/tokenizer.json:2:12", "model type 'Unheard' is not supported; supported: BPE")], "m")

    def test_text(self):
        self.write("m/tokenizer_config.json", '{\n "chat_template": "{% if %}"}')
        self.finds([("model.text", "m/tokenizer_config.json:2:2", "chat template: line 1: expected an expression, got '%}'")], "m")

    def test_weights(self):
        self.write("m/model.safetensors", b"short")
        self.finds(
            [
                (
                    "model.weights",
                    "m/model.safetensors",
                    "5 bytes, but a safetensors file starts with an 8-byte header length; download it again",
                )
            ],
            "m",
        )

    def test_no_weights(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.finds(
            [
                (
                    "model.weights",
                    "m",
                    "has neither model.safetensors nor model.safetensors.index.json; give the folder of a Hugging Face "
                    "checkpoint in safetensors format",
                )
            ],
            "m",
        )

    def test_no_weights_on_a_walk(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        message = "no weights are here, so tensors were not checked; name the folder to miss them"
        self.finds([("model.no-weights", "m", message)], ".", code=0)

    def test_an_index_alone(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        index = {"weight_map": {name: "a.safetensors" for name, _ in self.tensors}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        note = "no weights are here, so tensors were checked by the index alone; name the folder to miss them"
        self.finds([("model.no-weights", "m", note)], ".", code=0)
        lacks = (
            "lacks a.safetensors, which model.safetensors.index.json names (1 of its 1 files are missing); download "
            "what is missing"
        )
        self.finds([("model.weights", "m", lacks)], "m")
        index["weight_map"]["model.norm.scales"] = "a.safetensors"
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        message = (
            "tensor 'model.norm.scales' is kept beside quantized weights; quantized checkpoints are not supported yet; "
            "give one in bf16, f16 or f32"
        )
        place = f"m/model.safetensors.index.json:{3 + len(self.tensors)}:3"
        self.finds([("model.no-weights", "m", note), ("model.tensors", place, message)], ".")
        self.finds([("model.weights", "m", lacks), ("model.tensors", place, message)], "m")

    def test_how_weights_are_quantized_stands_beside(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        self.write("m/hf_quant_config.json", "{}")
        note = "no weights are here, so tensors were not checked; name the folder to miss them"
        message = "quantized checkpoints are not supported yet; give one in bf16, f16 or f32"
        self.finds(
            [("model.no-weights", "m", note), ("model.unsupported", "m/hf_quant_config.json:1:1", message)], "."
        )

    def test_shards_alone(self):
        os.rename(
            os.path.join(self.folder, "m/model.safetensors"),
            os.path.join(self.folder, "m/model-00001-of-00002.safetensors"),
        )
        found = self.report(".")["diagnostics"]
        self.assertEqual([(one["id"], self.place(one)) for one in found], [("model.weights", "m")])

    def test_tensors(self):
        self.tensors = [one for one in self.tensors if one[0] != "model.norm.weight"]
        self.weights()
        message = (
            "tensor 'model.norm.weight' [64] is missing (1 missing in all); it is incomplete or of another model than "
            "config.json"
        )
        self.finds([("model.tensors", "m/model.safetensors", message)], "m")

    def test_tensor_of_an_index(self):
        self.tensors = [(name, [3] if name == "model.norm.weight" else shape) for name, shape in self.tensors]
        self.weights()
        os.rename(os.path.join(self.folder, "m/model.safetensors"), os.path.join(self.folder, "m/a.safetensors"))
        index = {"weight_map": {name: "a.safetensors" for name, _ in self.tensors}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        self.finds(
            [
                (
                    "model.tensors",
                    "m/model.safetensors.index.json:13:3",
                    "tensor 'model.norm.weight' has shape [3]; config.json makes it [64]",
                )
            ],
            "m",
        )

    def test_file_of_an_index(self):
        os.remove(os.path.join(self.folder, "m/model.safetensors"))
        index = {"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "../b.safetensors"}}
        self.write("m/model.safetensors.index.json", json.dumps(index, indent=1))
        message = (
            'tensor "b": expected the plain name of a .safetensors file in the same folder, got "../b.safetensors"'
        )
        self.finds([("model.weights", "m/model.safetensors.index.json:5:3", message)], "m")

    def test_no_effect(self):
        self.write_config(use_mrope=True)
        self.finds(
            [("model.no-effect", "m/config.json:20:3", "'use_mrope' true is not used: positions are those of text")], "m"
        )
        self.assertEqual(self.check("--fail-on", "error", "m").returncode, 0)

    def test_no_end(self):
        self.write_config(eos_token_id=None)
        self.finds(
            [
                (
                    "model.no-end",
                    "m",
                    "no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token "
                    "of tokenizer_config.json): nothing ends an answer but a stop string and its length",
                )
            ],
            "m",
        )

    def test_unused_tensors(self):
        self.tensors.append(("model.extra.weight", [3]))
        self.weights()
        self.finds([("model.unused-tensors", "m/model.safetensors", 'tensor "model.extra.weight" is no part of LlamaForCausalLM; it is not used')], "m")


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
