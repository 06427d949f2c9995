"""Digests of weights in a plan: each is that of the bytes which its slice has in the file, by hashlib and by slices that
are cut here; ranks, and mrs-plan verify, refuse other bytes by tensor and slice.

tests/planner/hash_weights.py --bin build/cli
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import unittest

import plan_tools

MIB = 1 << 20
SPLIT_ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "embed_tokens", "lm_head")
SPLIT_COLUMNS = ("o_proj", "down_proj")


def tensors_of(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (entry["shape"], data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]])
        for name, entry in header.items()
    }


def digest_of_slice(rows):
    """Of a list of rows, in pieces of about a MiB."""
    size = max(1, MIB // max(1, len(rows[0]) if rows else 1) // 16) * 16
    pieces = [hashlib.sha256(b"".join(rows[i : i + size])).digest() for i in range(0, len(rows), size)]
    return hashlib.sha256(b"".join(pieces)).digest()


def expected(tensor, name, tp, padded_vocab):
    shape, data = tensor
    count = shape[0]
    width = len(data) // count
    rows = [data[i * width : (i + 1) * width] for i in range(count)]
    if any(part in name for part in SPLIT_ROWS):
        size = padded_vocab // tp if "embed" in name or "lm_head" in name else count // tp
        return [digest_of_slice(rows[c * size : (c + 1) * size]) for c in range(tp)]
    if any(part in name for part in SPLIT_COLUMNS):
        size = width // tp
        return [digest_of_slice([row[c * size : (c + 1) * size] for row in rows]) for c in range(tp)]
    return [digest_of_slice(rows)]


class HashWeights(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_hash_weights_")
        self.model = os.path.join(self.folder, "model")
        shutil.copytree(plan_tools.MINI, self.model)
        self.weights = os.path.join(self.model, "model.safetensors")
        self.out = os.path.join(self.folder, "x.mrsplan")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def build(self, *options):
        done = plan_tools.run([self.tools.plan, "build", self.model, "--memory", "1GiB", *options, "-o", self.out])
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(plan_tools.checked([self.tools.plan, "inspect", self.out, "--json"])), done

    def flip(self, name, at):
        """A bit of a tensor's byte."""
        with open(self.weights, "r+b") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(length))[name]
            file.seek(8 + length + entry["data_offsets"][0] + at)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 4]))

    def answer(self, *options, model=None):
        return plan_tools.run(
            [self.tools.exec, "--plan", self.out, "--model", model or self.model, "--prompt", "Once", "--max-tokens", "3"]
            + ["--temperature", "0", *options]
        )

    def test_they_are_of_the_bytes_that_ranks_read(self):
        tensors = tensors_of(self.weights)
        for options in (("--tp", "1"), ("--tp", "2"), ("--tp", "4"), ("--tp", "2", "--pp", "2")):
            with self.subTest(options):
                plan, _ = self.build(*options, "--hash-weights", "sha256")
                self.assertEqual(plan["digest_kind"], "sha256")
                for stage in plan["stages"]:
                    wanted = b""
                    for source in stage["sources"]:
                        name = plan["names"][source["name"]]
                        parts = expected(tensors[name], name, plan["tp"], plan["model"]["vocab_padded"])
                        wanted += b"".join(parts)
                    said = stage["digests"]
                    self.assertEqual(bytes.fromhex(said) if isinstance(said, str) else bytes(said), wanted)

    def test_of_either_kind_and_only_when_asked_for(self):
        plan, done = self.build("--tp", "2")
        self.assertEqual(plan["digest_kind"], "none")
        self.assertFalse(plan["stages"][0]["digests"])
        self.assertIn("weights       not checked but for their headers", self.answer().stderr)
        self.assertNotIn("hashing", done.stderr)
        plan, done = self.build("--tp", "2", "--hash-weights", "xxh3")
        self.assertEqual(plan["digest_kind"], "xxh3_128")
        self.assertRegex(done.stderr, r"hashing +6\.4\d MiB in [0-9.]+ s, [0-9.]+ [KMGT]iB/s\n")
        self.assertIn("\ndigests of weights: XXH3-128\n", plan_tools.checked([self.tools.plan, "inspect", self.out]))
        answer = self.answer()
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("weights       held against the plan's XXH3-128 digests as they are read\n", answer.stderr)
        self.assertIn(
            "weights, byte for byte\n",
            plan_tools.checked([self.tools.plan, "verify", self.out, "--model", self.model, "--hash-weights"]),
        )

    def test_another_byte_is_refused_by_tensor_and_slice(self):
        name = "model.layers.2.mlp.down_proj.weight"
        for kind, shown in (("xxh3", "XXH3-128"), ("sha256", "SHA-256")):
            self.build("--tp", "2", "--hash-weights", kind)
            self.flip(name, 2 * 256 + 1)  # column 256 of row 0, of 512: the second rank's first
            with self.subTest(kind):
                done = self.answer()
                self.assertEqual((done.returncode, done.stdout.strip()), (1, ""))
                self.assertIn(
                    f"rank 1 failed while loading weights: {self.model}/model.safetensors: tensor {name}, slice 1 of 2: "
                    f"its bytes are not those that the plan was made from ({shown} ",
                    done.stderr,
                )
                done = plan_tools.run([self.tools.plan, "verify", self.out, "--model", self.model, "--hash-weights"])
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"tensor {name}, slice 1 of 2: its bytes are not those", done.stderr)
                # Headers alone are as they were.
                plan_tools.checked([self.tools.plan, "verify", self.out, "--model", self.model])
            self.flip(name, 2 * 256 + 1)

    def test_without_digests_copies_that_differ_are_told_by_what_ranks_share(self):
        for tp, name, slices, ranks in (
            (2, "model.layers.2.input_layernorm.weight", "0 of 1", "0 and 1"),
            (8, "model.norm.weight", "0 of 1", "0 and 5"),
            (8, "model.layers.1.self_attn.k_proj.weight", "2 of 4", "4 and 5"),  # four KV heads on eight ranks
        ):
            plan, _ = self.build("--tp", str(tp))
            copies = os.path.join(self.folder, f"copies-{tp}-{slices[0]}")
            bad = int(ranks[-1])
            for rank in range(tp):
                shutil.copytree(self.model, os.path.join(copies, str(rank)))
            self.weights = os.path.join(copies, str(bad), "model.safetensors")
            self.flip(name, 2 * 32 * 256 * 2 + 1 if "k_proj" in name else 3)
            for transport in ("local", "shm"):
                with self.subTest(name=name, transport=transport):
                    done = self.answer("--transport", transport, model=os.path.join(copies, "{rank}"))
                    self.assertEqual((done.returncode, done.stdout.strip()), (1, ""), done.stderr)
                    self.assertRegex(
                        done.stderr,
                        f"while loading weights: model.safetensors: tensor {name}, slice {slices}: ranks {ranks} read "
                        "different bytes \\(XXH3-128 [0-9a-f]{32} and [0-9a-f]{32}\\); their copies of the model differ: ",
                    )
            self.flip(name, 2 * 32 * 256 * 2 + 1 if "k_proj" in name else 3)
            done = self.answer(model=os.path.join(copies, "{rank}"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(
                done.stderr,
                "weights       not checked but for their headers, and what several ranks read \\([0-9.]+ [KM]iB of [0-9.]+ "
                "MiB\\) for being the same: the plan has no digests of them ",
            )

    def test_what_cannot_be_hashed_leaves_no_plan(self):
        done = plan_tools.run([self.tools.plan, "build", self.model, "--hash-weights", "md5", "-o", self.out])
        self.assertEqual(done.returncode, 2)
        self.assertIn("--hash-weights: expected one of xxh3, sha256", done.stderr.replace(" md5", ""))
        for other in (("--dry-run",), ("--ir-out", os.path.join(self.folder, "graph.mlir"))):
            done = plan_tools.run([self.tools.plan, "build", self.model, "--hash-weights", "xxh3", *other])
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"build: --hash-weights is for a plan, and {other[0]} writes none; one of the two\n", done.stderr)
        self.build("--tp", "2")
        done = plan_tools.run([self.tools.plan, "verify", self.out, "--hash-weights"])
        self.assertEqual(done.returncode, 2)
        self.assertIn("verify: --hash-weights: of which folder? Say it with --model DIR\n", done.stderr)
        done = plan_tools.run([self.tools.plan, "verify", self.out, "--model", self.model, "--hash-weights"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("the plan has no digests of its weights; mrs-plan build --hash-weights xxh3 records them", done.stderr)
        os.remove(self.out)
        os.truncate(self.weights, os.path.getsize(self.weights) - 1)
        done = plan_tools.run([self.tools.plan, "build", self.model, "--hash-weights", "xxh3", "-o", self.out])
        self.assertEqual(done.returncode, 1)
        self.assertFalse(os.path.exists(self.out))


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([HashWeights], plan_tools.Tools(arguments.bin))
