"""The mistakes that users of mistral.rs are known to make, each with the whole of what mrs-plan says, and where.

tests/planner/known_mistakes.py --bin build/cli
"""

import json
import os
import shutil
import tempfile
import unittest

import plan_tools
from check_case import MASTER, OTHER, ring_text

# (mistake, options of `build --dry-run` of an 80-layer Llama, variables, what is said after "mrs-plan: ")
LAYOUTS = [
    (
        "layer sums: too few",
        ["--gpus", "2xH200", "-n", "0:40;1:39"],
        {},
        "--device-layers 0:40;1:39: its stages have 79 layers together, the model has 80; "
        "what works: --pp 2, without --device-layers",
    ),
    (
        "layer sums: too many",
        ["--gpus", "2xH200", "-n", "0:40;1:41"],
        {},
        "--device-layers 0:40;1:41: its stages have 81 layers together, the model has 80; "
        "what works: --pp 2, without --device-layers",
    ),
    (
        "ordinals: of a layer map",
        ["--gpus", "2xH200", "-n", "0:40;2:40"],
        {},
        "--device-layers 0:40;2:40: device 2 is unknown; the cluster has 2 devices, or groups of --tp: 0 to 1; "
        "what works: --pp 2, without --device-layers",
    ),
    (
        "ordinals: of devices",
        ["--gpus", "2xH200", "--devices", "cuda:0,2"],
        {},
        "--devices cuda:0,2: device 2 is not there: node node-0 has 2 (to device 1); what works: without --devices",
    ),
    (
        "ordinals: those of the node, after CUDA_VISIBLE_DEVICES renumbered them",
        ["--gpus", "8xH200", "--devices", "cuda:4,5"],
        {"CUDA_VISIBLE_DEVICES": "4,5"},
        "--devices cuda:4,5: device 4 is not there: node node-0 has 2 (to device 1); what works: without --devices",
    ),
    (
        "ordinals: no number",
        ["--gpus", "2xH200", "--devices", "cuda:0;1"],
        {},
        '--devices cuda:0;1: "0;1" is no device; expected ordinals separated by commas, such as 0,1; what works: without '
        "--devices",
    ),
    (
        "repeated devices: of a layer map",
        ["--gpus", "2xH200", "-n", "0:40;0:40"],
        {},
        "--device-layers 0:40;0:40: device 0 stands twice; a device has one run of layers, so it stands once, in the order "
        "of the layers; what works: --pp 2, without --device-layers",
    ),
    (
        "repeated devices: of a flag",
        ["--gpus", "2xH200", "--devices", "cuda:1,1"],
        {},
        "--devices cuda:1,1: device 1 stands twice; what works: without --devices",
    ),
    (
        "repeated devices: of CUDA_VISIBLE_DEVICES",
        ["--gpus", "2xH200", "--devices", "cuda:0"],
        {"CUDA_VISIBLE_DEVICES": "0,0"},
        "CUDA_VISIBLE_DEVICES=0,0: device 0 stands twice; what works: without --devices",
    ),
    (
        "more ranks than devices",
        ["--gpus", "2xH200", "--tp", "4"],
        {},
        "4 ranks (tp 4 x 1 stages) are more than the 2 devices there are; what works: --pp 2, without --tp; or --tp 2",
    ),
    (
        "world not a power of two: all visible devices",
        ["--gpus", "3xH200"],
        {},
        "tp 3: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16; what works: --tp 2 --devices "
        "cuda:0,1; or --pp 3",
    ),
    (
        "world not a power of two: stages x tp",
        ["--gpus", "6xH200", "--tp", "2", "--pp", "3"],
        {},
        "3 stages x tp 2 are 6 ranks, which is no power of two; what works: --allow-any-world; or --pp 2; or --pp 6, "
        "without --tp",
    ),
    (
        "tensor parallelism without NCCL",
        ["--gpus", "2x141GB", "--tp", "2"],
        {"MISTRALRS_NO_NCCL": "1"},
        "tp 2 needs NCCL, and MISTRALRS_NO_NCCL=1 says there is none; what works: --pp 2, without --tp",
    ),
]

WORLD_OF_3 = "'world_size' 3 is no power of two, as the ring backend needs it; the nearest are 2 and 4"
PARTIAL_SUMS = (
    "'world_size' {}: mistral.rs (as of 9e922623f24b) adds the left neighbour's part alone in an all-reduce, so sums over "
    "more than 2 ranks lack parts; use 2 ranks, or NCCL"
)

