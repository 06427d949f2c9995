"""Which node mrs-exec takes itself for, by flags, variables and RING_CONFIG; every mistake has its message.

tests/e2e/identity.py --bin build/cli [--only REGEX]
"""

import json
import os
import subprocess

from harness import MINI, Workplace, check_equal, free_ports, parse_arguments, run_cases, run_main

RING = {"master_ip": "127.0.0.1", "master_port": 9000, "port": 9001, "right_port": 9002, "right_ip": "127.0.0.1",
        "rank": 0, "world_size": 2}  # fmt: skip
LWS = {"LWS_LEADER_ADDRESS": "m-0.m", "LWS_GROUP_SIZE": "1", "LWS_WORKER_INDEX": "0"}
SLURM = {"SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_NODES": "1",
         "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NODELIST": "gpu-[7-8]"}  # fmt: skip
MN = "MISTRALRS_MN_"
HEAD = {MN + "GLOBAL_WORLD_SIZE": "2", MN + "HEAD_NUM_WORKERS": "0", MN + "HEAD_PORT": "9000"}
MARKS = ("LWS_", "SLURM_", "MISTRALRS_", "RING_CONFIG", "NCCL_SOCKET_IFNAME")


class Cases:
    def __init__(self, work):
        self.work = work
        self.plan = work.plan(MINI, tp=2)

    def run(self, arguments=(), **variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(MARKS)}
        return subprocess.run(
            [self.work.tools.exec_program, "--plan", self.plan, "--model", MINI, "--quiet", "--threads", "1", "--prompt-ids",
             "1,2,3", "--max-tokens", "1", *arguments],
            capture_output=True, text=True, timeout=120, env={**clean, **variables},
        )  # fmt: skip

    def refused(self, message, arguments=(), code=1, **variables):
        done = self.run(arguments, **variables)
        check_equal((done.returncode, done.stderr), (code, f"mrs-exec: {message}\n"), f"{arguments} {variables}")

    def runs(self, arguments=(), said="", **variables):
        done = self.run(arguments, **variables)
        check_equal((done.returncode, done.stderr), (0, said), f"{arguments} {variables}")

    def one_node_by_whatever_says_it(self):
        self.runs()
        self.runs(("--node", "0"))
        self.runs(**LWS)
        self.runs(**SLURM)
        self.runs(**HEAD)
        self.runs(("--node", "0"), **LWS, **SLURM, **HEAD)
        self.runs(**{MN + "LOCAL_WORLD_SIZE": "2"})
        self.runs(**{"LWS_GROUP_SIZE": "", "SLURM_JOB_NUM_NODES": "8"})  # emptied; an allocation's shell

    def what_is_not_the_plan_s_is_refused(self):
        one = "1 node (node-0)"
        self.refused(f"--node 1: the plan has {one}, so --node is 0", ("--node", "1"))
        self.refused("--node x: expected a whole number from 0 to 65535", ("--node", "x"), code=2)
        self.refused(
            "--head a b: neither a host name nor an IP address; expected ADDRESS or ADDRESS:PORT, such as 10.0.0.1 or "
            "[fd00::1]", ("--head", "a b"))
        self.refused(f"LWS_GROUP_SIZE=3, but the plan has {one}: set leaderWorkerTemplate.size to 1, or plan for 3 nodes",
                     **{**LWS, "LWS_GROUP_SIZE": "3"})
        self.refused("LWS_LEADER_ADDRESS is set, but LWS_GROUP_SIZE is empty: LeaderWorkerSet sets LWS_LEADER_ADDRESS, "
                     "LWS_GROUP_SIZE and LWS_WORKER_INDEX together (the last since v0.5.0); set LWS_GROUP_SIZE, or unset "
                     "the others and say --node K", **{**LWS, "LWS_GROUP_SIZE": ""})
        self.refused(f"SLURM_STEP_NUM_NODES=2, but the plan has {one}: start it with srun --nodes=1 --ntasks-per-node=1 "
                     "mrs-exec ..., or plan for 2 nodes", **{**SLURM, "SLURM_STEP_NUM_NODES": "2"})
        # The lines of mistral.rs' manual, without the ranks.
        self.refused(f"{MN}HEAD_NUM_WORKERS=1, so the head and its workers are 2 nodes, but the plan has {one}: set it to "
                     "0, or plan for 2", **{**HEAD, MN + "HEAD_NUM_WORKERS": "1"})
        self.refused(f"{MN}WORKER_ID=2, but the plan has {one}, and so no workers: unset it, or plan for several nodes",
                     **{MN + "GLOBAL_WORLD_SIZE": "2", MN + "WORKER_ID": "2",
                        "MISTRALRS_WORKER_SERVER_ADDR": "10.0.0.1:9000"})
        self.refused(f"{MN}GLOBAL_WORLD_SIZE=32, but the plan has 2 ranks on {one}: set it to 2, or plan for 32 ranks",
                     **{**HEAD, MN + "GLOBAL_WORLD_SIZE": "32"})
        self.refused(f"{MN}LOCAL_WORLD_SIZE=4, but the plan has 2 ranks on node node-0: set it to 2, or plan for 4 there",
                     **{MN + "LOCAL_WORLD_SIZE": "4"})

    def ring(self, message, changes, arguments=(), said=""):
        path = self.work.path("r.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({key: value for key, value in {**RING, **changes}.items() if value is not None}, file, indent=1)
        done = self.run(arguments, RING_CONFIG=path)
        check_equal((done.returncode, done.stderr.replace(path, "r.json")), (1, f"{said}mrs-exec: {message}\n"), changes)

    def every_mistake_of_a_ring(self):
        self.refused("/nonexistent/r.json: cannot be opened: No such file or directory; RING_CONFIG names a file for each "
                     "rank", RING_CONFIG="/nonexistent/r.json")
        self.ring("r.json: line 6, column 14: 'right_ip': \"fe80::1\" is an IPv6 address, which stands in brackets before "
                  "a port: [fe80::1]", {"right_ip": "fe80::1"})
        self.ring("r.json: line 1, column 1: 'port' is missing; expected a whole number from 1 to 65535: on which this "
                  "rank hears its left neighbour", {"port": None})
        self.ring("r.json: line 4, column 10: 'port' 9000 is 'master_port', too; rank 0 listens on both, so they must "
                  "differ", {"port": 9000})
        self.ring("r.json: 'port' 9000 is 'master_port', too, and the master is on this host: give this rank a port of "
                  "its own", {"rank": 1, "port": 9000})
        self.ring("r.json: line 7, column 10: 'rank' 2: the ranks of a world of 2 are 0 to 1", {"rank": 2})
        self.ring("r.json: line 6, column 10: 'master_ip' is missing: rank 1 is not the master, and must say where rank 0 "
                  "is", {"rank": 1, "master_ip": None})
        self.ring("r.json: line 5, column 16: 'right_port' 9001 is this rank's own 'port', on this host: it would be its "
                  "own right neighbour", {"right_port": 9001})
        self.ring("r.json: 'right_port' 9000 is 'master_port', where rank 0 meets all ranks: the ring is not closed; write "
                  "rank 0's 'port', where it hears its left neighbour", {"rank": 1, "right_port": 9000})
        self.ring("r.json: 'right_ip' \"10.0.0.9\", but 'master_ip' \"10.0.0.1\": the right neighbour of rank 1 is rank 0, "
                  "the master: the ring is not closed; write rank 0's address in both",
                  {"rank": 1, "right_ip": "10.0.0.9", "master_ip": "10.0.0.1"})
        self.ring("r.json: line 8, column 16: 'world_size' 3 is no power of two, as the ring backend needs it; the nearest "
                  "are 2 and 4", {"world_size": 3})
        self.ring("r.json: 'world_size' 4, but the plan has 2 ranks: write the files of its ranks with mrs-plan export "
                  "--for mistralrs, or plan for 4 ranks", {"world_size": 4})
        self.ring("--node 1: the plan has 1 node (node-0), so --node is 0", {}, ("--node", "1"))

    def a_sound_ring_waits_for_its_other_ranks(self):
        port = free_ports(3)
        ports = {"master_port": port, "port": port + 1, "right_port": port + 2}
        soon = ("--start-timeout", "0.2")
        self.ring("prompt 0: rank 1 of the ring did not come within 0.2 s (--start-timeout); start mrs-exec there with the "
                  f"same plan, and see that it reaches 127.0.0.1 port {port}, which this host alone does: for ranks of "
                  "others, say another address of rank 0 as 'master_ip', or start it with --interface NAME",
                  {**ports, "rihgt_ip": 7}, soon,
                  said="mrs-exec: warning: r.json: line 9, column 2: \"rihgt_ip\" is no key of RING_CONFIG, so mistral.rs "
                       "passes over it\n")
        self.ring(f"rank 1 of the ring: rank 0 of the ring was not reached at 127.0.0.1 port {port} within 0.2 s "
                  "(--start-timeout): connection refused: nobody listens there", {**ports, "rank": 1}, soon)

    def list(self):
        return [(name, getattr(self, name)) for name in (
            "one_node_by_whatever_says_it", "what_is_not_the_plan_s_is_refused", "every_mistake_of_a_ring",
            "a_sound_ring_waits_for_its_other_ranks")]  # fmt: skip


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("identity", arguments.bin) as work:
        return 1 if run_cases(Cases(work).list(), workers=1, only=arguments.only) else 0


if __name__ == "__main__":
    run_main(main)
