"""RING_CONFIG files as `mrs-plan check` judges them: every mistake with its message and place. Run by check_cases.py."""

import os

from check_case import MASTER, OTHER, Case, ring_text


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