# (mistake, world, {rank: changed fields, or None: no such file}, [(file:line:column, severity, id, message)])
RINGS = [
    (
        "ring not closed: the right neighbour listens elsewhere",
        2,
        {1: {"right_port": 9003}},
        [
            (
                "ring_1.json:5:17",
                "error",
                "ring.not-closed",
                "'right_port' 9003: the right neighbour of rank 1, rank 0 (ring/ring_0.json), listens on 9001",
            )
        ],
    ),
    (
        "ring not closed: it skips a rank",
        4,
        {0: {"right_port": 9003}},
        [
            (
                "ring_0.json:5:17",
                "error",
                "ring.not-closed",
                "'right_port' 9003: the right neighbour of rank 0, rank 1 (ring/ring_1.json), listens on 9002; rank 2 has "
                "that port",
            ),
            ("ring_0.json:7:17", "note", "ring.partial-sums", PARTIAL_SUMS.format(4)),
        ],
    ),
    (
        "ring not closed: a rank is its own neighbour",
        2,
        {1: {"right_port": 9002}},
        [
            (
                "ring_1.json:5:17",
                "error",
                "ring.own-neighbour",
                "'right_port' 9002 is this rank's own 'port', on this host: it would be its own right neighbour",
            )
        ],
    ),
    (
        "ring not closed: right_ip is left out between hosts",
        2,
        {0: {"right_ip": OTHER}},
        [
            (
                "ring_1.json:5:17",
                "error",
                "ring.wrong-host",
                "'right_ip', left out, is this host, at \"10.0.0.2\"; the right neighbour, rank 0, is at \"10.0.0.1\"",
            )
        ],
    ),
    (
        "port clash: of the ring and the master on rank 0",
        2,
        {0: {"port": 9000}, 1: {"right_port": 9000}},
        [
            (
                "ring_0.json:4:11",
                "error",
                "ring.port-clash",
                "'port' 9000 is 'master_port', too; rank 0 listens on both, so they must differ",
            )
        ],
    ),
    (
        "port clash: two ranks of one host",
        2,
        {0: {"right_port": 9001, "right_ip": MASTER}, 1: {"port": 9001, "right_ip": MASTER}},
        [
            (
                "ring_1.json:4:11",
                "error",
                "ring.port-clash",
                "'port' 9001: rank 0 (ring/ring_0.json) listens there, too, and both are on one host",
            ),
        ],
    ),
    (
        "rank gap",
        4,
        {2: None},
        [
            ("ring_0.json:7:17", "error", "ring.rank-missing", "no file has rank 2 of 'world_size' 4"),
            ("ring_0.json:7:17", "note", "ring.partial-sums", PARTIAL_SUMS.format(4)),
        ],
    ),
    (
        "rank gap: ranks from 1",
        2,
        {0: {"rank": 1}, 1: {"rank": 2}},
        [
            (
                "ring_1.json:6:11",
                "error",
                "ring.rank-range",
                "'rank' 2: the ranks of a world of 2 are 0 to 1",
            ),
            (
                "ring_0.json:7:17",
                "error",
                "ring.rank-missing",
                "no file has rank 0 of 'world_size' 2; rank 0 is the master, which all others need",
            ),
        ],
    ),
    (
        "missing master: no file of rank 0",
        2,
        {0: None},
        [
            (
                "ring_1.json:7:17",
                "error",
                "ring.rank-missing",
                "no file has rank 0 of 'world_size' 2; rank 0 is the master, which all others need",
            )
        ],
    ),
    (
        "missing master: a rank does not say where it is",
        2,
        {1: {"master_ip": None}},
        [
            (
                "ring_1.json:5:11",
                "error",
                "ring.master-ip",
                "'master_ip' is missing: rank 1 is not the master, and must say where rank 0 is",
            )
        ],
    ),
    (
        "world not a power of two",
        3,
        {},
        [(f"ring_{rank}.json:7:17", "error", "ring.world-size", WORLD_OF_3) for rank in range(3)]
        + [("ring_0.json:7:17", "note", "ring.partial-sums", PARTIAL_SUMS.format(3))],
    ),
]


class Mistakes(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_mistakes_")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def test_layouts(self):
        with open(os.path.join(self.folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(plan_tools.llama_config(plan_tools.LLAMA_70B), file)
        for mistake, options, variables, said in LAYOUTS:
            with self.subTest(mistake):
                command = [self.tools.plan, "build", "--dry-run", "config.json", *options]
                done = plan_tools.run(command, cwd=self.folder, env={**os.environ, **variables})
                self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", f"mrs-plan: {said}\n"))

    def test_rings(self):
        for mistake, world, changed, expected in RINGS:
            with self.subTest(mistake):
                folder = os.path.join(self.folder, "ring")
                shutil.rmtree(folder, ignore_errors=True)
                os.mkdir(folder)
                for rank in range(world):
                    fields = changed.get(rank, {})
                    if fields is not None:
                        with open(os.path.join(folder, f"ring_{rank}.json"), "w", encoding="utf-8") as file:
                            file.write(ring_text(rank, world, **fields))
                done = plan_tools.run([self.tools.plan, "check", "--format", "json", "ring"], cwd=self.folder)
                found = [
                    ("{file}:{line}:{column}".format(**one), one["severity"], one["id"], one["message"])
                    for one in json.loads(done.stdout)["diagnostics"]
                ]
                self.assertEqual(found, [(f"ring/{place}", *rest) for place, *rest in expected])
                self.assertEqual((done.returncode, done.stderr), (1, ""))


if __name__ == "__main__":
    arguments = plan_tools.parser(__doc__.split("\n")[0]).parse_args()
    plan_tools.main([Mistakes], plan_tools.Tools(arguments.bin))
