"""What the ranks of a running mrs-exec say of themselves (runtime/world/progress_board.h), read from the outside.

    board = Board(server.process.pid, ranks=2)
    board.line(1).phase                           # WORKING
    board.await_line(1, lambda line: line.phase == LOADING, seconds=10)
"""

import collections
import os
import struct

from harness import START_S, check, wait_until

UNSEEN, STARTING, MEETING, LOADING, IDLE, WORKING, SENDING = range(7)
LINE_BYTES = 128
Line = collections.namedtuple("Line", "beat work looks wakes step phase operation operations plan_step waits_for")


class Board:

    def __init__(self, pid, ranks):
        """Waits until the supervisor has mapped it."""
        self.ranks = ranks
        address = wait_until(lambda: self._find(pid), START_S, "a board", interval=0.001)
        self.file = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        self.address = address

    @staticmethod
    def _find(pid):
        with open(f"/proc/{pid}/maps") as maps:
            for line in maps:
                if "memfd:mrs-progress" in line:
                    return int(line.split("-")[0], 16)
        return None

    def line(self, rank):
        data = os.pread(self.file, LINE_BYTES, self.address + rank * LINE_BYTES)
        check(len(data) == LINE_BYTES, "the board is gone")
        line = Line(*struct.unpack_from("<QQQQQIIIII", data))
        return line._replace(waits_for=line.waits_for - 1 if line.waits_for else None)

    def await_line(self, rank, condition, seconds=START_S, interval=0.0005):
        def find():
            line = self.line(rank)
            return line if condition(line) else None

        return wait_until(find, seconds, lambda: f"rank {rank} is at {self.line(rank)}", interval=interval)

    def close(self):
        os.close(self.file)
