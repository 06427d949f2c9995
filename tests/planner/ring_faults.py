"""Random sound RING_CONFIG rings are quiet, and each fault planted in one is found by its id, at its file.

tests/planner/ring_faults.py --bin build/cli [--rings 16] [--seed 1]
"""

import json
import os
import random
import shutil
import tempfile
import unittest

import plan_tools


class Ring:
    """`files`: one dictionary a rank; `hosts`: where each runs."""

    def __init__(self, chance):
        self.world = chance.choice([2, 2, 4, 8, 16])
        host_count = chance.randint(1, self.world)
        self.hosts = [chance.randrange(host_count) for _ in range(self.world)]
        names = chance.choice(["10.1.0.{}", "node-{}.cluster.example", "[fd00::{}]"])
        self.addresses = [names.format(host + 1) for host in range(host_count)]
        free = {host: chance.sample(range(9001, 9001 + 2 * self.world), self.world) for host in range(host_count)}
        ports = [free[host].pop() for host in self.hosts]
        master_port = chance.choice([1234, 9000])
        self.files = []
        for rank in range(self.world):
            right = (rank + 1) % self.world
            self.files.append(
                {
                    "master_ip": self.address(chance, rank, 0),
                    "master_port": master_port,
                    "port": ports[rank],
                    "right_port": ports[right],
                    "right_ip": self.address(chance, rank, right),
                    "rank": rank,
                    "world_size": self.world,
                }
            )
            if rank != 0 and self.files[-1]["master_ip"] is None:
                self.files[-1]["master_ip"] = "0.0.0.0"

    def address(self, chance, rank, of):
        """Of another host its address; of the same one whatever says that."""
        there = self.addresses[self.hosts[of]]
        return there if self.hosts[of] != self.hosts[rank] else chance.choice([there, None, "0.0.0.0", "127.0.0.1"])

    def together(self):
        """Two ranks of one host, or nothing."""
        for rank in range(1, self.world):
            for other in range(rank):
                if self.hosts[rank] == self.hosts[other]:
                    return other, rank
        return None


# Each spoils a ring, and says at whose file the finding stands (None: at any), or False where the ring is no place for it.


def port_clash(ring, chance):
    pair = ring.together()
    if pair is None:
        return False
    other, rank = pair
    ring.files[rank]["port"] = ring.files[other]["port"]
    ring.files[rank - 1]["right_port"] = ring.files[rank]["port"]
    return rank


def master_port_clash(ring, chance):
    here = [rank for rank in range(1, ring.world) if ring.hosts[rank] == ring.hosts[0]]
    if not here:
        return False
    rank = chance.choice(here)
    ring.files[rank]["port"] = ring.files[0]["master_port"]
    ring.files[rank - 1]["right_port"] = ring.files[rank]["port"]
    return rank


def not_closed(ring, chance):
    rank = chance.randrange(ring.world)
    ring.files[rank]["right_port"] = 65000
    return rank


def rank_gap(ring, chance):
    ring.files[chance.randrange(1, ring.world)] = None
    return None


def no_master(ring, chance):
    ring.files[0] = None
    return None


def rank_twice(ring, chance):
    rank = chance.randrange(1, ring.world)
    ring.files[rank]["rank"] = rank - 1
    return None


def master_ip(ring, chance):
    rank = chance.randrange(1, ring.world)
    ring.files[rank]["master_ip"] = None
    return rank


def master_port(ring, chance):
    rank = chance.randrange(1, ring.world)
    ring.files[rank]["master_port"] += 1000
    return rank


def world_size(ring, chance):
    wrong = chance.choice([3, 5, 6, 12, 100])
    for file in ring.files:
        file["world_size"] = wrong
    return None


def world_mismatch(ring, chance):
    rank = chance.randrange(1, ring.world)
    ring.files[rank]["world_size"] = ring.world * 2
    return rank if ring.world > 2 else None


