"""Network namespaces of this process' own, each with a loopback and nothing else.

    net = PrivateNet()                                    # needs the right to make one: PrivateNet.why_not()
    subprocess.Popen(argv, preexec_fn=net.enter)          # a process in it
    with net.inside():                                    # this thread: sockets that it makes are there
        listener = socket.create_server(("127.0.0.1", 0))

Every address of 127.0.0.0/8 is there. What two of them say to each other, a relay carries (relay.py).
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading

from harness import skip

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _outside():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class PrivateNet:
    def __init__(self):
        made = []

        def make():
            try:
                _checked(LIBC.unshare(CLONE_NEWNET))
                with socket.socket() as any_socket:
                    name = b"lo".ljust(16, b"\0")
                    flags = struct.unpack("16sH", fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))[:18])[1]
                    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | IFF_UP))
                made.append(_outside())
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        self.fd = made[0]

    @staticmethod
    def why_not():
        """Why there can be none here, or ""."""
        try:
            PrivateNet().close()
            return ""
        except OSError as error:
            return f"no network namespace can be made here: {error.strerror}"

    @staticmethod
    def require():
        """Or ends the script with 77, saying why."""
        if why := PrivateNet.why_not():
            skip(why)

    def enter(self):
        _checked(LIBC.setns(self.fd, CLONE_NEWNET))

    @contextlib.contextmanager
    def inside(self):
        before = _outside()
        self.enter()
        try:
            yield
        finally:
            _checked(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)

    def close(self):
        os.close(self.fd)