def rank_range(ring, chance):
    rank = chance.randrange(ring.world)
    ring.files[rank]["rank"] = ring.world + rank
    if ring.files[rank]["master_ip"] is None:
        ring.files[rank]["master_ip"] = "0.0.0.0"
    return rank


FAULTS = {
    port_clash: "ring.port-clash",
    master_port_clash: "ring.port-clash",
    not_closed: "ring.not-closed",
    rank_gap: "ring.rank-missing",
    no_master: "ring.rank-missing",
    rank_twice: "ring.rank-twice",
    master_ip: "ring.master-ip",
    master_port: "ring.master-port",
    world_size: "ring.world-size",
    world_mismatch: "ring.world-mismatch",
    rank_range: "ring.rank-range",
}


class Faults(unittest.TestCase):
    rings, seed = 16, 1

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_rings_")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def found(self, rings, chance):
        """[(id, severity, file)] of each ring, written anew, a folder each."""
        shutil.rmtree(self.folder)
        # Folders of one file each are one ring together, so one that is all that is left of a ring is checked alone.
        batches = [[]]
        for number, ring in enumerate(rings):
            folder = os.path.join(self.folder, f"ring-{number}")
            os.makedirs(folder)
            for rank, fields in enumerate(ring.files):
                if fields is None:
                    continue
                items = [(key, value) for key, value in fields.items() if value is not None or chance.random() < 0.3]
                chance.shuffle(items)
                with open(os.path.join(folder, f"{rank}.json"), "w", encoding="utf-8") as file:
                    json.dump(dict(items), file, indent=chance.choice([None, 0, 2, 4]))
            alone = len(os.listdir(folder)) == 1
            batches += [[folder]] if alone else []
            batches[0] += [] if alone else [folder]
        found = {f"ring-{number}": [] for number in range(len(rings))}
        for batch in filter(None, batches):
            done = plan_tools.run([self.tools.plan, "check", "--format", "json", *batch])
            self.assertEqual(done.stderr, "")
            report = json.loads(done.stdout)
            self.assertEqual(done.returncode, 1 if report["errors"] + report["warnings"] > 0 else 0)
            for one in report["diagnostics"]:
                folder, file = one["file"].split("/")[-2:]
                found[folder].append((one["id"], one["severity"], file))
        return list(found.values())

    def test_sound_rings_are_quiet(self):
        chance = random.Random(self.seed)
        rings = [Ring(chance) for _ in range(self.rings)]
        for number, found in enumerate(self.found(rings, chance)):
            wrong = [one for one in found if one[1] != "note"]
            self.assertEqual(wrong, [], f"ring {number} of seed {self.seed}: {rings[number].files}")

    def test_each_fault_is_found(self):
        chance = random.Random(self.seed + 1)
        for fault, rule in FAULTS.items():
            planted = []  # a ring, and where its fault is
            for _ in range(self.rings):
                ring = Ring(chance)
                at = fault(ring, chance)
                planted += [(ring, at)] if at is not False else []
            self.assertGreater(len(planted), self.rings // 8, fault.__name__)
            all_found = self.found([ring for ring, _ in planted], chance)
            for number, ((ring, at), found) in enumerate(zip(planted, all_found)):
                files = {file for found_rule, _, file in found if found_rule == rule}
                where = f"{fault.__name__}, ring {number} of seed {self.seed}: {ring.files}"
                self.assertTrue(files, where)
                self.assertTrue(at is None or f"{at}.json" in files, f"{where}: at {files}")


if __name__ == "__main__":
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--rings", type=int, default=Faults.rings)
    parser.add_argument("--seed", type=int, default=Faults.seed)
    arguments = parser.parse_args()
    Faults.rings, Faults.seed = arguments.rings, arguments.seed
    print(f"seed {Faults.seed}")
    plan_tools.main([Faults], plan_tools.Tools(arguments.bin))
